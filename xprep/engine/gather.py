"""Every output block from the input region it needs: pixels, halos, resampling and crops are all this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.graph import SKIPPED, BlockTasks, Key, array_of, is_skipped, key_of, unique
from xprep.engine.grid import Piece, pieces, starts, wrapped_pieces
from xprep.engine.sources import View, reader
from xprep.types import Array, Chunks

Span: TypeAlias = tuple[int, int]
Needs: TypeAlias = Callable[[int, int, int], Span]


@dataclass(frozen=True)
class Place:
    """Where a block lies: ``input`` is the region that was read, ``output`` the one to be made, both ``[start, stop)``.

    ``shape`` is the whole input's.
    """

    input: tuple[Span, ...]
    output: tuple[Span, ...]
    shape: tuple[int, ...]


BlockFunction: TypeAlias = Callable[..., Array]


@dataclass(frozen=True)
class _Along:
    """One axis of one output block."""

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
    name, tasks, parents = block_tasks(function, array, states, chunks, needs, unless, label, wrap)
    return array_of(name, tasks, chunks, dtype, parents)


def block_tasks(
    function: Callable[..., Any],
    array: da.Array,
    states: Sequence[da.Array | Delayed],
    chunks: Chunks,
    needs: Needs,
    unless: Delayed | None,
    label: str,
    wrap: bool = False,
) -> tuple[str, BlockTasks, list[Any]]:
    """Return the tasks of `gather`, their name, and what they depend on.

    Where the input is a source with no other user and no halo, the task reads for itself.
    """
    axes = [_along(array, axis, lengths, needs, wrap) for axis, lengths in enumerate(chunks)]
    alone = reader(array) if needs is same and chunks == array.chunks else None
    gates = [gate for gate in (unless, alone[1] if alone else None) if gate is not None]
    name = unique(label, function, array.name, [key_of(s) for s in (*gates, *states)], chunks, axes)
    extra = [key_of(state) for state in (*gates, *states)]
    how = _How(function, array.shape, len(gates), unless is not None, len(states), alone[0] if alone else None)

    def make(index: tuple[int, ...]) -> tuple[Any, ...]:
        along = tuple(axis[i] for axis, i in zip(axes, index, strict=True))
        return (_Gather(how, along), *extra, *([] if alone else _keys(array.name, along)))

    tasks = BlockTasks(name, [len(lengths) for lengths in chunks], make)
    return name, tasks, [*gates, *states] if alone else [array, *gates, *states]


def _along(array: da.Array, axis: int, lengths: Sequence[int], needs: Needs, wrap: bool) -> list[_Along]:
    edges, outer = starts(array.chunks[axis]), starts(lengths)
    find = wrapped_pieces if wrap else pieces
    found = []
    for start, stop in pairwise(outer):
        low, high = needs(axis, start, stop)
        if not wrap:
            low, high = max(0, low), min(array.shape[axis], high)
        found.append(_Along((low, high), (start, stop), find(edges, low, high)))
    return found


def _keys(name: str, along: Sequence[_Along]) -> list[Key]:
    return [(name, *(piece.index for piece in way)) for way in product(*(axis.pieces for axis in along))]


@dataclass(frozen=True, eq=False)
class _How:
    """What all blocks of one `gather` share."""

    function: BlockFunction
    shape: tuple[int, ...]
    ngates: int
    skippable: bool
    nstates: int
    view: View | None


@dataclass(frozen=True, eq=False)
class _Gather:
    how: _How
    along: tuple[_Along, ...]

    def __call__(self, *values: Any) -> Any:
        how = self.how
        if how.skippable and values[0]:
            return SKIPPED
        blocks = values[how.ngates + how.nstates :]
        if is_skipped(blocks):
            return SKIPPED
        place = Place(tuple(a.input for a in self.along), tuple(a.output for a in self.along), how.shape)
        region = tuple(slice(*span) for span in place.input)
        block = _assemble(blocks, self.along) if how.view is None else how.view.read(region)
        return how.function(block, place, *values[how.ngates : how.ngates + how.nstates])


def _assemble(blocks: Sequence[Array], along: Sequence[_Along]) -> Array:
    """Return the region as one array: a view where one block holds it, otherwise each voxel copied once."""
    ways = list(product(*(axis.pieces for axis in along)))
    if len(ways) == 1:
        return blocks[0][tuple(slice(p.start, p.stop) for p in ways[0])]
    shape = tuple(axis.input[1] - axis.input[0] for axis in along)
    region = np.empty(shape, blocks[0].dtype if blocks else float)
    for way, block in zip(ways, blocks, strict=True):
        region[tuple(slice(p.to, p.to + p.stop - p.start) for p in way)] = block[tuple(slice(p.start, p.stop) for p in way)]
    return region
