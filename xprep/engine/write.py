"""Filling stores: every tile is written once, and every level is made while the one below it is being written.

A task writes whole units (shards, or chunks where there are none): two tasks never touch one object. The source is read
once, whatever the number of levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import lcm
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.deliver import made_of
from xprep.engine.folds import FAN_IN
from xprep.engine.gather import Gathered, Place, same
from xprep.engine.graph import Key, Tasks, origin_of, unique, value_of
from xprep.engine.grid import regular, starts
from xprep.engine.pacing import Work, work_tasks
from xprep.engine.sources import retile
from xprep.engine.tiling import tile_of
from xprep.types import Array, Region, Writable

Shrink = Callable[[Array, tuple[int, ...]], Array]
SAMPLE = 4096  # values of a channel and a tile that are looked at for the contrast limits; of an image 16 times as many


@dataclass(frozen=True)
class Target:
    """A level to be filled: where, and how much smaller it is than the level before (1 for the first)."""

    array: Writable
    factors: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen of one channel: extremes, NaN where there was no number, and a sample of finite values."""

    low: float
    high: float
    sample: Array


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of the pixels while they were written, by position of the channel; and how much was written."""

    channels: dict[int, Look]
    nbytes: int
    units: int


@dataclass(frozen=True, eq=False)
class _Written:
    """A tile after it was written: what it becomes in the next level, and what was seen."""

    smaller: Array | None
    seen: Seen


def write(array: da.Array, targets: Sequence[Target], shrink: Shrink, channel: int | None) -> Delayed:
    """Return the lazy writing of ``array`` to ``targets``, each level made from the tiles of the one before.

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

    Returns
    -------
    Delayed
        `Seen`, of the first level; its ``nbytes`` and ``units`` are of all levels.
    """
    tiles = writing_tiles(array, targets)
    following = [target.factors for target in targets[1:]] + [None]
    level, tasks, parents, cost = work_tasks(_first_level(tiles, targets[0].array, following[0], shrink, channel))
    name = unique("write", next(iter(level.values()))[0], [id(target.array) for target in targets])
    edges = [starts(lengths) for lengths in tiles.chunks]
    for depth, target in enumerate(targets[1:], 1):
        groups = _grouped(level, target.factors)
        edges = [_shrunk_edges(edge, factor) for edge, factor in zip(edges, target.factors, strict=True)]
        level = {}
        for index, children in groups.items():
            region = tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(edges, index, strict=True))
            how = _WriteJoined(target.array, region, following[depth], shrink, _folds(children))
            tasks[f"{name}-{depth}", *index] = (how, *children.values())
            level[index] = (f"{name}-{depth}", *index)
    key = _join(name, tasks, list(level.values()))
    return value_of(name, tasks, key, parents, cost)


def _first_level(
    tiles: da.Array, target: Writable, following: tuple[int, ...] | None, shrink: Shrink, channel: int | None
) -> Work:
    """Return the work of making and writing the tiles, in one task each."""
    write = _WriteMade(target, following, shrink, channel)
    made = origin_of(tiles)
    if isinstance(made, Gathered) and not made.wrap:
        through = _Through(made.function, write, len(made.states))
        return Work(through, made.array, made.states, made.chunks, made.needs, None, made.label)
    return Work(write, tiles, (), tiles.chunks, same, None, "write")


@dataclass(frozen=True, eq=False)
class _Through:
    function: Callable[..., Array]
    write: _WriteMade
    nstates: int

    def __call__(self, block: Array, place: Place, *states: Any) -> _Written:
        return self.write(self.function(block, place, *states), place)


@dataclass(frozen=True, eq=False)
class _WriteMade:
    """Writes a tile of the first level, and looks at it."""

    target: Writable
    following: tuple[int, ...] | None
    shrink: Shrink
    channel: int | None
    # Work that leaves something behind is never the same twice: a cluster that still holds the result of an equal task
    # would give that, and write nothing.
    number: str = field(default_factory=lambda: uuid4().hex)

    def __call__(self, block: Array, place: Place) -> _Written:
        self.target.write(tuple(slice(*span) for span in place.output), block)
        seen = look(block, self.channel, place)
        return _Written(None if self.following is None else self.shrink(block, self.following), seen)


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


def _shrunk_edges(edges: Sequence[int], factor: int) -> tuple[int, ...]:
    """Return the edges of the next level's tiles: ``factor`` tiles make one, its pixels are ``factor`` times fewer."""
    return tuple(-(-edge // factor) for edge in (*edges[:-1:factor], edges[-1]))


@dataclass(frozen=True, eq=False)
class _WriteJoined:
    """Writes a tile of a further level, put together from those of the level before."""

    target: Writable
    region: Region
    following: tuple[int, ...] | None
    shrink: Shrink
    folds: tuple[int, ...]

    def __call__(self, *children: _Written) -> _Written:
        block = _joined([child.smaller for child in children if child.smaller is not None], self.folds)
        self.target.write(self.region, block)
        seen = join_seen([child.seen for child in children])
        moved = replace(seen, nbytes=seen.nbytes + block.nbytes, units=seen.units + 1)
        return _Written(None if self.following is None else self.shrink(block, self.following), moved)


def _joined(blocks: Sequence[Array], folds: tuple[int, ...]) -> Array:
    """Put blocks, in the order of their indices, side by side."""
    if len(blocks) == 1:
        return blocks[0]
    parts = list(blocks)
    for axis in reversed(range(len(folds))):
        parts = [np.concatenate(parts[i : i + folds[axis]], axis=axis) for i in range(0, len(parts), folds[axis])]
    return parts[0]


def look(block: Array, channel: int | None, place: Place) -> Seen:
    """Return extremes and a sample of a block, per channel."""
    rows = [block] if channel is None else np.moveaxis(block, channel, 0)
    first = 0 if channel is None else place.output[channel][0]
    looks = {first + i: Look(_extreme(np.fmin, row), _extreme(np.fmax, row), _sample(row)) for i, row in enumerate(rows)}
    return Seen(looks, block.nbytes, 1)


def _extreme(function: Any, row: Array) -> float:
    with np.errstate(invalid="ignore"):
        found = function.reduce(row, axis=None) if row.size else np.nan
        if np.isinf(found):
            finite = row[np.isfinite(row)]
            found = function.reduce(finite, axis=None) if finite.size else np.nan
    return float(found)


def _sample(row: Array) -> Array:
    step = max(1, int(np.ceil((row.size / SAMPLE) ** (1 / max(1, row.ndim)))))
    values = row[(slice(step // 2, None, step),) * row.ndim].ravel()
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values.copy()


def join_seen(parts: Sequence[Seen]) -> Seen:
    """Return what was seen of several tiles together; the samples stay bounded."""
    looks: dict[int, list[Look]] = {}
    for part in parts:
        for position, one in part.channels.items():
            looks.setdefault(position, []).append(one)
    channels = {position: _join_looks(same) for position, same in looks.items()}
    return Seen(channels, sum(part.nbytes for part in parts), sum(part.units for part in parts))


def _join_looks(looks: Sequence[Look]) -> Look:
    low, high = float(np.fmin.reduce([one.low for one in looks])), float(np.fmax.reduce([one.high for one in looks]))
    return Look(low, high, _thin(np.concatenate([one.sample for one in looks])))


def _thin(values: Array) -> Array:
    return values[:: 1 + values.size // (16 * SAMPLE)]


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
