"""What is in a store, whether it is finished or not: only metadata are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Final

from xprep.errors import StoreFormatError
from xprep.images.opening.stored_levels import open_stored
from xprep.io.arrays.metadata import find_arrays
from xprep.io.arrays.reads import ZarrReadable, open_array, open_node
from xprep.io.codecs.descriptions import name_codecs
from xprep.io.commit.mark import describe_owner, read_status
from xprep.io.ome.groups import (
    Entry,
    Group,
    list_elements,
    list_images,
    list_labels,
    list_members,
    read_group,
    read_groups,
    read_image,
)
from xprep.io.ome_model import Channel
from xprep.io.store.files.stores import codec_of_file, kind_of_file
from xprep.io.store.places import open_store

MEMBERS: Final = 20  # images of a plate that are described one by one


@dataclass(frozen=True)
class ArrayInfo:
    """An array: a level of a pyramid, a variable.

    Attributes
    ----------
    path : str
        Below the image's group.
    dims : tuple of str
        Empty where nobody named them.
    shape, chunks : tuple of int
        In pixels.
    shards : tuple of int or None
        None where there are none.
    dtype, codec : str
        How pixels are stored.
    nbytes : int
        Uncompressed.
    spacing : tuple of float
        Distance of pixels per dim; empty where it is not known.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    dtype: str
    codec: str
    nbytes: int
    spacing: tuple[float, ...] = ()


@dataclass(frozen=True)
class MemberInfo:
    """An image of a plate, of several series or of a SpatialData object.

    Attributes
    ----------
    path : str
        Below the store's root.
    dims : tuple of str
        Of its finest level.
    shape : tuple of int
        The same.
    dtype : str
        The same.
    levels : int
        How many it has.
    channels : tuple of str
        Their names.
    labels : tuple of str
        Names of its label images.
    systems : tuple of str
        Coordinate systems that it can be opened in.
    about : str
        Why nothing else is known of it.
    """

    path: str
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = ""
    levels: int = 0
    channels: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    about: str = ""


@dataclass(frozen=True)
class StoreInfo:
    """What is in a store.

    Attributes
    ----------
    url : str
        Without secrets.
    kind : str
        Such as "OME-Zarr 0.5 image", "plate of 12 images", "Zarr array".
    status : str
        "finished", "unfinished: …", or "foreign": somebody else wrote it.
    name : str
        Of the image.
    units : dict of str to str
        By dim.
    arrays : tuple of ArrayInfo
        The levels, finest first; or the variables of a group.
    channels : tuple of Channel
        With names, colours and windows.
    labels : tuple of str
        Names of the label images.
    images : tuple of Entry
        Of a plate, a well, several series, or a SpatialData object: where each image is. The rest then tells of the first that
        is there.
    missing : tuple of str
        Those of them that are listed and not there.
    systems : tuple of str
        Coordinate systems that the image can be opened in.
    system : str
        The one that it is opened in unless another is asked for.
    unsaid : str
        A clause about a transformation that coordinates do not hold; mostly empty.
    members : tuple of MemberInfo
        Of several images the first `MEMBERS`, one by one.
    others : tuple of str
        Of a SpatialData object the paths of its elements that are no images.
    """

    url: str
    kind: str
    status: str
    name: str
    units: dict[str, str]
    arrays: tuple[ArrayInfo, ...]
    channels: tuple[Channel, ...] = ()
    labels: tuple[str, ...] = ()
    images: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    system: str = ""
    unsaid: str = ""
    members: tuple[MemberInfo, ...] = ()
    others: tuple[str, ...] = ()


