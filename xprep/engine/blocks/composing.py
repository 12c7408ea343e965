"""Several steps as one: a block is made from the region of the source that it needs, through all that lies between.

A step with a halo waits for its neighbours, and where several follow one another, no order of tasks keeps few tiles alive: two
Gaussians of an image of 10 MiB held 17 of them. As one step they have one halo, the sum of theirs, and are paced like one
(`pacing`); only the halos between them are made more than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import dask.array as da

from xprep.engine.blocks.deliver import Made
from xprep.engine.blocks.gather import BlockFunction, BlockPlace, Gathered, needed_whole, takes_planes
from xprep.engine.blocks.needs import Needs, Span, same
from xprep.engine.blocks.scaling import exact_needs
from xprep.engine.graph.tasks import origin_of
from xprep.engine.sources.axes import Arranged, in_order
from xprep.engine.sources.readable import arrange, source_of
from xprep.naming import named
from xprep.types import Array, Chunks

MOST_MADE = 2.0  # times that what lies between two steps is made, on average, for their halos


def step_of(array: da.Array) -> Gathered | None:
    """Return the one step that makes ``array`` of what is no step of ours any more, if there is one."""
    origin = origin_of(array)
    if isinstance(origin, Gathered):
        return composed(origin)
    if isinstance(origin, Made | Arranged):
        below = step_of(origin.tiles)
        return None if below is None else _arranged(below, origin.axes)
    return None


def composed(last: Gathered) -> Gathered:
    """Return a step and those before it as one.

    They stay apart where an axis goes on beyond its ends (``wrap``: a region is then made of more than one span), and where
    halos are so wide that most of what lies between would be made again and again.
    """
    before = None if last.wrap else step_of(last.array)
    if before is None or before.wrap or _times_made(last) > MOST_MADE:
        return last
    shape = last.array.shape
    first_needs, last_needs = exact_needs(before.needs), exact_needs(last.needs)
    function = _ComposedSteps(before.function, len(before.states), shape, last_needs, last.function, last.array.dtype.itemsize)
    needs = last_needs if first_needs is same else _Needs(first_needs, last_needs, shape)
    return replace(last, function=function, array=before.array, states=(*before.states, *last.states), needs=needs)


def _times_made(step: Gathered) -> float:
    """Return how many times what a step takes is made, if every block makes it anew."""
    needed = _needed_voxels(exact_needs(step.needs), step.array.shape, step.chunks)
    return float(needed * prod(map(len, step.chunks)) / max(1, prod(step.array.shape)))


def _needed_voxels(needs: Needs, shape: Sequence[int], chunks: Chunks) -> int:
    """Return how many voxels the block in the middle is made of."""
    needed = 1
    for axis, lengths in enumerate(chunks):
        middle = len(lengths) // 2
        start = sum(lengths[:middle])
        low, high = _clipped(needs, shape, axis, (start, start + lengths[middle]))
        needed *= high - low
    return needed


def _clipped(needs: Needs, shape: Sequence[int], axis: int, span: Span) -> Span:
    low, high = needs(axis, *span)
    return max(0, low), min(shape[axis], high)


@named("steps-together")
@dataclass(frozen=True, eq=False)
class _ComposedSteps:
    """Two steps: the first makes what the ``last`` one needs, a region of an array of ``shape``."""

    first: BlockFunction
    nstates: int
    shape: tuple[int, ...]
    needs: Needs
    last: BlockFunction
    itemsize: int

    @property
    def by_plane(self) -> bool:
        """Whether the block may come plane by plane."""
        return takes_planes(self.first)

    @property
    def whole_axes(self) -> tuple[int, ...]:
        """The axes that blocks must not be cut along."""
        return tuple({*needed_whole(self.first), *needed_whole(self.last)})

    def between(self, chunks: Chunks) -> int:
        """Return the bytes of what lies between, for a block of the result."""
        return _needed_voxels(self.needs, self.shape, chunks) * self.itemsize

    def __call__(self, block: Array, place: BlockPlace, *states: Any) -> Any:
        """Return what both make of a block."""
        between = tuple(_clipped(self.needs, self.shape, axis, span) for axis, span in enumerate(place.output))
        made = self.first(block, BlockPlace(place.input, between, place.shape), *states[: self.nstates])
        return self.last(made, BlockPlace(between, place.output, self.shape), *states[self.nstates :])


@named("needs-together")
@dataclass(frozen=True)
class _Needs:
    """What two steps need together."""

    first: Needs
    last: Needs
    shape: tuple[int, ...]

    def __call__(self, axis: int, start: int, stop: int) -> Span:
        return self.first(axis, *_clipped(self.last, self.shape, axis, (start, stop)))


def _arranged(step: Gathered, axes: tuple[int | None, ...]) -> Gathered | None:
    """Return a step whose result has its axes in another order, some of length 1 dropped or added; only of a source."""
    gone = [axis for axis in range(step.array.ndim) if axis not in axes]
    if source_of(step.array) is None or any(step.array.shape[axis] != 1 or len(step.chunks[axis]) != 1 for axis in gone):
        return None
    if axes == tuple(range(step.array.ndim)):
        return step
    chunks = tuple((1,) if axis is None else step.chunks[axis] for axis in axes)
    needs = same if step.needs is same else _NeedsInOrder(exact_needs(step.needs), axes)
    function = _InOrder(step.function, axes, step.array.ndim)
    return replace(step, function=function, array=arrange(step.array, axes), chunks=chunks, needs=needs)


@named("needs-in-order")
@dataclass(frozen=True)
class _NeedsInOrder:
    needs: Needs
    axes: tuple[int | None, ...]

    def __call__(self, axis: int, start: int, stop: int) -> Span:
        own = self.axes[axis]
        return (start, stop) if own is None else self.needs(own, start, stop)


@named("step-in-order")
@dataclass(frozen=True, eq=False)
class _InOrder:
    """A function of blocks whose axes are in another order, before and after: ``axes[i]`` is its own axis that is axis i here."""

    function: BlockFunction
    axes: tuple[int | None, ...]
    ndim: int

    @property
    def whole_axes(self) -> tuple[int, ...]:
        """The axes that blocks must not be cut along."""
        return tuple(i for i, axis in enumerate(self.axes) if axis in needed_whole(self.function))

    def __call__(self, block: Array, place: BlockPlace, *states: Any) -> Array:
        """Return the block that the function makes."""
        back = [self.axes.index(axis) if axis in self.axes else None for axis in range(self.ndim)]
        own = BlockPlace(self._spans(place.input, back), self._spans(place.output, back), self._shape(place.shape, back))
        return in_order(self.function(in_order(block, back), own, *states), self.axes)

    @staticmethod
    def _spans(spans: Sequence[Span], back: Sequence[int | None]) -> tuple[Span, ...]:
        return tuple((0, 1) if axis is None else spans[axis] for axis in back)

    @staticmethod
    def _shape(shape: Sequence[int], back: Sequence[int | None]) -> tuple[int, ...]:
        return tuple(1 if axis is None else shape[axis] for axis in back)
