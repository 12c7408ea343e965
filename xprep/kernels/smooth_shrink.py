"""Shrinking by a Gaussian: every new pixel is the weighted mean of the pixels around its centre.

The centre of a block of an even number of pixels lies between two of them. The weights are the Gaussian's values at the
pixels' distances from that centre, so that nothing is shifted by half a pixel, as blurring first and sampling then
would.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log, prod, sqrt

import numpy as np

from xprep.kernels.compiling import compiled

TRUNCATE = 4.0  # sigmas: what lies beyond has 6e-5 of the weight


def gaussian_sigma(factor: int) -> float:
    """Return the standard deviation of the blur for a factor, in pixels before shrinking.

    A pixel is taken for a Gaussian whose full width at half maximum is its size: blurring makes it ``factor`` times as
    wide (Cardoso et al., MICCAI 2015).

    Examples
    --------
    >>> [round(gaussian_sigma(factor), 3) for factor in (1, 2, 4)]
    [0.0, 0.736, 1.645]
    """
    return sqrt((factor**2 - 1) / (8 * log(2)))


def gaussian_reach(factor: int) -> int:
    """Return how many pixels beyond its block a new pixel is made of, on either side.

    Examples
    --------
    >>> [gaussian_reach(factor) for factor in (1, 2, 3, 4)]
    [0, 2, 3, 5]
    """
    return floor(TRUNCATE * gaussian_sigma(factor) - (factor - 1) / 2)


def shrink_gaussian(block: np.ndarray, factors: Sequence[int], starts: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Shrink every axis by its factor.

    At the image's edges, weights are those of the pixels that there are. A NaN reaches every pixel that it is a part
    of.

    Parameters
    ----------
    block : array of bool, integers or floats
        The blocks of the new pixels, with the `gaussian_reach` around them so far as the image has it.
    factors : sequence of int
        One per axis, at least 1.
    starts : sequence of int
        Position in ``block`` where the first new pixel's block begins, per axis.
    shape : sequence of int
        Of the result.

    Returns
    -------
    array
        Of ``block``'s dtype; integers round half to even. Sums are made in float64, so 64-bit integers are right to 53
        bits.
    """
    values = np.ascontiguousarray(block).view(np.uint8) if block.dtype == bool else block
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    for axis, factor in enumerate(factors):
        if factor > 1:
            values = _along(values, axis, factor, starts[axis], shape[axis])
    return block.copy() if values is block else _rounded(values, block.dtype)


def _along(values: np.ndarray, axis: int, factor: int, start: int, length: int) -> np.ndarray:
    rest = values.shape[:axis], values.shape[axis + 1 :]
    source = np.ascontiguousarray(values).reshape(prod(rest[0]), values.shape[axis], prod(rest[1])).view()
    source.flags.writeable = False
    out = np.empty((source.shape[0], length, source.shape[2]))
    first = start - gaussian_reach(factor)
    (_smooth_rows if source.shape[2] > 1 else _smooth_pixels)(source, first, _weights(factor), factor, out)
    return out.reshape(*rest[0], length, *rest[1])


def _weights(factor: int) -> np.ndarray:
    reach, sigma = gaussian_reach(factor), gaussian_sigma(factor)
    offsets = np.arange(-reach, factor + reach) - (factor - 1) / 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    normalised: np.ndarray = weights / weights.sum()
    return normalised


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    whole = values if dtype.kind == "f" else np.rint(values)
    if dtype.kind != "f" and dtype.itemsize == 8:  # their largest values are no float64: the next one above would wrap around
        whole = np.minimum(whole, np.nextafter(float(np.iinfo(dtype).max), 0))
    rounded: np.ndarray = whole.astype(dtype)
    return rounded


@compiled()
def _window(first, count, length, weights):
    """Return which weights lie on pixels, and what makes their sum 1."""
    begin, end = max(0, -first), min(count, length - first)
    total = 0.0
    for k in range(begin, end):
        total += weights[k]
    return begin, end, 1.0 if begin == 0 and end == count else 1.0 / total


@compiled()
def _smooth_rows(source, first, weights, factor, out):
    """Shrink the middle axis, whole rows at a time."""
    for a in range(out.shape[0]):
        for i in range(out.shape[1]):
            low = first + i * factor
            begin, end, scale = _window(low, weights.size, source.shape[1], weights)
            target = out[a, i]
            target[:] = 0
            for k in range(begin, end):
                weight, row = weights[k] * scale, source[a, low + k]
                for x in range(row.size):
                    target[x] += weight * row[x]


@compiled()
def _smooth_pixels(source, first, weights, factor, out):
    """Shrink the last axis."""
    for a in range(out.shape[0]):
        row = source[a, :, 0]
        for i in range(out.shape[1]):
            low = first + i * factor
            begin, end, scale = _window(low, weights.size, row.size, weights)
            total = 0.0
            for k in range(begin, end):
                total += weights[k] * scale * row[low + k]
            out[a, i, 0] = total
