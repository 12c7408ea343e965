"""Running graphs: on threads, or on the cluster of an active client; listeners are told of progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from threading import Event
from time import perf_counter
from typing import Any

import dask
import dask.threaded
from dask.array.optimization import optimize
from dask.callbacks import Callback
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from xprep.engine.filling.summaries import Seen
from xprep.engine.filling.write import WrittenTile
from xprep.engine.machine.clients import chosen_scheduler, computes_alone, working_client
from xprep.engine.machine.memory import worker_threads
from xprep.engine.machine.private_dask import threads_of
from xprep.engine.running.waiting import compute_on_cluster
from xprep.io.store.deadlines import WANTED
from xprep.types import Listener

Advance = Callable[[int, int], None]
THREADS = (None, "threads", "threading", dask.threaded.get)  # the ways to name dask's default


@dataclass(frozen=True)
class Run:
    """How a run went."""

    seconds: float
    tasks: int


class Silent:
    """A listener that does nothing."""

    def started(self, stage: str, total: int) -> None:
        """Do nothing."""

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Do nothing."""

    def finished(self, stage: str) -> None:
        """Do nothing."""


def optimized(values: Sequence[Delayed]) -> list[Delayed]:
    """Return ``values`` over one culled and fused graph: what dask does for arrays, and not for delayed values."""
    if not values:
        return []
    keys = [value.key for value in values]
    # A dict: with dask's fusing switched off, `optimize` returns layers, and none has the name of a value.
    graph = dict(optimize(HighLevelGraph.merge(*(value.dask for value in values)), keys))
    return [Delayed(key, graph) for key in keys]


def run(values: Sequence[Delayed], stage: str, listener: Listener | None = None) -> tuple[tuple[Any, ...], Run]:
    """Compute lazy ``values`` together; ``listener`` hears of the tasks that are done.

    An active distributed client is used if there is one, else dask's own choice of scheduler: threads by default.
    """
    start = perf_counter()
    ready = optimized(values)
    total = len(ready[0].dask) if ready else 0
    announce: Listener = listener or Silent()
    announce.started(stage, total)
    compute = _here if working_client() is None else compute_on_cluster
    told = 0

    def advance(steps: int, nbytes: int) -> None:
        nonlocal told
        told += nbytes
        announce.advanced(stage, steps, nbytes)

    results = compute(ready, advance)
    # A writing that was fused with what follows told nothing; nor did workers, since their last heartbeat.
    written = sum(result.nbytes - result.before for result in results if isinstance(result, Seen))
    announce.advanced(stage, 0, max(0, written - told))
    announce.finished(stage)
    return results, Run(perf_counter() - start, total)


def _here(values: Sequence[Delayed], advance: Advance) -> tuple[Any, ...]:
    with Callback(posttask=lambda _, result, *more: advance(1, _bytes_of(result))):
        chosen, pool = chosen_scheduler(), None if computes_alone() else dask.config.get("pool", None)
        # Asking dask which scheduler it would take imports distributed (0.3 s, 11 MiB), though no client is active here.
        if chosen in THREADS and pool is None:
            return _on_threads(values)
        if isinstance(chosen, Executor):
            return _on_pool(values, chosen)
        return _on_pool(values, pool) if chosen in THREADS and isinstance(pool, Executor) else _computed(values)


def _on_threads(values: Sequence[Delayed]) -> tuple[Any, ...]:
    """Compute on threads of its own; after an error or Ctrl-C, tasks that were begun are finished before this returns.

    On dask's threads they would go on behind the caller's back, and write into a store that was given up. After an error their
    requests have a few seconds left: two that hang, begun one after the other, would else take two deadlines.
    """
    failed = Event()
    pool = ThreadPoolExecutor(worker_threads(), initializer=WANTED.set, initargs=(lambda: not failed.is_set(),))
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
    return result.nbytes if isinstance(result, WrittenTile) else 0
