"""Coordinates of voxels that were scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xprep.kernels.rescale import Scale
from xprep.ops.units import spacing


def rescaled_coordinates(image: xr.DataArray, scales: Mapping[str, Scale], steps: Mapping[str, float]) -> dict[Any, Any]:
    """Return the coordinates of the scaled image: the new voxels' centres, in the old coordinates' units.

    Coordinates of other dims are kept. Along a scaled dim, numbers are interpolated, and go on evenly beyond the ends; what
    cannot be (names, coordinates over several dims) is dropped. ``steps`` are voxel sizes for dims without a coordinate.
    """
    moved = {dim: scale for dim, scale in scales.items() if not (scale.copies and scale.size == scale.length)}
    found: dict[Any, Any] = {}
    for name, coordinate in image.coords.items():
        if not set(moved) & set(coordinate.dims):
            found[name] = coordinate.variable if name not in image.dims else coordinate
        elif coordinate.ndim == 1 and (values := _scaled(image, name, moved[str(coordinate.dims[0])], steps)) is not None:
            found[name] = xr.Variable(coordinate.dims, values, coordinate.attrs)
    for dim in set(steps) & set(scales) - set(image.coords):
        found[dim] = xr.Variable((dim,), _centres(scales[dim]) * steps[dim])
    return found


def _centres(scale: Scale) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return where the new voxels' centres are, counted in old voxels from the first one's centre."""
    return scale.positions(0, scale.size)


def _scaled(image: xr.DataArray, name: Any, scale: Scale, steps: Mapping[str, float]) -> Any:
    """Return the coordinate's values at the new centres, or None where they cannot be told."""
    coordinate = image.coords[name]
    if coordinate.dtype.kind not in "iuf" or coordinate.chunks is not None:
        return None
    old, centres = coordinate.values.astype(np.float64), _centres(scale)
    if old.size == 1:
        step = steps.get(name, 0.0 if scale.size == 1 else None)
    else:
        step = _even_step(image, name)
        if step is None:
            return _interpolated(old, centres)
    return None if step is None else old[0] + centres * step


def _even_step(image: xr.DataArray, name: Any) -> float | None:
    try:
        return spacing(image, name) if name in image.dims else None
    except ValueError:
        return None


def _interpolated(old: Any, centres: Any) -> Any:
    """Interpolate linearly, and go on with the first and the last step beyond the ends."""
    first = np.clip(np.floor(centres).astype(int), 0, old.size - 2)
    return old[first] + (centres - first) * (old[first + 1] - old[first])
