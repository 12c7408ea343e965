"""Small objects that inflate without end: refused before they take the memory, whatever codec they come in.

Three ways. What says its size (blosc, lz4, most of zstd) is refused if that does not fit; what is a stream (gzip, zlib, bz2,
lzma) is inflated up to one byte more than fits, once, and what comes out is what is used; zstd frames that say nothing are
counted by the headers of their blocks. Codecs that no bound is known for are named by `find_unbounded`.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final

import numcodecs
import numpy as np

from xprep.io.codecs.chains import is_stored
from xprep.io.codecs.codec_metadata import COMPRESSORS, STREAMS, Codec, codecs_of, flat_codecs, read_codecs, short_name
from xprep.io.codecs.frames import Buffer, declared_size
from xprep.io.codecs.rectilinear import ragged_lengths

# A million names of channels, cells or wells of 64 letters.
COORDINATE_BYTES: Final = 64 * 2**20
# What a decoder of lzma may take for its window; the highest preset declares 65 MiB.
_WINDOW_BYTES: Final = 2**28

# What gives back at most eight bytes for one (`packbits`, `astype` to double), or a checksum less.
_LEVEL: Final = (
    "bytes", "transpose", "sharding_indexed", "cast_value", "scale_offset", "delta", "fixedscaleoffset", "quantize", "bitround",
    "astype", "packbits", "shuffle", "base64", "crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3",
)  # fmt: skip
_CHECKSUMS: Final = ("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3")
_TEXTS: Final = ("json2", "msgpack2")


def inflate(name: str, settings: Mapping[str, Any], body: memoryview, limit: int) -> Any:
    """Return what ``body`` inflates to by numcodecs' codec ``name``, at most ``limit`` bytes.

    Raises
    ------
    ValueError
        It is more, or cut short.
    """
    if name in STREAMS:
        flat = _unstream(name, settings, body, limit)
        return flat if len(flat) <= limit else _refuse(body, len(flat), limit)
    if name == "zstd":
        _check_frames(body, limit)
    elif (size := declared_size(name, body) or 0) > limit:
        _refuse(body, size, limit)
    flat = numcodecs.get_codec({"id": name}).decode(body)
    return flat if len(flat) <= limit else _refuse(body, len(flat), limit)


def _refuse(body: memoryview, size: int, limit: int) -> None:
    raise ValueError(f"{body.nbytes} bytes inflate to {size} or more; at most {limit} are taken")


def _unstream(name: str, settings: Mapping[str, Any], body: memoryview, limit: int) -> bytes:
    """Inflate until there is more than ``limit``; files that follow one another, as bgzip and pbzip2 write, are one."""
    parts: list[bytes] = []
    rest: Any = body
    while rest:
        inflater = _inflater(name, settings)
        parts.append(inflater.decompress(rest, limit + 1 - sum(map(len, parts))))
        if sum(map(len, parts)) > limit:
            break
        if not inflater.eof:
            raise ValueError(f"it is cut short: {body.nbytes} bytes")
        rest = inflater.unused_data
        if not rest.startswith(_BEGINS[name]):  # padding, which their own decoders ignore too
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


# How a further file begins; zlib's streams and lzma's old format have no mark, and nobody joins them.
_BEGINS: Final = {"gzip": b"\x1f\x8b", "bz2": b"BZh", "lzma": b"\xfd7zXZ", "zlib": b"\x1f\x8b"}


def _inflater(name: str, settings: Mapping[str, Any]) -> Any:
    if name == "bz2":
        return bz2.BZ2Decompressor()
    if name != "lzma":
        return zlib.decompressobj(wbits=47)
    form = settings.get("format", lzma.FORMAT_XZ)
    if form != lzma.FORMAT_RAW:
        return lzma.LZMADecompressor(form, memlimit=_WINDOW_BYTES)
    filters: Any = settings.get("filters") or []
    if any(int(one.get("dict_size", 0)) > _WINDOW_BYTES for one in filters):
        raise ValueError(f"its lzma filters {filters} want more than {_WINDOW_BYTES} bytes")
    return lzma.LZMADecompressor(form, filters=filters)


def _check_frames(body: memoryview, limit: int) -> None:
    """Add up what zstd frames say they inflate to, and 128 KiB a block of those that say nothing, before any of it is inflated.

    numcodecs decodes frames that follow one another, so the first one's word is not enough. Of blocks there may be twice as many
    as fill ``limit``, and eight more: an encoder that is flushed ends one early, and the last is seldom full.
    """
    at, said, counted = 0, 0, 0
    while at < len(body):
        if 0x184D2A50 <= int.from_bytes(body[at : at + 4], "little") <= 0x184D2A5F:  # a frame to be skipped
            at += 8 + int.from_bytes(body[at + 4 : at + 8], "little")
            continue
        declared = declared_size("zstd", body[at:])
        at, blocks = _walk_frame(body, at)
        said += declared or 0
        counted += blocks if declared is None else 0
    if said > limit or counted > 2 * limit + 2**20:
        _refuse(body, said + counted, limit)


def _walk_frame(body: memoryview, at: int) -> tuple[int, int]:
    """Return where the frame at ``at`` ends, and the bytes that its blocks can give (RFC 8878, 3.1.1)."""
    descriptor = body[at + 4]
    single = bool(descriptor & 0x20)
    at += 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + (int(single), 2, 4, 8)[descriptor >> 6]
    counted, last = 0, False
    while not last and at + 3 <= len(body):
        header = int.from_bytes(body[at : at + 3], "little")
        last, kind, size = bool(header & 1), (header >> 1) & 3, header >> 3
        counted += size if kind in (0, 1) else 2**17
        at += 3 + (1 if kind == 1 else size)
    return at + 4 * bool(descriptor & 4), counted


def check_inflation(metadata: Mapping[str, Any], data: Buffer, limit: int = COORDINATE_BYTES) -> None:
    """Refuse a chunk of a coordinate that inflates to more than ``limit`` bytes at any step of its codecs.

    Raises
    ------
    ValueError
        It does, or a codec has no known bound, or it is text that says it has more entries than bytes.
    """
    if data:
        _check_chain(codecs_of(metadata), _chunk_shape(metadata), memoryview(data), limit)


def _check_chain(chain: list[Codec], shape: Sequence[int], body: memoryview, limit: int) -> None:
    for full_name, settings in reversed(chain):
        name = short_name(full_name)
        if name in COMPRESSORS:
            body = memoryview(inflate(name, settings, body, limit)).cast("B")
        elif name in _CHECKSUMS:
            body = body[:-4]
        elif name == "sharding_indexed":
            for part in _parts(settings, shape, body):
                _check_chain(read_codecs(settings["codecs"]), settings["chunk_shape"], part, limit)
            return
        elif name.startswith("vlen-"):
            _check_entries(body)
            return
        elif name not in (*_LEVEL, *_TEXTS):
            raise ValueError(f"its codec {name!r} has no known bound of what it inflates to")


def _parts(settings: Mapping[str, Any], shape: Sequence[int], body: memoryview) -> Iterator[memoryview]:
    """Give the chunks of a shard, by its index."""
    count = prod(length // part for length, part in zip(shape, settings["chunk_shape"], strict=True))
    checked = [name for name, _ in read_codecs(settings["index_codecs"])] == ["bytes", "crc32c"]
    nbytes = 16 * count + 4 * checked
    table = body[:nbytes] if settings.get("index_location") == "start" else body[-nbytes:]
    for entry in np.frombuffer(table[: 16 * count], "<u8").reshape(count, 2):
        if is_stored(entry, body.nbytes):
            yield body[int(entry[0]) : int(entry.sum())]


def _check_entries(body: memoryview) -> None:
    # Their decoder makes a place for each entry before it looks for the first; each has a length of four bytes.
    entries = int.from_bytes(body[:4], "little")
    if 4 * entries > body.nbytes - 4:
        raise ValueError(f"it says that it has {entries} entries, in {body.nbytes} bytes")


def find_unbounded(metadata: Mapping[str, Any]) -> str | None:
    """Return the name of the first codec of an array of numbers that may inflate to anything, if there is one.

    A filter's dtype counts as well: one byte becomes a text of a million letters if it says so.
    """
    return next((name for name, settings in flat_chain(metadata) if not _is_bounded(name, settings)), None)


def flat_chain(metadata: Mapping[str, Any]) -> Iterator[Codec]:
    """Give numcodecs' name and the settings of every codec of an array, those in its shards too."""
    return ((short_name(name), settings) for name, settings in flat_codecs(codecs_of(metadata)))


def _is_bounded(name: str, settings: Mapping[str, Any]) -> bool:
    dtypes = [settings[key] for key in ("dtype", "astype", "encode_dtype", "decode_dtype") if settings.get(key)]
    return name in (*COMPRESSORS, *_LEVEL) and all(map(_is_number, dtypes))


def _is_number(dtype: Any) -> bool:
    try:
        return np.dtype(dtype).kind in "buif"
    except TypeError:
        return False


def _chunk_shape(metadata: Mapping[str, Any]) -> Sequence[int]:
    if metadata.get("zarr_format") == 2:
        return tuple(metadata.get("chunks", ()))
    if (ragged := ragged_lengths(metadata, "an array")) is not None:
        return tuple(map(max, ragged))
    return tuple(metadata.get("chunk_grid", {}).get("configuration", {}).get("chunk_shape", ()))
