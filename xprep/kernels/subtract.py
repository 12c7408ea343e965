"""A plane minus its blur, in one sweep: as `xprep.kernels.blur`, whose steps these are."""

from __future__ import annotations

import numpy as np

from xprep.kernels.blur import STRIDE, STRIP, check_planes, load_row, plain_plane, pull_row, push_row, taps_of
from xprep.kernels.compiling import compiled
from xprep.kernels.layout import contiguous


def subtract_blur(padded: np.ndarray, half_y: np.ndarray, half_x: np.ndarray, out: np.ndarray) -> None:
    """Write a plane minus its blur; the difference is taken in float64 and rounded once to the type of ``out``.

    Sums are in float64 too: in float32 that of values about 3e7 is off by 6, more than most signals. Only those of integers
    of up to 16 bits are in float32, right to 0.02: float64 takes 1.8 times as long.

    Parameters
    ----------
    padded, half_y, half_x, out
        As for `blur_plane`.

    Raises
    ------
    ValueError
        As for `blur_plane`.
    """
    check_planes(padded, half_y, half_x, out)
    padded = padded.view(np.uint8) if padded.dtype == np.bool_ else padded  # compiled differences know no booleans
    small = padded.dtype.kind in "bui" and padded.dtype.itemsize <= 2 and out.dtype == np.float32
    sums = np.dtype(np.float32 if small else np.float64)
    _subtract_blur(plain_plane(padded), taps_of(half_y, sums), taps_of(half_x, sums), out)


@compiled()
def _subtract_blur(padded, half_y, half_x, out):
    height, width = out.shape
    radius_y, radius_x = half_y.size - 1, half_x.size - 1
    line = np.empty(STRIP + 2 * radius_x, half_x.dtype)
    ring = np.empty(2 * (2 * radius_y + 1) * STRIDE, half_x.dtype)
    means = np.empty(STRIP, half_x.dtype)
    for left in range(0, width, STRIP):
        span = min(STRIP, width - left)
        for y in range(height + 2 * radius_y):
            load_row(contiguous(padded[y, left : left + span + 2 * radius_x]), 1, line)
            push_row(line, half_x, half_y, y, span, ring)
            if y >= 2 * radius_y:
                pull_row(ring, half_y, y - 2 * radius_y, means[:span])
                values = padded[y - radius_y, left + radius_x : left + radius_x + span]
                _subtract(contiguous(values), means, out[y - 2 * radius_y, left : left + span])


@compiled()
def _subtract(values, means, out):
    for x in range(out.size):
        out[x] = float(values[x]) - means[x]
