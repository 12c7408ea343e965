"""Local mean background: the pixel-integrated Gaussian of smlmlp, its noise factors, and the means of a tile."""

from __future__ import annotations

from math import ceil, erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.subtract import subtract_blur
from xprep.kernels.tiles import Halves, blur_tile
from xprep.kernels.windows import Margins, fit_margins
from xprep.types import Array, Floats

# 99 % of a Gaussian lie within this many sigmas; taps beyond are zero.
CUT = 2.5758293035489004

Taps = NDArray[np.float32]


def mean_taps(sigma: float) -> Taps:
    """Return the weights of a local mean of standard deviation ``sigma`` pixels, float32, odd length, sum 1.

    A tap is the Gaussian integrated over its pixel; there are ``ceil(6 sigma)`` of them (one more where that is even),
    and those beyond 2.5758 sigma are zero (arrlp's kernel, which smlmlp uses with sigma = radius / 2).

    >>> [round(float(tap), 4) for tap in mean_taps(0.5)]
    [0.1577, 0.6845, 0.1577]
    """
    length = ceil(6 * sigma)
    half = length // 2 if length % 2 else (length + 1) // 2
    offsets = np.arange(-half, half + 1)
    edges = np.array([erf((x - 0.5) / (sigma * sqrt(2))) for x in (*offsets, half + 1)])
    weights = np.diff(edges) / 2
    weights[np.abs(offsets) > CUT * sigma] = 0
    taps = weights.astype(np.float32)
    normal: Taps = taps / taps.sum()
    return normal


def half_of(taps: Taps) -> Floats:
    """Return symmetric ``taps`` from their centre outwards in float64, without the zeros at the end.

    Their sum is 1 in float64: what float32 leaves, 6e-8, is 2 in a background of 3e7.
    """
    half = taps[taps.size // 2 :].astype(np.float64)
    whole: Floats = half[: int(np.flatnonzero(half)[-1]) + 1] / (2 * half.sum() - half[0])
    return whole


def correction_taps(taps: Taps) -> Taps:
    """Return what is left of a single pixel: one at the centre, minus ``taps``."""
    rest = np.float32(0) - taps
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


def mean_tile(tile: Array, halves: Halves, margins: Margins, dtype: Any, skipna: bool) -> Array:
    """Return the local mean of the planes of a tile (c, ..., y, x); the image's edge is repeated beyond it."""
    return blur_tile(tile, halves, margins, np.ones(tile.shape[0]), dtype, "nearest", skipna)


def subtract_mean_tile(tile: Array, halves: Halves, margins: Margins, dtype: Any, skipna: bool, clip: bool) -> Array:
    """Return a tile minus its local mean, not below zero where ``clip``; differences are taken in float64."""
    if skipna and tile.dtype.kind == "f":
        means = mean_tile(tile, halves, margins, np.float64, skipna)
        rows, columns = (slice(before, size - after) for (before, after), size in zip(margins, tile.shape[-2:], strict=True))
        with np.errstate(over="ignore", invalid="ignore"):  # inf - inf is NaN, in silence as in the other loop
            out = (tile[..., rows, columns] - means).astype(dtype)
    else:
        out = _subtracted(tile, halves, margins, dtype)
    return np.maximum(out, 0, out=out) if clip else out


def _subtracted(tile: Array, halves: Halves, margins: Margins, dtype: Any) -> Array:
    (top, bottom), (left, right) = margins
    out = np.empty((*tile.shape[:-2], tile.shape[-2] - top - bottom, tile.shape[-1] - left - right), dtype)
    for index in np.ndindex(*tile.shape[:-2]):
        half_y, half_x = halves[index[0]]
        plane = fit_margins(tile[index], margins, (len(half_y) - 1, len(half_x) - 1), "nearest")
        subtract_blur(plane, half_y, half_x, out[index])
    return out
