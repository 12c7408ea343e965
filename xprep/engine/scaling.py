"""Blocks of an image that changes its size: how they are cut, and whether there can be so many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import dask.array as da
import numpy as np

from xprep.engine.grid import count, regular_chunks, tile_shape
from xprep.engine.lazy import EAGER_TILE_BYTES, Memory, as_lazy, is_lazy
from xprep.engine.memory import free_memory
from xprep.engine.sources import MAX_BLOCKS, View, read_array
from xprep.engine.tiling import base_chunk
from xprep.options import options
from xprep.types import Chunks


@dataclass(frozen=True)
class Stretch:
    """How an axis changes: its new ``size``, and how many new voxels an old one becomes."""

    size: int
    factor: float


def whole(data: Any) -> da.Array:
    """Return ``data`` as a dask array: itself, or one block of what is in memory, of which tasks take views.

    Tiles of an array in memory would have to be put together again wherever a block of the result needs two of them.
    """
    if is_lazy(data):
        return as_lazy(data)
    array = np.asarray(data)
    return read_array(View.of(Memory(array, array.shape), f"whole-{id(array):x}"))


def tiles_in_memory(shape: tuple[int, ...], itemsize: int) -> Chunks:
    """Return the chunks of a result whose input is in memory as a `whole`."""
    return regular_chunks(shape, tile_shape(shape, (1,) * len(shape), (), itemsize, EAGER_TILE_BYTES))


def stretched_chunks(array: da.Array, stretches: Mapping[int, Stretch], itemsize: int) -> Chunks:
    """Return the chunks of the result: as long as the input's, so far as one block's input fits in `tile_bytes`.

    When an axis shrinks, a block as long as before would be made of many of the input's; it is halved, down to what
    one of them gives. So a block of the result never needs more than `tile_bytes`, or the blocks that touch one block.

    Raises
    ------
    ValueError
        There would be more blocks than can be planned.
    """
    chunk = base_chunk(array)
    least = [
        max(1, round(c * min(1.0, stretches[axis].factor))) if axis in stretches else c for axis, c in enumerate(chunk)
    ]
    shape = tuple(stretches[axis].size if axis in stretches else n for axis, n in enumerate(array.shape))
    lengths = [min(c, n) for c, n in zip(chunk, shape, strict=True)]

    def needed() -> int:
        spans = (_span(n, array.shape[axis], stretches.get(axis)) for axis, n in enumerate(lengths))
        return prod(spans) * int(array.dtype.itemsize)

    while needed() > options().tile_bytes:
        axis = max(range(array.ndim), key=lambda a: lengths[a] / least[a])
        if lengths[axis] <= least[axis]:
            break
        lengths[axis] = max(least[axis], lengths[axis] // 2)
    if (blocks := count(shape, lengths)) > MAX_BLOCKS:
        raise ValueError(
            f"the result would have the shape {shape}: {spell_bytes(prod(shape) * itemsize)} in {blocks:.3g} blocks; "
            f"at most {MAX_BLOCKS:,} can be planned. Is the factor right? It is new voxels per old voxel."
        )
    return regular_chunks(shape, lengths)


def _span(length: int, whole: int, stretch: Stretch | None) -> int:
    """Return how many voxels of the input ``length`` of the result are made of."""
    return length if stretch is None else min(whole, ceil(length / stretch.factor) + 1)


def check_room(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse a result in memory for which there is none.

    Raises
    ------
    ValueError
        It is larger than what is free.
    """
    nbytes, room = prod(shape) * dtype.itemsize, free_memory()
    if nbytes > room:
        raise ValueError(
            f"the result would have the shape {shape}: {spell_bytes(nbytes)} of {dtype}, and {spell_bytes(room)} of "
            f"memory are free. Is the factor right? It is new voxels per old voxel. If it is, chunk the image first "
            f"(image.chunk()) and write the result to a store."
        )


def spell_bytes(nbytes: float) -> str:
    """Return a size for people.

    >>> spell_bytes(3 * 2**40), spell_bytes(512)
    ('3.0 TiB', '512 bytes')
    """
    for power, unit in ((6, "EiB"), (5, "PiB"), (4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if nbytes >= 1024**power:
            return f"{nbytes / 1024**power:.1f} {unit}"
    return f"{nbytes:.0f} bytes"
