"""What blocks need of their input, axis by axis, and how much of it waits for neighbours while they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TypeAlias

import dask.array as da

from xprep.engine.blocks.borders import Border, border_widths
from xprep.engine.graph.grid import Piece, pieces, starts, wrapped_pieces
from xprep.engine.graph.tasks import Cost
from xprep.engine.sources.readable import View, reading_cost
from xprep.naming import named
from xprep.options import options

Span: TypeAlias = tuple[int, int]
Needs: TypeAlias = Callable[[int, int, int], Span]

ROWS = 2  # of tiles that are alive while tiles with a halo are made row by row: one, and the next as it is read
AHEAD = 2  # tiles beyond that: one that no thread waits for, and one as it is read
PORTION = 512  # tiles: work of no more is one graph; of more it is done in portions of about so many (`blocks.portions`)
PER_THREAD = 16
HEIGHT = 64  # of the bands of such work: the tiles at their ends are read twice, one in 32
GROUP = 4  # tiles: bands of whole groups leave few tiles of a pyramid unfinished
FRONT_TILES = 12  # of `tile_bytes`, 192 MiB by default: what these rows may take together


@named("gather-along")
@dataclass(frozen=True)
class Along:
    """One axis of one output block: what it needs, where it lies, and the parts of input blocks that make up the need."""

    input: Span
    output: Span
    pieces: tuple[Piece, ...]


@named("same-region")
def same(_axis: int, start: int, stop: int) -> Span:
    """Need of an operation per pixel: the output's own region."""
    return start, stop


def gather_cost(label: str, array: da.Array, axes: Sequence[Sequence[Along]], view: View | None, maybe: bool) -> Cost:
    """Return what making blocks takes: their inputs, and the layers of inputs that wait for neighbours."""
    if view is not None:
        return reading_cost(label, view, array.chunks, maybe)
    block = prod(max(a.input[1] - a.input[0] for a in axis) for axis in axes) * array.dtype.itemsize
    return Cost(label, 0, maybe, block, _front(array, axes))


def _front(array: da.Array, axes: Sequence[Sequence[Along]]) -> int:
    """Return the bytes of the layers that wait: two where tiles are cut as their input is, else all that a tile needs."""
    waiting = waiting_axes(array.numblocks, axes)
    if not waiting:
        return 0
    tile: int = prod(map(max, array.chunks)) * array.dtype.itemsize
    widths = band_widths([len(axes[axis]) for axis in waiting], tile)
    wide = [
        min(array.numblocks[axis], -(-width * array.numblocks[axis] // len(axes[axis])))
        for axis, width in zip(waiting, widths, strict=True)
    ]
    deep = max(len(one.pieces) for one in axes[waiting[0]])
    alike = len(axes[waiting[0]]) == array.numblocks[waiting[0]]
    layers = min(wide[0], ROWS if alike and _borders_are_small(array, axes, waiting) else max(ROWS, deep))
    tiles: int = min(layers * prod(wide[1:]) + AHEAD, prod(array.numblocks[axis] for axis in waiting))
    return tiles * tile


def _borders_are_small(array: da.Array, axes: Sequence[Sequence[Along]], waiting: Sequence[int]) -> bool:
    """Whether neighbours get the borders of a tile only, and not all of it."""
    widths = [(0, 0)] * array.ndim
    for axis in waiting:
        before, after = zip(*border_widths(starts(array.chunks[axis]), [one.pieces for one in axes[axis]]), strict=True)
        widths[axis] = max(before), max(after)
    return Border(tuple(widths)).is_small(tuple(map(max, array.chunks)))


def waiting_axes(numblocks: Sequence[int], axes: Sequence[Sequence[Along]]) -> tuple[int, ...]:
    """Return the axes along which a block is made of more, or of others, than the block of its own place."""
    return tuple(
        axis
        for axis, (n, one) in enumerate(zip(numblocks, axes, strict=True))
        if len(one) != n or any(len(a.pieces) != 1 or a.pieces[0].index != i for i, a in enumerate(one))
    )


def has_portions(tiles: int) -> bool:
    """Whether work of so many tiles is done in portions."""
    return tiles > PORTION


def portion_size(threads: int) -> int:
    """Return how many tiles a portion has at least, for so many threads: the last tiles of one leave threads without work."""
    return max(PORTION, PER_THREAD * threads)


def band_widths(lengths: Sequence[int], tile_bytes: int) -> list[int]:
    """Return how many tiles are worked on together along each axis that waits: all along the first one, or many.

    Along the others as many as have room, in bands as square as may be, and at least three, for a band reads two more at its
    borders. Of an image that is done in portions, bands have ends, and are whole groups wide.

    >>> band_widths([40, 10], 2**24), band_widths([64, 10], 2**24)  # the second in portions
    ([40, 6], [64, 8])
    """
    room = int(FRONT_TILES * options().tile_bytes) // max(1, ROWS * tile_bytes)
    in_portions = has_portions(prod(lengths))
    widths = [min(lengths[0], HEIGHT) if in_portions else lengths[0]]
    for left in range(len(lengths) - 1, 0, -1):
        width = max(3, round(room ** (1 / left)))
        widths.append(min(lengths[-left], -(-width // GROUP) * GROUP if in_portions else width))
        room = max(1, room // widths[-1])
    return widths


def along_axis(array: da.Array, axis: int, lengths: Sequence[int], needs: Needs, wrap: bool) -> list[Along]:
    """Return the needs of all blocks along one axis."""
    edges, outer = starts(array.chunks[axis]), starts(lengths)
    find = wrapped_pieces if wrap else pieces
    found = []
    for start, stop in pairwise(outer):
        low, high = needs(axis, start, stop)
        if not wrap:
            low, high = max(0, low), min(array.shape[axis], high)
        found.append(Along((low, high), (start, stop), find(edges, low, high)))
    return found
