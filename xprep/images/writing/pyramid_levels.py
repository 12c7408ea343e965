"""The levels of a pyramid: their shapes, chunks and coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import PLANE, SPACE
from xprep.dims.containers.shrinking import check_steps, factors_of, shrunk_coords, shrunk_shape
from xprep.dims.spacing import is_even, line_of, step_of, tell_steps
from xprep.io.arrays.coordinates import Coord
from xprep.io.ome_model import Level


@dataclass(frozen=True)
class Shape:
    """One level: how much smaller than the one before and than the first, per axis, and how long its axes are."""

    factors: tuple[int, ...]
    total: tuple[int, ...]
    shape: tuple[int, ...]


def as_it_is(image: xr.DataArray) -> Shape:
    """Return the level that is the image itself."""
    ones = (1,) * image.ndim
    return Shape(ones, ones, image.shape)


def plan_levels(image: xr.DataArray, scale_factors: Any, chunk: Sequence[int]) -> list[Shape]:
    """Return the levels of ``image``: the first, and one for every entry of ``scale_factors``.

    Raises
    ------
    ValueError
        A factor is no whole number of at least 1, or of an unknown dim.
    """
    levels = [as_it_is(image)]
    auto = isinstance(scale_factors, str) and scale_factors == "auto"
    for step in _auto(image, chunk) if auto else check_steps(scale_factors):
        factors = factors_of(step, image)
        last = levels[-1]
        total = tuple(a * b for a, b in zip(last.total, factors, strict=True))
        levels.append(Shape(factors, total, shrunk_shape(last.shape, factors)))
    return levels


def _auto(image: xr.DataArray, chunk: Sequence[int]) -> list[int]:
    """Halve y and x until a level fits one chunk."""
    sizes = [(image.sizes[dim], chunk[int(image.get_axis_num(dim))]) for dim in PLANE]
    steps = 0
    while any(-(-n // 2**steps) > c for n, c in sizes):
        steps += 1
    return [2] * steps


def placement(image: xr.DataArray, level: Shape, path: str) -> Level:
    """Return scale and translation of a level: a pixel of it covers ``total`` of the first and lies in their middle."""
    scale, shift = [], []
    for dim, factor in zip(image.dims, level.total, strict=True):
        spacing, first = spacing_of(image, str(dim))
        scale.append(spacing * factor)
        shift.append(first + spacing * (factor - 1) / 2)
    return Level(path, tuple(scale), tuple(shift))


def spacing_of(image: xr.DataArray, dim: str) -> tuple[float, float]:
    """Return the distance of pixels along ``dim`` and where the first is; 1 and 0 of channels, or if nobody says.

    Raises
    ------
    ValueError
        OME-Zarr cannot say it: the coordinate runs backwards, stands still, is not finite, or (space) is uneven.
    """
    if dim == "c" or dim not in image.coords or image.coords[dim].dtype.kind not in "iuf":
        return 1.0, 0.0
    stored = image.coords[dim].values
    values, line = stored.astype(float), line_of(stored)
    if len(values) == 1:
        step = float(image.coords[dim].attrs.get("spacing", 1.0))
    else:
        step = step_of(stored) if line is None else line.step
    drop = f"or drop the coordinate: image.drop_vars({dim!r})."
    if not (np.isfinite(values).all() and np.isfinite(step)):
        raise ValueError(
            f"the coordinate {dim!r} is not finite everywhere, so the positions of its pixels are unknown. Correct it, {drop}"
        )
    if (values == values[0]).all() and step == 0:
        raise ValueError(f"the values of the coordinate {dim!r} are all the same: its pixels have no size. Correct it, {drop}")
    if line is None and len(values) > 1 and (dim in SPACE or step == 0):
        raise ValueError(
            f"the coordinate {dim!r} is not evenly spaced ({tell_steps(stored)}), and OME-Zarr has one scale a dim. "
            f"Resample the image, {drop}"
        )
    if step < 0:
        raise ValueError(
            f"the coordinate {dim!r} runs backwards, from {values[0]:g} to {values[-1]:g}, and scales of OME-Zarr are "
            f"positive. Flip the image, image.sortby({dim!r}), {drop}"
        )
    return step, float(values[0])


def check_flat(image: xr.DataArray) -> None:
    """Refuse what the flat layout cannot keep of a dim: it has no arrays of coordinates, but one scale and one origin a dim.

    Raises
    ------
    ValueError
        A dim whose coordinate is uneven, or is no number (dates, durations, text).
    """
    for dim in (str(dim) for dim in image.dims if dim != "c" and dim in image.coords):
        stored = image.coords[dim].values
        if stored.dtype.kind in "iuf" and is_even(stored):
            continue
        what = f"not evenly spaced ({tell_steps(stored)})" if stored.dtype.kind in "iuf" else f"of {stored.dtype}, no number"
        raise ValueError(
            f"layout='flat' cannot keep the coordinate {dim!r}, which is {what}: it has one scale and one origin a dim. Write "
            f"layout='dual', which keeps every coordinate; or drop it: image.drop_vars({dim!r})."
        )


def lost_in_flat(image: xr.DataArray) -> list[str]:
    """Return the coordinates besides those of dims that the flat layout has no place for."""
    return sorted(str(name) for name in image.coords if name not in image.dims)


def coords_of(image: xr.DataArray, level: Shape) -> dict[str, Coord]:
    """Return the coordinates of a level, to be stored beside it: new pixels' centres where a dim shrinks."""
    found = {str(name): _coord(coord) for name, coord in shrunk_coords(image, level.total, level.shape).items()}
    for dim, length in zip(map(str, image.dims), level.shape, strict=True):
        if dim not in found and dim != "c":
            found[dim] = Coord((dim,), np.arange(length, dtype=np.float64), {})
    return found


def _coord(coord: xr.Variable) -> Coord:
    return Coord(tuple(map(str, coord.dims)), np.asarray(coord.values), dict(coord.attrs))
