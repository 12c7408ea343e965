"""Most frequent values of windows."""

from __future__ import annotations

import numpy as np

from xprep.kernels.bins import find_window, read_row
from xprep.kernels.compiling import compiled


@compiled()
def write_modes(source, windows, found, out):
    """Write modes by way of ``found``, where each result's values lie side by side."""
    factor, width = windows[4], source.shape[4]
    for at in np.ndindex(out.shape[:4]):
        first, size = find_window(at, windows, source.shape)
        target = out[at[0], at[1], at[2], at[3]]
        count = 0
        for step in np.ndindex(size):
            row = read_row(source, first, step)
            for k in range(min(factor, width)):
                for x in range((width - k - 1) // factor + 1):
                    found[x, count + k] = row[x * factor + k]
            count += factor
        for x in range(target.size):
            held = count // factor * min(factor, width - x * factor)
            if held < count:
                _close_gaps(found[x], factor, held * factor // count)
            target[x] = _most_frequent(found[x], held)


@compiled()
def _close_gaps(values, stride, held):
    """Move runs of ``held`` values, which begin every ``stride``, together."""
    for i in range(values.size // stride):
        for k in range(held):
            values[i * held + k] = values[i * stride + k]


@compiled()
def _most_frequent(values, count):
    """Return the most frequent of the first values, the smallest of equally frequent ones; sorts them."""
    same = True
    for i in range(1, count):
        same &= values[i] == values[0]
    if same:
        return values[0]
    _sort(values, count)
    best, longest, begin = values[0], 0, 0
    for i in range(1, count + 1):
        if i == count or values[i] != values[begin]:
            if i - begin > longest:
                best, longest = values[begin], i - begin
            begin = i
    return best


@compiled()
def _sort(values, count):
    """Shell's sort: short, and windows hold few values."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            value, k = values[i], i
            while k >= gap and values[k - gap] > value:
                values[k] = values[k - gap]
                k -= gap
            values[k] = value
        gap //= 3
