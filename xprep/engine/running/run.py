"""Running graphs: on threads, or on the cluster of an active client; listeners are told of progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from dask.delayed import Delayed

from xprep.engine.filling.summaries import Seen
from xprep.engine.running.driving import Told, compute, drive_all, known_value
from xprep.engine.running.optimizing import optimized
from xprep.types import Listener


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


def run(values: Sequence[Delayed], stage: str, listener: Listener | None = None) -> tuple[tuple[Any, ...], Run]:
    """Compute lazy ``values`` together; ``listener`` hears of the tasks that are done.

    An active distributed client is used if there is one, else dask's own choice of scheduler: threads by default. Work of many
    tiles is done first, in portions, from this thread, each under its own name.
    """
    start, told = perf_counter(), Told(listener or Silent())
    left, tiles = drive_all(values, told) if values else ([], 0)
    known = [known_value(value) for value in left]
    if tiles and None not in known:
        return tuple(one[0] for one in known if one is not None), Run(perf_counter() - start, tiles)
    ready = optimized(left)
    tasks = len(ready[0].dask) if ready else 0
    told.announce.started(stage, tasks)
    results = compute(ready, partial(told.advance, stage))
    # A writing that was fused with what follows told nothing; nor did workers, since their last heartbeat.
    written = sum(result.nbytes - result.before for result in results if isinstance(result, Seen))
    told.advance(stage, 0, max(0, written - told.nbytes))
    told.announce.finished(stage)
    return results, Run(perf_counter() - start, tiles + tasks)
