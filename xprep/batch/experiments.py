"""One experiment of a batch, from its inputs to its outcomes: what fails is told, and does not stop other experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from uuid import uuid4

import xarray as xr

from xprep.batch.inputs import Task
from xprep.batch.opening import find_absent, open_input
from xprep.batch.outcome import Outcome
from xprep.batch.plates import Plate
from xprep.batch.recipe import Recipe
from xprep.batch.shared import statistics_for
from xprep.batch.steps import prepare, steps_with
from xprep.engine.machine.clients import computing_alone
from xprep.images import Report, WriteOptions, check_copy
from xprep.images.writing.outputs import Output, outputs_of
from xprep.images.writing.to_ome_zarr import write_outputs
from xprep.io.store.urls import redact, redact_text
from xprep.options import set_options
from xprep.types import Listener


@dataclass(frozen=True)
class Experiments:
    """How experiments are run.

    Attributes
    ----------
    recipe
        Their recipe.
    how
        How results are stored.
    plates
        The plates that hold some of them, by URL; or why one could not be begun.
    first
        The images of the first, whose statistics others may get.
    statistics
        Those of a file that all get.
    """

    recipe: Recipe
    how: WriteOptions
    plates: Mapping[str, Plate | Exception]
    first: Sequence[Task]
    statistics: xr.Dataset | None

    def run(self, tasks: Sequence[Task], progress: Listener | bool | None) -> list[Outcome]:
        """Run one experiment; whatever goes wrong, the others go on."""
        options = self.recipe.storage_options
        absent = find_absent(tasks, options) if len(tasks) > 1 else []
        found = {task: failed([task], task, _opening_error(task, options), self.recipe)[0] for task in absent}
        rest = [task for task in tasks if task not in found]
        found |= dict(zip(rest, self._run(rest, progress) if rest else (), strict=True))
        return [found[task] for task in tasks]

    def _run(self, tasks: Sequence[Task], progress: Listener | bool | None) -> list[Outcome]:
        start = perf_counter()
        culprit: Task | None = None
        try:
            self._check_plates(tasks)
            images = []
            for task in tasks:
                culprit = task
                images.append(open_input(task, self.recipe.storage_options, self.recipe.is_copy))
            culprit = None
            steps = steps_with(self.recipe.steps, self._statistics(tasks))
            results = prepare(images, steps, self.recipe.storage_options, [task.input for task in tasks])
            outputs = [self._output(task, image) for task, image in zip(tasks, results, strict=True)]
            reports = list(write_outputs(outputs, progress).values())
            if self.recipe.is_copy:
                for output in outputs:
                    check_copy(output.url, self.recipe.storage_options, progress)
        except Exception as error:  # noqa: BLE001  (whatever it is, the other images go on)
            return failed(tasks, culprit, error, self.recipe, perf_counter() - start)
        return [_written(task, report) for task, report in zip(tasks, reports, strict=True)]

    def _statistics(self, tasks: Sequence[Task]) -> xr.Dataset | None:
        plate = self.plates.get(self.first[0].made)
        fitted = plate.place_of(self.first[0]) if isinstance(plate, Plate) else self.first[0].output
        return statistics_for(tasks, self.recipe, self.statistics, fitted)

    def _check_plates(self, tasks: Sequence[Task]) -> None:
        """Refuse images of a plate that could not be begun."""
        for made in dict.fromkeys(task.made for task in tasks):
            if isinstance(plate := self.plates.get(made), Exception):
                raise plate

    def _output(self, task: Task, image: xr.DataArray | xr.DataTree) -> Output:
        plate = self.plates.get(task.made)
        place, how = (plate.place_of(task), plate.options_of(task)) if isinstance(plate, Plate) else (task.output, self.how)
        (output,) = outputs_of(image, place, how, {})
        return replace(output, image=output.image.rename(image.name))


@dataclass(frozen=True)
class RunApart:
    """Runs one experiment in one task of a cluster, on one thread; called there, with the options of who sent it."""

    experiments: Experiments
    tasks: tuple[Task, ...]
    options: Mapping[str, Any]
    number: str = field(default_factory=lambda: uuid4().hex)

    def __call__(self) -> list[Outcome]:
        """Return the outcomes."""
        with set_options(**self.options), computing_alone():
            return self.experiments.run(self.tasks, False)

    def __dask_tokenize__(self) -> str:
        return self.number


def _opening_error(task: Task, storage_options: Mapping[str, Any]) -> Exception:
    try:
        open_input(task, storage_options)
    except Exception as error:  # noqa: BLE001  (it is told)
        return error
    return FileNotFoundError(f"{task.shown} was not there when its experiment was begun, and is now: run again with resume=True.")


def _written(task: Task, report: Report) -> Outcome:
    done = "written" if report.units else "finished before"
    notes = report.notes if report.units else ()
    url = redact(task.output) if task.made else report.url  # a plate that replaces another is elsewhere until its end
    return Outcome(
        task.shown, url, done, "", "", report.seconds, report.nbytes, notes, report.statistics, now()  # type: ignore[arg-type]
    )


def now() -> str:
    """Return the time as reports tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def failed(
    tasks: Sequence[Task], culprit: Task | None, error: Exception, recipe: Recipe, seconds: float = 0.0
) -> list[Outcome]:
    """Return the outcomes of an experiment that failed: of the image that did it, if that is known, and of the others."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    reason = redact_text(text, recipe.secrets) or type(error).__name__
    named = [task for task in tasks if task is culprit or task.shown in reason or redact(task.output) in reason]
    guilty = named if named else tasks
    kind = type(error).__name__
    outcomes = []
    for task in tasks:
        if task in guilty:
            outcomes.append(Outcome(task.shown, redact(task.output), "failed", reason, kind, seconds, ended=now()))
        else:
            outcomes.append(not_run(task, f"it shares statistics with {guilty[0].shown}, which failed"))
    return outcomes


def not_run(task: Task, reason: str) -> Outcome:
    """Return the outcome of an image that was not begun."""
    return Outcome(task.shown, redact(task.output), "not run", reason)
