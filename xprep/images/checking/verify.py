"""Whether a finished store still holds what was written: every object against the size and checksum noted when it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from xprep.engine.machine.progress import choose_listener
from xprep.errors import ChunkError, StoreFormatError, XprepError
from xprep.images.opening.stored_levels import open_stored
from xprep.io.arrays.coordinates import read_coord
from xprep.io.arrays.reads import ZarrReadable, open_array
from xprep.io.commit.journal import read_manifest
from xprep.io.commit.mark import check_finished, read_status
from xprep.io.commit.object_checks import Wrong, compare_bytes
from xprep.io.ome.groups import Group, is_spatialdata, list_images, list_labels, read_group, read_image
from xprep.io.store.places import Place, open_store
from xprep.texts import make_safe
from xprep.types import Listener

WAY_OUT = (
    "The command that wrote it, with resume=True (--resume), makes again what is missing or has another size; delete what has "
    "other bytes, and that is made again too."
)


@dataclass(frozen=True)
class Damage:
    """An object that is not what was written.

    Attributes
    ----------
    key : str
        Of the object, below the store's root.
    kind : {"missing", "size", "checksum"}
        Not there; of another size; of the same size with other bytes.
    """

    key: str
    kind: Wrong

    def __str__(self) -> str:
        says = {"missing": "is missing", "size": "has another size", "checksum": "has other bytes"}
        return make_safe(f"{self.key} {says[self.kind]}")

    __repr__ = __str__


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    url : str
        Where, without secrets.
    units : int
        Objects that were compared: shards, or chunks where there are none, and coordinates.
    nbytes : int
        Bytes that were read.
    damaged : tuple of Damage
        Objects that are not as they were written.
    """

    url: str
    units: int
    nbytes: int
    damaged: tuple[Damage, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything is as it was written."""
        return not self.damaged

    def __str__(self) -> str:
        if self.is_whole:
            return f"{self.url}: all {self.units} objects are what was written."
        head = f"{self.url}: {len(self.damaged)} of {self.units} objects are damaged:"
        return "\n".join([head, *map(str, self.damaged), WAY_OUT])

    __repr__ = __str__


def verify(
    url: str | Path | Any, *, storage_options: Mapping[str, Any] | None = None, progress: Listener | bool | None = None
) -> Verification:
    """Read a whole store and compare every chunk with the checksum that was kept when it was written.

    Parameters
    ----------
    url : str, Path or zarr store
        An image that `to_ome_zarr` wrote, or a group of such; of a SpatialData object, the images that xprep wrote.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint.
    progress : bool or listener, optional
        A bar, or an object that is told; by default nobody is.

    Returns
    -------
    Verification
        Every chunk that was removed, cut short or changed, by name.

    Raises
    ------
    UnfinishedStoreError
        It was never finished.
    StoreFormatError
        Another program wrote it, so there is nothing to compare with; or what was kept is damaged itself.
    FileNotFoundError, OSError
        It cannot be read.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/blobs.ome.zarr"
    >>> report = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.to_ome_zarr(url)
    >>> xprep.verify(url).is_whole
    True
    """
    listener = None if progress is None else choose_listener(progress)
    root = open_store(url, storage_options)
    arrays = list(_arrays(root))
    if listener is not None:
        listener.started("verifying", sum(_units(array) for array in arrays))
    units, nbytes, damaged = 0, 0, []
    for array in arrays:
        for count, read, found in _compare(array, root):
            units, nbytes = units + count, nbytes + read
            damaged += found
            if listener is not None:
                listener.advanced("verifying", count, read)
        names = coord_names(array)
        units, damaged = units + len(names), damaged + compare_coords(array, names, root)
    if listener is not None:
        listener.finished("verifying")
    return Verification(root.url, units, nbytes, tuple(damaged))


def check_copy(url: str | Path, storage_options: Mapping[str, Any] | None, progress: Listener | bool | None) -> None:
    """Read a copy again, as `verify` does, before it is called done.

    Raises
    ------
    ChunkError
        It does not hold what was written.
    """
    found = verify(url, storage_options=storage_options, progress=progress)
    if not found.is_whole:
        raise ChunkError(str(found))


def _arrays(root: Place) -> Iterator[ZarrReadable]:
    """Yield the levels of every image and label image below ``root``."""
    group = read_group(root)
    if group is None:
        yield open_array(root)
        return
    check_finished(group)
    images = [read_group(root.child(entry.path)) for entry in list_images(group)] if not group.is_image else [group]
    found = [image for image in images if image is not None and image.is_image]
    if not found:
        raise StoreFormatError(f"{root} holds no OME-Zarr image.")
    if is_spatialdata(group.attributes):  # what others wrote there cannot be compared, and need not be
        found = [image for image in found if read_status(image) != "foreign"] or found
    for image in found:
        check_finished(image)
        yield from _levels(image)
        for name in list_labels(image):
            label = read_group(image.place.child(f"labels/{name}"))
            if label is not None:
                yield from _levels(label)


def _levels(group: Group) -> Iterator[ZarrReadable]:
    image = read_image(group)
    for level in image.levels:
        yield open_stored(group, image, level)


def _units(array: ZarrReadable) -> int:
    return prod(array.grid.lengths)


def _compare(array: ZarrReadable, root: Place) -> Iterator[tuple[int, int, list[Damage]]]:
    """Yield for some objects at a time how many, of how many bytes, and what is wrong with them."""
    if not array.place.keeps_notes:
        raise StoreFormatError(f"{array.place}: icechunk keeps checksums of its own, and takes no list of xprep's.")
    kept = read_manifest(array.place)
    if kept is None:
        raise StoreFormatError(f"{array.place} has no list of checksums: xprep did not write it, so nothing can be compared.")
    if len(kept) != _units(array):
        raise StoreFormatError(f"{array.place}: the list of checksums has {len(kept)} entries for {_units(array)} objects.")
    for some in compare_bytes(array, range(len(kept)), kept):
        wrong = [Damage(_below(array.place, root, name), kind) for name, kind in some.wrong.values()]
        yield some.units, some.nbytes, wrong


def _below(place: Place, root: Place, name: str) -> str:
    return place.key(name).removeprefix(f"{root.path}/" if root.path else "")


def coord_names(array: ZarrReadable) -> list[str]:
    """Return the coordinates stored beside an array of the dual layout."""
    if not array.place.path.endswith("/image"):
        return []
    stored = {name for name in array.place.parent.list_folder() if name not in ("image", "zarr.json", ".zgroup", ".zattrs")}
    return sorted(stored | {dim for dim in array.dims or () if dim != "c"})


def compare_coords(array: ZarrReadable, names: Sequence[str], root: Place) -> list[Damage]:
    """Return those of the coordinates ``names`` that are not there or cannot be decoded."""
    wrong: list[Damage] = []
    for name in names:
        place = array.place.parent.child(name)
        chunk = next((key for key in ("c/0", "c/0/0", "c", "0", "0/0") if place.exists(key)), None)
        if chunk is None:
            wrong.append(Damage(_below(place, root, "0" if place.exists(".zarray") else "c/0"), "missing"))
            continue
        try:
            read_coord(place)
        except (XprepError, OSError, ValueError):
            wrong.append(Damage(_below(place, root, chunk), "checksum"))
    return wrong
