"""Checks of parameters, and their one form inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE, check_dims
from xprep.dims.channels import channel_names, is_channel, values_by_position
from xprep.dims.labelled import ByLabel, labelled
from xprep.dims.voxel_sizes import in_pixels


def check_percentile(value: float | None, name: str) -> float | None:
    """Return a percentile, 0–100, or None.

    Between 0 and 1 it would be a quantile's value, except for ``p_sum``, where few pixels are to be left out.

    Raises
    ------
    ValueError
        It is not a finite number between 0 and 100, or looks like a quantile.
    """
    if value is None:
        return None
    if isinstance(value, bool) or np.ndim(value) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{name} must be one percentile between 0 and 100, or None; got {value!r}.")
    if not 0 <= float(value) <= 100:
        raise ValueError(f"{name} is a percentile and must lie between 0 and 100; got {value!r}.")
    if 0 < float(value) < 1 and name != "p_sum":
        raise ValueError(f"{name} is a percentile: percentiles are 0–100, {name}={float(value) * 100:g}; got {value!r}.")
    return float(value)


def check_quantiles(q: Any) -> tuple[float, ...]:
    """Return quantiles, 0–1, as a tuple.

    Raises
    ------
    ValueError
        One of them is not between 0 and 1.
    """
    try:
        if np.asarray(q).dtype.kind in "bO":
            raise TypeError  # numpy makes numbers of them: NaN of None, 1 of True
        values = np.atleast_1d(np.asarray(q, dtype=float))
    except (TypeError, ValueError):
        raise TypeError(f"q must be a number or a one-dimensional sequence of numbers, 0 to 1; got {q!r}.") from None
    if values.ndim != 1 or not values.size:
        raise ValueError(f"q must be a number or a one-dimensional sequence; got the shape {values.shape}.")
    wrong = values[~((values >= 0) & (values <= 1))]
    if wrong.size:
        hint = f" Did you mean q={wrong[0] / 100:g}? Percentiles (0–100) are normalize's p." if 1 < wrong[0] <= 100 else ""
        raise ValueError(f"q must lie between 0 and 1; got {float(wrong[0])!r}.{hint}")
    return tuple(values.tolist())


def check_choice(value: Any, choices: Sequence[Any], name: str) -> Any:
    """Return ``value`` if it is one of ``choices``.

    Raises
    ------
    ValueError
        It is not.
    """
    if np.ndim(value) or isinstance(value, bool | np.bool_) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
    return value


def check_sigma(value: Any, what: str = "sigma") -> float:
    """Return one standard deviation in pixels.

    Raises
    ------
    ValueError
        It is negative, NaN, infinite or no number.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(float(value)) or value < 0:
        raise ValueError(f"{what} must be a finite number of pixels, 0 or more; got {value!r}.")
    return float(value)


def channel_sigmas(sigma: Any, image: xr.DataArray) -> tuple[float, ...]:
    """Return one sigma a channel, for y and x: from one value, a sequence in channel order, values by name, or None (0).

    Channels that are not named are left as they are.

    Raises
    ------
    ValueError
        There are too few or too many, or one is not a sigma; a length is not as many pixels along y as along x.
    KeyError
        A channel is unknown.
    """
    if sigma is None:
        return (0.0,) * len(channel_names(image))
    pairs = _plane_sigmas_by_channel(labelled(sigma, "sigma", CHANNEL), image)
    uneven = [pair for pair in pairs if pair["y"] != pair["x"]]
    if uneven:
        raise ValueError(
            f"sigma={sigma!r} is {uneven[0]['y']:g} pixels along y and {uneven[0]['x']:g} along x: the voxels are not square, "
            f"and this blur is as wide along y as along x. Give pixels, or make the voxels square first (to_isotropic)."
        )
    return tuple(pair["y"] for pair in pairs)


def plane_sigmas(value: Any, image: xr.DataArray, what: str = "sigma") -> dict[str, float]:
    """Return one value, in pixels or a length with a unit, as sigmas along y and x in pixels."""
    return {dim: check_sigma(in_pixels(value, image, dim, what), what) for dim in PLANE}


def _plane_sigmas_by_channel(sigma: Any, image: xr.DataArray) -> list[dict[str, float]]:
    """Return the sigmas along y and x of every channel, of what `labelled` gave."""
    names = channel_names(image)
    if isinstance(sigma, ByLabel):
        values = values_by_position(sigma, names, "sigma")
        found = [labelled(values.get(i, 0.0), "sigma", CHANNEL) for i in range(len(names))]
        return [plane_sigmas(value, image, f"sigma of channel {name!r}") for name, value in zip(names, found, strict=True)]
    if isinstance(sigma, str) or not np.iterable(sigma):
        return [plane_sigmas(sigma, image)] * len(names)
    pairs = [plane_sigmas(labelled(value, "sigma", CHANNEL), image) for value in sigma]
    if len(pairs) != len(names):
        raise ValueError(f"sigma has {len(pairs)} values for {len(names)} channels; give one a channel, or one number for all.")
    return pairs


def dim_sigmas(sigma: Any, image: xr.DataArray) -> tuple[dict[str, float], ...]:
    """Return the sigmas by dim of every channel: from a number (y and x), values by dim or by channel, or a sequence per channel.

    Labels are dims, or, where none of them is one, channels; those that are not named are left as they are.

    Raises
    ------
    ValueError
        A dim is unknown, a sigma is not one, or there is not one a channel.
    """
    given = labelled(sigma, "sigma", CHANNEL)
    if given is None:
        raise ValueError("sigma must be a number, a mapping by dim or a sequence per channel; got None.")
    if not isinstance(given, ByLabel) or _are_channels(given.labels, image):
        return tuple(_plane_sigmas_by_channel(given, image))
    check_dims(given.labels, image, "sigma")
    if CHANNEL in given.labels:
        raise ValueError("sigma cannot blur along the channels 'c'; give a sequence for one sigma a channel.")
    sigmas = {
        str(dim): check_sigma(in_pixels(value, image, str(dim), f"sigma of {dim!r}"), f"sigma of {dim!r}")
        for dim, value in given.mapping("sigma").items()
    }
    return (sigmas,) * image.sizes.get(CHANNEL, 1)


def _are_channels(labels: Sequence[Any], image: xr.DataArray) -> bool:
    """Whether labels name channels: none is a dim, and one at least is a channel."""
    names = channel_names(image)
    return not set(labels) & set(image.dims) and any(is_channel(label, names) for label in labels)


def working_dtype(dtype: Any, source: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type to work in: float32 or float64; None keeps floats (float16 becomes float32), integers become float64.

    Raises
    ------
    ValueError
        Another type is asked for.
    """
    if dtype is None:
        return np.dtype(np.float32 if source.kind == "f" and source.itemsize <= 4 else np.float64)
    try:
        wanted: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise ValueError(f"dtype must be float32, float64 or None; got {dtype!r}.") from error
    if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32, float64 or None, because percentiles are fractions; got {dtype!r}.")
    return wanted
