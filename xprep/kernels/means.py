"""Means of windows: of integers exact and half to even, of floats summed in float64."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from xprep.kernels.bins import find_window, read_row
from xprep.kernels.compiling import compiled
from xprep.kernels.layout import contiguous

# So many 32-bit integers have a sum below 2**52: it, and the distance of their mean from any tie, are exact in float64.
EXACT = 2**19


@compiled()
def write_means(source, windows, total, zero, out):
    """Write means by way of ``total``, sums in float64; quads of integers, ``zero`` being one, stay integers."""
    factor = windows[4]
    for at in np.ndindex(out.shape[:4]):
        first, size = find_window(at, windows, source.shape)
        target = contiguous(out[at[0], at[1], at[2], at[3]])
        rows = size[0] * size[1] * size[2] * size[3]
        if rows == 2 and size[3] == 2 and factor == 2:
            above, below = read_row(source, first, (0, 0, 0, 0)), read_row(source, first, (0, 0, 0, 1))
            _divide_quads(above, below, zero, target)
            done = above.size // 2
        else:
            done = 0
        if done < target.size:
            for x in range(done, target.size):
                total[x] = 0
            for step in np.ndindex(size):
                _add(read_row(source, first, step), factor, done, total)
            _divide_sums(total, done, rows, factor, source.shape[4], target)


def _quarter(total):
    """Divide a sum of four; of integers, round half to even."""


@overload(_quarter, jit_options={"nogil": True})
def _overload_quarter(total):
    if isinstance(total, types.Float):
        return lambda total: total * 0.25
    return lambda total: (total + 1 + ((total >> 2) & 1)) >> 2


@compiled()
def _divide_quads(above, below, zero, target):
    for x in range(above.size // 2):
        total = zero + above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1]
        target[x] = _quarter(total)


@compiled()
def _add(row, factor, first, total):
    full = row.size // factor
    if factor == 2:
        for x in range(first, full):
            total[x] = total[x] + row[2 * x] + row[2 * x + 1]
    else:
        for x in range(first, full):
            for k in range(x * factor, (x + 1) * factor):
                total[x] += row[k]
    for k in range(full * factor, row.size):
        total[full] += row[k]


@compiled(error_model="numpy")
def _divide_sums(total, first, rows, factor, width, target):
    full = width // factor
    for x in range(first, full):
        total[x] /= rows * factor
    if full < target.size:
        total[full] /= rows * (width - full * factor)
    _round_into(total, first, target)


def _round_into(total, first, target):
    """Copy means; for integers, round half to even (exact: see `_EXACT`)."""


@overload(_round_into, jit_options={"nogil": True})
def _overload_round_into(total, first, target):
    def copy(total, first, target):
        for x in range(first, target.size):
            target[x] = total[x]

    def round_and_copy(total, first, target):
        for x in range(first, target.size):
            target[x] = np.rint(total[x])

    return copy if isinstance(target.dtype, types.Float) else round_and_copy


@compiled(error_model="numpy")
def write_wide_means(source, windows, quotients, rests, out):
    """Mean of 64-bit integers: their sum may not fit, but the sums of their quotients and rests do."""
    factor, width = windows[4], source.shape[4]
    for at in np.ndindex(out.shape[:4]):
        first, size = find_window(at, windows, source.shape)
        target = out[at[0], at[1], at[2], at[3]]
        rows = size[0] * size[1] * size[2] * size[3]
        quotients[:], rests[:] = 0, 0
        for step in np.ndindex(size):
            row = read_row(source, first, step)
            for x in range(target.size):
                stop = min((x + 1) * factor, width)
                count = row.dtype.type(rows * (stop - x * factor))
                for k in range(x * factor, stop):
                    quotient = row[k] // count
                    quotients[x] += quotient
                    rests[x] += row[k] - quotient * count
        for x in range(target.size):
            count = target.dtype.type(rows * min(factor, width - x * factor))
            carry = rests[x] // count
            target[x] = quotients[x] + carry + _round_up(quotients[x] + carry, rests[x] - carry * count, count)


@compiled()
def _round_up(quotient, rest, count):
    """Return 1 where the rest rounds up, half to even, in the type of the operands."""
    one, two = type(count)(1), type(count)(2)
    if two * rest > count or (two * rest == count and quotient % two != 0):
        return one
    return one - one
