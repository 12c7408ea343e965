"""What lies on what: two things with coordinates agree, or one is picked where the other is, or they are refused by name.

One rule wherever two of them meet. Along a dim where either has no coordinate, pixels belong together by position, and there
must be as many. Where both have one, names are the same names and positions the same to `TOLERANCE` of a pixel, in the
units that they are told in; those of the second may come in another order (a flipped axis), and be more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.lengths import told_unit, units_apart
from xprep.dims.spacing import MOST, TOLERANCE, is_even, is_number, line_of, nearest, positions_of, rounding_of
from xprep.types import Array, Floats

SPACE = ("z", "y", "x")
CHANNEL = "c"


def aligned(other: xr.DataArray, image: xr.DataArray, what: str, but: Sequence[Any] = ()) -> xr.DataArray:
    """Return the pixels of ``other`` that lie on those of ``image``, in the image's order, along every dim that both have.

    Parameters
    ----------
    other
        A mask, labels, windows: ``what``, in errors.
    image
        What it belongs to; it may have more dims, or fewer.
    but
        Dims that are not looked at.

    Raises
    ------
    ValueError
        It does not lie on the image: other positions, another pixel size, units that do not compare; or, by position,
        another number of pixels.
    KeyError
        It lacks a name that the image has.
    """
    for dim in [dim for dim in other.dims if dim in image.dims and dim not in but]:
        picked = picked_along(other, image, dim, what)
        if picked is not None:
            other = other.isel({dim: picked})
    return other


def picked_along(other: xr.DataArray, image: xr.DataArray, dim: Any, what: str) -> Any:
    """Return which pixels of ``other`` along ``dim`` are the image's, None where it is all of them in their order.

    Raises
    ------
    ValueError, KeyError
        As `aligned`.
    """
    if dim not in other.coords or dim not in image.coords:
        if other.sizes[dim] != image.sizes[dim]:
            raise ValueError(
                f"{what} has {other.sizes[dim]} pixels along {dim!r}, but the image {image.sizes[dim]}; they must match, where "
                "not both have a coordinate that says which belong together."
            )
        return None
    theirs, ours = other.coords[dim], image.coords[dim]
    if dim == CHANNEL or not (is_number(theirs.dtype) and is_number(ours.dtype)):
        found = _named(theirs.values.tolist(), ours.values.tolist(), dim, what)
    else:
        found = _placed(theirs, ours, dim, what)
    return _as_slice(found, other.sizes[dim])


def _named(theirs: list[Any], ours: list[Any], dim: Any, what: str) -> Array:
    if theirs == ours:
        return np.arange(len(theirs))
    if missing := [name for name in ours if name not in theirs]:
        raise KeyError(
            f"{what} lacks {missing[0]!r}, which the image has along {dim!r}; it has {theirs[:8]}. Name them alike, or drop "
            f"its names to go by position: drop_vars({dim!r})."
        )
    if twice := [name for name in ours if theirs.count(name) > 1]:
        raise ValueError(
            f"{what} has {twice[0]!r} several times along {dim!r}, and not in the image's order; which is meant? Give it the "
            f"image's order and drop its names: drop_vars({dim!r})."
        )
    return np.array([theirs.index(name) for name in ours])


def _placed(theirs: xr.DataArray, ours: xr.DataArray, dim: Any, what: str) -> Array:
    apart = comparable(theirs, ours, dim, what)
    wanted, there = positions_of(ours.values), positions_of(theirs.values) * apart
    mine, own = step_near(ours.values, ours.attrs), step_near(theirs.values, theirs.attrs)
    own = None if own is None else own * apart
    sized = is_even(ours.values) and is_even(theirs.values)
    if dim in SPACE and sized and mine is not None and own is not None and abs(own - mine) > TOLERANCE * mine:
        raise ValueError(
            f"the pixels of {what} are {own:g} apart along {dim!r}, the image's {mine:g}. Bring it to the image's "
            f"pixels first: rescale({{{dim!r}: {own / mine:g}}}, order=0)."
        )
    found = nearest(there, wanted)
    off = np.abs(there[found] - wanted)
    allowed = allowed_apart(mine or own, rounding_of(ours.values) + apart * rounding_of(theirs.values))
    if not (off <= allowed).all() or np.unique(found).size < found.size:
        raise ValueError(
            f"{what} does not lie on the image: along {dim!r} it is at {span(there)}, the image at {span(wanted)}; "
            f"{int((~(off <= allowed)).sum())} of the image's {wanted.size} pixels have none of its own. Select the part that "
            f"both have (.sel), pad it, or drop its coordinate to go by position: drop_vars({dim!r})."
        )
    return found


def comparable(theirs: xr.DataArray, ours: xr.DataArray, dim: Any, what: str) -> float:
    """Return what positions of one coordinate are multiplied with to compare with another's.

    Raises
    ------
    ValueError
        Dates and numbers, or units that do not compare.
    """
    if theirs.dtype.kind in "mM" or ours.dtype.kind in "mM":
        if theirs.dtype.kind != ours.dtype.kind:
            raise ValueError(
                f"{what} has {theirs.dtype} along {dim!r}, the image {ours.dtype}, which do not compare. Give both the same, or "
                f"drop its coordinate to go by position: drop_vars({dim!r})."
            )
        return 1.0
    return units_to(told_unit(theirs), told_unit(ours), dim, what)


def units_to(own: str | None, image: str | None, dim: Any, what: str) -> float:
    """Return how many of the image's units one of ``own`` is; where either has none, numbers count as they are.

    Raises
    ------
    ValueError
        They do not compare.
    """
    apart = units_apart(own, image)
    if apart is None:
        raise ValueError(
            f"{what} is in {own!r} along {dim!r}, the image in {image!r}, and one of them is not a length. Correct the attribute "
            f"'units', or drop its coordinate to go by position: drop_vars({dim!r})."
        )
    return apart


def step_near(values: Array, attrs: Mapping[Any, Any]) -> float | None:
    """Return how far pixels are apart: the step of what is even, the least of what is not, what one pixel says of itself."""
    if values.size == 1:
        return None if attrs.get("spacing") is None else abs(float(attrs["spacing"]))
    line = line_of(values)
    return abs(line.step) if line is not None else float(np.abs(np.diff(positions_of(values))).min())


def allowed_apart(step: float | None, rounding: float) -> float:
    """Return how far two positions of one pixel may be apart; of a pixel of unknown size, as far as rounding explains."""
    return rounding if step is None else min(TOLERANCE * step + rounding, MOST * step)


def span(positions: Floats) -> str:
    """Return from where to where positions go, in words."""
    return f"{positions[0]:g} … {positions[-1]:g} ({positions.size})" if positions.size > 1 else f"{positions[0]:g}"


def _as_slice(found: Array, size: int) -> Any:
    """Return positions as a slice where they are one, of step 1 or -1, which lazy arrays take more cheaply; None for all."""
    if found.size == size and (found == np.arange(size)).all():
        return None
    steps = np.diff(found)
    if steps.size and (steps == steps[0]).all() and abs(steps[0]) == 1:
        first, stop = int(found[0]), int(found[-1] + steps[0])
        return slice(first, None if stop < 0 else stop, int(steps[0]))
    return found


def bare(array: xr.DataArray, dims: Sequence[Any]) -> xr.DataArray:
    """Return an array without the coordinates of ``dims``: what was aligned need not equal to the last digit."""
    return array.drop_vars([name for name, coord in array.coords.items() if set(coord.dims) & set(dims)])
