"""Halos over a large image in a bounded number of rows of tiles.

A tile with a halo waits for its neighbours. Left to itself, dask reads ahead: of 12 × 12 tiles up to 111 are alive at once,
of 24 × 24 up to 460. Here tiles are read row by row, and each reading waits for the last tile that does not need it; and an
image that is wide is worked on in bands of columns, whose borders are read twice. Of tiles that are made only the borders
stay, for those below (`rims`). So a row of one band and a few tiles are alive, whatever the image's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.gather import (
    Along,
    GatherBlock,
    How,
    Needs,
    along_axis,
    band_width,
    block_tasks,
    gather_cost,
    same,
)
from xprep.engine.graph import Cost, Key, Tasks, key_of, unique
from xprep.engine.grid import pieces, starts
from xprep.engine.memory import worker_threads
from xprep.engine.rims import Border, Widths, border_widths
from xprep.engine.sources import Origin, ReadBlock, source_of
from xprep.types import Chunks


@dataclass(frozen=True, eq=False)
class Work:
    """Blocks to be made, all of them: what `gather` takes, with the function that ends in a summary or in a store."""

    function: Callable[..., Any]
    array: da.Array
    states: tuple[Any, ...]
    chunks: Chunks
    needs: Needs = same
    unless: Delayed | None = None
    label: str = "work"


def work_tasks(work: Work) -> tuple[dict[tuple[int, ...], Key], Tasks, list[Any], Cost]:
    """Return the key of every block, the tasks, what they depend on, and the cost.

    Tasks are paced where the input is a source with one user and the halo lies in the last two axes. Such tasks must be
    computed all together, since one waits for another; a lazy array, of which somebody may want a part, is never made so.
    """
    origin = source_of(work.array)
    if origin is not None and origin.alone and work.needs is not same and work.chunks == work.array.chunks:
        axes = [along_axis(work.array, axis, lengths, work.needs, False) for axis, lengths in enumerate(work.chunks)]
        if all(len(one.pieces) == 1 for axis in axes[:-2] for one in axis):
            return _paced(work, origin, axes)
    _, made, parents, cost = block_tasks(work.function, work.array, work.states, work.chunks, work.needs, work.unless, work.label)
    tasks: Tasks = dict(made)
    return {key[1:]: key for key in tasks}, tasks, parents, cost  # type: ignore[misc]


def _paced(
    work: Work, origin: Origin, axes: Sequence[Sequence[Along]]
) -> tuple[dict[tuple[int, ...], Key], Tasks, list[Any], Cost]:
    gates = [gate for gate in (work.unless, origin.after) if gate is not None]
    states = [key_of(state) for state in work.states]
    how = How(work.function, work.array.shape, 1 if work.unless is not None else 0, work.unless is not None, len(states), None)
    name = unique(work.label, work.function, work.array.name, states, work.chunks, axes)
    extra = [*([] if work.unless is None else [key_of(work.unless)]), *states]
    tasks: Tasks = {}
    keys: dict[tuple[int, ...], Key] = {}
    made: list[Key] = []
    slack = max(1, worker_threads() - 1)  # tiles read ahead, so that no thread waits for what another one makes
    reach = max(one.pieces[-1].index - i for i, one in enumerate(axes[-2]) if one.pieces)
    heights = border_widths(starts(work.chunks[-2]), [one.pieces for one in axes[-2]])
    for band, lead, row in _rows(work, axes):
        waits = [[key] if key else states for key in _awaited(made, band, reach, slack)]
        tasks.update(_reads(f"{name}-read", origin, work, band, lead, row, [key_of(gate) for gate in gates], waits))
        tasks.update(_rims(name, band, (*lead, row), heights[row], work.chunks[-2][row]))
        for column in range(band.first, band.last):
            index = (*lead, row, column)
            along = (*(axis[i] for axis, i in zip(axes[:-1], index[:-1], strict=True)), band.along[column - band.first])
            tasks[name, *index] = (GatherBlock(how, along), *extra, *_inputs(name, band, index, along, heights, work.chunks[-2]))
            keys[index] = (name, *index)
            made.append(keys[index])
    cost = gather_cost(work.label, work.array, axes, None, work.unless is not None)
    reads = prod(work.array.shape) * work.array.dtype.itemsize
    return keys, tasks, [*gates, *work.states], Cost(work.label, reads, work.unless is not None, cost.block, cost.front)


def _inputs(
    name: str, band: _Band, index: tuple[int, ...], along: Sequence[Along], heights: Sequence[Widths], rows: Sequence[int]
) -> Iterator[Key]:
    """Yield the keys of what a tile is made of: its own reading, and the borders of its neighbours."""
    own = index[-2], index[-1] - band.first
    for way in product(*(one.pieces for one in along)):
        row, column = at = way[-2].index, way[-1].index
        whole = at == own or band.border(column, heights[row], rows[row]) is None
        yield (f"{name}-read" if whole else f"{name}-rim", band.first, *(piece.index for piece in way))


def _rims(name: str, band: _Band, line: tuple[int, ...], heights: Widths, height: int) -> Tasks:
    """Return the tasks that cut the borders of one row of one band."""
    borders = {column: band.border(column, heights, height) for column in range(len(band.along))}
    return {
        (f"{name}-rim", band.first, *line, column): (border, (f"{name}-read", band.first, *line, column))
        for column, border in borders.items()
        if border is not None
    }


@dataclass(frozen=True, eq=False)
class _Band:
    """Columns ``[first, last)`` of tiles: the edges of what is read for them, and each one's need."""

    first: int
    last: int
    edges: tuple[int, ...]
    along: tuple[Along, ...]
    widths: tuple[Widths, ...]

    def border(self, column: int, rows: Widths, height: int) -> Border | None:
        """Return what neighbours need of a tile of this column, in a row of ``height`` of which they need ``rows``.

        None where they may as well have all of it.
        """
        found = Border(rows, self.widths[column])
        return found if found.is_small(height, self.edges[column + 1] - self.edges[column]) else None


