"""Arrays that zarr-python decodes, with compressors in them that stop at what a chunk may be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Final

import numpy as np
import zarr
from zarr.abc.buffer import Buffer
from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.codecs import ShardingCodec

from xprep.io.codecs.codec_metadata import COMPRESSORS, read_codec, short_name
from xprep.io.codecs.inflation import inflate
from xprep.io.private_zarr import with_metadata

# What lies between a chunk's pixels and a compressor may make them larger: a filter that writes bytes as doubles, a
# compressor before this one that finds nothing to compress, an index of 16 bytes for shards' chunks of one pixel.
_GROWTH: Final = 32
_SLACK: Final = 2**16
_WIDEST: Final = 16


def bound_array(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return ``array`` with every compressor of its chunks bounded; nothing is read."""
    known = array.metadata
    if known.zarr_format == 2:
        limit = _limit(known.chunks, np.dtype(array.dtype), not known.filters)
        changed = {"compressor": _bounded_v2(known.compressor, limit)}
        if known.filters:
            changed["filters"] = tuple(_bounded_v2(codec, limit) for codec in known.filters)
    else:
        changed = {"codecs": _bounded(known.codecs)}
    return with_metadata(array, **changed)


def _limit(shape: tuple[int, ...], dtype: np.dtype[Any], alone: bool) -> int:
    nbytes = prod(shape) * min(dtype.itemsize, _WIDEST)
    return nbytes if alone else _GROWTH * nbytes + _SLACK


def _bounded(codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
    names = [_name(codec) for codec in codecs]
    alone = [index > 0 and names[index - 1] == "bytes" for index in range(len(names))]
    return tuple(map(_bound, codecs, names, alone))


def _name(codec: Codec) -> str:
    return short_name(read_codec(codec.to_dict())[0])


def _bound(codec: Codec, name: str, alone: bool) -> Codec:
    if isinstance(codec, ShardingCodec):
        return replace(codec, codecs=_bounded(codec.codecs))
    if name in COMPRESSORS and isinstance(codec, BytesBytesCodec):
        return BoundedCodec(codec, name, alone)
    return codec


@dataclass(frozen=True)
class BoundedCodec(BytesBytesCodec):
    """A compressor of Zarr v3 that inflates to no more than a chunk has.

    Parameters
    ----------
    codec : zarr.abc.codec.BytesBytesCodec
        The compressor.
    name : str
        numcodecs' name of it.
    alone : bool
        Whether it holds the pixels as they are.
    """

    codec: BytesBytesCodec
    name: str
    alone: bool
    is_fixed_size: bool = field(default=False, init=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the compressor's own name and settings."""
        return self.codec.to_dict()

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return what the compressor says."""
        return self.codec.compute_encoded_size(input_byte_length, chunk_spec)

    def _decode(self, chunk_data: Buffer, chunk_spec: Any) -> Buffer:
        _, settings = read_codec(self.to_dict())
        limit = _limit(chunk_spec.shape, chunk_spec.dtype.to_native_dtype(), self.alone)
        flat = inflate(self.name, settings, memoryview(chunk_data.to_bytes()), limit)
        made: Buffer = chunk_spec.prototype.buffer.from_bytes(flat)
        return made

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: Any) -> Buffer:
        return await asyncio.to_thread(self._decode, chunk_data, chunk_spec)


def _bounded_v2(codec: Any, limit: int) -> Any:
    return BoundedNumcodec(codec, limit) if codec is not None and codec.codec_id in COMPRESSORS else codec


@dataclass(frozen=True)
class BoundedNumcodec:
    """A compressor of Zarr v2 that inflates to no more than ``limit`` bytes; all that zarr's reader asks of one."""

    codec: Any
    limit: int

    @property
    def codec_id(self) -> str:
        """Name that numcodecs gives it."""
        return str(self.codec.codec_id)

    def decode(self, buf: Any) -> Any:
        """Inflate ``buf``, or refuse to."""
        body: Any = np.ascontiguousarray(buf)
        return inflate(self.codec_id, self.codec.get_config(), memoryview(body).cast("B"), self.limit)
