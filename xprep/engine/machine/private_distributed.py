"""What is used of distributed that is not documented: what schedulers, workers and clients know of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Any, Final

from dask.utils import key_split

from xprep.extras import loaded
from xprep.private_api import part_of, uses

_WRITTEN: Final = "xprep-written"  # name of the measure by which workers tell how many bytes they wrote
_UNDONE: Final = ("waiting", "no-worker", "queued", "processing")


@uses(
    "distributed.metrics.context_meter.digest_metric",
    since="distributed 2023.4",
    loss="untidy",
    without="how many bytes workers wrote is told at the end",
)
def note_written(nbytes: int) -> None:
    """Tell a cluster's scheduler, if this is a task of one, that so many bytes were written."""
    meter = getattr(loaded("distributed.metrics"), "context_meter", None)
    if meter is not None:
        meter.digest_metric(_WRITTEN, nbytes, "bytes")


def name_of(key: Any) -> str:
    """Return the name of a task's layer, which is also that of the scheduler's group of such tasks; or its own."""
    return str(key[0] if isinstance(key, tuple) else key)


@uses(
    "Scheduler.task_groups, task_prefixes, workers, cumulative_worker_metrics; TaskGroup.states; TaskPrefix.groups, suspicious; "
    "WorkerState.last_seen",
    since="distributed 2023.4",
    loss="untidy",
    without="progress is told at the end, and a run whose workers die again and again ends when all are gone",
)
def count_on_scheduler(names: Sequence[str], dask_scheduler: Any = None) -> tuple[int, int, float, bool, float, float]:
    """Return how far tasks of some names are, as the parts of a `ClusterWatch`'s count; runs on the scheduler."""
    own = {id(group): group for name in names if (group := dask_scheduler.task_groups.get(name)) is not None}
    found = (dask_scheduler.task_prefixes.get(kind) for kind in {key_split(name) for name in names})
    kinds = [kind for kind in found if kind is not None]
    others = [group for kind in kinds for group in kind.groups if id(group) not in own]
    metrics = getattr(dask_scheduler, "cumulative_worker_metrics", {})
    written = sum(value for key, value in list(metrics.items()) if _WRITTEN in key)
    deaths = sum(kind.suspicious for kind in kinds)
    at = time()
    heard = min((worker.last_seen for worker in dask_scheduler.workers.values()), default=at)
    return sum(map(_undone, own.values())), deaths, written, not sum(map(_undone, others)), at, heard


def _undone(group: Any) -> int:
    return sum(group.states.get(state, 0) for state in _UNDONE)


@uses(
    "Worker.state.executing",
    since="distributed 2022.7",
    loss="untidy",
    without="after an error, tasks that workers are at are not waited for",
)
def count_running(names: Sequence[str], dask_worker: Any = None) -> int:
    """Return how many tasks of some names a worker is at; runs on the worker."""
    return sum(name_of(task.key) in names for task in dask_worker.state.executing)


@uses(
    "Worker.state.tasks, TaskState.state",
    since="distributed 2022.7",
    loss="slower",
    without="a computation inside of a task goes on to its end though the task was cancelled",
)
def is_wanted(worker: Any, key: Any) -> bool:
    """Whether a worker's task is still to be done."""
    tasks = getattr(getattr(worker, "state", None), "tasks", None)
    if tasks is None:
        return True
    task = tasks.get(key)
    return task is not None and getattr(task, "state", "") != "cancelled"


@uses(
    "Client._loop_runner._loop_thread._thread",
    since="distributed 2022.1",
    loss="untidy",
    without="a client that was opened before a fork is not refused in the child, where nobody answers it",
)
def is_forked(client: Any) -> bool:
    """Whether a client was opened before this process was forked: the thread that answers it is not here."""
    runner = getattr(client, "_loop_runner", None)
    thread = getattr(getattr(runner, "_loop_thread", None), "_thread", None)  # None where the loop is the caller's own
    return thread is not None and not thread.is_alive()


@uses(
    "distributed.client.FutureCancelledError, FuturesCancelledError; distributed.scheduler.KilledWorker.allowed_failures, task",
    since="distributed 2024.10",
    loss="untidy",
    without="a cluster that was closed, or workers that die, are told in dask's words",
)
def cluster_errors() -> tuple[tuple[Any, ...], Any]:
    """Return the errors of a cluster that was closed, and that of a task at which workers died."""
    cancelled = tuple(part_of("distributed.client", name) for name in ("FutureCancelledError", "FuturesCancelledError"))
    return cancelled, part_of("distributed.scheduler", "KilledWorker")
