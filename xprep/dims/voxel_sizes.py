"""Lengths of an operation's arguments, and the voxel size that turns them into pixels.

A number is in pixels; a string carries its unit: ``"0.5 um"``, ``"500 nm"`` (`xprep.dims.lengths`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xprep.arguments import check_mapping
from xprep.dims.axes import SPACE
from xprep.dims.lengths import Length, metres, parse_length, told_unit, units_apart
from xprep.dims.spacing import spacing


def in_pixels(value: Length, image: xr.DataArray, dim: str, argument: str) -> float:
    """Return ``value``, in pixels or with a unit, as pixels along ``dim``.

    Parameters
    ----------
    value
        A number of pixels, or a string with a unit (`parse_length`).
    image
        Its coordinate along ``dim`` gives the voxel size, and that one's attribute ``units`` the unit.
    dim
        A dim of space.
    argument
        Name of the argument, for errors.

    Raises
    ------
    ValueError
        The string is no length, or the image does not say how large its voxels are.

    Examples
    --------
    >>> x = xr.DataArray(np.arange(4) * 0.1, dims="x", attrs={"units": "micrometer"})
    >>> in_pixels("500 nm", xr.DataArray(np.zeros(4), dims="x", coords={"x": x}), "x", "sigma")
    5.0
    """
    if not isinstance(value, str):
        return value
    number, unit = parse_length(value, argument)
    size = (voxel_size(image, dim, argument) * unit_metres(image, dim, argument)) / (metres(unit) or 1.0)
    return float(f"{number / size:.12g}")  # 0.5 um at 0.1 um are 5 pixels, not 5.000000000000001


def unit_metres(image: xr.DataArray, dim: str, argument: str) -> float:
    """Return the length in metres of the unit of ``dim``'s coordinate."""
    unit = unit_of(image, dim)
    length = None if unit is None else metres(unit)
    if length is None:
        raise ValueError(
            f"{argument} was given with a unit, but the coordinate of {dim!r} has "
            f"{'no unit' if unit is None else f'the unit {unit!r}, which is no length'}. "
            f"Say it, e.g. image[{dim!r}].attrs['units'] = 'micrometer', or give pixels."
        )
    return length


def unit_of(image: xr.DataArray, dim: str) -> str | None:
    """Return the unit of ``dim``: its coordinate's attribute ``units`` (or ``unit``), or that of the OME metadata."""
    return (told_unit(image.coords[dim]) if dim in image.coords else None) or _ome(image).get(dim, (None, None))[1]


def voxel_size(image: xr.DataArray, dim: str, argument: str) -> float:
    """Return the distance of two voxels along ``dim``, in its coordinate's unit; never negative.

    Read from the coordinate; where there is none, or only one voxel, from OME metadata in the image's attributes.

    Raises
    ------
    ValueError
        Nothing says it, or the coordinate is not evenly spaced.
    """
    step = spacing(image, dim)
    size = _ome(image).get(dim, (None, None))[0] if step is None else abs(step)
    if size is None:
        raise ValueError(
            f"{argument} needs the voxel size along {dim!r}, and the image has no coordinate there. Give one, e.g. "
            f"image.assign_coords({dim}=np.arange(image.sizes[{dim!r}]) * 0.2), or voxel_size={{{dim!r}: 0.2, …}} "
            f"to to_isotropic."
        )
    return size


def _ome(image: xr.DataArray) -> dict[str, tuple[float, str | None]]:
    """Return voxel size and unit by dim from OME-NGFF metadata in the attributes, where plain Zarr readers leave it."""
    attrs = image.attrs.get("ome", image.attrs)
    found = attrs.get("multiscales") if isinstance(attrs, Mapping) else None
    if not (isinstance(found, list | tuple) and found and isinstance(found[0], Mapping)):
        return {}
    levels, axes = found[0].get("datasets") or [{}], found[0].get("axes") or []
    steps = [*levels[0].get("coordinateTransformations", []), *found[0].get("coordinateTransformations", [])]
    scales = [step["scale"] for step in steps if isinstance(step, Mapping) and step.get("type") == "scale" and "scale" in step]
    if not scales or any(len(scale) != len(axes) for scale in scales):
        return {}
    sizes = np.prod(np.array(scales, dtype=np.float64), axis=0)
    return {
        axis["name"]: (float(size), axis.get("unit")) for axis, size in zip(axes, sizes, strict=True) if axis.get("name") in SPACE
    }


