"""Arithmetic on the channels of every pixel: sums, thresholds, normalisation.

Channels lie megabytes apart, so pixels are worked on a piece at a time: all channels of a piece fit the second cache,
are read from memory once, and the inner loops run along pixels, where they vectorise.
"""

from __future__ import annotations

import numpy as np

from xprep.kernels.compiling import compiled
from xprep.kernels.layout import contiguous, copy_row

# Pixels of a piece; of 40 channels it is 160 KiB.
PIECE = 1024


@compiled(error_model="numpy")
def sum_scaled(values, scales, out):
    """Write ``sum_c values[c] / scales[c]`` to ``out``, channel after channel, in the type of ``out``.

    Parameters
    ----------
    values : (c, n) bool, integers or floats
        NaN goes into its pixel's sum.
    scales : (c,)
        What each channel is divided by; rounded to the type of ``out`` first.
    out : (n,) float32 or float64
        Takes the sums; 0 where there are no channels.
    """
    total = np.zeros(PIECE, out.dtype)
    for start in range(0, out.size, PIECE):
        stop = min(start + PIECE, out.size)
        for channel in range(values.shape[0]):
            row = contiguous(values[channel, start:stop])
            _add_scaled(row, out.dtype.type(scales[channel]), total, channel == 0)
        copy_row(total, out[start:stop])


@compiled(error_model="numpy")
def _add_scaled(row, scale, total, first):
    if first:
        # Not 0 + value: that would turn −0.0 into 0.0.
        for i in range(row.size):
            total[i] = total.dtype.type(row[i]) / scale
    else:
        for i in range(row.size):
            total[i] += total.dtype.type(row[i]) / scale


@compiled(error_model="numpy")
def normalize_pixels(values, threshold, thresholded, norm_sum, divisors, cap, out):
    """Mask, normalise, divide and cap pixels that were already divided by their percentiles and blurred.

    With ``S`` the sum of a pixel's channels, in their order: all its channels are NaN where ``S`` is NaN, and, if
    ``thresholded``, unless ``S > threshold``. If ``norm_sum``, they are divided by ``S`` where it is positive, and NaN
    elsewhere. Then each is divided by its channel's divisor, and at most ``cap``. (SEMANTICS §1, steps 4 to 8.)

    Parameters
    ----------
    values : (c, n) float32 or float64
        Pixels, a channel a row.
    threshold : float
        A pixel whose sum is not above it goes.
    thresholded, norm_sum : bool
        Whether there is a threshold, and whether pixels are divided by their sums.
    divisors : (c,) float
        Ones to divide by nothing.
    cap : float
        Infinity for none; NaN stays NaN.
    out : (c, n) float32 or float64
        Takes the result; may be ``values`` itself.
    """
    share, result, known = np.zeros(PIECE, out.dtype), np.empty(PIECE, out.dtype), np.empty(PIECE, out.dtype)
    threshold, cap = out.dtype.type(threshold), out.dtype.type(cap)
    one = out.dtype.type(1)
    for start in range(0, out.shape[1], PIECE):
        stop = min(start + PIECE, out.shape[1])
        for channel in range(values.shape[0]):
            _add_scaled(contiguous(values[channel, start:stop]), one, share, channel == 0)
        _mask_sums(share, threshold, thresholded, norm_sum)
        for channel in range(values.shape[0]):
            # By way of a buffer: a loop from an array into itself does not vectorise.
            row = contiguous(values[channel, start:stop])
            _divide(row, share, out.dtype.type(divisors[channel]), result)
            if cap != np.inf:
                _cap(result[: stop - start], cap, known)
            copy_row(result, out[channel, start:stop])


@compiled()
def _mask_sums(share, threshold, thresholded, norm_sum):
    """Turn sums into what their pixel is divided by: NaN where it goes, the sum or 1 where it stays.

    No NaN is ever compared by size: that sets the processor's flag for invalid operations, of which numpy would warn
    after every ufunc. Hence the first loop, apart from the others so that the compiler cannot merge them.
    """
    if not (thresholded or norm_sum):
        for i in range(share.size):
            share[i] = 1 if share[i] == share[i] else np.nan
        return
    lowest = share.dtype.type(-np.inf)
    for i in range(share.size):
        share[i] = share[i] if share[i] == share[i] else lowest
    if thresholded:
        limit = threshold if threshold == threshold else -lowest
        for i in range(share.size):
            share[i] = share[i] if share[i] > limit else lowest
    if norm_sum:
        for i in range(share.size):
            share[i] = share[i] if share[i] > 0 else np.nan
    else:
        for i in range(share.size):
            share[i] = 1 if share[i] > lowest else np.nan


@compiled(error_model="numpy")
def _divide(row, share, divisor, result):
    for i in range(row.size):
        result[i] = result.dtype.type(row[i]) / share[i] / divisor


@compiled()
def _cap(result, cap, known):
    for i in range(result.size):
        known[i] = result[i] if result[i] == result[i] else cap
    for i in range(result.size):
        result[i] = cap if known[i] > cap else result[i]
