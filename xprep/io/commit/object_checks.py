"""Whether the stored objects of an array are what was written: by their sizes, their MD5 where a store knows it, their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from xprep.io.arrays.reads import ZarrReadable
from xprep.io.arrays.writes import ZarrWritable
from xprep.io.codecs.chains import checksum_of
from xprep.io.store.listing import Objects
from xprep.types import Array

BATCH = 16  # objects in memory at a time; requests in flight of one call
Wrong = Literal["missing", "size", "checksum"]


@dataclass(frozen=True)
class Compared:
    """Some units that were read: how many bytes, and what is wrong with which, by key."""

    units: int
    nbytes: int
    wrong: dict[int, tuple[str, Wrong]]


def compare_bytes(array: ZarrReadable | ZarrWritable, units: Sequence[int], kept: Array) -> Iterator[Compared]:
    """Read ``units``, some at a time, and compare each with the ``size`` and ``crc32c`` that were kept of it."""
    for first in range(0, len(units), BATCH):
        some = [int(unit) for unit in units[first : first + BATCH]]
        names = [array.chunk_key(array.grid.position(unit)) for unit in some]
        found = array.place.get_many(names)
        wrong = {
            unit: (name, kind)
            for unit, name, data, one in zip(some, names, found, kept[first : first + BATCH], strict=True)
            if (kind := _kind(data, int(one["size"]), int(one["crc32c"]))) is not None
        }
        yield Compared(len(names), sum(len(data or b"") for data in found), wrong)


def _kind(data: bytes | None, size: int, crc: int) -> Wrong | None:
    if data is None:
        return "missing"
    if len(data) != size:
        return "size"
    return "checksum" if checksum_of(data) != crc else None


def known_whole(array: ZarrWritable, stored: Array, have: Objects) -> Sequence[bool]:
    """Return for each unit whether the store's own MD5 says, without that it is read, that it is what was written."""
    keys = [array.chunk_key(array.grid.position(int(unit))) for unit in stored["unit"]]
    return [have.md5s.get(key, b"") == md5.tobytes() for key, md5 in zip(keys, stored["md5"], strict=True)]


def find_replaced(array: ZarrWritable, stored: Array, md5s: dict[str, bytes]) -> list[str]:
    """Return the keys of the units whose MD5 in a listing is not that of what was written.

    None at all where not one is the same: then the store's ETags are no MD5 (S3 with keys of KMS).
    """
    keys = [array.chunk_key(array.grid.position(int(unit))) for unit in (stored["unit"] if md5s else ())]
    wanted = zip(keys, (md5.tobytes() for md5 in stored["md5"]), strict=False)
    told = {key: md5s[key] == md5 for key, md5 in wanted if key in md5s and any(md5)}
    return [key for key, same in told.items() if not same] if any(told.values()) else []
