"""The passes of `normalize`: percentiles of the channels, of their sum, of the result; then the result.

Each needs all of the one before (three global barriers), so the image is read once per pass unless it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count, repeat
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import Layout, arranged, chunks_for, layout_of
from xprep.engine.blocks.deliver import deliver
from xprep.engine.blocks.folds import Fold, both, first, second
from xprep.engine.blocks.halos import reach_or_same
from xprep.engine.blocks.needs import same
from xprep.engine.blocks.tiling import tile_of
from xprep.engine.filling.identity import identity_of
from xprep.engine.graph.grid import count as grid_count
from xprep.engine.graph.grid import regular_chunks
from xprep.engine.graph.tasks import Noted, call, itself
from xprep.engine.graph.tokens import token
from xprep.engine.passes.guesses import Guess, Sampler, join_patches
from xprep.engine.passes.keep import KeptImage, Stream, keep
from xprep.engine.passes.quantiles import Question, quantiles
from xprep.engine.sources.lazy import like
from xprep.kernels.blur import gaussian_half
from xprep.kernels.tiles import TileRecipe
from xprep.naming import named
from xprep.ops.normalize_tiles import Finished, GuessedFinished, GuessedTotal, Raw, Total
from xprep.ops.padding import NAN_EDGES
from xprep.ops.statistics import Collect, Mean
from xprep.types import Chunks, Intermediates

# What plans call the passes.
PASSES = {"p": "percentiles of the channels", "p_sum": "threshold of their sum", "p_post": "percentiles after"}


@named("normalize")
@dataclass(frozen=True)
class NormalizeParameters:
    """What is to be done, checked."""

    p: float | None
    p_sum: float | None
    p_post: float | None
    norm_sum: bool
    cap: float
    dtype: np.dtype[Any]
    pooled: bool
    skip_empty: bool
    channels: tuple[Any, ...]

    @property
    def reads(self) -> int:
        """Number of passes over the image."""
        return 1 + sum(percentile is not None for percentile in (self.p, self.p_sum, self.p_post))

    def tile(self, sigmas: Sequence[float]) -> TileRecipe:
        """Return the steps for one tile, whose channels are blurred by ``sigmas``."""
        halves = tuple((half, half) for half in map(gaussian_half, sigmas))
        return TileRecipe(halves, self.dtype, self.norm_sum, self.cap)


@dataclass(frozen=True)
class Field:
    """A field of view: an image and its name; and whether it shares a Dataset, and so a grid, with others."""

    name: str
    image: xr.DataArray
    sigmas: tuple[float, ...]  # of its channels, in its own pixels
    shares: bool = False


def statistics_of_fields(
    fields: Sequence[Field], parameters: NormalizeParameters, intermediates: Intermediates | None
) -> dict[str, Any]:
    """Return the lazy statistics (`Statistic`) of fields that share them, by the name of their parameter."""
    return _NormalizeSteps.of(fields, parameters, None, intermediates, parameters.reads - 1).statistics()


def normalized(
    fields: Sequence[Field],
    parameters: NormalizeParameters,
    chunks: Any,
    intermediates: Intermediates | None,
    known: dict[str, Any] | None = None,
    about: Any = None,
) -> list[Any]:
    """Return the normalised data of every field, lazy where the field's is; in one pass where the statistics are ``known``.

    ``about`` says what else a store keeps of the statistics.
    """
    reads = parameters.reads if known is None else 1
    steps = replace(_NormalizeSteps.of(fields, parameters, chunks, intermediates, reads), about=about)
    statistics = steps.statistics() if known is None else known
    results = [steps.result(i, statistics) for i in range(len(fields))]
    return [like(field.image.data, result) for field, result in zip(fields, results, strict=True)]


@dataclass(frozen=True, eq=False)
class _NormalizeSteps:
    fields: Sequence[Field]
    parameters: NormalizeParameters
    layouts: Sequence[Layout]
    chunks: Sequence[Chunks]
    arrays: Sequence[Any]
    tiles: Sequence[tuple[int, ...]]
    kept: Sequence[KeptImage]
    passes: Iterator[int] = field(default_factory=count)
    patches: dict[int, Any] = field(default_factory=dict)
    about: Any = None

    @classmethod
    def of(
        cls,
        fields: Sequence[Field],
        parameters: NormalizeParameters,
        chunks: Any,
        intermediates: Intermediates | None,
        reads: int,
    ) -> _NormalizeSteps:
        layouts = [layout_of(field.image) for field in fields]
        arrays, tiles, kept, blocks = [], [], [], []
        for one, layout in zip(fields, layouts, strict=True):
            data = arranged(one.image, layout)
            chunk = None if chunks is None else _in_order(chunks_for(one.image, chunks), layout)
            tile = tile_of(data, (0,), chunk)
            arrays.append(data)
            tiles.append(tile)
            kept.append(keep(data, reads, tile, intermediates))
            blocks.append(_result_chunks(data, chunk, layout))
        return cls(fields, parameters, layouts, blocks, arrays, tiles, kept)

    @cached_property
    def recipes(self) -> list[TileRecipe]:
        """The steps for a tile of every field."""
        return [self.parameters.tile(field.sigmas) for field in self.fields]

    def _streams(self, functions: Iterable[Any], dtype: Any, states: tuple[Any, ...]) -> list[Stream]:
        return [Stream(kept, function, states, dtype, same) for kept, function in zip(self.kept, functions, strict=True)]

    def statistics(self) -> dict[str, Any]:
        """Return the lazy statistics that the parameters ask for, by the name of their parameter."""
        parameters, tiles = self.parameters, self.recipes
        found: dict[str, Any] = {}
        if parameters.p is not None:
            found["p"] = self._percentile("p", parameters.p, self._raw(), ())
        if parameters.p_sum is not None:
            totals = self._streams(map(Total, tiles), parameters.dtype, tuple(found.values()))
            guesses = list(map(GuessedTotal, tiles))
            found["p_sum"] = self._percentile("p_sum", parameters.p_sum, totals, guesses, *found.values())
        if parameters.p_post is not None:
            # The cap is the last step: percentiles are of what comes before.
            uncapped = [replace(tile, cap=float("inf")) for tile in tiles]
            guesses_post = [GuessedFinished(tile, tuple(found)) for tile in uncapped]
            done = self._finished(found, uncapped)
            found["p_post"] = self._percentile("p_post", parameters.p_post, done, guesses_post, *found.values())
        return found

    def _raw(self) -> list[Stream]:
        dtype = self.arrays[0].dtype
        narrow = dtype.kind in "bui" and dtype.itemsize <= 2
        if narrow and all(array.dtype == dtype for array in self.arrays):
            return self._streams(repeat(Raw(dtype), len(self.kept)), dtype, ())
        return self._streams(repeat(Raw(self.parameters.dtype), len(self.kept)), self.parameters.dtype, ())

    def _finished(self, statistics: dict[str, Any], tiles: Sequence[TileRecipe]) -> list[Stream]:
        streams = []
        for kept, layout, tile in zip(self.kept, self.layouts, tiles, strict=True):
            function = Finished(tile, tuple(statistics))
            radius = max(len(half) - 1 for half, _ in tile.halves)
            radii = (*(0,) * (len(layout.dims) - 2), radius, radius)
            streams.append(Stream(kept, function, tuple(statistics.values()), self.parameters.dtype, reach_or_same(radii, same)))
        return streams

    def _percentile(self, name: str, percentile: float, streams: list[Stream], values: Sequence[Any], *before: Any) -> Any:
        """Return a statistic; ``values`` make the patches that the first pass of a field put aside into what is to be counted."""
        question = Question((percentile / 100,), np.dtype(streams[0].dtype), skip_zeros=True)
        together = [streams] if self.parameters.pooled else [[stream] for stream in streams]
        channels = ("sum",) if name == "p_sum" else self.parameters.channels
        numbers = [next(self.passes) for _ in range(question.rounds)]
        looks = self._looks_for_padding(name, question.dtype)
        found: list[Any] = []
        for i, group in enumerate(together):
            edges: list[Any] = []
            lost: list[Any] | None = [] if name == "p_post" else None
            patches = self.patches.get(i)
            guess = None if patches is None else call(Guess(question, values[i], len(channels)), patches, *before, label="guess")
            sampler = self._sampler(i) if name == "p" and not self.parameters.pooled else None
            aside = both(sampler, NAN_EDGES) if sampler and looks else (sampler or (NAN_EDGES if looks else None))
            one, put_aside = quantiles(
                group, question, len(channels), iter(numbers), guess, aside=aside, lost=lost, label=PASSES[name]
            )
            if sampler is not None:
                take, part = first if looks else itself, self._identity("patches", i)
                self.patches[i] = call(take, put_aside[0], label="patches", identity=part, partial=True)
            if looks:
                edges = [call(second, put_aside[0], label="edges")] if sampler else put_aside
            part = self._identity(name, i)
            found.append(call(Collect(len(edges)), one, *edges, *(lost or ()), label="percentiles", identity=part, partial=True))
        names = tuple(field.name for field in self.fields) if not self.parameters.pooled else ("all images",)
        filled = tuple(field.name if field.shares else None for field in self.fields) if looks else ()
        mean = Mean(name, names, channels, self.parameters.dtype, self.parameters.skip_empty, filled)
        note = None if self.about is None else Noted(name, self.about)
        return call(mean, *found, label=name, identity=self._identity(name), note=note)

    def _looks_for_padding(self, name: str, dtype: np.dtype[Any]) -> bool:
        """Whether the pass of a statistic looks for edges of NaN: the first one does, of floats that share a Dataset."""
        is_first = name == ("p" if self.parameters.p is not None else "p_sum")
        return is_first and dtype.kind == "f" and any(field.shares for field in self.fields)

    def _identity(self, name: str, part: int | None = None) -> str | None:
        """Return what a statistic, or ``part`` of it, is made of, in words that do not depend on how: for resumed runs."""
        fields = [(field.name, field.sigmas) for field in self.fields]
        which = [] if part is None else [part]
        return None if None in self._pixels else token(name, self.parameters, self._pixels, fields, *which)

    @cached_property
    def _pixels(self) -> list[str | None]:
        return [identity_of(data) for data in self.arrays]

    def _sampler(self, index: int) -> Fold:
        data, tile = self.arrays[index], self.tiles[index]
        margin = max(len(half) - 1 for half, _ in self.recipes[index].halves)
        sampler = Sampler.of(data.shape, data.dtype.itemsize, grid_count(data.shape, tile), margin)
        return Fold(sampler, join_patches)

    def result(self, index: int, statistics: dict[str, Any]) -> Any:
        """Return the result of one field, in the chunks and the order of axes that its user expects."""
        tiles = self._finished(statistics, self.recipes)[index].array(next(self.passes), label="result")
        made_of = None if self.about is None else self.about.of_image(index)
        return deliver(tiles, self.layouts[index].back, self.chunks[index], statistics, about=made_of)


def _in_order(chunk: Sequence[int], layout: Layout) -> tuple[int, ...]:
    return tuple(1 if axis is None else chunk[axis] for axis in layout.axes)


def _result_chunks(data: Any, chunk: Sequence[int] | None, layout: Layout) -> Chunks:
    blocks = data.chunks if chunk is None else regular_chunks(data.shape, chunk)
    return tuple(blocks[place] for place in layout.back)
