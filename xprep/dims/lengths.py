"""Lengths in the units people think in.

The units are the lengths of OME-NGFF (``"micrometer"``, ``"angstrom"``, ``"inch"`` …), in any spelling of "metre", and the
symbols of the usual ones (``um``, ``µm``, ``nm``, ``mm``, ``Å`` …).
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import xarray as xr

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


def told_unit(coord: xr.DataArray) -> str | None:
    """Return the unit of a coordinate: its attribute ``units``, or ``unit``."""
    return coord.attrs.get("units") or coord.attrs.get("unit")


def units_apart(one: str | None, other: str | None) -> float | None:
    """Return how many of unit ``other`` one of unit ``one`` is; None where that is not known.

    Where either says nothing, or both the same, numbers are taken as they are.

    >>> units_apart("mm", "um"), units_apart(None, "um"), units_apart("second", "um")
    (1000.0, 1.0, None)
    """
    if not one or not other or one == other:
        return 1.0
    lengths = metres(one), metres(other)
    if lengths[0] is None or lengths[1] is None:
        return None
    return float(f"{lengths[0] / lengths[1]:.12g}")
