"""Levels of more than their own blocks: each is read back from the level before, once that is written.

A tile's neighbours are in the store by then, so that no tile waits for another in memory. The image's own source is
still read once; what is read again are the pixels that were just written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, product
from math import prod
from typing import Any, ClassVar, Protocol

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.needs import Span, has_portions, portion_size
from xprep.engine.filling.ledger import Ledger, NotingWrites, Spans
from xprep.engine.filling.portions import WRITING, JoinTree
from xprep.engine.filling.summaries import Seen, together
from xprep.engine.filling.write import write_alone
from xprep.engine.graph.driven import ComputePortion, driven_value
from xprep.engine.graph.grid import regular_chunks, starts, tile_shape
from xprep.engine.graph.joining import join_into
from xprep.engine.graph.tasks import Cost, Key, Tasks, call, key_of, unique, value_of
from xprep.engine.machine.attempts import attempt
from xprep.engine.machine.memory import worker_threads
from xprep.options import options
from xprep.types import Array, Readable, Writable


class ShrinkStep(Protocol):
    """How a level is made from the one before."""

    @property
    def factors(self) -> tuple[int, ...]:
        """How many times smaller it is, per axis."""

    def needs(self, axis: int, start: int, stop: int) -> Span:
        """Return the span of the level before that ``[start, stop)`` is made of; it may reach beyond the ends."""

    def __call__(self, block: Array, place: BlockPlace) -> Array:
        """Return the pixels of ``place.output``."""


class Restorable(Writable, Protocol):
    """What can be read again after it was filled."""

    def readable(self) -> Readable:
        """Return the same array to read from."""


def write_rereading(
    array: da.Array,
    arrays: Sequence[Restorable],
    steps: Sequence[ShrinkStep],
    channel: int | None,
    ledger: Ledger | None = None,
) -> Delayed:
    """Return the lazy writing of ``array`` to the first of ``arrays``, and of each other from the one before.

    Parameters
    ----------
    array
        The pixels of the first level.
    arrays
        The levels, finest first.
    steps
        How each but the first is made.
    channel, ledger
        As for `write`.

    Returns
    -------
    Delayed
        `Seen`, as of `write`.
    """
    ledger = ledger or Ledger()
    written = [write_alone(array, arrays[0], channel, ledger)]
    for level, (target, step) in enumerate(zip(arrays[1:], steps, strict=True), 1):
        how = _RereadLevel(level, ledger, target, arrays[level - 1].readable(), step)
        written.append(_write_level(how, written[-1]))
    return call(together, *written, label="levels")


@dataclass(frozen=True, eq=False)
class _RereadLevel(NotingWrites):
    """How the tiles of a level are made: from what, into what."""

    source: Readable
    step: ShrinkStep


def _write_level(how: _RereadLevel, after: Delayed) -> Delayed:
    target = how.target
    nbytes = max(1, options().tile_bytes // prod(how.step.factors))
    unit = [min(u, n) for u, n in zip(target.unit, target.shape, strict=True)]
    chunks = regular_chunks(target.shape, tile_shape(target.shape, unit, (), target.dtype.itemsize, nbytes))
    edges = [starts(lengths) for lengths in chunks]
    name = unique("reread", after.key, how)
    level = _Tiles(how, tuple(edges), name)
    if has_portions(level.ntiles):
        return driven_value(name, level, [after], Cost())
    tasks: Tasks = {key: (*task, key_of(after)) for key, task in level.tasks()}
    joins: Tasks = {key: (together, *parts) for key, parts in join_into(name, list(tasks)).items()}
    return value_of(name, tasks | joins, name, [after])


@dataclass(frozen=True, eq=False)
class _Tiles:
    """The tiles of a level, and how they are written: one by one, or in portions."""

    label: ClassVar[str] = WRITING
    how: _RereadLevel
    edges: tuple[tuple[int, ...], ...]
    name: str

    @property
    def ntiles(self) -> int:
        return prod(len(edge) - 1 for edge in self.edges)

    def tasks(self) -> Iterator[tuple[Key, tuple[Any, ...]]]:
        """Yield the key of every tile, and the task that writes it."""
        for index in product(*(range(len(edge) - 1) for edge in self.edges)):
            spans = tuple((edge[i], edge[i + 1]) for edge, i in zip(self.edges, index, strict=True))
            past = self.how.ledger.past.get((self.how.level, spans))
            yield (f"{self.name}-tile", *index), (_MakeTile(self.how, spans, None if past is None else past.stored),)

    def drive(self, _inputs: Sequence[Any], compute: ComputePortion) -> Seen:
        """Write them all in portions."""
        seen, left, position = JoinTree(self.ntiles), self.tasks(), count()
        while some := dict(islice(left, portion_size(worker_threads()))):
            for one in compute(some, list(some), len(some)):
                seen.add(next(position), one)
        return seen.joined()


@dataclass(frozen=True, eq=False)
class _MakeTile:
    """Makes and writes one tile of a level, unless an earlier run did."""

    how: _RereadLevel
    spans: Spans
    stored: Array | None

    def __call__(self, _after: Any = None) -> Seen:
        how = self.how
        nbytes = prod(stop - start for start, stop in self.spans) * how.target.dtype.itemsize
        if self.stored is not None:
            return Seen({}, nbytes, 1, {how.level: (self.stored,)}, nbytes)
        needs = [how.step.needs(axis, *span) for axis, span in enumerate(self.spans)]
        within = tuple((max(0, a), min(n, b)) for (a, b), n in zip(needs, how.source.shape, strict=True))
        block = attempt(how.source.read, tuple(slice(*span) for span in within))
        made = how.step(block, BlockPlace(within, self.spans, how.source.shape))
        stored = how.fill(self.spans, made)
        how.note(self.spans, stored)
        return Seen({}, nbytes, 1, {} if stored is None else {how.level: (stored,)})
