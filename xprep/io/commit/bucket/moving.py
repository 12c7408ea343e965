"""Replacing a store in a bucket by one that was made beside it: at every moment one of the two is whole.

A bucket cannot rename. So the new store N (``.NAME.xxxxxxxx.xprep-new``) is written beside the old one at T (``NAME``), finished
and checked there, and then copied by the store itself (`xprep.io.commit.bucket.copying`). What happens, and what a kill leaves:

==  =====================================================================  ====================  ====================
at  what happens                                                           T is                  N is
==  =====================================================================  ====================  ====================
1   N is written                                                           old and **whole**     unfinished
2   the note ``.NAME.xprep-move`` says: N, to T, by whom                   old and **whole**     unfinished
3   N gets its root metadata                                               old and **whole**     whole
4   T's root says "writing", and from where                                old, does not open    **whole**
5   everything else at T is deleted                                        parts of the old      **whole**
6   T's root says that it is emptied                                       empty                 **whole**
7   objects are copied, those that T lacks                                 parts of the new      **whole**
8   a listing shows all in their sizes; N's root metadata are copied last  new and **whole**     whole
9   N's root says that it was moved; N is deleted, its root last; then     new and **whole**     being deleted
    the note
==  =====================================================================  ====================  ====================

The next run that is the same call with ``resume=True``, or any with ``overwrite=True``, goes on from there: killed at 1 or 2 it
resumes N, or deletes it; from 3 on it does what is left, as a whole N is moved whoever made it
(`xprep.io.commit.bucket.replacing`).

Everything that the next step relies on is read back, so that a write which a server lost is an error and no loss. T is emptied
before it is filled: an object at T is then a copy and never one of the old store, so the listing is a proof, a killed run need
not copy twice, and two images are never mixed. Who holds T open meanwhile finds chunks missing: an error in xprep, and zeros
elsewhere.

The note is the lock, too: of two runs that come to 2 one makes it, where writes can be conditional; the other is told, its N
stays unfinished and can be resumed. The note of a process of this machine that died is taken over; so is that of another machine
if N is whole (two that move one N do the same), or is unfinished after ten minutes. Who was taken over sees it before the next
500 objects, and before every deletion.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from xprep.errors import StoreExistsError, UnfinishedStoreError
from xprep.io.arrays.consolidated import write_group
from xprep.io.commit.bucket.copying import copy, remove
from xprep.io.commit.hierarchy import check_removable
from xprep.io.commit.journal import PARTS
from xprep.io.commit.lock import state_of
from xprep.io.commit.mark import MARK, mark_writing, read_mark, read_status
from xprep.io.commit.notes import decode_note, encode_note
from xprep.io.commit.owner import Owner
from xprep.io.ome.groups import read_group
from xprep.io.store.places import Place
from xprep.types import Listener

# Objects between two looks at the note, and two words to who listens: seconds.
BATCH: Final = 500
STAGE: Final = "moving"
# Times that what a listing lacks is copied; a server that loses more is not to be trusted.
_TURNS: Final = 3
# Metadata of a root, in the order in which they are copied; the last says that the store is finished.
_ROOTS: Final[Mapping[Literal[2, 3], tuple[str, ...]]] = {2: (".zgroup", ".zmetadata", ".zattrs"), 3: ("zarr.json",)}
_MARKED: Final[Mapping[Literal[2, 3], frozenset[str]]] = {2: frozenset({".zgroup", ".zattrs"}), 3: frozenset({"zarr.json"})}


@dataclass(frozen=True)
class Move:
    """A store that was made to replace another, and the run that puts it there, or did when it was killed.

    Parameters
    ----------
    target : Place
        What is replaced.
    above : Place
        The folder in which both lie.
    name, beside : str
        Their names in it.
    run : str
        Name of the run.
    owner : Owner, optional
        Its process.
    replaces : str, optional
        State of the old store, as `state_of` says, when the move was announced.
    """

    target: Place
    above: Place
    name: str
    beside: str
    run: str
    owner: Owner | None
    replaces: str | None

    @property
    def new(self) -> Place:
        """Where the new store is."""
        return self.above.child(self.beside)

    @property
    def note(self) -> str:
        """Key of the note in the folder."""
        return note_of(self.name)

    def stage(self) -> Literal["unready", "pending", "moving", "done", "stale"]:
        """Return how far it is; stale is a move to where another store was put since."""
        new, old = read_group(self.new), read_group(self.target)
        if new is None or read_status(new) != "finished":
            return "unready"
        if self._has_roots(new.zarr_format):
            return "done"
        if old is not None and read_mark(old).get("from") == self.beside:
            return "moving"
        return "pending" if state_of(self.target) in (None, self.replaces) else "stale"

    def write(self, only_new: bool = False) -> None:
        """Write the note, and see that it is there.

        Raises
        ------
        StoreExistsError
            Another run's is.
        """
        owner = None if self.owner is None else self.owner.to_json()
        note = {"from": self.beside, "to": self.name, "run": self.run, "owner": owner, "replaces": self.replaces}
        (self.above.create if only_new else self.above.set)(self.note, encode_note(note))
        self.check_mine()

    def check_mine(self) -> None:
        """Refuse to go on with a move that another run took over.

        Raises
        ------
        StoreExistsError
            It did; or it has finished already.
        """
        note = read_note(self.above, self.name) or {}
        if note.get("run") != self.run:
            who = Owner.from_json(note.get("owner")) or "which has finished"
            raise StoreExistsError(f"{self.target} is being replaced by another run ({who}); this one stops.")

    def taken_over(self) -> Move:
        """Return it as this process's; the note says so."""
        mine = replace(self, run=uuid.uuid4().hex, owner=Owner.here())
        mine.write()
        return mine

    def carry_out(self, listener: Listener | None = None) -> None:
        """Copy the new store to its place, from wherever that was left, and delete it where it was made.

        A ``listener`` hears of the objects that are copied.

        Raises
        ------
        StoreExistsError
            Another run took it over.
        UnfinishedStoreError
            The store loses what is written to it.
        OSError
            An object could not be copied or deleted.
        """
        try:
            if (stage := self.stage()) == "pending":
                check_removable(self.target)  # once more: hours may have passed
            if stage != "done":
                self._fill(listener)
            self.clear()
        except (OSError, UnfinishedStoreError):
            self.check_mine()  # who was taken over finds that things are gone
            raise

    def clear(self) -> None:
        """Delete the new store where it was made, and the note."""
        if (group := read_group(self.new)) is not None and read_status(group) == "finished":
            # A half of it must never be taken for a whole that is to be moved.
            _mark(self.new, group.zarr_format, {"moved": True})
        delete_whole(self.new)
        if (read_note(self.above, self.name) or {}).get("from") == self.beside:  # and not the next run's
            remove(self.above, self.note)

    def _fill(self, listener: Listener | None) -> None:
        sizes = {name: size for name, size in self.new.list_sizes().items() if f"/{PARTS}/" not in f"/{name}"}
        if (new := read_group(self.new)) is None or read_status(new) != "finished":
            raise UnfinishedStoreError(f"{self.new}, which was to replace {self.target}, is not whole any longer.")
        self._empty(new.zarr_format)
        self._copy_all({name: size for name, size in sizes.items() if name not in _ROOTS[new.zarr_format]}, listener)
        self.check_mine()
        self._copy_roots(new.zarr_format)

    def _empty(self, zarr_format: Literal[2, 3]) -> None:
        old, about = read_group(self.target), {"run": self.run, "from": self.beside}
        mark = {} if old is None else read_mark(old)
        if mark.get("from") == self.beside and mark.get("emptied"):
            return
        there = set(self.target.list_folder())
        formats: set[Literal[2, 3]] = {3} if "zarr.json" in there else set()
        formats |= {2} if there & {".zgroup", ".zattrs", ".zarray"} else set()
        self.check_mine()
        for one in formats or {zarr_format}:
            _mark(self.target, one, about)
        # By these, readers would find the old store below a root that says it is unfinished.
        for name in sorted(there & {".zmetadata", ".zarray"}):
            remove(self.target, name)
        self._delete_all(there - _MARKED[2] - _MARKED[3])
        _mark(self.target, zarr_format, about)
        for name in set(self.target.list_sizes()) - _MARKED[zarr_format]:
            remove(self.target, name)
        _mark(self.target, zarr_format, {**about, "emptied": True})

    def _delete_all(self, names: set[str]) -> None:
        for name in sorted(names):
            self.check_mine()
            self.target.child(name).delete()

    def _copy_all(self, sizes: dict[str, int], listener: Listener | None) -> None:
        for _ in range(_TURNS):
            if not (lacking := self._lacking(sizes)):
                return
            if listener is not None:
                listener.started(STAGE, len(lacking))
            for some in (lacking[start : start + BATCH] for start in range(0, len(lacking), BATCH)):
                self.check_mine()
                self._copy(some, sizes)
                if listener is not None:
                    listener.advanced(STAGE, len(some), sum(sizes[name] for name in some))
            if listener is not None:
                listener.finished(STAGE)
        if lost := self._lacking(sizes):
            raise UnfinishedStoreError(
                f"{self.target} lacks {len(lost)} objects, the first is {lost[0]!r}, which its server said to have copied "
                f"from {self.new}, where the whole store is. Run again with resume=True."
            )

    def _lacking(self, sizes: dict[str, int]) -> list[str]:
        there = self.target.list_sizes()
        return [name for name, size in sizes.items() if there.get(name) != size]

    def _copy_roots(self, zarr_format: Literal[2, 3]) -> None:
        for _ in range(_TURNS):
            for name in _ROOTS[zarr_format]:
                self._copy([name], {name: 0})
            if self._has_roots(zarr_format):
                return
        raise UnfinishedStoreError(
            f"{self.target} lost its metadata, which were copied; the whole store is {self.new}. Run again with resume=True."
        )

    def _has_roots(self, zarr_format: Literal[2, 3]) -> bool:
        names = _ROOTS[zarr_format]
        return self.target.get_many(names) == self.new.get_many(names)

    def _copy(self, names: list[str], sizes: dict[str, int]) -> None:
        to = {f"{self.beside}/{name}": f"{self.name}/{name}" for name in names}
        copy(self.above, to, {f"{self.beside}/{name}": sizes[name] for name in names})


