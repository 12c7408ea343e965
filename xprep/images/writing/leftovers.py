"""What an interrupted run left, and whether it is what was written: nothing else is counted by the run that goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from xprep.engine.sources.origins import Origins
from xprep.errors import SourceChangedError, StoreFormatError
from xprep.images.writing.source_watch import NOTE, SourceWatch
from xprep.io.arrays.writes import STORED, ZarrWritable
from xprep.io.commit.image_store import ImageStore
from xprep.io.commit.journal import PARTS, Journal, Record
from xprep.io.commit.mark import read_mark
from xprep.io.commit.object_checks import compare_bytes, known_whole
from xprep.io.ome.groups import read_group
from xprep.io.store.places import Place
from xprep.types import Array, Listener

STAGE = "checking"
UNKNOWN = "the note on the source is missing or incomplete: the run ended before the source was listed, or lost the note."
TOLD_BYTES = 2**28  # less is read in a second, and no bar is worth it


@dataclass(frozen=True, eq=False)
class KeptTiles:
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
    lost
        What a finished store lacked.
    """

    records: Sequence[Record] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    torn: Sequence[str] = ()
    objects: int = 0
    nbytes: int = 0
    damaged: int = 0
    lost: Sequence[str] = ()

    def sentences(self) -> list[str]:
        """Return what a report says of what could not be used."""
        found = []
        if self.torn:
            found.append(f"{len(self.torn)} notes could not be used, and what they described was made again: {self.torn[0]}")
        if self.lost:
            found.append(f"{len(self.lost)} objects of the finished store were lost or cut, and made again: {self.lost[0]}, …")
        if self.damaged:
            found.append(f"{self.damaged} objects that an earlier run wrote are not as it wrote them, and were made again.")
        return found


# What is known of the source of a store: it is unchanged, or this cannot be known, or nothing was written yet.
Source = Literal["as it was", "unknown", "nothing"]


def source_of(store: ImageStore | Place, origins: Origins, watch: SourceWatch) -> Source:
    """Return what is known of the source of what an earlier run left, or finished.

    Raises
    ------
    SourceChangedError
        It is not what it was.
    """
    if isinstance(store, Place):
        group = read_group(store)
        watch.check_finished(origins, {} if group is None else read_mark(group), store.url)
        return "as it was"
    if not store.resumed:
        return "nothing"
    kept = None
    with suppress(StoreFormatError):
        kept = Journal(store.levels[0].place).load(NOTE)
    if kept is None:
        return "unknown"
    try:
        watch.resume(origins, kept, store.url)
    except SourceChangedError:
        if _was_used(store.place):
            raise
        return "nothing"  # such as a chunk that could not be read, and was restored
    return "as it was"


def _was_used(place: Place) -> bool:
    """Whether a store that was begun holds anything that was made of its source: a tile, a statistic."""
    names = place.list_names() if place.keeps_notes else []
    return any(f"/{PARTS}/" in f"/{name}" and not name.endswith(".note") for name in names)


def kept_of(source: Source, levels: Sequence[ZarrWritable], listener: Listener | None) -> KeptTiles:
    """Return what an earlier run left of the pyramid ``levels`` that can be gone on with; what cannot is forgotten."""
    if source == "as it was":
        return find_kept(levels, listener)
    if source == "nothing":
        return KeptTiles()
    # A later run would find what the source is now beside tiles of what it was.
    Journal(levels[0].place).forget()
    return KeptTiles(torn=(UNKNOWN,))


def find_kept(levels: Sequence[ZarrWritable], listener: Listener | None = None) -> KeptTiles:
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
    return KeptTiles(whole, notes.values, notes.torn, sum(len(record.stored) for record in records), nbytes, len(wrong))


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
