"""Windows over a large image in a bounded number of layers of tiles.

A tile with a halo waits for its neighbours, a tile of a smaller or larger image for all that it is made of. Left to itself, dask
reads ahead: of 12 × 12 tiles up to 111 are alive at once, of 24 × 24 up to 460. Here tiles are read layer by layer along one
axis, and each reading waits for the last tile that does not need it; where layers are large, the image is worked on in bands,
whose borders are read twice. Of tiles that are made only the borders stay, for those after them (`rims`). So a layer of one band
and a few tiles are alive, whatever the image's size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from math import prod
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.borders import Border, Widths, border_widths
from xprep.engine.blocks.composing import composed
from xprep.engine.blocks.gather import BlockPlace, GatherBlock, Gathered, GatherHow, Then, block_tasks
from xprep.engine.blocks.needs import Along, Needs, along_axis, band_widths, gather_cost, same, waiting_axes
from xprep.engine.graph.grid import pieces, starts
from xprep.engine.graph.tasks import Cost, Key, Tasks, key_of, origin_of, unique
from xprep.engine.machine.memory import worker_threads
from xprep.engine.sources.readable import Origin, ReadBlock, source_of
from xprep.types import Chunks

Index = tuple[int, ...]


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


def work_tasks(work: Work) -> tuple[dict[Index, Key], Tasks, list[Any], Cost]:
    """Return the key of every block, the tasks, what they depend on, and the cost.

    Tasks are paced where the input is a source with one user. Such tasks must be computed all together, since one waits for
    another; a lazy array, of which somebody may want a part, is never made so.
    """
    work = _through(work)
    origin = source_of(work.array)
    if origin is not None and origin.alone and work.needs is not same and not work.wrap:
        axes = [along_axis(work.array, axis, lengths, work.needs, False) for axis, lengths in enumerate(work.chunks)]
        if waiting := waiting_axes(work.array.numblocks, axes):
            keys, tasks, parents, cost = _Paced.of(work, origin, axes, waiting).tasks()
            return keys, tasks, parents, _with_result(cost, work)
    _, made, parents, cost = block_tasks(
        work.function, work.array, work.states, work.chunks, work.needs, work.unless, work.label, work.wrap
    )
    tasks = dict(made)
    return {key[1:]: key for key in tasks}, tasks, parents, _with_result(cost, work)  # type: ignore[misc]


def _with_result(cost: Cost, work: Work) -> Cost:
    return replace(cost, block=cost.block + prod(map(max, work.chunks)) * work.itemsize)


def wait_for_joins(tasks: Tasks, order: Sequence[Key], joins: Mapping[Key, Sequence[Key]]) -> None:
    """Let paced readings that wait for the last of several tiles wait for what joins these: ``{join: what is joined}``.

    Joins free memory and make nothing new to go on with, so dask leaves them for later: of 64 tiles, 64 histograms waited.
    """
    number = {key: i for i, key in enumerate(order)}
    closing: dict[Key, Key] = {}
    for join, parts in joins.items():  # from the tiles upwards
        last = max(parts, key=number.__getitem__)
        number[join], closing[last] = number[last], join
    for key, task in tasks.items():
        if isinstance(task[0], ReadBlock):
            tasks[key] = (task[0], *(_topmost(closing, part) for part in task[1:]))


def _topmost(closing: Mapping[Key, Key], key: Key) -> Key:
    while key in closing:
        key = closing[key]
    return key


def _through(work: Work) -> Work:
    """Return the work with the steps before it, if nobody else uses what they make."""
    made = origin_of(work.array)
    if not isinstance(made, Gathered) or not made.alone:
        return work
    step = composed(Gathered(work.function, work.array, work.states, work.chunks, work.needs, work.wrap))
    return replace(work, function=step.function, array=step.array, states=step.states, needs=step.needs)


@dataclass(frozen=True, eq=False)
class _Side:
    """Part of one axis of a band: edges of what is read, and the need of each of its tiles, from the ``first`` on."""

    first: int
    edges: tuple[int, ...]
    along: tuple[Along, ...]
    widths: tuple[Widths, ...]  # of the borders of what is read; none where tiles are not cut as what is read is

    @property
    def reads(self) -> int:
        """How many blocks are read along it."""
        return len(self.edges) - 1


@dataclass(eq=False)
class _Paced:
    """Tasks of `Work` in their order, each reading with what it waits for."""

    work: Work
    origin: Origin
    axes: Sequence[Sequence[Along]]
    waiting: tuple[int, ...]
    name: str
    alike: bool  # whether tiles are cut as what is read is, so that borders are enough for neighbours
    slack: int  # tiles read ahead, so that no thread waits for what another one makes
    found: Tasks = field(default_factory=dict)
    keys: dict[Index, Key] = field(default_factory=dict)
    made: list[Key] = field(default_factory=list)  # keys of the tiles, in the order of making
    last: list[int] = field(default_factory=list)  # of each tile: the number of the last reading that it or one before needs
    read: int = 0
    awaited: int = 0

    @classmethod
    def of(cls, work: Work, origin: Origin, axes: Sequence[Sequence[Along]], waiting: tuple[int, ...]) -> _Paced:
        """Return the tasks of ``work``, none of which is made yet."""
        states = [key_of(state) for state in work.states]
        name = unique(work.label, work.function, work.array.name, states, work.chunks, axes)
        alike = work.chunks == work.array.chunks
        return cls(work, origin, axes, waiting, name, alike, max(1, worker_threads() - 1))

    def tasks(self) -> tuple[dict[Index, Key], Tasks, list[Any], Cost]:
        """Return what `work_tasks` does."""
        work = self.work
        leads = [range(1) if axis in self.waiting else range(len(one)) for axis, one in enumerate(self.axes)]
        for number, band in enumerate(product(*self._sides())):
            for lead in product(*leads):
                self._add(number, band, lead)
        cost = gather_cost(work.label, work.array, self.axes, None, work.unless is not None)
        reads = prod(work.array.shape) * work.array.dtype.itemsize
        gates = [gate for gate in (work.unless, self.origin.after) if gate is not None]
        whole = Cost(work.label, reads, work.unless is not None, cost.block, cost.front, view=self.origin.view)
        return self.keys, self.found, [*gates, *work.states], whole

    def _sides(self) -> list[list[_Side]]:
        """Return the bands along every axis: one along the first that waits, and along those where nothing does."""
        tile = prod(map(max, self.work.array.chunks)) * self.work.array.dtype.itemsize
        widths = band_widths([len(self.axes[axis]) for axis in self.waiting], tile)
        length = dict(zip(self.waiting, widths, strict=True))
        return [
            [self._side(axis, first, length.get(axis, len(one))) for first in range(0, len(one), length.get(axis, len(one)))]
            for axis, one in enumerate(self.axes)
        ]

    def _side(self, axis: int, first: int, width: int) -> _Side:
        tiles, edges = self.axes[axis][first : first + width], starts(self.work.array.chunks[axis])
        if axis not in self.waiting:
            return _Side(first, edges, tuple(tiles), ())
        spans = [one.input for one in tiles if one.pieces] or [(0, 1)]
        low, high = min(start for start, _ in spans), max(stop for _, stop in spans)
        edges = (low, *edges[first + 1 : first + width][: len(tiles) - 1], high) if self.alike else band_edges(edges, low, high)
        tiles = [Along(one.input, one.output, pieces(edges, *one.input)) for one in tiles]
        widths = border_widths(edges, [one.pieces for one in tiles]) if self.alike else ()
        return _Side(first, edges, tuple(tiles), tuple(widths))

    def _add(self, number: int, band: Sequence[_Side], lead: Index) -> None:
        """Add the readings and the tiles of one band at one place along the axes where nothing waits."""
        spots = [range(side.reads) if axis in self.waiting else (lead[axis],) for axis, side in enumerate(band)]
        places = [range(len(side.along)) if axis in self.waiting else (lead[axis],) for axis, side in enumerate(band)]
        numbers = {spot: self.read + i for i, spot in enumerate(product(*spots))}
        inputs = {place: self._inputs(band, place) for place in product(*places)}
        for place, needed in inputs.items():
            self.made.append((self.name, *self._index(band, place)))
            last = max((numbers[spot] for spot in needed), default=-1)
            self.last.append(max(last, self.last[-1] if self.last else -1))
        borders = {spot: self._border(band, spot) for spot in numbers}
        pace = -(-len(inputs) // len(numbers))
        for spot, border in borders.items():
            self._add_reading(number, band, spot, border, pace)
        for place, needed in inputs.items():
            self._add_tile(number, band, place, [self._key(number, spot, spot == place, borders) for spot in needed])

    def _index(self, band: Sequence[_Side], place: Index) -> Index:
        return tuple(side.first + i for side, i in zip(band, place, strict=True))

    def _inputs(self, band: Sequence[_Side], place: Index) -> list[Index]:
        along = [side.along[i] for side, i in zip(band, place, strict=True)]
        return list(product(*([piece.index for piece in one.pieces] for one in along)))

    def _border(self, band: Sequence[_Side], spot: Index) -> Border | None:
        """Return what neighbours need of a block that is read; None where they may as well have all of it."""
        if not self.alike:
            return None
        border = Border(tuple(side.widths[i] if side.widths else (0, 0) for side, i in zip(band, spot, strict=True)))
        shape = [side.edges[i + 1] - side.edges[i] for side, i in zip(band, spot, strict=True)]
        return border if border.is_small(shape) else None

    def _add_reading(self, number: int, band: Sequence[_Side], spot: Index, border: Border | None, pace: int) -> None:
        """Add a reading; it waits for earlier tiles.

        The first ones wait for the values that tiles are made with: a later pass would otherwise begin to read while this one
        still runs (18 tiles alive instead of 10).
        """
        work = self.work
        region = tuple(slice(side.edges[i], side.edges[i + 1]) for side, i in zip(band, spot, strict=True))
        gates = [key_of(gate) for gate in (work.unless, self.origin.after) if gate is not None]
        waits = self._awaited(pace) or [key_of(state) for state in work.states]
        key = (f"{self.name}-read", number, *spot)
        self.found[key] = (ReadBlock(self.origin.view, region, work.unless is not None), *gates, *waits)
        if border is not None:
            self.found[f"{self.name}-rim", number, *spot] = (border, key)
        self.read += 1

    def _awaited(self, pace: int) -> list[Key]:
        """Return what the next reading waits for: the next ``pace`` tiles, but for the slack, that need no reading from it on.

        So every tile is waited for, one after the other: dask may leave what nobody waits for until the end, and all that it
        is made of; and the readings of a band do not begin together when the one before ends.
        """
        ready = min(bisect_left(self.last, self.read) - self.slack, self.awaited + pace)
        before, self.awaited = self.awaited, max(self.awaited, ready)
        return self.made[before : self.awaited] or self.made[max(0, before - 1) : before]

    def _add_tile(self, number: int, band: Sequence[_Side], place: Index, inputs: Sequence[Key]) -> None:
        work, index = self.work, self._index(band, place)
        along = tuple(side.along[i] for side, i in zip(band, place, strict=True))
        gate = [] if work.unless is None else [key_of(work.unless)]
        states = [key_of(state) for state in work.states]
        how = GatherHow(work.function, work.array.shape, len(gate), bool(gate), len(states), None)
        self.keys[index] = (self.name, *index)
        self.found[self.name, *index] = (GatherBlock(how, along), *gate, *states, *inputs)

    def _key(self, number: int, spot: Index, own: bool, borders: Mapping[Index, Border | None]) -> Key:
        """Return the key of what a tile takes of a block that is read: its own one whole, of others the border if it is kept."""
        return (f"{self.name}-read" if own or borders[spot] is None else f"{self.name}-rim", number, *spot)


def band_edges(edges: Sequence[int], low: int, high: int) -> tuple[int, ...]:
    """Return the edges of what a band reads, ``[low, high)``; a sliver at its border is read with the block beside it.

    >>> band_edges((0, 10, 20, 30, 40), 8, 32)
    (8, 20, 32)
    """
    inner = [edge for edge in edges if low < edge < high]
    least = min(stop - start for start, stop in pairwise(edges[:-1])) / 2 if len(edges) > 2 else 0
    while inner and low not in edges and inner[0] - low < least:
        inner.pop(0)
    while inner and high not in edges and high - inner[-1] < least:
        inner.pop()
    return (low, *inner, high)
