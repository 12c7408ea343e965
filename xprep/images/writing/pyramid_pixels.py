"""The pixels of one pyramid on their way into a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import xarray as xr

from xprep.dims.axes import CHANNEL
from xprep.dims.containers.shrinking import Shrinking
from xprep.engine.filling.given_levels import write_apart
from xprep.engine.filling.rereading import write_rereading
from xprep.engine.filling.write import Target, write
from xprep.engine.sources.lazy import as_lazy
from xprep.images.writing.leftovers import KeptTiles
from xprep.images.writing.pyramid_levels import Shape, as_it_is, placement
from xprep.images.writing.repairing import journal_again
from xprep.images.writing.resuming import ledger_of
from xprep.io.commit.image_store import ImageStore
from xprep.io.ome_model import Level
from xprep.kernels.downsample import shrink


@dataclass(frozen=True, eq=False)
class PyramidPixels:
    """One pyramid to be written."""

    image: xr.DataArray
    shapes: Sequence[Shape]
    levels: Sequence[Any]
    method: str
    given: Sequence[xr.DataArray] = ()
    kept: KeptTiles = field(default_factory=KeptTiles)

    def placed(self, path: Callable[[int], str]) -> list[Level]:
        """Return scale and translation of every level; those that are given lie where they say."""
        if self.given:
            return [placement(level, as_it_is(level), path(n)) for n, level in enumerate((self.image, *self.given))]
        return [placement(self.image, shape, path(n)) for n, shape in enumerate(self.shapes)]

    def mended(self, damage: Sequence[str]) -> PyramidPixels:
        """Return the same for a finished store with ``damage``: what is whole is kept, and noted; if tiles overlap, nothing."""
        if not damage:
            return self
        if self.given or self.method == "gaussian":
            return replace(self, kept=KeptTiles(lost=damage))
        factors = [shape.factors for shape in self.shapes]
        return replace(self, kept=journal_again(self.image.data, self.levels, factors, self._channel, damage))

    @property
    def _channel(self) -> int | None:
        return self.image.dims.index(CHANNEL) if CHANNEL in self.image.dims else None

    def value(self, store: ImageStore) -> Any:
        """Return the lazy writing."""
        channel = self._channel
        ledger = ledger_of(store, self.levels, self.kept)
        if self.given:
            pixels = [as_lazy(level.data) for level in (self.image, *self.given)]
            return write_apart(pixels, self.levels, channel, ledger)
        if self.method == "gaussian":
            steps = [Shrinking(shape.factors, self.method) for shape in self.shapes[1:]]
            return write_rereading(as_lazy(self.image.data), self.levels, steps, channel, ledger)
        targets = [Target(array, shape.factors) for array, shape in zip(self.levels, self.shapes, strict=True)]
        how = partial(shrink, method=self.method)  # type: ignore[arg-type]  # checked at the door
        return write(as_lazy(self.image.data), targets, how, channel, ledger)
