"""How far a run on a cluster is, and whether anybody works on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from xprep.engine.computing.cluster_failures import died, nobody
from xprep.engine.computing.cluster_processes import workers_of
from xprep.engine.machine.private_distributed import count_on_scheduler, name_of
from xprep.errors import NobodyWorksError
from xprep.options import options

LOOK_SECONDS: Final = 0.5
LOOK_SHARE: Final = 0.1  # of the time, at most, that is spent on looking
MAX_FAILURES: Final = 5
NOTICE_SECONDS: Final = 30.0
# After so many heartbeats of every worker, what they tell was written since: one may have been on its way.
ROUNDS: Final = 2
# Workers of spot machines die now and then; where it happens at one task in five, and more than a few times, nothing gets done.
MANY_DEATHS: Final = 8
DEATHS_SHARE: Final = 0.2


@dataclass(frozen=True)
class _ClusterCount:
    """What a scheduler tells of some tasks: how many are not done, and how often a worker died at one.

    ``written`` are the bytes that workers wrote in the scheduler's whole life; ``alone`` is whether nobody else writes now;
    ``at`` is the scheduler's time, and ``heard`` when the worker that is silent for longest told its bytes.
    """

    left: int
    died: int
    written: float
    alone: bool
    at: float = 0.0
    heard: float = 0.0


_NOTHING: Final = _ClusterCount(0, 0, 0.0, True)


class ClusterWatch:
    """How many tasks are left, and whether anybody works on them; ``wanted`` tells whether anybody waits for them."""

    def __init__(
        self, client: Any, keys: Sequence[Any], advance: Callable[[int, int], None], wanted: Callable[[], bool] | None = None
    ) -> None:
        self._client, self.names, self._advance = client, sorted({name_of(key) for key in keys}), advance
        self._wanted = wanted or (lambda: True)
        # Those with an index, in groups of their own; tasks of one name share a group with those of every other run.
        self._total, self._counted = len(keys), sum(isinstance(key, tuple) for key in keys)
        self._done, self._failures, self._first, self._last = 0, 0, _NOTHING, _NOTHING
        self._rounds, self._round_begun = 0, 0.0
        self._had_workers, self._idle_since, self._warned = False, monotonic(), set[str]()
        self._begun, self.pause, self._patience = monotonic(), LOOK_SECONDS, float(options().patience)
        self.workers: list[Any] = []
        self.address = str(client.scheduler.address)

    def begin(self) -> None:
        """Note what was written before, and whether there is a worker."""
        self._first = self._last = self._asked()
        self._round_begun = self._first.at
        self._look_for_workers()

    def look(self) -> None:
        """Announce what was done since, and stop waiting where nobody works, or nobody waits any more."""
        if not self._wanted():
            raise CancelledError("the task that waits for this was cancelled.")
        before, start = self._done, monotonic()
        self._advance_to(self._asked())
        self._look_for_workers()
        self.pause = max(LOOK_SECONDS, (monotonic() - start) / LOOK_SHARE)
        working = any(worker.get("status", "running") == "running" for worker in self.workers)
        self._check_deaths()
        if working or self._done != before or not self._had_workers:
            self._idle_since = monotonic()
        if not self._had_workers and monotonic() - self._begun > min(NOTICE_SECONDS, self._patience):
            # Of a batch system's queue, they may take hours.
            self._warn("waiting", f"no worker has joined the cluster at {self.address} yet; waiting for the first.")
        if monotonic() - self._idle_since > self._patience:
            raise NobodyWorksError(nobody(len(self.workers), self._patience))

    def finish(self) -> None:
        """Announce the rest; of bytes, what workers told until now."""
        self._advance_to(self._asked())
        self._advance(self._total - self._done, 0)

    def _look_for_workers(self) -> None:
        found = workers_of(self._client)
        self._had_workers = self._had_workers or bool(found)
        self.workers = found

    def _check_deaths(self) -> None:
        count = self._last.died - self._first.died
        if count:
            self._warn("died", f"{died(count, self.workers)} Their tasks are made again.")
        if count >= MANY_DEATHS and count > DEATHS_SHARE * self._done:
            raise NobodyWorksError(died(count, self.workers))

    def _warn(self, about: str, text: str) -> None:
        """Say it once."""
        if about not in self._warned:
            self._warned.add(about)
            warnings.warn(text, UserWarning, stacklevel=2)

    def _asked(self) -> _ClusterCount:
        """Return the scheduler's count; the last one where it cannot be asked."""
        if self._failures > MAX_FAILURES:
            return self._last
        try:
            return _ClusterCount(*self._client.run_on_scheduler(count_on_scheduler, self.names))
        except Exception:  # noqa: BLE001  (a gateway may forbid it; progress is then told at the end)
            self._failures += 1
            return self._last

    def _advance_to(self, now: _ClusterCount) -> None:
        if now is self._last:
            return
        fresh = int(now.written - self._last.written) if now.alone and self._rounds >= ROUNDS else 0
        self._count_rounds(now)
        done = min(self._counted, max(self._done, self._counted - now.left))
        self._advance(done - self._done, fresh)
        self._done, self._last = done, now


    def _count_rounds(self, now: _ClusterCount) -> None:
        """Count how often every worker has told its bytes since others wrote; what they tell late would pass for this run's.

        Until then bytes are not told, which the end makes good.
        """
        if not now.alone:
            self._rounds, self._round_begun = 0, now.at
        elif now.heard > self._round_begun:
            self._rounds, self._round_begun = self._rounds + 1, now.at
