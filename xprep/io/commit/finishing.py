"""The last step of writing a store: all that was written is there, the metadata say so, and it is where it was to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xprep.errors import UnfinishedStoreError
from xprep.io.arrays.consolidated import below, group_objects, write_root
from xprep.io.arrays.coordinates import plain
from xprep.io.commit.claimed import putting_in_place
from xprep.io.commit.image_store import ImageStore
from xprep.io.commit.journal import MANIFEST, PARTS, encode_manifest
from xprep.io.commit.mark import mark_finished, read_status
from xprep.io.ome.groups import read_group
from xprep.io.ome.writing import write_labels, write_multiscale
from xprep.io.ome_model import Multiscale
from xprep.io.store.places import Place
from xprep.types import Array, Listener


def finish_image(
    store: ImageStore,
    image: Multiscale,
    labels: Mapping[str, Multiscale] | None = None,
    about: Mapping[str, Any] | None = None,
    stored: Mapping[str, Sequence[Array]] | None = None,
    listener: Listener | None = None,
) -> Place:
    """Check by key that every unit is there, then say so: the image's OME metadata are written last.

    Parameters
    ----------
    store : ImageStore
        Filled.
    image : Multiscale
        With ``levels`` at the store's `level_path`.
    labels : mapping of str to Multiscale
        One for every label image that was created.
    about : mapping
        Kept in the root's ``xprep`` attribute beside the status: provenance.
    stored : mapping of str to sequence of array
        What was written (`STORED`), by level, of the image (``""``) and of every label image: kept beside the pixels.
    listener : Listener, optional
        Hears of the objects that are copied, where the store replaces another in a bucket.

    Returns
    -------
    Place
        Where it is.

    Raises
    ------
    StoreExistsError
        Another run took the store over.
    UnfinishedStoreError
        Units that were never written, or that the store lost.
    """
    given = dict(labels or {})
    if set(given) != set(store.labels):
        raise ValueError(f"metadata are needed for the labels {sorted(store.labels)}; got {sorted(given)}.")
    known = {} if store.fingerprint is None else {"fingerprint": store.fingerprint}
    attributes = {**write_multiscale(image, store.version), **mark_finished({**plain(about or {}, "about"), **known})}
    store.place.set_many({**_manifests(store, stored or {}), **_finished_groups(store, given)}, lasting=True)
    store.check_complete(stored)
    with putting_in_place(store.claim, listener):
        write_root(store.place, attributes, store.zarr_format, store.node_paths())
        _check_marked(store.place)
        for levels in store.pyramids.values() if stored else ():
            levels[0].place.child(PARTS).delete()
    return store.claim.target


def _manifests(store: ImageStore, stored: Mapping[str, Sequence[Array]]) -> dict[str, bytes]:
    """Return what is kept beside the pixels of what was written."""
    objects = {}
    for name, found in stored.items() if store.place.keeps_notes else ():
        for (path, array), one in zip(store.paths(name).items(), found, strict=True):
            objects[f"{path}/{MANIFEST}"] = encode_manifest(one, array.nunits)
    return objects


def _finished_groups(store: ImageStore, labels: Mapping[str, Multiscale]) -> dict[str, bytes]:
    """Return the metadata of all groups but the root: they say no longer that they are being written."""
    groups: dict[str, Mapping[str, Any]] = {}
    for name, label in labels.items():
        groups[f"labels/{name}"] = write_multiscale(label, store.version)
    if labels:
        groups["labels"] = write_labels(list(labels), store.version)
    for name in store.pyramids if store.layout == "dual" else ():
        groups |= {path.rpartition("/")[0]: {} for path in store.paths(name)}
    return {
        key: data
        for path, attributes in groups.items()
        for key, data in below(path, group_objects(attributes, store.zarr_format)).items()
    }


def _check_marked(place: Place) -> None:
    group = read_group(place)
    if group is None or read_status(group) != "finished":
        raise UnfinishedStoreError(f"{place} lost its metadata, which were written; run again with resume=True.")
