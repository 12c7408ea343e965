"""The forms a radius is given in, and its one form inside: (y, x) of every channel, in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xprep.dims.lengths import Length
from xprep.ops.layout import PLANE, channel_names
from xprep.ops.units import in_pixels

Pair: TypeAlias = tuple[Length, Length]
Radius: TypeAlias = Length | Sequence[Length | Pair] | Mapping[Any, Length | Pair]


def radii_of(radius: Any, image: xr.DataArray) -> list[tuple[float, float]]:
    """Return (y, x) of every channel, in pixels."""
    names = channel_names(image)
    return [_pair(one, image) for one in _by_channel(radius, names)]


def _by_channel(radius: Any, names: tuple[Any, ...]) -> list[Any]:
    """Return what was given for every channel: something for all, or one each."""
    if isinstance(radius, Mapping) and not (set(radius) <= set(PLANE) and not set(radius) <= set(names)):
        return _from_mapping(radius, names)
    if isinstance(radius, Mapping) or not _is_nested(radius):
        return [radius] * len(names)
    values = list(radius)
    if len(values) == 2 and not any(_is_nested(value) for value in values):
        return [values] * len(names)
    if len(values) != len(names):
        raise ValueError(
            f"radius has {len(values)} values, and the image {len(names)} channels. Give one number, two numbers "
            f"(y, x), or one number or pair a channel."
        )
    return values


def _from_mapping(radius: Mapping[Any, Any], names: tuple[Any, ...]) -> list[Any]:
    unknown = [name for name in radius if name not in names]
    if unknown:
        raise KeyError(
            f"radius names {unknown[0]!r}; the image has the channels {list(names)}, and the dims of a radius are 'y' and 'x'."
        )
    missing = [name for name in names if name not in radius]
    if missing:
        raise ValueError(f"radius names {list(radius)}, but not the channel {missing[0]!r}; give every channel its radius.")
    return [radius[name] for name in names]


def _pair(value: Any, image: xr.DataArray) -> tuple[float, float]:
    """Return one channel's radii along y and x."""
    if isinstance(value, Mapping):
        if set(value) != set(PLANE):
            raise ValueError(f"radius by dim needs 'y' and 'x'; got {dict(value)!r}.")
        both = [value[dim] for dim in PLANE]
    else:
        both = list(value) if _is_nested(value) else [value, value]
    if len(both) != 2:
        raise ValueError(f"radius of a channel is a number or a pair (y, x); got {value!r}.")
    y, x = (_check_radius(in_pixels(one, image, dim, "radius"), one) for one, dim in zip(both, PLANE, strict=True))
    return y, x


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (np.iterable(value) and not isinstance(value, str))


def _check_radius(value: Any, given: Any) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value <= 0:
        raise ValueError(f"radius must be a finite number of pixels above 0, or a length such as '1.4 um'; got {given!r}.")
    return float(value)
