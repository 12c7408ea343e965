"""Coordinates of voxels that were scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xprep.kernels.positions import Scale
from xprep.ops.units import spacing


def rescaled_coordinates(image: xr.DataArray, scales: Mapping[str, Scale], steps: Mapping[str, float]) -> dict[Any, Any]:
    """Return the coordinates of the scaled image: the new voxels' centres, in the old coordinates' units.

    Coordinates of other dims are kept. Along a scaled dim, numbers are interpolated, and go on evenly beyond the ends;
    what cannot be (names, coordinates over several dims) is dropped. ``steps`` are voxel sizes that count instead of
    the coordinates'.
    """
    moved = {dim: scale for dim, scale in scales.items() if not (scale.copies and scale.size == scale.length)}
    found: dict[Any, Any] = {}
    for name, coordinate in image.coords.items():
        if not set(moved) & set(coordinate.dims):
            found[name] = coordinate
        elif coordinate.ndim == 1 and coordinate.dtype.kind in "iuf" and coordinate.chunks is None:
            found[name] = _moved(image, name, moved[str(coordinate.dims[0])], steps)
    for dim in set(steps) & set(scales) - set(image.coords):
        found[dim] = xr.Variable((dim,), scales[dim].positions(0, scales[dim].size) * steps[dim])
    return {name: coordinate for name, coordinate in found.items() if coordinate is not None}


def _moved(image: xr.DataArray, name: Any, scale: Scale, steps: Mapping[str, float]) -> xr.Variable | None:
    """Return a coordinate at the new centres, or None where one voxel does not tell how far it is to the next."""
    coordinate = image.coords[name]
    old, centres = coordinate.values.astype(np.float64), scale.positions(0, scale.size)
    step = _even_step(image, name) if steps.get(name) is None or old.size > 1 else steps[name]
    attrs = {key: value for key, value in coordinate.attrs.items() if key != "spacing"}
    if step is None and old.size == 1:
        return xr.Variable(coordinate.dims, old, attrs) if scale.size == 1 else None
    if step is None:
        return xr.Variable(coordinate.dims, _interpolated(old, centres), attrs)
    if scale.size == 1:
        attrs["spacing"] = abs(step) / scale.factor
    return xr.Variable(coordinate.dims, old[0] + centres * step, attrs)


def _even_step(image: xr.DataArray, name: Any) -> float | None:
    try:
        return spacing(image, name) if name in image.dims else None
    except ValueError:
        return None


def _interpolated(old: Any, centres: Any) -> Any:
    """Interpolate linearly, and go on with the first and the last step beyond the ends."""
    first = np.clip(np.floor(centres).astype(int), 0, old.size - 2)
    return old[first] + (centres - first) * (old[first + 1] - old[first])
