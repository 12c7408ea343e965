"""Levels that are given: each is written by itself, all in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.graph import call
from xprep.engine.ledger import Ledger
from xprep.engine.seen import Seen, join_seen
from xprep.engine.write import Target, write
from xprep.types import Array, Writable


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
        alone = [Target(target, (1,) * level.ndim)]
        seen = write(level, alone, _no_shrink, channel, ledger if n == 0 else None)
        written.append(seen if n == 0 else call(_OfLevel(n), seen, label="level"))
    return call(_together, *written, label="levels")


def _no_shrink(_block: Array, _factors: tuple[int, ...]) -> Array:
    raise AssertionError("a level that stands alone has no next one")


@dataclass(frozen=True)
class _OfLevel:
    """Says which level it was that stood alone."""

    level: int

    def __call__(self, seen: Seen) -> Seen:
        return Seen({}, seen.nbytes, seen.units, {self.level: seen.stored[0]} if seen.stored else {})


def _together(*seen: Seen) -> Seen:
    return join_seen(seen)
