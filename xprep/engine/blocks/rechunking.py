"""Tiles that suit both what is read and what is written, or two steps through scratch: arithmetic on integers only.

The plan in two steps is that of the rechunker package (Abernathey et al.): tiles to read of whole chunks, tiles to write of
whole units, both as large as memory allows, and between them chunks of scratch that are the smaller of both along every axis.
Each byte is read once from its source, and written and read once more in scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm, prod
from typing import Final

from xprep.engine.graph.grid import tile_shape

MOST_READS: Final = 2.0  # of a chunk of the source, until scratch is cheaper: there it is written once and read once more


@dataclass(frozen=True)
class TwoSteps:
    """Shapes of what is read from the source, of the chunks of scratch, and of what is read back to be written."""

    read: tuple[int, ...]
    between: tuple[int, ...]
    write: tuple[int, ...]


def reads_per_chunk(shape: Sequence[int], chunk: Sequence[int], tile: Sequence[int]) -> float:
    """Return how many times a chunk is read, on average, if an array is read in tiles.

    >>> reads_per_chunk((100, 64, 64), (100, 32, 32), (10, 64, 64))
    10.0
    """
    return prod(_reads_along(n, c, t) for n, c, t in zip(shape, chunk, tile, strict=True))


def _reads_along(length: int, chunk: int, tile: int) -> float:
    """Return the mean number of tiles that touch a chunk: every inner edge of a tile within a chunk is one more."""
    chunk, tile = max(1, min(chunk, length)), max(1, min(tile, length))
    chunks, edges = -(-length // chunk), (length - 1) // tile
    both = (length - 1) // lcm(chunk, tile)
    return 1 + (edges - both) / max(1, chunks)


def covering(chunk: Sequence[int], unit: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the smallest tile of whole units that cuts no chunk.

    >>> covering((100, 32, 32), (10, 64, 48), (200, 512, 512))
    (100, 64, 96)
    """
    return tuple(min(n, lcm(min(c, n), min(u, n))) for c, u, n in zip(chunk, unit, shape, strict=True))


def direct_tile(shape: Sequence[int], chunk: Sequence[int], unit: Sequence[int], room: int) -> tuple[int, ...] | None:
    """Return the tile of whole units that may be read directly: in ``room`` voxels, and each chunk twice at most.

    A chunk and a unit have room whatever their size. None where chunks and units are too much at odds.

    >>> direct_tile((2000, 512, 512), (1, 512, 512), (1, 256, 256), 2**20)
    (4, 512, 512)
    >>> direct_tile((2000, 512, 512), (2000, 32, 32), (1, 256, 256), 2**20) is None
    True
    """
    room = max(room, _voxels(chunk, shape), _voxels(unit, shape))
    cover = covering(chunk, unit, shape)
    for start in (cover, tuple(min(u, n) for u, n in zip(unit, shape, strict=True))):
        tile = tile_shape(shape, start, (), 1, room)
        if prod(start) <= room and reads_per_chunk(shape, chunk, tile) <= MOST_READS:
            return tile
    return None


def _voxels(block: Sequence[int], shape: Sequence[int]) -> int:
    return prod(min(b, n) for b, n in zip(block, shape, strict=True))


def two_steps(shape: Sequence[int], chunk: Sequence[int], unit: Sequence[int], room: int, *, whole: bool = False) -> TwoSteps:
    """Return how to come from ``chunk`` to ``unit`` through scratch, with tiles of at most ``room`` voxels.

    ``whole``: what is read is the chunks as they are, one by one.

    Tiles grow along the axes where the other side is longer, so that chunks of scratch are as large as can be.

    >>> two_steps((2000, 512, 512), (2000, 32, 32), (1, 512, 512), 2**23)
    TwoSteps(read=(2000, 64, 64), between=(32, 64, 64), write=(32, 512, 512))
    """
    read = widened(chunk, unit, shape, 0 if whole else room)
    write = widened(unit, read, shape, room)
    between = tuple(map(_between, read, write, shape))
    return TwoSteps(read, between, write)


def widened(block: Sequence[int], towards: Sequence[int], shape: Sequence[int], room: int) -> tuple[int, ...]:
    """Return whole blocks, as many as have ``room``: first along the axes where ``towards`` is longest beside the block.

    >>> widened((1000, 32, 32), (1, 512, 256), (1000, 512, 512), 2**22)
    (1000, 128, 32)
    """
    tile = [min(b, n) for b, n in zip(block, shape, strict=True)]
    while growing := [
        axis
        for axis, n in enumerate(shape)
        if tile[axis] < min(towards[axis], n) and prod(tile) // tile[axis] * min(n, 2 * tile[axis]) <= room
    ]:
        axis = max(growing, key=lambda a: (towards[a] / tile[a], -a))
        tile[axis] = min(shape[axis], 2 * tile[axis])
    return tuple(tile)


def _between(read: int, write: int, length: int) -> int:
    """Return the length of scratch chunks: it divides that of what is read, so that two tasks never write one chunk."""
    if read >= length and write >= length:
        return length
    if read <= write:
        return read
    if read >= length:  # one tile along the axis: any chunk begins where it does
        return write
    part = next(n for n in range(write, 0, -1) if read % n == 0)
    return part if 4 * part >= write else read