def _rows(work: Work, axes: Sequence[Sequence[Along]]) -> Iterator[tuple[_Band, tuple[int, ...], int]]:
    leads = list(product(*(range(len(axis)) for axis in axes[:-2])))
    for band in _bands(work, axes[-1]):
        for lead in leads:
            for row in range(len(axes[-2])):
                yield band, lead, row


def _bands(work: Work, columns: Sequence[Along]) -> Iterator[_Band]:
    edges = starts(work.chunks[-1])
    width = band_width(prod(map(max, work.chunks)) * work.array.dtype.itemsize)
    for first in range(0, len(columns), width):
        last = min(first + width, len(columns))
        low, high = columns[first].input[0], columns[last - 1].input[1]
        own = (low, *edges[first + 1 : last], high)
        along = tuple(Along(one.input, one.output, pieces(own, *one.input)) for one in columns[first:last])
        yield _Band(first, last, own, along, tuple(border_widths(own, [one.pieces for one in along])))


def _awaited(made: Sequence[Key], band: _Band, reach: int, slack: int) -> list[Key | None]:
    """Return what the readings of the next row wait for: the tile that far back in the order of making.

    A tile needs ``reach`` rows below its own, and columns to its right: what is read must not wait for a tile that needs it.
    """
    width = band.last - band.first
    ahead = max(one.pieces[-1].index - i for i, one in enumerate(band.along) if one.pieces)
    lag = reach * width + ahead + 1 + slack
    first = len(made) - lag
    return [made[first + i] if 0 <= first + i < len(made) else None for i in range(width)]


def _reads(
    name: str,
    origin: Origin,
    work: Work,
    band: _Band,
    lead: tuple[int, ...],
    row: int,
    gates: list[Key],
    waits: Sequence[Sequence[Key]],
) -> Tasks:
    """Return the reads of one row of one band, each with what it waits for.

    That is an earlier tile; of the first reads it is the values that tiles are made with: a later pass would otherwise begin to
    read while this one still runs (18 tiles alive instead of 10).
    """
    edges = [starts(lengths) for lengths in work.chunks[:-1]]
    before = tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(edges, (*lead, row), strict=True))
    tasks: Tasks = {}
    for column, (start, stop) in enumerate(pairwise(band.edges)):
        read = ReadBlock(origin.view, (*before, slice(start, stop)), work.unless is not None)
        tasks[name, band.first, *lead, row, column] = (read, *gates, *waits[column])
    return tasks
