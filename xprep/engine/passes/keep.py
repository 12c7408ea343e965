"""What becomes of an image that is read more than once: made anew, kept in memory, or spilled.

In one dask graph, a chunk that two passes use stays in memory from the first pass to the last: dask silently persists
the whole image (64 live chunks of 64, against 2 when each pass reads anew). So every operation of several
passes says here what it wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.blocks.cutting import remade
from xprep.engine.blocks.folds import Fold, both, first, fold_work, second
from xprep.engine.blocks.gather import BlockFunction, Then, gather
from xprep.engine.blocks.needs import Needs, has_portions, same
from xprep.engine.blocks.spill import StoreTile, scratch_copy, spill
from xprep.engine.blocks.work import Work
from xprep.engine.graph.grid import count
from xprep.engine.graph.tasks import call
from xprep.engine.machine.memory import memory_limit
from xprep.engine.sources.readable import View, read_array, retile, source_of
from xprep.options import options
from xprep.types import Intermediates

MOST_PERSISTED: Final = 100_000  # blocks: what is kept between passes is in one graph, and its tasks take memory as well
Placement = Literal["recompute", "persist", "spill"]


class KeptImage(Protocol):
    """An image that may be read several times."""

    @property
    def placement(self) -> Placement:
        """What becomes of it between two passes."""

    def reading(self, number: int, unless: Delayed | None = None) -> da.Array:
        """Return the image for pass ``number`` (0 is the first); use what is returned once."""


@dataclass(frozen=True)
class Recomputed:
    """Made anew for every pass: a source is read again, a graph of someone else's is cloned."""

    array: da.Array
    tile: tuple[int, ...]
    placement: Placement = "recompute"

    def reading(self, number: int, unless: Delayed | None = None) -> da.Array:
        """Return the image, in tasks that no other pass has."""
        return remade(self.array, self.tile, number, unless)


@dataclass(frozen=True)
class Persisted:
    """Made once; dask keeps the tiles until the last pass has used them."""

    array: da.Array
    placement: Placement = "persist"

    def reading(self, number: int, unless: Delayed | None = None) -> da.Array:
        """Return the one image that all passes share."""
        return self.array


@dataclass(frozen=True)
class Spilled:
    """Made once; the first pass writes the tiles to scratch as well, and later passes read them there."""

    array: da.Array
    view: View
    written: Delayed
    placement: Placement = "spill"

    def reading(self, number: int, unless: Delayed | None = None) -> da.Array:
        """Return the image itself for the first pass, and the spilled one for the others."""
        if number == 0:
            return self.array
        chunks = self.array.chunks
        return read_array(
            self.view, chunks=chunks, reading=number, after=self.written, unless=unless, alone=True, copied=self.array
        )


@dataclass(eq=False)
class SpilledInPass:
    """Made once, in portions: the first pass writes each tile to scratch, too, and later passes read them there."""

    array: da.Array
    view: View
    store: StoreTile
    written: Delayed | None = None
    placement: Placement = "spill"

    def reading(self, number: int, unless: Delayed | None = None) -> da.Array:
        """Return the image itself for the first pass, `fold`, and the spilled one for those after it."""
        if number == 0:
            return self.array
        told: dict[str, Any] = {"after": self.written, "unless": unless, "alone": True, "copied": self.array}
        return read_array(self.view, chunks=self.array.chunks, reading=number, **told)

    def fold(self, work: Work, how: Fold, label: str) -> Delayed:
        """Return what the first pass gives."""
        together = both(how, Fold(self.store, all))
        work = replace(work, function=together.summarize)
        pair = fold_work(work, together, label, scratch=self.array.nbytes)
        self.written = call(second, pair, label="spilled")
        return call(first, pair, label=label)


def keep(array: da.Array, reads: int, tile: Sequence[int], intermediates: Intermediates | None = None) -> KeptImage:
    """Return ``array`` in blocks of ``tile``, to be read ``reads`` times.

    Parameters
    ----------
    array
        The image.
    reads
        Number of passes; one pass needs no keeping.
    tile
        Shape of a block.
    intermediates
        ``"recompute"``, ``"persist"``, ``"spill"``, or ``"auto"``: persist what fits in the memory limit; otherwise
        read a local source again (decoding is cheaper than writing a copy), and spill what is far away or is
        computed; above 100,000 blocks nothing is persisted. None takes the option of that name.
    """
    placement = choose(array, reads, intermediates or options().intermediates)
    if placement == "recompute":
        return Recomputed(array, tuple(tile))
    if placement == "persist":
        return Persisted(retile(array, tile, held=True))
    if source_of(array) is not None and has_portions(count(array.shape, tile)):
        tiles = retile(array, tile, reading=0, alone=True)
        return SpilledInPass(tiles, *scratch_copy(tiles, tile))
    return _spill(retile(array, tile))


def choose(array: da.Array, reads: int, intermediates: Intermediates) -> Placement:
    """Return the placement that ``intermediates`` means for ``array``."""
    if intermediates != "auto":
        return intermediates
    origin = source_of(array)
    cost = getattr(origin.view.source, "cost", "local") if origin else "computed"
    if reads < 2 or cost == "memory":
        return "recompute"
    if array.nbytes <= memory_limit() and array.npartitions <= MOST_PERSISTED:
        return "persist"
    return "recompute" if cost == "local" else "spill"


def _spill(tiled: da.Array) -> Spilled:
    unit = tuple(lengths[0] for lengths in tiled.chunks)
    return Spilled(tiled, *spill(tiled, unit, alone=False))


@dataclass(frozen=True)
class Stream:
    """An image made on the way from one that is kept: ``function(block, place, *states)`` per tile, any number of times."""

    kept: KeptImage
    function: BlockFunction
    states: tuple[Any, ...]
    dtype: Any
    needs: Needs = same

    def fold(self, how: Fold, *states: Any, number: int, unless: Delayed | None = None, label: str = "fold") -> Delayed:
        """Fold the image in pass ``number``; it is never there as a whole."""
        through = Then(self.function, how.summarize, len(self.states))
        tiles, how = self.kept.reading(number, unless), replace(how, summarize=through)
        size, states = np.dtype(self.dtype).itemsize, (*self.states, *states)
        work = Work(through, tiles, states, tiles.chunks, self.needs, unless, label, itemsize=size)
        if number == 0 and isinstance(self.kept, SpilledInPass):
            return self.kept.fold(work, how, label)
        return fold_work(work, how, label)

    def array(self, number: int, label: str = "map") -> da.Array:
        """Return the image as a dask array in tiles, made in pass ``number``."""
        tiles = self.kept.reading(number)
        return gather(self.function, tiles, *self.states, dtype=self.dtype, needs=self.needs, label=label)
