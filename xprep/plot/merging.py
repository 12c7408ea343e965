"""Channels over each other, each in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.plot.panels import window_of


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
