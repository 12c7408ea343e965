"""What writing images needs of scratch: said, and refused where there is no room, before anything is created."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from xprep.engine.blocks.cutting import TileCut, cut_for
from xprep.engine.filling.write import whole_units
from xprep.engine.running.plan import scratch_below
from xprep.engine.sources.lazy import as_lazy
from xprep.errors import ChunksWarning
from xprep.images.writing.pyramid_levels import Shape
from xprep.io.arrays.specs import LevelSpec
from xprep.io.commit.scratch import check_room
from xprep.ops.chunking import default_chunk
from xprep.options import options
from xprep.sizes import format_bytes


@dataclass(frozen=True, eq=False)
class Written:
    """An image, or a level that was given, and how it will be stored: as one level, or with others that are made of it."""

    image: xr.DataArray
    spec: LevelSpec
    shapes: Sequence[Shape]

    def cut(self) -> TileCut:
        """Return how it will be cut."""
        unit = self.spec.shards or self.spec.chunks
        return cut_for(as_lazy(self.image.data), whole_units(unit, [shape.factors for shape in self.shapes]))


def check_needs(written: Sequence[Written]) -> None:
    """Warn of chunks that cost more than double, and refuse what has no room in scratch.

    Raises
    ------
    ScratchFullError
        Too little is free.
    """
    cuts = [(one, one.cut()) for one in written]
    needed = sum(cut.scratch for _, cut in cuts) + scratch_below([one.image.data for one in written])
    if needed:
        check_room(needed, options().scratch_url, options().scratch_options)
    for one, cut in cuts:
        if cut.scratch:
            warnings.warn(_at_odds(one, cut), ChunksWarning, stacklevel=6)


def _at_odds(one: Written, cut: TileCut) -> str:
    dims = tuple(map(str, one.image.dims))
    unit = dict(zip(dims, one.spec.shards or one.spec.chunks, strict=True))
    better = default_chunk(one.image)
    suits = not cut_for(as_lazy(one.image.data), better).scratch
    way_out = f" chunks={dict(zip(dims, better, strict=True))} need none." if suits else ""
    return (
        f"the chunks {unit} to be written are at odds with those that the image is read in: {format_bytes(cut.scratch)} go "
        f"through scratch, written and read once more, which takes more than twice as long.{way_out}"
    )
