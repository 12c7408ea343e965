"""Chunks to bytes and back, in the thread that asks, for the codec chains that images are stored in.

zarr-python hands every chunk to a pool and copies on its one event-loop thread; two readers wait for each other there.
Decoding where the pixels are wanted takes less CPU (see `xprep.io.arrays.reads`), tells a missing chunk from a black one, and
bounds what a hostile chunk can inflate to: every decoder here writes into a buffer of the declared size or refuses.
Other chains (transposed, filtered, foreign codecs) stay with zarr-python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Final

import google_crc32c
import numcodecs
import numpy as np

from xprep.io.codecs.codec_metadata import COMPRESSORS, IN_V3, Codec, read_codec, read_codecs
from xprep.io.codecs.frames import Buffer, declared_size, unzip, zip_bytes
from xprep.types import Array, Region

_DECODED: Final = tuple(name for name in COMPRESSORS if name not in ("bz2", "lzma"))
_NO_CHUNK: Final = 2**64 - 1


@dataclass(frozen=True)
class Chain:
    """Bytes in one order, at most one compressor, at most one checksum: what a plain chunk is.

    Parameters
    ----------
    shape : tuple of int
        Shape of the chunk; one at the array's edge is stored whole.
    dtype : numpy.dtype
        As stored, byte order included.
    compressor : str
        numcodecs' name, or ``""``.
    settings : tuple of (str, object)
        The compressor's own configuration.
    checksum : bool
        Whether the last four bytes are the crc32c of the others.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    compressor: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    checksum: bool = False

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the chunk when decoded."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def is_plain(self) -> bool:
        """Whether the stored bytes are the pixels' own."""
        return not self.compressor and not self.checksum and self.dtype.isnative

    @cached_property
    def _codec(self) -> Any:
        return numcodecs.get_codec({"id": self.compressor, **dict(self.settings)})

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def decode(self, data: Buffer, out: Array) -> None:
        """Fill ``out``, a C-contiguous array of the chunk's shape and native dtype; ValueError if that cannot be."""
        body = _verified(data) if self.checksum else memoryview(data)
        if self.dtype.isnative:
            self._inflate(body, out)
        else:
            swapped = np.empty(self.shape, self.dtype)
            self._inflate(body, swapped)
            out[...] = swapped

    def _inflate(self, body: memoryview, out: Array) -> None:
        if not self.compressor:
            if body.nbytes != out.nbytes:
                raise ValueError(f"{body.nbytes} bytes instead of {out.nbytes}")
            out[...] = np.frombuffer(body, self.dtype).reshape(self.shape)
            return
        if self.compressor in ("gzip", "zlib"):
            flat = unzip(body, out.nbytes)
            out[...] = np.frombuffer(flat, self.dtype).reshape(self.shape)
            return
        # numcodecs leaves the rest of a larger buffer as it was, without a word: the size is checked first.
        declared = declared_size(self.compressor, body)
        if declared is not None and declared != out.nbytes:
            raise ValueError(f"it inflates to {declared} bytes instead of {out.nbytes}")
        self._codec.decode(body, out)

    def encode(self, block: Array) -> bytes:
        """Return ``block``, of the chunk's shape, as bytes."""
        plain = np.ascontiguousarray(block, self.dtype)
        body: Any = self._deflate(plain) if self.compressor else plain.data.cast("B") if plain.size else b""
        if not self.checksum:
            return bytes(body)
        return b"".join((body, _crc(body)))

    def _deflate(self, plain: Array) -> Any:
        if self.compressor == "gzip":
            return zip_bytes(plain, dict(self.settings).get("level", 1))
        return self._codec.encode(plain)


@dataclass(frozen=True)
class Shard:
    """Chunks in one object, with an index of where each lies (Zarr's ``sharding_indexed``).

    Parameters
    ----------
    shape : tuple of int
        Shape of the shard.
    inner : Chain
        What each of its chunks is.
    index_at_end : bool
        Whether the index follows the chunks.
    index_checksum : bool
        Whether the index carries a crc32c.
    """

    shape: tuple[int, ...]
    inner: Chain
    index_at_end: bool = True
    index_checksum: bool = True

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Chunks along every axis."""
        return tuple(size // chunk for size, chunk in zip(self.shape, self.inner.shape, strict=True))

    @property
    def index_nbytes(self) -> int:
        """Bytes of the index."""
        return 16 * prod(self.grid) + 4 * self.index_checksum

    def read_index(self, data: Buffer) -> Array:
        """Return offset and length of every chunk, shape ``(*grid, 2)``, from the index's bytes."""
        if len(data) != self.index_nbytes:
            raise ValueError(f"the shard's index has {len(data)} bytes instead of {self.index_nbytes}")
        body = _verified(data) if self.index_checksum else memoryview(data)
        return np.frombuffer(body, "<u8").reshape(*self.grid, 2)

    def split(self, data: Buffer) -> Array:
        """Return the index of a whole shard's bytes."""
        if len(data) < self.index_nbytes:
            raise ValueError(f"the shard has {len(data)} bytes, less than its index of {self.index_nbytes}")
        part = data[-self.index_nbytes :] if self.index_at_end else data[: self.index_nbytes]
        return self.read_index(part)

    def encode(self, block: Array) -> bytes:
        """Return ``block``, of the shard's shape, as bytes; every chunk is written, the empty ones too."""
        index = np.empty((*self.grid, 2), "<u8")
        at = 0 if self.index_at_end else self.index_nbytes
        parts: list[bytes] = []
        for position in product(*(range(count) for count in self.grid)):
            body = self.inner.encode(block[chunk_region(position, self.inner.shape)])
            index[position] = at, len(body)
            at += len(body)
            parts.append(body)
        table = index.tobytes()
        table += _crc(table) if self.index_checksum else b""
        return b"".join((*parts, table) if self.index_at_end else (table, *parts))


