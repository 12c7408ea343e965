"""Coordinates of voxels that were scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.spacing import line_of
from xprep.kernels.positions import Scale


def rescaled_coordinates(
    image: xr.DataArray, scales: Mapping[str, Scale], steps: Mapping[str, float], unit: str | None = None
) -> dict[Any, Any]:
    """Return the coordinates of the scaled image: the new voxels' centres, in the old coordinates' units.

    Coordinates of other dims are kept. Along a scaled dim, numbers are interpolated (lazily, if they are lazy), and go on
    evenly beyond the ends; what cannot be (names, coordinates over several dims) is dropped. ``steps`` are voxel sizes
    that count instead of the coordinates', in ``unit``.
    """
    moved = {dim: scale for dim, scale in scales.items() if not (scale.copies and scale.size == scale.length)}
    found: dict[Any, Any] = {}
    for name, coordinate in image.coords.items():
        if not set(moved) & set(coordinate.dims):
            found[name] = coordinate
        elif coordinate.ndim == 1 and coordinate.dtype.kind in "iuf":
            dim = str(coordinate.dims[0])
            found[name] = _moved(coordinate, moved[dim], steps.get(dim) if name == dim else None)
    told = {} if unit is None else {"units": unit}
    for dim in set(steps) & set(scales) - set(image.coords):
        found[dim] = xr.Variable((dim,), scales[dim].positions(0, scales[dim].size) * steps[dim], told)
    return {name: coordinate for name, coordinate in found.items() if coordinate is not None}


def _moved(coordinate: xr.DataArray, scale: Scale, size: float | None) -> xr.Variable | None:
    """Return a coordinate at the new centres, or None where one voxel does not tell how far it is to the next.

    ``size`` is the voxel size, which the coordinate of a single voxel does not tell.
    """
    attrs = {key: value for key, value in coordinate.attrs.items() if key != "spacing"}
    old, centres = coordinate.data.astype(np.float64), scale.positions(0, scale.size)
    if coordinate.size > 1:
        line = line_of(coordinate.values) if coordinate.chunks is None else None
        step = None if line is None else line.step
    else:
        told = size if size is not None else coordinate.attrs.get("spacing")
        step = None if told is None else float(told)
        if step is None:
            return xr.Variable(coordinate.dims, old, attrs) if scale.size == 1 else None
    if step is None:
        return xr.Variable(coordinate.dims, interpolated(old, centres), attrs)
    if scale.size == 1:
        attrs["spacing"] = abs(step) / scale.factor
    return xr.Variable(coordinate.dims, old[0] + centres * step, attrs)


def interpolated(old: Any, centres: Any) -> Any:
    """Interpolate linearly between samples, and go on with the first and the last step beyond the ends."""
    first = np.clip(np.floor(centres).astype(int), 0, old.shape[0] - 2)
    return old[first] + (centres - first) * (old[first + 1] - old[first])
