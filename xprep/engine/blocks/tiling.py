"""How an array is cut into tiles: the units of work."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import dask.array as da

from xprep.engine.blocks.deliver import made_of
from xprep.engine.blocks.rechunking import MOST_READS, reads_per_chunk, widened
from xprep.engine.graph.grid import regular_chunks, tile_shape
from xprep.engine.sources.lazy import as_lazy
from xprep.engine.sources.readable import arrange, retile, source_of
from xprep.options import options
from xprep.types import Chunks


def base_chunk(array: da.Array) -> tuple[int, ...]:
    """Return the smallest block worth reading: a source's chunk, another array's largest block."""
    origin = source_of(array)
    chunk = origin.view.chunks if origin else tuple(max(lengths) for lengths in array.chunks)
    return tuple(max(1, min(c, n)) for c, n in zip(chunk, array.shape, strict=True))


def tile_of(array: da.Array, whole: Sequence[int] = (), multiple: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the shape of a tile of ``array``: the axes ``whole`` uncut, the others multiples of a chunk, `tile_bytes` in all.

    ``multiple`` is the chunk where it is not to be the array's own: the one that the result will have. It is left aside where
    chunks would be read more than twice.
    """
    own = base_chunk(array)
    tile = _tile(array, own if multiple is None else multiple, whole)
    return tile if reads_per_chunk(array.shape, own, tile) <= MOST_READS else _tile(array, own, whole)


def _tile(array: da.Array, chunk: Sequence[int], whole: Sequence[int]) -> tuple[int, ...]:
    return tile_shape(array.shape, chunk, tuple(whole), array.dtype.itemsize, options().tile_bytes)


def in_tiles(data: Any, axes: Sequence[int | None]) -> tuple[da.Array, Chunks]:
    """Return what tiles are gathered from, and the tiles: of a source these are read, of anything else put together.

    ``data`` is to have the order ``axes``, as for `arrange`. What one of our steps made comes in that step's tiles, not in the
    blocks that it was cut into, of which there may be a hundred thousand. The blocks of another's graph stay as they are:
    `rechunk` would copy them into tiles, of which halos are copied anew (0.07 of 0.31 CPU seconds of a Gaussian of 128 MiB).
    """
    array = _as_made(data, axes)
    if array is None:
        array = arrange(as_lazy(data), axes)
    tile = tile_of(array)
    tiles = array if source_of(array) is None else retile(array, tile, alone=True)
    return tiles, regular_chunks(array.shape, tile)


def _as_made(data: Any, axes: Sequence[int | None]) -> da.Array | None:
    """Return the tiles that ``data`` was cut from, if there are any and they have the order ``axes``."""
    made = made_of(data)
    if made is None or made.tiles.ndim != len(axes):
        return None
    alike = all(axis is None or made.axes[axis] == i for i, axis in enumerate(axes))
    return made.tiles if alike else None


def is_large(array: da.Array) -> bool:
    """Whether blocks are worth a task each: a hundred thousand tiny ones are better merged."""
    return bool(array.npartitions <= 64 or array.nbytes / array.npartitions >= 2**18)


def merged(array: da.Array) -> da.Array:
    """Return ``array`` in blocks that are worth a task each: the tiny chunks of a source are read together."""
    return array if source_of(array) is None or is_large(array) else retile(array, tile_of(array))


def merged_frames(array: da.Array, leading: int, most: int) -> da.Array:
    """Return ``array`` with the tiny chunks of a source read together along its ``leading`` axes, ``most`` frames at a time.

    What is cut from a few places reads no chunk more, in fewer tasks.
    """
    own = base_chunk(array)
    if source_of(array) is None or is_large(array):
        return array
    frame = prod(own[leading:])
    room = min(options().tile_bytes // array.dtype.itemsize, most * frame)
    return retile(array, widened(own, (*array.shape[:leading], *own[leading:]), array.shape, room))
