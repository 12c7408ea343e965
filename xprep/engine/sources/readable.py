"""Arrays that are read from somewhere, and can therefore be read again, in other blocks or another order of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.graph.grid import regular_chunks, starts
from xprep.engine.graph.tasks import SKIPPED, BlockTasks, Cost, Key, array_of, clone, key_of, origin_of, unique
from xprep.engine.machine.attempts import attempt
from xprep.engine.sources.axes import rearranged
from xprep.types import Array, Chunks, Readable, Region

READING = "result"  # what plans call a reading that no named pass does
MAX_BLOCKS = 20_000_000  # a graph of more tasks than this needs tens of GB before the first byte is read


@dataclass(frozen=True, eq=False)
class View:
    """A `Readable` with its axes in another order, and only some positions of some axes.

    ``axes[i]`` is the source's axis that is axis i here, or None for an axis of length 1 that the source does not have; an
    axis of the source that is not here has one picked position;
    ``picks[axis]`` are positions along the source's axis, or None for all.
    """

    source: Readable
    axes: tuple[int | None, ...]
    picks: tuple[tuple[int, ...] | None, ...]
    token: str

    @classmethod
    def of(cls, source: Readable, token: str) -> View:
        """Return the view that shows all of ``source``."""
        ndim = len(source.shape)
        return cls(source, tuple(range(ndim)), (None,) * ndim, token)

    def _length(self, axis: int | None) -> int:
        if axis is None:
            return 1
        picks = self.picks[axis]
        return self.source.shape[axis] if picks is None else len(picks)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, as seen."""
        return tuple(self._length(axis) for axis in self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the source."""
        return self.source.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the source's chunks, as seen; positions that are no run from the start of a chunk stand alone."""
        return tuple(1 if axis is None else self._chunk(axis) for axis in self.axes)

    def _chunk(self, axis: int) -> int:
        chunk, picks = self.source.chunks[axis], self.picks[axis]
        is_run = picks is None or (len(picks) > 0 and picks[0] % chunk == 0 and len(_runs(picks)) == 1)
        return chunk if is_run else 1

    def arranged(self, axes: Sequence[int | None]) -> View:
        """Return the view whose axis i is this one's ``axes[i]`` (None: a new axis of length 1)."""
        return replace(self, axes=tuple(None if axis is None else self.axes[axis] for axis in axes))

    def picked(self, axis: int, positions: Sequence[int]) -> View:
        """Return the view of some ``positions`` along ``axis``."""
        real = self.axes[axis]
        if real is None:
            raise ValueError("positions cannot be picked along an axis that the source does not have.")
        before = self.picks[real]
        chosen = tuple(positions if before is None else (before[i] for i in positions))
        return replace(self, picks=(*self.picks[:real], chosen, *self.picks[real + 1 :]))

    def read(self, region: Region) -> Array:
        """Return ``region`` as a new array."""
        wanted: list[slice] = [slice(0, self._length(axis)) for axis in range(len(self.source.shape))]
        for axis, part in zip(self.axes, region, strict=True):
            if axis is not None:
                wanted[axis] = part
        block = self._read_picked(wanted)
        present = [axis for axis in self.axes if axis is not None]
        unseen = tuple(axis for axis in range(block.ndim) if axis not in present)  # of one picked position each
        order = [axis - sum(gone < axis for gone in unseen) for axis in present]
        block = block.squeeze(unseen) if unseen else block
        block = block.transpose(order) if order != sorted(order) else block
        news = tuple(i for i, axis in enumerate(self.axes) if axis is None)
        return np.expand_dims(block, news) if news else block

    def _read_picked(self, wanted: list[slice]) -> Array:
        axis = next((a for a, picks in enumerate(self.picks) if picks is not None), None)
        if axis is None:
            return attempt(self.source.read, tuple(wanted))
        rest = replace(self, picks=(*self.picks[:axis], None, *self.picks[axis + 1 :]))
        positions = (self.picks[axis] or ())[wanted[axis]]
        parts = [rest._read_picked([*wanted[:axis], run, *wanted[axis + 1 :]]) for run in _runs(positions)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)


def _runs(positions: Sequence[int]) -> list[slice]:
    """Return ``positions`` as slices of step 1: neighbours are read in one call.

    >>> _runs((0, 1, 2, 5, 4)), _runs(())
    ([slice(0, 3, None), slice(5, 6, None), slice(4, 5, None)], [slice(0, 0, None)])
    """
    if not len(positions):
        return [slice(0, 0)]  # dask's indexing leaves blocks of no length
    breaks = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(positions)) if b != a + 1), len(positions)]
    return [slice(positions[a], positions[b - 1] + 1) for a, b in pairwise(breaks) if a < b]


@dataclass(frozen=True, eq=False)
class Origin:
    """What a layer of reads remembers: the view, and the lazy values that must be there before it may be read."""

    view: View
    after: Delayed | None
    alone: bool  # whether the array has one user, which may then read for itself
    copied: da.Array | None  # what the source is a copy of
    held: bool  # whether several passes use the array, so that its blocks stay in memory


