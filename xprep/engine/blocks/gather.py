"""Every output block from the input region it needs: pixels, halos, resampling and crops are all this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.blocks.assemble import assembled
from xprep.engine.blocks.needs import Along, Needs, Span, along_axis, gather_cost, same
from xprep.engine.graph.tasks import SKIPPED, BlockTasks, Cost, Key, array_of, is_skipped, key_of, unique
from xprep.engine.sources.readable import View, reader
from xprep.naming import named
from xprep.types import Array, Chunks


@dataclass(frozen=True)
class BlockPlace:
    """Where a block lies: ``input`` is the region that was read, ``output`` the one to be made, both ``[start, stop)``.

    ``shape`` is the whole input's.
    """

    input: tuple[Span, ...]
    output: tuple[Span, ...]
    shape: tuple[int, ...]

    def in_order(self, axes: Sequence[int]) -> BlockPlace:
        """Return the place of a block whose axis i is ``axes[i]`` of this one."""
        shape = tuple(self.shape[axis] for axis in axes)
        return BlockPlace(tuple(self.input[axis] for axis in axes), tuple(self.output[axis] for axis in axes), shape)


BlockFunction: TypeAlias = Callable[..., Array]


def gather(  # noqa: PLR0913  (the one door of all steps; everything but the input is by keyword)
    function: BlockFunction,
    array: da.Array,
    *states: da.Array | Delayed,
    dtype: Any,
    chunks: Chunks | None = None,
    needs: Needs = same,
    unless: Delayed | None = None,
    wrap: bool = False,
    label: str = "gather",
    alone: bool = False,
) -> da.Array:
    """Return the array whose blocks are ``function(block, place, *states)``.

    Parameters
    ----------
    function
        Called with the assembled input region, its `BlockPlace`, and the computed ``states``.
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
    alone
        Promise that the result has one user, which may then make it in its own tasks (`composing`).
    """
    chunks = array.chunks if chunks is None else chunks
    name, tasks, parents, cost = block_tasks(function, array, states, chunks, needs, unless, label, wrap)
    made = prod(map(max, chunks)) * np.dtype(dtype).itemsize + held_between(function, chunks)
    origin = Gathered(function, array, states, chunks, needs, wrap, label, alone)
    return array_of(name, tasks, chunks, dtype, parents, origin, replace(cost, block=cost.block + made))


@dataclass(frozen=True, eq=False)
class Gathered:
    """What an array of `gather` remembers: how its blocks are made."""

    function: BlockFunction
    array: da.Array
    states: tuple[Any, ...]
    chunks: Chunks
    needs: Needs
    wrap: bool = False
    label: str = "gather"
    alone: bool = False


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
    how = GatherHow(function, array.shape, len(gates), unless is not None, len(states), alone[0] if alone else None)
    tasks = BlockTasks(name, [len(lengths) for lengths in chunks], _MakeGather(how, axes, extra, None if alone else array.name))
    parents = [*gates, *states] if alone else [array, *gates, *states]
    return name, tasks, parents, gather_cost(label, array, axes, alone[0] if alone else None, unless is not None)


def _keys(name: str, along: Sequence[Along]) -> list[Key]:
    return [(name, *(piece.index for piece in way)) for way in product(*(axis.pieces for axis in along))]


@dataclass(frozen=True, eq=False)
class GatherHow:
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

    how: GatherHow
    axes: Sequence[Sequence[Along]]
    extra: tuple[Key, ...]
    array: str | None

    def __call__(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        along = tuple(axis[i] for axis, i in zip(self.axes, index, strict=True))
        return (GatherBlock(self.how, along), *self.extra, *([] if self.array is None else _keys(self.array, along)))


@dataclass(frozen=True, eq=False)
class GatherBlock:
    """The task of one block."""

    how: GatherHow
    along: tuple[Along, ...]

    def __call__(self, *values: Any) -> Any:
        """Return the block, made of ``values``: gates, states and input blocks."""
        how = self.how
        if how.skippable and values[0]:
            return SKIPPED
        blocks = values[how.ngates + how.nstates :]
        if is_skipped(blocks):
            return SKIPPED
        place = BlockPlace(tuple(a.input for a in self.along), tuple(a.output for a in self.along), how.shape)
        region = tuple(slice(*span) for span in place.input)
        block = self._assembled(blocks, place) if how.view is None else how.view.read(region)
        return how.function(block, place, *values[how.ngates : how.ngates + how.nstates])

    def _assembled(self, blocks: Sequence[Any], place: BlockPlace) -> Any:
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

    def __call__(self, block: Array, place: BlockPlace, *states: Any) -> Any:
        """Return what the second function makes of the first one's result."""
        return self.following(self.function(block, place, *states[: self.nstates]), place, *states[self.nstates :])


def takes_planes(function: Callable[..., Any]) -> bool:
    """Whether a function says (``by_plane``) that it looks at whole planes of its block only, one after the other."""
    return bool(getattr(function, "by_plane", False))


def needed_whole(function: Callable[..., Any]) -> tuple[int, ...]:
    """Return the axes that a function says (``whole_axes``) its blocks must not be cut along."""
    return tuple(getattr(function, "whole_axes", ()))


def held_between(function: Callable[..., Any], chunks: Chunks) -> int:
    """Return how many bytes a function says (``between``) that it makes on the way to a block."""
    return int(function.between(chunks)) if hasattr(function, "between") else 0
