"""Loops over windows: how far from the centre, what lies in it and around it, how alike two windows are.

Windows are (window, z, y, x). A pair p compares mask ``mask_of[p]`` with reference ``reference_of[p]``, so that
nothing is copied to be broadcast; pairs of one mask stand together, so that its surround is made once.
"""

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.compiling import compiled
from xprep.kernels.rois import Floats, Ints, check_offsets, frozen
from xprep.types import Array

# Sums may be taken in another order, so that they can be vectorised; NaN and infinities keep their meaning.
SUMS = {"reassoc", "contract"}


def dilate(centers: Array, iterations: int) -> NDArray[np.bool_]:
    """Dilate boolean windows with the cross, ``iterations`` times, each window by itself."""
    surround = np.empty(centers.shape, np.bool_)
    _dilate(frozen(centers), iterations, np.empty(centers.shape[1:], np.int32), surround)
    return surround


@compiled()
def _dilate(centers, iterations, distance, surround):
    for n in range(centers.shape[0]):
        _measure_distance(centers[n], distance)
        for z in range(distance.shape[0]):
            for y in range(distance.shape[1]):
                for x in range(distance.shape[2]):
                    surround[n, z, y, x] = distance[z, y, x] <= iterations


@compiled()
def _measure_distance(center, distance):
    # k dilations with the cross reach the pixels within city-block distance k: two sweeps measure it for every k.
    depth, height, width = center.shape
    far = np.int32(2**30)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                near = far
                if center[z, y, x]:
                    near = np.int32(0)
                else:
                    if x > 0:
                        near = min(near, distance[z, y, x - 1] + np.int32(1))
                    if y > 0:
                        near = min(near, distance[z, y - 1, x] + np.int32(1))
                    if z > 0:
                        near = min(near, distance[z - 1, y, x] + np.int32(1))
                distance[z, y, x] = near
    for z in range(depth - 1, -1, -1):
        for y in range(height - 1, -1, -1):
            for x in range(width - 1, -1, -1):
                near = distance[z, y, x]
                if x < width - 1:
                    near = min(near, distance[z, y, x + 1] + np.int32(1))
                if y < height - 1:
                    near = min(near, distance[z, y + 1, x] + np.int32(1))
                if z < depth - 1:
                    near = min(near, distance[z + 1, y, x] + np.int32(1))
                distance[z, y, x] = min(near, far)


def check_pairs(masks: Array, references: Array, mask_of: Ints, reference_of: Ints) -> None:
    """Raise unless windows are of one shape and pairs name windows that exist."""
    if masks.shape[1:] != references.shape[1:]:
        raise ValueError(f"windows must be of one shape; got {masks.shape[1:]} and {references.shape[1:]}.")
    check_offsets(mask_of, masks.shape[0])
    check_offsets(reference_of, references.shape[0])


def sum_inside_and_around(
    centers: Array, surrounds: Array, references: Array, mask_of: Ints, reference_of: Ints, skipna: bool
) -> Floats:
    """Sum every pair's reference over the centre and over the surround, in float64: (2, pair).

    Without ``skipna`` one value that is not finite, anywhere in the window, makes both NaN.
    """
    check_pairs(centers, references, mask_of, reference_of)
    check_pairs(surrounds, references, mask_of, reference_of)
    sums = np.empty((2, mask_of.size))
    count = int(np.prod(centers.shape[1:]))
    windows = (frozen(stack.reshape(-1, count)) for stack in (centers, surrounds, references))
    _sum_inside(*windows, frozen(mask_of), frozen(reference_of), skipna, sums)
    return sums


@compiled(fastmath=SUMS)
def _sum_inside(centers, surrounds, references, mask_of, reference_of, skipna, sums):
    for p in range(mask_of.size):
        center = centers[mask_of[p]]
        surround = surrounds[mask_of[p]]
        reference = references[reference_of[p]]
        inside = around = poison = 0.0
        for i in range(reference.size):
            value = float(reference[i])
            if skipna:
                value = value if value == value else 0.0
            inside += value if center[i] else 0.0
            around += value if surround[i] else 0.0
            # 0 for what is finite, NaN for the rest: the reference multiplies the whole window by 0 and 1.
            poison += value * 0.0
        if not skipna:
            inside += poison
            around += poison
        sums[0, p] = inside
        sums[1, p] = around


def correlate(masks: Array, references: Array, mask_of: Ints, reference_of: Ints, within: Array | None, joint: bool) -> Floats:
    """Correlate every pair in float64, over the pixels of ``within`` (None: all), as `compute_correlation` says."""
    check_pairs(masks, references, mask_of, reference_of)
    count = int(np.prod(masks.shape[1:]))
    everywhere = within is None
    if within is None:
        within = np.ones((1, *masks.shape[1:]), np.bool_)
    else:
        check_pairs(within, references, mask_of, reference_of)
    correlations = np.empty(mask_of.size)
    windows = (frozen(stack.reshape(-1, count)) for stack in (masks, references, within))
    _correlate(*windows, frozen(mask_of), frozen(reference_of), everywhere, joint, correlations)
    return correlations


@compiled(error_model="numpy")
def _correlate(masks, references, within, mask_of, reference_of, everywhere, joint, correlations):
    for p in range(mask_of.size):
        chosen = within[0 if everywhere else mask_of[p]]
        correlations[p] = _correlate_pair(masks[mask_of[p]], references[reference_of[p]], chosen, joint)


@compiled(error_model="numpy", fastmath=SUMS)
def _correlate_pair(mask, reference, chosen, joint):
    # Two sweeps, about the first value: an offset costs no digits, and a constant window has a spread of exactly 0.
    # No branches, but zeros for what does not count: so the compiler works on eight pixels at a time.
    mask_zero = _first(mask, reference, chosen, joint)
    reference_zero = _first(reference, mask, chosen, joint)
    mask_count = reference_count = mask_sum = reference_sum = 0.0
    for i in range(mask.size):
        m = float(mask[i]) - mask_zero
        r = float(reference[i]) - reference_zero
        mask_counts = chosen[i] & (m == m) & ((not joint) | (r == r))
        reference_counts = chosen[i] & (r == r) & ((not joint) | (m == m))
        mask_count += 1.0 if mask_counts else 0.0
        mask_sum += m if mask_counts else 0.0
        reference_count += 1.0 if reference_counts else 0.0
        reference_sum += r if reference_counts else 0.0
    mask_mean = mask_sum / mask_count
    reference_mean = reference_sum / reference_count
    mask_square = reference_square = product = 0.0
    for i in range(mask.size):
        m = float(mask[i]) - mask_zero - mask_mean
        r = float(reference[i]) - reference_zero - reference_mean
        both = chosen[i] & (m == m) & (r == r)
        m = m if chosen[i] & (m == m) & ((not joint) | both) else 0.0
        r = r if chosen[i] & (r == r) & ((not joint) | both) else 0.0
        mask_square += m * m
        reference_square += r * r
        product += m * r  # 0 unless both count
    return product / mask_count / np.sqrt(reference_square / reference_count) / np.sqrt(mask_square / mask_count)


@compiled()
def _first(values, others, chosen, joint):
    for i in range(values.size):
        if chosen[i] and values[i] == values[i] and not (joint and others[i] != others[i]):
            return float(values[i])
    return np.nan
