"""How chunks are stored, in a few words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xprep.io.codecs.codec_metadata import Codec, codecs_of, read_codecs

_SHUFFLES = {"shuffle": "shuffle", "bitshuffle": "bit shuffle", 1: "shuffle", 2: "bit shuffle"}


def name_codecs(metadata: Mapping[str, Any]) -> str:
    """Return what an array's metadata, v3 or v2, say about its compression.

    Examples
    --------
    >>> name_codecs({"zarr_format": 3, "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3}}]})
    'zstd level 3'
    >>> name_codecs({"zarr_format": 2, "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}})
    'blosc lz4 level 5 with shuffle'
    """
    names = [_name(codec, settings) for codec, settings in _unpacked(codecs_of(metadata))]
    return ", ".join(name for name in names if name) or "uncompressed"


def _unpacked(codecs: Sequence[Codec]) -> Iterator[Codec]:
    """Give the codecs of a chain, in place of shards what is in them."""
    for name, settings in codecs:
        if name == "sharding_indexed" and settings.get("codecs") is not None:
            yield from _unpacked(read_codecs(settings["codecs"]))
        else:
            yield name, settings


def _name(codec: str, settings: Mapping[str, Any]) -> str:
    """Return one codec with its settings; ``""`` for the order of bytes, which is no news."""
    if codec == "bytes":
        return ""
    inner = f" {settings['cname']}" if "cname" in settings else ""
    level = settings.get("level", settings.get("clevel"))
    shuffle = _SHUFFLES.get(settings.get("shuffle", ""), "")
    return f"{codec}{inner}" + (f" level {level}" if level is not None else "") + (f" with {shuffle}" if shuffle else "")
