"""Parts of images that dask's indexing took: ``image.sel(c=[…])``, ``movie.isel(t=slice(…))``, a crop.

Indexing leaves a layer of small tasks over the reading, one a chunk. Followed back to the source, a part is read like the
whole: in tiles, anew for every pass, and paced; left to dask, what is to be read waits in memory (see `pacing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from xprep.engine.machine.private_dask import INDEXED, indexing
from xprep.engine.sources.readable import Origin, ReadBlock, View, read_array, source_of
from xprep.types import Array


@dataclass(frozen=True)
class SlicedPart:
    """What an array shows of a view: along each of its axes, the view's axis, and the positions that its blocks hold."""

    origin: Origin
    axes: tuple[int, ...]
    positions: tuple[tuple[Array, ...], ...]
    fixed: Mapping[int, int]  # positions along the view's axes that the array does not have


def follow(array: da.Array) -> da.Array:
    """Return ``array`` as a reading of its source, if it is a part of one in whole chunks; otherwise itself."""
    part = None if source_of(array) else _part_of(array.dask.layers, array.name, array.numblocks)
    view = None if part is None else _shown_by(part, whole_chunks=True)
    if part is None or view is None or view.shape != array.shape:
        return array
    return read_array(view, chunks=array.chunks, after=part.origin.after)


def view_of(array: da.Array) -> View | None:
    """Return what ``array`` shows of its source, in whole chunks or not; None where it is more than a part of one."""
    if origin := source_of(array):
        return origin.view if origin.after is None else None
    part = _part_of(array.dask.layers, array.name, array.numblocks)
    view = None if part is None or part.origin.after is not None else _shown_by(part, whole_chunks=False)
    return view if view is not None and view.shape == array.shape else None


def _shown_by(part: SlicedPart, *, whole_chunks: bool) -> View | None:
    """Return the view of a part; None where that cannot be, or needs more than whole chunks."""
    view = part.origin.view
    for axis, blocks in zip(part.axes, part.positions, strict=True):
        positions = np.concatenate(blocks)
        if not np.array_equal(positions, np.arange(view.shape[axis])):
            if view.axes[axis] is None or (whole_chunks and not _in_whole_chunks(positions, view.chunks[axis])):
                return None
            view = view.picked(axis, positions.tolist())
    for axis, position in part.fixed.items():
        view = view.picked(axis, [position])
    return view.arranged(part.axes)


def _in_whole_chunks(positions: Array, chunk: int) -> bool:
    """Whether no chunk that lies across two tiles would be read for each: a run of neighbours begins with its chunk."""
    if chunk == 1 or not positions.size:
        return bool(positions.size)
    return bool(positions[0] % chunk == 0 and (np.diff(positions) == 1).all())


def _part_of(layers: Mapping[str, Any], name: str, numblocks: Sequence[int], within: Any = None) -> SlicedPart | None:
    """Return what the array ``name``, a layer or a part of the layer ``within``, shows; None where it is more than indexing.

    Indexing treats each axis for itself, so the blocks along each axis, from the first block, tell everything.
    """
    layer = layers.get(name, within)
    origin = getattr(layer, "origin", None)
    lines = [[(name, *at) for at in _line(axis, numblocks)] for axis in range(len(numblocks))]
    if isinstance(origin, Origin):
        return _whole(layer, origin, lines)
    if layer is None or origin is not None or not name.startswith(INDEXED):
        return None
    first = _step(layer, (name, *(0,) * len(numblocks)))
    steps = [[_step(layer, key) for key in line] for line in lines]
    if first is None or any(step is None or step.parent != first.parent for line in steps for step in line):
        return None
    count = [1 + max([step.block[a] for line in steps for step in line if step] or [0]) for a in range(len(first.block))]
    below = _part_of(layers, first.parent, count, layer)
    return None if below is None else _composed(below, first, steps)  # type: ignore[arg-type]


def _line(axis: int, numblocks: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the indices of the blocks along ``axis``, from the first block."""
    return [tuple(i if other == axis else 0 for other in range(len(numblocks))) for i in range(numblocks[axis])]


def _whole(layer: Any, origin: Origin, lines: Sequence[Sequence[Any]]) -> SlicedPart | None:
    positions = []
    for axis, line in enumerate(lines):
        reads = [layer[key][0] for key in line]
        if not all(isinstance(read, ReadBlock) for read in reads):
            return None
        positions.append(tuple(np.arange(read.region[axis].start, read.region[axis].stop) for read in reads))
    return SlicedPart(origin, tuple(range(len(lines))), tuple(positions), {})


@dataclass(frozen=True)
class _Step:
    """What a task takes: a block of the array ``parent``, and the index into it."""

    parent: str
    block: tuple[int, ...]
    index: tuple[Any, ...]


def _step(layer: Any, key: Any) -> _Step | None:
    source, index = indexing(layer, key) or (None, None)
    if not isinstance(source, tuple) or not isinstance(index, tuple):
        return None
    whole = (*index, *(slice(None) for _ in range(len(source) - 1 - len(index))))
    return _Step(source[0], source[1:], whole) if all(map(_is_plain, whole)) else None


def _is_plain(part: Any) -> bool:
    return isinstance(part, int | np.integer | slice) or (
        isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in "iu"
    )


def _composed(below: SlicedPart, first: _Step, steps: Sequence[Sequence[_Step]]) -> SlicedPart | None:
    """Return what is left of ``below`` after one more indexing."""
    dropped = [axis for axis, part in enumerate(first.index) if isinstance(part, int | np.integer)]
    kept = [axis for axis in range(len(first.index)) if axis not in dropped]
    if sum(isinstance(part, np.ndarray) for part in first.index) > 1 or len(kept) != len(steps):
        return None
    positions = [
        tuple(below.positions[axis][step.block[axis]][step.index[axis]] for step in line)
        for axis, line in zip(kept, steps, strict=True)
    ]
    fixed = {below.axes[axis]: int(below.positions[axis][first.block[axis]][first.index[axis]]) for axis in dropped}
    return SlicedPart(below.origin, tuple(below.axes[axis] for axis in kept), tuple(positions), {**below.fixed, **fixed})
