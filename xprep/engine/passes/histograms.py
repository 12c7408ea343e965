"""Exact histograms in one pass, whatever the values: by the first 16 bits of keys that keep their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from xprep.engine.blocks.folds import Fold
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.tiling import tile_of
from xprep.engine.graph.tasks import as_array
from xprep.engine.passes.keep import Stream, keep
from xprep.kernels.counting import count_digits
from xprep.kernels.keys import from_keys, key_width
from xprep.naming import named
from xprep.types import Array


def histogram(data: da.Array) -> tuple[da.Array, Array]:
    """Return how many pixels of ``(group, …)`` lie in each bin, ``(group, bin)``, lazily, and the lowest value of each bin.

    A bin is one value of integers of up to 16 bits; of others a run of values that share their first 16 bits (of floats the
    exponent and seven bits: 0.8 % wide at most). NaN is not counted.
    """
    width = key_width(data.dtype)
    bins = 2 ** min(width, 16)
    kept = keep(data, 1, tile_of(data, (0,)))
    fold = Fold(_Count(max(0, width - 16)), _joined, 8 * bins)
    counts = Stream(kept, _Itself(), (), data.dtype).fold(fold, number=0, label="histogram")
    low = from_keys(np.arange(bins, dtype=np.uint64) << np.uint64(max(0, width - 16)), data.dtype)
    return as_array(counts, (data.shape[0], bins), np.int64), low


@named("histogram-itself")
@dataclass(frozen=True)
class _Itself:
    def __call__(self, block: Array, place: BlockPlace) -> Array:
        return block


@named("histogram-count")
@dataclass(frozen=True)
class _Count:
    shift: int

    def __call__(self, block: Array, place: BlockPlace, *states: Any) -> Array:
        values = block.reshape(block.shape[0], -1)
        found = count_digits(values, np.zeros((len(values), 1), np.uint64), self.shift)
        return np.asarray(found.counts[:, 0], np.int64)


@named("histogram-join")
def _joined(parts: Sequence[Array]) -> Array:
    return np.asarray(np.sum(parts, axis=0, dtype=np.int64))
