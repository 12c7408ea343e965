"""How chunks are stored, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    if metadata.get("zarr_format") == 2:
        given = [*(metadata.get("filters") or []), metadata.get("compressor")]
        return _join([_name(codec["id"], codec) for codec in given if isinstance(codec, Mapping)])
    return _join(_names(metadata.get("codecs") or []))


def _join(names: Sequence[str]) -> str:
    return ", ".join(name for name in names if name) or "uncompressed"


def _names(codecs: Sequence[Any]) -> list[str]:
    found = []
    for codec in codecs:
        if isinstance(codec, Mapping):
            settings = codec.get("configuration") or {}
            inner = settings.get("codecs") if codec["name"] == "sharding_indexed" else None
            found += _names(inner) if inner is not None else [_name(str(codec["name"]), settings)]
    return found


def _name(codec: str, settings: Mapping[str, Any]) -> str:
    """Return one codec with its settings; ``""`` for the order of bytes, which is no news."""
    if codec == "bytes":
        return ""
    inner = f" {settings['cname']}" if "cname" in settings else ""
    level = settings.get("level", settings.get("clevel"))
    shuffle = _SHUFFLES.get(settings.get("shuffle", ""), "")
    return f"{codec}{inner}" + (f" level {level}" if level is not None else "") + (f" with {shuffle}" if shuffle else "")
