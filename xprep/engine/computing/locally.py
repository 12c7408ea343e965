"""Computing in this process: on threads of its own, on somebody's pool, or by whatever dask's settings name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from threading import Event
from typing import Any, Final

import dask
import dask.threaded
from dask.callbacks import Callback
from dask.delayed import Delayed

from xprep.engine.machine.clients import chosen_scheduler, computes_alone
from xprep.engine.machine.memory import worker_threads
from xprep.engine.machine.private_dask import threads_of
from xprep.io.store.deadlines import WANTED

Advance = Callable[[int, int], None]
THREADS: Final = (None, "threads", "threading", dask.threaded.get)  # the ways to name dask's default


def compute_locally(values: Sequence[Delayed], advance: Advance, wanted: Callable[[], bool] | None = None) -> tuple[Any, ...]:
    """Compute ``values`` together; ``advance`` hears of every task that is done. None is begun any more if it is not ``wanted``.

    Raises
    ------
    CancelledError
        Nobody wants it any more.
    """

    def check(*_task: Any) -> None:
        if wanted is not None and not wanted():
            raise CancelledError("nobody waits for this any more.")

    with Callback(pretask=check, posttask=lambda _, result, *more: advance(1, _bytes_of(result))):
        chosen, pool = chosen_scheduler(), None if computes_alone() else dask.config.get("pool", None)
        # Asking dask which scheduler it would take imports distributed (0.3 s, 11 MiB), though no client is active here.
        if chosen in THREADS and pool is None:
            return _on_threads(values, wanted)
        if isinstance(chosen, Executor):
            return _on_pool(values, chosen)
        return _on_pool(values, pool) if chosen in THREADS and isinstance(pool, Executor) else _computed(values)


def _on_threads(values: Sequence[Delayed], wanted: Callable[[], bool] | None) -> tuple[Any, ...]:
    """Compute on threads of its own; after an error or Ctrl-C, tasks that were begun are finished before this returns.

    On dask's threads they would go on behind the caller's back, and write into a store that was given up. After an error their
    requests have a few seconds left: two that hang, begun one after the other, would else take two deadlines.
    """
    failed = Event()
    still = (lambda: not failed.is_set()) if wanted is None else (lambda: not failed.is_set() and wanted())
    pool = ThreadPoolExecutor(worker_threads(), initializer=WANTED.set, initargs=(still,))
    try:
        return _computed(values, scheduler=dask.threaded.get, pool=pool)
    except Exception:
        failed.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _on_pool(values: Sequence[Delayed], pool: Executor) -> tuple[Any, ...]:
    """Compute on somebody's pool, as `_on_threads`; the pool stays."""
    followed = _Followed(pool)
    try:
        return _computed(values, scheduler=followed)
    finally:
        for future in list(followed.begun):
            future.cancel()
        wait_for(list(followed.begun))


class _Followed(Executor):
    """An executor that knows which of its tasks are not done."""

    def __init__(self, pool: Executor) -> None:
        self._pool, self._max_workers = pool, threads_of(pool, worker_threads())
        self.begun: set[Future[Any]] = set()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Pass it on."""
        future = self._pool.submit(fn, *args, **kwargs)
        self.begun.add(future)
        future.add_done_callback(self.begun.discard)
        return future


def _computed(values: Sequence[Delayed], **how: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] = dask.compute(*values, optimize_graph=False, **how)
    return found


def _bytes_of(result: Any) -> int:
    """Return how many bytes a task wrote, if it was one that writes."""
    return int(getattr(result, "bytes_written", 0))
