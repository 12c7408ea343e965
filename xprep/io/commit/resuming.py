"""Going on with a store that was not finished: finding it, telling it from another's, and taking it over."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from xprep.errors import StoreExistsError, StoreFormatError
from xprep.io.commit.bucket.replacing import go_on_moving
from xprep.io.commit.hierarchy import check_removable
from xprep.io.commit.journal import COPY, Journal
from xprep.io.commit.mark import MARK, describe_owner, read_mark, read_status
from xprep.io.commit.overwrite import delete_store, find_siblings, is_being_written, put_in_place
from xprep.io.ome.groups import Group, read_group
from xprep.io.store.places import Place
from xprep.types import Listener


@dataclass(frozen=True)
class Found:
    """What a resumed run finds: nothing to go on with, a store to be filled further, or one that is finished."""

    state: Literal["nothing", "begun", "finished"]
    place: Place


def find_begun(target: Place, fingerprint: str, overwrite: bool, first: str, listener: Listener | None = None) -> Found:
    """Return what an earlier run of the same ``fingerprint`` left at ``target``, or beside it where it was to be replaced.

    ``first`` is the path of the first level's array, where a copy of the mark is.

    Raises
    ------
    StoreExistsError
        Another's store is there and ``overwrite`` is off; or another process is writing it.
    StoreFormatError
        A store whose mark and its copy are torn.
    """
    if go_on_moving(target, fingerprint, overwrite, listener):
        return Found("finished", target)
    group = _read_marked(target, first, overwrite)
    if group is not None and is_being_written(group):
        raise StoreExistsError(f"{target}: {describe_owner(group)}. Two writers would destroy each other's work.")
    if group is not None and _fingerprint(group) == fingerprint:
        if read_status(group) == "finished":
            return Found("finished", target)
        return Found("begun", target)
    for beside in _beside(target, fingerprint, first) if group is not None or target.folder is not None else ():
        if group is not None and not overwrite:
            raise StoreExistsError(
                f"{target} exists, and what shall replace it was begun beside it: give overwrite=True as well as resume=True."
            )
        if read_status(beside) == "finished":
            put_in_place(beside.place, target, uuid.uuid4().hex)  # it was killed between two renames, or before them
            return Found("finished", target)
        return Found("begun", beside.place)
    if group is None or overwrite:
        return Found("nothing", target)
    if read_status(group) == "writing" and not read_mark(group).get("ready"):
        check_removable(target)
        delete_store(target)  # not even its arrays were all made
        return Found("nothing", target)
    raise StoreExistsError(f"{target} {_whose(group)}. overwrite=True replaces it; or give another URL.")


def _beside(target: Place, fingerprint: str, first: str) -> Iterator[Group]:
    for place in find_siblings(target):
        group = _read_marked(place, first, torn=True)
        if group is not None and _fingerprint(group) == fingerprint and not is_being_written(group):
            yield group


def _read_marked(place: Place, first: str, torn: bool) -> Group | None:
    """Return the group at ``place``; of a store that is not finished, with the mark's copy where there is one.

    The copy has a checksum. Where both are ``torn``, whether that may be so: None then.
    """
    try:
        group, error = read_group(place), None
    except StoreFormatError as found:
        group, error = None, found
    if group is not None and read_status(group) == "finished":
        return group
    with suppress(StoreFormatError):
        if (copy := Journal(place.child(first)).load(COPY)) is not None:
            return Group(place, {MARK: copy}, group.zarr_format if group is not None else 3)
    if error is not None and not torn:
        raise StoreFormatError(
            f"{error} Nobody can say what was begun there, nor whose it is: delete {place}, and run again."
        )
    return group


def _fingerprint(group: Group) -> Any:
    mark = read_mark(group)
    return mark.get("fingerprint") if mark.get("ready") or mark.get("status") == "finished" else None


def _whose(group: Group) -> str:
    if read_status(group) == "foreign":
        return "exists and is no store of xprep, so there is nothing to resume"
    state = "is finished, and was" if read_status(group) == "finished" else "is not finished, and was"
    if read_mark(group).get("fingerprint") is None:
        return f"{state} made of an image whose origin is unknown: give the same fingerprint= in both runs to resume one"
    return (
        f"{state} made by another command (other inputs, parameters, chunks or versions): resume=True goes on only with "
        "what the same command began"
    )
