"""Small objects that inflate without end: refused before somebody else's decoder sees them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

import numcodecs
import numpy as np

from xprep.io.codecs import Buffer, declared_size

# A million names of channels, cells or wells of 64 letters.
COORDINATE_BYTES: Final = 64 * 2**20


def check_inflation(metadata: Mapping[str, Any], data: Buffer, limit: int = COORDINATE_BYTES) -> None:
    """Refuse a chunk that inflates to more than ``limit`` bytes, of an array with these metadata, without inflating it.

    Raises
    ------
    ValueError
        It does, or says nothing of its size and does not fit.
    """
    if not data:
        return
    name, body = _compressor(metadata, memoryview(data))
    if name in ("gzip", "zlib"):
        size = len(zlib.decompressobj(wbits=47).decompress(body, limit + 1))
    elif name in ("zstd", "blosc", "lz4"):
        declared = declared_size(name, body)
        size = declared if declared is not None else _fitting(name, body, limit)
    else:
        return
    if size > limit:
        raise ValueError(f"{len(data)} bytes inflate to {size} or more; at most {limit} are taken")


def _fitting(name: str, body: memoryview, limit: int) -> int:
    """Return ``limit`` if what says nothing of its size fits in it."""
    try:
        numcodecs.get_codec({"id": name}).decode(body, np.empty(limit, np.uint8))
    except RuntimeError:
        return limit + 1
    return limit


def _compressor(metadata: Mapping[str, Any], body: memoryview) -> tuple[str, memoryview]:
    if metadata.get("zarr_format") == 2:
        return str((metadata.get("compressor") or {}).get("id", "")), body
    names = [str(codec if isinstance(codec, str) else codec.get("name")) for codec in metadata.get("codecs") or []]
    if names[-1:] == ["crc32c"]:
        names, body = names[:-1], body[:-4]
    return (names[-1] if names else ""), body
