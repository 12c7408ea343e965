"""Room for a store: what may be overwritten, and how, without losing the old one before the new one is there."""

from __future__ import annotations

import glob
import os
import shutil
import uuid
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from xprep import platforms
from xprep.errors import StoreExistsError, StoreFormatError
from xprep.io.consolidate import write_group
from xprep.io.copying import split, try_copy
from xprep.io.groups import Group, is_spatialdata, read_marked
from xprep.io.hierarchy import check_removable, is_node
from xprep.io.journal import COPY, Journal
from xprep.io.keys import is_partial
from xprep.io.moving import delete_whole
from xprep.io.objects import is_icechunk
from xprep.io.owner import Owner
from xprep.io.replacing import NEW, announced, is_beside
from xprep.io.status import MARK, describe_owner, mark_writing, read_owner, read_status
from xprep.io.stores import Place, open_store

# End of the names of what was replaced.
_OLD = ".xprep-old"


def make_room(target: Place, overwrite: bool, aside: bool = False) -> Place:
    """Return where to write a store that shall be at ``target``: there, or beside what it will replace.

    One that is made ``aside`` is so, on this machine, also where nothing is there: no half of it is ever at ``target``.

    Raises
    ------
    StoreExistsError
        Something is there and ``overwrite`` is off; or it is not a Zarr store, or holds what no Zarr store holds; or another
        process is writing it; or it is a whole bucket, or a SpatialData object.
    """
    names = target.list_folder()
    if _is_nothing(target, names):
        beside = _room_beside(target) if aside and target.folder is not None else target
        return beside if isinstance(beside, Place) else target
    group = read_marked(target)
    if not is_node(target) and not _is_ours(target, group):
        raise StoreExistsError(f"{target} exists and is not a Zarr store ({_some(names)}): xprep never deletes such.")
    if group is not None and is_being_written(group):
        raise StoreExistsError(f"{target}: {describe_owner(group)}. Two writers would destroy each other's work.")
    if not overwrite:
        raise StoreExistsError(f"{target} exists{_unfinished(group)}. overwrite=True replaces it; or give another URL.")
    if target.is_bucket:
        raise StoreExistsError(f"{target} is a whole bucket; give a folder in it, a bucket is never overwritten.")
    if group is not None and is_spatialdata(group.attributes):
        raise StoreExistsError(f"{target} is a SpatialData object; give the URL of one of its images, {target}/images/NAME.")
    check_removable(target)
    is_whole = group is None or read_status(group) != "writing"
    if target.folder is None and not is_whole:
        _empty(target)
        return target
    beside = _room_beside(target)
    if isinstance(beside, Place):
        return beside
    if beside:
        warnings.warn(
            f"{target} is deleted now, before what replaces it is made: {beside}. Until that is finished there is neither; write "
            "to another URL to keep it.",
            UserWarning,
            stacklevel=2,
        )
    _empty(target)
    return target


def _is_nothing(target: Place, names: Sequence[str]) -> bool:
    """Whether there is nothing, or only what a run left that was killed while it wrote its mark; that is deleted."""
    left = [name for name in names if not is_partial(name)]
    with suppress(StoreFormatError):  # torn: nobody's, so far as can be seen
        if left == [".zattrs"] and MARK in (target.read_json(".zattrs") or {}):
            left = []
    if names and not left:
        delete_store(target)
    return not left


def _is_ours(target: Place, group: Group | None) -> bool:
    """Whether a folder without metadata of Zarr that can be read is a store that a run of xprep left, of which they are torn."""
    if group is not None and MARK in group.attributes:
        return True
    with suppress(StoreFormatError):
        return any(Journal(target.child(path)).load(COPY) for path in ("scale0/image", "0", ""))
    return False


def is_being_written(group: Group) -> bool:
    """Whether another process of this machine, which still runs, is writing the store."""
    owner = read_owner(group) if read_status(group) == "writing" else None
    # This very process may begin anew what it left, after Ctrl-C in a notebook.
    return owner is not None and owner.is_alive is True and owner.pid != os.getpid()


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")


def _unfinished(group: Group | None) -> str:
    if group is None or read_status(group) != "writing":
        return ""
    return f" and is not finished ({describe_owner(group)}); resume=True goes on with it"


