"""Tree reductions told as data: what a block gives, and how summaries join."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.needs import Needs, same
from xprep.engine.blocks.pacing import Work, wait_for_joins, work_tasks
from xprep.engine.graph.joining import FAN_IN, join_into
from xprep.engine.graph.tasks import SKIPPED, is_skipped, unique, value_of
from xprep.naming import named
from xprep.types import Array, Chunks


@named("fold")
@dataclass(frozen=True)
class Fold:
    """A reduction in two steps: ``summarize(block, place, *states)``, and ``join(summaries)``, which must be associative.

    Plans count the bytes of a ``summary``, as often as one waits, and what all may have ``collected``.
    """

    summarize: Callable[..., Any]
    join: Callable[[Sequence[Any]], Any]
    summary: int = 0
    collected: int = 0

    def waiting(self, blocks: int, pixels: int) -> int:
        """Return how many bytes the summaries of that many blocks take while they wait to be joined."""
        return min(self.collected, 16 * pixels) + min(blocks, (FAN_IN - 1) * depth_of(blocks) + 1) * self.summary


def depth_of(blocks: int) -> int:
    """Return how many times summaries are joined until one is left.

    >>> depth_of(1), depth_of(4), depth_of(5)
    (0, 1, 2)
    """
    depth = 0
    while blocks > 1:
        blocks, depth = -(-blocks // FAN_IN), depth + 1
    return depth


def fold(
    how: Fold,
    array: da.Array,
    *states: da.Array | Delayed,
    needs: Needs = same,
    chunks: Chunks | None = None,
    unless: Delayed | None = None,
    label: str = "fold",
    itemsize: int = 0,
) -> Delayed:
    """Fold ``array`` block by block; the result is lazy, and so may ``states`` be.

    ``how.summarize(block, place, *states)`` runs in the task that makes or reads the block, so that a block lives for
    one task only (4 live chunks of 64 instead of 31). Of a voxel that is made on the way, plans count ``itemsize`` bytes.
    """
    chunks = array.chunks if chunks is None else chunks
    return fold_work(Work(how.summarize, array, states, chunks, needs, unless, label, itemsize=itemsize), how, label)


def fold_work(work: Work, how: Fold, label: str, scratch: int = 0) -> Delayed:
    """Return what the blocks of ``work`` give, joined; ``scratch`` is how many bytes they leave there."""
    keys, tasks, parents, cost = work_tasks(work)
    name = unique(label, how, next(iter(keys.values()))[0])
    made = list(keys.values())
    joins = join_into(name, made)
    wait_for_joins(tasks, made, joins)
    tasks |= {key: (_JoinSummaries(how), *parts) for key, parts in joins.items()}
    waiting = how.waiting(len(made), int(work.array.size))
    return value_of(name, tasks, name, parents, replace(cost, scratch=scratch, front=cost.front + waiting))


@dataclass(frozen=True)
class _JoinSummaries:
    how: Fold

    def __call__(self, *summaries: Any) -> Any:
        return SKIPPED if is_skipped(summaries) else self.how.join(summaries)


def both(one: Fold, other: Fold) -> Fold:
    """Return the fold that gives the pair of what two folds give, and reads once."""
    return Fold(
        _BothSummaries(one, other), _BothJoined(one, other), one.summary + other.summary, one.collected + other.collected
    )


@named("quantile-both-summaries")
@dataclass(frozen=True)
class _BothSummaries:
    one: Fold
    other: Fold

    def __call__(self, block: Array, place: BlockPlace, *states: Any) -> tuple[Any, Any]:
        return self.one.summarize(block, place, *states), self.other.summarize(block, place)


@named("quantile-both-joined")
@dataclass(frozen=True)
class _BothJoined:
    one: Fold
    other: Fold

    def __call__(self, parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        return self.one.join([part[0] for part in parts]), self.other.join([part[1] for part in parts])


@named("first-of-both")
def first(pair: tuple[Any, Any]) -> Any:
    """Return the first of two."""
    return pair[0]


@named("second-of-both")
def second(pair: tuple[Any, Any]) -> Any:
    """Return the second of two."""
    return pair[1]
