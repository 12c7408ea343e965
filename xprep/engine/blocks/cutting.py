"""In which tiles an array is written: as it is made where that fits, made anew in others, or through scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import dask.array as da
from dask.delayed import Delayed

from xprep.engine.blocks.composing import step_of
from xprep.engine.blocks.deliver import made_of
from xprep.engine.blocks.gather import Gathered, gather, needed_whole
from xprep.engine.blocks.needs import has_portions, same
from xprep.engine.blocks.rechunking import TwoSteps, direct_tile, two_steps
from xprep.engine.blocks.scaling import exact_needs
from xprep.engine.blocks.spill import spill
from xprep.engine.blocks.tiling import base_chunk, is_large
from xprep.engine.graph.grid import regular, regular_chunks
from xprep.engine.graph.tasks import origin_of
from xprep.engine.sources.readable import read_array, retile, source_of
from xprep.options import options
from xprep.types import Chunks

Shape = tuple[int, ...]
FEW_BYTES = 2**18  # an array of no more never goes through scratch
MERGED = 2  # tiles of `tile_bytes` that what is no source may be put together from, whatever its blocks


@dataclass(frozen=True, eq=False)
class TileCut:
    """How an array is cut to be written.

    Attributes
    ----------
    tiles
        What there is, its axes perhaps in another order.
    axes
        The axis of ``tiles`` that is axis i of what is written.
    tile
        The tile to make it in; None: as it is.
    steps
        The way through scratch; None: there is none.
    """

    tiles: da.Array
    axes: tuple[int, ...]
    tile: Shape | None = None
    steps: TwoSteps | None = None

    @property
    def scratch(self) -> int:
        """How many bytes go to scratch."""
        return prod(self.tiles.shape) * self.tiles.dtype.itemsize if self.steps else 0

    @property
    def chunks(self) -> Chunks:
        """The tiles that are written, along the axes of what is written."""
        tile = self.steps.write if self.steps else self.tile
        chunks = self.tiles.chunks if tile is None else regular_chunks(self.tiles.shape, tile)
        return tuple(chunks[axis] for axis in self.axes)

    def made(self, *, shared: bool = False) -> da.Array:
        """Return the tiles, lazily; ``shared``: others use the same graph, in which nothing is then read anew without need."""
        if self.steps is not None:
            tiles = _made_in(self.tiles, self.steps.read)
            view, written = spill(tiles, self.steps.between, alone=True)
            return read_array(view, chunks=self.steps.write, after=written, alone=True)
        if self.tile is not None:
            return _made_in(self.tiles, self.tile)
        return self.tiles if shared else _paceable(self.tiles)


def cut_for(array: da.Array, unit: Sequence[int]) -> TileCut:
    """Return how ``array`` is cut so that every tile holds whole units: as it is made, if that fits.

    Otherwise it is made in other tiles, if a chunk of its source is then read twice at most; otherwise in tiles that suit the
    source, copied to scratch, and read from there. What others' graphs make is put together where a few blocks make a tile.
    """
    made = made_of(array)
    tiles, axes = (made.tiles, made.axes) if made else (array, tuple(range(array.ndim)))
    own = [1] * tiles.ndim
    for axis, u in zip(axes, unit, strict=True):
        own[axis] = min(u, tiles.shape[axis])
    if all(map(_fits, tiles.chunks, own)) and is_large(tiles):
        return TileCut(tiles, axes)
    return _cut_anew(tiles, axes, own)


def uncut_along(array: da.Array, whole: Sequence[int]) -> da.Array:
    """Return ``array`` in tiles that are not cut along the axes ``whole``, each chunk read as `cut_for` has it."""
    unit = [n if axis in whole else 1 for axis, n in enumerate(array.shape)]
    return _cut_anew(array, tuple(range(array.ndim)), unit).made()


def _cut_anew(tiles: da.Array, axes: tuple[int, ...], unit: Sequence[int]) -> TileCut:
    source, gathered = _rereadable(tiles)
    taken = 0 if source is None else -(-source.nbytes // max(1, tiles.size))  # bytes of input for a voxel
    room = options().tile_bytes // max(1, tiles.dtype.itemsize, taken)
    if source is None:
        small = tiles.nbytes <= max(FEW_BYTES, MERGED * options().tile_bytes)
        chunk = (1,) * tiles.ndim if small else tuple(map(max, tiles.chunks))
        tile = direct_tile(tiles.shape, chunk, unit, room)
        return TileCut(tiles, axes, tile, None if tile else two_steps(tiles.shape, chunk, unit, room, whole=True))
    chunk, unit = _chunk_as_made(tiles, source), tuple(unit)
    if source.nbytes <= FEW_BYTES:
        chunk = tuple(1 for _ in chunk)
    for axis in needed_whole(gathered.function) if gathered else ():
        chunk, unit = (_with(shape, axis, tiles.shape[axis]) for shape in (chunk, unit))
    tile = direct_tile(tiles.shape, chunk, unit, room)
    return TileCut(tiles, axes, tile, None if tile else two_steps(tiles.shape, chunk, unit, room))


def _with(shape: Sequence[int], axis: int, length: int) -> Shape:
    return (*shape[:axis], length, *shape[axis + 1 :])


def _rereadable(tiles: da.Array) -> tuple[da.Array | None, Gathered | None]:
    """Return the source that tiles are read from, in whatever blocks, and what makes them of it; None where there is none."""
    step = step_of(tiles)
    array = tiles if step is None else step.array
    origin = source_of(array)
    usable = origin is not None and not origin.held and (step is None or not step.wrap)
    return (array, step) if usable else (None, None)


def _chunk_as_made(tiles: da.Array, source: da.Array) -> Shape:
    """Return the source's chunk in voxels of what is made of it; what is in memory has none."""
    if getattr(source_of(source).view.source, "cost", "") == "memory":  # type: ignore[union-attr]
        return tuple(1 for _ in tiles.shape)
    lengths = zip(base_chunk(source), tiles.shape, source.shape, strict=True)
    return tuple(max(1, round(chunk * n / before)) for chunk, n, before in lengths)


