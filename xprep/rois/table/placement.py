"""Where the pixels of a ROI table lie, and which pixels of an image those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.arguments import check_dim_names, check_mapping
from xprep.dims.alignment import SPACE, allowed_apart, span, step_near, units_to
from xprep.dims.lengths import told_unit
from xprep.dims.spacing import TOLERANCE, is_even, line_of, nearest, rounding_of, tell_steps
from xprep.types import Array, Floats

OUTSIDE = -1


@dataclass(frozen=True)
class PixelAxis:
    """Where the pixels along an axis lie.

    Attributes
    ----------
    origin
        Centre of pixel 0.
    pixel_size
        Distance to the next, negative where positions fall; None of a single plane that does not say it.
    unit
        Of both, as its coordinate says; None where it does not.
    """

    origin: float
    pixel_size: float | None
    unit: str | None = None

    def __post_init__(self) -> None:
        size = self.pixel_size
        if not np.isfinite(self.origin) or (size is not None and (not np.isfinite(size) or size == 0)):
            raise ValueError(f"the origin of pixels must be finite, and their size not 0; got {self}.")

    def positions(self, index: Array) -> Floats:
        """Return the centres of pixels."""
        return self.origin + (self.pixel_size or 0.0) * np.asarray(index, np.float64)

    def coordinate(self, length: int, dim: str) -> xr.Variable:
        """Return the coordinate of so many pixels."""
        attrs: dict[str, Any] = {} if self.unit is None else {"units": self.unit}
        if length == 1 and self.pixel_size is not None:
            attrs["spacing"] = self.pixel_size
        return xr.Variable(dim, self.positions(np.arange(length)), attrs)


def check_placement(placement: Mapping[str, Any]) -> dict[str, PixelAxis]:
    """Return a placement: `PixelAxis` by dim.

    Raises
    ------
    ValueError
        A dim that is not one of space.
    TypeError
        Something else than a `PixelAxis`.
    """
    placement = check_mapping(placement, "placement", "{'y': PixelAxis(…)}")
    for dim, axis in placement.items():
        if dim not in SPACE:
            raise ValueError(f"placement names the dim {dim!r}; pixels lie along 'z', 'y' and 'x'.")
        if not isinstance(axis, PixelAxis):
            raise TypeError(f"placement of {dim!r} must be a PixelAxis; got {type(axis).__name__}.")
    return {dim: placement[dim] for dim in SPACE if dim in placement}


def placement_of(image: xr.DataArray) -> dict[str, PixelAxis]:
    """Return where an image's pixels lie, along the dims of space whose coordinates are numbers.

    A coordinate ``z`` without a dim, which selecting a plane leaves, is where the plane lies.

    Raises
    ------
    ValueError
        A coordinate is not evenly spaced.
    """
    if not isinstance(image, xr.DataArray):
        raise TypeError(f"image must be a DataArray; got a {type(image).__name__}{_value(image)}.")
    found = {dim: axis_of(image.coords[dim], dim) for dim in SPACE if dim in image.coords and image.coords[dim].ndim < 2}
    return {dim: axis for dim, axis in found.items() if axis is not None and (dim in image.dims or dim == "z")}


def _value(given: Any) -> str:
    """Return what is shown of what is no image: an array only by its type."""
    return "" if hasattr(given, "shape") else f": {given!r}"


def axis_of(coord: xr.DataArray, dim: str) -> PixelAxis | None:
    """Return where the pixels of a coordinate lie, None if it is not of numbers."""
    if coord.dtype.kind not in "iuf":
        return None
    values = np.atleast_1d(coord.values)
    if values.size == 1:
        told = coord.attrs.get("spacing")
        return PixelAxis(float(values[0]), None if told is None else float(told), told_unit(coord))
    line = line_of(values)
    if line is None:
        raise ValueError(
            f"the coordinate of {dim!r} is not evenly spaced: {tell_steps(values)}. A table keeps an origin and a pixel size. "
            f"Drop it to go by position: labels.drop_vars({dim!r})."
        )
    return PixelAxis(line.first, line.step, told_unit(coord))


def columns_on(
    columns: Mapping[str, Array], placement: Mapping[str, PixelAxis], image: xr.DataArray, dims: Sequence[str]
) -> dict[str, Array]:
    """Return the positions (by dim) that are other pixels of ``image`` than of the table; `OUTSIDE` beyond its ends.

    Along a dim where the table or the image does not say where its pixels lie, a position is a position.

    Raises
    ------
    ValueError
        Pixels of another size, or that lie between the image's; units that do not compare.
    """
    if not isinstance(image, xr.DataArray):
        raise TypeError(f"image must be a DataArray; got a {type(image).__name__}{_value(image)}.")
    found: dict[str, Array] = {}
    dims = check_dim_names(dims, "dims")
    if unknown := [dim for dim in dims if dim not in SPACE]:
        raise ValueError(f"dims names the dim {unknown[0]!r}; pixels lie along 'z', 'y' and 'x'.")
    for dim in (dim for dim in dims if dim in placement and columns[dim].size and _says_where(image, dim, placement[dim])):
        column = columns[dim]
        first, last = int(column.min()), int(column.max())
        there = _pixels_on(placement[dim], (first, last), image.coords[dim], dim)
        if (there != np.arange(first, last + 1)).any():
            found[dim] = there[column - first]
    return found


def _says_where(image: xr.DataArray, dim: str, axis: PixelAxis) -> bool:
    """Whether an image has numbers along ``dim``; a plane that was selected has them of a stack's table."""
    if dim not in image.coords or image.coords[dim].dtype.kind not in "iuf":
        return False
    return image.coords[dim].dims == (dim,) or (dim == "z" and image.coords[dim].ndim == 0 and axis.pixel_size is not None)


