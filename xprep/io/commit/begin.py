"""Beginning the store of an image: creating it, or taking over the one that an earlier run left.

Steps, the first three while the folder is held (`xprep.io.commit.lock`):

1. in a bucket, what an earlier run with ``overwrite`` announced is carried out first (`go_on_moving`);
2. what is there is looked at: nothing, a store that may be overwritten, one of the same fingerprint to go on with, or a refusal;
3. the place is claimed: the root says "writing", and by which run;
4. arrays and coordinates are created. Where that fails, what this run created is deleted again.

Then the caller fills the arrays, and `xprep.io.commit.finishing` ends it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zarr.abc.store import Store

from xprep.io.arrays.specs import ArraySpec, LevelSpec
from xprep.io.commit.bucket.replacing import go_on_moving
from xprep.io.commit.claimed import claimed
from xprep.io.commit.image_store import ImageStore, Layout, level_path
from xprep.io.commit.journal import PARTS
from xprep.io.commit.lock import begin, hold
from xprep.io.commit.mark import mark_writing
from xprep.io.commit.overwrite import delete_old, delete_partial, make_room
from xprep.io.commit.owner import Owner
from xprep.io.commit.resuming import find_begun
from xprep.io.commit.withdrawing import withdrawn_on_error
from xprep.io.ome_model import Version
from xprep.io.store.places import Place, open_store
from xprep.types import Listener


def create_image(
    url: str | Path | Store | Place,
    levels: Sequence[LevelSpec],
    spec: ArraySpec,
    *,
    layout: Layout = "dual",
    version: Version = "0.5",
    overwrite: bool = False,
    fingerprint: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
    aside: bool = False,
) -> ImageStore | Place:
    """Create the store of an image, marked as unfinished, and return its arrays to be filled.

    A store that is overwritten stays until the new one is finished, which is written beside it: on a local disk it is
    then renamed, in a bucket copied (`xprep.io.commit.bucket.moving`). Where neither can be done
    (`xprep.io.commit.bucket.copying`) the old one is deleted first, with a warning.

    Parameters
    ----------
    url : str, Path, zarr store or Place
        Where.
    levels : sequence of LevelSpec
        Finest first.
    spec : ArraySpec
        Dims, dtype, codec, attributes.
    layout : {"dual", "flat"}
        ``scaleN/image`` with coordinates, or bare arrays ``N``.
    version : {"0.4", "0.5", "0.6"}
        Of OME-Zarr; 0.4 is Zarr v2, the others v3.
    overwrite : bool
        Whether a Zarr store there may go.
    fingerprint : str, optional
        Of what is being computed.
    storage_options : mapping, optional
        For fsspec.
    listener : Listener, optional
        Hears of the objects that are copied, where an earlier run was killed while it replaced a store in a bucket.
    aside : bool
        Whether it is made beside its place also where nothing is there.

    Returns
    -------
    ImageStore or Place
        The store to be filled; or where the finished one of this ``fingerprint`` is, which was only to be put in place.

    Raises
    ------
    StoreExistsError
        Something is there and ``overwrite`` is off, or is no Zarr store (never deleted), or is being written.
    OSError
        The store cannot be written: no bucket, no permission.
    """
    if layout not in ("dual", "flat"):
        raise ValueError(f"layout must be 'dual' or 'flat'; got {layout!r}.")
    target = open_store(url, storage_options, "r+")
    with hold(target):
        if overwrite and go_on_moving(target, fingerprint, overwrite, listener):
            return target
        store = _claim(make_room(target, overwrite, aside), target, version, layout, fingerprint)
    return _with_levels(store, levels, spec)


def resume_image(
    target: Place,
    levels: Sequence[LevelSpec],
    spec: ArraySpec,
    *,
    layout: Layout,
    version: Version,
    overwrite: bool,
    fingerprint: str,
    listener: Listener | None = None,
    aside: bool = False,
) -> ImageStore | Place:
    """Take over what an earlier run of the same ``fingerprint``, so of these ``levels`` and ``spec``, left; or begin.

    Returns
    -------
    ImageStore or Place
        The store to be filled; or where the finished one is.

    Raises
    ------
    StoreExistsError
        Another's store is there and ``overwrite`` is off; or another process is writing it.
    """
    with hold(target):
        found = find_begun(target, fingerprint, overwrite, level_path(layout, 0), listener)
        if found.state == "finished":
            return found.place
        place = make_room(target, overwrite, aside) if found.state == "nothing" else found.place
        store = _claim(place, target, version, layout, fingerprint, resumed=found.state == "begun")
    return _with_levels(store, levels, spec)


def _with_levels(store: ImageStore, levels: Sequence[LevelSpec], spec: ArraySpec) -> ImageStore:
    """Return a claimed store with its arrays; where they cannot be created, nothing of it stays."""
    with withdrawn_on_error(store):
        return store.with_levels(levels, spec)


def _claim(
    place: Place, target: Place, version: Version, layout: Layout, fingerprint: str | None, *, resumed: bool = False
) -> ImageStore:
    """Mark the store at ``place`` as this run's, or learn that another was first; a resumed one is taken over."""
    claim = claimed(place, target, uuid.uuid4().hex)
    store = ImageStore(claim, version, layout, fingerprint, resumed)
    if resumed:
        store.write_mark()
        delete_partial(place)
    else:
        begin(place, mark_writing(Owner.here(), run=claim.run), store.zarr_format, claim.run)
    return store


def reopen_image(
    target: Place,
    levels: Sequence[LevelSpec],
    spec: ArraySpec,
    *,
    layout: Layout,
    version: Version,
    fingerprint: str,
) -> ImageStore:
    """Take over a finished store of which something was lost: from now on it is unfinished.

    Raises
    ------
    StoreExistsError
        Another run did so at the same moment.
    """
    with hold(target):
        store = _claim(target, target, version, layout, fingerprint, resumed=True)
    return store.with_levels(levels, spec)


def tidy(place: Place, images: Sequence[str], layout: Layout) -> None:
    """Delete what a run that was killed in its last moment left in the finished store ``place``, of the given ``images``."""
    for name in images:
        place.child(f"{name}/{level_path(layout, 0)}/{PARTS}").delete()
    delete_old(place)
