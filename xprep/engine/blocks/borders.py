"""The borders of tiles: what the neighbours of a tile need of it, so that the tile need not wait until they are made.

With halos a tile is used by up to eight others. Kept whole for them, two rows of tiles are alive at once (13 of 16 tiles of
8 × 1024 × 1024, 210 MiB); with a copy of its borders, 3 % of it at 8 pixels, a tile goes when it is made itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from xprep.engine.graph.grid import Piece
from xprep.engine.graph.tasks import SKIPPED, is_skipped
from xprep.types import Array

Widths = tuple[int, int]  # how much of a block the blocks before it need, and the blocks after it


def border_widths(edges: Sequence[int], needs: Sequence[Sequence[Piece]]) -> list[Widths]:
    """Return for each block along an axis how much of its start and of its end others need.

    >>> border_widths((0, 4, 8), [(Piece(0, 0, 4, 0), Piece(1, 0, 1, 4)), (Piece(0, 3, 4, 0), Piece(1, 0, 4, 1))])
    [(0, 1), (1, 0)]
    """
    lengths = [stop - start for start, stop in pairwise(edges)]
    widths = [(0, 0)] * len(lengths)
    for own, parts in enumerate(needs):
        for part in parts:
            before, after = widths[part.index]
            if own < part.index:
                widths[part.index] = max(before, part.stop), after
            elif own > part.index:
                widths[part.index] = before, max(after, lengths[part.index] - part.start)
    return widths


@dataclass(frozen=True)
class Border:
    """How wide the strips are that are cut from a tile, at its start and at its end, along every axis."""

    widths: tuple[Widths, ...]

    def is_small(self, shape: Sequence[int]) -> bool:
        """Whether the strips are less than half the tile; if not, its neighbours may as well have it whole."""
        voxels = prod(shape)
        return 2 * sum(sum(widths) * (voxels // n) for widths, n in zip(self.widths, shape, strict=True)) < voxels

    def __call__(self, tile: Array) -> Any:
        """Return the strips of a tile, copied."""
        if is_skipped((tile,)):
            return SKIPPED
        strips = [
            Strip(axis, start, tile[(*(slice(None),) * axis, slice(start, stop))].copy())
            for axis, start, stop in self._spans(tile.shape)
        ]
        return Rim(tile.dtype, tuple(strips))

    def _spans(self, shape: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        for axis, ((before, after), n) in enumerate(zip(self.widths, shape, strict=True)):
            yield from ((axis, start, stop) for start, stop in ((0, before), (n - after, n)) if start < stop)


@dataclass(frozen=True, eq=False)
class Strip:
    """What lay in a tile from ``start`` on, along ``axis``."""

    axis: int
    start: int
    pixels: Array

    def part(self, region: tuple[slice, ...]) -> Array | None:
        """Return ``region`` of the tile, None where some of it is elsewhere."""
        wanted = region[self.axis]
        if wanted.start is None or wanted.start < self.start or wanted.stop > self.start + self.pixels.shape[self.axis]:
            return None
        here = slice(wanted.start - self.start, wanted.stop - self.start)
        return self.pixels[(*region[: self.axis], here, *region[self.axis + 1 :])]


@dataclass(frozen=True, eq=False)
class Rim:
    """Strips of a tile; taken like the tile itself, as long as one strip holds what is asked for."""

    dtype: np.dtype[Any]
    strips: tuple[Strip, ...]

    def __getitem__(self, region: tuple[slice, ...]) -> Array:
        """Return a part of the tile."""
        found = next((part for strip in self.strips if (part := strip.part(region)) is not None), None)
        if found is None:
            raise AssertionError(f"no strip holds {region}")
        return found
