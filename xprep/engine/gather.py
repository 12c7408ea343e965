"""Every output block from the input region it needs: pixels, halos, resampling and crops are all this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import prod
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.assemble import assembled
from xprep.engine.graph import SKIPPED, BlockTasks, Cost, Key, array_of, is_skipped, key_of, unique
from xprep.engine.grid import Piece, pieces, starts, wrapped_pieces
from xprep.engine.sources import View, reader, reading_cost
from xprep.naming import named
from xprep.types import Array, Chunks

Span: TypeAlias = tuple[int, int]
Needs: TypeAlias = Callable[[int, int, int], Span]


ROWS = 2  # of tiles that are alive while tiles with a halo are made row by row: one, and the next as it is read
FRONT_BYTES = 192 * 2**20  # of these rows, together


@dataclass(frozen=True)
class Place:
    """Where a block lies: ``input`` is the region that was read, ``output`` the one to be made, both ``[start, stop)``.

    ``shape`` is the whole input's.
    """

    input: tuple[Span, ...]
    output: tuple[Span, ...]
    shape: tuple[int, ...]

    def in_order(self, axes: Sequence[int]) -> Place:
        """Return the place of a block whose axis i is ``axes[i]`` of this one."""
        shape = tuple(self.shape[axis] for axis in axes)
        return Place(tuple(self.input[axis] for axis in axes), tuple(self.output[axis] for axis in axes), shape)


BlockFunction: TypeAlias = Callable[..., Array]


@named("gather-along")
@dataclass(frozen=True)
class Along:
    """One axis of one output block: what it needs, where it lies, and the parts of input blocks that make up the need."""

    input: Span
    output: Span
    pieces: tuple[Piece, ...]


def same(_axis: int, start: int, stop: int) -> Span:
    """Need of an operation per pixel: the output's own region."""
    return start, stop


def gather(
    function: BlockFunction,
    array: da.Array,
    *states: da.Array | Delayed,
    dtype: Any,
    chunks: Chunks | None = None,
    needs: Needs = same,
    unless: Delayed | None = None,
    wrap: bool = False,
    label: str = "gather",
) -> da.Array:
    """Return the array whose blocks are ``function(block, place, *states)``.

    Parameters
    ----------
    function
        Called with the assembled input region, its `Place`, and the computed ``states``.
    array
        The input.
    *states
        Lazy values that every block gets whole.
    dtype
        Type of the result.
    chunks
        The result's blocks; by default the input's.
    needs
        ``needs(axis, start, stop)``: which span of the input the output's ``[start, stop)`` needs along ``axis``; it is
        clipped to the array. Spans are per axis, so building costs O(blocks) key look-ups and no arithmetic.
    unless
        A lazy value; where it turns out true, blocks are not made, and `SKIPPED` is passed on.
    wrap
        Beyond its ends an axis begins anew, instead of spans being clipped to it.
    label
        Name shown in dask's dashboards.
    """
    chunks = array.chunks if chunks is None else chunks
    name, tasks, parents, cost = block_tasks(function, array, states, chunks, needs, unless, label, wrap)
    made = prod(map(max, chunks)) * np.dtype(dtype).itemsize
    origin = Gathered(function, array, states, chunks, needs, wrap, label)
    return array_of(name, tasks, chunks, dtype, parents, origin, replace(cost, block=cost.block + made))


@dataclass(frozen=True, eq=False)
class Gathered:
    """What an array of `gather` remembers: how its blocks are made."""

    function: BlockFunction
    array: da.Array
    states: tuple[Any, ...]
    chunks: Chunks
    needs: Needs
    wrap: bool
    label: str


def block_tasks(
    function: Callable[..., Any],
    array: da.Array,
    states: Sequence[da.Array | Delayed],
    chunks: Chunks,
    needs: Needs,
    unless: Delayed | None,
    label: str,
    wrap: bool = False,
) -> tuple[str, BlockTasks, list[Any], Cost]:
    """Return the tasks of `gather`, their name, and what they depend on.

    Where the input is a source with no other user and no halo, the task reads for itself.
    """
    axes = [along_axis(array, axis, lengths, needs, wrap) for axis, lengths in enumerate(chunks)]
    alone = reader(array) if needs is same and chunks == array.chunks else None
    gates = [gate for gate in (unless, alone[1] if alone else None) if gate is not None]
    name = unique(label, function, array.name, [key_of(s) for s in (*gates, *states)], chunks, axes)
    extra = tuple(key_of(state) for state in (*gates, *states))
    how = How(function, array.shape, len(gates), unless is not None, len(states), alone[0] if alone else None)
    tasks = BlockTasks(name, [len(lengths) for lengths in chunks], _MakeGather(how, axes, extra, None if alone else array.name))
    parents = [*gates, *states] if alone else [array, *gates, *states]
    return name, tasks, parents, gather_cost(label, array, axes, alone[0] if alone else None, unless is not None)


def gather_cost(label: str, array: da.Array, axes: Sequence[Sequence[Along]], view: View | None, maybe: bool) -> Cost:
    """Return what making blocks takes: their inputs, and the layers of inputs that wait for neighbours."""
    if view is not None:
        return reading_cost(label, view, array.chunks, maybe)
    block = prod(max(a.input[1] - a.input[0] for a in axis) for axis in axes) * array.dtype.itemsize
    return Cost(label, 0, maybe, block, _front(array, axes))


