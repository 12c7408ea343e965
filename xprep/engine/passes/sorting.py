"""Quantiles of many small groups (one a pixel, say): a block with its reduced axes whole is sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dask.array as da
import numpy as np

from xprep.engine.blocks.cutting import uncut_along
from xprep.engine.blocks.gather import BlockPlace, gather
from xprep.engine.passes.quantiles import interpolate
from xprep.naming import named
from xprep.types import Array


def block_quantiles(array: da.Array, nkept: int, q: Sequence[float], skip_zeros: bool, skipna: bool) -> da.Array:
    """Return quantiles over all axes from ``nkept`` on: float64 ``(q, kept…)``.

    Each chunk is read once or twice; where chunks are so much at odds with what is sorted together, it is copied to scratch.
    """
    reduced = range(nkept, array.ndim)
    tiles = uncut_along(array, reduced)
    function = _Sorted(nkept, array.ndim, tuple(q), skip_zeros, skipna)
    chunks = (*tiles.chunks[:nkept], *(((len(q),),) if reduced else ()), *((1,),) * (len(reduced) - 1))
    found = gather(function, tiles, dtype=np.float64, chunks=chunks, needs=_Whole(nkept, array.shape), label="sort")
    flat = found.reshape(*array.shape[:nkept], len(q)) if len(reduced) > 1 else found
    return da.moveaxis(flat, -1, 0)


@named("sorted-whole")
@dataclass(frozen=True)
class _Whole:
    nkept: int
    shape: tuple[int, ...]

    def __call__(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        return (start, stop) if axis < self.nkept else (0, self.shape[axis])


@named("sorted")
@dataclass(frozen=True)
class _Sorted:
    nkept: int
    ndim: int
    q: tuple[float, ...]
    skip_zeros: bool
    skipna: bool

    @property
    def whole_axes(self) -> tuple[int, ...]:
        """The axes that are sorted together."""
        return tuple(range(self.nkept, self.ndim))

    def __call__(self, block: Array, place: BlockPlace) -> Array:
        kept = block.shape[: self.nkept]
        values = block.reshape(*kept, -1)
        lost = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        spoilt = lost.any(axis=-1) & (not self.skipna)
        if self.skip_zeros:
            lost = lost | (values == 0)
        if lost.any():
            values = np.where(lost, np.nan, values.astype(np.float64))
        size = values.shape[-1] - lost.sum(axis=-1)
        answer = _at(np.sort(values, axis=-1), size, np.asarray(self.q))
        answer[spoilt | (size == 0)] = np.nan
        return answer.reshape(*kept, len(self.q), *(1,) * (block.ndim - self.nkept - 1))


def _at(ordered: Array, size: Array, q: Array) -> Array:
    virtual = np.maximum(size - 1, 0)[..., None] * q
    low = np.floor(virtual).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(size - 1, 0)[..., None])
    below, above = (np.take_along_axis(ordered, at, axis=-1).astype(np.float64) for at in (low, high))
    return interpolate(below, above, virtual - low)
