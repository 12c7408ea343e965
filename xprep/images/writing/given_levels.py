"""Pyramids that come with their levels: those of `pyramid`, of `open_tree`, of other readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import xarray as xr

from xprep.dims.axes import SPACE
from xprep.dims.containers.coarser import made_steps
from xprep.dims.containers.shrinking import shrunk_coords
from xprep.images.writing.pyramid_levels import Shape, spacing_of


@dataclass(frozen=True, eq=False)
class Given:
    """An image at several resolutions, finest first; how they were made, if anybody says."""

    levels: tuple[xr.DataArray, ...]
    method: str = ""


def given_shapes(levels: Sequence[xr.DataArray]) -> list[Shape]:
    """Return the shapes of levels, and how many times smaller each is than the one before.

    Raises
    ------
    ValueError
        A level is of another type or has other dims than the one before, is larger, shows another part of the image, or has
        no pixels.
    """
    ones = (1,) * levels[0].ndim
    shapes = [Shape(ones, ones, levels[0].shape)]
    for n, (before, level) in enumerate(pairwise(levels), 1):
        if level.dims != before.dims or level.dtype != before.dtype:
            raise ValueError(
                f"level {n} has the dims {level.dims} and is of {level.dtype}; the level before has {before.dims} and is of "
                f"{before.dtype}. Levels of a pyramid differ in size only."
            )
        if not level.size:
            raise ValueError(
                f"level {n} has no pixels: {dict(level.sizes)}. Leave it out, or make levels anew: image.prep.pyramid(…)."
            )
        factors = tuple(_factor(before, level, str(dim), n) for dim in level.dims)
        total = tuple(a * b for a, b in zip(shapes[-1].total, factors, strict=True))
        shapes.append(Shape(factors, total, level.shape))
    return shapes


def _factor(before: xr.DataArray, level: xr.DataArray, dim: str, n: int) -> int:
    """Return how many pixels became one."""
    long, short = before.sizes[dim], level.sizes[dim]
    if short > long:
        raise ValueError(
            f"level {n} is longer than the level before along {dim!r}: {short} and {long} pixels. Levels go from fine to coarse."
        )
    if dim in SPACE and dim in before.coords and dim in level.coords:
        _check_extent(before, level, dim, n)
    return max(1, round(long / short))


def _check_extent(before: xr.DataArray, level: xr.DataArray, dim: str, n: int) -> None:
    """Refuse a level that lies elsewhere.

    Its ends may differ by 1.5 of its own pixels: some writers drop a last block that is not full, and some say no translation.
    """
    (fine, first), (coarse, own) = spacing_of(before, dim), spacing_of(level, dim)
    ends = [first - fine / 2, first + fine * (before.sizes[dim] - 0.5)]
    own_ends = [own - coarse / 2, own + coarse * (level.sizes[dim] - 0.5)]
    if level.sizes[dim] > 1 and max(abs(a - b) for a, b in zip(ends, own_ends, strict=True)) > 1.5 * coarse:
        raise ValueError(
            f"level {n} reaches from {own_ends[0]:g} to {own_ends[1]:g} along {dim!r}, the level before from {ends[0]:g} to "
            f"{ends[1]:g}. Levels of a pyramid show the same; correct the coordinates, or drop them: tree.drop_vars({dim!r})."
        )


def placed(levels: Sequence[xr.DataArray], shapes: Sequence[Shape]) -> tuple[xr.DataArray, ...]:
    """Return levels that say where they lie: those without coordinates along a dim of space get those of `pyramid`."""
    return tuple(_placed(level, levels[0], shape) for level, shape in zip(levels, shapes, strict=True))


def _placed(level: xr.DataArray, first: xr.DataArray, shape: Shape) -> xr.DataArray:
    usual = shrunk_coords(first, shape.total, shape.shape)
    unknown = [dim for dim in level.dims if dim in usual and (dim not in level.coords or _of_no_size(level, dim))]
    return level.assign_coords({dim: usual[dim] for dim in unknown})


def _of_no_size(level: xr.DataArray, dim: Any) -> bool:
    return dim in SPACE and level.sizes[dim] == 1 and "spacing" not in level.coords[dim].attrs


def plan_given(given: Given, scale_factors: Any, method: str) -> tuple[Any, str, Given | None]:
    """Return factors and method to write a pyramid with; and the pyramid, if its levels are to be written as they are.

    Levels that `pyramid` is to make of one another are made while they are written: the source is then read once.
    """
    if not (isinstance(scale_factors, str) and scale_factors == "auto"):
        return scale_factors, method, None
    dims = given.levels[0].dims
    if len(given.levels) == 1:
        return (), method, None
    if (steps := made_steps(given.levels)) is not None:
        return [dict(zip(dims, step.factors, strict=True)) for step in steps], steps[0].method, None
    shapes = given_shapes(given.levels)
    factors = [dict(zip(dims, shape.factors, strict=True)) for shape in shapes[1:]]
    return factors, method, replace(given, levels=placed(given.levels, shapes))
