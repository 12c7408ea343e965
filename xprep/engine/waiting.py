"""Computing on a cluster: told how far it is, and not waiting for ever where no worker works any more."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, sleep
from typing import Any, Final

import dask
from dask.delayed import Delayed
from dask.utils import key_split

from xprep.engine.memory import active_client
from xprep.engine.progress import WRITTEN

POLL_SECONDS: Final = 0.5
FAILED: Final = ("error", "cancelled", "lost")
MAX_FAILURES: Final = 5
DRAIN_SECONDS: Final = 60.0  # a task that waits for a server gives up within 5 (io/waits), one that computes takes its time
NOTICE_SECONDS: Final = 30.0
# Without a worker that works. `dask.config.set({"xprep.patience": …})` changes it: spot machines may come back.
PATIENCE_SECONDS: Final = 45.0


class NobodyWorksError(RuntimeError):
    """No worker is left, or all are paused."""


def compute_on_cluster(values: Sequence[Delayed], advance: Callable[[int, int], None]) -> tuple[Any, ...]:
    """Compute on the active client's cluster.

    Raises
    ------
    NobodyWorksError
        For some time no worker was left, or all were paused, and nothing went on: dask would wait for ever.
    """
    client = active_client()
    if not values:
        return ()
    names = sorted({key_split(key) for key in values[0].dask})
    watch = _Watch(client, names, len(values[0].dask), advance)
    watch.begin()
    # Without retries: what may pass was tried again inside of the task (engine/attempts), and anything else is final.
    futures = client.compute(list(values), optimize_graph=False, retries=0)
    try:
        while not _wait(futures):
            watch.look()
        results = tuple(client.gather(futures))
        watch.finish()
        return results
    except BaseException as error:
        # Not cancelled: cancelling a graph like this one breaks an assertion in the scheduler (distributed 2026.8).
        for future in futures:
            future.release()
        if not isinstance(error, NobodyWorksError):
            _finish_running(client)
        raise


def _finish_running(client: Any) -> None:
    """Wait for tasks that were begun: they would go on behind the caller's back, and write into a store that was given up."""
    end = monotonic() + DRAIN_SECONDS
    sleep(POLL_SECONDS)  # until workers know what they need not begin
    try:
        while monotonic() < end and any(client.run(_count_running, on_error="ignore").values()):
            sleep(0.1)
    except Exception:  # noqa: BLE001  (a gateway may forbid it; the cluster may be gone)
        return


def _count_running(dask_worker: Any = None) -> int:
    """Return how many tasks a worker is at; runs on the worker."""
    return len(dask_worker.state.executing)


def _wait(futures: Iterable[Any]) -> bool:
    """Wait a little; whether all futures are done, or one will never be."""
    end = monotonic() + POLL_SECONDS
    while monotonic() < end:
        if all(future.done() for future in futures) or any(future.status in FAILED for future in futures):
            return True
        sleep(0.02)
    return False


class _Watch:
    """How many tasks are left, and whether anybody works on them."""

    def __init__(self, client: Any, names: Sequence[str], total: int, advance: Callable[[int, int], None]) -> None:
        self._client, self._names, self._advance = client, names, advance
        self._total, self._done, self._failures = total, 0, 0
        self._bytes: float | None = None  # of the scheduler's whole life
        self._had_workers, self._idle_since, self._told = False, monotonic(), False
        self._begun = monotonic()

    def begin(self) -> None:
        """Note what was written before, and whether there is a worker."""
        self._count(first=True)
        self._had_workers = bool(self._workers())

    def look(self) -> None:
        """Announce what was done since, and stop waiting where nobody works."""
        before = self._done
        self._count()
        workers = self._workers()
        self._had_workers = self._had_workers or bool(workers)
        working = any(worker.get("status", "running") == "running" for worker in workers)
        self._tell_of_waiting()
        if working or self._done != before or not self._had_workers:
            self._idle_since = monotonic()
        if monotonic() - self._idle_since > _patience():
            raise NobodyWorksError(_nobody(len(workers), _patience()))

    def _tell_of_waiting(self) -> None:
        """Say once that no worker has come yet: of a batch system's queue, they may take hours."""
        if self._had_workers or self._told or monotonic() - self._begun < min(NOTICE_SECONDS, _patience()):
            return
        self._told = True
        warnings.warn(
            f"no worker has joined the cluster at {self._client.scheduler.address} yet; waiting for the first.",
            UserWarning,
            stacklevel=2,
        )

    def _workers(self) -> list[Any]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"].values())

    def finish(self) -> None:
        """Announce the rest; of bytes, what workers told until now."""
        self._count()
        self._advance(self._total - self._done, 0)

    def _count(self, first: bool = False) -> None:
        if self._failures > MAX_FAILURES:
            return
        try:
            left, written = self._client.run_on_scheduler(_count_left, self._names)
        except Exception:  # noqa: BLE001  (a gateway may forbid it; progress is then told at the end)
            self._failures += 1
            return
        if first:
            self._bytes = written
            return
        done = min(self._total, max(self._done, self._total - left))
        self._advance(done - self._done, int(written - (written if self._bytes is None else self._bytes)))
        self._done, self._bytes = done, written


def _patience() -> float:
    """Return for how many seconds nobody need work."""
    return float(dask.config.get("xprep.patience", PATIENCE_SECONDS))


def _nobody(workers: int, patience: float) -> str:
    if not workers:
        return (
            f"no worker has been left for {patience:.0f} s. Were they killed for their memory, or by their batch system? Start "
            "workers again, with more memory or smaller tiles (xprep.set_options(tile_bytes=…))."
        )
    return (
        f"all {workers} workers have been paused for {patience:.0f} s: their memory is full, and so may be the disk that they "
        "spill to. Give them more memory or a larger disk, or smaller tiles (xprep.set_options(tile_bytes=…))."
    )


def _count_left(names: Sequence[str], dask_scheduler: Any = None) -> tuple[int, float]:
    """Return how many tasks of some names are not done, and the bytes that workers wrote; runs on the scheduler."""
    states = ("waiting", "no-worker", "queued", "processing")
    prefixes = (dask_scheduler.task_prefixes.get(name) for name in names)
    groups = (group for prefix in prefixes if prefix is not None for group in prefix.groups)
    metrics = getattr(dask_scheduler, "cumulative_worker_metrics", {})
    written = sum(value for key, value in list(metrics.items()) if WRITTEN in key)
    return sum(group.states.get(state, 0) for group in groups for state in states), written
