"""Frames of zstd, made by hand (RFC 8878): what they say and what their blocks can give is added up before any is inflated.

Each frame that is refused here is cut short, so whoever inflates it first says something else.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from typing import Any

import numcodecs
import numpy as np
import pytest

from xprep.io.codecs.chains import declared_size
from xprep.io.codecs.inflation import check_inflation, inflate

BLOCK = 2**17  # bytes, the most that a block can give
RAW, RLE, COMPRESSED = 0, 1, 2


def block(kind: int, given: int, *, last: bool = False) -> bytes:
    """A block that gives ``given`` bytes; a compressed one at most 31, all of them literals."""
    literals = bytes([(given & 31) << 3]) + b"c" * given  # and no sequence
    body = {RAW: b"r" * given, RLE: b"e", COMPRESSED: literals + b"\0"}[kind]
    size = given if kind == RLE else len(body)
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + body


def blocks(kind: int, given: int, count: int) -> bytes:
    return block(kind, given) * (count - 1) + block(kind, given, last=True)


def frame(body: bytes, size: int | None = None, width: int = 8, *, single: bool = False, named: int = 0) -> bytes:
    """A frame of ``body``, that says its ``size`` in ``width`` bytes or nothing; ``named``: bytes of a dictionary's number."""
    flag = 0 if size is None else {1: 0, 2: 1, 4: 2, 8: 3}[width]
    descriptor = flag << 6 | single << 5 | (0, 1, 2, 4).index(named)
    window = b"" if single else b"\x70"  # 16 MiB
    said = b"" if size is None else (size - 256 * (width == 2)).to_bytes(width, "little")
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + window + bytes(named) + said + body


def skipped(nbytes: int, kind: int = 0) -> bytes:
    return (0x184D2A50 + kind).to_bytes(4, "little") + nbytes.to_bytes(4, "little") + b"s" * nbytes


SMALL = frame(block(RAW, 5, last=True), 5)
# What follows one another, and how much it inflates to.
WHOLE: dict[str, tuple[bytes, int]] = {
    "size in 1 byte": (frame(block(RAW, 200, last=True), 200, 1, single=True), 200),
    "size in 2 bytes": (frame(block(RAW, 300, last=True), 300, 2), 300),
    "size in 2 bytes, no window": (frame(block(RAW, 300, last=True), 300, 2, single=True), 300),
    "size in 4 bytes": (frame(block(RLE, 70_000, last=True), 70_000, 4), 70_000),
    "size in 8 bytes": (frame(block(RLE, 70_000, last=True), 70_000, 8, single=True), 70_000),
    "the number of no dictionary, 1 byte": (frame(block(RAW, 5, last=True), 5, 4, named=1), 5),
    "the number of no dictionary, 2 bytes": (frame(block(RAW, 5, last=True), 5, 4, named=2), 5),
    "the number of no dictionary, 4 bytes": (frame(block(RAW, 5, last=True), 5, 4, named=4), 5),
    "raw blocks, no size": (frame(blocks(RAW, 1000, 7)), 7000),
    "repeated bytes, no size": (frame(blocks(RLE, 1000, 7)), 7000),
    "compressed blocks, no size": (frame(blocks(COMPRESSED, 31, 7)), 7 * 31),
    "checksums": (bytes(numcodecs.Zstd(1, checksum=True).encode(b"ab" * 500)) * 2, 2000),
    "two": (SMALL + SMALL, 10),
    "one to skip between": (SMALL + skipped(3) + SMALL, 10),
    "a long one to skip": (SMALL + skipped(70_000, 15) + SMALL, 10),
    "nothing to skip": (SMALL + skipped(0) + SMALL, 10),
}


@pytest.mark.parametrize(("body", "size"), WHOLE.values(), ids=WHOLE)
def test_frames_that_fit_are_inflated(body: bytes, size: int) -> None:
    assert len(inflate("zstd", {}, memoryview(body), size)) == size
    with pytest.raises(ValueError, match=f"inflate to {size} or more; at most {size - 1}"):
        inflate("zstd", {}, memoryview(body), size - 1)


