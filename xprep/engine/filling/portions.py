"""Large pyramids are written portion by portion; tiles whose neighbours are still missing go on to the next one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from xprep.engine.blocks.portions import Portion, portions
from xprep.engine.blocks.work import ReadingWork
from xprep.engine.filling.ledger import Index, Layer
from xprep.engine.filling.level_tasks import WriteLevel, WrittenTile, grouped, joined_tasks, restored_tasks
from xprep.engine.filling.summaries import Seen, join_seen
from xprep.engine.graph.driven import ComputePortion, given
from xprep.engine.graph.joining import FAN_IN
from xprep.engine.graph.tasks import Key, Tasks

WRITING = "writing"
Place = tuple[int, Index]  # a level, and a tile of it


@dataclass(frozen=True, eq=False)
class Pyramid:
    """The tiles of all levels, and how they are written.

    Attributes
    ----------
    axes
        The axis of what is made that is axis i of what is written.
    layers, hows
        The tiles of every level, and how they are written.
    factors
        How much smaller each level is than the one before.
    """

    axes: tuple[int, ...]
    layers: Sequence[Layer]
    hows: Sequence[WriteLevel]
    factors: Sequence[tuple[int, ...]]

    def in_order(self) -> Iterator[Index]:
        """Yield the tiles of the first level so that few of those above wait for others."""
        for top in self.layers[-1].indices:
            yield from self._below(len(self.layers) - 1, top)

    def _below(self, depth: int, index: Index) -> Iterator[Index]:
        if depth == 0:
            yield index
            return
        for child in self.layers[depth - 1].children_of(index, self.factors[depth]):
            yield from self._below(depth - 1, child)


@dataclass(frozen=True, eq=False)
class PyramidInPortions:
    """The writing of a pyramid whose first level is made by ``work``."""

    label: ClassVar[str] = WRITING
    work: ReadingWork
    pyramid: Pyramid
    name: str

    @property
    def ntiles(self) -> int:
        """How many tiles the first level has."""
        return self.work.ntiles

    def drive(self, inputs: Sequence[Any], compute: ComputePortion) -> Seen:
        """Write it all."""
        work, known = self.work.knowing(inputs, self.name)
        unfinished: dict[Place, WrittenTile] = {}
        counts = self.pyramid.layers[-1].counts
        tops = JoinTree(prod(counts))
        for portion in portions(work, map(self._in_work, self.pyramid.in_order())):
            tasks, kept = self._with_levels(portion, unfinished)
            found = compute(tasks | known, list(kept.values()), len(portion.keys))
            for (depth, index), tile in zip(kept, found, strict=True):
                if depth == len(self.pyramid.layers) - 1:
                    tops.add(int(np.ravel_multi_index(index, counts)), tile.seen)
                else:
                    unfinished[depth, index] = replace(tile, bytes_written=0)  # they are told once
        return tops.joined()

    def _in_work(self, index: Index) -> Index:
        """Return the tile of the work that is written as ``index``."""
        found = [0] * len(self.work.chunks)
        for axis, i in zip(self.pyramid.axes, index, strict=True):
            found[axis] = i
        return tuple(found)

    def _with_levels(self, portion: Portion, unfinished: dict[Place, WrittenTile]) -> tuple[Tasks, dict[Place, Key]]:
        """Return a portion's tasks with those of further levels that can be made now, and the keys of what is left.

        What these take of ``unfinished`` is taken from it.
        """
        pyramid, tasks, kept = self.pyramid, dict(portion.tasks), dict[Place, Key]()
        level: Mapping[Index, Key] = {tuple(index[axis] for axis in pyramid.axes): key for index, key in portion.keys.items()}
        for depth, (how, layer) in enumerate(zip(pyramid.hows, pyramid.layers, strict=True)):
            tasks |= restored_tasks(level, how, layer, pyramid.layers[depth + 1 :])
            if depth == len(pyramid.layers) - 1:
                return tasks, kept | {(depth, index): key for index, key in level.items()}
            before: dict[Index, Key] = {index: (f"{self.name}-before-{at}", *index) for at, index in unfinished if at == depth}
            steps = pyramid.factors[depth + 1]
            groups = grouped({**level, **before}, steps)
            whole = {index for index, group in groups.items() if len(group) == len(layer.children_of(index, steps))}
            kept |= {(depth, i): level[i] for index in groups.keys() - whole for i in groups[index] if i in level}
            used = {i: key for index in whole for i, key in groups[index].items() if i in before}
            tasks |= given(list(used.values()), [unfinished.pop((depth, i)) for i in used])
            level = {index: (f"{self.name}-{depth + 1}", *index) for index in sorted(whole)}
            tasks |= joined_tasks(level, groups, pyramid.hows[depth + 1], pyramid.layers[depth + 1])
        raise AssertionError("there is a last level")


class JoinTree:
    """Joins what was seen of tiles in the tree of `write`, in whatever order they come."""

    def __init__(self, count: int) -> None:
        self._count, self._parts, self._result = count, dict[tuple[int, int], Seen](), list[Seen]()

    def add(self, position: int, seen: Seen, depth: int = 0) -> None:
        """Add what was seen of the tile at ``position``, and join what is complete."""
        self._parts[depth, position] = seen
        count, group = -(-self._count // FAN_IN**depth), position // FAN_IN
        members = [(depth, i) for i in range(group * FAN_IN, min(count, (group + 1) * FAN_IN))]
        if all(member in self._parts for member in members):
            joined = join_seen([self._parts.pop(member) for member in members])
            if count > FAN_IN:
                self.add(group, joined, depth + 1)
            else:
                self._result.append(joined)

    def joined(self) -> Seen:
        """Return what was seen of all."""
        (result,) = self._result
        return result
