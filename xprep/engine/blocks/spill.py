"""Copies in scratch: what is made is written once, and read from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.folds import Fold, fold_work
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.work import Work, work_on
from xprep.engine.machine.attempts import attempt
from xprep.engine.sources.readable import View
from xprep.io.commit.scratch import Scratch
from xprep.naming import named
from xprep.options import options
from xprep.types import Array, Writable

SPILL = "spill"  # what plans call it


def spill(tiles: da.Array, unit: Sequence[int], *, alone: bool) -> tuple[View, Delayed]:
    """Return the copy of ``tiles`` in scratch, in chunks of ``unit``, and the lazy value without which it is not there.

    Every tile holds whole units. ``alone`` promises that nobody else uses the tiles: they are then made in the task that
    writes them.
    """
    view, store = scratch_copy(tiles, unit)
    work = work_on(tiles, store, SPILL) if alone else Work(store, tiles, (), tiles.chunks, label=SPILL)
    return view, fold_work(work, Fold(store, all), SPILL, scratch=tiles.nbytes)


def scratch_copy(tiles: da.Array, unit: Sequence[int]) -> tuple[View, StoreTile]:
    """Return a copy of ``tiles`` in scratch that is still to be written, in chunks of ``unit``, and what writes one."""
    scratch = Scratch.plan(options().scratch_url, options().scratch_options)
    target, source = scratch.array(tiles.name, tiles.shape, tiles.dtype, unit)
    return View.of(source, scratch.place.url), StoreTile(target)


@named("spill-store")
@dataclass(frozen=True, eq=False)
class StoreTile:
    """Writes a tile to scratch, without the margins that it may have."""

    target: Writable

    def __call__(self, block: Array, place: BlockPlace) -> bool:
        """Write it; return that this was done. What a step made has no margins any more, what was read for it has."""
        inner = tuple(slice(o[0] - i[0], o[1] - i[0]) for i, o in zip(place.input, place.output, strict=True))
        made = block.shape == tuple(stop - start for start, stop in place.output)
        attempt(self.target.write, tuple(slice(*span) for span in place.output), block if made else block[inner])
        return True