def find_siblings(target: Place) -> list[Place]:
    """Return the stores that were to replace the one at ``target``."""
    if target.folder is not None:
        return _beside(target.folder, NEW)
    if (found := split(target)) is None:
        return []
    above, name = found
    try:
        return [above.child(beside) for beside in above.list_folder() if is_beside(beside, name)]
    except PermissionError:  # who may not look there has written nothing there
        return []


def _beside(folder: Path, ending: str) -> list[Place]:
    name = glob.escape(folder.name)
    return [open_store(left, mode="r+") for left in sorted(folder.parent.glob(f".{name}.*{ending}"))]


def _room_beside(target: Place) -> Place | str:
    """Return a folder beside ``target``, free of what dead processes, and this one, left there; or why none can be used.

    Raises
    ------
    StoreExistsError
        Another process of this machine, which still runs, is making a store that shall be there.
    """
    left_there = [(left, read_marked(left)) for left in find_siblings(target)]
    for _, group in left_there:
        if group is not None and is_being_written(group):
            raise StoreExistsError(
                f"{target} is to be replaced already: {describe_owner(group)}. Only one of the two could stay."
            )
    for left, group in left_there:
        owner = None if group is None else read_owner(group)
        if owner is not None and (owner.is_alive is False or owner.is_here):
            delete_store(left)
    beside = f"{uuid.uuid4().hex[:8]}{NEW}"
    if (folder := target.folder) is not None:
        delete_old(target)
        return open_store(folder.with_name(f".{folder.name}.{beside}"), mode="r+")
    if is_icechunk(target.store):
        return ""  # what was committed stays
    if (found := split(target)) is None:
        return "such a store cannot rename, nor copy by itself"
    above, name = found
    return try_copy(above, f".{name}.xprep-try") or above.child(f".{name}.{beside}")


def _empty(target: Place) -> None:
    # Killed half-way, what is left must neither look complete nor be taken for a stranger's folder.
    for name, zarr_format in (("zarr.json", 3), (".zgroup", 2)):
        if target.exists(name):
            write_group(target, mark_writing(Owner.here()), 3 if zarr_format == 3 else 2)
    for name in target.list_folder():
        if name not in ("zarr.json", ".zgroup", ".zattrs"):
            target.child(name).delete()
    target.delete()


def delete_partial(place: Place) -> None:
    """Delete what a killed process left of files that it was writing, in a folder of this machine."""
    with place.errors("delete"):
        for path in place.folder.rglob("*.partial") if place.folder is not None else ():
            if is_partial(path.name):
                path.unlink(missing_ok=True)


def delete_store(place: Place) -> None:
    """Delete everything in the folder ``place``."""
    if (folder := place.folder) is not None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        delete_whole(place)


def put_in_place(new: Place, target: Place, run: str) -> Place | None:
    """Let the finished store ``new`` replace the one at ``target``, which it lies beside; return what is left to be deleted.

    Raises
    ------
    StoreExistsError
        In a bucket: another run does so.
    """
    if target.folder is None:
        with announced(new, target, run) as move:
            move.carry_out()
        return None
    return _move_over(new, target)


def _move_over(new: Place, old: Place) -> Place | None:
    """Rename ``new`` to ``old``, on one disk; return where the old one is now."""
    source, target = new.folder, old.folder
    if source is None or target is None:
        raise ValueError(f"{new} and {old} are not on this machine.")
    with old.errors("write"):
        if not target.exists():  # killed there, and resumed
            platforms.rename(source, target)
            return None
    check_removable(old)  # once more: hours may have passed
    with old.errors("write"):
        # Two renames: between them, for microseconds, there is no store at all; never half of one.
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}{_OLD}")
        platforms.rename(target, aside)
        platforms.rename(source, target)
    return open_store(aside, mode="r+")


def delete_old(target: Place) -> None:
    """Delete what was replaced by the store at ``target``, where its run was killed before it could."""
    if target.folder is None:
        return
    for left in _beside(target.folder, _OLD) if target.exists("zarr.json") or target.exists(".zgroup") else ():
        delete_store(left)