def describe_store(url: str | Path | Any, storage_options: Mapping[str, Any] | None = None) -> StoreInfo:
    """Return what is in a store.

    Parameters
    ----------
    url : str, Path or zarr store
        An OME-Zarr image, plate, well or store of several series; a SpatialData object; a group that xarray wrote; an array.
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    StoreInfo

    Raises
    ------
    StoreFormatError
        Nothing of Zarr is there, or its metadata are wrong.
    OSError
        The store cannot be read.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/blobs.ome.zarr"
    >>> report = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.to_ome_zarr(url)
    >>> describe_store(url).kind
    'OME-Zarr 0.5 image'
    """
    place = open_store(url, storage_options)
    group = read_group(place)
    if group is None:
        return StoreInfo(place.url, "Zarr array", "foreign", "", {}, (_array(open_array(place), ""),))
    status = _status(group)
    entries = tuple(list_images(group))
    if not entries:
        return StoreInfo(place.url, "Zarr group", status, "", {}, tuple(_variables(group)))
    if group.is_image:
        return _image(group, place.url, status)
    groups = read_groups(place, [entry.path for entry in entries])
    missing = tuple(entry.path for entry, one in zip(entries, groups, strict=True) if one is None or not one.is_image)
    first = next((one for one in groups if one is not None and one.is_image), None)
    if first is None:
        raise StoreFormatError(f"{place} lists {len(entries)} images, of which none is there: {', '.join(missing[:3])}, …")
    what = {"field": "plate or well", "element": "SpatialData object"}.get(entries[0].kind, "store")
    kind = f"OME-Zarr {read_image(first).version} {what} of {len(entries)} image{'s' * (len(entries) > 1)}"
    members = [_member(entry.path, one) for entry, one in zip(entries[:MEMBERS], groups, strict=False)]
    others = list_elements(group, "labels", "shapes", "points", "tables")
    found = _image(first, place.url, status)
    return replace(found, kind=kind, images=entries, missing=missing, members=tuple(members), others=tuple(others))


def _member(path: str, group: Group | None) -> MemberInfo:
    """Return what is known of an image; one that cannot be opened does not hide the others."""
    if group is None or not group.is_image:
        return MemberInfo(path, about="not there")
    try:
        found = _image(group, "", "")
    except (ValueError, OSError) as error:
        return MemberInfo(path, about=str(error))
    finest, names = found.arrays[0], tuple(channel.label for channel in found.channels)
    about = "not finished" if read_status(group) == "writing" else ""
    return MemberInfo(
        path, finest.dims, finest.shape, finest.dtype, len(found.arrays), names, found.labels, found.systems, about
    )


def _status(group: Group) -> str:
    status = read_status(group)
    return f"unfinished: {describe_owner(group)}" if status == "writing" else status


def _image(group: Group, url: str, status: str) -> StoreInfo:
    image = read_image(group)
    levels = [_array(open_stored(group, image, level), level.path, image.dims, level.scale) for level in image.levels]
    return StoreInfo(
        url=url,
        kind=kind_of_file(group.place) or f"OME-Zarr {image.version} image",
        status=status,
        name=image.name,
        units={axis.name: axis.unit for axis in image.axes if axis.unit},
        arrays=tuple(levels),
        channels=image.channels,
        labels=tuple(list_labels(group)),
        systems=image.systems,
        system=image.system,
        unsaid=image.unsaid,
    )


def _array(array: ZarrReadable, path: str, dims: tuple[str, ...] | None = None, spacing: tuple[float, ...] = ()) -> ArrayInfo:
    shards = array.array.shards
    return ArrayInfo(
        path=path,
        dims=dims or array.dims or (),
        shape=array.shape,
        chunks=array.chunks,
        shards=None if shards is None else tuple(shards),
        dtype=str(array.dtype),
        codec=codec_of_file(array.place) or name_codecs(array.array.metadata.to_dict()),
        nbytes=prod(array.shape) * array.dtype.itemsize,
        spacing=spacing,
    )


def _variables(group: Group) -> Iterator[ArrayInfo]:
    """Yield the arrays of a group, and of the groups in it: variables of xarray, levels of an unfinished image."""
    names = list_members(group)
    found = find_arrays(group.place, names)
    for name in names:
        if name in found:
            yield _array(open_node(found[name]), name)
        elif (below := read_group(group.place.child(name))) is not None:
            inner = find_arrays(group.place, [f"{name}/{one}" for one in list_members(below)])
            yield from (_array(open_node(node), path) for path, node in inner.items())
