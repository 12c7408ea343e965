"""Levels that are given: each is written by itself, all in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.filling.ledger import Ledger
from xprep.engine.filling.summaries import Seen, together
from xprep.engine.filling.write import write_alone
from xprep.engine.graph.tasks import call
from xprep.naming import named
from xprep.types import Writable


def write_apart(
    levels: Sequence[da.Array], arrays: Sequence[Writable], channel: int | None, ledger: Ledger | None = None
) -> Delayed:
    """Return the lazy writing of every one of ``levels`` to its own array; ``ledger`` is the first one's.

    Returns
    -------
    Delayed
        `Seen`, as of `write`: of the first level's pixels, and of what was written of all.
    """
    written = []
    for n, (level, target) in enumerate(zip(levels, arrays, strict=True)):
        seen = write_alone(level, target, channel, ledger if n == 0 else None, shared=len(levels) > 1)
        written.append(seen if n == 0 else call(_OfLevel(n), seen, label="level"))
    return call(together, *written, label="levels")


@named("written-level")
@dataclass(frozen=True)
class _OfLevel:
    """Says which level it was that stood alone."""

    level: int

    def __call__(self, seen: Seen) -> Seen:
        return replace(seen, channels={}, stored={self.level: seen.stored[0]} if seen.stored else {})
