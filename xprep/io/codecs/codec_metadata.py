"""The codecs that an array's metadata name, of both formats of Zarr: one reading for whoever decodes, bounds or shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Codec = tuple[str, dict[str, Any]]

# Compressors that say nothing of the size of what is in them, and those that do.
STREAMS: Final = ("gzip", "zlib", "bz2", "lzma")
DECLARED: Final = ("zstd", "blosc", "lz4")
COMPRESSORS: Final = (*STREAMS, *DECLARED)
IN_V3: Final = ("blosc", "zstd", "gzip")  # those that Zarr v3 itself has


def read_codec(codec: Any) -> Codec:
    """Return the name and the settings of one codec, of v3 (``name``, ``configuration``; or a text) or v2 (``id``).

    Examples
    --------
    >>> read_codec("bytes"), read_codec({"name": "zstd", "configuration": {"level": 3}}), read_codec({"id": "zlib", "level": 1})
    (('bytes', {}), ('zstd', {'level': 3}), ('zlib', {'level': 1}))
    """
    if isinstance(codec, str):
        return codec, {}
    if "id" in codec:
        return str(codec["id"]), {key: value for key, value in codec.items() if key != "id"}
    return str(codec["name"]), dict(codec.get("configuration") or {})


def read_codecs(codecs: Sequence[Any] | None) -> list[Codec]:
    """Return the name and the settings of several codecs; of None, which v2 has where there is no compressor, nothing."""
    return [read_codec(codec) for codec in codecs or () if codec is not None]


def codecs_of(metadata: Mapping[str, Any]) -> list[Codec]:
    """Return the name and the settings of every codec of an array, in the order of writing."""
    if metadata.get("zarr_format") == 2:
        return read_codecs([*(metadata.get("filters") or ()), metadata.get("compressor")])
    return read_codecs(metadata.get("codecs"))


def flat_codecs(codecs: Sequence[Codec]) -> Iterator[Codec]:
    """Give the codecs of a chain, and of the shards in it, their indices too."""
    for name, settings in codecs:
        yield name, settings
        yield from flat_codecs(read_codecs(settings.get("codecs")) + read_codecs(settings.get("index_codecs")))


def short_name(name: str) -> str:
    """Return what numcodecs calls a codec.

    >>> short_name("numcodecs.delta"), short_name("zstd")
    ('delta', 'zstd')
    """
    return name.removeprefix("numcodecs.")
