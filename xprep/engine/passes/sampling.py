"""Whole chunks of an image, drawn at random: read alone, and put together as an image of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import dask.array as da
import numpy as np

from xprep.engine.graph.grid import starts
from xprep.engine.graph.tasks import BlockTasks, Cost, array_of, itself, unique
from xprep.engine.sources.readable import View, source_of
from xprep.naming import named
from xprep.types import Array, Region


@dataclass(frozen=True, eq=False)
class Chunks:
    """The chunks of an image ``(c, …, y, x)`` along all axes but the first, numbered in C order."""

    array: da.Array

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis but the first."""
        return tuple(map(len, self.array.chunks[1:]))

    def __len__(self) -> int:
        return prod(self.counts)

    def region(self, number: int) -> Region:
        """Return where a chunk lies, with all channels."""
        index = np.unravel_index(number, self.counts)
        edges = (starts(lengths) for lengths in self.array.chunks[1:])
        found = [slice(int(one[i]), int(one[i + 1])) for one, i in zip(edges, index, strict=True)]
        return (slice(0, self.array.shape[0]), *found)

    def put_together(self, numbers: Sequence[int], dtype: Any) -> da.Array:
        """Return the chunks ``numbers`` one after the other, ``(c, plane, y, x)``, each plane in a frame of NaN.

        So nothing is blurred over the edge of a chunk, beyond which its neighbours are not known: it is NaN there. Of a source,
        no other chunk is read, and none is in the graph.
        """
        height, width = (max(lengths) + 2 for lengths in self.array.chunks[-2:])
        regions = [self.region(number) for number in numbers]
        planes = tuple(prod(part.stop - part.start for part in region[1:-2]) for region in regions)
        frame, origin = _Frame(height, width, np.dtype(dtype)), source_of(self.array)
        chunks = ((self.array.shape[0],), planes, (height,), (width,))
        if origin is not None and origin.after is None:
            make: Any = _MakeSample(origin.view, regions, frame)
            parents, view = [], origin.view
        else:
            whole = self.array.rechunk({0: -1}, method="tasks")
            indices = [tuple(map(int, np.unravel_index(number, self.counts))) for number in numbers]
            make, parents, view = _MakeFrame(whole.name, indices, frame), [whole], None
        name = unique("sample", self.array.name, list(numbers), height, width, str(np.dtype(dtype)))
        size = sum(prod(part.stop - part.start for part in region) for region in regions) * self.array.dtype.itemsize
        cost = Cost("sample", reads=size if view is not None else 0, block=size // max(1, len(regions)), view=view)
        return array_of(name, BlockTasks(name, [1, len(planes), 1, 1], make), chunks, dtype, parents, cost=cost)


@named("sample-frame")
@dataclass(frozen=True)
class _Frame:
    height: int
    width: int
    dtype: np.dtype[Any]

    def __call__(self, block: Array) -> Array:
        planes = block.reshape(block.shape[0], -1, *block.shape[-2:])
        out = np.full((*planes.shape[:2], self.height, self.width), np.nan, self.dtype)
        out[:, :, 1 : 1 + planes.shape[2], 1 : 1 + planes.shape[3]] = planes
        return out


@dataclass(frozen=True, eq=False)
class _MakeSample:
    view: View
    regions: Sequence[Region]
    frame: _Frame

    def __call__(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        return (_Read(self.view, self.regions[index[1]], self.frame),)


@dataclass(frozen=True, eq=False)
class _Read:
    view: View
    region: Region
    frame: _Frame

    def __call__(self) -> Array:
        return self.frame(self.view.read(self.region))


@dataclass(frozen=True, eq=False)
class _MakeFrame:
    name: str
    indices: Sequence[tuple[int, ...]]
    frame: _Frame

    def __call__(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        return (self.frame, (self.name, 0, *self.indices[index[1]]))


def picked_blocks(sample: da.Array, order: Sequence[int]) -> da.Array:
    """Return the blocks of a sample at the places ``order`` along its planes; one may be there twice."""
    chunks = (sample.chunks[0], tuple(sample.chunks[1][i] for i in order), *sample.chunks[2:])
    name = unique("sample-part", sample.name, list(order))
    tasks = BlockTasks(name, [1, len(order), 1, 1], _MakePicked(sample.name, tuple(order)))
    return array_of(name, tasks, chunks, sample.dtype, [sample])


@dataclass(frozen=True, eq=False)
class _MakePicked:
    name: str
    order: tuple[int, ...]

    def __call__(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        return (itself, (self.name, 0, self.order[index[1]], 0, 0))