# Cut short; what is said of them, and the largest limit at which that is refused.
CUT: dict[str, tuple[bytes, int, int]] = {
    "said": (frame(block(RLE, BLOCK), 10**6), 10**6, 10**6 - 1),
    "said in two bytes": (frame(block(RLE, BLOCK), 65_791, 2), 65_791, 65_790),
    "said twice": (SMALL + frame(block(RLE, BLOCK), 10**6), 10**6 + 5, 10**6 + 4),
    "said behind one to skip": (SMALL + skipped(700) + frame(block(RLE, BLOCK), 10**6), 10**6 + 5, 10**6 + 4),
    "raw": (frame(block(RAW, BLOCK) * 9), 9 * BLOCK, BLOCK // 2 - 1),
    "repeated": (frame(block(RLE, BLOCK) * 9), 9 * BLOCK, BLOCK // 2 - 1),
    "compressed": (frame(block(COMPRESSED, 31) * 9), 9 * BLOCK, BLOCK // 2 - 1),
    "half of it each": (frame(blocks(COMPRESSED, 31, 5)) + frame(block(COMPRESSED, 31) * 5), 10 * BLOCK, BLOCK - 1),
    "of all kinds": (frame(block(COMPRESSED, 1) * 8 + block(RAW, 70_000) + block(RLE, 70_000)), 8 * BLOCK + 140_000, 69_999),
    "behind one that says its size": (SMALL + frame(block(RLE, BLOCK) * 9), 5 + 9 * BLOCK, BLOCK // 2 - 1),
}


@pytest.mark.parametrize(("body", "size", "limit"), CUT.values(), ids=CUT)
def test_what_cannot_fit_is_refused_before_it_is_inflated(body: bytes, size: int, limit: int) -> None:
    with pytest.raises(ValueError, match=f"inflate to {size} or more; at most {limit} are taken"):
        inflate("zstd", {}, memoryview(body), limit)
    with pytest.raises((ValueError, RuntimeError), match=r"^(?!.*inflate to)"):  # it fits, and is broken
        inflate("zstd", {}, memoryview(body), limit + 1)


def test_blocks_may_be_far_from_full() -> None:
    """An encoder that is flushed ends a block early: twice as many as fill the limit, and eight more."""
    for full, most in ((1, 10), (4, 16)):
        body = frame(blocks(COMPRESSED, 31, most))
        assert len(inflate("zstd", {}, memoryview(body), full * BLOCK)) == 31 * most
        with pytest.raises(ValueError, match=f"inflate to {(most + 1) * BLOCK} or more"):
            inflate("zstd", {}, memoryview(frame(blocks(COMPRESSED, 31, most + 1))), full * BLOCK)


NOTHING: dict[str, bytes] = {"nothing": b"", "a letter": b"a", "half a mark": b"\x28\xb5", "the mark": b"\x28\xb5\x2f\xfd"}


@pytest.mark.parametrize("body", [*NOTHING.values(), b"no frame of zstd", SMALL[1:]], ids=[*NOTHING, "others", "a byte lost"])
def test_what_is_no_frame_says_no_size(body: bytes) -> None:
    with pytest.raises(ValueError, match="it is no zstd frame"):
        declared_size("zstd", memoryview(body))


@pytest.mark.parametrize("name", ["blosc", "lz4"])
@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING)
def test_what_is_too_short_says_no_size(name: str, body: bytes) -> None:
    with pytest.raises(ValueError, match=f"it is cut short: {len(body)} bytes"):
        declared_size(name, memoryview(body))


STREAMS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bz2": bz2.compress, "lzma": lzma.compress}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_fits_to_the_byte_is_read_to_its_end(name: str) -> None:
    """Its checksum stands there, and maybe another stream."""
    body = STREAMS[name](b"a" * 1000)
    assert bytes(inflate(name, {}, memoryview(body), 1000)) == b"a" * 1000
    with pytest.raises(ValueError, match=f"cut short: {len(body) - 1} bytes"):
        inflate(name, {}, memoryview(body[:-1]), 1000)
    with pytest.raises(ValueError, match="inflate to 1001 or more; at most 1000"):
        inflate(name, {}, memoryview(body + body), 1000)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_texts_of_no_letter_are_as_many_as_their_lengths_have_room_for(count: int) -> None:
    metadata: Any = {"zarr_format": 2, "chunks": [count], "filters": [{"id": "vlen-utf8"}], "compressor": None}
    data = bytes(numcodecs.VLenUTF8().encode(np.array([""] * count, object)))
    check_inflation(metadata, data)
    with pytest.raises(ValueError, match=f"it has {count + 1} entries, in {len(data)} bytes"):
        check_inflation(metadata, (count + 1).to_bytes(4, "little") + data[4:])
