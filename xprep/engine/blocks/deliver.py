"""From tiles to the blocks that the user expects, without copies; and back to tiles, for the writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.graph.grid import pieces, starts
from xprep.engine.graph.tasks import BlockTasks, array_of, origin_of, unique
from xprep.engine.sources.axes import in_order
from xprep.types import Array, Chunks


@dataclass(frozen=True, eq=False)
class Made:
    """What a delivered array remembers: its tiles, its axes, the statistics it was made with, and what is to be kept of these."""

    tiles: da.Array
    axes: tuple[int, ...]
    statistics: dict[str, Delayed]
    plan: Any = None
    about: Any = None


def deliver(
    tiles: da.Array,
    axes: Sequence[int],
    chunks: Chunks,
    statistics: dict[str, Delayed] | None = None,
    plan: Any = None,
    about: Any = None,
) -> da.Array:
    """Return ``tiles`` cut to ``chunks``, its axes in the order ``axes``; blocks are views of their tile.

    ``chunks`` are in the new order, and each block lies in one tile (or is assembled by dask where it does not).
    Axes of length 1 that ``axes`` leaves out are dropped.
    """
    nested = [_nested(tiles.chunks[axis], chunks[i]) for i, axis in enumerate(axes)]
    if any(places is None for places in nested):
        moved = deliver(tiles, axes, tuple(tiles.chunks[axis] for axis in axes), statistics, plan, about)
        return moved.rechunk(chunks, method="tasks")
    name = unique("deliver", tiles.name, tuple(axes), chunks)
    make = _MakeCut(tiles.name, tiles.ndim, tuple(axes), tuple(tuple(places or ()) for places in nested))
    tasks = BlockTasks(name, [len(lengths) for lengths in chunks], make)
    return array_of(name, tasks, chunks, tiles.dtype, [tiles], Made(tiles, tuple(axes), statistics or {}, plan, about))


def _nested(tile: Sequence[int], blocks: Sequence[int]) -> list[tuple[int, slice]] | None:
    """Return for every block the tile that holds it and the part it is, or None where one straddles two tiles."""
    edges, bounds = starts(tile), starts(blocks)
    places = []
    for start, stop in pairwise(bounds):
        found = pieces(edges, start, stop)
        if len(found) != 1:
            return None
        places.append((found[0].index, slice(found[0].start, found[0].stop)))
    return places


@dataclass(frozen=True, eq=False)
class _MakeCut:
    """Makes the task that cuts one block out of its tile; ``places`` are, by axis and block, the tile and the part of it."""

    tiles: str
    ndim: int
    axes: tuple[int, ...]
    places: tuple[tuple[tuple[int, slice], ...], ...]

    def __call__(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        tile, cut = [0] * self.ndim, [slice(None)] * self.ndim
        for axis, places, i in zip(self.axes, self.places, index, strict=True):
            tile[axis], cut[axis] = places[i]
        return (_CutBlock(tuple(cut), self.axes), (self.tiles, *tile))


@dataclass(frozen=True, eq=False)
class _CutBlock:
    cut: tuple[slice, ...]
    axes: tuple[int, ...]

    def __call__(self, tile: Array) -> Array:
        return in_order(tile[self.cut], self.axes)


def made_of(array: Any) -> Made | None:
    """Return how ``array`` was made, if it is a delivered one; what is in memory is not."""
    origin = origin_of(array) if isinstance(array, da.Array) else None
    return origin if isinstance(origin, Made) else None