def isotropic_sizes(
    image: xr.DataArray, voxel_size: Mapping[str, Length] | None = None
) -> tuple[dict[str, float], str | None]:
    """Return the voxel size of every dim of space, and the unit that all are in: that of the last one which has any.

    Dims of one voxel are left out.

    Parameters
    ----------
    image
        Coordinates (or OME metadata) give the sizes.
    voxel_size
        Sizes that count instead, by dim: numbers in the coordinate's unit, or strings with a unit.

    Raises
    ------
    ValueError
        A size is not known or not positive, ``voxel_size`` names a dim that is not one of space, or units do not compare.
    """
    given = dict(check_mapping(voxel_size, "voxel_size", "{'z': 2.0, 'y': '0.5 um'}"))
    if unknown := [dim for dim in given if dim not in SPACE]:
        raise ValueError(f"voxel_size names the dim {unknown[0]!r}; it is a mapping by dims of space: 'z', 'y', 'x'.")
    dims = [dim for dim in SPACE if dim in image.dims and (image.sizes[dim] > 1 or dim in given)]
    sizes = {dim: _sized(given.get(dim), image, dim) for dim in dims}
    target = next((unit for _, unit in reversed(sizes.values()) if unit), None)
    return {dim: size * _in_unit(dim, unit, target) for dim, (size, unit) in sizes.items()}, target


def _in_unit(dim: str, unit: str | None, target: str | None) -> float:
    factor = units_apart(unit, target)
    if factor is None:
        raise ValueError(f"{dim!r} is in {unit!r}, others in {target!r}, which do not compare; give voxel_size.")
    return factor


def edge_of(edge: Length | None, sizes: Mapping[str, float], unit: str | None) -> float:
    """Return the edge of new voxels in ``unit``, in which the ``sizes`` of the old ones are; None is the finest of these.

    Raises
    ------
    ValueError
        It has a unit, and the sizes have none that is a length.
    """
    if edge is None:
        return min(sizes.values(), default=1.0)
    if not isinstance(edge, str):
        return edge
    number, own = parse_length(edge, "size")
    length = metres(unit)
    if length is None:
        theirs = f"{unit!r}, which is no length" if unit else "none"
        raise ValueError(
            f"size={edge!r} has a unit, and the image's coordinates have {theirs}. Say theirs, e.g. "
            "image['x'].attrs['units'] = 'micrometer', or give the size as a number."
        )
    return float(f"{number * (metres(own) or 1.0) / length:.12g}")


def _sized(given: Length | None, image: xr.DataArray, dim: str) -> tuple[float, str | None]:
    """Return the voxel size along ``dim`` and its unit."""
    unit = unit_of(image, dim)
    if isinstance(given, str):
        size, own = parse_length(given, "voxel_size")
        apart = units_apart(own, unit) if metres(unit) else None
        return _positive(size * (apart or 1.0), dim), unit if apart else own
    if given is not None:
        return _positive(given, dim), unit
    return voxel_size(image, dim, "to_isotropic"), unit


def _positive(size: Any, dim: str) -> float:
    if not is_positive(size):
        raise ValueError(f"voxel_size of {dim!r} must be a finite number above 0, or a length such as '0.2 um'; got {size!r}.")
    return float(size)


def is_positive(value: Any) -> bool:
    """Whether ``value`` is a finite number above 0."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and np.isfinite(float(value)) and value > 0)
