"""Which store in a bucket is to replace which: announced before it is whole, found again after a kill, and then moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from xprep.errors import StoreExistsError, StoreFormatError
from xprep.io.commit.bucket.copying import remove, split
from xprep.io.commit.bucket.moving import Move, read_note
from xprep.io.commit.lock import state_of
from xprep.io.commit.mark import read_mark
from xprep.io.commit.owner import Owner
from xprep.io.ome.groups import read_group
from xprep.io.store.places import Place
from xprep.types import Listener

# End of the names of what shall replace a store.
NEW: Final = ".xprep-new"
# From its note on, a run needs seconds to finish its store: one listing, and the metadata.
_STALE_SECONDS: Final = 600.0


def is_beside(beside: str, name: str) -> bool:
    """Whether ``beside`` is the name of a store that shall replace the one called ``name``.

    Examples
    --------
    >>> is_beside(".a.zarr.0123abcd.xprep-new", "a.zarr"), is_beside(".a.zarr.xprep-move", "a.zarr")
    (True, False)
    """
    return beside.startswith(f".{name}.") and beside.endswith(NEW) and "/" not in beside


def find_move(target: Place) -> Move | None:
    """Return the move to ``target`` of which there is a note, or that its root tells of; None if there is none."""
    if (found := split(target)) is None:
        return None
    above, name = found
    note: Mapping[str, Any] | None = None
    with suppress(PermissionError, StoreFormatError):  # who may not look beside the store has written nothing there
        note = read_note(above, name)
    if note is None:  # the note was deleted, by hand, or is torn
        with suppress(StoreFormatError):
            group = read_group(target)
            note = None if group is None else read_mark(group)
    if note is None or not is_beside(beside := str(note.get("from")), name):
        return None
    return Move(target, above, name, beside, str(note.get("run")), Owner.from_json(note.get("owner")), note.get("replaces"))


@contextmanager
def announced(new: Place, target: Place, run: str) -> Iterator[Move]:
    """Write the note that ``new`` will be moved to ``target``, before it is whole; on an error before that, take it back.

    Raises
    ------
    StoreExistsError
        Another store is being moved there.
    """
    found, beside = split(target), split(new)
    if found is None or beside is None:
        raise ValueError(f"{new} cannot be moved to {target}.")
    move = Move(target, *found, beside[1], run, Owner.here(), state_of(target))
    try:
        read_note(*found)
    except StoreFormatError:  # torn: nobody's any more
        remove(move.above, move.note)
    move.write(only_new=not _gives_way(find_move(target), move))
    try:
        yield move
    except BaseException:
        with suppress(OSError, ValueError):
            if move.stage() == "unready":
                move.check_mine()
                remove(move.above, move.note)
        raise


def _gives_way(other: Move | None, move: Move) -> bool:
    """Return whether there is a note that may be overwritten; refuse where there is one that may not."""
    if other is None:
        return False
    if other.beside != move.beside and not (other.stage() == "unready" and _is_gone(other.owner)):
        raise StoreExistsError(
            f"{move.target} is being replaced by {other.new} ({other.owner}); this one stops. The same command with "
            "overwrite=True and resume=True goes on with what it made."
        )
    return True


def _is_gone(owner: Owner | None) -> bool:
    if owner is None or owner.is_alive is False or owner.is_here:
        return True
    return owner.is_alive is None and owner.age_seconds > _STALE_SECONDS


def go_on_moving(target: Place, fingerprint: str | None, overwrite: bool, listener: Listener | None = None) -> bool:
    """Finish moving a whole store to ``target``, where a run was killed at it; a ``listener`` hears how.

    Returns
    -------
    bool
        Whether that is what ``fingerprint`` stands for.

    Raises
    ------
    StoreExistsError
        A process of this machine is at it; or ``overwrite`` is off, and it is another's or replaces what is whole.
    """
    if (move := find_move(target)) is None:
        return False
    group, stage = read_group(move.new), move.stage()
    elsewhere = move.owner is not None and move.owner.is_alive is True and not move.owner.is_here
    if stage == "unready":
        if not elsewhere and (group is None or read_mark(group).get("moved")):
            move.clear()
        return False
    if elsewhere:
        raise StoreExistsError(f"{target} is being replaced by {move.new}, by {move.owner}. Only one of two could stay.")
    same = fingerprint is not None and group is not None and read_mark(group).get("fingerprint") == fingerprint
    if not overwrite and not _may_move(move, stage, same):
        return False
    if stage == "stale":
        move.taken_over().clear()
        return False
    move.taken_over().carry_out(listener)
    return same


def _may_move(move: Move, stage: str, same: bool) -> bool:
    """Whether a run that must not overwrite may move what an earlier one made; refuse where it needs to say that it may."""
    if stage == "stale" or (stage in ("pending", "done") and not same):
        return False
    if not same:
        raise StoreExistsError(
            f"{move.target} is being replaced by {move.new}, which another command made: overwrite=True goes on with it first."
        )
    if stage == "pending" and read_group(move.target) is not None:
        raise StoreExistsError(
            f"{move.target} exists, and what shall replace it is whole beside it: give overwrite=True as well as resume=True."
        )
    return True
