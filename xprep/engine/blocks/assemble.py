"""Regions that lie in several blocks, as one array, or plane by plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from xprep.engine.graph.grid import Piece
from xprep.types import Array

Parts = Sequence[Sequence[Piece]]  # of every axis, the parts of blocks that make up the region


def assemble(blocks: Sequence[Any], parts: Parts, shape: tuple[int, ...]) -> Array:
    """Return the region as one array: a view where one block holds it, otherwise each voxel copied once."""
    ways = list(product(*parts))
    if len(ways) == 1:
        return _part(blocks[0], ways[0])
    region = np.empty(shape, blocks[0].dtype if blocks else float)
    for way, block in zip(ways, blocks, strict=True):
        region[tuple(slice(p.to, p.to + p.stop - p.start) for p in way)] = _part(block, way)
    return region


def _part(block: Any, way: Sequence[Piece]) -> Array:
    part: Array = block[tuple(slice(p.start, p.stop) for p in way)]
    return part


@dataclass(frozen=True, eq=False)
class Patchwork:
    """A region whose planes are put together as they are asked for: one plane is copied at a time, and not all of them.

    It is taken as an array by functions that say so (``by_plane``): they look at ``shape`` and at whole planes only.
    """

    parts: Parts
    shape: tuple[int, ...]
    blocks: Sequence[Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        found: np.dtype[Any] = self.blocks[0].dtype
        return found

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    def __getitem__(self, index: tuple[int, ...]) -> Array:
        """Return the plane at ``index``, positions along all axes but the last two."""
        ways = product(*self.parts[-2:])
        lead = tuple(parts[0].start + i for parts, i in zip(self.parts[:-2], index, strict=True))
        whole = tuple(slice(None) for _ in lead)
        planes = [
            block[(*whole, *(slice(p.start, p.stop) for p in way))][lead] for way, block in zip(ways, self.blocks, strict=True)
        ]
        local = [[Piece(i, 0, p.stop - p.start, p.to) for i, p in enumerate(parts)] for parts in self.parts[-2:]]
        return assemble(planes, local, self.shape[-2:])


def assembled(blocks: Sequence[Any], parts: Parts, shape: tuple[int, ...], by_plane: bool) -> Array | Patchwork:
    """Return the region, plane by plane if it may be so and is not cut along other axes."""
    if by_plane and len(blocks) > 1 and all(len(along) == 1 for along in parts[:-2]):
        return Patchwork(parts, shape, blocks)
    return assemble(blocks, parts, shape)
