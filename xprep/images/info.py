"""What is in a store, whether it is finished or not: only metadata are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from xprep.errors import StoreFormatError
from xprep.images.ome_images import open_stored
from xprep.io.array_nodes import find_arrays
from xprep.io.arrays import ZarrReadable, open_array, open_node
from xprep.io.codec_names import name_codecs
from xprep.io.file_stores import codec_of_file, kind_of_file
from xprep.io.groups import Entry, Group, list_images, list_labels, list_members, read_group, read_groups, read_image
from xprep.io.ome import Channel
from xprep.io.status import describe_owner, read_status
from xprep.io.stores import open_store


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
        Of a plate, a well, or a store of several series: where each image is. The rest then tells of the first that is there.
    missing : tuple of str
        Those of them that are listed and not there.
    systems : tuple of str
        Coordinate systems that the image can be opened in.
    system : str
        The one that it is opened in unless another is asked for.
    unsaid : str
        A clause about a transformation that coordinates do not hold; mostly empty.
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


def describe_store(url: str | Path | Any, storage_options: Mapping[str, Any] | None = None) -> StoreInfo:
    """Return what is in a store.

    Parameters
    ----------
    url : str, Path or zarr store
        An OME-Zarr image, plate, well or store of several series; a group that xarray wrote; a Zarr array.
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
    what = "plate or well" if entries[0].kind == "field" else "store"
    kind = f"OME-Zarr {read_image(first).version} {what} of {len(entries)} image{'s' * (len(entries) > 1)}"
    return replace(_image(first, place.url, status), kind=kind, images=entries, missing=missing)


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
