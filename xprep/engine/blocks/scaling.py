"""Blocks of an image that changes its size: how they are cut, and whether there can be so many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np

from xprep.engine.blocks.gather import BlockFunction, gather
from xprep.engine.blocks.needs import Needs, Span
from xprep.engine.graph.grid import count, regular_chunks, starts, tile_shape
from xprep.engine.machine.memory import free_memory
from xprep.engine.sources.lazy import EAGER_TILE_BYTES, Memory, as_lazy, is_lazy
from xprep.engine.sources.readable import MAX_BLOCKS, View, read_array
from xprep.naming import named
from xprep.options import options
from xprep.sizes import format_bytes

MOST_TILES = 8  # of `tile_bytes` in a chunk of the result: what doubling z, y and x makes of 8 MiB of uint16


@dataclass(frozen=True)
class Stretch:
    """How an axis changes: its new ``size``, and how many new voxels an old one becomes."""

    size: int
    factor: float


@dataclass(frozen=True)
class AxisCut:
    """How an axis of the result is cut; ``drifts`` says that blocks do not begin where chunks of the input, or parts, do."""

    chunk: int
    drifts: bool = False


def whole(data: Any) -> da.Array:
    """Return ``data`` as a dask array: itself, or one block of what is in memory, of which tasks take views.

    Tiles of an array in memory would have to be put together again wherever a block of the result needs two of them.
    """
    if is_lazy(data):
        return as_lazy(data)
    array = np.asarray(data)
    return read_array(View.of(Memory(array, array.shape), f"whole-{uuid4().hex}"))


def cuts_in_memory(shape: Sequence[int], itemsize: int) -> list[AxisCut]:
    """Return how a result is cut whose input is in memory as a `whole`."""
    return [AxisCut(n) for n in tile_shape(shape, (1,) * len(shape), (), itemsize, EAGER_TILE_BYTES)]


def stretched_cuts(array: da.Array, stretches: Mapping[int, Stretch], itemsize: int) -> list[AxisCut]:
    """Return how the result is cut: in chunks that are stretched as the image is.

    Where the image shrinks, as many chunks of the input become one as give a chunk of the old length, so far as they
    fit in `tile_bytes`. Where chunks would grow beyond eight times that, one becomes several.

    Raises
    ------
    ValueError
        There would be more blocks than can be planned.
    """
    chunk = tuple(map(max, array.chunks))
    merged = _merged(array, chunk, stretches)
    parts = dict.fromkeys(stretches, 1)
    cuts = [_cut(c, stretches.get(axis), merged.get(axis, 1), 1) for axis, c in enumerate(chunk)]
    while prod(cut.chunk for cut in cuts) * itemsize > MOST_TILES * options().tile_bytes and (
        long := [axis for axis in parts if cuts[axis].chunk > 1]
    ):
        axis = max(long, key=lambda a: cuts[a].chunk / chunk[a])
        parts[axis] *= 2
        cuts[axis] = _cut(chunk[axis], stretches[axis], merged[axis], parts[axis])
    shape = stretched_shape(array, stretches)
    if (blocks := count(shape, [cut.chunk for cut in cuts])) > MAX_BLOCKS:
        raise ValueError(
            f"the result would have the shape {shape}: {format_bytes(prod(shape) * itemsize)} in {blocks:.3g} blocks; "
            f"at most {MAX_BLOCKS:,} can be planned. Is the factor right? It is new voxels per old voxel."
        )
    return cuts


def stretched_shape(array: da.Array, stretches: Mapping[int, Stretch]) -> tuple[int, ...]:
    """Return the shape of the result."""
    return tuple(stretches[axis].size if axis in stretches else n for axis, n in enumerate(array.shape))


def _needed(array: da.Array, chunk: Sequence[int], merged: Mapping[int, int]) -> int:
    """Return the bytes of input that a group of so many ``merged`` chunks is made of."""
    shape = zip(array.shape, chunk, strict=True)
    voxels: int = prod(min(n, c * merged.get(axis, 1)) for axis, (n, c) in enumerate(shape))
    return voxels * int(array.dtype.itemsize)


def _merged(array: da.Array, chunk: Sequence[int], stretches: Mapping[int, Stretch]) -> dict[int, int]:
    """Return how many chunks of the input become one, so that chunks keep their length, fit, and do not drift."""
    merged = {axis: max(1, min(array.numblocks[axis], round(1 / stretch.factor))) for axis, stretch in stretches.items()}
    while _needed(array, chunk, merged) > options().tile_bytes and max(merged.values(), default=1) > 1:
        axis = max(merged, key=lambda a: merged[a])
        merged[axis] //= 2
    for axis, stretch in stretches.items():
        least = merged[axis]
        for number in (*range(least, 0, -1), *range(least + 1, least + 17)):
            fits = number <= least or _needed(array, chunk, merged | {axis: number}) <= options().tile_bytes
            if fits and _stays(array.shape[axis], chunk[axis] * number, stretch.factor):
                merged[axis] = number
                break
    return merged


def _stays(length: int, chunk: int, factor: float) -> bool:
    """Whether chunks of the result, whole voxels long, keep beside the input's to the end of the axis."""
    exact = chunk * factor
    drift = ceil(exact - 1e-9) - exact
    return drift * ceil(length / chunk) < exact / 2


