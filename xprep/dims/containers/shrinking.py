"""What shrinking by whole factors is: the steps of a pyramid, a block of the next level, and where its pixels lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import PLANE, check_dims
from xprep.dims.parameters import check_choice
from xprep.dims.scaled_coordinates import interpolated
from xprep.dims.spacing import line_of, step_of
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.needs import Span
from xprep.kernels.downsample import shrink
from xprep.kernels.smooth_shrink import gaussian_reach, shrink_gaussian
from xprep.naming import named
from xprep.types import METHODS, Array


@named("shrinking")
@dataclass(frozen=True)
class Shrinking:
    """One step: a factor per axis, and how a block becomes a pixel."""

    factors: tuple[int, ...]
    method: str

    def needs(self, axis: int, start: int, stop: int) -> Span:
        """Return the span of the level before that ``[start, stop)`` is made of; it may reach beyond the ends."""
        reach = gaussian_reach(self.factors[axis]) if self.method == "gaussian" else 0
        return start * self.factors[axis] - reach, stop * self.factors[axis] + reach

    def __call__(self, block: Array, place: BlockPlace) -> Array:
        """Return the pixels of ``place.output``."""
        if self.method != "gaussian":
            return shrink(block, self.factors, self.method)  # type: ignore[arg-type]
        starts = [o[0] * f - i[0] for i, o, f in zip(place.input, place.output, self.factors, strict=True)]
        return shrink_gaussian(block, self.factors, starts, [stop - start for start, stop in place.output])


def check_method(method: Any, dtype: np.dtype[Any]) -> str:
    """Return how levels are made.

    Raises
    ------
    ValueError
        It is unknown.
    TypeError
        The mode of floats is asked for.
    """
    check_choice(method, METHODS, "method")
    if method == "mode" and dtype.kind == "f":
        raise TypeError(f"method='mode' is for labels, whole numbers; the image is of {dtype}. Use 'mean', 'max' or 'gaussian'.")
    return str(method)


def check_steps(scale_factors: Any) -> Sequence[Any]:
    """Return the entries of ``scale_factors``, one a level.

    Raises
    ------
    ValueError
        It is no sequence.
    """
    if isinstance(scale_factors, str | Mapping) or not isinstance(scale_factors, Sequence | np.ndarray):
        raise ValueError(f"scale_factors must be a sequence, one entry a level, e.g. (2, 2); got {scale_factors!r}.")
    return list(scale_factors)


def factors_of(step: Any, image: xr.DataArray) -> tuple[int, ...]:
    """Return the factor of every axis: a number shrinks y and x, a mapping names its dims.

    Raises
    ------
    ValueError
        A factor is no whole number of at least 1, or of a dim that the image has not.
    """
    wanted = dict(step) if isinstance(step, Mapping) else dict.fromkeys(PLANE, step)
    check_dims(list(wanted), image, "scale_factors")
    wrong = {dim: factor for dim, factor in wanted.items() if not _is_factor(factor)}
    if wrong:
        raise ValueError(f"scale_factors must be whole numbers, 1 or more; got {wrong}.")
    return tuple(int(wanted.get(str(dim), 1)) for dim in image.dims)


def _is_factor(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and np.isfinite(value) and value == int(value) and 1 <= value < 2**31)


def shrunk_shape(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the next level; a block that is not full is a pixel too.

    >>> shrunk_shape((5, 4), (2, 2))
    (3, 2)
    """
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


def shrunk_coords(image: xr.DataArray, total: Sequence[int], shape: Sequence[int]) -> dict[Any, xr.Variable]:
    """Return the coordinates of a level that is ``total`` times smaller than ``image``: the new pixels' centres.

    They go on evenly, so that the last one of an odd size is the centre of its whole block, as OME-Zarr has it. Along
    dims that shrink, what is no number or date, and what spans several dims, is dropped; a dim without a coordinate
    gets one, in pixels of ``image``.
    """
    moving = {str(dim): (f, n) for dim, f, n in zip(image.dims, total, shape, strict=True) if f > 1}
    found: dict[Any, xr.Variable] = {}
    for name, coord in image.coords.items():
        touched = [dim for dim in coord.dims if dim in moving]
        if not touched:
            found[name] = coord.variable
        elif coord.ndim == 1 and coord.dtype.kind in "iufmM":
            found[name] = _moved(coord, *moving[str(touched[0])])
    for dim, (factor, length) in moving.items():
        if dim not in image.coords:
            found[dim] = xr.Variable((dim,), _centres(factor, length), {"spacing": float(factor)} if length == 1 else {})
    return found


def _centres(factor: int, length: int) -> Array:
    return factor * np.arange(length) + (factor - 1) / 2


def _moved(coord: xr.DataArray, factor: int, length: int) -> xr.Variable:
    """Return a coordinate at the new centres; one that is lazy (it may be in a store) is interpolated when it is wanted."""
    timed, centres = coord.dtype.kind in "mM", _centres(factor, length)
    attrs = {name: value for name, value in coord.attrs.items() if name != "spacing"}
    if coord.size == 1:
        step = float(coord.attrs.get("spacing", 1.0))
        return xr.Variable(coord.dims, coord.data, attrs if timed else {**attrs, "spacing": step * factor})
    line = line_of(coord.values) if coord.chunks is None and not timed else None
    old = coord.data.astype(np.int64 if timed else np.float64)
    values = interpolated(old, centres) if line is None else line.at(centres)
    if length == 1 and not timed and coord.chunks is None:
        attrs["spacing"] = step_of(coord.values) * factor
    return xr.Variable(coord.dims, values.round().astype(np.int64).view(coord.dtype) if timed else values, attrs)
