"""Work: blocks to be made, all of them, and whatever is done with each in the task that makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.composing import composed
from xprep.engine.blocks.gather import BlockPlace, Gathered, Then
from xprep.engine.blocks.needs import Along, Needs, along_axis, gather_cost, same, waiting_axes
from xprep.engine.graph.driven import given
from xprep.engine.graph.tasks import Cost, Key, Tasks, key_of, origin_of, unique
from xprep.engine.sources.readable import View, reading_cost, source_of
from xprep.types import Chunks

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Work:
    """Blocks to be made, all of them: what `gather` takes, with the function that ends in a summary or in a store.

    Of a voxel that is made on the way, plans count ``itemsize`` bytes.
    """

    function: Callable[..., Any]
    array: da.Array
    states: tuple[Any, ...]
    chunks: Chunks
    needs: Needs = same
    unless: Delayed | None = None
    label: str = "work"
    wrap: bool = False
    itemsize: int = 0


def work_on(tiles: da.Array, function: Callable[[Any, BlockPlace], Any], label: str) -> Work:
    """Return the work of ``function`` on every block of ``tiles``, made and used in one task."""
    made = origin_of(tiles)
    if isinstance(made, Gathered):
        through = Then(made.function, function, len(made.states))
        return Work(through, made.array, made.states, made.chunks, made.needs, None, made.label, made.wrap, tiles.dtype.itemsize)
    return Work(function, tiles, (), tiles.chunks, same, None, label)


@dataclass(frozen=True, eq=False)
class ReadingWork:
    """Work on what is read, in words: no graph is in it, of the states and of what is waited for only the keys.

    Attributes
    ----------
    function, chunks, label
        As of `Work`.
    view
        What is read.
    blocks
        In which blocks that is read; tiles may need parts of several.
    axes
        What each tile needs, axis by axis.
    waiting
        Axes along which tiles need more, or others, than the block of their own place.
    states
        Keys of the values that the function gets.
    gates
        Keys of values that must be there first; the first of them, if it is true, says that no tile is needed (``skippable``).
    name
        Of the tiles: keys are ``(name, *index)``.
    """

    function: Callable[..., Any]
    view: View
    blocks: Chunks
    chunks: Chunks
    axes: Sequence[Sequence[Along]]
    waiting: tuple[int, ...]
    states: tuple[Key, ...]
    gates: tuple[Key, ...]
    skippable: bool
    label: str
    name: str

    @property
    def ntiles(self) -> int:
        """How many tiles there are."""
        return prod(map(len, self.chunks))

    def knowing(self, inputs: Sequence[Any], name: str) -> tuple[ReadingWork, Tasks]:
        """Return the work once what it waits for is there, and tasks that give it its states, of the computed ``inputs``."""
        states = tuple(f"{name}-state-{i}" for i in range(len(self.states)))
        return replace(self, states=states, gates=(), skippable=False), given(states, inputs[len(self.gates) :])


def through_steps(work: Work) -> Work:
    """Return the work with the steps before it, if nobody else uses what they make."""
    made = origin_of(work.array)
    if not isinstance(made, Gathered) or not made.alone:
        return work
    step = composed(Gathered(work.function, work.array, work.states, work.chunks, work.needs, work.wrap))
    return replace(work, function=step.function, array=step.array, states=step.states, needs=step.needs)


def reading_work(work: Work) -> ReadingWork | None:
    """Return the work in words, if it reads for itself: its input is a source with one user."""
    array, origin = work.array, source_of(work.array)
    if origin is None or not origin.alone or work.wrap:
        return None
    axes = tuple(tuple(along_axis(array, axis, n, work.needs, False)) for axis, n in enumerate(work.chunks))
    states = tuple(map(key_of, work.states))
    gates = tuple(key_of(gate) for gate in (work.unless, origin.after) if gate is not None)
    return ReadingWork(
        work.function, origin.view, array.chunks, work.chunks, axes, waiting_axes(array.numblocks, axes), states, gates,
        work.unless is not None, work.label, unique(work.label, work.function, array.name, list(states), work.chunks, axes),
    )  # fmt: skip


def cost_of(work: Work, read: ReadingWork) -> Cost:
    """Return what all of the work takes."""
    array = work.array
    size = prod(map(max, work.chunks)) * work.itemsize
    if not read.waiting:
        cost = reading_cost(work.label, read.view, array.chunks, read.skippable)
        return replace(cost, block=cost.block + size)
    cost = gather_cost(work.label, array, read.axes, None, read.skippable)
    return replace(cost, reads=prod(array.shape) * array.dtype.itemsize, block=cost.block + size, view=read.view)


def inputs_of(work: Work) -> list[Any]:
    """Return the lazy values that `ReadingWork` has the keys of: gates, then states."""
    origin = source_of(work.array)
    return [gate for gate in (work.unless, origin and origin.after) if gate is not None] + list(work.states)
