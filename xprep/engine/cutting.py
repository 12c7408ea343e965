"""In which tiles an array is written: as it is made where that fits, made anew in others, or through scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import dask.array as da

from xprep.engine.deliver import made_of
from xprep.engine.gather import Gathered, gather, needed_whole, same
from xprep.engine.graph import origin_of
from xprep.engine.grid import regular, regular_chunks
from xprep.engine.rechunking import TwoSteps, direct_tile, two_steps
from xprep.engine.scaling import exact_needs
from xprep.engine.sources import read_array, retile, source_of
from xprep.engine.spill import spill
from xprep.engine.tiling import base_chunk, is_large
from xprep.options import options
from xprep.types import Chunks

Shape = tuple[int, ...]
FEW_BYTES = 2**18  # an array of no more never goes through scratch
MERGED = 2  # tiles of `tile_bytes` that what is no source may be put together from, whatever its blocks


@dataclass(frozen=True, eq=False)
class Cut:
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

    @property
    def as_it_is(self) -> bool:
        """Whether the tiles are written as they are made."""
        return self.tile is None and self.steps is None

    def made(self, *, shared: bool = False) -> da.Array:
        """Return the tiles, lazily; ``shared``: others use the same graph, in which nothing is then read anew without need."""
        if self.steps is not None:
            tiles = _made_in(self.tiles, self.steps.read)
            view, written = spill(tiles, self.steps.between, alone=True)
            return read_array(view, chunks=self.steps.write, after=written, alone=True)
        if self.tile is not None:
            return _made_in(self.tiles, self.tile)
        return self.tiles if shared else _paceable(self.tiles)


def cut_for(array: da.Array, unit: Sequence[int]) -> Cut:
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
        return Cut(tiles, axes)
    return _cut_anew(tiles, axes, own)


def uncut_along(array: da.Array, whole: Sequence[int]) -> da.Array:
    """Return ``array`` in tiles that are not cut along the axes ``whole``, each chunk read as `cut_for` has it."""
    unit = [n if axis in whole else 1 for axis, n in enumerate(array.shape)]
    return _cut_anew(array, tuple(range(array.ndim)), unit).made()


def _cut_anew(tiles: da.Array, axes: tuple[int, ...], unit: Sequence[int]) -> Cut:
    source, gathered = _rereadable(tiles)
    room = options().tile_bytes // max(tiles.dtype.itemsize, 1 if source is None else source.dtype.itemsize)
    if source is None:
        small = tiles.nbytes <= max(FEW_BYTES, MERGED * options().tile_bytes)
        chunk = (1,) * tiles.ndim if small else tuple(map(max, tiles.chunks))
        tile = direct_tile(tiles.shape, chunk, unit, room)
        return Cut(tiles, axes, tile, None if tile else two_steps(tiles.shape, chunk, unit, room, whole=True))
    chunk, unit = _chunk_as_made(tiles, source), tuple(unit)
    if source.nbytes <= FEW_BYTES:
        chunk = tuple(1 for _ in chunk)
    for axis in needed_whole(gathered.function) if gathered else ():
        chunk, unit = (_with(shape, axis, tiles.shape[axis]) for shape in (chunk, unit))
    tile = direct_tile(tiles.shape, chunk, unit, room)
    return Cut(tiles, axes, tile, None if tile else two_steps(tiles.shape, chunk, unit, room))


def _with(shape: Sequence[int], axis: int, length: int) -> Shape:
    return (*shape[:axis], length, *shape[axis + 1 :])


def _rereadable(tiles: da.Array) -> tuple[da.Array | None, Gathered | None]:
    """Return the source that tiles are read from, in whatever blocks, and what makes them of it; None where there is none."""
    gathered = origin_of(tiles)
    if isinstance(gathered, Gathered):
        origin = source_of(gathered.array)
        usable = origin is not None and not origin.held and not gathered.wrap
        return (gathered.array, gathered) if usable else (None, None)
    origin = source_of(tiles)
    return (tiles, None) if origin is not None and not origin.held else (None, None)


def _chunk_as_made(tiles: da.Array, source: da.Array) -> Shape:
    """Return the source's chunk in voxels of what is made of it; what is in memory has none."""
    if getattr(source_of(source).view.source, "cost", "") == "memory":  # type: ignore[union-attr]
        return tuple(1 for _ in tiles.shape)
    lengths = zip(base_chunk(source), tiles.shape, source.shape, strict=True)
    return tuple(max(1, round(chunk * n / before)) for chunk, n, before in lengths)


def _made_in(tiles: da.Array, tile: Shape) -> da.Array:
    """Return what ``tiles`` are, in blocks of ``tile``."""
    source, gathered = _rereadable(tiles)
    if source is None or gathered is None:
        own = regular_chunks(tiles.shape, tile)
        return tiles if source is None and own == tiles.chunks else retile(tiles, tile, alone=True)
    made_of_source = gathered.function, retile(source, _input_tile(tiles, source, tile), alone=True), *gathered.states
    chunks, needs = regular_chunks(tiles.shape, tile), exact_needs(gathered.needs)
    return gather(*made_of_source, dtype=tiles.dtype, chunks=chunks, needs=needs, label=gathered.label)


def _input_tile(tiles: da.Array, source: da.Array, tile: Shape) -> Shape:
    """Return how the source is read for ``tile`` of what is made of it: alike, or in whole chunks where sizes differ."""
    if tiles.shape == source.shape:
        return tile
    lengths = zip(tile, tiles.shape, source.shape, base_chunk(source), strict=True)
    return tuple(min(before, -(-max(1, t * before // n) // chunk) * chunk) for t, n, before, chunk in lengths)


def _paceable(tiles: da.Array) -> da.Array:
    """Return tiles with halos so that they can be read in an order that few are alive in: by a reading of their own."""
    source, gathered = _rereadable(tiles)
    alone = source is None or source_of(source).alone  # type: ignore[union-attr]
    if gathered is None or alone or gathered.needs is same:
        return tiles
    return _made_in(tiles, tuple(lengths[0] for lengths in tiles.chunks))


def _fits(lengths: Sequence[int], unit: int) -> bool:
    """Whether blocks are regular and their inner edges lie between units: then levels pair up too."""
    return tuple(lengths) == regular(sum(lengths), lengths[0]) and (len(lengths) == 1 or lengths[0] % unit == 0)
