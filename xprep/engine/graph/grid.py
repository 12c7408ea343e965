"""Blocks and regions: arithmetic on integers only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil, prod

from xprep.naming import named
from xprep.types import Chunks


def starts(lengths: Sequence[int]) -> tuple[int, ...]:
    """Return where each block of an axis starts, and where the last one ends.

    >>> starts((3, 3, 1))
    (0, 3, 6, 7)
    """
    return (0, *accumulate(lengths))


def regular(length: int, chunk: int) -> tuple[int, ...]:
    """Return the lengths of blocks of ``chunk`` along an axis; the last one may be short.

    >>> regular(7, 3)
    (3, 3, 1)
    """
    chunk = max(1, min(chunk, length)) if length else 1
    full, rest = divmod(length, chunk)
    return (chunk,) * full + ((rest,) if rest or not full else ())


def regular_chunks(shape: Sequence[int], chunk: Sequence[int]) -> Chunks:
    """Return the chunks of an array cut regularly."""
    return tuple(regular(n, c) for n, c in zip(shape, chunk, strict=True))


@named("piece")
@dataclass(frozen=True)
class Piece:
    """Part of one input block: block ``index`` of its axis, ``[start, stop)`` in it, and where that goes."""

    index: int
    start: int
    stop: int
    to: int


def pieces(edges: Sequence[int], low: int, high: int) -> tuple[Piece, ...]:
    """Return the parts of blocks (bounded by ``edges``) that make up ``[low, high)``.

    >>> [(p.index, p.start, p.stop, p.to) for p in pieces((0, 3, 6, 7), 2, 7)]
    [(0, 2, 3, 0), (1, 0, 3, 1), (2, 0, 1, 4)]
    """
    found = []
    for index in range(max(0, bisect_right(edges, low) - 1), len(edges) - 1):
        start, stop = edges[index], edges[index + 1]
        if start >= high:
            break
        a, b = max(start, low), min(stop, high)
        if a < b:
            found.append(Piece(index, a - start, b - start, a - low))
    return tuple(found)


def wrapped_pieces(edges: Sequence[int], low: int, high: int) -> tuple[Piece, ...]:
    """Return the parts of blocks that make up ``[low, high)`` where the axis repeats beyond its ends.

    >>> [(p.index, p.start, p.stop, p.to) for p in wrapped_pieces((0, 3, 6), -1, 2)]
    [(1, 2, 3, 0), (0, 0, 2, 1)]
    """
    length = edges[-1]
    found: list[Piece] = []
    for lap in range(low // length, (high - 1) // length + 1):
        start, stop = max(low, lap * length), min(high, (lap + 1) * length)
        lapped = pieces(edges, start - lap * length, stop - lap * length)
        found.extend(replace(piece, to=piece.to + start - low) for piece in lapped)
    return tuple(found)


def tile_shape(shape: Sequence[int], chunk: Sequence[int], whole: Sequence[int], itemsize: int, nbytes: int) -> tuple[int, ...]:
    """Return the shape of a tile: ``whole`` axes uncut, the others multiples of ``chunk``, about ``nbytes`` in all.

    Axes grow from the last one and the last but one in turn, so tiles are square rather than long: a halo costs least
    there. A tile is never smaller than a chunk.

    >>> tile_shape((8, 4096, 4096), (1, 1024, 1024), (0,), 2, 32 * 2**20)
    (8, 1024, 2048)
    """
    tile = [shape[axis] if axis in whole else min(c, n) for axis, (c, n) in enumerate(zip(chunk, shape, strict=True))]
    growing = [axis for axis in reversed(range(len(shape))) if axis not in whole]
    while growing:
        axis = min(growing, key=lambda a: (a < len(shape) - 2, tile[a], -a))
        grown = min(shape[axis], tile[axis] * 2 if tile[axis] % chunk[axis] == 0 else shape[axis])
        if grown == tile[axis] or prod(tile) // max(1, tile[axis]) * grown * itemsize > nbytes:
            growing.remove(axis)
        else:
            tile[axis] = grown
    return tuple(max(1, n) for n in tile)


def count(shape: Sequence[int], chunk: Sequence[int]) -> int:
    """Return the number of chunks of an array."""
    return prod(ceil(n / c) for n, c in zip(shape, chunk, strict=True))