def note_of(name: str) -> str:
    """Return the name of the note that the store called ``name`` is to be replaced."""
    return f".{name}.xprep-move"


def read_note(above: Place, name: str) -> dict[str, Any] | None:
    """Return the note that the store called ``name`` in the folder ``above`` is to be replaced; None if there is none.

    Raises
    ------
    StoreFormatError
        It is torn.
    """
    data = above.get(note_of(name))
    return None if data is None else decode_note(data, f"{above}/{note_of(name)}")


def delete_whole(place: Place) -> None:
    """Delete everything in a folder of a bucket; its root, which tells whose it is, last."""
    for name in place.list_folder():
        if name not in (*_ROOTS[2], *_ROOTS[3]):
            place.child(name).delete()
    place.delete()


def _mark(place: Place, zarr_format: Literal[2, 3], about: Mapping[str, Any]) -> None:
    """Say in the root of ``place`` that it is not whole, and see that this is there."""
    write_group(place, mark_writing(Owner.here(), **about), zarr_format)
    found = place.read_json("zarr.json" if zarr_format == 3 else ".zattrs") or {}
    mark = (found.get("attributes", {}) if zarr_format == 3 else found).get(MARK, {})
    if any(mark.get(name) != value for name, value in about.items()):
        raise UnfinishedStoreError(f"{place} lost its mark, which was written; run again with resume=True.")