def _pixels_on(axis: PixelAxis, pixels: tuple[int, int], coord: xr.DataArray, dim: str) -> NDArray[np.int64]:
    """Return which pixels of an image's coordinate the table's pixels (from, to, inclusive) are."""
    apart = units_to(axis.unit, told_unit(coord), dim, "the table of ROIs")
    stored = np.atleast_1d(coord.values)
    ours, step = stored.astype(np.float64), step_near(np.atleast_1d(coord.values), coord.attrs)
    own = None if axis.pixel_size is None else abs(axis.pixel_size) * apart
    if own is not None and step is not None and abs(own - step) > TOLERANCE * step and is_even(stored):
        raise ValueError(
            f"the ROIs' pixels are {own:g} apart along {dim!r}, the image's {step:g}: they are of another image, or of another "
            f"level of it. Scale the labels first: labels.prep.rescale({{{dim!r}: {own / step:g}}}, order=0)."
        )
    wanted = axis.positions(np.arange(pixels[0], pixels[1] + 1)) * apart
    found = nearest(ours, wanted)
    off, within = np.abs(ours[found] - wanted), allowed_apart(step or own, rounding_of(stored))
    beyond = (off > within) & ((wanted < ours.min()) | (wanted > ours.max()))
    if between := int(((off > within) & ~beyond).sum()) + _between(off[beyond], step or own, within):
        raise ValueError(
            f"the ROIs do not lie on the image's pixels: along {dim!r} they are at {span(wanted)}, the image's at {span(ours)}; "
            f"{between} lie between. Give both the same coordinates, or drop the table's to go by position: table.placed(None)."
        )
    return np.where(beyond, OUTSIDE, found)


def _between(off: Floats, step: float | None, within: float) -> int:
    """Return how many positions beyond the ends are no whole number of pixels beyond."""
    if step is None:
        return 0
    return int((np.abs(off - step * np.rint(off / step)) > within).sum())


def refuse_outside(inside: NDArray[np.bool_], ids: Array) -> None:
    """Refuse ROIs that reach beyond the image.

    Raises
    ------
    ValueError
        There are any.
    """
    if not inside.all():
        outside = ids[~inside].tolist()
        raise ValueError(
            f"{len(outside)} of {ids.size} ROIs reach beyond the image, which is a part of that in which they lie; the first are "
            f"{', '.join(map(repr, outside[:5]))}. Take those that lie in it, table[table.inside(image)], or more of the image."
        )


def joined_placement(placements: Sequence[Mapping[str, PixelAxis]]) -> tuple[dict[str, PixelAxis], list[dict[str, int]]]:
    """Return where the pixels of several tables lie together, and how far the positions of each must be shifted for it.

    Raises
    ------
    ValueError
        Some lie somewhere and others nowhere, or their pixels are not of one grid.
    """
    shifts: list[dict[str, int]] = [{} for _ in placements]
    together = {}
    for dim in SPACE:
        axes = [placement.get(dim) for placement in placements]
        if all(axis is None for axis in axes):
            continue
        first = axes[0]
        if first is None or any(axis is None or not _one_grid(first, axis) for axis in axes):
            raise ValueError(
                f"the tables' pixels do not lie on one grid along {dim!r}: {', '.join(map(str, axes[:4]))}. Say where they lie, "
                "table.placed(image), or drop it: table.placed(None)."
            )
        steps = [_steps(first, axis) for axis in axes if axis is not None]
        least = min(steps)
        together[dim] = replace(first, origin=first.origin + least * (first.pixel_size or 0.0))
        for shift, step in zip(shifts, steps, strict=True):
            shift[dim] = step - least
    return together, shifts


def _steps(first: PixelAxis, other: PixelAxis) -> int:
    return 0 if first.pixel_size is None else round((other.origin - first.origin) / first.pixel_size)


def _one_grid(first: PixelAxis, other: PixelAxis) -> bool:
    if first.unit != other.unit or (first.pixel_size is None) != (other.pixel_size is None):
        return False
    if first.pixel_size is None or other.pixel_size is None:
        return bool(np.isclose(first.origin, other.origin, rtol=1e-6, atol=0))
    size = abs(first.pixel_size)
    off = other.origin - first.origin - _steps(first, other) * first.pixel_size
    return abs(other.pixel_size - first.pixel_size) <= TOLERANCE * size and abs(off) <= TOLERANCE * size
