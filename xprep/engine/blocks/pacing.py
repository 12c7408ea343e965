"""Windows over a large image in a bounded number of layers of tiles.

A tile with a halo waits for its neighbours, a tile of a smaller or larger image for all that it is made of. Left to itself, dask
reads ahead: of 12 × 12 tiles up to 111 are alive at once, of 24 × 24 up to 460. Here tiles are read layer by layer along one
axis, and each reading waits for the last tile that does not need it; where layers are large, the image is worked on in bands,
whose borders are read twice. Of tiles that are made only the borders stay, for those after them (`rims`). So a layer of one band
and a few tiles are alive, whatever the image's size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import prod
from typing import TypeAlias

from xprep.engine.blocks.borders import Border, Widths, border_widths
from xprep.engine.blocks.gather import GatherBlock, GatherHow
from xprep.engine.blocks.needs import Along, band_widths
from xprep.engine.blocks.work import Index, ReadingWork
from xprep.engine.graph.grid import pieces, starts
from xprep.engine.graph.tasks import Key, Tasks
from xprep.engine.machine.memory import worker_threads
from xprep.engine.sources.readable import ReadBlock


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


Part: TypeAlias = tuple[int, Sequence[_Side], Index]  # its number, its band, and its place along the axes where nothing waits


@dataclass(eq=False)
class PacedTasks:
    """Tasks of work with halos in their order, each reading with what it waits for."""

    work: ReadingWork
    alike: bool  # whether tiles are cut as what is read is, so that borders are enough for neighbours
    slack: int  # tiles read ahead, so that no thread waits for what another one makes
    found: Tasks = field(default_factory=dict)
    keys: dict[Index, Key] = field(default_factory=dict)
    made: list[Key] = field(default_factory=list)  # keys of the tiles, in the order of making
    last: list[int] = field(default_factory=list)  # of each tile: the number of the last reading that it or one before needs
    read: int = 0
    awaited: int = 0

    @classmethod
    def of(cls, work: ReadingWork) -> PacedTasks:
        """Return the tasks of ``work``, none of which is made yet."""
        return cls(work, work.chunks == work.blocks, max(1, worker_threads() - 1))

    def parts(self) -> Iterator[Part]:
        """Return the parts of the image that tasks can be added for, in an order that leaves few tiles of levels unfinished."""
        work = self.work
        leads = [range(1) if axis in work.waiting else range(len(one)) for axis, one in enumerate(work.axes)]
        return ((number, band, lead) for number, (lead, band) in enumerate(product(product(*leads), product(*self._sides()))))

    def _sides(self) -> list[list[_Side]]:
        """Return the bands along every axis: one along those where nothing waits."""
        work = self.work
        tile = prod(map(max, work.blocks)) * work.view.dtype.itemsize
        length = dict(zip(work.waiting, band_widths([len(work.axes[axis]) for axis in work.waiting], tile), strict=True))
        return [
            [self._side(axis, first, length.get(axis, len(one))) for first in range(0, len(one), length.get(axis, len(one)))]
            for axis, one in enumerate(work.axes)
        ]

    def _side(self, axis: int, first: int, width: int) -> _Side:
        tiles, edges = self.work.axes[axis][first : first + width], starts(self.work.blocks[axis])
        if axis not in self.work.waiting:
            return _Side(first, edges, tuple(tiles), ())
        spans = [one.input for one in tiles if one.pieces] or [(0, 1)]
        low, high = min(start for start, _ in spans), max(stop for _, stop in spans)
        edges = (low, *edges[first + 1 : first + width][: len(tiles) - 1], high) if self.alike else band_edges(edges, low, high)
        tiles = [Along(one.input, one.output, pieces(edges, *one.input)) for one in tiles]
        widths = border_widths(edges, [one.pieces for one in tiles]) if self.alike else ()
        return _Side(first, edges, tuple(tiles), tuple(widths))

    def add(self, part: Part) -> None:
        """Add the readings and the tiles of one band at one place along the axes where nothing waits."""
        number, band, lead = part
        waiting = self.work.waiting
        spots = [range(side.reads) if axis in waiting else (lead[axis],) for axis, side in enumerate(band)]
        places = [range(len(side.along)) if axis in waiting else (lead[axis],) for axis, side in enumerate(band)]
        numbers = {spot: self.read + i for i, spot in enumerate(product(*spots))}
        inputs = {place: self._inputs(band, place) for place in product(*places)}
        for place, needed in inputs.items():
            self.made.append((self.work.name, *self._index(band, place)))
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
        key = (f"{work.name}-read", number, *spot)
        self.found[key] = (ReadBlock(work.view, region, work.skippable), *work.gates, *(self._awaited(pace) or work.states))
        if border is not None:
            self.found[f"{work.name}-rim", number, *spot] = (border, key)
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
        gate = work.gates[:1] if work.skippable else ()
        how = GatherHow(work.function, work.view.shape, len(gate), bool(gate), len(work.states), None)
        self.keys[index] = (work.name, *index)
        self.found[work.name, *index] = (GatherBlock(how, along), *gate, *work.states, *inputs)

    def _key(self, number: int, spot: Index, own: bool, borders: Mapping[Index, Border | None]) -> Key:
        """Return the key of what a tile takes of a block that is read: its own one whole, of others the border if it is kept."""
        return (f"{self.work.name}-read" if own or borders[spot] is None else f"{self.work.name}-rim", number, *spot)


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
