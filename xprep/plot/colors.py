"""Colours of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.plot.library import load_matplotlib


def label_colors(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a colour for every label: black for 0, and otherwise one that depends on nothing but the label.

    Parameters
    ----------
    labels : integers or booleans, any shape

    Returns
    -------
    uint8, the same shape and an axis for red, green and blue
        Neighbouring labels lie far apart: the hue goes on by the golden angle, and brightness and saturation take
        turns.

    Examples
    --------
    >>> label_colors(np.array([0, 1, 2, 1])).tolist()
    [[0, 0, 0], [110, 77, 255], [129, 255, 115], [110, 77, 255]]
    """
    hsv_to_rgb = load_matplotlib("colors").hsv_to_rgb
    found, where = np.unique(labels, return_inverse=True)
    number = found.astype(np.float64)
    hue = (number * 0.6180339887498949 + 0.08) % 1
    saturation = np.array([0.85, 0.7, 0.55])[(number % 3).astype(int)]
    value = np.array([1.0, 0.85])[(number // 3 % 2).astype(int)]
    colors = np.rint(255 * hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))).astype(np.uint8)
    colors[found == 0] = 0
    return colors[where.reshape(labels.shape)]  # type: ignore[no-any-return]
