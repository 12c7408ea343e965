"""Levels whose pixels are made of more than their own block: each is read back from the level before, once that is
written.

A tile's neighbours are in the store by then, so that no tile waits for another in memory. The image's own source is
still read once; what is read again are the pixels that were just written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, Protocol
from uuid import uuid4

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.folds import FAN_IN
from xprep.engine.gather import Place, Span
from xprep.engine.graph import Key, Tasks, call, key_of, unique, value_of
from xprep.engine.grid import regular_chunks, starts, tile_shape
from xprep.engine.write import Seen, Target, write
from xprep.options import options
from xprep.types import Array, Readable, Writable


class Step(Protocol):
    """How a level is made from the one before."""

    @property
    def factors(self) -> tuple[int, ...]:
        """How many times smaller it is, per axis."""

    def needs(self, axis: int, start: int, stop: int) -> Span:
        """Return the span of the level before that ``[start, stop)`` is made of; it may reach beyond the ends."""

    def __call__(self, block: Array, place: Place) -> Array:
        """Return the pixels of ``place.output``."""


class Restorable(Writable, Protocol):
    """What can be read again after it was filled."""

    def readable(self) -> Readable:
        """Return the same array to read from."""


def write_rereading(
    array: da.Array, arrays: Sequence[Restorable], steps: Sequence[Step], channel: int | None
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
    channel
        As for `write`.

    Returns
    -------
    Delayed
        `Seen`, as of `write`.
    """
    ones = (1,) * array.ndim
    written = [write(array, [Target(arrays[0], ones)], _no_shrink, channel)]
    for before, target, step in zip(arrays[:-1], arrays[1:], steps, strict=True):
        written.append(_write_level(before.readable(), target, step, written[-1]))
    return call(_together, *written, label="levels")


def _no_shrink(_block: Array, _factors: tuple[int, ...]) -> Array:
    raise AssertionError("a level that stands alone has no next one")


def _write_level(source: Readable, target: Restorable, step: Step, after: Delayed) -> Delayed:
    nbytes = max(1, options().tile_bytes // prod(step.factors))
    unit = [min(u, n) for u, n in zip(target.unit, target.shape, strict=True)]
    chunks = regular_chunks(target.shape, tile_shape(target.shape, unit, (), target.dtype.itemsize, nbytes))
    edges = [starts(lengths) for lengths in chunks]
    name = unique("reread", after.key, id(target))
    tasks: Tasks = {}
    for index in product(*(range(len(lengths)) for lengths in chunks)):
        spans = tuple((edge[i], edge[i + 1]) for edge, i in zip(edges, index, strict=True))
        tasks[f"{name}-tile", *index] = (_MakeTile(source, target, step, spans), key_of(after))
    return value_of(name, tasks, _join(name, tasks), [after])


@dataclass(frozen=True, eq=False)
class _MakeTile:
    """Makes and writes one tile of a level."""

    source: Readable
    target: Writable
    step: Step
    spans: tuple[Span, ...]
    # As in `write`: an equal task's result must not stand for the writing.
    number: str = field(default_factory=lambda: uuid4().hex)

    def __call__(self, _after: Any) -> Seen:
        needs = [self.step.needs(axis, *span) for axis, span in enumerate(self.spans)]
        within = tuple((max(0, a), min(n, b)) for (a, b), n in zip(needs, self.source.shape, strict=True))
        block = self.source.read(tuple(slice(*span) for span in within))
        made = self.step(block, Place(within, self.spans, self.source.shape))
        self.target.write(tuple(slice(*span) for span in self.spans), made)
        return Seen({}, made.nbytes, 1)


def _join(name: str, tasks: Tasks) -> Key:
    level: list[Key] = list(tasks)
    depth = 0
    while len(level) > 1 or depth == 0:
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        level = [name if len(groups) == 1 else (f"{name}-join", depth, i) for i in range(len(groups))]
        tasks.update({key: (_together, *group) for key, group in zip(level, groups, strict=True)})
        depth += 1
    return level[0]


def _together(*seen: Seen) -> Seen:
    """Return what was seen of the first level, and how much was written of all."""
    channels = next((one.channels for one in seen if one.channels), {})
    return Seen(channels, sum(one.nbytes for one in seen), sum(one.units for one in seen))
