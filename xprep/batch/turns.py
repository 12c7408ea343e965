"""What of a batch runs at once: one experiment after the other, or, of plates on a cluster, many small ones, each in one task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from xprep.batch.experiments import Experiments, RunApart, failed
from xprep.batch.inputs import Task
from xprep.batch.opening import open_task
from xprep.batch.outcome import Outcome
from xprep.batch.recipe import Recipe
from xprep.engine.graph.tasks import call
from xprep.engine.machine.clients import working_client
from xprep.engine.machine.memory import worker_threads
from xprep.engine.running.run import run
from xprep.options import options
from xprep.types import Listener

# Larger experiments are spread over the cluster, block by block.
SMALL_BYTES: Final = 256 * 2**20
# Experiments a thread in one turn, after which the wells that are whole are listed: the threads wait for the last of them.
EACH: Final = 8

Group = Sequence[Task]


def in_turns(groups: Sequence[Group], recipe: Recipe) -> Iterator[Sequence[Group]]:
    """Yield the experiments that run at once."""
    count = EACH * worker_threads() if _are_small(groups, recipe) else 1
    for start in range(0, len(groups), count):
        yield groups[start : start + count]


def _are_small(groups: Sequence[Group], recipe: Recipe) -> bool:
    """Whether these are small fields of plates, by the first, and there is a cluster for tasks of one experiment each."""
    if len(groups) < 2 or recipe.fit or not all(task.made for group in groups for task in group) or working_client() is None:
        return False
    for group in groups:
        try:
            image = open_task(group[0], recipe.storage_options)
        except (OSError, ValueError):
            continue
        return image.nbytes * max(map(len, groups)) <= SMALL_BYTES
    return False


def run_turn(turn: Sequence[Group], experiments: Experiments, progress: Listener | bool) -> list[Outcome]:
    """Run some experiments at once and return the outcomes of their images in order."""
    tasks = [task for group in turn for task in group]
    if len(turn) == 1:
        return experiments.run(tasks, progress)
    work = [call(RunApart(experiments, tuple(group), vars(options())), label="field") for group in turn]
    try:
        found, _ = run(work, "writing", None if isinstance(progress, bool) else progress)
    except Exception as error:  # noqa: BLE001  (the cluster is gone, or a worker died too often: what is left says so)
        return failed(tasks, None, error, experiments.recipe)
    return [outcome for some in found for outcome in some]
