"""Copies in scratch: what is made is written once, and read from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.folds import Fold, fold_work
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.pacing import Work, work_on
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
    scratch = Scratch.plan(options().scratch_url, options().scratch_options)
    target, source = scratch.array(tiles.name, tiles.shape, tiles.dtype, unit)
    store = _Store(target)
    work = work_on(tiles, store, SPILL) if alone else Work(store, tiles, (), tiles.chunks, label=SPILL)
    written = fold_work(work, Fold(store, all), SPILL, scratch=prod(tiles.shape) * tiles.dtype.itemsize)
    return View.of(source, scratch.place.url), written


@named("spill-store")
@dataclass(frozen=True, eq=False)
class _Store:
    target: Writable

    def __call__(self, block: Array, place: BlockPlace) -> bool:
        attempt(self.target.write, tuple(slice(*span) for span in place.output), block)
        return True
