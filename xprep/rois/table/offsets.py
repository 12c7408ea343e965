"""From positions to offsets in an array, and the windows that are written at them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.rois import fill_pixels
from xprep.rois.table.window_centers import Centers
from xprep.types import Array


def flat_offsets(columns: Sequence[NDArray[np.int64]], lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return the offset of each position in a contiguous array of ``lengths``; positions lie inside."""
    offsets = columns[0]
    for column, length in zip(columns[1:], lengths[1:], strict=True):
        offsets = offsets * length + column
    return offsets


def fill_windows(
    lam: Array,
    rois: NDArray[np.int64],
    columns: tuple[NDArray[np.int64] | None, NDArray[np.int64], NDArray[np.int64]],
    centers: Centers,
    width: int,
    fill_value: float,
    depth: int | None,
) -> Array:
    """Return windows of weights, (roi, [z], y, x); of the ``columns`` z, y, x, z counts with ``depth``."""
    side = 2 * width + 1
    planes, ypix, xpix = columns
    y, x = ypix - centers.y[rois] + width, xpix - centers.x[rois] + width
    inside = (y >= 0) & (y < side) & (x >= 0) & (x < side)
    shape: tuple[int, ...] = (centers.y.size, side, side)
    places = [rois[inside], y[inside], x[inside]]
    if depth is not None and planes is not None:
        shape = (shape[0], depth, side, side)
        places.insert(1, planes[inside])
    return fill_pixels(np.full(shape, fill_value, np.float32), flat_offsets(places, shape), lam[inside])
