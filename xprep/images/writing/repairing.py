"""Finished stores of which something was lost: found by one listing, and what has to be made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from xprep.engine.blocks.gather import BlockPlace as Region
from xprep.engine.filling.ledger import Layer, Spans
from xprep.engine.filling.summaries import look, sample_size
from xprep.engine.filling.write import Target, layers_of
from xprep.engine.sources.lazy import as_lazy
from xprep.errors import StoreFormatError
from xprep.images.checking.verify import compare_coords, coord_names
from xprep.images.writing.leftovers import KeptTiles
from xprep.io.arrays.metadata import find_arrays
from xprep.io.arrays.reads import open_node
from xprep.io.arrays.writes import STORED, ZarrWritable
from xprep.io.codecs.chunk_grid import UnitGrid
from xprep.io.commit.completeness import node_objects
from xprep.io.commit.image_store import Layout, level_path
from xprep.io.commit.journal import MANIFEST, Journal, Record, read_manifest
from xprep.io.store.places import Place
from xprep.types import Array


def find_damage(place: Place, pyramids: Mapping[str, int], layout: Layout, zarr_format: Literal[2, 3]) -> list[str]:
    """Return the names of what the finished store ``place`` lacks, or has in another size than was written.

    ``pyramids`` are the paths of the image and label images in it, with how many levels each has.
    """
    paths = [f"{path}/{level_path(layout, n)}".lstrip("/") for path, count in pyramids.items() for n in range(count)]
    try:
        nodes = find_arrays(place, paths)
    except StoreFormatError as error:
        return [str(error)]
    if not place.keeps_notes:
        return []
    have = place.list_sizes()
    described = [name for path in paths for name in _metadata(path, layout, zarr_format) if not have.get(name)]
    return described or [name for path in paths for name in _of_level(place, path, nodes, have)]


def _metadata(path: str, layout: Layout, zarr_format: Literal[2, 3]) -> list[str]:
    groups = node_objects(path.rpartition("/")[0], "group", zarr_format) if layout == "dual" else []
    return [*node_objects(path, "array", zarr_format), *groups]


def _of_level(place: Place, path: str, nodes: Mapping[str, Any], have: Mapping[str, int]) -> Iterator[str]:
    array = open_node(nodes[path])
    try:
        kept = read_manifest(array.place)
    except StoreFormatError:
        kept = None
    if kept is None:
        yield f"{path}/{MANIFEST}"
        return
    for number, size in enumerate(kept["size"].tolist()):
        if have.get(name := f"{path}/{array.chunk_key(array.grid.position(number))}") != size:
            yield name
    yield from (damage.key for damage in compare_coords(array, coord_names(array), place))


def journal_again(
    image: Any, levels: Sequence[ZarrWritable], factors: Sequence[tuple[int, ...]], channel: int | None, damage: Sequence[str]
) -> KeptTiles:
    """Return what is whole of a pyramid of a finished store, and note it as an interrupted run would have.

    Tiles of the first level are read: what was seen of their pixels is needed again for the contrast limits.
    """
    journal = Journal(levels[0].place)
    records = []
    layers = layers_of(as_lazy(image), [Target(level, step) for level, step in zip(levels, factors, strict=True)])
    for number, (level, layer) in enumerate(zip(levels, layers, strict=True)):
        for spans, stored in _whole_tiles(level, layer):
            about = None if number else _seen(level, spans, channel, layer)
            if number or about is not None:
                records.append(Record(number, spans, stored, about))
                journal.add(records[-1])
    return KeptTiles(records, lost=damage)


def _whole_tiles(level: ZarrWritable, layer: Layer) -> Iterator[tuple[Spans, Array]]:
    """Yield the tiles of a level of which all objects have the size that they were written with."""
    try:
        kept = read_manifest(level.place)
    except StoreFormatError:
        return
    if kept is None:
        return
    have, grid = level.place.list_sizes(level.about), UnitGrid(level.shape, level.unit)
    for spans in map(layer.spans, layer.indices):
        positions = list(grid.positions(tuple(slice(*span) for span in spans)))
        numbers = np.array([grid.number(at) for at in positions])
        if all(have.get(level.chunk_key(at)) == kept["size"][number] for at, number in zip(positions, numbers, strict=True)):
            stored = np.zeros(len(numbers), STORED)
            stored["unit"], stored["size"], stored["crc32c"] = numbers, kept["size"][numbers], kept["crc32c"][numbers]
            yield spans, stored


def _seen(level: ZarrWritable, spans: Spans, channel: int | None, layer: Layer) -> dict[str, Any] | None:
    """Return what is seen of the pixels of a tile; None if they cannot be read."""
    try:
        block = level.readable("error").read(tuple(slice(*span) for span in spans))
    except OSError:
        return None
    count = int(np.prod([len(edge) - 1 for edge in layer.edges]))
    return look(block, channel, Region(spans, spans, level.shape), sample_size(count)).to_json()
