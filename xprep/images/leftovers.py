"""What an interrupted run left, and whether it is what was written: nothing else is counted by the run that goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xprep.io.comparing import compare_bytes, known_whole
from xprep.io.journal import Journal, Record
from xprep.io.writes import STORED, ZarrWritable
from xprep.types import Array, Listener

STAGE = "checking"
TOLD_BYTES = 2**28  # less is read in a second, and no bar is worth it


@dataclass(frozen=True, eq=False)
class Kept:
    """What an earlier run left of one pyramid.

    Attributes
    ----------
    records
        Tiles of which every object is there, and is what was written.
    values
        What else was kept, by name: statistics.
    torn
        What is wrong with notes that cannot be used.
    objects, nbytes
        How many objects were compared, and how many bytes were read for that.
    damaged
        How many of them were not what was written.
    """

    records: Sequence[Record] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    torn: Sequence[str] = ()
    objects: int = 0
    nbytes: int = 0
    damaged: int = 0

    def sentences(self) -> list[str]:
        """Return what a report says of what could not be used."""
        found = []
        if self.torn:
            found.append(f"{len(self.torn)} notes could not be used, and what they were about was made again: {self.torn[0]}")
        if self.damaged:
            found.append(f"{self.damaged} objects that an earlier run wrote are not as it wrote them, and were made again.")
        return found


def find_kept(levels: Sequence[ZarrWritable], listener: Listener | None = None) -> Kept:
    """Return what an earlier run left of the pyramid ``levels``, each object compared with what was written.

    By its size, which one listing tells; and by its MD5, where the store knows that, else it is read.
    """
    notes = Journal(levels[0].place).read(sum(level.about for level in levels))
    records = [record for record in notes.records if 0 <= record.level < len(levels)]
    wrong: set[tuple[int, int]] = set()
    nbytes = 0
    for number, level in enumerate(levels):
        mine = [record.stored for record in records if record.level == number]
        if mine:
            read, bad = _check(level, np.concatenate([np.empty(0, STORED), *mine]), listener)
            nbytes += read
            wrong |= {(number, unit) for unit in bad}
    whole = [record for record in records if not any((record.level, int(unit)) in wrong for unit in record.stored["unit"])]
    return Kept(whole, notes.values, notes.torn, sum(len(record.stored) for record in records), nbytes, len(wrong))


def _check(level: ZarrWritable, stored: Array, listener: Listener | None) -> tuple[int, set[int]]:
    """Return how many bytes of the objects ``stored`` were read, and which of them are not what was written."""
    have = level.place.list_objects(level.about)
    keys = [level.chunk_key(level.grid.position(int(unit))) for unit in stored["unit"]]
    right = np.array([have.sizes.get(key) == size for key, size in zip(keys, stored["size"], strict=True)], bool)
    wrong = set(stored["unit"][~right].tolist())
    unknown = stored[right][~np.array(known_whole(level, stored[right], have), bool)]
    nbytes = int(unknown["size"].sum())
    told = listener if nbytes > TOLD_BYTES else None
    if told is not None:
        told.started(STAGE, len(unknown))
    for some in compare_bytes(level, unknown["unit"], unknown):
        wrong |= some.wrong.keys()
        if told is not None:
            told.advanced(STAGE, some.units, 0)
    if told is not None:
        told.finished(STAGE)
    return nbytes, wrong
