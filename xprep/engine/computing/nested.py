"""Computing within a task: on the cluster that the task belongs to, or on threads beside the one that it holds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Lock, get_ident
from time import monotonic
from typing import Any, Final, TypeAlias

import dask
from dask.delayed import Delayed
from dask.local import get_async

from xprep.engine.computing.locally import compute_locally
from xprep.engine.computing.waiting import compute_on_cluster
from xprep.engine.machine.clients import task_key
from xprep.io.store.deadlines import WANTED

Compute: TypeAlias = Callable[[Sequence[Delayed]], tuple[Any, ...]]
LOOK_SECONDS: Final = 0.5
# Of all tasks of this process that compute, one does at a time: each has as many threads as there shall be.
_TURN: Final = Lock()


@contextmanager
def computing_in_task() -> Iterator[Compute]:
    """Yield what computes lazy values within the task that this is called in.

    Yields
    ------
    callable
        It raises `CancelledError` when whoever computes the task does not wait for it any more: after Ctrl-C, tasks that
        dask's threads have begun go on behind its back.
    """
    if task_key() is not None:
        yield partial(compute_on_cluster, advance=_ignore)
        return
    wanted = _CallerWaits()
    while not _TURN.acquire(timeout=LOOK_SECONDS):
        wanted.check()
    try:
        with dask.config.set(scheduler="sync") if wanted.is_same_thread else nullcontext():
            yield partial(compute_locally, advance=_ignore, wanted=wanted)
    finally:
        _TURN.release()


class _CallerWaits:
    """Whether any thread that ran one of dask's loops when this was made still runs one."""

    def __init__(self) -> None:
        self._callers, self._before = _threads_in_dask(), WANTED.get()
        self._asked, self._answer = monotonic(), True
        self.is_same_thread = get_ident() in self._callers

    def __call__(self) -> bool:
        if self._answer and monotonic() > self._asked + LOOK_SECONDS:
            self._answer = self._before() and (not self._callers or bool(self._callers & _threads_in_dask()))
            self._asked = monotonic()
        return self._answer

    def check(self) -> None:
        """Raise if nobody waits."""
        if not self():
            raise CancelledError("nobody waits for this any more.")


def _threads_in_dask() -> set[int]:
    """Return the threads of this process that are in dask's loop over the tasks of a graph."""
    found = set()
    for thread, innermost in sys._current_frames().items():
        frame = innermost
        while frame is not None:
            if frame.f_code is get_async.__code__:
                found.add(thread)
                break
            frame = frame.f_back  # type: ignore[assignment]
    return found


def _ignore(_steps: int, _nbytes: int) -> None:
    """Tell nobody."""
