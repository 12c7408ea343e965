"""An image inside ROIs only, or outside them only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.arguments import check_number
from xprep.dims.alignment import aligned
from xprep.engine.blocks.tiling import merged
from xprep.engine.graph.grid import starts
from xprep.engine.running.roi_blocks import build_blocks
from xprep.engine.sources.lazy import is_lazy
from xprep.kernels.rois import fill_pixels
from xprep.kernels.ufuncs import build_ufunc
from xprep.naming import named
from xprep.rois.images.as_table import table_on
from xprep.rois.images.crops import space_dims
from xprep.rois.table.flat_pixels import BlockGrid, Ints, group_by_block
from xprep.rois.table.offsets import flat_offsets
from xprep.rois.table.roi_table import RoiTable
from xprep.switches import check_switch
from xprep.types import Array, Chunks


def mask(image: xr.DataArray, rois: Any, *, outside: float = np.nan, invert: bool = False) -> xr.DataArray:
    """Return the image with ``outside`` in every pixel that is in no ROI.

    Parameters
    ----------
    image : DataArray
        Dims ``y``, ``x``, and any others in any order.
    rois : RoiTable, label image or boolean mask
        A pixel is inside if any ROI lists it (whatever its weight), its label is not 0, or it is true. Label images and
        masks are arrays of (y, x) or (z, y, x), or DataArrays of any of the image's dims; they may be lazy. Along dims where
        both have a coordinate, the mask's pixels are taken that lie where the image's do (to a hundredth of a pixel), or
        have its names (``c``): it may cover more, and run the other way. Otherwise they belong together by position.
    outside
        Value of the other pixels. NaN makes integers floating: float32 up to 16 bits, float64 beyond.
    invert
        Blank the inside instead.

    Returns
    -------
    DataArray, dims and coordinates of the image
        Lazy if the image or the mask is; tiny chunks of a store are read together.

    Raises
    ------
    ValueError
        A ROI beyond the image, a mask that does not lie on it, of another shape or with dims that the image does not have,
        labels that are floating.
    KeyError
        A mask without one of the image's channels.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> image = xr.DataArray(np.array([[1, 2], [3, 4]]), dims=("y", "x"))
    >>> mask(image, np.array([[0, 7], [7, 0]]), outside=0).values
    array([[0, 2],
           [3, 0]])
    """
    invert, outside = check_switch(invert, "invert"), check_outside(outside)
    if is_lazy(image.data):  # a task a tiny chunk took 701 MiB for an image of 64
        image = image.copy(data=merged(image.data))
    inside = _inside_table(image, rois) if isinstance(rois, RoiTable) else _inside_labels(image, rois)
    dtype = masked_dtype(image.dtype, outside)
    blank = partial(blank_pixels, outside=dtype.type(outside), dtype=dtype, invert=invert)
    masked = xr.apply_ufunc(blank, image, inside, dask="parallelized", output_dtypes=[dtype], keep_attrs=True, join="exact")
    return cast(xr.DataArray, masked.transpose(*image.dims))


@named("blank-pixels")
def blank_pixels(image: Array, inside: Array, *, outside: Any, dtype: np.dtype[Any], invert: bool) -> Array:
    """Return ``image`` where ``inside`` (or, inverted, where not), else ``outside``."""
    keep = ~inside if invert else inside
    masked = build_ufunc("mask_pixels")(image.astype(dtype, copy=False), keep, outside)
    return np.asarray(masked, dtype)  # float16 has no loop of its own


def masked_dtype(dtype: np.dtype[Any], outside: float) -> np.dtype[Any]:
    """Return the smallest type that holds the image's values and ``outside``: the image's own where it can.

    >>> masked_dtype(np.dtype("uint16"), 0), masked_dtype(np.dtype("uint16"), np.nan)
    (dtype('uint16'), dtype('float32'))
    """
    if dtype.kind == "f":
        return dtype
    if np.isfinite(float(outside)) and float(outside).is_integer():
        if dtype.kind == "b" and outside in (0, 1):
            return dtype
        if dtype.kind in "iu" and np.iinfo(dtype).min <= outside <= np.iinfo(dtype).max:
            return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)


def _inside_table(image: xr.DataArray, rois: RoiTable) -> xr.Variable:
    """Return where ROIs are, over the image's dims in space, in its chunks."""
    space, rois = space_dims(image), table_on(image, rois)
    shape = tuple(image.sizes[dim] for dim in space)
    if not is_lazy(image.data):
        pixels = rois.pixels()
        offsets = flat_offsets(pixels.space(len(space)), shape)
        return xr.Variable(space, _InsideTable(shape, offsets)())
    chunks: Chunks = tuple(image.chunksizes[dim] for dim in space)
    return xr.Variable(space, _lazy_inside(rois, chunks))


def _lazy_inside(rois: RoiTable, chunks: Chunks) -> Any:
    grid = BlockGrid(tuple(starts(lengths) for lengths in chunks))
    pixels = rois.pixels()
    places = pixels.space(len(chunks))
    functions = {index: _InsideTable(grid.extent(index), np.empty(0, np.int64)) for index in np.ndindex(*map(len, chunks))}
    for index, chosen in group_by_block(pixels, grid):
        local = [place[chosen] - start for place, start in zip(places, grid.origin(index), strict=True)]
        functions[index] = _InsideTable(grid.extent(index), flat_offsets(local, grid.extent(index)))
    return build_blocks(functions, chunks, bool, ("inside", rois.fingerprint))


@dataclass(frozen=True, eq=False)
class _InsideTable:
    shape: tuple[int, ...]
    offsets: Ints

    def __call__(self) -> NDArray[np.bool_]:
        return fill_pixels(np.zeros(self.shape, bool), self.offsets, np.ones(self.offsets.size, bool))


def _inside_labels(image: xr.DataArray, labels: Any) -> xr.Variable:
    variable = aligned(labels, image, "the mask").variable if isinstance(labels, xr.DataArray) else _variable(image, labels)
    check_mask(variable.dtype)
    extra = [dim for dim in variable.dims if dim not in image.dims]
    wrong = {dim: n for dim, n in variable.sizes.items() if dim in image.sizes and image.sizes[dim] != n}
    if extra or wrong:
        raise ValueError(f"the mask has {dict(variable.sizes)}, but the image {dict(image.sizes)}; they must match.")
    return variable if variable.dtype == bool else variable != 0


def check_outside(outside: Any) -> Any:
    """Return the value outside of ROIs, a number or a bool, as it is.

    Raises
    ------
    TypeError
        It is something else.
    """
    if not isinstance(outside, bool | np.bool_):
        check_number(outside, "outside")
    return outside


def check_mask(dtype: np.dtype[Any]) -> None:
    """Refuse what is neither labels nor a mask.

    Raises
    ------
    ValueError
        It names the type.
    """
    if dtype.kind not in "biu":
        raise ValueError(
            f"rois must be a RoiTable, a label image of integers or a boolean mask; got {dtype}. "
            "Compare it first, e.g. labels > 0."
        )


def _variable(image: xr.DataArray, labels: Any) -> xr.Variable:
    """Return a mask without dims as a variable."""
    data = labels if is_lazy(labels) else np.asarray(labels)
    space = space_dims(image)
    if data.ndim == 0:
        raise TypeError(f"rois must be a RoiTable, a label image or a boolean mask; got {labels!r}.")
    if data.ndim not in (2, len(space)):
        raise ValueError(f"rois that are a mask without dims need the axes {space} (or y, x); got the shape {data.shape}.")
    return xr.Variable(space[-data.ndim :], data)
