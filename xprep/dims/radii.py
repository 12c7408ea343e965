"""The forms a radius is given in, and its one form inside: (y, x) of every channel, in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE
from xprep.dims.channels import channel_names, values_by_position
from xprep.dims.labelled import ByLabel, labelled
from xprep.dims.lengths import Length
from xprep.dims.voxel_sizes import in_pixels

Pair: TypeAlias = tuple[Length, Length]
Radius: TypeAlias = Length | Sequence[Length | Pair] | Mapping[Any, Length | Pair]


def radii_of(radius: Any, image: xr.DataArray) -> list[tuple[float, float]]:
    """Return (y, x) of every channel, in pixels."""
    return [_pair(one, image) for one in _by_channel(labelled(radius, "radius", CHANNEL), channel_names(image))]


def _by_channel(radius: Any, names: tuple[Any, ...]) -> list[Any]:
    """Return what was given for every channel: something for all, or one each."""
    if isinstance(radius, ByLabel) and not (set(radius.labels) <= set(PLANE) and not set(radius.labels) <= set(names)):
        return _of_every(radius, names)
    if isinstance(radius, ByLabel) or not _is_nested(radius):
        return [radius] * len(names)
    values = [labelled(value, "radius", CHANNEL) for value in radius]
    if len(values) == 2 and not any(_is_nested(value) for value in values):
        return [values] * len(names)
    if len(values) != len(names):
        raise ValueError(
            f"radius has {len(values)} values, and the image {len(names)} channels. Give one number, two numbers "
            f"(y, x), or one number or pair a channel."
        )
    return values


def _of_every(radius: ByLabel, names: tuple[Any, ...]) -> list[Any]:
    """Return the radius of every channel, by their names: a radius has no 0 that would leave a channel as it is."""
    try:
        found = values_by_position(radius, names, "radius")
    except KeyError as error:
        raise KeyError(f"{error.args[0]} The dims of a radius are 'y' and 'x'.") from None
    if missing := [name for i, name in enumerate(names) if i not in found]:
        raise ValueError(
            f"radius names {list(radius.labels)}, but not the channel {missing[0]!r}; give every channel its radius."
        )
    return [found[i] for i in range(len(names))]


def _pair(given: Any, image: xr.DataArray) -> tuple[float, float]:
    """Return one channel's radii along y and x."""
    value = labelled(given, "radius", CHANNEL)
    if isinstance(value, ByLabel):
        if set(value.labels) != set(PLANE):
            raise ValueError(f"radius by dim needs 'y' and 'x'; got {list(value.labels)}.")
        both = [value.mapping("radius")[dim] for dim in PLANE]
    else:
        both = list(value) if _is_nested(value) else [value, value]
    if len(both) != 2:
        raise ValueError(f"radius of a channel is a number or a pair (y, x); got {value!r}.")
    y, x = (_check_radius(in_pixels(one, image, dim, "radius"), one) for one, dim in zip(both, PLANE, strict=True))
    return y, x


def _is_nested(value: Any) -> bool:
    return isinstance(value, ByLabel) or (np.iterable(value) and not isinstance(value, str))


MAX_RADIUS: Final = 1e6  # pixels; the kernel has 3 taps for each


def _check_radius(value: Any, given: Any) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(float(value)) or not 0 < value <= MAX_RADIUS:
        allowed = f"a finite number of pixels above 0, at most {MAX_RADIUS:g}, or a length such as '1.4 um'"
        raise ValueError(f"radius must be {allowed}; got {given!r}.")
    return float(value)
