"""Which ROIs are worked on together, so that every block of an image is read once and let go at once.

A ROI whose pixels and window lie in one block is measured where that block is read. From the others each block cuts its
part, of which they are put together: else blocks would wait for their neighbours, a quarter of the image at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from xprep.engine.graph.grid import starts
from xprep.engine.running.roi_blocks import Visit, merge_rows, visit_blocks
from xprep.rois.images.crops import boxes_of, check_planes, crop_blocks
from xprep.rois.images.measuring import FEATURES, Floats, MeasureHow, measure, sum_pixels
from xprep.rois.table.flat_pixels import BlockGrid, Index, Ints, RoiPixels, take_ranges
from xprep.rois.table.roi_table import RoiTable
from xprep.rois.table.window_centers import Centers, centers_of
from xprep.types import Array

GROUP = 512  # ROIs a task: enough to pay for it, few enough that 2000 ROIs of one small plane keep two threads busy


def measure_rois(image: Any, rois: RoiTable, how: MeasureHow, ndim: int) -> Any:
    """Return the lazy features, (roi, leading…, feature), of an image whose last ``ndim`` axes are space."""
    leading = image.ndim - ndim
    grid = BlockGrid(tuple(starts(lengths) for lengths in image.chunks[leading:]))
    centers = centers_of(rois)
    if not how.window.volumetric:
        check_planes(centers, how.depth)
    touches = Touches.of(rois.pixels(), centers, how, grid)
    groups = touches.groups()
    visits = [_visit(chosen, touches, rois, centers, how, grid) for chosen in groups]
    cuts = {
        grid.unravel(block): _CutWindows(some, rois.pixels_of(some), centers.of(some), grid.origin(grid.unravel(block)), how)
        for block, some in touches.shared()
    }
    token = (rois.fingerprint, how.token)
    rows = visit_blocks(image, leading, visits, (len(FEATURES),), np.float64, token, cuts)
    return merge_rows(rows, np.concatenate(groups))


@dataclass(frozen=True, eq=False)
class Touches:
    """Which ROIs touch which blocks, by their pixels or windows: a ROI and a block for every touch, in order."""

    count: int
    rois: Ints
    blocks: Ints

    @classmethod
    def of(cls, pixels: RoiPixels, centers: Centers, how: MeasureHow, grid: BlockGrid) -> Touches:
        """Return the touches of ROIs and their windows on a grid of blocks."""
        places = pixels.space(len(grid.edges))
        some, blocks = grid.touches(*boxes_of(centers, how.window, grid))
        number = int(np.prod([len(edge) - 1 for edge in grid.edges]))
        pairs = np.concatenate([some * number + blocks, pixels.rois * number + grid.flat_blocks(places)])
        return cls(len(centers), *np.divmod(np.unique(pairs), number))

    @cached_property
    def times(self) -> Ints:
        """How many blocks each ROI touches."""
        return np.bincount(self.rois, minlength=self.count)

    @cached_property
    def edges(self) -> Ints:
        """Where the touches of each ROI begin, and where the last one's end."""
        return np.concatenate([[0], np.cumsum(self.times)]).astype(np.int64)

    def of_rois(self, chosen: Ints) -> Ints:
        """Return the blocks that the ``chosen`` ROIs touch."""
        return np.unique(self.blocks[take_ranges(self.edges, chosen)[0]])

    def groups(self) -> list[Ints]:
        """Return all ROIs in groups: of one first block each, and of one block only or of several."""
        several = self.times > 1
        home = np.zeros(self.count, np.int64)
        home[self.rois[::-1]] = self.blocks[::-1]  # the first of each ROI's blocks is written last
        order = np.lexsort((several, home))
        kinds = home[order] * 2 + several[order]
        parts = np.split(order, np.flatnonzero(np.diff(kinds)) + 1)
        return [part[i : i + GROUP] for part in parts for i in range(0, max(1, part.size), GROUP)]

    def shared(self) -> list[tuple[int, Ints]]:
        """Return the blocks with a part of a ROI that touches others too, and these ROIs."""
        several = (self.times > 1)[self.rois]
        rois, blocks = self.rois[several], self.blocks[several]
        order = np.argsort(blocks, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1)
        return [(int(blocks[part[0]]), rois[part]) for part in parts if part.size]


def _visit(chosen: Ints, touches: Touches, rois: RoiTable, centers: Centers, how: MeasureHow, grid: BlockGrid) -> Visit:
    blocks = tuple(grid.unravel(number) for number in touches.of_rois(chosen).tolist())
    pixels, part = rois.pixels_of(chosen), centers.of(chosen)
    if len(blocks) > 1:
        return Visit(_Joined(chosen, pixels, part, how), blocks, chosen.size, cut=True)
    return Visit(_InsideGroup(pixels, part, tuple(map(grid.origin, blocks)), how), blocks, chosen.size)


@dataclass(frozen=True, eq=False)
class _InsideGroup:
    """The features of ROIs that touch one block only (or none)."""

    pixels: RoiPixels
    centers: Centers
    origins: tuple[Index, ...]
    how: MeasureHow

    def __call__(self, blocks: Sequence[Array], leading: tuple[int, ...]) -> Array:
        def crop(rows: slice) -> Array:
            some = self.centers.between(rows.start, rows.stop)
            return crop_blocks(blocks, self.origins, some, self.how.window, leading, self.how.depth)

        sums = np.zeros((int(np.prod(leading)), len(self.centers)))
        for block, origin in zip(blocks, self.origins, strict=True):
            sums += sum_pixels(self.pixels, block, origin)
        return measure(self.pixels, self.centers, self.how, crop, sums, leading)


class WorkGroup(NamedTuple):
    """What one block gives to ROIs that touch others too: their windows, 0 outside the block, and their sums."""

    rois: Ints
    crops: Array
    sums: Floats


@dataclass(frozen=True, eq=False)
class _CutWindows:
    """Cuts from one block its parts of ``rois``."""

    rois: Ints
    pixels: RoiPixels
    centers: Centers
    origin: Index
    how: MeasureHow

    def __call__(self, block: Array) -> WorkGroup:
        leading = block.shape[: block.ndim - len(self.origin)]
        crops = crop_blocks([block], [self.origin], self.centers, self.how.window, leading, self.how.depth)
        return WorkGroup(self.rois, crops, sum_pixels(self.pixels, block, self.origin))


@dataclass(frozen=True, eq=False)
class _Joined:
    """The features of ROIs that touch several blocks, from the parts of each."""

    rois: Ints
    pixels: RoiPixels
    centers: Centers
    how: MeasureHow

    def __call__(self, parts: Sequence[WorkGroup], leading: tuple[int, ...]) -> Array:
        crops = np.zeros((self.rois.size, *leading, *self.how.window.tail(self.how.depth)), self.how.window.dtype)
        sums = np.zeros((int(np.prod(leading)), self.rois.size))
        order = np.argsort(self.rois)
        for part in parts:
            mine = np.isin(part.rois, self.rois)
            where = order[np.searchsorted(self.rois, part.rois[mine], sorter=order)]
            crops[where] += part.crops[mine]  # blocks do not overlap: every other part is 0 here
            sums[:, where] += part.sums[:, mine]
        return measure(self.pixels, self.centers, self.how, crops.__getitem__, sums, leading)
