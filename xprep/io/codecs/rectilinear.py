"""Chunk grids whose chunks differ in length (``rectilinear``, an extension of Zarr v3): read through zarr from 3.2 on."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any, Final

import zarr

from xprep.errors import StoreFormatError
from xprep.io.codecs.chunk_grid import UnitGrid
from xprep.io.json_nodes import brief
from xprep.types import Region

NAME: Final = "rectilinear"
# zarr reads such arrays where this setting is on; it is off by default, and earlier versions do not have it.
SETTING: Final = "array.rectilinear_chunks"
MAX_PER_AXIS: Final = 2**24
_SETTING_LOCK: Final = threading.Lock()


@dataclass(frozen=True)
class RaggedGrid(UnitGrid):
    """A grid of units that begin at ``edges``, the last of which are the array's ends."""

    edges: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], lengths: Sequence[Sequence[int]]) -> RaggedGrid:
        """Return the grid of units of these ``lengths`` along every axis."""
        return cls(shape, tuple(map(max, lengths)), tuple((0, *accumulate(one)) for one in lengths))

    def positions(self, region: Region) -> Iterator[tuple[int, ...]]:
        """Yield the units that ``region`` touches."""
        spans = (
            range(bisect_right(edge, part.start) - 1, bisect_left(edge, part.stop)) if part.stop > part.start else range(0)
            for part, edge in zip(region, self.edges, strict=True)
        )
        return product(*spans)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many units lie along each axis."""
        return tuple(len(edge) - 1 for edge in self.edges)


def ragged_lengths(metadata: Mapping[str, Any], where: str) -> tuple[tuple[int, ...], ...] | None:
    """Return the lengths of the chunks along every axis of a rectilinear grid; None of a regular one.

    Raises
    ------
    StoreFormatError
        Another grid; lengths that are none, or do not cover the array.
    """
    grid: Any = metadata.get("chunk_grid")
    name = grid.get("name") if isinstance(grid, Mapping) else None
    if metadata.get("zarr_format") == 2 or name in (None, "regular"):
        return None
    if name != NAME:
        raise StoreFormatError(f"{where}: the chunk grid {brief(name)} is not known here; 'regular' and {NAME!r} are.")
    configuration: Any = grid.get("configuration")
    shapes = configuration.get("chunk_shapes") if isinstance(configuration, Mapping) else None
    shape = metadata.get("shape")
    if not isinstance(shapes, list | tuple) or not isinstance(shape, list | tuple) or len(shapes) != len(shape):
        raise StoreFormatError(f"{where}: the chunk grid {NAME!r} needs chunk_shapes, one entry an axis; got {brief(shapes)}.")
    return tuple(_expanded(one, length, where) for one, length in zip(shapes, shape, strict=True))


def _expanded(given: Any, length: Any, where: str) -> tuple[int, ...]:
    """Return the lengths along one axis: a number for all, or a list of numbers and of pairs (length, how many)."""
    if _is_length(given) and type(length) is int:
        given = [[given, max(1, -(-length // given))]]
    runs = [one if isinstance(one, list | tuple) else (one, 1) for one in given] if isinstance(given, list | tuple) else []
    whole = runs and all(len(run) == 2 and all(map(_is_length, run)) for run in runs)
    if not whole or sum(count for _, count in runs) > MAX_PER_AXIS or sum(size * count for size, count in runs) < length:
        raise StoreFormatError(f"{where}: chunk lengths {brief(given)} of its {NAME!r} grid do not make up its {length} pixels.")
    return tuple(size for size, count in runs for _ in range(count))


def _is_length(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**63


@contextmanager
def allowed(metadata: Mapping[str, Any], where: str) -> Iterator[None]:
    """Let zarr take the grid of an array inside.

    Raises
    ------
    StoreFormatError
        The zarr that is installed knows regular grids only.
    """
    if ragged_lengths(metadata, where) is None:
        yield
        return
    if zarr.config.get(SETTING, None) is None:
        raise StoreFormatError(
            f"{where} has a {NAME!r} chunk grid, of chunks of unequal length, which zarr {zarr.__version__} does not read. zarr "
            "3.2 and newer do (Python 3.12 and newer); or have it stored again in chunks of one size."
        )
    with _SETTING_LOCK, zarr.config.set({SETTING: True}):  # the setting is the process's: no thread takes it from another
        yield
