"""Some ROIs' pixels in the one form that compiled loops take, and how they fall on a grid of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.types import Array

Ints = NDArray[np.int64]
Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RoiPixels:
    """Pixels of ROIs: weights in float64, positions in int64, ROI i at ``starts[i]:starts[i + 1]``."""

    lam: NDArray[np.float64]
    z: Ints
    y: Ints
    x: Ints
    starts: Ints

    def __len__(self) -> int:
        return self.starts.size - 1

    @property
    def rois(self) -> Ints:
        """The ROI of every pixel."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def space(self, ndim: int) -> tuple[Ints, ...]:
        """Return the positions along the axes in space: z, y, x, or y and x."""
        return (self.z, self.y, self.x)[3 - ndim :]


def take_ranges(starts: Ints, chosen: Ints) -> tuple[Ints, Ints]:
    """Return the positions of the ``chosen`` ROIs' pixels, one after another, and where each ROI starts there."""
    counts = np.diff(starts)[chosen]
    fresh = np.zeros(chosen.size + 1, np.int64)
    np.cumsum(counts, out=fresh[1:])
    return np.repeat(starts[chosen] - fresh[:-1], counts) + np.arange(fresh[-1]), fresh


def pixels_between(columns: Sequence[Array], starts: Ints, first: int, last: int) -> RoiPixels:
    """Return the pixels of ROIs ``first`` to ``last`` (exclusive); ``columns`` are lam, z, y, x."""
    span = slice(int(starts[first]), int(starts[last]))
    return _pixels([column[span] for column in columns], starts[first : last + 1] - starts[first])


def pixels_of(columns: Sequence[Array], starts: Ints, chosen: Ints) -> RoiPixels:
    """Return the pixels of the ``chosen`` ROIs, in that order."""
    where, fresh = take_ranges(starts, chosen)
    return _pixels([column[where] for column in columns], fresh)


def _pixels(columns: Iterable[Array], starts: Ints) -> RoiPixels:
    lam, *space = columns
    z, y, x = (np.ascontiguousarray(column, np.int64) for column in space)
    return RoiPixels(np.ascontiguousarray(lam, np.float64), z, y, x, starts)


@dataclass(frozen=True)
class BlockGrid:
    """Blocks in space: where they start, and where the last one ends, along each axis."""

    edges: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(edge[-1] for edge in self.edges)

    def block_of(self, axis: int, positions: Any) -> Ints:
        """Return the block that holds each of ``positions``."""
        if len(self.edges[axis]) == 2:
            return np.zeros(np.shape(positions), np.int64)
        return np.asarray(np.searchsorted(np.asarray(self.edges[axis]), positions, side="right") - 1, np.int64)

    def origin(self, index: Index) -> Index:
        """Return the first voxel of a block."""
        return tuple(edge[i] for edge, i in zip(self.edges, index, strict=True))

    def extent(self, index: Index) -> tuple[int, ...]:
        """Return the shape of a block."""
        return tuple(edge[i + 1] - edge[i] for edge, i in zip(self.edges, index, strict=True))

    def flat_blocks(self, places: Sequence[Ints]) -> Ints:
        """Return the number of the block (in raster order) that holds each pixel."""
        flat = np.zeros(places[0].size, np.int64)
        for axis, positions in enumerate(places):
            flat = flat * (len(self.edges[axis]) - 1) + self.block_of(axis, positions)
        return flat

    def unravel(self, number: int) -> Index:
        """Return the index of the block with this number."""
        return tuple(int(i) for i in np.unravel_index(number, [len(edge) - 1 for edge in self.edges]))

    def touches(self, low: Sequence[Ints], high: Sequence[Ints]) -> tuple[Ints, Ints]:
        """Return which boxes of voxels, ``low`` to ``high`` (inclusive; clipped to the grid), touch which blocks.

        Boxes and blocks are numbers, one of each for every touch.
        """
        lows = [np.maximum(a, 0) for a in low]
        highs = [np.minimum(b, n - 1) for b, n in zip(high, self.shape, strict=True)]
        inside = np.flatnonzero(np.all([a <= b for a, b in zip(lows, highs, strict=True)], axis=0))
        sides = [(axis, end[inside]) for axis, ends in enumerate(zip(lows, highs, strict=True)) for end in ends]
        counts = [len(edge) - 1 for edge in self.edges for _ in range(2)]
        # Boxes that touch the same blocks are one kind, and have one number: kinds are few, boxes may be millions.
        kinds = np.ravel_multi_index([self.block_of(axis, end) for axis, end in sides], counts)
        order = np.argsort(kinds, kind="stable")
        boxes, blocks = [], []
        for some in np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1):
            if some.size:
                found = self._blocks_of_kind(np.unravel_index(kinds[some[0]], counts))
                boxes.append(np.repeat(inside[some], found.size))
                blocks.append(np.tile(found, some.size))
        return _joined(boxes), _joined(blocks)

    def _blocks_of_kind(self, ends: Sequence[Any]) -> Ints:
        spans = [np.arange(first, last + 1) for first, last in zip(ends[::2], ends[1::2], strict=True)]
        shape = [len(edge) - 1 for edge in self.edges]
        return np.asarray(np.ravel_multi_index(np.meshgrid(*spans, indexing="ij"), shape), np.int64).reshape(-1)

    def between(self, low: Sequence[Ints], high: Sequence[Ints]) -> set[Index]:
        """Return the blocks that boxes of voxels ``low`` to ``high`` (inclusive; clipped to the grid) touch."""
        return {self.unravel(number) for number in np.unique(self.touches(low, high)[1]).tolist()}


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def group_by_block(pixels: RoiPixels, grid: BlockGrid) -> list[tuple[Index, Ints]]:
    """Return the blocks that hold pixels, each with the positions of its pixels in the columns, ROI by ROI."""
    if all(len(edge) == 2 for edge in grid.edges):
        whole = (0,) * len(grid.edges)
        return [(whole, np.arange(pixels.lam.size))] if pixels.lam.size else []
    flat = grid.flat_blocks(pixels.space(len(grid.edges)))
    # numpy sorts 16-bit integers by radix, in one sweep; there are rarely more blocks than that.
    small = flat.astype(np.uint16) if flat.size and flat.max() < 2**16 else flat
    order = np.argsort(small, kind="stable")
    ordered = flat[order]
    cuts = np.flatnonzero(np.diff(ordered)) + 1
    return [(grid.unravel(int(flat[part[0]])), part) for part in np.split(order, cuts) if part.size]
