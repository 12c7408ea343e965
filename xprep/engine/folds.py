"""Tree reductions told as data: what a block gives, and how summaries join."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.gather import Needs, same
from xprep.engine.graph import SKIPPED, Key, Tasks, is_skipped, unique, value_of
from xprep.engine.pacing import Work, work_tasks
from xprep.naming import named
from xprep.types import Chunks

FAN_IN = 4  # summaries joined by one task: at most 3 a level wait, and each may be MiBs of histogram


@named("fold")
@dataclass(frozen=True)
class Fold:
    """A reduction in two steps: ``summarize(block, place, *states)``, and ``join(summaries)``, which must be associative.

    Plans count the bytes of one group (a channel) of a ``summary``, as often as one waits, and what all may have ``collected``.
    """

    summarize: Callable[..., Any]
    join: Callable[[Sequence[Any]], Any]
    summary: int = 0
    collected: int = 0

    def waiting(self, blocks: int, groups: int, pixels: int) -> int:
        """Return how many bytes the summaries of that many blocks take while they wait to be joined."""
        return min(self.collected, 16 * pixels) + ((FAN_IN - 1) * depth_of(blocks) + 1) * groups * self.summary


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
) -> Delayed:
    """Fold ``array`` block by block; the result is lazy, and so may ``states`` be.

    ``how.summarize(block, place, *states)`` runs in the task that makes or reads the block, so that a block lives for
    one task only (4 live chunks of 64 instead of 31).
    """
    chunks = array.chunks if chunks is None else chunks
    return fold_work(Work(how.summarize, array, states, chunks, needs, unless, label), how, label)


def fold_work(work: Work, how: Fold, label: str, scratch: int = 0) -> Delayed:
    """Return what the blocks of ``work`` give, joined; ``scratch`` is how many bytes they leave there."""
    keys, tasks, parents, cost = work_tasks(work)
    name = unique(label, how, next(iter(keys.values()))[0])
    joined = _join_all(name, tasks, how, list(keys.values()))
    waiting = how.waiting(len(keys), work.array.shape[0] if work.array.ndim else 1, int(work.array.size))
    return value_of(name, tasks, joined, parents, replace(cost, scratch=scratch, front=cost.front + waiting))


def _join_all(name: str, tasks: Tasks, how: Fold, level: list[Key]) -> Key:
    depth = 0
    while len(level) > 1 or depth == 0:
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        last = len(groups) == 1
        level = [name if last else (f"{name}-join", depth, i) for i in range(len(groups))]
        tasks.update({key: (_Join(how), *group) for key, group in zip(level, groups, strict=True)})
        depth += 1
    return level[0]


@dataclass(frozen=True)
class _Join:
    how: Fold

    def __call__(self, *summaries: Any) -> Any:
        return SKIPPED if is_skipped(summaries) else self.how.join(summaries)
