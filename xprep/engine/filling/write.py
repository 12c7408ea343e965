"""Filling stores: every tile is written once, and every level is made while the one below it is being written.

A task writes whole units (shards, or chunks where there are none): two tasks never touch one object. The source is read
once, whatever the number of levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.cutting import cut_for
from xprep.engine.blocks.portions import large_work, work_tasks
from xprep.engine.blocks.work import work_on
from xprep.engine.filling.ledger import Layer, Ledger, find_layers
from xprep.engine.filling.level_tasks import Shrink, WriteLevel, WriteMade, WrittenTile, grouped, joined_tasks, restored_tasks
from xprep.engine.filling.portions import Pyramid, PyramidInPortions
from xprep.engine.filling.summaries import Seen, join_seen, sample_size
from xprep.engine.graph.driven import driven_value
from xprep.engine.graph.joining import join_into
from xprep.engine.graph.tasks import unique, value_of
from xprep.types import Array, Writable


@dataclass(frozen=True)
class Target:
    """A level to be filled: where, and how much smaller it is than the level before (1 for the first)."""

    array: Writable
    factors: tuple[int, ...]


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
    hows = [WriteLevel(level, ledger, target.array, factors, shrink) for level, (target, factors) in enumerate(_steps(targets))]
    fill = WriteMade(hows[0], channel, cut.axes, sample_size(tiles.npartitions))
    work, steps = work_on(tiles, fill, "write"), Pyramid(cut.axes, layers, hows, factors)
    if not shared and (large := large_work(work)):
        read, inputs, cost = large
        name = unique("write", read.name, hows)
        return driven_value(name, PyramidInPortions(read, steps, name), inputs, cost)
    made, tasks, parents, cost = work_tasks(work)
    level = {tuple(index[axis] for axis in cut.axes): key for index, key in made.items()}
    name = unique("write", next(iter(level.values()))[0], hows)
    for depth, (how, layer) in enumerate(zip(hows, layers, strict=True)):
        if depth:
            groups = grouped(level, factors[depth])
            level = {index: (f"{name}-{depth}", *index) for index in groups}
            tasks |= joined_tasks(level, groups, how, layer)
        tasks |= restored_tasks(level, how, layer, layers[depth + 1 :])
    tasks |= {key: (_finish, *parts) for key, parts in join_into(name, [level[index] for index in sorted(level)]).items()}
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


def whole_units(unit: Sequence[int], factors: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the shape that tiles are multiples of, so that they hold whole units at every level."""
    return [lcm(u, *(step[axis] for step in factors)) for axis, u in enumerate(unit)]


def _finish(*children: Any) -> Seen:
    return join_seen([child.seen if isinstance(child, WrittenTile) else child for child in children])
