"""How chunks are compressed: which codecs, of both formats, and what speaks for the defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numcodecs
import zarr.abc.codec
from numcodecs.errors import UnknownCodecError
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec
from zarr.errors import UnknownCodecError as UnknownZarrCodecError
from zarr.registry import get_codec_class

from xprep.io.codecs.codec_metadata import read_codec, short_name
from xprep.io.private_zarr import chooses_shuffle

# What a text may say, and the levels of each: those of its own library.
_LEVELS: Final[Mapping[str, range]] = {
    "zstd": range(1, 23), "gzip": range(1, 10),
    **{f"blosc-{inner}": range(1, 10) for inner in ("zstd", "lz4", "lz4hc", "zlib", "blosclz")},
}  # fmt: skip
_SHUFFLES: Final = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle", -1: None}  # None: zarr chooses as blosc does, by the dtype
_WAYS: Final = "Give 'none', 'zstd', 'zstd:3', 'gzip:6', 'blosc-zstd:1', 'blosc-lz4', or codecs of zarr or numcodecs."


@dataclass(frozen=True)
class Codec:
    """How chunks are compressed.

    Parameters
    ----------
    steps : tuple
        Codecs of zarr or numcodecs, in the order of writing.
    checksum : bool, optional
        A crc32c after each chunk (Zarr v3; v2 has no place for one): zstd alone decodes a flipped bit without a word. None is
        where there is a place.
    """

    steps: tuple[Any, ...] = ()
    checksum: bool | None = None

    @classmethod
    def of(cls, compression: Any, checksum: bool | None = None) -> Codec:
        """Return what ``compression`` means: a text, a codec of zarr or numcodecs or its metadata, or several of these.

        Raises
        ------
        ValueError
            A text or metadata that name no codec.
        TypeError
            Something else.
        """
        if isinstance(compression, str):
            return cls(_of_text(compression), checksum)
        several = compression if isinstance(compression, list | tuple) else [compression]
        return cls(tuple(map(_of_object, several)), checksum)

    def for_v3(self) -> dict[str, Any]:
        """Return it as zarr's creation of an array of v3 wants it.

        Raises
        ------
        ValueError
            One of its codecs has no form there.
        """
        codecs = [_of_v3(step) for step in self.steps]
        own = any(isinstance(codec, Crc32cCodec) for codec in codecs)
        if own and self.checksum is False:
            raise ValueError("compression lists a crc32c, which checksum=False leaves out. Give one of the two.")
        if self.checksum is not False and not own:
            codecs.append(Crc32cCodec())
        filters = [codec for codec in codecs if isinstance(codec, ArrayArrayCodec)]
        serializers = [codec for codec in codecs if isinstance(codec, ArrayBytesCodec)]
        if len(serializers) > 1:
            raise ValueError(f"compression lists {len(serializers)} codecs that make bytes of arrays; a chunk takes one.")
        rest = [codec for codec in codecs if not isinstance(codec, ArrayArrayCodec | ArrayBytesCodec)]
        if codecs != [*filters, *serializers, *rest]:
            raise ValueError("compression lists codecs in an order that Zarr v3 has not: filters come first, compressors last.")
        own_bytes = {"serializer": serializers[0]} if serializers else {}
        return {"filters": filters or None, "compressors": rest or None, **own_bytes}

    def for_v2(self) -> dict[str, Any]:
        """Return it as zarr's creation of an array of v2 wants it: filters, and the last codec as compressor.

        Raises
        ------
        ValueError
            One of its codecs has no form there; a checksum was asked for.
        """
        if self.checksum:
            raise ValueError(
                "checksum=True: OME-Zarr 0.4 is Zarr v2, which has no place for a checksum in a chunk; the journal keeps one of "
                "each chunk. Leave it out, or write version='0.5'."
            )
        codecs = [_of_v2(step) for step in self.steps]
        return {"filters": codecs[:-1] or None, "compressors": codecs[-1] if codecs else None}

    def options(self, zarr_format: Literal[2, 3]) -> dict[str, Any]:
        """Return it as zarr's creation wants it."""
        return self.for_v3() if zarr_format == 3 else self.for_v2()


