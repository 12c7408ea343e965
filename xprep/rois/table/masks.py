"""Lazy masks of a ROI table: whole planes or windows, made block by block when they are used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import prod
from operator import getitem
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xprep.arguments import check_number, check_whole
from xprep.engine.graph.grid import regular, starts
from xprep.engine.running.roi_blocks import assembled, build_blocks
from xprep.kernels.rois import allocate_zeros, fill_pixels
from xprep.naming import named
from xprep.options import options
from xprep.rois.table.flat_pixels import RoiPixels
from xprep.rois.table.offsets import fill_windows, flat_offsets
from xprep.rois.table.window_centers import Centers, centers_of, check_width
from xprep.switches import check_switch
from xprep.types import Array, Chunks

if TYPE_CHECKING:
    from xprep.rois.table.ragged_columns import RaggedPixels

MAX_SIDE = 4096  # planes up to this side stay whole: a block then holds one ROI of 64 MiB


def build_masks(table: RaggedPixels, shape: tuple[int, ...], volumetric: bool) -> xr.DataArray:
    """Return the lazy masks of `RoiTable.masks`.

    Raises
    ------
    ValueError
        A ROI outside ``shape``, or another number of axes.
    """
    volumetric = check_switch(volumetric, "volumetric")
    dims = ("z", "y", "x") if volumetric else ("y", "x")
    if len(shape) != len(dims) or 0 in shape:
        raise ValueError(f"shape needs {len(dims)} lengths {dims}, each 1 or more; got {shape}.")
    lengths = dict(zip(dims, shape, strict=True))
    table.check_inside(lengths if volumetric else {"z": 2**31, **lengths}, f"a mask of {tuple(lengths.values())}")
    space = tuple(lengths.values())
    rows = _rows(len(table), 4 * prod(min(n, MAX_SIDE) for n in space))
    chunks = (rows, *(regular(n, MAX_SIDE) for n in space))
    functions = {}
    edges = [starts(lengths) for lengths in chunks]
    for row in range(len(rows)):
        pixels = table.pixels(edges[0][row], edges[0][row + 1])
        for index in np.ndindex(*(len(lengths) for lengths in chunks[1:])):
            region = tuple((edge[i], edge[i + 1]) for edge, i in zip(edges[1:], index, strict=True))
            functions[row, *index] = _Mask(pixels, region)
    data = assembled(build_blocks(functions, chunks, np.float32, table.fingerprint), _Assemble(chunks))
    placed = {dim: axis for dim, axis in table.placement.items() if dim in dims and axis.pixel_size is not None}
    coords = {dim: axis.coordinate(lengths[dim], dim) for dim, axis in placed.items()}
    return xr.DataArray(data, dims=("roi", *dims), coords={"roi": table.names, **coords}, name="masks")


def _rows(count: int, nbytes: int) -> tuple[int, ...]:
    """Return how many ROIs each block holds, if one takes ``nbytes``: about ``tile_bytes`` a block."""
    return regular(count, max(1, options().tile_bytes // nbytes))


@dataclass(frozen=True, eq=False)
class _Mask:
    pixels: RoiPixels
    region: tuple[tuple[int, int], ...]

    def __call__(self) -> Array:
        shape = (len(self.pixels), *(stop - start for start, stop in self.region))
        places = self.pixels.space(len(self.region))
        inside = np.all([(a <= p) & (p < b) for p, (a, b) in zip(places, self.region, strict=True)], axis=0)
        local = [place[inside] - start for place, (start, _) in zip(places, self.region, strict=True)]
        index, lam = (self.pixels.rois[inside], *local), self.pixels.lam[inside]
        block = fill_pixels(allocate_zeros(shape, np.float32), flat_offsets(list(index), shape), lam).view(_MaskBlock)
        block.written = index, lam
        return block


class _MaskBlock(np.ndarray):
    """Masks that remember what was written to their zeros; nothing that is made of them does."""

    written: tuple[tuple[Array, ...], Array] | None = None


@named("assemble-masks")
@dataclass(frozen=True)
class _Assemble:
    """All masks in one array, of which only the pages that ROIs touch are in memory."""

    chunks: Chunks

    def __call__(self, blocks: Any) -> Array:
        whole = allocate_zeros([sum(lengths) for lengths in self.chunks], np.float32)
        edges = [starts(lengths) for lengths in self.chunks]
        for index in np.ndindex(*map(len, self.chunks)):
            block = reduce(getitem, index, blocks)
            part = whole[tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(edges, index, strict=True))]
            if (written := getattr(block, "written", None)) is None:  # it was sent here by another process
                part[...] = block
            else:
                part[written[0]] = written[1]
        return whole


def build_centered_masks(
    table: RaggedPixels, width: int, fill_value: float, volumetric: bool, num_planes: int | None
) -> xr.DataArray:
    """Return the lazy windows of `RoiTable.centered_masks`.

    Raises
    ------
    ValueError
        A negative width, or a voxel beyond ``num_planes``.
    """
    volumetric = check_switch(volumetric, "volumetric")
    width, fill_value = check_width(width), check_number(fill_value, "fill_value")
    if num_planes is not None:
        num_planes = check_whole(num_planes, "num_planes", 1, also=", or None")
    highest = -1 if table.summary["z"] is None else table.summary["z"][1]
    depth = (highest + 1 if num_planes is None else num_planes) if volumetric else None
    if depth is not None and depth <= highest:
        raise ValueError(f"there are {depth} planes, but ROIs reach plane {highest}; num_planes must be {highest + 1} or more.")
    side = 2 * width + 1
    window = (side, side) if depth is None else (depth, side, side)
    rows = _rows(len(table), 4 * max(1, prod(window)))
    edges = starts(rows)
    centers = centers_of(table)
    functions = {
        (row, *(0,) * len(window)): _Windows(table.pixels(a, b), centers.between(a, b), width, fill_value, depth)
        for row, (a, b) in enumerate(pairwise(edges))
    }
    chunks = (rows, *((n,) for n in window))
    data = build_blocks(functions, chunks, np.float32, (table.fingerprint, width, fill_value))
    offsets = np.arange(-width, width + 1)
    dims = ("roi", "dy", "dx") if depth is None else ("roi", "z", "dy", "dx")
    return xr.DataArray(data, dims=dims, coords={"roi": table.names, "dy": offsets, "dx": offsets}, name="centered_masks")


@dataclass(frozen=True, eq=False)
class _Windows:
    pixels: RoiPixels
    centers: Centers
    width: int
    fill_value: float
    depth: int | None

    def __call__(self) -> Array:
        return windows_of(self.pixels, self.centers, self.width, self.fill_value, self.depth)


def windows_of(pixels: RoiPixels, centers: Centers, width: int, fill_value: float, depth: int | None) -> Array:
    """Return the windows of some ROIs about their centers."""
    places = (pixels.z, pixels.y, pixels.x)
    return fill_windows(pixels.lam, pixels.rois, places, centers, width, fill_value, depth)
