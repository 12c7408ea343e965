"""How far a run on a cluster is, and whether anybody works on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from time import monotonic
from typing import Any, Final

import dask
from dask.utils import key_split

from xprep.engine.failing import NobodyWorksError, nobody
from xprep.engine.progress import WRITTEN

LOOK_SECONDS: Final = 0.5
LOOK_SHARE: Final = 0.1  # of the time, at most, that is spent on looking
MAX_FAILURES: Final = 5
NOTICE_SECONDS: Final = 30.0
# Without a worker that works. `dask.config.set({"xprep.patience": …})` changes it: spot machines may come back.
PATIENCE_SECONDS: Final = 45.0
UNDONE: Final = ("waiting", "no-worker", "queued", "processing")


def name_of(key: Any) -> str:
    """Return the name of a task's layer, which is also that of the scheduler's group of such tasks; or its own."""
    return str(key[0] if isinstance(key, tuple) else key)


class Watch:
    """How many tasks are left, and whether anybody works on them; ``wanted`` tells whether anybody waits for them."""

    def __init__(
        self, client: Any, keys: Sequence[Any], advance: Callable[[int, int], None], wanted: Callable[[], bool] | None = None
    ) -> None:
        self.client, self.names, self._advance = client, sorted({name_of(key) for key in keys}), advance
        self._wanted = wanted or (lambda: True)
        # Those with an index, in groups of their own; tasks of one name share a group with those of every other run.
        self._total, self._counted = len(keys), sum(isinstance(key, tuple) for key in keys)
        self._done, self._failures = 0, 0
        self._bytes: float | None = None  # of the scheduler's whole life
        self._had_workers, self._idle_since, self._told = False, monotonic(), False
        self._begun, self.pause = monotonic(), LOOK_SECONDS

    def begin(self) -> None:
        """Note what was written before, and whether there is a worker."""
        self._count(first=True)
        self._had_workers = bool(self._workers())

    def look(self) -> None:
        """Announce what was done since, and stop waiting where nobody works, or nobody waits any more."""
        if not self._wanted():
            raise CancelledError("the task that waits for this was cancelled.")
        before, start = self._done, monotonic()
        self._count()
        workers = self._workers()
        self.pause = max(LOOK_SECONDS, (monotonic() - start) / LOOK_SHARE)
        self._had_workers = self._had_workers or bool(workers)
        working = any(worker.get("status", "running") == "running" for worker in workers)
        self._tell_of_waiting()
        if working or self._done != before or not self._had_workers:
            self._idle_since = monotonic()
        if monotonic() - self._idle_since > _patience():
            raise NobodyWorksError(nobody(len(workers), _patience()))

    def _tell_of_waiting(self) -> None:
        """Say once that no worker has come yet: of a batch system's queue, they may take hours."""
        if self._had_workers or self._told or monotonic() - self._begun < min(NOTICE_SECONDS, _patience()):
            return
        self._told = True
        warnings.warn(
            f"no worker has joined the cluster at {self.client.scheduler.address} yet; waiting for the first.",
            UserWarning,
            stacklevel=2,
        )

    def _workers(self) -> list[Any]:
        return list(self.client.scheduler_info(n_workers=-1)["workers"].values())

    def finish(self) -> None:
        """Announce the rest; of bytes, what workers told until now."""
        self._count()
        self._advance(self._total - self._done, 0)

    def _count(self, first: bool = False) -> None:
        if self._failures > MAX_FAILURES:
            return
        try:
            left, written, alone = self.client.run_on_scheduler(_count_left, self.names)
        except Exception:  # noqa: BLE001  (a gateway may forbid it; progress is then told at the end)
            self._failures += 1
            return
        if first or self._bytes is None:
            self._bytes = written
            return
        # What others write at the same time is in the same sum: while they do, bytes are not told, which the end makes good.
        fresh = int(written - self._bytes) if alone else 0
        done = min(self._counted, max(self._done, self._counted - left))
        self._advance(done - self._done, fresh)
        self._done, self._bytes = done, written


def _patience() -> float:
    """Return for how many seconds nobody need work."""
    return float(dask.config.get("xprep.patience", PATIENCE_SECONDS))


def _count_left(names: Sequence[str], dask_scheduler: Any = None) -> tuple[int, float, bool]:
    """Return how many tasks of some names are not done, the bytes that workers wrote, and whether all were of these names.

    Runs on the scheduler.
    """
    own = {id(group): group for name in names if (group := dask_scheduler.task_groups.get(name)) is not None}
    kinds = [dask_scheduler.task_prefixes.get(kind) for kind in {key_split(name) for name in names}]
    others = [group for kind in kinds if kind is not None for group in kind.groups if id(group) not in own]
    metrics = getattr(dask_scheduler, "cumulative_worker_metrics", {})
    written = sum(value for key, value in list(metrics.items()) if WRITTEN in key)
    return sum(map(_undone, own.values())), written, not sum(map(_undone, others))


def _undone(group: Any) -> int:
    return sum(group.states.get(state, 0) for state in UNDONE)