def remade(tiles: da.Array, tile: Sequence[int], reading: int | None = None, unless: Delayed | None = None) -> da.Array:
    """Return what ``tiles`` are, in blocks of ``tile``, for one user: made anew of their source, if they have one.

    ``reading`` and ``unless`` are as for `retile`.
    """
    source, step = _rereadable(tiles)
    if source is None or step is None:
        return retile(tiles, tile, reading, unless, alone=True)
    read = retile(source, _input_tile(tiles, source, tile), reading, unless, alone=True)
    chunks, needs = regular_chunks(tiles.shape, tile), exact_needs(step.needs)
    return gather(step.function, read, *step.states, dtype=tiles.dtype, chunks=chunks, needs=needs, label=step.label, alone=True)


def _made_in(tiles: da.Array, tile: Shape) -> da.Array:
    """Return what ``tiles`` are, in blocks of ``tile``; as they are where they are cut so, and cannot be made anew."""
    is_as_wanted = tiles.chunks == regular_chunks(tiles.shape, tile) and _rereadable(tiles)[0] is None
    return tiles if is_as_wanted else remade(tiles, tile)


def _input_tile(tiles: da.Array, source: da.Array, tile: Sequence[int]) -> Shape:
    """Return how the source is read for ``tile`` of what is made of it: exactly, or in whole chunks if that is not much more."""
    lengths = zip(tile, tiles.shape, source.shape, base_chunk(source), strict=True)
    return tuple(_input_length(*of_axis) for of_axis in lengths)


def _input_length(tile: int, length: int, before: int, chunk: int) -> int:
    needed = -(-max(1, tile * before) // max(1, length))
    whole = -(-needed // chunk) * chunk
    exact = length == before or tile * before % max(1, length) == 0 or 2 * whole > 3 * needed
    return min(before, needed if exact else whole)


def _paceable(tiles: da.Array) -> da.Array:
    """Return tiles with halos so that they can be read in an order that few are alive in: by a reading of their own."""
    source, step = _rereadable(tiles)
    made = origin_of(tiles)
    if source is None or step is None or step.needs is same:
        reads_itself = has_portions(tiles.npartitions) and source is tiles  # as what is written in portions must
        return _made_in(tiles, tuple(map(max, tiles.chunks))) if reads_itself else tiles
    own = source_of(made.array) if isinstance(made, Gathered) else None
    return tiles if own is not None and own.alone else _made_in(tiles, tuple(lengths[0] for lengths in tiles.chunks))


def _fits(lengths: Sequence[int], unit: int) -> bool:
    """Whether blocks are regular and their inner edges lie between units: then levels pair up too."""
    return tuple(lengths) == regular(sum(lengths), lengths[0]) and (len(lengths) == 1 or lengths[0] % unit == 0)
