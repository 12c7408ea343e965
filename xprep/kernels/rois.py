"""Loops over the pixels of ROIs: writing masks, summing frames.

Every offset was proven to lie inside its array before a loop here sees it (`check_offsets`).
"""

import mmap
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.compiling import compiled
from xprep.types import Array

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def check_offsets(offsets: Array, size: int) -> None:
    """Raise unless every one of ``offsets`` lies in ``[0, size)``; compiled loops do not look themselves."""
    if offsets.size and (offsets.min() < 0 or offsets.max() >= size):
        raise ValueError(f"pixels at offsets {offsets.min()} to {offsets.max()} do not fit into an array of {size} elements.")


def frozen(array: Array) -> Array:
    """Return a contiguous, read-only view: one form is compiled, wherever a task got its array from."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def allocate_zeros(shape: Sequence[int], dtype: Any) -> Array:
    """Return zeros whose pages cost nothing until they are written.

    numpy asks for huge pages (2 MiB), of which one pixel touches a whole one: 2000 masks of 512 x 512 then
    occupy all of their 2 GiB. In pages of 4 KiB they occupy what the ROIs touch, some 5 % of it.
    """
    nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if nbytes < 2**22 or not sys.platform.startswith("linux"):
        return np.zeros(shape, dtype)
    memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def fill_pixels(canvas: Array, offsets: Ints, values: Array) -> Array:
    """Write ``values`` at flat ``offsets`` of a contiguous ``canvas``; of an offset listed twice, the last wins."""
    check_offsets(offsets, canvas.size)
    _fill(canvas.reshape(-1), frozen(offsets), frozen(np.asarray(values, canvas.dtype)))
    return canvas


@compiled()
def _fill(canvas, offsets, values):
    for i in range(offsets.size):
        canvas[offsets[i]] = values[i]


@compiled()
def fill_mask(lam, ypix, xpix, canvas, out):
    """Copy ``canvas`` to ``out`` and write ``lam`` at the pixels that lie in it; of one listed twice, the last wins."""
    height, width = canvas.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = canvas[y, x]
    for i in range(lam.size):
        y = ypix[i]
        x = xpix[i]
        if 0 <= y < height and 0 <= x < width:
            out[y, x] = lam[i]


def sum_frames(frames: Array, offsets: Ints, weights: Floats, starts: Ints) -> Floats:
    """Sum ``weights`` times the pixels at ``offsets`` of every frame, ROI by ROI, in float64.

    ``frames`` is (frame, pixel); ROI i lists its pixels at ``starts[i]:starts[i + 1]``. Gives (frame, roi).
    """
    check_offsets(offsets, frames.shape[1])
    check_offsets(starts, offsets.size + 1)
    sums = np.zeros((frames.shape[0], starts.size - 1))
    _sum_frames(*map(frozen, (frames, offsets, weights, starts)), sums)
    return sums


@compiled()
def _sum_frames(frames, offsets, weights, starts, sums):
    count = frames.shape[0]
    whole = count - count % 4
    # Four frames at a time: one sum alone waits for its own last addition, and the offsets are read a quarter as often.
    for t in range(0, whole, 4):
        for roi in range(starts.size - 1):
            a = b = c = d = 0.0
            for i in range(starts[roi], starts[roi + 1]):
                offset = offsets[i]
                weight = weights[i]
                a += weight * frames[t, offset]
                b += weight * frames[t + 1, offset]
                c += weight * frames[t + 2, offset]
                d += weight * frames[t + 3, offset]
            sums[t, roi] = a
            sums[t + 1, roi] = b
            sums[t + 2, roi] = c
            sums[t + 3, roi] = d
    for t in range(whole, count):
        for roi in range(starts.size - 1):
            total = 0.0
            for i in range(starts[roi], starts[roi + 1]):
                total += weights[i] * frames[t, offsets[i]]
            sums[t, roi] = total


def sum_frames_skipping_nan(frames: Array, offsets: Ints, weights: Floats, shares: Floats, starts: Ints) -> tuple[Floats, Floats]:
    """As `sum_frames` without the pixels that are NaN; also the sum of the ``shares`` of those that are left."""
    check_offsets(offsets, frames.shape[1])
    check_offsets(starts, offsets.size + 1)
    sums = np.zeros((2, frames.shape[0], starts.size - 1))
    _sum_frames_skipping_nan(*map(frozen, (frames, offsets, weights, shares, starts)), sums)
    return sums[0], sums[1]


@compiled()
def _sum_frames_skipping_nan(frames, offsets, weights, shares, starts, sums):
    for t in range(frames.shape[0]):
        for roi in range(starts.size - 1):
            total = share = 0.0
            for i in range(starts[roi], starts[roi + 1]):
                value = float(frames[t, offsets[i]])
                if value == value:
                    total += weights[i] * value
                    share += shares[i]
            sums[0, t, roi] = total
            sums[1, t, roi] = share


def weighted_means(weights: Array, columns: Sequence[Array], starts: Ints) -> Floats:
    """Σ weight · column / Σ weight per ROI in float64, (column, roi); NaN where the weights sum to 0."""
    check_offsets(starts, weights.size + 1)
    weights = np.asarray(weights, np.float64)
    means = np.empty((len(columns), starts.size - 1))
    for k, column in enumerate(columns):
        _weighted_mean(frozen(weights), frozen(np.asarray(column, np.float64)), frozen(starts), means[k])
    return means


@compiled(error_model="numpy")
def _weighted_mean(weights, column, starts, means):
    for roi in range(starts.size - 1):
        top = bottom = 0.0
        for i in range(starts[roi], starts[roi + 1]):
            top += weights[i] * column[i]
            bottom += weights[i]
        means[roi] = top / bottom if bottom != 0.0 else np.nan
