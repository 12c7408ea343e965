"""Opening: OME-Zarr 0.4–0.6, flat or dual; groups that xarray wrote; bare Zarr arrays with named dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.lengths import Length
from xprep.engine.sources import read_array
from xprep.errors import StoreFormatError
from xprep.images.appearance import appearance_of
from xprep.images.choosing import choose_level
from xprep.io.array_nodes import find_arrays
from xprep.io.arrays import Missing, ZarrReadable, open_array, open_node
from xprep.io.coords import Coord, read_coords
from xprep.io.groups import Group, list_images, list_labels, read_group, read_image
from xprep.io.ome import Level, Multiscale
from xprep.io.status import check_finished, inherit_status, read_status
from xprep.io.stores import Place, open_store
from xprep.io.urls import check_key
from xprep.ops.layout import chunks_for
from xprep.ops.roles import IMAGE_LABEL

# What zarr and xarray keep in an array's attributes for themselves.
OWN_ATTRIBUTES = ("_ARRAY_DIMENSIONS", "coordinates", "xprep")


def open_image(
    url: str | Path | Any,
    *,
    level: int | Mapping[str, Length] = 0,
    label: str | None = None,
    chunks: Any = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Open an image lazily: no pixel is read.

    Parameters
    ----------
    url : str, Path or zarr store
        OME-Zarr 0.4, 0.5 or 0.6 (flat or dual layout), a group written by xarray with one image in it, or a Zarr array
        with dimension names; a path, an fsspec URL (``s3://…``), or any Zarr store object.
    level : int or mapping of str to float or str
        Resolution: 0 is the finest, negative numbers count from the coarsest. A mapping gives the pixel size wanted, by dim,
        in the store's unit or with one (``{"x": 2.0}``, ``{"x": "2 um"}``): the coarsest level whose pixels are no larger.
    label : str, optional
        Name of a label image to open instead of the image.
    chunks : mapping, int or tuple, optional
        Chunks of the lazy array, by dim; by default those of the store.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint.

    Returns
    -------
    DataArray
        Dims as stored (``t, c, z, y, x`` or some of them), with physical coordinates of the pixels' centres (``units`` in
        their attributes) and the channels' names in ``c``. How channels and labels are shown is in the attributes
        ``omero`` and ``image-label``, as in OME-Zarr, and is kept when the image is written again; that the latter is there says
        that these are labels, also to operations on a Dataset of both.

    Raises
    ------
    UnfinishedStoreError
        A store whose writer did not finish.
    StoreFormatError
        No image there, several of them, metadata that are wrong, a level that is not there.
    KeyError
        No such label.
    OSError
        The store cannot be read: no such bucket, wrong credentials.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/blobs.ome.zarr"
    >>> report = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.to_ome_zarr(url)
    >>> xprep.open_image(url).dims
    ('c', 'y', 'x')
    """
    place = open_store(url, storage_options)
    group = read_group(place)
    if group is None:
        return _bare(open_array(place), chunks, label)
    check_finished(group)
    if label is not None:
        found = _ome_image(_label_group(group, label), level, chunks)
        return found.assign_attrs({IMAGE_LABEL: found.attrs.get(IMAGE_LABEL, {})})
    if group.is_image:
        return _ome_image(group, level, chunks)
    return _xarray_image(group, chunks)


def open_tree(url: str | Path | Any, *, chunks: Any = None, storage_options: Mapping[str, Any] | None = None) -> xr.DataTree:
    """Open all levels and labels of an image lazily.

    Parameters
    ----------
    url, chunks, storage_options
        As for `open_image`.

    Returns
    -------
    DataTree
        ``scale0 … scaleN``, each with the variable ``image``, and ``labels/NAME/scale0 …``. Of a plate, or a store of several
        series, a node per image.

    Raises
    ------
    UnfinishedStoreError, StoreFormatError, OSError
        As for `open_image`.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/blobs.ome.zarr"
    >>> report = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.to_ome_zarr(url, scale_factors=(2,))
    >>> list(xprep.open_tree(url).children)
    ['scale0', 'scale1']
    """
    place = open_store(url, storage_options)
    group = read_group(place)
    if group is None:
        raise StoreFormatError(f"{place} is no Zarr group; open_image opens a bare array.")
    check_finished(group)
    nodes: dict[str, xr.Dataset] = {}
    stored: dict[str, Multiscale] = {}
    for entry in list_images(group):
        image = read_group(place.child(entry.path)) if entry.path else group
        if image is not None:
            nodes.update(_levels(image, f"/{entry.path}".rstrip("/"), chunks))
            stored[entry.path] = read_image(image)
    if not nodes:
        raise StoreFormatError(f"{place} holds no OME-Zarr image.")
    tree = xr.DataTree.from_dict(nodes, name=stored[""].name or None if "" in stored else None)
    for path, found in stored.items():
        if found.method:
            (tree[path] if path else tree).attrs["method"] = found.method
    return tree


def _levels(group: Group, prefix: str, chunks: Any) -> dict[str, xr.Dataset]:
    found = {f"{prefix}/scale{n}": _ome_image(group, n, chunks).to_dataset(name="image") for n in _numbers(group)}
    for name in list_labels(group):
        label = _label_group(group, name)
        below = {
            f"{prefix}/labels/{name}/scale{n}": _ome_image(label, n, chunks).to_dataset(name="image") for n in _numbers(label)
        }
        found.update(below)
    return found


def _numbers(group: Group) -> range:
    return range(len(read_image(group).levels))


def _label_group(group: Group, label: str) -> Group:
    names = list_labels(group)
    if label not in names:
        raise KeyError(f"{group.place} has no labels {label!r}; it has {names}.")
    found = read_group(group.place.child(f"labels/{label}"))
    if found is None:
        raise StoreFormatError(f"{group.place} lists the labels {label!r}, which are not there.")
    check_finished(found)
    return inherit_status(found, group)


