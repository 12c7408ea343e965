"""Zarr arrays to write to: whole units only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Final

import numpy as np
import zarr
from zarr.storage import StorePath

from xprep.io.arrays.declarations import NewArray
from xprep.io.arrays.reads import Missing, ZarrReadable
from xprep.io.codecs.chains import Chain, Shard, checksum_of, read_chain
from xprep.io.codecs.chunk_grid import UnitGrid
from xprep.io.codecs.encoding import ZarrEncoder
from xprep.io.store.places import Place
from xprep.types import Array, Region

# What a journal keeps of an object: the unit's number in C order, the object's bytes, their crc32c, and their MD5 where the store
# lists it: 2 ms for a MiB, which a request takes ten times as long for. Elsewhere it is zero.
STORED: Final = np.dtype([("unit", "<i8"), ("size", "<i8"), ("crc32c", "<u4"), ("md5", "V16")])
_NO_MD5: Final = bytes(16)


@dataclass(frozen=True, eq=False)
class ZarrWritable:
    """A Zarr array to fill, unit by unit; picklable, safe to write from several threads.

    Parameters
    ----------
    array : zarr.Array
        The array.
    place : Place
        Its folder.
    coords : mapping of str to mapping of str to int
        Names of the coordinate arrays beside it, and of each the objects with their sizes.
    """

    array: zarr.Array[Any] = field(repr=False)
    place: Place
    coords: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self._chain  # found once: what travels to workers has it

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self.array.shape)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in this machine's order of bytes."""
        return np.dtype(self.array.dtype).newbyteorder("=")

    @property
    def unit(self) -> tuple[int, ...]:
        """Shape of what is written at once: the shard, or the chunk where there are none."""
        return self._chain.shape

    @cached_property
    def _chain(self) -> Chain | Shard | ZarrEncoder:
        return read_chain(self.array.metadata.to_dict(), np.dtype(self.array.dtype)) or ZarrEncoder(self.array)

    @property
    def grid(self) -> UnitGrid:
        """The units over the array."""
        return UnitGrid(self.shape, self.unit)

    def write(self, region: Region, block: Array) -> Array:
        """Write ``block`` to ``region``; both are checked before a byte is written.

        Returns
        -------
        ndarray of `STORED`
            What was written: what a journal keeps.

        Raises
        ------
        ValueError
            ``region`` cuts a unit in two, or is not of ``block``'s shape: two writers of one unit lose each other's
            part without a word.
        TypeError
            ``block`` is of another dtype.
        OSError
            The store cannot be written; the text names it without secrets.
        """
        whole = self._checked(region, block)
        objects: dict[str, bytes] = {}
        stored = []
        grid, at_once, lists_md5 = self.grid, self.place.at_once, self.place.lists_md5
        for position in grid.positions(whole):
            there, here = grid.cut(whole, position)
            data = self._chain.encode(self._padded(block[there], here))
            objects[self.chunk_key(position)] = data
            md5 = hashlib.md5(data, usedforsecurity=False).digest() if lists_md5 else _NO_MD5
            stored.append((grid.number(position), len(data), checksum_of(data), md5))
            if len(objects) == at_once:  # what is encoded and not yet written is memory
                self.place.set_many(objects)
                objects = {}
        self.place.set_many(objects)
        return np.array(stored, STORED)

    def chunk_key(self, position: Sequence[int]) -> str:
        """Return the name of the object of the unit at ``position``, below the array's folder."""
        return str(self.array.metadata.encode_chunk_key(tuple(position)))

    def readable(self, missing: Missing = "error") -> ZarrReadable:
        """Return the same array to read from."""
        return ZarrReadable(self.array, self.place, missing)

    @property
    def nunits(self) -> int:
        """How many units there are."""
        return prod(self.grid.lengths)

    @property
    def about(self) -> int:
        """How many objects lie in its folder, at most: units, a note of the journal for each, and what else there is."""
        return 2 * self.nunits + 1000

    def missing_units(self, stored: Array | None = None, have: Mapping[str, int] | None = None) -> list[str]:
        """Return the keys of the units that are not there, or not in the size that ``stored`` says.

        ``have`` are the folder's objects with their sizes; by default it is listed, once.
        """
        have = self.place.list_sizes(self.about) if have is None else have
        wanted = {} if stored is None else dict(zip(stored["unit"].tolist(), stored["size"].tolist(), strict=True))
        every = self.grid.positions(tuple(slice(0, length) for length in self.shape))
        found = ((number, self.chunk_key(position)) for number, position in enumerate(every))
        return [key for number, key in found if key not in have or have[key] != wanted.get(number, have[key])]

    def _checked(self, region: Region, block: Array) -> Region:
        if len(region) != len(self.shape):
            raise ValueError(f"a region of {self.place} has {len(self.shape)} slices; got {len(region)}.")
        whole = tuple(slice(*part.indices(length)[:2]) for part, length in zip(region, self.shape, strict=True))
        wanted = tuple(part.stop - part.start for part in whole)
        if block.shape != wanted:
            raise ValueError(f"a block of shape {block.shape} does not fit the region {region}, of shape {wanted}.")
        if block.dtype.newbyteorder("=") != self.dtype:
            raise TypeError(f"{self.place} is {self.dtype}; got a block of {block.dtype}.")
        if not self.grid.covers_whole_units(whole):
            raise ValueError(f"the region {region} of {self.place} cuts units of {self.unit}; write whole units only.")
        return whole

    def _padded(self, block: Array, here: Region) -> Array:
        if block.shape == self.unit:
            return block
        padded = np.full(self.unit, self.array.fill_value or 0, self.dtype)
        padded[here] = block
        return padded


def new_writable(place: Place, array: NewArray) -> ZarrWritable:
    """Return ``array``, whose objects are in the folder ``place``, or will be, to be filled; nothing is asked of the store."""
    return ZarrWritable(zarr.Array.from_dict(StorePath(place.store, place.path), array.metadata), place)
