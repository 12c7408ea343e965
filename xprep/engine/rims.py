"""The borders of tiles: what the neighbours of a tile need of it, so that the tile need not wait until they are made.

With halos a tile is used by up to eight others. Kept whole for them, two rows of tiles are alive at once (13 of 16 tiles of
8 × 1024 × 1024, 210 MiB); with a copy of its borders, 3 % of it at 8 pixels, a tile goes when it is made itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from xprep.engine.graph import SKIPPED, is_skipped
from xprep.engine.grid import Piece
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
    """How wide the strips are that are cut from a tile: its first and last rows, its first and last columns."""

    rows: Widths
    columns: Widths

    def is_small(self, height: int, width: int) -> bool:
        """Whether the strips are less than half the tile; if not, its neighbours may as well have it whole."""
        return 2 * (sum(self.rows) * width + sum(self.columns) * height) < height * width

    def __call__(self, tile: Array) -> Any:
        """Return the strips of a tile, copied."""
        if is_skipped((tile,)):
            return SKIPPED
        height, width = tile.shape[-2:]
        (top, bottom), (left, right) = self.rows, self.columns
        everywhere = (0, height), (0, width)
        spans = (
            ((0, top), everywhere[1]),
            ((height - bottom, height), everywhere[1]),
            (everywhere[0], (0, left)),
            (everywhere[0], (width - right, width)),
        )
        return Rim(tile.dtype, {span: tile[..., slice(*span[0]), slice(*span[1])].copy() for span in spans})


@dataclass(frozen=True, eq=False)
class Rim:
    """Strips of a tile, by where they lay in it; taken like the tile itself, as long as one strip holds what is asked for."""

    dtype: np.dtype[Any]
    strips: Mapping[tuple[tuple[int, int], tuple[int, int]], Array]

    def __getitem__(self, region: tuple[slice, ...]) -> Array:
        """Return a part of the tile."""
        *lead, rows, columns = region
        for (down, across), strip in self.strips.items():
            if down[0] <= rows.start and rows.stop <= down[1] and across[0] <= columns.start and columns.stop <= across[1]:
                part = (
                    slice(rows.start - down[0], rows.stop - down[0]),
                    slice(columns.start - across[0], columns.stop - across[0]),
                )
                return strip[(*lead, *part)]
        raise AssertionError(f"no strip holds rows {rows} and columns {columns}")
