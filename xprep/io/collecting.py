"""The store of a plate, or of another group of images, to be written: begun first, its wells listed as they are whole.

Until the end its root says "writing"; what it lists until then is whole. Only the process that began it writes its groups, which
hold images that may be written anywhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from xprep.errors import UnfinishedStoreError
from xprep.io.claimed import Claim, check_owned, claimed, putting_in_place
from xprep.io.claims import begin, hold
from xprep.io.collections import Attributes
from xprep.io.consolidate import write_group
from xprep.io.coords import plain
from xprep.io.groups import read_group, read_groups
from xprep.io.journal import COPY, FOLDER, Journal
from xprep.io.owner import Owner
from xprep.io.replacing import go_on_moving
from xprep.io.resume import find_begun
from xprep.io.room import delete_partial, delete_store, make_room
from xprep.io.status import MARK, mark_finished, mark_writing
from xprep.io.stores import Place
from xprep.types import Listener

_METADATA: Final = ("zarr.json", ".zgroup", ".zattrs")


@dataclass(frozen=True)
class CollectionStore:
    """A group of images that a run writes.

    Parameters
    ----------
    claim : Claim
        What is this run's.
    fingerprint : str
        Of the command: a run of the same may go on with it.
    zarr_format : {2, 3}
        Of its groups.
    resumed : bool
        Whether an earlier run began it.
    """

    claim: Claim
    fingerprint: str
    zarr_format: Literal[2, 3]
    resumed: bool = False

    @property
    def place(self) -> Place:
        """Where it is being written."""
        return self.claim.place


def begin_collection(
    target: Place,
    fingerprint: str,
    zarr_format: Literal[2, 3],
    *,
    resume: bool,
    overwrite: bool,
    listener: Listener | None = None,
) -> CollectionStore:
    """Begin the store of a group of images, or take over what a run of the same ``fingerprint`` began or finished.

    What it replaces stays until it is whole, as of an image (`xprep.io.outputs.create_image`).

    Raises
    ------
    StoreExistsError
        Something is there and ``overwrite`` is off, or is no Zarr store (never deleted), or is being written; with ``resume``, it
        is another command's.
    OSError
        The store cannot be written.
    """
    run = uuid.uuid4().hex
    with hold(target):
        if overwrite:
            go_on_moving(target, fingerprint if resume else None, True, listener)
        found = find_begun(target, fingerprint, overwrite, "", listener) if resume else None
        begun = found is not None and found.state != "nothing"
        place = found.place if found is not None and begun else make_room(target, overwrite)
        store = CollectionStore(claimed(place, target, run), fingerprint, zarr_format, begun)
        if begun:
            delete_partial(place)
        else:
            begin(place, _mark(store), zarr_format, run)
        _take_over(store)
    return store


def _mark(store: CollectionStore) -> dict[str, Any]:
    return mark_writing(Owner.here(), run=store.claim.run, ready=True, fingerprint=store.fingerprint)


def _take_over(store: CollectionStore) -> None:
    """Say in the root whose the store is; what it lists is whole, and stays listed."""
    group, mark = read_group(store.place), _mark(store)
    write_group(store.place, {**({} if group is None else group.attributes), **mark}, store.zarr_format)
    Journal(store.place).save(COPY, mark[MARK])


def write_listed(store: CollectionStore, documents: Mapping[str, Attributes]) -> None:
    """Write groups, given by their paths; the root last, which says that the store is not finished.

    Raises
    ------
    StoreExistsError
        Another run took the store over.
    """
    check_owned(store.claim)
    for path, attributes in documents.items():
        mark = {} if path else _mark(store)
        write_group(store.place.child(path), {**attributes, **mark}, store.zarr_format)


def finish_collection(
    store: CollectionStore, documents: Mapping[str, Attributes], about: Mapping[str, Any], listener: Listener | None = None
) -> None:
    """Say that a store is finished, whose groups ``documents`` are all written but the root, and put it in place.

    Raises
    ------
    StoreExistsError
        Another run took it over.
    UnfinishedStoreError
        It lost a group that was written.
    """
    paths = [path for path in documents if path]
    for path, group in zip(paths, read_groups(store.place, paths), strict=True):
        if group is None or group.attributes != documents[path]:
            raise UnfinishedStoreError(f"{store.place} lost {path}, which was written; run again with resume=True.")
    with putting_in_place(store.claim, listener):
        mark = mark_finished({**plain(about, "about"), "fingerprint": store.fingerprint})
        write_group(store.place, {**documents[""], **mark}, store.zarr_format)
        store.place.child(FOLDER).delete()


def withdraw_collection(store: CollectionStore) -> bool:
    """Delete a store of this run that holds no image yet, also no begun one; return whether that was done."""
    names = [name for name in store.place.list_names() if name not in _METADATA and not name.startswith(f"{FOLDER}/")]
    if names or store.resumed:
        return False
    check_owned(store.claim)
    delete_store(store.place)
    return True
