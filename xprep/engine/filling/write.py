"""Filling stores: every tile is written once, and every level is made while the one below it is being written.

A task writes whole units (shards, or chunks where there are none): two tasks never touch one object. The source is read
once, whatever the number of levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.blocks.cutting import cut_for
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.pacing import work_on, work_tasks
from xprep.engine.filling.ledger import Index, Layer, Ledger, NotingWrites, add_tile, find_layers
from xprep.engine.filling.summaries import SAMPLE, Seen, join_seen, look, sample_size
from xprep.engine.graph.joining import join_into
from xprep.engine.graph.tasks import Key, Tasks, unique, value_of
from xprep.engine.machine.attempts import attempt
from xprep.engine.sources.axes import in_order
from xprep.naming import named
from xprep.types import Array, Writable

Shrink = Callable[[Array, tuple[int, ...]], Array]


@dataclass(frozen=True)
class Target:
    """A level to be filled: where, and how much smaller it is than the level before (1 for the first)."""

    array: Writable
    factors: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class WrittenTile:
    """A tile after it was written: what it becomes in the next level, what was seen, and how many bytes were written."""

    smaller: Array | None
    seen: Seen
    nbytes: int = 0


def write(
    array: da.Array,
    targets: Sequence[Target],
    shrink: Shrink,
    channel: int | None,
    ledger: Ledger | None = None,
    *,
    shared: bool = False,
) -> Delayed:
    """Return the lazy writing of ``array`` to ``targets``, each level made from the tiles of the one before.

    Tiles that the ledger has are not made again, nor is anything that only they need; where a tile of the next level
    needs one, it is read back.

    Parameters
    ----------
    array
        The pixels of the first level.
    targets
        The levels, finest first.
    shrink
        ``shrink(block, factors)``: a block of the next level.
    channel
        Axis whose positions are summarised apart, None for none.
    ledger
        What an earlier run wrote, and where it is noted what is written.
    shared
        Whether what is written besides, in the same run, is made of the same graph.

    Returns
    -------
    Delayed
        `Seen`, of the first level; its ``nbytes`` and ``units`` are of all levels.
    """
    factors, ledger = [target.factors for target in targets], ledger or Ledger()
    cut = cut_for(array, whole_units(targets[0].array.unit, factors))
    tiles = cut.made(shared=shared)
    layers = find_layers(tuple(tiles.chunks[axis] for axis in cut.axes), factors, tiles.dtype, ledger)
    hows = [_WriteLevel(level, ledger, target.array, factors, shrink) for level, (target, factors) in enumerate(_steps(targets))]
    fill = _WriteMade(hows[0], channel, cut.axes, sample_size(tiles.npartitions))
    made, tasks, parents, cost = work_tasks(work_on(tiles, fill, "write"))
    level = {tuple(index[axis] for axis in cut.axes): key for index, key in made.items()}
    name = unique("write", next(iter(level.values()))[0], [id(target.array) for target in targets])
    for depth, (how, layer) in enumerate(zip(hows, layers, strict=True)):
        if depth:
            groups = _grouped(level, targets[depth].factors)
            level = {index: (f"{name}-{depth}", *index) for index in groups}
            tasks |= {level[i]: (_WriteJoined(how, layer.spans(i), _folds(g)), *g.values()) for i, g in groups.items()}
        tasks |= _restored(level, how, layer, layers[depth + 1 :])
    tasks |= {key: (_finish, *parts) for key, parts in join_into(name, list(level.values())).items()}
    return value_of(name, tasks, name, parents, cost)


def layers_of(array: da.Array, targets: Sequence[Target]) -> list[Layer]:
    """Return the tiles of every level that `write` makes of ``array``."""
    factors = [target.factors for target in targets]
    cut = cut_for(array, whole_units(targets[0].array.unit, factors))
    return find_layers(cut.chunks, factors, array.dtype, Ledger())


def write_alone(
    array: da.Array, target: Writable, channel: int | None, ledger: Ledger | None = None, *, shared: bool = False
) -> Delayed:
    """Return the lazy writing of ``array`` to one level that no other is made from; as `write`."""
    return write(array, [Target(target, (1,) * array.ndim)], _no_shrink, channel, ledger, shared=shared)


def _no_shrink(_block: Array, _factors: tuple[int, ...]) -> Array:
    raise AssertionError("a level that stands alone has no next one")


def _steps(targets: Sequence[Target]) -> list[tuple[Target, tuple[int, ...] | None]]:
    """Return every level, and the factors of the next."""
    return list(zip(targets, [*(target.factors for target in targets[1:]), None], strict=True))


def _restored(level: Mapping[Index, Key], how: _WriteLevel, layer: Layer, above: Sequence[Layer]) -> Tasks:
    """Return tasks in place of those of finished tiles: they are read back only if the tile above is not finished."""
    tasks: Tasks = {}
    for index, seen in layer.done.items():
        parent = tuple(i // f for i, f in zip(index, how.following or index, strict=True)) if above else ()
        wanted = bool(above) and parent not in above[0].done
        tasks[level[index]] = (_Restore(how, layer.spans(index), seen, wanted),)
    return tasks


@dataclass(frozen=True, eq=False)
class _WriteLevel(NotingWrites):
    """How the tiles of one level are written, and by what factors they shrink to the next."""

    following: tuple[int, ...] | None
    shrink: Shrink

    def smaller(self, block: Array) -> Array | None:
        """Return what ``block`` becomes in the next level, if there is one."""
        return None if self.following is None else self.shrink(block, self.following)


@named("write-made")
@dataclass(frozen=True, eq=False)
class _WriteMade:
    """Writes a tile of the first level, and looks at it."""

    how: _WriteLevel
    channel: int | None
    axes: tuple[int, ...]
    sample: int = SAMPLE

    def __call__(self, made: Array, made_at: BlockPlace) -> WrittenTile:
        block, place = in_order(made, self.axes), made_at.in_order(self.axes)
        stored = self.how.fill(place.output, block)
        seen = look(block, self.channel, place, self.sample)
        self.how.note(place.output, stored, seen)
        kept = seen if stored is None else replace(seen, stored={0: (stored,)})
        return WrittenTile(self.how.smaller(block), kept, block.nbytes)


@dataclass(frozen=True, eq=False)
class _Restore:
    """Gives a tile of an earlier run; its pixels are read back where they are wanted."""

    how: _WriteLevel
    spans: tuple[tuple[int, int], ...]
    seen: Seen
    wanted: bool

    def __call__(self) -> WrittenTile:
        if not self.wanted:
            return WrittenTile(None, self.seen)
        block = attempt(self.how.ledger.read, self.how.level, tuple(slice(*span) for span in self.spans))
        return WrittenTile(self.how.smaller(block), self.seen)


def whole_units(unit: Sequence[int], factors: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the shape that tiles are multiples of, so that they hold whole units at every level."""
    return [lcm(u, *(step[axis] for step in factors)) for axis, u in enumerate(unit)]


def _grouped(level: dict[tuple[int, ...], Key], factors: Sequence[int]) -> dict[tuple[int, ...], dict[tuple[int, ...], Key]]:
    groups: dict[tuple[int, ...], dict[tuple[int, ...], Key]] = {}
    for index in sorted(level):  # tiles are made in the order of their pace, and joined in that of their indices
        groups.setdefault(tuple(i // f for i, f in zip(index, factors, strict=True)), {})[index] = level[index]
    return groups


def _folds(children: dict[tuple[int, ...], Key]) -> tuple[int, ...]:
    """Return how many children lie along each axis."""
    return tuple(len(set(along)) for along in zip(*children, strict=True))


@dataclass(frozen=True, eq=False)
class _WriteJoined:
    """Writes a tile of a further level, put together from those of the level before."""

    how: _WriteLevel
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


def _finish(*children: Any) -> Seen:
    return join_seen([child.seen if isinstance(child, WrittenTile) else child for child in children])
