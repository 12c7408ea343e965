"""A shown image as an OME-Zarr 0.5 store that does not exist: metadata, and chunks that are made when they are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from xprep.io.ome.writing import write_multiscale
from xprep.io.ome_model import ImageLabel
from xprep.types import Array
from xprep.viewer.blocks import BlockCache, Wanted
from xprep.viewer.shown_images import ShownImage, ShownLevel

_CHUNK: Final = re.compile(r"(0|[1-9]\d{0,5})/c((?:/(?:0|[1-9]\d{0,9})){2,5})")
_ARRAY: Final = re.compile(r"(0|[1-9]\d{0,5})/zarr\.json")


@dataclass(frozen=True, eq=False)
class VirtualStore:
    """The store of one image; ``number`` tells its blocks from those of others in ``cache``."""

    image: ShownImage
    number: int
    cache: BlockCache

    def metadata(self, key: str) -> bytes:
        """Return the metadata under a key.

        Raises
        ------
        KeyError
            There are none.
        """
        if key == "zarr.json":
            return _json({"zarr_format": 3, "node_type": "group", "attributes": self._attributes()})
        found = _ARRAY.fullmatch(key)
        if found is None or int(found[1]) >= len(self.image.levels):
            raise KeyError(key)
        return _json(_describe(self.image.levels[int(found[1])]))

    def chunk(self, key: str, is_wanted: Wanted) -> bytes:
        """Return the chunk under a key, full at the edges too.

        Raises
        ------
        KeyError
            There is no such chunk.
        UnwantedError
            Nobody waits for it any more.
        """
        level, index = self._find(key)
        start = tuple(i * n for i, n in zip(index, level.tile, strict=True))
        number = tuple(a // n for a, n in zip(start, level.block, strict=True))
        block = self._block(self.image.levels.index(level), number, is_wanted)
        part = tuple(slice(a % n, a % n + tile) for a, n, tile in zip(start, level.block, level.tile, strict=True))
        return _filled(block[part], level.tile).tobytes()

    def where(self, key: str) -> str:
        """Return what a chunk is of, for people."""
        level, index = self._find(key)
        spans = [
            f"{dim} {i * n}…{min((i + 1) * n, length) - 1}" if n > 1 else f"{dim} {i}"
            for dim, i, n, length in zip(level.dims, index, level.tile, level.shape, strict=True)
        ]
        return f"{self.image.name}, level {key.partition('/')[0]}, {', '.join(spans)}"

    def _attributes(self) -> dict[str, Any]:
        label = ImageLabel() if self.image.is_label else None
        return write_multiscale(replace(self.image.description, image_label=label), "0.5")

    def _find(self, key: str) -> tuple[ShownLevel, tuple[int, ...]]:
        found = _CHUNK.fullmatch(key)
        levels = self.image.levels
        if found is None or int(found[1]) >= len(levels):
            raise KeyError(key)
        level, index = levels[int(found[1])], tuple(map(int, found[2].strip("/").split("/")))
        inside = len(index) == len(level.shape) and all(
            i * n < length for i, n, length in zip(index, level.tile, level.shape, strict=True)
        )
        if not inside:
            raise KeyError(key)
        return level, index

    def _block(self, level: int, index: tuple[int, ...], is_wanted: Wanted) -> Array:
        one = self.image.levels[level]
        make: Callable[[Wanted], Array] = lambda wanted: one.compute(one.region(index), wanted)  # noqa: E731
        return self.cache.get((self.number, level, index), make, is_wanted)


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _describe(level: ShownLevel) -> dict[str, Any]:
    """Return the metadata of an array: raw little-endian chunks, each a tile."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(level.shape),
        "data_type": level.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(level.tile)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "dimension_names": list(level.dims),
        "attributes": {},
    }


def _filled(part: Array, tile: Sequence[int]) -> Array:
    """Return a part of the edge in a whole tile, as Zarr wants it."""
    if part.shape == tuple(tile):
        return np.ascontiguousarray(part)
    whole = np.zeros(tile, part.dtype)
    whole[tuple(map(slice, part.shape))] = part
    return whole
