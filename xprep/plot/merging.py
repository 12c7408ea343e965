"""Channels over each other, each in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.ops.shown_channels import wanted_channels
from xprep.plot.panels import window_of

# Where an image does not say: two that add up to white, and then such as are told apart without red and green.
PALETTES: Final = {1: ("FFFFFF",), 2: ("00FF00", "FF00FF"), 3: ("00FFFF", "FF00FF", "FFFF00")}
MANY: Final = ("0072FF", "FF9500", "00C853", "FF3DBB", "FFE600", "00E5FF", "B26BFF", "FF4B3E")


def colors_of(image: xr.DataArray) -> list[str]:
    """Return the colour of every channel, RRGGBB: those of ``attrs["omero"]``, unless one lacks or all are the same.

    Examples
    --------
    >>> import xprep
    >>> colors_of(xprep.datasets.blobs(channels=2, shape=(8, 8)))
    ['00FF00', 'FF00FF']
    """
    told = [channel.color for channel in wanted_channels(image) if channel is not None]
    count = image.sizes["c"]
    if len(told) == count and (count == 1 or len(set(told)) > 1):
        return told
    chosen = PALETTES.get(count, MANY)
    return [chosen[i % len(chosen)] for i in range(count)]


def merged(pictures: NDArray[Any], colors: Sequence[str]) -> NDArray[np.float32]:
    """Return the sum of pictures (c, y, x) in their colours, each from its darkest to its brightest grey; NaN is black.

    Returns
    -------
    float32, (y, x, 3), from 0 to 1
    """
    total = np.zeros((*pictures.shape[1:], 3), np.float32)
    for picture, color in zip(pictures, colors, strict=True):
        low, high = window_of(picture)
        grey = np.nan_to_num(np.clip((picture.astype(np.float32) - low) / (high - low), 0, 1))
        total += grey[..., None] * np.frombuffer(bytes.fromhex(color), np.uint8) / np.float32(255)
    return np.minimum(total, 1)
