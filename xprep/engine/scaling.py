"""Blocks of an image that changes its size: how they are cut, and whether there can be so many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, prod
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np

from xprep.engine.gather import BlockFunction, Needs, Place, Span, gather
from xprep.engine.grid import count, regular_chunks, starts, tile_shape
from xprep.engine.lazy import EAGER_TILE_BYTES, Memory, as_lazy, is_lazy
from xprep.engine.memory import free_memory
from xprep.engine.sources import MAX_BLOCKS, View, read_array
from xprep.engine.tiling import base_chunk
from xprep.options import options
from xprep.types import Array

MOST_TILES = 8  # of `tile_bytes` in a chunk of the result: what doubling z, y and x makes of 8 MiB of uint16


@dataclass(frozen=True)
class Stretch:
    """How an axis changes: its new ``size``, and how many new voxels an old one becomes."""

    size: int
    factor: float


@dataclass(frozen=True)
class Cut:
    """How an axis of the result is cut: in chunks, and in a ``group`` of them that is made of one piece of input.

    ``drifts`` says that groups do not begin exactly where chunks of the input do.
    """

    chunk: int
    group: int
    drifts: bool = False


def whole(data: Any) -> da.Array:
    """Return ``data`` as a dask array: itself, or one block of what is in memory, of which tasks take views.

    Tiles of an array in memory would have to be put together again wherever a block of the result needs two of them.
    """
    if is_lazy(data):
        return as_lazy(data)
    array = np.asarray(data)
    return read_array(View.of(Memory(array, array.shape), f"whole-{uuid4().hex}"))


def cuts_in_memory(shape: Sequence[int], itemsize: int) -> list[Cut]:
    """Return how a result is cut whose input is in memory as a `whole`."""
    return [Cut(n, n) for n in tile_shape(shape, (1,) * len(shape), (), itemsize, EAGER_TILE_BYTES)]


def stretched_cuts(array: da.Array, stretches: Mapping[int, Stretch], itemsize: int) -> list[Cut]:
    """Return how the result is cut: in chunks that are stretched as the image is.

    Where the image shrinks, as many chunks of the input become one as give a chunk of the old length, so far as they
    fit in `tile_bytes`. Where chunks would grow beyond eight times that, a group of several is what one becomes.

    Raises
    ------
    ValueError
        There would be more blocks than can be planned.
    """
    chunk = base_chunk(array)
    merged = _merged(array, chunk, stretches)
    parts = dict.fromkeys(stretches, 1)
    cuts = [_cut(c, stretches.get(axis), merged.get(axis, 1), 1) for axis, c in enumerate(chunk)]
    while prod(cut.chunk for cut in cuts) * itemsize > MOST_TILES * options().tile_bytes and any(
        cuts[a].chunk > 1 for a in parts
    ):
        axis = max(parts, key=lambda a: cuts[a].chunk / chunk[a])
        parts[axis] *= 2
        cuts[axis] = _cut(chunk[axis], stretches[axis], merged[axis], parts[axis])
    shape = stretched_shape(array, stretches)
    if (blocks := count(shape, [cut.chunk for cut in cuts])) > MAX_BLOCKS:
        raise ValueError(
            f"the result would have the shape {shape}: {spell_bytes(prod(shape) * itemsize)} in {blocks:.3g} blocks; "
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
    merged = {axis: max(1, round(1 / stretch.factor)) for axis, stretch in stretches.items()}
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


def _cut(chunk: int, stretch: Stretch | None, merged: int, parts: int) -> Cut:
    if stretch is None:
        return Cut(chunk, chunk)
    exact = chunk * merged * stretch.factor
    length = max(1, ceil(exact / parts - 1e-9))  # up: a sliver of one more group at the end would be enough to pile up
    return Cut(length, length * parts, drifts=abs(length * parts - exact) > 1e-9)


def gather_groups(
    function: BlockFunction,
    array: da.Array,
    cuts: Sequence[Cut],
    shape: Sequence[int],
    needs: Needs,
    dtype: Any,
    label: str,
) -> da.Array:
    """Gather a result of ``shape``, cut as ``cuts`` say.

    A group of several blocks gets its input assembled once, and its blocks take what they need of that.
    """
    chunks = regular_chunks(shape, [cut.chunk for cut in cuts])
    edges = tuple(tuple(starts(lengths)) if cut.drifts else () for lengths, cut in zip(array.chunks, cuts, strict=True))
    even = _Even(needs, edges)
    if all(cut.chunk == cut.group for cut in cuts):
        return gather(function, array, dtype=dtype, chunks=chunks, needs=even, label=label)
    windows = _Windows(tuple(_Axis.of(axis, cut, shape[axis], array.shape[axis], even) for axis, cut in enumerate(cuts)))
    lengths = tuple(tuple(high - low for low, high in axis.spans) for axis in windows.axes)
    pieces = gather(_itself, array, dtype=array.dtype, chunks=lengths, needs=windows.source, label=f"{label}-input")
    part = _OfGroup(function, windows, needs)
    return gather(part, pieces, dtype=dtype, chunks=chunks, needs=part.needs, label=label)


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


def _nearest(edges: Sequence[int], position: int) -> int:
    after = bisect_right(edges, position)
    return min(edges[max(0, after - 1) : after + 1], key=lambda edge: abs(edge - position))


@dataclass(frozen=True)
class _Axis:
    """The groups of an axis: their length, which ``spans`` of the input they need, where these lie side by side."""

    group: int
    spans: tuple[Span, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, axis: int, cut: Cut, size: int, length: int, needs: Needs) -> _Axis:
        edges = starts(regular_chunks((size,), (cut.group,))[0])
        wanted = (needs(axis, low, high) for low, high in pairwise(edges))
        spans = tuple((max(0, low), min(length, high)) for low, high in wanted)
        return cls(cut.group, spans, starts([high - low for low, high in spans]))


@dataclass(frozen=True)
class _Windows:
    """Pieces of the input, one a group, laid side by side as if they were an array."""

    axes: tuple[_Axis, ...]

    def source(self, axis: int, start: int, _stop: int) -> Span:
        """Return the span of the input that the piece from ``start`` on is."""
        along = self.axes[axis]
        return along.spans[bisect_right(along.starts, start) - 1]

    def inside(self, axis: int, start: int, span: Span) -> Span:
        """Return where in the pieces that ``span`` of the input lies which a block from ``start`` on needs."""
        along = self.axes[axis]
        number = start // along.group
        shift = along.starts[number] - along.spans[number][0]
        return span[0] + shift, span[1] + shift


@dataclass(frozen=True)
class _OfGroup:
    """A block of a group: ``function`` is told the place in the input itself, not in the pieces."""

    function: BlockFunction
    windows: _Windows
    wanted: Needs

    def needs(self, axis: int, start: int, stop: int) -> Span:
        return self.windows.inside(axis, start, self.wanted(axis, start, stop))

    def __call__(self, block: Array, place: Place) -> Array:
        spans = tuple(self.wanted(axis, *span) for axis, span in enumerate(place.output))
        return self.function(block, Place(spans, place.output, place.shape))


def _itself(block: Array, _place: Place) -> Array:
    return block


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
            f"the result would have the shape {shape}: {spell_bytes(nbytes)} of {dtype}, and {spell_bytes(room)} of "
            f"memory are free. Is the factor right? It is new voxels per old voxel. If it is, chunk the image first "
            f"(image.chunk()) and write the result to a store."
        )


def spell_bytes(nbytes: float) -> str:
    """Return a size for people.

    >>> spell_bytes(3 * 2**40), spell_bytes(512)
    ('3.0 TiB', '512 bytes')
    """
    for power, unit in ((6, "EiB"), (5, "PiB"), (4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if nbytes >= 1024**power:
            return f"{nbytes / 1024**power:.1f} {unit}"
    return f"{nbytes:.0f} bytes"
