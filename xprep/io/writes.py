"""Zarr arrays to write to: whole units only, in the codec that the figures chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, Literal

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from xprep.io.arrays import Missing, ZarrReadable
from xprep.io.codecs import Chain, Shard, checksum_of, read_chain
from xprep.io.stores import Place
from xprep.io.units import Grid
from xprep.types import Array, Region

# What a journal keeps of an object: the unit's number in C order, the object's bytes, their crc32c.
STORED: Final = np.dtype([("unit", "<i8"), ("size", "<i8"), ("crc32c", "<u4")])


@dataclass(frozen=True)
class Codec:
    """How chunks are compressed.

    Parameters
    ----------
    compressor : {"blosc", "zstd", "none"}
        Which; blosc has zstd or lz4 inside.
    inner : {"zstd", "lz4"}
        Blosc's.
    level : int
        Of zstd and blosc.
    checksum : bool
        A crc32c after each chunk (Zarr v3; v2 has no place for one): zstd alone decodes a flipped bit without a word.
    """

    compressor: Literal["blosc", "zstd", "none"] = "blosc"
    inner: Literal["zstd", "lz4"] = "zstd"
    level: int = 1
    checksum: bool = True

    def __str__(self) -> str:
        names = {"blosc": f"blosc {self.inner} level {self.level} with shuffle", "zstd": f"zstd level {self.level}"}
        return names.get(self.compressor, "uncompressed") + (", crc32c" if self.checksum else "")

    def for_v3(self) -> tuple[Any, ...] | None:
        """Return it as codecs of Zarr v3."""
        codecs: list[Any] = []
        if self.compressor == "blosc":
            codecs.append(BloscCodec(cname=self.inner, clevel=self.level, shuffle="shuffle"))
        elif self.compressor == "zstd":
            codecs.append(ZstdCodec(level=self.level))
        return tuple([*codecs, Crc32cCodec()] if self.checksum else codecs) or None

    def for_v2(self) -> Any:
        """Return it as the compressor of Zarr v2, without the checksum."""
        if self.compressor == "blosc":
            return numcodecs.Blosc(cname=self.inner, clevel=self.level, shuffle=numcodecs.Blosc.SHUFFLE)
        return numcodecs.Zstd(level=self.level) if self.compressor == "zstd" else None


# Of 256 MiB of noisy uint16 (CPU seconds to write, size against zarr's default, zstd level 3, which takes 4.9):
# zstd 1: 1.3 s, +4 %; blosc zstd 1 with shuffle: 1.6 s, -10 %; lz4: 0.8 s, -1 %. On float32 again the smallest.
DEFAULT_CODEC: Final = Codec()
# For intermediates, which are read back at once from the page cache: compressing costs more than it saves.
RAW: Final = Codec("none", checksum=False)


@dataclass(frozen=True, eq=False)
class ZarrWritable:
    """A Zarr array to fill, unit by unit; picklable, safe to write from several threads.

    Parameters
    ----------
    array : zarr.Array
        The array.
    place : Place
        Its folder.
    coords : mapping of str to int
        Names of the coordinate arrays beside it, and how many axes they have.
    """

    array: zarr.Array[Any] = field(repr=False)
    place: Place
    coords: Mapping[str, int] = field(default_factory=dict)
    shape: tuple[int, ...] = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    unit: tuple[int, ...] = field(init=False)
    _chain: Chain | Shard = field(init=False, repr=False)

    def __post_init__(self) -> None:
        chain = read_chain(self.array.metadata.to_dict(), np.dtype(self.array.dtype))
        if chain is None:
            raise ValueError(f"{self.place} has codecs or a dtype that xprep does not write.")
        known = {
            "shape": tuple(self.array.shape),
            "dtype": np.dtype(self.array.dtype).newbyteorder("="),
            "unit": chain.shape,
            "_chain": chain,
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)

    @property
    def grid(self) -> Grid:
        """The units over the array."""
        return Grid(self.shape, self.unit)

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
        for position in self.grid.positions(whole):
            there, here = self.grid.cut(whole, position)
            data = self._chain.encode(self._padded(block[there], here))
            objects[self.chunk_key(position)] = data
            stored.append((self.grid.number(position), len(data), checksum_of(data)))
            if len(objects) == self.place.at_once:  # what is encoded and not yet written is memory
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

    def missing_units(self, stored: Array | None = None, have: Mapping[str, int] | None = None) -> list[str]:
        """Return the keys of the units that are not there, or not in the size that ``stored`` says.

        ``have`` are the folder's objects with their sizes; by default it is listed, once.
        """
        have = self.place.list_sizes() if have is None else have
        wanted = {} if stored is None else dict(zip(stored["unit"].tolist(), stored["size"].tolist(), strict=True))
        every = self.grid.positions(tuple(slice(0, length) for length in self.shape))
        found = ((number, self.chunk_key(position)) for number, position in enumerate(every))
        return [key for number, key in found if key not in have or have[key] != wanted.get(number, have[key])]

    def unit_sizes(self) -> dict[int, int]:
        """Return the size in bytes of every unit that is there; lists the folder once."""
        have = self.place.list_sizes()
        every = self.grid.positions(tuple(slice(0, length) for length in self.shape))
        return {number: have[key] for number, key in enumerate(map(self.chunk_key, every)) if key in have}

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


def create_array(  # noqa: PLR0913
    place: Place,
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: Any,
    *,
    shards: Sequence[int] | None = None,
    dims: Sequence[str] | None = None,
    codec: Codec = DEFAULT_CODEC,
    attributes: Mapping[str, Any] | None = None,
    zarr_format: Literal[2, 3] = 3,
) -> ZarrWritable:
    """Create an array in the folder ``place`` and return it to be filled.

    Parameters
    ----------
    place : Place
        Its folder, in a store opened with ``mode="r+"``.
    shape, chunks : sequence of int
        In pixels; a chunk longer than an axis is cut to it where there are no shards.
    dtype : dtype
        Whole numbers, floats or bool.
    shards : sequence of int, optional
        Multiples of ``chunks``; v3 only.
    dims : sequence of str, optional
        Names of the dimensions.
    codec : Codec
        How chunks are stored.
    attributes : mapping, optional
        JSON.
    zarr_format : {3, 2}
        The format.

    Raises
    ------
    TypeError
        A dtype that is no number.
    ValueError
        Lengths that do not fit; shards in v2.
    OSError
        The store cannot be written.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "buif":
        raise TypeError(f"an image holds whole numbers, floats or bool; got {kind}.")
    if zarr_format == 2 and shards is not None:
        raise ValueError("Zarr v2 has no shards; write OME-Zarr 0.5, or leave shards out.")
    layout = _layout(tuple(shape), tuple(chunks), shards)
    options = _v3_options(codec, dims) if zarr_format == 3 else _v2_options(codec)
    own = {"_ARRAY_DIMENSIONS": list(dims)} if zarr_format == 2 and dims is not None else {}
    with place.errors("write"):
        array = zarr.create_array(
            place.store,
            name=place.path or None,
            dtype=kind.newbyteorder("="),
            attributes={**(attributes or {}), **own},
            **layout,
            **options,
        )
    return ZarrWritable(array, place)


