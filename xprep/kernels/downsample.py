"""Shrinking a block by whole factors: means, maxima, most frequent values, nearest samples.

Sizes round up, and a window at the far edge is taken over what it holds. Results keep the dtype. A row of results is
made at a time from the rows of its windows, whatever the number of axes; 2 x 2 means go straight from two rows to one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from xprep.kernels import means
from xprep.kernels.bins import find_window, read_row
from xprep.kernels.compiling import compiled
from xprep.kernels.layout import copy_row
from xprep.kernels.modes import write_modes

Method = Literal["mean", "max", "nearest", "mode"]
# Axes that may be shrunk: t, c, z, y and x.
AXES = 5


def shrink(block: np.ndarray, factors: Sequence[int], method: Method = "mean") -> np.ndarray:
    """Shrink every axis by its factor.

    Parameters
    ----------
    block : array of bool, integers or floats
        Any number of axes, up to five of them shrunk.
    factors : sequence of int
        One per axis, at least 1.
    method : {"mean", "max", "nearest", "mode"}
        ``"mean"``: integers of any width are summed exactly and round half to even (bool, too: a tie is False); floats
        are summed in float64. ``"max"``: the largest. Of both, a window with a NaN is NaN. ``"nearest"``: the sample at
        the window's centre, of two the first. ``"mode"``: the most frequent value, of equally frequent ones the
        smallest (as `scipy.stats.mode`); for labels, so integers and bool only.

    Returns
    -------
    array
        Of ``block``'s dtype, each axis ``ceil(size / factor)`` long.

    Raises
    ------
    ValueError
        Factors that are not one positive whole number per axis, or an unknown method.
    TypeError
        The mode of floats, or anything of complex numbers or objects.

    Examples
    --------
    >>> block = np.array([[1, 2, 7], [3, 4, 9]], np.uint16)
    >>> shrink(block, (2, 2)).tolist()
    [[2, 8]]
    >>> shrink(block, (2, 2), "max").tolist(), shrink(block, (2, 2), "nearest").tolist()
    ([[4, 9]], [[1, 7]])
    """
    _check(block, factors, method)
    if method == "nearest":
        return _pick_centres(block, factors)
    if block.dtype == np.float16:
        # float64 holds the exact sum, so that the mean is rounded once.
        return shrink(block.astype(np.float64), factors, method).astype(np.float16)
    source, windows = _with_five_axes(block, factors)
    shape = [-(-size // factor) for size, factor in zip(source.shape, windows, strict=True)]
    out = np.empty(shape, source.dtype)
    if out.size:
        _run(source, windows, method, out)
    return out.reshape([-(-size // factor) for size, factor in zip(block.shape, factors, strict=True)])


def _check(block: np.ndarray, factors: Sequence[int], method: str) -> None:
    if block.dtype.kind not in "buif" or block.dtype.itemsize > 8:
        raise TypeError(f"only bool, integers and floats of at most 64 bits can be shrunk; got {block.dtype}.")
    if len(factors) != block.ndim or any(factor != int(factor) or factor < 1 for factor in factors):
        raise ValueError(f"factors must be {block.ndim} whole numbers of at least 1; got {factors!r}.")
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}; got {method!r}.")
    if method == "mode" and block.dtype.kind == "f":
        raise TypeError(f"the mode is for labels: bool or integers; got {block.dtype}. Use 'mean', 'max' or 'nearest'.")


def _pick_centres(block: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    for axis, factor in enumerate(factors):
        starts = np.arange(0, block.shape[axis], factor)
        stops = np.minimum(starts + factor, block.shape[axis])
        if factor > 1:
            block = block.take((starts + stops - 1) // 2, axis)
    return block.copy() if all(factor == 1 for factor in factors) else block


def _with_five_axes(block: np.ndarray, factors: Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return a native, read-only block of five axes: with axes of length 1 in front, or leading ones in one."""
    surplus = max(block.ndim - AXES, 0)
    if any(factor > 1 for factor in factors[: surplus + 1]) and surplus:
        raise ValueError(f"only the last {AXES} axes can be shrunk; got factors {tuple(factors)!r}.")
    shape = (math.prod(block.shape[: surplus + 1]), *block.shape[surplus + 1 :]) if surplus else block.shape
    source = block.astype(block.dtype.newbyteorder("="), copy=False).reshape((1,) * (AXES - len(shape)) + shape).view()
    source.flags.writeable = False
    wanted = [*[1] * AXES, *factors[surplus:]][-AXES:]
    # A window is never longer than its axis: what is set aside for its values must not be, either.
    lengths: tuple[int, ...] = source.shape
    return source, tuple(min(int(factor), max(size, 1)) for factor, size in zip(wanted, lengths, strict=True))


def _run(source: np.ndarray, windows: tuple[int, ...], method: str, out: np.ndarray) -> None:
    values, width = math.prod(windows), out.shape[-1]
    if method == "mode":
        write_modes(source, windows, np.empty((width, values), source.dtype), out)
    elif method == "max":
        _maxima(source, windows, np.empty(width, source.dtype), out)
    elif source.dtype.kind == "f":
        means.write_means(source, windows, np.empty(width), 0.0, out)
    elif source.dtype.itemsize < 8 and values <= means.EXACT:
        means.write_means(source, windows, np.empty(width), 0, out)
    elif source.dtype.itemsize < 8:
        wide = np.empty(out.shape, np.int64)
        _run(source.astype(np.int64), windows, method, wide)
        out[...] = wide
    else:
        rests = np.empty((2, width), source.dtype)
        means.write_wide_means(source, windows, rests[0], rests[1], out)


@compiled()
def _maxima(source, windows, largest, out):
    factor = windows[4]
    for at in np.ndindex(out.shape[:4]):
        first, size = find_window(at, windows, source.shape)
        row = read_row(source, first, (0, 0, 0, 0))
        for x in range(largest.size):
            largest[x] = row[x * factor]
        for step in np.ndindex(size):
            _raise_to(largest, read_row(source, first, step), factor)
        copy_row(largest, out[at[0], at[1], at[2], at[3]])


@compiled()
def _raise_to(largest, row, factor):
    full = row.size // factor
    if factor == 2:
        for x in range(full):
            largest[x] = _larger(_larger(largest[x], row[2 * x]), row[2 * x + 1])
    else:
        for x in range(full):
            for k in range(x * factor, (x + 1) * factor):
                largest[x] = _larger(largest[x], row[k])
    for k in range(full * factor, row.size):
        largest[full] = _larger(largest[full], row[k])


@compiled()
def _larger(value, other):
    return other if other > value or other != other else value
