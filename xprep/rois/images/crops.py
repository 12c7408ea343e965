"""Windows cut from an image, from those blocks only that they touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.provenance import kept_coords
from xprep.engine.blocks.tiling import merged_frames
from xprep.engine.graph.grid import regular, starts
from xprep.engine.running.roi_blocks import Visit, visit_blocks
from xprep.engine.sources.lazy import check_known, is_lazy
from xprep.naming import named
from xprep.options import options
from xprep.rois.table.flat_pixels import BlockGrid, Index, Ints
from xprep.rois.table.window_centers import Centers
from xprep.types import Array


@named("roi-window")
@dataclass(frozen=True)
class Window:
    """A window: half-width in y and x, the value beyond the image, whether it holds all planes, and its type."""

    width: int
    fill_value: float = 0.0
    volumetric: bool = False
    dtype: type[np.floating[Any]] = np.float32

    def tail(self, depth: int) -> tuple[int, ...]:
        """Return the axes of one window of an image with ``depth`` planes."""
        side = 2 * self.width + 1
        return (depth, side, side) if self.volumetric else (side, side)


def crop_array(data: Any, centers: Centers, window: Window, ndim: int) -> Any:
    """Return the windows about ``centers``: (roi, leading…, [z], dy, dx), lazy if ``data`` is.

    ``data`` has ``ndim`` axes in space, its last ones.

    Raises
    ------
    ValueError
        A center lies in a plane that there is not.
    """
    check_known(data, "a window of an image")
    depth = data.shape[-3] if ndim == 3 else 1
    if not window.volumetric:
        check_planes(centers, depth)
    leading = data.ndim - ndim
    if not is_lazy(data):
        whole = ((0,) * ndim,)
        return crop_blocks([data], whole, centers, window, data.shape[:leading], depth)
    tail = window.tail(depth)
    data = together(data, leading, window, depth)
    grid = BlockGrid(tuple(starts(lengths) for lengths in data.chunks[leading:]))
    nbytes = np.dtype(window.dtype).itemsize * int(np.prod([*(c[0] for c in data.chunks[:leading]), *tail]))
    rows = regular(len(centers), max(1, options().tile_bytes // max(1, nbytes)))
    edges = starts(rows)
    visits = []
    for first, last in pairwise(edges):
        part = centers.between(first, last)
        blocks = tuple(sorted(grid.between(*boxes_of(part, window, grid))))
        visits.append(Visit(_Crop(part, window, tuple(map(grid.origin, blocks)), depth), blocks, last - first))
    token = (centers.z, centers.y, centers.x, window)
    return visit_blocks(data, leading, visits, tail, window.dtype, token)


def together(data: Any, leading: int, window: Window, depth: int) -> Any:
    """Return a lazy array with the tiny chunks of one place read together, as many frames as make a tile of windows."""
    nbytes = np.dtype(window.dtype).itemsize * int(np.prod(window.tail(depth)))
    return merged_frames(data, leading, options().tile_bytes // max(1, nbytes))


def check_planes(centers: Centers, depth: int) -> None:
    """Refuse centers in a plane that does not exist.

    Raises
    ------
    ValueError
        A plane is negative, or beyond ``depth``.
    """
    if len(centers) and (centers.z.min() < 0 or centers.z.max() >= depth):
        raise ValueError(f"the image has {depth} planes, but ROIs lie in planes {centers.z.min()} to {centers.z.max()}.")


def boxes_of(centers: Centers, window: Window, grid: BlockGrid) -> tuple[list[Ints], list[Ints]]:
    """Return the first and the last voxel of windows about ``centers``, along each axis."""
    low, high = (
        [centers.y - window.width, centers.x - window.width],
        [centers.y + window.width, centers.x + window.width],
    )
    if len(grid.edges) == 3:
        z = centers.z
        low.insert(0, np.zeros_like(z) if window.volumetric else z)
        high.insert(0, np.full_like(z, grid.shape[0]) if window.volumetric else z)
    return low, high


@dataclass(frozen=True, eq=False)
class _Crop:
    centers: Centers
    window: Window
    origins: tuple[Index, ...]
    depth: int

    def __call__(self, blocks: Sequence[Array], leading: tuple[int, ...]) -> Array:
        return crop_blocks(blocks, self.origins, self.centers, self.window, leading, self.depth)


def crop_blocks(
    blocks: Sequence[Array],
    origins: Sequence[Index],
    centers: Centers,
    window: Window,
    leading: tuple[int, ...],
    depth: int,
) -> Array:
    """Return the windows about ``centers``, of what lies in ``blocks``, whose first voxels are ``origins``."""
    shape = (len(centers), *leading, *window.tail(depth))
    windows = np.full(shape, window.fill_value, window.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite, in silence as in numpy 1
        for block, origin in zip(blocks, origins, strict=True):
            space = len(origin)
            cube = block if space == 3 else block[..., None, :, :]
            _copy_windows(windows, cube, (0, *origin)[-3:], centers, window)
    return windows


def _copy_windows(windows: Array, block: Array, origin: Index, centers: Centers, window: Window) -> None:
    """Copy the part of every window that lies in ``block``, whose axes end with z, y, x."""
    (z0, y0, x0), (nz, ny, nx) = origin, block.shape[-3:]
    width, side = window.width, 2 * window.width + 1
    top, left = centers.y - width - y0, centers.x - width - x0
    touching = (top < ny) & (top > -side) & (left < nx) & (left > -side)
    if not window.volumetric:
        touching &= (centers.z >= z0) & (centers.z < z0 + nz)
    chosen = np.flatnonzero(touching)
    tops, lefts, planes = (axis[chosen].tolist() for axis in (top, left, centers.z - z0))
    whole = slice(z0, z0 + nz)
    for roi, y, x, z in zip(chosen.tolist(), tops, lefts, planes, strict=True):
        a, b, c, d = max(y, 0), min(y + side, ny), max(x, 0), min(x + side, nx)
        if window.volumetric:
            windows[roi, ..., whole, a - y : b - y, c - x : d - x] = block[..., a:b, c:d]
        else:
            windows[roi, ..., a - y : b - y, c - x : d - x] = block[..., z, a:b, c:d]


def crop_labelled(image: xr.DataArray, centers: Centers, window: Window, ids: Any = None) -> xr.DataArray:
    """Return the windows of an image by its dims' names: (roi, others…, [z], dy, dx), with the coordinates that hold.

    Raises
    ------
    ValueError
        y or x is missing, or a plane.
    """
    space = space_dims(image)
    leading = [dim for dim in image.dims if dim not in space]
    ordered = image.transpose(*leading, *space)
    data = crop_array(ordered.data, centers, window, len(space))
    deep = window.volumetric and "z" in space
    if window.volumetric and not deep:
        data = data[..., 0, :, :]
    offsets = np.arange(-window.width, window.width + 1)
    more = {"dy": offsets, "dx": offsets, **({} if ids is None else {"roi": ids})}
    coords = kept_coords(image, [*leading, *(["z"] if deep else [])], **more)
    dims = ("roi", *leading, *(["z"] if deep else []), "dy", "dx")
    return xr.DataArray(data, coords, dims, attrs=image.attrs).rename(image.name)


def space_dims(image: xr.DataArray) -> tuple[str, ...]:
    """Return the image's dims in space, in the order z, y, x.

    Raises
    ------
    ValueError
        y or x is missing.
    """
    missing = [dim for dim in ("y", "x") if dim not in image.dims]
    if missing:
        raise ValueError(
            f"ROIs lie in y and x, but the image has the dims {image.dims}. Rename them, e.g. "
            "image.rename({'dim_0': 'y', 'dim_1': 'x'})."
        )
    return ("z", "y", "x") if "z" in image.dims else ("y", "x")