def reopen_array(place: Place) -> ZarrWritable:
    """Open the array in the folder ``place``, which `create_array` made, to be filled further."""
    with place.errors("open"):
        array = zarr.open_array(place.store, path=place.path, mode="r+", config={"write_empty_chunks": True})
    return ZarrWritable(array, place)


def _layout(shape: tuple[int, ...], chunks: tuple[int, ...], shards: Sequence[int] | None) -> dict[str, Any]:
    if len(chunks) != len(shape) or any(chunk < 1 for chunk in chunks):
        raise ValueError(f"chunks need one length of at least 1 per axis of {shape}; got {chunks}.")
    if shards is None:
        fitting = tuple(min(chunk, max(length, 1)) for chunk, length in zip(chunks, shape, strict=True))
        return {"shape": shape, "chunks": fitting}
    if len(shards) != len(shape) or any(s < 1 or s % chunk for s, chunk in zip(shards, chunks, strict=False)):
        raise ValueError(f"shards {tuple(shards)} must be multiples of the chunks {chunks}.")
    # Small levels of a pyramid: no shard needs to be longer than the axis, in whole chunks.
    whole = (max(-(-length // chunk), 1) * chunk for length, chunk in zip(shape, chunks, strict=True))
    return {"shape": shape, "chunks": chunks, "shards": tuple(map(min, zip(shards, whole, strict=True)))}


def _v3_options(codec: Codec, dims: Sequence[str] | None) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "compressors": codec.for_v3(),
        "dimension_names": None if dims is None else tuple(dims),
        "fill_value": 0,
        "config": {"write_empty_chunks": True},
    }


def _v2_options(codec: Codec) -> dict[str, Any]:
    # Without a fill value: xarray takes v2's 0 for "missing" and makes float32 with NaN of a uint16 image.
    return {
        "zarr_format": 2,
        "compressors": codec.for_v2(),
        "filters": None,
        "fill_value": None,
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}},
        "config": {"write_empty_chunks": True},
    }