def chunk_region(position: Sequence[int], shape: Sequence[int]) -> Region:
    """Return the slices of the chunk at ``position`` of a regular grid."""
    return tuple(slice(at * size, (at + 1) * size) for at, size in zip(position, shape, strict=True))


def is_stored(entry: Array, nbytes: int) -> bool:
    """Whether a shard's index ``entry`` names a chunk; ValueError if it points out of the shard's ``nbytes``."""
    offset, length = int(entry[0]), int(entry[1])
    if offset == length == _NO_CHUNK:
        return False
    if offset + length > nbytes:
        raise ValueError(f"the shard's index points to bytes {offset}–{offset + length} of {nbytes}")
    return True


def read_chain(metadata: Mapping[str, Any], dtype: np.dtype[Any]) -> Chain | Shard | None:
    """Return what can decode the chunks of an array, or None where only zarr-python can.

    Parameters
    ----------
    metadata : mapping
        The array's metadata as in ``zarr.json`` or ``.zarray``.
    dtype : numpy.dtype
        Of its elements.
    """
    if dtype.kind not in "buif" or dtype.hasobject:
        return None
    if metadata["zarr_format"] == 2:
        return _chain_v2(metadata, dtype)
    grid = metadata["chunk_grid"]
    if grid["name"] != "regular" or metadata.get("storage_transformers"):
        return None
    shape = tuple(grid["configuration"]["chunk_shape"])
    codecs = read_codecs(metadata["codecs"])
    if codecs and codecs[0][0] == "sharding_indexed":
        return _shard(codecs[0][1], shape, dtype) if len(codecs) == 1 else None
    return _chain_v3(codecs, shape, dtype)


def _chain_v2(metadata: Mapping[str, Any], dtype: np.dtype[Any]) -> Chain | None:
    if metadata.get("filters") or metadata.get("order", "C") != "C":
        return None
    shape = tuple(metadata["chunks"])
    if (compressor := metadata["compressor"]) is None:
        return Chain(shape, dtype)
    name, settings = read_codec(compressor)
    return Chain(shape, dtype, name, tuple(sorted(settings.items()))) if name in _DECODED else None


def _chain_v3(codecs: list[Codec], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Chain | None:
    names = [name for name, _ in codecs]
    checksum = names[-1:] == ["crc32c"]
    middle = names[1:-1] if checksum else names[1:]
    if names[:1] != ["bytes"] or len(middle) > 1 or not set(middle) <= set(IN_V3):
        return None
    stored = dtype.newbyteorder(">" if codecs[0][1].get("endian") == "big" else "<")
    if not middle:
        return Chain(shape, stored, checksum=checksum)
    return Chain(shape, stored, middle[0], _numcodecs_settings(*codecs[1]), checksum)


def _numcodecs_settings(name: str, configuration: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    if name == "blosc":
        shuffles = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
        configuration["shuffle"] = shuffles[configuration["shuffle"]]
        configuration.pop("typesize", None)
    return tuple(sorted(configuration.items()))


def _shard(configuration: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Shard | None:
    chunk = tuple(configuration["chunk_shape"])
    inner = _chain_v3(read_codecs(configuration["codecs"]), chunk, dtype)
    index = read_codecs(configuration["index_codecs"])
    little = index[0][1].get("endian", "little") == "little"
    if inner is None or [name for name, _ in index] not in (["bytes"], ["bytes", "crc32c"]) or not little:
        return None
    if any(size % part for size, part in zip(shape, chunk, strict=True)):
        return None
    return Shard(shape, inner, configuration.get("index_location", "end") == "end", len(index) == 2)


def _crc(data: Any) -> bytes:
    # Through numpy, as the library refuses a memoryview and a copy costs as much as the sum: 0.1 ms for 1.3 MB.
    flat = np.frombuffer(data, np.uint8) if len(data) else b""
    return int(google_crc32c.value(flat)).to_bytes(4, "little")


def checksum_of(data: bytes) -> int:
    """Return the crc32c of ``data``: what a journal keeps of every object."""
    return int(google_crc32c.value(data))


def _verified(data: Buffer) -> memoryview:
    view = memoryview(data)
    if view.nbytes < 4 or _crc(view[:-4]) != bytes(view[-4:]):
        raise ValueError("its checksum (crc32c) does not match its bytes")
    return view[:-4]