def _cut(chunk: int, stretch: Stretch | None, merged: int, parts: int) -> AxisCut:
    if stretch is None:
        return AxisCut(chunk)
    exact = chunk * merged * stretch.factor
    length = max(1, ceil(exact / parts - 1e-9))  # up: a sliver of one more group at the end would be enough to pile up
    return AxisCut(length, drifts=abs(length * parts - exact) > 1e-9)


def gather_cuts(
    function: BlockFunction,
    array: da.Array,
    cuts: Sequence[AxisCut],
    shape: Sequence[int],
    needs: Needs,
    dtype: Any,
    label: str,
) -> da.Array:
    """Gather a result of ``shape``, cut as ``cuts`` say.

    Each block takes what it needs from the input's own blocks, also where several are made of one. Were the input of
    these put together once, for all of them, dask would make that far ahead: of layers of 16 chunks it then holds 139 of
    the input in a stack of 64 layers, and 16 more with every 12 layers; so it holds 71, and 87 from 128 layers on.
    """
    chunks = regular_chunks(shape, [cut.chunk for cut in cuts])
    edges = tuple(tuple(starts(lengths)) if cut.drifts else () for lengths, cut in zip(array.chunks, cuts, strict=True))
    return gather(function, array, dtype=dtype, chunks=chunks, needs=_Even(needs, edges), label=label)


@named("even-cuts")
@dataclass(frozen=True)
class _Even:
    """Needs that touch the neighbours of their chunks everywhere, along axes whose ``edges`` are given.

    A block that drifts over the input's chunks needs the one before here and the one after there. dask's ordering of
    tasks loses its way in such a pattern, and holds columns of chunks as long as the stack (820 of 1024, where an even
    pattern holds 44).
    """

    wanted: Needs
    edges: tuple[tuple[int, ...], ...]

    def __call__(self, axis: int, start: int, stop: int) -> Span:
        low, high = self.wanted(axis, start, stop)
        edges = self.edges[axis]
        if not edges:
            return low, high
        first, last = _nearest(edges, low), _nearest(edges, high)
        return min(low, first - 1), max(high, last + 1)


def exact_needs(needs: Needs) -> Needs:
    """Return what blocks really need, where `gather_cuts` widened it for dask."""
    return needs.wanted if isinstance(needs, _Even) else needs


def _nearest(edges: Sequence[int], position: int) -> int:
    after = bisect_right(edges, position)
    return min(edges[max(0, after - 1) : after + 1], key=lambda edge: abs(edge - position))


def check_room(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse a result in memory for which there is none.

    Raises
    ------
    ValueError
        It is larger than what is free.
    """
    nbytes, room = prod(shape) * dtype.itemsize, free_memory()
    if nbytes > room:
        raise ValueError(
            f"the result would have the shape {shape}: {format_bytes(nbytes)} of {dtype}, and {format_bytes(room)} of "
            f"memory are free. Is the factor right? It is new voxels per old voxel. If it is, chunk the image first "
            f"(image.chunk()) and write the result to a store."
        )