def _ome_image(group: Group, level: int | Mapping[str, Length], chunks: Any) -> xr.DataArray:
    image = read_image(group)
    chosen = image.levels[choose_level(image, level, str(group.place))]
    # xprep writes every chunk, also one of zeros: in a store that it finished, a chunk that is not there was lost.
    missing: Missing = "error" if read_status(group) == "finished" else "fill"
    try:
        array = open_array(group.place.child(chosen.path), missing)
    except FileNotFoundError:
        raise StoreFormatError(
            f"{group.place} has {len(image.levels)} levels by its metadata, but that at {chosen.path!r} is not there. Copy the "
            "store again; or open another level, e.g. level=-1."
        ) from None
    if len(array.shape) != len(image.axes):
        raise StoreFormatError(
            f"{array.place} has {len(array.shape)} dimensions, but the metadata name {len(image.axes)} axes {image.dims}."
        )
    coords = {**_placed(image, chosen, array.shape), **_stored_coords(array.place, image.dims, array)}
    opened = _wrap(array, image.dims, coords, image.name or None, chunks)
    return opened.assign_attrs(appearance_of(image))


def _placed(image: Multiscale, level: Level, shape: Sequence[int]) -> dict[str, Any]:
    """Return the coordinates that the metadata give: centres of pixels, names of channels."""
    coords: dict[str, Any] = {}
    for axis, scale, shift, length in zip(image.axes, level.scale, level.translation, shape, strict=True):
        if axis.name == "c" and axis.type in ("channel", ""):
            names = [channel.label for channel in image.channels]
            if len(names) == length and len(set(names)) == length:
                coords["c"] = ("c", np.array(names, dtype=object))
            continue
        attributes: dict[str, Any] = {"units": axis.unit} if axis.unit else {}
        if length == 1:  # one pixel does not tell how large it is
            attributes["spacing"] = scale
        coords[axis.name] = (axis.name, shift + scale * np.arange(length), attributes)
    return coords


def _stored_coords(place: Place, dims: Sequence[str], array: ZarrReadable) -> dict[str, Any]:
    """Return the coordinates stored beside an array of the dual layout: exact, and of every dtype."""
    if not place.path or not place.path.endswith("/image"):
        return {}
    beside = replace(place, path=place.path.rpartition("/")[0])
    others = str(array.attributes.get("coordinates", "")).split()
    nodes = find_arrays(beside, [check_key(name) for name in dict.fromkeys((*dims, *others))], array.array.metadata.zarr_format)
    if array.missing == "error" and (gone := set(others).difference(nodes)):
        raise StoreFormatError(f"{array.place} has the coordinate {min(gone)!r}, which is not in the store: it was lost.")
    return {name: _variable(coord) for name, coord in read_coords(beside, nodes, array.missing).items()}


def _variable(coord: Coord) -> xr.Variable:
    decoded = xr.Dataset({"v": xr.Variable(coord.dims, coord.values, dict(coord.attributes))})
    timed = "since" in str(coord.attributes.get("units", "")) or coord.attributes.get("units") == "nanoseconds"
    return xr.decode_cf(decoded, decode_timedelta=True)["v"].variable if timed else decoded["v"].variable


def _xarray_image(group: Group, chunks: Any) -> xr.DataArray:
    """Open the one image of a group that xarray wrote."""
    names = [name for name in group.place.list_folder() if not name.startswith((".", "zarr.json"))]
    nodes = find_arrays(group.place, names)
    arrays = {name: open_node(node) for name, node in nodes.items()}
    images = [name for name, array in arrays.items() if array.dims and {"y", "x"} <= set(array.dims)]
    if len(images) != 1:
        raise StoreFormatError(
            f"{group.place} is no OME-Zarr image, and holds {len(images) or 'no'} variables with the dims y and x"
            f"{': ' + ', '.join(images) if images else ''}. Give the URL of one array, or of an image's group."
        )
    array = arrays[images[0]]
    beside = {
        name: nodes[name]
        for name, other in arrays.items()
        if name not in images and other.dims and set(other.dims) <= set(array.dims or ()) and len(other.shape) <= 1
    }
    coords = {name: _variable(coord) for name, coord in read_coords(group.place, beside).items()}
    return _wrap(array, array.dims or (), coords, images[0], chunks)


def _bare(array: ZarrReadable, chunks: Any, label: str | None) -> xr.DataArray:
    if label is not None:
        raise KeyError(f"{array.place} is a bare array and has no labels; got label={label!r}.")
    if array.dims is None:
        raise StoreFormatError(
            f"{array.place} is a Zarr array of shape {array.shape} without dimension names, so nobody knows which axis is "
            "which. Name them: xarray.DataArray(dask.array.from_zarr(url), dims=('c', 'y', 'x'))."
        )
    return _wrap(array, array.dims, {}, None, chunks)


def _wrap(array: ZarrReadable, dims: Sequence[str], coords: Mapping[str, Any], name: Any, chunks: Any) -> xr.DataArray:
    if len(set(dims)) != len(dims):
        raise StoreFormatError(f"{array.place} names a dimension twice: {tuple(dims)}.")
    array.check_bounds()
    image = xr.DataArray(read_array(array, token=array.identity), coords=dict(coords), dims=tuple(dims)).rename(name)
    image.attrs = {key: value for key, value in array.attributes.items() if key not in OWN_ATTRIBUTES}
    if chunks is None:
        return image
    return image.copy(data=read_array(array, token=array.identity, chunks=chunks_for(image, chunks)))