def read_array(  # noqa: PLR0913  (the one door of all sources; everything but the source is by keyword)
    source: Readable | View,
    *,
    token: str | None = None,
    chunks: Sequence[int] | Chunks | None = None,
    reading: int | None = None,
    after: Delayed | None = None,
    unless: Delayed | None = None,
    alone: bool = False,
    held: bool = False,
    copied: da.Array | None = None,
) -> da.Array:
    """Return a dask array of ``source``, a read a block.

    Parameters
    ----------
    source
        What is read.
    token
        Name of the source's contents: equal for equal contents.
    chunks
        Shape of a block, or the blocks themselves; by default the source's own chunks.
    reading
        Which reading this is: arrays of different readings share no task, so nothing is kept between them.
    after
        A lazy value without which the source is not there yet (a spill that has to be written).
    unless
        A lazy value; where it turns out true, nothing is read and blocks are `SKIPPED`.
    alone
        Promise that the array has one user; a map or a fold per block then reads in its own task.
    held
        Whether several passes use the array, so that its blocks stay in memory: for plans.
    copied
        The array that the source will be a copy of.
    """
    view = source if isinstance(source, View) else View.of(source, token or unique("source", source))
    blocks = _blocks(view, chunks)
    gates = [gate for gate in (unless, after) if gate is not None]
    name = unique("read", view.token, view.axes, view.picks, blocks, reading, [key_of(gate) for gate in gates])
    edges = tuple(starts(lengths) for lengths in blocks)
    make = _MakeRead(view, edges, unless is not None, tuple(key_of(gate) for gate in gates))
    tasks = BlockTasks(name, [len(lengths) for lengths in blocks], make)
    cost = reading_cost(READING, view, blocks, unless is not None)
    cost = replace(cost, held=cost.reads if held else 0)
    return array_of(name, tasks, blocks, view.dtype, gates, Origin(view, after, alone, copied, held), cost)


def reading_cost(label: str, view: View, blocks: Chunks, maybe: bool) -> Cost:
    """Return what reading ``view`` in ``blocks`` costs."""
    size = view.dtype.itemsize
    return Cost(label, prod(view.shape) * size, maybe, prod(map(max, blocks)) * size, view=view)


def _blocks(view: View, chunks: Sequence[int] | Chunks | None) -> Chunks:
    wanted = view.chunks if chunks is None else chunks
    blocks: Chunks = regular_chunks(view.shape, wanted) if all(isinstance(c, int) for c in wanted) else tuple(wanted)  # type: ignore[arg-type]
    number = int(np.prod([len(lengths) for lengths in blocks], dtype=float))
    if number > MAX_BLOCKS:
        raise ValueError(
            f"an array of shape {view.shape} in blocks of {wanted} has {number:.3g} blocks; at most {MAX_BLOCKS:,} "
            f"can be planned. Give larger chunks, e.g. chunks={{'y': 4096, 'x': 4096}}, or select a part first."
        )
    return blocks


@dataclass(frozen=True, eq=False)
class _MakeRead:
    """Makes the task that reads one block."""

    view: View
    edges: tuple[tuple[int, ...], ...]
    gated: bool
    gates: tuple[Key, ...]

    def __call__(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        region = tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(self.edges, index, strict=True))
        return (ReadBlock(self.view, region, self.gated), *self.gates)


@dataclass(frozen=True, eq=False)
class ReadBlock:
    """The task that reads one block; the first gate may say that nobody needs it."""

    view: View
    region: Region
    gated: bool

    def __call__(self, *gates: Any) -> Any:
        """Return the block."""
        return SKIPPED if self.gated and gates[0] else self.view.read(self.region)


def reader(array: da.Array) -> tuple[View, Delayed | None] | None:
    """Return how to read ``array`` in the task that uses it, if it has one user and a source."""
    origin = source_of(array)
    return (origin.view, origin.after) if origin is not None and origin.alone else None


def source_of(array: da.Array) -> Origin | None:
    """Return where ``array`` is read from, if it is the bare reading of a source."""
    origin = origin_of(array)
    return origin if isinstance(origin, Origin) else None


def arrange(array: da.Array, axes: Sequence[int | None]) -> da.Array:
    """Return ``array`` with its axes in another order; a source stays one, so that it can still be read anew."""
    if list(axes) == list(range(array.ndim)):
        return array
    if origin := source_of(array):
        chunks = tuple((1,) if axis is None else array.chunks[axis] for axis in axes)
        return read_array(origin.view.arranged(axes), chunks=chunks, after=origin.after)
    return rearranged(array, axes)


def pick(array: da.Array, axis: int, positions: Sequence[int]) -> da.Array:
    """Return some ``positions`` along ``axis``, in their order; a source stays one."""
    if list(positions) == list(range(array.shape[axis])):
        return array
    if (origin := source_of(array)) and origin.view.axes[axis] is not None:
        chunks = (*array.chunks[:axis], (1,) * len(positions), *array.chunks[axis + 1 :])
        return read_array(origin.view.picked(axis, positions), chunks=chunks, after=origin.after)
    return da.take(array, list(positions), axis=axis)


def retile(
    array: da.Array,
    tile: Sequence[int],
    reading: int | None = None,
    unless: Delayed | None = None,
    *,
    alone: bool = False,
    held: bool = False,
) -> da.Array:
    """Return ``array`` in blocks of ``tile``: a source is read so, anything else is rechunked.

    A source's reading ``reading`` shares no task with any other reading: this is what ``again`` means.
    """
    if origin := source_of(array):
        return read_array(
            origin.view, chunks=tuple(tile), reading=reading, after=origin.after, unless=unless, alone=alone, held=held
        )
    fresh = array if reading is None else clone(array, reading)
    # By tasks, also with a cluster: a p2p rechunk writes the whole image to the workers' disks, and choosing imports distributed.
    return fresh.rechunk(regular_chunks(array.shape, tile), method="tasks")
