"""Blocks of lazy images: each is computed once, kept while there is room, and given up when nobody waits for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from xprep.engine.machine.memory import local_threads
from xprep.engine.running.regions import UnwantedError
from xprep.types import Array

LOOK_SECONDS: Final = 0.2  # how often somebody who waits is asked whether he still does

Wanted = Callable[[], bool]


@dataclass(eq=False)
class _Job:
    """A block that is being computed, and how many wait for it."""

    waiting: int = 0
    future: Future[Array] | None = None


class BlockCache:
    """Blocks by key, those used last, in at most so many bytes; computed on threads of its own.

    Parameters
    ----------
    limit : int
        Bytes that kept blocks may occupy together.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.computed, self.given_up = limit, 0, 0
        self._blocks: OrderedDict[Hashable, Array] = OrderedDict()
        self._jobs: dict[Hashable, _Job] = {}
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(local_threads(), thread_name_prefix="xprep-view")

    def get(self, key: Hashable, make: Callable[[Wanted], Array], is_wanted: Wanted) -> Array:
        """Return a block: a kept one, or what ``make(wanted)`` returns; whoever asks for it meanwhile waits for the same.

        Raises
        ------
        UnwantedError
            ``is_wanted()`` became false. When nobody waits any more, ``make`` hears of it by its own ``wanted``.
        """
        with self._lock:
            if (found := self._blocks.get(key)) is not None:
                self._blocks.move_to_end(key)
                return found
            job = self._jobs.setdefault(key, _Job())
            job.waiting += 1  # before it begins, which looks at this first of all
            if job.future is None:
                job.future = self._pool.submit(self._make, key, job, make)
        try:
            return self._result(job, is_wanted)
        finally:
            with self._lock:
                job.waiting -= 1
                if not job.waiting:
                    self._forget(key, job)

    def close(self) -> None:
        """Give up what is being computed, and forget all."""
        with self._lock:
            for job in self._jobs.values():
                job.waiting = 0
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._blocks.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks that are kept."""
        return sum(block.nbytes for block in self._blocks.values())

    @staticmethod
    def _result(job: _Job, is_wanted: Wanted) -> Array:
        future: Any = job.future
        while not wait([future], timeout=LOOK_SECONDS).done:
            if not is_wanted():
                raise UnwantedError("the page asks for it no more")
        return future.result()  # type: ignore[no-any-return]

    def _forget(self, key: Hashable, job: _Job) -> None:
        if self._jobs.get(key) is job:
            del self._jobs[key]
        if job.future is not None and not job.future.done():
            job.future.cancel()  # one that has begun looks at `waiting`
            self.given_up += 1

    def _make(self, key: Hashable, job: _Job, make: Callable[[Wanted], Array]) -> Array:
        block = make(lambda: job.waiting > 0)
        with self._lock:
            self.computed += 1
            self._blocks[key] = block
            held = self.nbytes
            while held > self.limit:
                held -= self._blocks.popitem(last=False)[1].nbytes
        return block
