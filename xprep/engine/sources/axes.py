"""Axes in another order: of a block, and of an array of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dask.array as da
import numpy as np

from xprep.engine.graph.tasks import BlockTasks, Key, array_of, unique
from xprep.types import Array


def in_order(block: Array, axes: Sequence[int | None]) -> Array:
    """Return a view of ``block`` whose axis i is ``axes[i]``, or, for None, new; left out are axes of length 1.

    >>> in_order(np.zeros((1, 4, 5)), (2, None, 1)).shape
    (5, 1, 4)
    """
    dropped = tuple(axis for axis in range(block.ndim) if axis not in axes)
    present = [axis for axis in axes if axis is not None]
    kept = sorted(present)
    moved = block.squeeze(dropped).transpose([kept.index(axis) for axis in present])
    return np.expand_dims(moved, tuple(i for i, axis in enumerate(axes) if axis is None))


@dataclass(frozen=True, eq=False)
class Arranged:
    """What an array with its axes in another order remembers: what it is made of, and its axes there (None: a new one)."""

    tiles: da.Array
    axes: tuple[int | None, ...]


def rearranged(array: da.Array, axes: Sequence[int | None]) -> da.Array:
    """Return ``array`` with axis ``axes[i]`` as its axis i (None: a new one of length 1), block by block."""
    name = unique("arrange", array.name, tuple(axes))
    chunks = tuple((1,) if axis is None else array.chunks[axis] for axis in axes)
    tasks = BlockTasks(name, [len(lengths) for lengths in chunks], _MakeMove(array.name, array.ndim, tuple(axes)))
    return array_of(name, tasks, chunks, array.dtype, [array], Arranged(array, tuple(axes)))


@dataclass(frozen=True, eq=False)
class _MakeMove:
    array: str
    ndim: int
    axes: tuple[int | None, ...]

    def __call__(self, index: tuple[int, ...]) -> tuple[_Move, Key]:
        places = dict(zip(self.axes, index, strict=True))
        return _Move(self.axes), (self.array, *(places.get(axis, 0) for axis in range(self.ndim)))


@dataclass(frozen=True, eq=False)
class _Move:
    axes: tuple[int | None, ...]

    def __call__(self, block: Array) -> Array:
        return in_order(block, self.axes)