def _of_text(text: str) -> tuple[Any, ...]:
    if text == "none":
        return ()
    name, colon, level = text.partition(":")
    if name not in _LEVELS or not re.fullmatch("[0-9]*" if not colon else "[0-9]+", level):
        raise ValueError(f"compression={text!r} is not a compression that xprep knows. {_WAYS}")
    number, levels = int(level or 1), _LEVELS[name]
    if number not in levels:
        raise ValueError(f"compression={text!r}: the level of {name} is {levels[0]} to {levels[-1]}.")
    if name == "zstd":
        return (numcodecs.Zstd(level=number),)
    if name == "gzip":
        return (numcodecs.GZip(level=number),)
    return (numcodecs.Blosc(cname=name.removeprefix("blosc-"), clevel=number, shuffle=numcodecs.Blosc.SHUFFLE),)


def _of_object(given: Any) -> Any:
    if isinstance(given, ShardingCodec):
        raise ValueError("compression is what becomes of a chunk; shards={'y': …, 'x': …} puts chunks into shards.")
    if isinstance(given, zarr.abc.codec.Codec | numcodecs.abc.Codec):
        return given
    if isinstance(given, Mapping) and {"name", "id"} & given.keys():
        return _of_metadata(dict(given))
    raise TypeError(f"compression must be a text or codecs; got {given!r}. {_WAYS}")


def _of_metadata(given: dict[str, Any]) -> Any:
    """Return the codec that metadata of Zarr v3 (``name``, ``configuration``) or v2 (``id``) describe."""
    try:
        if "id" in given:
            return numcodecs.get_codec(given)
        return _of_object(get_codec_class(given["name"]).from_dict({"configuration": {}, **given}))
    except (UnknownCodecError, UnknownZarrCodecError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"compression={given!r} is no codec that is installed here ({error}). {_WAYS}") from None


def _of_v3(codec: Any) -> Any:
    """Return a codec as one of Zarr v3."""
    if isinstance(codec, zarr.abc.codec.Codec):
        return codec
    if isinstance(codec, numcodecs.Blosc):
        shuffle: Any = _SHUFFLES[codec.shuffle]
        return BloscCodec(cname=codec.cname, clevel=codec.clevel, shuffle=shuffle, blocksize=codec.blocksize)
    if isinstance(codec, numcodecs.Zstd):
        return ZstdCodec(level=codec.level, checksum=codec.checksum)
    if isinstance(codec, numcodecs.GZip):
        return GzipCodec(level=codec.level)
    raise ValueError(
        f"Zarr v3, so OME-Zarr 0.5 and 0.6, has no codec {codec.codec_id!r}. Give one that it has (blosc, zstd, gzip); write "
        "version='0.4'; or give it as numcodecs stores it there, which few other programs read: one of zarr.codecs.numcodecs."
    )


def _of_v2(codec: Any) -> Any:
    """Return a codec as one of Zarr v2."""
    if isinstance(codec, numcodecs.abc.Codec):
        return codec
    name, settings = read_codec(codec.to_dict())
    if isinstance(codec, BloscCodec):
        number = next(number for number, name in _SHUFFLES.items() if name == settings["shuffle"])
        shuffle = numcodecs.Blosc.AUTOSHUFFLE if chooses_shuffle(codec) else number
        return numcodecs.Blosc(settings["cname"], settings["clevel"], shuffle, settings["blocksize"])
    if isinstance(codec, ZstdCodec | GzipCodec) or name.startswith("numcodecs."):
        return numcodecs.get_codec({"id": short_name(name), **settings})
    raise ValueError(f"OME-Zarr 0.4 is Zarr v2, which has no codec {name!r}. Leave it out, or write version='0.5'.")


# Of 256 MiB of noisy uint16 (CPU seconds to write, size against zarr's default, zstd level 3, which takes 4.9):
# zstd 1: 1.3 s, +4 %; blosc zstd 1 with shuffle: 1.6 s, -10 %; lz4: 0.8 s, -1 %. On float32 again the smallest.
DEFAULT_CODEC: Final = Codec.of("blosc-zstd:1")
# Shuffling takes the long runs of equal labels apart: without it zstd makes them 15-56 % smaller in 23-63 % less CPU time.
LABELS_CODEC: Final = Codec.of("zstd:1")
# For intermediates, which are read back at once from the page cache: compressing costs more than it saves.
RAW: Final = Codec(checksum=False)
