"""Local mean background: the pixel-integrated Gaussian of smlmlp, its noise factors, and the blur of the planes of a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, erf, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.blur import blur_plane, blur_plane_nan
from xprep.types import Array, Floats

# 99 % of a Gaussian lie within this many sigmas; taps beyond are zero.
CUT = 2.5758293035489004

Taps = NDArray[np.float32]


def mean_taps(sigma: float) -> Taps:
    """Return the weights of a local mean of standard deviation ``sigma`` pixels, float32, odd length, sum 1.

    A tap is the Gaussian integrated over its pixel; there are ``ceil(6 sigma)`` of them (one more where that is even), and
    those beyond 2.5758 sigma are zero (arrlp's kernel, which smlmlp uses with sigma = radius / 2).

    >>> mean_taps(0.5).round(4).tolist()
    [0.1573, 0.6854, 0.1573]
    """
    length = ceil(6 * sigma)
    half = length // 2 if length % 2 else (length + 1) // 2
    offsets = np.arange(-half, half + 1)
    edges = np.array([erf((x - 0.5) / (sigma * sqrt(2))) for x in (*offsets, half + 1)])
    weights = np.diff(edges) / 2
    weights[np.abs(offsets) > CUT * sigma] = 0
    taps = weights.astype(np.float32)
    return taps / taps.sum()


def half_of(taps: Taps) -> Floats:
    """Return symmetric ``taps`` from their centre outwards, without the zeros at the end."""
    half = taps[taps.size // 2 :]
    return half[: int(np.flatnonzero(half)[-1]) + 1].astype(np.float64)


def correction_taps(taps: Taps) -> Taps:
    """Return what is left of a single pixel: one at the centre, minus ``taps``."""
    rest = -taps
    rest[taps.size // 2] += np.float32(1)
    return rest


def noise_correction(taps_y: Taps, taps_x: Taps) -> float:
    """Return smlmlp's factor: the gain on white noise of (pixel minus mean) along y, then along x.

    That filter is the product of two differences; the difference from the product is `noise_gain`.
    """
    return float(np.prod([sqrt(np.sum(correction_taps(t).astype(np.float64) ** 2)) for t in (taps_y, taps_x)]))


def noise_gain(taps_y: Taps, taps_x: Taps) -> float:
    """Return the gain on white noise of image minus background, away from the image's borders.

    With weights ``w`` of the mean: ``sqrt(1 - 2 w_y(0) w_x(0) + sum w_y**2 sum w_x**2)``.
    """
    y, x = taps_y.astype(np.float64), taps_x.astype(np.float64)
    return sqrt(1 - 2 * y[y.size // 2] * x[x.size // 2] + np.sum(y**2) * np.sum(x**2))


@dataclass(frozen=True)
class Window:
    """What a plane of a block covers along one axis: samples ``[low, high)`` are there, ``[start, stop)`` are wanted.

    ``length`` is the whole image's: only its borders are extended, never a block's.
    """

    low: int
    high: int
    start: int
    stop: int
    length: int

    def cut(self, reach: int) -> tuple[slice, int, int]:
        """Return the samples to take for a window of ``reach``, and how often the first and the last are repeated."""
        first, last = self.start - reach, self.stop + reach
        taken = slice(max(first, 0) - self.low, min(last, self.length) - self.low)
        return taken, max(0, -first), max(0, last - self.length)


def mean_planes(
    block: Array,
    windows: tuple[Window, Window],
    halves: Sequence[tuple[Floats, Floats]],
    nan: Literal["propagate", "normalize"],
    out: Floats,
) -> None:
    """Write the local mean of every plane of ``block`` (plane, y, x) to ``out`` (plane, y, x), float32 or float64.

    ``halves`` are a plane's taps along y and x, from the centre outwards.
    """
    blur = blur_plane if nan == "propagate" else blur_plane_nan
    for plane, (half_y, half_x), target in zip(block, halves, out, strict=True):
        blur(_extended(plane, windows, (half_y.size - 1, half_x.size - 1)), half_y, half_x, 1.0, target)


def subtract_mean(block: Array, windows: tuple[Window, Window], clip: bool, out: Floats) -> None:
    """Replace the means in ``out`` by the image minus them, where ``clip`` not below zero."""
    (rows, *_), (columns, *_) = (window.cut(0) for window in windows)
    np.subtract(block[:, rows, columns], out, out=out, dtype=out.dtype, casting="unsafe")
    if clip:
        np.maximum(out, 0, out=out)


def _extended(plane: Array, windows: tuple[Window, Window], reach: tuple[int, int]) -> Array:
    """Return the part of ``plane`` a window needs, its edge repeated where the image ends."""
    (rows, top, bottom), (columns, left, right) = (w.cut(r) for w, r in zip(windows, reach, strict=True))
    inner = plane[rows, columns]
    height, width = inner.shape
    whole = np.empty((top + height + bottom, left + width + right), plane.dtype)
    # By hand: np.pad takes 50 us, as long as the blur of a plane of 256 x 256.
    middle = whole[top : top + height]
    middle[:, left : left + width] = inner
    middle[:, :left] = inner[:, :1]
    middle[:, left + width :] = inner[:, -1:]
    whole[:top] = middle[:1]
    whole[top + height :] = middle[-1:]
    return whole
