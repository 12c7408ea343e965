"""Projections of one block along some of its axes, as summaries that join: sums in float64, variances by moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.compiling import compiled
from xprep.types import Array

Summary = tuple[Array, ...]


@dataclass(frozen=True)
class Projection:
    """One way to project: what a block gives, how two of these join, and what the whole is.

    ``summarize(block, axes, skipna)`` drops ``axes``; ``finish(*summary)`` is cast to the result's type afterwards.
    """

    summarize: Callable[[Array, tuple[int, ...], bool], Summary]
    join: Callable[[Sequence[Summary], bool], Summary]
    finish: Callable[..., Array]


def _largest(block: Array, axes: tuple[int, ...], skipna: bool) -> Summary:
    return ((np.fmax if skipna else np.maximum).reduce(block, axis=axes),)


def _smallest(block: Array, axes: tuple[int, ...], skipna: bool) -> Summary:
    return ((np.fmin if skipna else np.minimum).reduce(block, axis=axes),)


def _join_largest(summaries: Sequence[Summary], skipna: bool) -> Summary:
    return _largest(np.stack([value for (value,) in summaries]), (0,), skipna)


def _join_smallest(summaries: Sequence[Summary], skipna: bool) -> Summary:
    return _smallest(np.stack([value for (value,) in summaries]), (0,), skipna)


def _total(block: Array, axes: tuple[int, ...], skipna: bool) -> Summary:
    """Exact for integers, as numpy adds them; float64 for floats."""
    return (np.sum(block, axis=axes),) if block.dtype.kind in "bui" else _count_and_sum(block, axes, skipna)[1:]


def _count_and_sum(block: Array, axes: tuple[int, ...], skipna: bool) -> Summary:
    lines, shape = _lines(block, axes)
    count, total = (np.zeros((lines.shape[0], lines.shape[2])) for _ in range(2))
    _add(lines, skipna, count, total)
    return count.reshape(shape), total.reshape(shape)


def _moments(block: Array, axes: tuple[int, ...], skipna: bool) -> Summary:
    lines, shape = _lines(block, axes)
    count, total, squares = (np.zeros((lines.shape[0], lines.shape[2])) for _ in range(3))
    _add(lines, skipna, count, total)
    mean = _ratio(total, count)
    _add_squares(lines, skipna, mean, squares)
    return count.reshape(shape), mean.reshape(shape), squares.reshape(shape)


def _join_sums(summaries: Sequence[Summary], _skipna: bool) -> Summary:
    return tuple(np.sum(np.stack(values), axis=0) for values in zip(*summaries, strict=True))


def _join_moments(summaries: Sequence[Summary], _skipna: bool) -> Summary:
    """Join counts, means and squared deviations (Chan, Golub and LeVeque 1979): no difference of large squares."""
    count, mean, squares = summaries[0]
    for other_count, other_mean, other_squares in summaries[1:]:
        both = count + other_count
        apart = np.where((count > 0) & (other_count > 0), other_mean - mean, 0.0)
        share = np.divide(other_count, both, out=np.zeros_like(both), where=both > 0)
        mean = np.where(count > 0, mean + apart * share, other_mean)
        squares = squares + other_squares + apart * apart * count * share
        count = both
    return count, mean, squares


def _itself(value: Array) -> Array:
    return value


def _mean(count: Array, total: Array) -> Array:
    return _ratio(total, count)


def _deviation(count: Array, _mean: Array, squares: Array) -> Array:
    return np.sqrt(_ratio(squares, count))


def _ratio(total: Array, count: Array) -> Array:
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


PROJECTIONS = {
    "max": Projection(_largest, _join_largest, _itself),
    "min": Projection(_smallest, _join_smallest, _itself),
    "sum": Projection(_total, _join_sums, _itself),
    "mean": Projection(_count_and_sum, _join_sums, _mean),
    "std": Projection(_moments, _join_moments, _deviation),
}


def _lines(block: Array, axes: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """Return ``block`` as (outer, along, inner), where ``along`` holds ``axes``, and the shape that is left."""
    rest = [axis for axis in range(block.ndim) if axis not in axes]
    shape = tuple(block.shape[axis] for axis in rest)
    adjacent = max(axes) - min(axes) + 1 == len(axes)
    before = [axis for axis in rest if adjacent and axis < min(axes)]
    after = [axis for axis in rest if axis not in before]
    ordered = np.ascontiguousarray(_plain(block).transpose(*before, *axes, *after))
    lengths = [int(np.prod([block.shape[axis] for axis in group])) for group in (before, axes, after)]
    lines = ordered.reshape(lengths)
    lines.flags.writeable = False  # one type for the compiler, whatever came
    return lines, shape


def _plain(block: Array) -> Array:
    if block.dtype == np.bool_:
        return block.view(np.uint8)
    return block.astype(np.float32) if block.dtype == np.float16 else block.astype(block.dtype.newbyteorder("="), copy=False)


@compiled()
def _add(lines: NDArray, skipna, count, total):
    for i in range(lines.shape[0]):
        for k in range(lines.shape[1]):
            row = lines[i, k]
            if skipna:
                for x in range(row.size):
                    if row[x] == row[x]:
                        total[i, x] += row[x]
                        count[i, x] += 1
            else:
                for x in range(row.size):
                    total[i, x] += row[x]
        if not skipna:
            count[i] = lines.shape[1]


@compiled()
def _add_squares(lines: NDArray, skipna, mean, squares):
    for i in range(lines.shape[0]):
        for k in range(lines.shape[1]):
            row = lines[i, k]
            for x in range(row.size):
                apart = row[x] - mean[i, x]
                if not skipna or row[x] == row[x]:
                    squares[i, x] += apart * apart
