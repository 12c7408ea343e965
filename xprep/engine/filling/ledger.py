"""What an earlier run wrote: tiles that need not be made again, nor anything that only they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np

from xprep.engine.filling.summaries import Seen, join_seen
from xprep.engine.graph.grid import starts
from xprep.engine.machine.attempts import attempt
from xprep.engine.machine.private_distributed import note_written
from xprep.types import Array, Chunks, Region, Writable

Spans: TypeAlias = tuple[tuple[int, int], ...]
Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Past:
    """A tile of an earlier run, of which every object is still there: what was stored, and (first level) seen."""

    stored: Array
    seen: Seen | None = None


def forget(level: int, region: Spans, stored: Array, seen: Seen | None) -> None:
    """Note nothing."""


def nothing(level: int, region: Region) -> Array:
    """Refuse to read: there is no past."""
    raise LookupError("nothing was written before.")


@dataclass(frozen=True, eq=False)
class Ledger:
    """What was written before, and where what is written now is noted.

    Attributes
    ----------
    past
        By level and region.
    note
        Called in tasks, after a tile was written: ``note(level, region, stored, seen)``; ``seen`` of the first level only.
    read
        ``read(level, region)``: the pixels of the past.
    """

    past: Mapping[tuple[int, Spans], Past] = field(default_factory=dict)
    note: Callable[[int, Spans, Array, Seen | None], None] = forget
    read: Callable[[int, Region], Array] = nothing


@dataclass(frozen=True, eq=False)
class NotingWrites:
    """What the tasks of one level share: its number, the ledger they note in, and the array that they fill.

    Work that leaves something behind is never the same twice: a cluster that still holds the result of an equal task would
    give that, and write nothing. So every such object has a number of its own.
    """

    level: int
    ledger: Ledger
    target: Writable
    number: str = field(default_factory=lambda: uuid4().hex, kw_only=True)

    def fill(self, spans: Spans, block: Array) -> Any:
        """Write a tile; return what was stored."""
        stored = attempt(self.target.write, tuple(slice(*span) for span in spans), block)
        note_written(block.nbytes)
        return stored

    def note(self, spans: Spans, stored: Any, seen: Seen | None = None) -> None:
        """Note that a tile was written."""
        attempt(self.ledger.note, self.level, spans, stored, seen)

    def __dask_tokenize__(self) -> str:
        return self.number

    def __getstate__(self) -> dict[str, Any]:
        # A task does not carry what other tasks' past was.
        return {**self.__dict__, "ledger": replace(self.ledger, past={})}


@dataclass(frozen=True, eq=False)
class Layer:
    """The tiles of one level: their edges along every axis, and what was seen of those that are finished."""

    edges: tuple[tuple[int, ...], ...]
    done: dict[Index, Seen]

    @property
    def indices(self) -> Iterator[Index]:
        """The tiles, in C order."""
        return product(*map(range, self.counts))

    @property
    def counts(self) -> tuple[int, ...]:
        """How many tiles there are along every axis."""
        return tuple(len(edge) - 1 for edge in self.edges)

    def children_of(self, parent: Index, steps: Sequence[int]) -> list[Index]:
        """Return the tiles of this level that become the tile ``parent`` of the next one."""
        spans = zip(parent, steps, self.counts, strict=True)
        return list(product(*(range(i * step, min((i + 1) * step, count)) for i, step, count in spans)))

    def spans(self, index: Sequence[int]) -> Spans:
        """Return where a tile lies."""
        return tuple((edge[i], edge[i + 1]) for edge, i in zip(self.edges, index, strict=True))


def find_layers(chunks: Chunks, factors: Sequence[tuple[int, ...]], dtype: np.dtype[Any], ledger: Ledger) -> list[Layer]:
    """Return the tiles of every level; a tile is finished if all that it is made of is finished too."""
    edges = tuple(starts(lengths) for lengths in chunks)
    layers = [_first(edges, ledger)]
    for level, steps in enumerate(factors[1:], 1):
        below = layers[-1]
        edges = tuple(shrunk_edges(edge, step) for edge, step in zip(below.edges, steps, strict=True))
        layers.append(_next(Layer(edges, {}), below, level, steps, dtype, ledger))
    return layers


def _first(edges: tuple[tuple[int, ...], ...], ledger: Ledger) -> Layer:
    layer = Layer(edges, {})
    for index in layer.indices if ledger.past else ():
        past = ledger.past.get((0, layer.spans(index)))
        if past is not None and past.seen is not None:
            layer.done[index] = past.seen
    return layer


def _next(layer: Layer, below: Layer, level: int, steps: Sequence[int], dtype: np.dtype[Any], ledger: Ledger) -> Layer:
    for index in {parent_of(child, steps) for child in below.done}:
        spans = layer.spans(index)
        past = ledger.past.get((level, spans))
        children = below.children_of(index, steps)
        if past is not None and all(child in below.done for child in children):
            nbytes = prod(stop - start for start, stop in spans) * dtype.itemsize
            seen = add_tile([below.done[child] for child in children], level, past.stored, nbytes)
            layer.done[index] = replace(seen, before=seen.nbytes)
    return layer


def parent_of(index: Index, steps: Sequence[int]) -> Index:
    """Return the tile of the next level that a tile becomes a part of."""
    return tuple(i // step for i, step in zip(index, steps, strict=True))


def add_tile(children: Sequence[Seen], level: int, stored: Array | None, nbytes: int) -> Seen:
    """Return what was seen of ``children``, and of the tile that they became, of ``nbytes``."""
    seen = join_seen(children)
    kept = dict(seen.stored) if stored is None else {**seen.stored, level: (stored,)}
    return Seen(seen.channels, seen.nbytes + nbytes, seen.units + 1, kept, seen.before)


def shrunk_edges(edges: Sequence[int], factor: int) -> tuple[int, ...]:
    """Return the edges of the next level's tiles: ``factor`` tiles make one, its pixels are ``factor`` times fewer."""
    return tuple(-(-edge // factor) for edge in (*edges[:-1:factor], edges[-1]))
