"""Computing on a cluster: told how far it is, and not waiting for ever where no worker works any more."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, sleep
from typing import Any, Final

import dask
from dask.delayed import Delayed
from dask.utils import key_split

from xprep.engine.memory import active_client

RETRIES: Final = 3  # of a task: a bucket that says "slow down"
POLL_SECONDS: Final = 0.5
MAX_FAILURES: Final = 5
# Without a worker that works. `dask.config.set({"xprep.patience": …})` changes it: spot machines may come back.
PATIENCE_SECONDS: Final = 45.0


def compute_on_cluster(values: Sequence[Delayed], advance: Callable[[int, int], None]) -> tuple[Any, ...]:
    """Compute on the active client's cluster.

    Raises
    ------
    RuntimeError
        For some time no worker was left, or all were paused, and nothing went on: dask would wait for ever.
    """
    client = active_client()
    if not values:
        return ()
    names = sorted({key_split(key) for key in values[0].dask})
    futures = client.compute(list(values), optimize_graph=False, retries=RETRIES)
    watch = _Watch(client, names, len(values[0].dask), advance)
    try:
        while not _wait(futures):
            watch.look()
        watch.finish()
        return tuple(client.gather(futures))
    except BaseException:
        # Not cancelled: cancelling a graph like this one breaks an assertion in the scheduler (distributed 2026.8).
        for future in futures:
            future.release()
        raise


def _wait(futures: Iterable[Any]) -> bool:
    """Wait a little; whether all futures are done."""
    end = monotonic() + POLL_SECONDS
    while monotonic() < end:
        if all(future.done() for future in futures):
            return True
        sleep(0.02)
    return False


class _Watch:
    """How many tasks are left, and whether anybody works on them."""

    def __init__(self, client: Any, names: Sequence[str], total: int, advance: Callable[[int, int], None]) -> None:
        self._client, self._names, self._advance = client, names, advance
        self._total, self._done, self._failures = total, 0, 0
        self._had_workers, self._idle_since, self._since = False, monotonic(), monotonic()

    def look(self) -> None:
        """Announce what was done since, and stop waiting where nobody works."""
        before = self._done
        self._count()
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self._had_workers = self._had_workers or bool(workers)
        working = any(worker.get("status", "running") == "running" for worker in workers)
        if working or self._done != before or not self._had_workers:
            self._idle_since = monotonic()
        patience = float(dask.config.get("xprep.patience", PATIENCE_SECONDS))
        if not self._had_workers and monotonic() - self._since > patience:
            # They may stand in a batch system's queue: for hours, and rightly.
            warnings.warn(f"the cluster has had no worker for {patience:.0f} s; waiting for one to come.", stacklevel=2)
            self._since = math.inf
        if monotonic() - self._idle_since > patience:
            raise RuntimeError(_nobody(len(workers), patience))

    def finish(self) -> None:
        """Announce the rest."""
        self._advance(self._total - self._done, 0)

    def _count(self) -> None:
        if self._failures > MAX_FAILURES:
            return
        try:
            left = self._client.run_on_scheduler(_count_left, self._names)
        except Exception:  # noqa: BLE001  (a gateway may forbid it; progress is then told at the end)
            self._failures += 1
            return
        done = min(self._total, max(self._done, self._total - left))
        self._advance(done - self._done, 0)
        self._done = done


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


def _count_left(names: Sequence[str], dask_scheduler: Any = None) -> int:
    """Return how many tasks of some names are not done; runs on the scheduler."""
    states = ("waiting", "no-worker", "queued", "processing")
    prefixes = (dask_scheduler.task_prefixes.get(name) for name in names)
    groups = (group for prefix in prefixes if prefix is not None for group in prefix.groups)
    return sum(group.states.get(state, 0) for group in groups for state in states)
