"""Compressed chunks as the bytes they are: what they say of their size, and gzip, which numcodecs stamps with the time."""

from __future__ import annotations

import gzip
import zlib

from xprep.types import Array

Buffer = bytes | memoryview


def zip_bytes(plain: Array, level: int) -> bytes:
    """Return gzip of an array's bytes; without the time, so that a chunk that is made again is the same."""
    return gzip.compress(plain.reshape(-1).view("u1").data, level, mtime=0)


def unzip(body: memoryview, nbytes: int) -> bytes:
    """Inflate gzip or zlib to exactly ``nbytes``, or refuse to."""
    inflater = zlib.decompressobj(wbits=47)
    flat = inflater.decompress(body, nbytes + 1)
    if len(flat) != nbytes or not inflater.eof:
        raise ValueError(f"it does not inflate to {nbytes} bytes")
    return flat


def declared_size(compressor: str, body: memoryview) -> int | None:
    """Size that a compressed chunk says it inflates to; None where it says nothing and numcodecs checks by itself."""
    if compressor == "zstd":
        return _zstd_size(body)
    start, need = (4, 16) if compressor == "blosc" else (0, 5)
    if len(body) < need or (compressor == "blosc" and int.from_bytes(body[12:16], "little") != len(body)):
        raise ValueError(f"it is cut short: {len(body)} bytes")
    return int.from_bytes(body[start : start + 4], "little")


def _zstd_size(body: memoryview) -> int | None:
    # The frame header of RFC 8878, 3.1.1.1.
    if len(body) < 6 or bytes(body[:4]) != b"\x28\xb5\x2f\xfd":
        raise ValueError("it is no zstd frame")
    descriptor = body[4]
    single, flag = bool(descriptor & 0x20), descriptor >> 6
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    if (width := (int(single), 2, 4, 8)[flag]) == 0:
        return None
    size = int.from_bytes(body[start : start + width], "little")
    return size + 256 if width == 2 else size
