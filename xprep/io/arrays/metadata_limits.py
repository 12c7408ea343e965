"""What metadata from elsewhere may say: checked before zarr sees them and before a graph is built from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Final

from xprep.errors import StoreFormatError
from xprep.io.codecs.rectilinear import ragged_lengths
from xprep.io.json_nodes import brief

# 2**40 x 2**40 pixels in chunks of 2 opens without complaint and never ends; 10 TB in chunks of 64 KiB is 1.6e8.
MAX_CHUNKS: Final = 2**28
# One chunk is in memory whole, several at a time.
MAX_CHUNK_PIXELS: Final = 2**31
MAX_LENGTH: Final = 2**63 - 1


def check_array_metadata(metadata: Mapping[str, Any], where: str) -> None:
    """Refuse array metadata that would be dangerous to follow, before zarr sees them.

    Raises
    ------
    StoreFormatError
        Lengths that are not whole numbers, zero or negative chunks, another number of chunk lengths than of axes,
        more than `MAX_CHUNKS` chunks, chunks above `MAX_CHUNK_PIXELS`, two dimensions of one name, a codec that runs code.
    """
    if codec := next(_pickles([metadata.get(key) for key in ("codecs", "filters", "compressor")]), None):
        raise StoreFormatError(
            f"{where}: the codec {codec!r} runs whatever code lies in the data, so it is not opened. Whoever trusts it can open "
            "it elsewhere and store it again as numbers."
        )
    if not isinstance(metadata.get("attributes") or {}, Mapping):
        raise StoreFormatError(f"{where}: attributes must be an object; got {brief(metadata['attributes'])}.")
    shape = _lengths(metadata.get("shape"), 0, f"{where}: shape")
    for chunks in _chunk_shapes(metadata, where):
        if len(chunks) != len(shape):
            raise StoreFormatError(f"{where} has {len(shape)} axes, but chunks {list(chunks)}.")
        if prod(-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True)) > MAX_CHUNKS:
            raise StoreFormatError(
                f"{where}: {list(shape)} in chunks {list(chunks)} is more than {MAX_CHUNKS} chunks. If the shape is right, store "
                "it again in larger chunks, or in shards."
            )
        if prod(chunks) > MAX_CHUNK_PIXELS:
            raise StoreFormatError(f"{where}: a chunk {list(chunks)} has more than {MAX_CHUNK_PIXELS} pixels.")
    names = [name for name in metadata.get("dimension_names") or [] if name is not None]
    if len(set(map(str, names))) != len(names):
        raise StoreFormatError(f"{where}: two dimensions have one name: {brief(names)}.")


def _pickles(value: Any) -> Iterator[str]:
    """Find pickle among codecs, those of shards too."""
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        if isinstance(inner, str) and inner.rpartition(".")[2] == "pickle":
            yield inner
        yield from _pickles(inner)


def _chunk_shapes(metadata: Mapping[str, Any], where: str) -> Iterator[tuple[int, ...]]:
    if (ragged := ragged_lengths(metadata, where)) is not None:
        if prod(map(len, ragged)) > MAX_CHUNKS:
            raise StoreFormatError(f"{where} has more than {MAX_CHUNKS} chunks.")
        yield tuple(map(max, ragged))
        return
    try:
        if metadata.get("zarr_format") == 2:
            yield _lengths(metadata.get("chunks"), 1, f"{where}: chunks")
            return
        yield _lengths(metadata["chunk_grid"]["configuration"]["chunk_shape"], 1, f"{where}: chunk_shape")
        for codec in metadata["codecs"]:
            if isinstance(codec, Mapping) and codec["name"] == "sharding_indexed":
                yield _lengths(codec["configuration"]["chunk_shape"], 1, f"{where}: chunk_shape of the shards")
    except (KeyError, TypeError) as error:
        raise StoreFormatError(f"{where} lacks {error} in its metadata.") from None


def _lengths(value: Any, least: int, what: str) -> tuple[int, ...]:
    whole = isinstance(value, list | tuple) and all(type(n) is int and least <= n <= MAX_LENGTH for n in value)
    if not whole:
        raise StoreFormatError(f"{what} must be whole numbers of at least {least}; got {brief(value)}.")
    return tuple(value)
