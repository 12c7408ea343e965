"""What was written, kept beside the pixels: meanwhile a record a tile, afterwards size and checksum of every object.

All of it lies in the folder ``.xprep`` of an array, where no reader looks: ``.xprep/parts`` holds the records of a run, one
line each in a file of this machine, one object each in a bucket; ``.xprep/manifest.npy`` the finished array's list.
"""

from __future__ import annotations

import base64
import io
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from xprep.errors import StoreFormatError
from xprep.io.stores import MANY, Place
from xprep.io.writes import STORED
from xprep.types import Array

FOLDER: Final = ".xprep"
MANIFEST: Final = f"{FOLDER}/manifest.npy"
PARTS: Final = f"{FOLDER}/parts"
_KEPT: Final = np.dtype([("size", "<i8"), ("crc32c", "<u4")])

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Record:
    """A tile that was written: its level, where it lies, the objects, and what else was noted."""

    level: int
    region: Spans
    stored: Array
    about: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        """Return it as one line."""
        stored = base64.b64encode(self.stored.tobytes()).decode()
        found = {"level": self.level, "region": self.region, "stored": stored, "about": self.about}
        return json.dumps(found, separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(line: str | bytes) -> Record | None:
        """Return what `to_json` gave; None of anything else, such as a line that was cut short."""
        try:
            found = json.loads(line)
            region = tuple((int(start), int(stop)) for start, stop in found["region"])
            stored = np.frombuffer(base64.b64decode(found["stored"]), STORED)
            return Record(int(found["level"]), region, stored, found["about"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


@dataclass(frozen=True)
class Journal:
    """The records of a pyramid that is being written; picklable, and written by any process and thread.

    Parameters
    ----------
    place : Place
        The folder of its first level's array.
    """

    place: Place

    def add(self, record: Record) -> None:
        """Keep ``record``: in one write, so that it is there whole or not at all."""
        line = record.to_json()
        if not self.place.keeps_notes:
            return
        if (folder := self.place.folder) is not None:
            path = f"{folder}/{PARTS}/{socket.gethostname()}-{os.getpid()}.jsonl"
            _append(path, f"\n{line}\n".encode(), self.place)
        else:
            at = ".".join(str(start) for start, _ in record.region)
            self.place.set(f"{PARTS}/{record.level}-{at}.json", line.encode())

    def records(self, about: int = MANY) -> list[Record]:
        """Return what was kept, the latest of each tile; of ``about`` so many."""
        found = (Record.from_json(line) for line in self._lines(about))
        latest = {(record.level, record.region): record for record in found if record is not None}
        return list(latest.values())

    def save(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep a JSON object for the time of the run."""
        if self.place.keeps_notes:
            self.place.write_json(f"{PARTS}/{name}.value", value)

    def load(self, name: str) -> dict[str, Any] | None:
        """Return what was saved, None if nothing was."""
        return self.place.read_json(f"{PARTS}/{name}.value") if self.place.keeps_notes else None

    def _lines(self, about: int) -> Iterator[bytes]:
        parts = self.place.child(PARTS)
        listed = parts.list_names(about) if self.place.keeps_notes else []
        names = [name for name in listed if not name.endswith((".value", ".partial"))]
        for at in range(0, len(names), 256):
            for data in parts.get_many(names[at : at + 256]):
                yield from (data or b"").split(b"\n")


def _append(path: str, data: bytes, place: Place) -> None:
    # A line begins with a break as well: what a killed process left unfinished spoils itself only.
    with place.errors("write"):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        try:
            file = os.open(path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file = os.open(path, flags, 0o666)
        try:
            os.write(file, data)
        finally:
            os.close(file)


def write_manifest(place: Place, stored: Array, units: int) -> None:
    """Keep size and crc32c of all ``units`` of the array in the folder ``place``, in C order."""
    if not place.keeps_notes:
        return
    kept = np.zeros(units, _KEPT)
    kept["size"] = -1
    for name in _KEPT.names or ():
        kept[name][stored["unit"]] = stored[name]
    buffer = io.BytesIO()
    np.save(buffer, kept, allow_pickle=False)
    place.set(MANIFEST, buffer.getvalue())


def read_manifest(place: Place) -> Array | None:
    """Return ``size`` and ``crc32c`` of all units of the array in the folder ``place``; None where nobody kept them.

    Raises
    ------
    StoreFormatError
        It is damaged.
    """
    if not place.keeps_notes or (data := place.get(MANIFEST)) is None:
        return None
    try:
        kept = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise StoreFormatError(f"{place}/{MANIFEST} is damaged: {error}") from None
    if not isinstance(kept, np.ndarray) or kept.dtype != _KEPT or kept.ndim != 1:
        raise StoreFormatError(f"{place}/{MANIFEST} is damaged: it is no list of sizes and checksums.")
    return kept


def whole_records(records: Sequence[Record], sizes: Sequence[Mapping[int, int]]) -> list[Record]:
    """Return the records whose objects are all there, in their size; ``sizes`` are by level and unit."""
    return [
        record
        for record in records
        if 0 <= record.level < len(sizes)
        and all(sizes[record.level].get(int(unit)) == int(size) for unit, size, _ in record.stored)
    ]
