"""Lengths in the units people think in, and the voxel size that turns them into pixels.

A number is in pixels; a string carries its unit: ``"0.5 um"``, ``"500 nm"``. The units are the lengths of OME-NGFF
(``"micrometer"``, ``"angstrom"``, ``"inch"`` …), in any spelling of "metre", and the symbols of the usual ones
(``um``, ``µm``, ``nm``, ``mm``, ``Å`` …).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xprep.ops.layout import SPACE

Length: TypeAlias = float | str

_PREFIXES = {
    "yotta": ("Y", 24), "zetta": ("Z", 21), "exa": ("E", 18), "peta": ("P", 15), "tera": ("T", 12), "giga": ("G", 9),
    "mega": ("M", 6), "kilo": ("k", 3), "hecto": ("h", 2), "": ("", 0), "deci": ("d", -1), "centi": ("c", -2),
    "milli": ("m", -3), "micro": ("u", -6), "nano": ("n", -9), "pico": ("p", -12), "femto": ("f", -15),
    "atto": ("a", -18),
    "zepto": ("z", -21), "yocto": ("y", -24),
}  # fmt: skip
_OTHERS = {
    "angstrom": 1e-10, "ångström": 1e-10, "å": 1e-10, "micron": 1e-6, "inch": 0.0254, "in": 0.0254, "foot": 0.3048,
    "ft": 0.3048, "yard": 0.9144, "yd": 0.9144, "mile": 1609.344, "mi": 1609.344,
    "parsec": 3.0856775814913673e16, "pc": 3.0856775814913673e16,
}  # fmt: skip
_NAMES = {f"{prefix}meter": 10.0**power for prefix, (_, power) in _PREFIXES.items()} | _OTHERS
_SYMBOLS = {f"{symbol}m": 10.0**power for symbol, power in _PREFIXES.values()}  # case counts: Mm is not mm
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.*?)\s*")


def metres(unit: Any) -> float | None:
    """Return the length of ``unit`` in metres, or None where it is no length.

    >>> metres("micrometer"), metres("µm"), metres("microns"), metres("pixel")
    (1e-06, 1e-06, 1e-06, None)
    """
    text = str(unit).strip().replace("µ", "u").replace("μ", "u").replace("Å", "å")  # both signs for micro
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    name = text.lower().replace("metre", "meter")
    return _NAMES.get(name, _NAMES.get(name.removesuffix("s")))


def parse_length(text: str, argument: str) -> tuple[float, str]:
    """Return the number and the unit of ``text``.

    >>> parse_length("0.5 um", "radius")
    (0.5, 'um')

    Raises
    ------
    ValueError
        It is not a number followed by a unit of length.
    """
    found = _NUMBER.fullmatch(text)
    if not found or metres(found[2]) is None:
        raise ValueError(
            f"{argument} got {text!r}, which is no length. Give a number of pixels, or a number and a unit of length, "
            f"e.g. '0.5 um', '500 nm' or '0.5 micrometer'."
        )
    return float(found[1]), found[2]


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
    attrs = image.coords[dim].attrs if dim in image.coords else {}
    return attrs.get("units") or attrs.get("unit") or _ome(image).get(dim, (None, None))[1]


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


def spacing(image: xr.DataArray, dim: str) -> float | None:
    """Return the step of ``dim``'s coordinate, or None where there is none that tells.

    A single voxel's is the coordinate's attribute ``spacing``, which the writer reads too.

    Raises
    ------
    ValueError
        Steps differ by more than a thousandth: there is no one voxel size.
    """
    if dim not in image.coords or image.coords[dim].dtype.kind not in "iuf":
        return None
    if image.sizes[dim] == 1:
        told = image.coords[dim].attrs.get("spacing")
        return None if told is None else float(told)
    values = image.coords[dim].values.astype(np.float64)
    steps = np.diff(values)
    mean = (values[-1] - values[0]) / (values.size - 1)
    # Coordinates in float32, or at 1e6 µm from the origin, wobble by rounding; that is no uneven spacing.
    wobble = 1e-3 * abs(mean) + 8 * np.finfo(np.float32).eps * np.abs(values).max()
    if mean == 0 or not np.abs(steps - mean).max() <= wobble:  # NaN is no distance either
        raise ValueError(
            f"the coordinate of {dim!r} is not evenly spaced: its steps go from {steps.min():g} to {steps.max():g}. "
            f"There is no one voxel size; interpolate the image to even steps first, or give voxel_size or pixels."
        )
    return float(f"{mean:.12g}")  # 0.202, not 0.20200000000000062: sizes are made from it


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


def isotropic_sizes(image: xr.DataArray, voxel_size: Mapping[str, Length] | None = None) -> dict[str, float]:
    """Return the voxel size of every dim of space, all in the unit of the last of them; dims of one voxel are left out.

    Parameters
    ----------
    image
        Coordinates (or OME metadata) give the sizes.
    voxel_size
        Sizes that count instead, by dim: numbers in the coordinate's unit, or strings with a unit.

    Raises
    ------
    ValueError
        A size is not known or not positive, or ``voxel_size`` names a dim that is none of space.
    """
    given = dict(voxel_size or {})
    if unknown := [dim for dim in given if dim not in SPACE]:
        raise ValueError(f"voxel_size names the dim {unknown[0]!r}; it is a mapping by dims of space: 'z', 'y', 'x'.")
    dims = [dim for dim in SPACE if dim in image.dims and (image.sizes[dim] > 1 or dim in given)]
    sizes = {dim: _sized(given.get(dim), image, dim) for dim in dims}
    units = [unit for _, unit in sizes.values() if unit is not None]
    target = metres(units[-1]) if units else None
    return {dim: size if unit is None or not target else size * _in_terms_of(unit, target) for dim, (size, unit) in sizes.items()}


def _sized(given: Length | None, image: xr.DataArray, dim: str) -> tuple[float, str | None]:
    """Return the voxel size along ``dim`` and its unit."""
    unit = unit_of(image, dim)
    if isinstance(given, str):
        size, own = parse_length(given, "voxel_size")
        length = metres(unit) if unit is not None else None
        return _positive(size * _in_terms_of(own, length) if length else size, dim), unit if length else own
    if given is not None:
        return _positive(given, dim), unit
    return voxel_size(image, dim, "to_isotropic"), unit


def _in_terms_of(unit: str, target: float) -> float:
    length = metres(unit)
    return 1.0 if length is None else float(f"{length / target:.12g}")


def _positive(size: Any, dim: str) -> float:
    if not isinstance(size, int | float | np.number) or isinstance(size, bool) or not np.isfinite(size) or size <= 0:
        raise ValueError(f"voxel_size of {dim!r} must be a finite number above 0, or a length such as '0.2 um'; got {size!r}.")
    return float(size)
