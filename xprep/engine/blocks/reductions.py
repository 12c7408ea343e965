"""Reductions along some axes: every block gives a summary, those behind one another are joined in a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import dask.array as da

from xprep.engine.blocks.gather import BlockPlace, block_tasks
from xprep.engine.blocks.needs import same
from xprep.engine.graph.joining import join_until
from xprep.engine.graph.tasks import Key, Tasks, array_of, unique
from xprep.naming import named
from xprep.types import Array

FAN_IN = 2  # a summary is an image, several times as large as the result: one a level waits, where 4 at once left 3
TREE = 16  # blocks that are joined in a tree; trees are joined one after the other, so that a longer movie has no more waiting
JOINING = 2  # summaries more that a join takes for what it makes


@named("reduction")
@dataclass(frozen=True)
class Reduction:
    """A reduction along axes, as data.

    ``summarize(block)`` drops the axes, ``join(summaries)`` is associative, ``finish(summary)`` gives the block of the
    result. Plans count ``summary`` bytes for each voxel of the result, as often as one waits.
    """

    summarize: Callable[[Array], Any]
    join: Callable[[Sequence[Any]], Any]
    finish: Callable[[Any], Array]
    summary: int = 0

    def waiting(self, blocks: int) -> int:
        """Return how many bytes the summaries of that many blocks take, a voxel of the result, while they are joined.

        >>> Reduction(len, len, len, 24).waiting(1), Reduction(len, len, len, 24).waiting(22)
        (72, 192)
        """
        behind = int(blocks > TREE)  # what is joined of the trees before
        return ((min(blocks, TREE) - 1).bit_length() + 1 + behind + JOINING) * self.summary


def reduce_axes(how: Reduction, array: da.Array, axes: Sequence[int], dtype: Any, label: str = "reduce") -> da.Array:
    """Return ``array`` reduced along ``axes``, which are dropped.

    Blocks are joined in groups of neighbours, always the same ones: the bits do not depend on who computes. Of however many
    blocks, no more summaries wait than of `TREE`, and one.
    """
    blocks, made, parents, cost = block_tasks(_SummarizeBlock(how), array, (), array.chunks, same, None, label)
    tasks: Tasks = dict(made)
    kept = [axis for axis in range(array.ndim) if axis not in axes]
    name = unique(label, how, tuple(axes), blocks)
    for index in product(*(range(array.numblocks[axis]) for axis in kept)):
        _join_behind(tasks, name, index, how, _keys(blocks, array, kept, index))
    chunks = tuple(array.chunks[axis] for axis in kept)
    waiting = prod(map(max, chunks)) * how.waiting(prod(array.numblocks[axis] for axis in axes))
    return array_of(name, tasks, chunks, dtype, parents, cost=replace(cost, front=cost.front + waiting))


def _keys(blocks: str, array: da.Array, kept: Sequence[int], index: tuple[int, ...]) -> list[Key]:
    """Return the keys of the blocks that lie behind the result's block ``index``."""
    fixed = dict(zip(kept, index, strict=True))
    ways = product(*([fixed[axis]] if axis in fixed else range(n) for axis, n in enumerate(array.numblocks)))
    return [(blocks, *way) for way in ways]


def _join_behind(tasks: Tasks, name: str, index: tuple[int, ...], how: Reduction, keys: list[Key]) -> None:
    behind: list[Key] = []  # what is joined so far
    for first in range(0, len(keys), TREE):
        joins, level = join_until(keys[first : first + TREE], FAN_IN, (f"{name}-join", first, *index))
        tasks |= {key: (_JoinBehind(how), *parts) for key, parts in joins.items()}
        if first + TREE < len(keys):
            key = (f"{name}-behind", first, *index)
            tasks[key] = (_JoinBehind(how), *behind, *level)
            behind = [key]
    tasks[name, *index] = (_FinishReduction(how), *behind, *level)


@named("reduction-summarize")
@dataclass(frozen=True)
class _SummarizeBlock:
    how: Reduction

    def __call__(self, block: Array, place: BlockPlace) -> Any:
        return self.how.summarize(block)


@dataclass(frozen=True)
class _JoinBehind:
    how: Reduction

    def __call__(self, *summaries: Any) -> Any:
        return summaries[0] if len(summaries) == 1 else self.how.join(summaries)


@dataclass(frozen=True)
class _FinishReduction:
    how: Reduction

    def __call__(self, *summaries: Any) -> Array:
        return self.how.finish(summaries[0] if len(summaries) == 1 else self.how.join(summaries))
