"""The resolutions of an image: those of its store, those of its container, and coarser ones made of the coarsest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from xprep.dims.axes import PLANE, SPACE
from xprep.dims.containers.levels import factor_between
from xprep.dims.containers.roles import IMAGE_LABEL
from xprep.dims.spacing import line_of
from xprep.engine.sources.lazy import Memory, as_lazy
from xprep.engine.sources.readable import read_array
from xprep.engine.sources.slices import view_of
from xprep.images.opening.coarser_levels import coarser_levels
from xprep.ops.pyramid import pyramid

TILE: Final = 256  # pixels along y and x of what the page asks for
BLOCKS: Final = (512, 1024)  # of what is computed at once: where chunks are no longer than the first, and otherwise
FITS: Final = 512  # pixels: a coarsest level of so many along y and x is coarse enough
# A pixel of a level that is not stored is made of so many along y and x at most: a tile then takes 4096² pixels, about a second.
MOST_SHRUNK: Final = 16


@dataclass(frozen=True, eq=False)
class Resolutions:
    """An image at several resolutions, finest first, lazily; their coordinates say where their pixels lie.

    Attributes
    ----------
    levels
        The images.
    remarks
        Sentences about them, for who looks at them.
    is_remade
        Whether the finest level is not the image itself: it was made with statistics that were fitted for this.
    """

    levels: tuple[xr.DataArray, ...]
    remarks: tuple[str, ...] = ()
    is_remade: bool = False

    def factors(self, level: int) -> dict[str, float]:
        """Return how many pixels of the finest level one of a ``level`` is, by dim of space."""
        fine, coarse = self.levels[0], self.levels[level]
        return {str(dim): _ratio(fine, coarse, str(dim)) for dim in coarse.dims if dim in SPACE}


def _ratio(fine: xr.DataArray, coarse: xr.DataArray, dim: str) -> float:
    lines = [line_of(one.coords[dim].values) if dim in one.coords else None for one in (fine, coarse)]
    if lines[0] is None or lines[1] is None:
        return float(factor_between(fine, coarse, dim))
    return float(f"{lines[1].step / lines[0].step:.9g}")  # 2, not 2.0000000000000004


def find_resolutions(
    image: xr.DataArray, given: Sequence[xr.DataArray] = (), *, is_label: bool = False, name: str = "image"
) -> Resolutions:
    """Return the resolutions of an image as it is: those of its store, or ``given`` coarser ones, and coarser ones of these.

    Levels that are made are means, of labels the commonest value. What is a graph of somebody's own is computed whole for its
    coarse levels, so they end where that takes long.
    """
    finest = positioned(image)
    stored = [finest, *(map(positioned, given) if given else coarser_levels(finest))]
    known = view_of(as_lazy(image.data))
    is_stored = known is not None and not isinstance(known.source, Memory)
    bound = None if known is not None and not is_stored else MOST_SHRUNK
    made = _made(stored[-1], bound, "mode" if is_label else "mean")
    levels = tuple(_tiled(one) for one in (*stored, *made))
    return Resolutions(levels, _remarks(name, stored, made, is_lazy_result=known is None))


def _remarks(name: str, stored: Sequence[xr.DataArray], made: Sequence[xr.DataArray], *, is_lazy_result: bool) -> tuple[str, ...]:
    if not made or max(stored[-1].sizes[dim] for dim in PLANE) <= BLOCKS[1]:
        return ()
    if is_lazy_result:
        why = "it is made by other steps than those of .prep that are known at every level"
    elif len(stored) == 1:
        why = "its store has no levels"
    else:
        return ()
    return (f"{name}: shown from its full resolution, because {why}; seen from afar, pictures take longer.",)


def positioned(image: xr.DataArray) -> xr.DataArray:
    """Return an image whose dims of space have even coordinates: its own, or the numbers of its pixels."""
    bare = [
        str(dim) for dim in image.dims
        if dim in SPACE and image.sizes[dim] > 1 and (dim not in image.coords or line_of(image.coords[dim].values) is None)
    ]  # fmt: skip
    return image.assign_coords({dim: (dim, np.arange(image.sizes[dim], dtype=np.float64)) for dim in bare})


def _made(image: xr.DataArray, bound: int | None, method: str) -> list[xr.DataArray]:
    """Return coarser levels, halved along y and x until one fits, or was shrunk by the ``bound``."""
    longest, count, shrunk = max(image.sizes[dim] for dim in PLANE), 0, 1
    while longest > FITS and (bound is None or shrunk < bound):
        longest, count, shrunk = -(-longest // 2), count + 1, shrunk * 2
    if not count:
        return []
    lazy = image.copy(data=as_lazy(image.data))
    lazy.attrs = {key: value for key, value in image.attrs.items() if key != IMAGE_LABEL}
    tree = pyramid(_tiled(lazy), (2,) * count, method=method)
    return [tree[f"scale{n}/image"].rename(image.name).assign_attrs(image.attrs) for n in range(1, count + 1)]


def _tiled(image: xr.DataArray) -> xr.DataArray:
    """Return an image that, if it is read from a source, is read in blocks of whole tiles; others keep their chunks."""
    data = as_lazy(image.data)
    if (view := view_of(data)) is not None:
        longest = max(max(data.chunks[image.get_axis_num(dim)]) for dim in PLANE)
        edge = BLOCKS[longest > BLOCKS[0]]
        data = read_array(view, chunks=[edge if dim in PLANE else max(data.chunks[n]) for n, dim in enumerate(image.dims)])
    return image.copy(data=data)
