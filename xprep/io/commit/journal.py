"""What was written, kept beside the pixels: meanwhile a record a tile, afterwards size and checksum of every object.

All of it lies in the folder ``.xprep`` of an array, where no reader looks: ``.xprep/parts`` holds the records of a run, one
line each in a file of this machine, one object each in a bucket; ``.xprep/manifest.npy`` the finished array's list.
"""

from __future__ import annotations

import base64
import io
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from xprep.errors import StoreFormatError
from xprep.io.arrays.writes import STORED
from xprep.io.codecs.chains import checksum_of
from xprep.io.commit.notes import FORMAT, decode_note, encode_note
from xprep.io.store.keys import make_folders, sync_folder
from xprep.io.store.places import MANY, Place
from xprep.types import Array

FOLDER: Final = ".xprep"
MANIFEST: Final = f"{FOLDER}/manifest.npy"
PARTS: Final = f"{FOLDER}/parts"
# Endings of notes that are a file each: statistics; what the run is, and what it reads.
VALUE: Final = ".value"
NAMED: Final = (VALUE, ".note")
# The note that repeats what the mark in the root's attributes says.
COPY: Final = "mark.note"
_KEPT: Final = np.dtype([("size", "<i8"), ("crc32c", "<u4")])

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Record:
    """A tile that was written: its level, where it lies, the objects, and what else was noted."""

    level: int
    region: Spans
    stored: Array
    about: Mapping[str, Any] | None = None

    def to_note(self) -> bytes:
        """Return it as a note."""
        stored = base64.b64encode(self.stored.tobytes()).decode()
        return encode_note({"level": self.level, "region": self.region, "stored": stored, "about": self.about})

    @staticmethod
    def from_note(line: bytes, where: str) -> Record:
        """Return what `to_note` gave.

        Raises
        ------
        StoreFormatError
            It is torn, was changed, or is of another version.
        """
        found = decode_note(line, where)
        region = tuple((int(start), int(stop)) for start, stop in found["region"])
        stored = np.frombuffer(base64.b64decode(found["stored"]), STORED)
        return Record(int(found["level"]), region, stored, found["about"])


@dataclass(frozen=True, eq=False)
class Notes:
    """What a journal holds: records of tiles, values by name, and what is wrong with notes that are torn."""

    records: list[Record]
    values: dict[str, dict[str, Any]]
    torn: list[str]


@dataclass(frozen=True)
class Journal:
    """The records of a pyramid that is being written; picklable, and written by any process and thread.

    Parameters
    ----------
    place : Place
        The folder of its first level's array.
    """

    place: Place

    def add(self, record: Record, lasting: bool = False) -> None:
        """Keep ``record``: in one write, so that it is there whole or not at all.

        What is ``lasting`` is there after a power cut, with all that this process kept before. One of the last seconds may be
        lost: then its tile is made again.
        """
        if not self.place.keeps_notes:
            return
        if (folder := self.place.folder) is not None:
            path = f"{folder}/{PARTS}/{socket.gethostname()}-{os.getpid()}.jsonl"
            _append(path, b"\n" + record.to_note() + b"\n", self.place, lasting)
        else:
            at = ".".join(str(start) for start, _ in record.region)
            self.place.set(f"{PARTS}/{record.level}-{at}.json", record.to_note())

    def read(self, about: int = MANY) -> Notes:
        """Return everything that was kept, the latest record of each tile; of ``about`` so many."""
        latest: dict[tuple[int, Spans], Record] = {}
        values: dict[str, dict[str, Any]] = {}
        torn = []
        for name, line in self._lines(about):
            where = f"{self.place}/{PARTS}/{name}"
            try:
                if name.endswith(NAMED):
                    values[name] = decode_note(line, where)
                else:
                    record = Record.from_note(line, where)
                    latest[record.level, record.region] = record
            except StoreFormatError as error:
                torn.append(str(error))
        return Notes(list(latest.values()), values, torn)

    def records(self) -> list[Record]:
        """Return the records that are whole."""
        return self.read().records

    def save(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep a JSON object for the time of the run; ``name`` ends in one of `NAMED`."""
        if self.place.keeps_notes:
            self.place.set(f"{PARTS}/{name}", encode_note(value))

    def load(self, name: str) -> dict[str, Any] | None:
        """Return what was saved, None if nothing was.

        Raises
        ------
        StoreFormatError
            It is torn, was changed, or is of another version.
        """
        data = self.place.get(f"{PARTS}/{name}") if self.place.keeps_notes else None
        return None if data is None else decode_note(data, f"{self.place}/{PARTS}/{name}")

    def forget(self) -> None:
        """Delete all that was kept."""
        self.place.child(PARTS).delete()

    def _lines(self, about: int) -> Iterator[tuple[str, bytes]]:
        parts = self.place.child(PARTS)
        listed = parts.list_names(about) if self.place.keeps_notes else []
        names = [name for name in listed if not name.endswith(".partial")]
        for at in range(0, len(names), 256):
            some = names[at : at + 256]
            for name, data in zip(some, parts.get_many(some), strict=True):
                lines = (data or b"").split(b"\n")
                yield from ((name, line) for line in lines if line or (name.endswith(NAMED) and len(lines) == 1))


def _append(path: str, data: bytes, place: Place, lasting: bool) -> None:
    # A line begins with a break as well: what a killed process left unfinished spoils itself only.
    with place.errors("write"):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        try:
            file = os.open(path, flags, 0o666)
        except FileNotFoundError:
            make_folders(os.path.dirname(path), lasting=True)
            file = os.open(path, flags, 0o666)
        try:
            os.write(file, data)
            if lasting:
                os.fsync(file)
                sync_folder(os.path.dirname(path))
        finally:
            os.close(file)


def encode_manifest(stored: Array, units: int) -> bytes:
    """Return the object that keeps size and crc32c of all ``units`` of an array, in C order: npy, and behind it its checksum."""
    kept = np.zeros(units, _KEPT)
    kept["size"] = -1
    for name in _KEPT.names or ():
        kept[name][stored["unit"]] = stored[name]
    buffer = io.BytesIO()
    np.save(buffer, kept, allow_pickle=False)
    data = buffer.getvalue()
    return data + b" %s %08x" % (FORMAT.encode(), checksum_of(data))


def read_manifest(place: Place) -> Array | None:
    """Return ``size`` and ``crc32c`` of all units of the array in the folder ``place``; None where nobody kept them.

    Raises
    ------
    StoreFormatError
        It is damaged.
    """
    if not place.keeps_notes or (found := place.get(MANIFEST)) is None:
        return None
    data, _, checksum = found.rpartition(b" %s " % FORMAT.encode())
    if checksum != b"%08x" % checksum_of(data):
        raise StoreFormatError(
            f"{place}/{MANIFEST}, the list of checksums, is damaged, or another version of xprep wrote it, so nothing can be "
            "compared: overwrite=True writes the store anew."
        )
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