def _front(array: da.Array, axes: Sequence[Sequence[Along]]) -> int:
    """Return the bytes of the layers that wait: two where tiles are cut as their input is, else all that a tile needs."""
    waiting = waiting_axes(array.numblocks, axes)
    if not waiting:
        return 0
    tile: int = prod(map(max, array.chunks)) * array.dtype.itemsize
    widths = band_widths([len(axes[axis]) for axis in waiting], tile)
    wide = [
        min(array.numblocks[axis], -(-width * array.numblocks[axis] // len(axes[axis])))
        for axis, width in zip(waiting, widths, strict=True)
    ]
    deep = max(len(one.pieces) for one in axes[waiting[0]])
    alike = len(axes[waiting[0]]) == array.numblocks[waiting[0]]
    layers = min(wide[0], ROWS if alike else max(ROWS, deep))
    nbytes: int = layers * prod(wide[1:]) * tile
    return nbytes


def waiting_axes(numblocks: Sequence[int], axes: Sequence[Sequence[Along]]) -> tuple[int, ...]:
    """Return the axes along which a block is made of more, or of others, than the block of its own place."""
    return tuple(
        axis
        for axis, (n, one) in enumerate(zip(numblocks, axes, strict=True))
        if len(one) != n or any(len(a.pieces) != 1 or a.pieces[0].index != i for i, a in enumerate(one))
    )


def band_widths(lengths: Sequence[int], tile_bytes: int) -> list[int]:
    """Return how many tiles are worked on together along each axis that waits: all along the first one.

    Along the others as many as have room, in bands as square as may be, and at least three, for a band reads two more at its
    borders.

    >>> band_widths([64, 10], 2**24), band_widths([64, 10, 10], 2**21)
    ([64, 6], [64, 7, 6])
    """
    room = FRONT_BYTES // max(1, ROWS * tile_bytes)
    widths = list(lengths[:1])
    for left in range(len(lengths) - 1, 0, -1):
        widths.append(min(lengths[-left], max(3, round(room ** (1 / left)))))
        room = max(1, room // widths[-1])
    return widths


def along_axis(array: da.Array, axis: int, lengths: Sequence[int], needs: Needs, wrap: bool) -> list[Along]:
    """Return the needs of all blocks along one axis."""
    edges, outer = starts(array.chunks[axis]), starts(lengths)
    find = wrapped_pieces if wrap else pieces
    found = []
    for start, stop in pairwise(outer):
        low, high = needs(axis, start, stop)
        if not wrap:
            low, high = max(0, low), min(array.shape[axis], high)
        found.append(Along((low, high), (start, stop), find(edges, low, high)))
    return found


def _keys(name: str, along: Sequence[Along]) -> list[Key]:
    return [(name, *(piece.index for piece in way)) for way in product(*(axis.pieces for axis in along))]


@dataclass(frozen=True, eq=False)
class How:
    """What all blocks of one `gather` share."""

    function: BlockFunction
    shape: tuple[int, ...]
    ngates: int
    skippable: bool
    nstates: int
    view: View | None


@dataclass(frozen=True, eq=False)
class _MakeGather:
    """Makes the task of one block; ``array`` is the input's name, None where the task reads for itself."""

    how: How
    axes: Sequence[Sequence[Along]]
    extra: tuple[Key, ...]
    array: str | None

    def __call__(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        along = tuple(axis[i] for axis, i in zip(self.axes, index, strict=True))
        return (GatherBlock(self.how, along), *self.extra, *([] if self.array is None else _keys(self.array, along)))


@dataclass(frozen=True, eq=False)
class GatherBlock:
    """The task of one block."""

    how: How
    along: tuple[Along, ...]

    def __call__(self, *values: Any) -> Any:
        """Return the block, made of ``values``: gates, states and input blocks."""
        how = self.how
        if how.skippable and values[0]:
            return SKIPPED
        blocks = values[how.ngates + how.nstates :]
        if is_skipped(blocks):
            return SKIPPED
        place = Place(tuple(a.input for a in self.along), tuple(a.output for a in self.along), how.shape)
        region = tuple(slice(*span) for span in place.input)
        block = self._assembled(blocks, place) if how.view is None else how.view.read(region)
        return how.function(block, place, *values[how.ngates : how.ngates + how.nstates])

    def _assembled(self, blocks: Sequence[Any], place: Place) -> Any:
        shape = tuple(stop - start for start, stop in place.input)
        return assembled(blocks, [axis.pieces for axis in self.along], shape, takes_planes(self.how.function))


@named("gather-then")
@dataclass(frozen=True, eq=False)
class Then:
    """One function after another: ``following(function(block, place, *states), place, *more)``."""

    function: BlockFunction
    following: Callable[..., Any]
    nstates: int

    @property
    def by_plane(self) -> bool:
        """Whether the block may come plane by plane."""
        return takes_planes(self.function)

    def __call__(self, block: Array, place: Place, *states: Any) -> Any:
        """Return what the second function makes of the first one's result."""
        return self.following(self.function(block, place, *states[: self.nstates]), place, *states[self.nstates :])


def takes_planes(function: Callable[..., Any]) -> bool:
    """Whether a function says (``by_plane``) that it looks at whole planes of its block only, one after the other."""
    return bool(getattr(function, "by_plane", False))


def needed_whole(function: Callable[..., Any]) -> tuple[int, ...]:
    """Return the axes that a function says (``whole_axes``) its blocks must not be cut along."""
    return tuple(getattr(function, "whole_axes", ()))
