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

from xprep.engine.attempts import attempt
from xprep.engine.deliver import made_of
from xprep.engine.folds import FAN_IN
from xprep.engine.gather import Gathered, Place, Then, same
from xprep.engine.graph import Key, Tasks, origin_of, unique, value_of
from xprep.engine.grid import regular
from xprep.engine.ledger import Index, Layer, Ledger, Noted, add_tile, find_layers
from xprep.engine.pacing import Work, work_tasks
from xprep.engine.seen import SAMPLE, Seen, join_seen, look, sample_size
from xprep.engine.sources import retile
from xprep.engine.tiling import tile_of
from xprep.types import Array, Writable

Shrink = Callable[[Array, tuple[int, ...]], Array]


@dataclass(frozen=True)
class Target:
    """A level to be filled: where, and how much smaller it is than the level before (1 for the first)."""

    array: Writable
    factors: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Written:
    """A tile after it was written: what it becomes in the next level, what was seen, and how many bytes were written."""

    smaller: Array | None
    seen: Seen
    nbytes: int = 0


def write(
    array: da.Array, targets: Sequence[Target], shrink: Shrink, channel: int | None, ledger: Ledger | None = None
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

    Returns
    -------
    Delayed
        `Seen`, of the first level; its ``nbytes`` and ``units`` are of all levels.
    """
    tiles, ledger = writing_tiles(array, targets), ledger or Ledger()
    layers = find_layers(tiles.chunks, [target.factors for target in targets], tiles.dtype, ledger)
    hows = [_How(level, ledger, target.array, factors, shrink) for level, (target, factors) in enumerate(_steps(targets))]
    level, tasks, parents, cost = work_tasks(_first_level(tiles, hows[0], channel))
    name = unique("write", next(iter(level.values()))[0], [id(target.array) for target in targets])
    for depth, (how, layer) in enumerate(zip(hows, layers, strict=True)):
        if depth:
            groups = _grouped(level, targets[depth].factors)
            level = {index: (f"{name}-{depth}", *index) for index in groups}
            tasks |= {level[i]: (_WriteJoined(how, layer.spans(i), _folds(g)), *g.values()) for i, g in groups.items()}
        tasks |= _restored(level, how, layer, layers[depth + 1 :])
    key = _join(name, tasks, list(level.values()))
    return value_of(name, tasks, key, parents, cost)


def layers_of(array: da.Array, targets: Sequence[Target]) -> list[Layer]:
    """Return the tiles of every level that `write` makes of ``array``."""
    tiles = writing_tiles(array, targets)
    return find_layers(tiles.chunks, [target.factors for target in targets], tiles.dtype, Ledger())


def write_alone(array: da.Array, target: Writable, channel: int | None, ledger: Ledger | None = None) -> Delayed:
    """Return the lazy writing of ``array`` to one level that no other is made from; as `write`."""
    return write(array, [Target(target, (1,) * array.ndim)], _no_shrink, channel, ledger)


def _no_shrink(_block: Array, _factors: tuple[int, ...]) -> Array:
    raise AssertionError("a level that stands alone has no next one")


def _steps(targets: Sequence[Target]) -> list[tuple[Target, tuple[int, ...] | None]]:
    """Return every level, and the factors of the next."""
    return list(zip(targets, [*(target.factors for target in targets[1:]), None], strict=True))


def _restored(level: Mapping[Index, Key], how: _How, layer: Layer, above: Sequence[Layer]) -> Tasks:
    """Return tasks in place of those of finished tiles: they are read back only if the tile above is not finished."""
    tasks: Tasks = {}
    for index, seen in layer.done.items():
        parent = tuple(i // f for i, f in zip(index, how.following or index, strict=True)) if above else ()
        wanted = bool(above) and parent not in above[0].done
        tasks[level[index]] = (_Restore(how, layer.spans(index), seen, wanted),)
    return tasks


@dataclass(frozen=True, eq=False)
class _How(Noted):
    """How the tiles of one level are written, and by what factors they shrink to the next."""

    following: tuple[int, ...] | None
    shrink: Shrink

    def smaller(self, block: Array) -> Array | None:
        """Return what ``block`` becomes in the next level, if there is one."""
        return None if self.following is None else self.shrink(block, self.following)


def _first_level(tiles: da.Array, how: _How, channel: int | None) -> Work:
    """Return the work of making and writing the tiles, in one task each."""
    write = _WriteMade(how, channel, sample_size(tiles.npartitions))
    made = origin_of(tiles)
    if isinstance(made, Gathered) and not made.wrap:
        through = Then(made.function, write, len(made.states))
        return Work(through, made.array, made.states, made.chunks, made.needs, None, made.label)
    return Work(write, tiles, (), tiles.chunks, same, None, "write")


@dataclass(frozen=True, eq=False)
class _WriteMade:
    """Writes a tile of the first level, and looks at it."""

    how: _How
    channel: int | None
    sample: int = SAMPLE

    def __call__(self, block: Array, place: Place) -> _Written:
        stored = self.how.fill(place.output, block)
        seen = look(block, self.channel, place, self.sample)
        self.how.note(place.output, stored, seen)
        kept = seen if stored is None else replace(seen, stored={0: (stored,)})
        return _Written(self.how.smaller(block), kept, block.nbytes)


@dataclass(frozen=True, eq=False)
class _Restore:
    """Gives a tile of an earlier run; its pixels are read back where they are wanted."""

    how: _How
    spans: tuple[tuple[int, int], ...]
    seen: Seen
    wanted: bool

    def __call__(self) -> _Written:
        if not self.wanted:
            return _Written(None, self.seen)
        block = attempt(self.how.ledger.read, self.how.level, tuple(slice(*span) for span in self.spans))
        return _Written(self.how.smaller(block), self.seen)


def writing_tiles(array: da.Array, targets: Sequence[Target]) -> da.Array:
    """Return ``array`` in tiles that hold whole units at every level; as it is made, where that fits."""
    unit = [lcm(u, *(target.factors[axis] for target in targets)) for axis, u in enumerate(targets[0].array.unit)]
    made = made_of(array)
    for candidate in ([made.tiles] if made and made.axes == tuple(range(array.ndim)) else []) + [array]:
        if all(_fits(lengths, u) for lengths, u in zip(candidate.chunks, unit, strict=True)) and _large(candidate):
            return candidate
    return retile(array, tile_of(array, multiple=[min(u, n) for u, n in zip(unit, array.shape, strict=True)]), alone=True)


def _fits(lengths: Sequence[int], unit: int) -> bool:
    """Whether blocks are regular and their inner edges lie between units: then levels pair up too."""
    return tuple(lengths) == regular(sum(lengths), lengths[0]) and (len(lengths) == 1 or lengths[0] % unit == 0)


def _large(array: da.Array) -> bool:
    """Whether blocks are worth a task each: a hundred thousand tiny ones are better merged."""
    return bool(array.npartitions <= 64 or array.nbytes / array.npartitions >= 2**18)


def _grouped(level: dict[tuple[int, ...], Key], factors: Sequence[int]) -> dict[tuple[int, ...], dict[tuple[int, ...], Key]]:
    groups: dict[tuple[int, ...], dict[tuple[int, ...], Key]] = {}
    for index, key in level.items():
        groups.setdefault(tuple(i // f for i, f in zip(index, factors, strict=True)), {})[index] = key
    return groups


def _folds(children: dict[tuple[int, ...], Key]) -> tuple[int, ...]:
    """Return how many children lie along each axis."""
    return tuple(len(set(along)) for along in zip(*children, strict=True))


@dataclass(frozen=True, eq=False)
class _WriteJoined:
    """Writes a tile of a further level, put together from those of the level before."""

    how: _How
    spans: tuple[tuple[int, int], ...]
    folds: tuple[int, ...]

    def __call__(self, *children: _Written) -> _Written:
        how = self.how
        block = _joined([child.smaller for child in children if child.smaller is not None], self.folds)
        stored = how.fill(self.spans, block)
        how.note(self.spans, stored)
        seen = add_tile([child.seen for child in children], how.level, stored, block.nbytes)
        return _Written(how.smaller(block), seen, block.nbytes)


def _joined(blocks: Sequence[Array], folds: tuple[int, ...]) -> Array:
    """Put blocks, in the order of their indices, side by side."""
    if len(blocks) == 1:
        return blocks[0]
    parts = list(blocks)
    for axis in reversed(range(len(folds))):
        parts = [np.concatenate(parts[i : i + folds[axis]], axis=axis) for i in range(0, len(parts), folds[axis])]
    return parts[0]


def _finish(*children: Any) -> Seen:
    return join_seen([child.seen if isinstance(child, _Written) else child for child in children])


def _join(name: str, tasks: Tasks, level: list[Key]) -> Key:
    depth = 0
    while len(level) > 1 or depth == 0:
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        level = [name if len(groups) == 1 else (f"{name}-join", depth, i) for i in range(len(groups))]
        tasks.update({key: (_finish, *group) for key, group in zip(level, groups, strict=True)})
        depth += 1
    return level[0]
