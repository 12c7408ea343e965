"""Tasks that write the tiles of a pyramid: those of the first level as they are made, each other one from those below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.filling.ledger import Index, Layer, NotingWrites, add_tile, parent_of
from xprep.engine.filling.summaries import SAMPLE, Seen, look
from xprep.engine.graph.tasks import Key, Tasks
from xprep.engine.machine.attempts import attempt
from xprep.engine.sources.axes import in_order
from xprep.naming import named
from xprep.types import Array

Shrink: TypeAlias = Callable[[Array, tuple[int, ...]], Array]


@dataclass(frozen=True, eq=False)
class WrittenTile:
    """A tile after it was written: what it becomes in the next level, what was seen, and how many bytes were written."""

    smaller: Array | None
    seen: Seen
    bytes_written: int = 0


@dataclass(frozen=True, eq=False)
class WriteLevel(NotingWrites):
    """How the tiles of one level are written, and by what factors they shrink to the next."""

    following: tuple[int, ...] | None
    shrink: Shrink

    def smaller(self, block: Array) -> Array | None:
        """Return what ``block`` becomes in the next level, if there is one."""
        return None if self.following is None else self.shrink(block, self.following)


@named("write-made")
@dataclass(frozen=True, eq=False)
class WriteMade:
    """Writes a tile of the first level, and looks at it."""

    how: WriteLevel
    channel: int | None
    axes: tuple[int, ...]
    sample: int = SAMPLE

    def __call__(self, made: Array, made_at: BlockPlace) -> WrittenTile:
        """Return the tile, written."""
        block, place = in_order(made, self.axes), made_at.in_order(self.axes)
        stored = self.how.fill(place.output, block)
        seen = look(block, self.channel, place, self.sample)
        self.how.note(place.output, stored, seen)
        kept = seen if stored is None else replace(seen, stored={0: (stored,)})
        return WrittenTile(self.how.smaller(block), kept, block.nbytes)


@dataclass(frozen=True, eq=False)
class _Restore:
    """Gives a tile of an earlier run; its pixels are read back where they are wanted."""

    how: WriteLevel
    spans: tuple[tuple[int, int], ...]
    seen: Seen
    wanted: bool

    def __call__(self) -> WrittenTile:
        if not self.wanted:
            return WrittenTile(None, self.seen)
        block = attempt(self.how.ledger.read, self.how.level, tuple(slice(*span) for span in self.spans))
        return WrittenTile(self.how.smaller(block), self.seen)


def restored_tasks(level: Mapping[Index, Key], how: WriteLevel, layer: Layer, above: Sequence[Layer]) -> Tasks:
    """Return tasks in place of those of finished tiles: they are read back only if the tile above is not finished."""
    tasks: Tasks = {}
    for index, key in level.items() if layer.done else ():
        if (seen := layer.done.get(index)) is not None:
            wanted = bool(above) and parent_of(index, how.following or index) not in above[0].done
            tasks[key] = (_Restore(how, layer.spans(index), seen, wanted),)
    return tasks


def grouped(level: Mapping[Index, Key], factors: Sequence[int]) -> dict[Index, dict[Index, Key]]:
    """Return the tiles that become one tile of the next level, by that one."""
    groups: dict[Index, dict[Index, Key]] = {}
    for index in sorted(level):  # tiles are made in the order of their pace, and joined in that of their indices
        groups.setdefault(parent_of(index, factors), {})[index] = level[index]
    return groups


def joined_tasks(level: Mapping[Index, Key], groups: Mapping[Index, Mapping[Index, Key]], how: WriteLevel, layer: Layer) -> Tasks:
    """Return the tasks that write the tiles ``level`` of a further level, each made of its group."""
    return {
        key: (_WriteJoined(how, layer.spans(index), _children_along(groups[index])), *groups[index].values())
        for index, key in level.items()
    }


def _children_along(children: Mapping[Index, Key]) -> tuple[int, ...]:
    """Return how many children lie along each axis."""
    return tuple(len(set(along)) for along in zip(*children, strict=True))


@dataclass(frozen=True, eq=False)
class _WriteJoined:
    """Writes a tile of a further level, put together from those of the level before."""

    how: WriteLevel
    spans: tuple[tuple[int, int], ...]
    folds: tuple[int, ...]

    def __call__(self, *children: WrittenTile) -> WrittenTile:
        how = self.how
        block = _joined([child.smaller for child in children if child.smaller is not None], self.folds)
        stored = how.fill(self.spans, block)
        how.note(self.spans, stored)
        seen = add_tile([child.seen for child in children], how.level, stored, block.nbytes)
        return WrittenTile(how.smaller(block), seen, block.nbytes)


def _joined(blocks: Sequence[Array], folds: tuple[int, ...]) -> Array:
    """Put blocks, in the order of their indices, side by side."""
    if len(blocks) == 1:
        return blocks[0]
    parts = list(blocks)
    for axis in reversed(range(len(folds))):
        parts = [np.concatenate(parts[i : i + folds[axis]], axis=axis) for i in range(0, len(parts), folds[axis])]
    return parts[0]
