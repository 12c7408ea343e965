"""Tree reductions told as data: what a block gives, and how summaries join."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.needs import Needs, portion_size, same
from xprep.engine.blocks.portions import large_work, portions, work_tasks
from xprep.engine.blocks.work import ReadingWork, Work
from xprep.engine.graph.driven import ComputePortion, driven_value
from xprep.engine.graph.joining import FAN_IN, join_into
from xprep.engine.graph.tasks import SKIPPED, Key, Tasks, is_skipped, unique, value_of
from xprep.engine.sources.readable import ReadBlock
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
    """Return what the blocks of ``work`` give, joined; ``scratch`` is how many bytes they leave there.

    Of a large image that is one task, which does the work in portions.
    """
    if large := large_work(work):
        read, inputs, cost = large
        name = unique(label, how, read.name)
        cost = replace(cost, scratch=scratch, front=cost.front + how.waiting(portion_size(1), int(work.array.size)))
        return driven_value(name, _FoldInPortions(read, how, name), inputs, cost)
    keys, tasks, parents, cost = work_tasks(work)
    name = unique(label, how, next(iter(keys.values()))[0])
    waiting = how.waiting(len(keys), int(work.array.size))
    tasks = with_joins(tasks, list(keys.values()), how, name)
    return value_of(name, tasks, name, parents, replace(cost, scratch=scratch, front=cost.front + waiting))


def with_joins(tasks: Tasks, made: list[Key], how: Fold, name: str) -> Tasks:
    """Return ``tasks`` with those that join what is ``made``, into what is called ``name``."""
    joins = join_into(name, made)
    wait_for_joins(tasks, made, joins)
    return tasks | {key: (_JoinSummaries(how), *parts) for key, parts in joins.items()}


@named("fold-in-portions")
@dataclass(frozen=True, eq=False)
class _FoldInPortions:
    work: ReadingWork
    how: Fold
    name: str

    @property
    def label(self) -> str:
        return self.work.label

    @property
    def ntiles(self) -> int:
        return self.work.ntiles

    def drive(self, inputs: Sequence[Any], compute: ComputePortion) -> Any:
        if self.work.skippable and inputs[0]:
            return SKIPPED
        work, known = self.work.knowing(inputs, self.name)
        found: list[Any] = []
        for number, portion in enumerate(portions(work)):
            key = f"{self.name}-portion-{number}"
            tasks = with_joins(portion.tasks, list(portion.keys.values()), self.how, key)
            summaries = compute(tasks | known, [key], len(portion.keys))
            found = [self.how.join([*found, *summaries])] if found else list(summaries)
        return found[0]


def wait_for_joins(tasks: Tasks, order: Sequence[Key], joins: Mapping[Key, Sequence[Key]]) -> None:
    """Let paced readings that wait for the last of several tiles wait for what joins these: ``{join: what is joined}``.

    Joins free memory and make nothing new to go on with, so dask leaves them for later: of 64 tiles, 64 histograms waited.
    """
    number = {key: i for i, key in enumerate(order)}
    closing: dict[Key, Key] = {}
    for join, parts in joins.items():  # from the tiles upwards
        last = max(parts, key=number.__getitem__)
        number[join], closing[last] = number[last], join
    for key, task in tasks.items():
        if isinstance(task[0], ReadBlock):
            tasks[key] = (task[0], *(_topmost(closing, part) for part in task[1:]))


def _topmost(closing: Mapping[Key, Key], key: Key) -> Key:
    while key in closing:
        key = closing[key]
    return key


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
