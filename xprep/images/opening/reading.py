"""Opening: OME-Zarr 0.4–0.6, flat or dual; groups that xarray wrote; bare Zarr arrays with named dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from xprep.dims.containers.roles import IMAGE_LABEL
from xprep.dims.lengths import Length
from xprep.errors import StoreFormatError, StoreFormatWarning
from xprep.images.opening.level_choice import check_asked
from xprep.images.opening.ome_images import open_level, read_placed
from xprep.images.opening.series import check_dims, choose_series, warn_of_cost
from xprep.images.opening.xarray_groups import open_bare, open_variable
from xprep.io.arrays.metadata import check_something
from xprep.io.arrays.reads import open_array
from xprep.io.commit.mark import check_finished, inherit_status
from xprep.io.ome.groups import Group, list_images, list_labels, read_group
from xprep.io.ome_model import Multiscale
from xprep.io.store.places import open_store


def open_image(
    url: str | Path | Any,
    *,
    level: int | Mapping[str, Length] = 0,
    label: str | None = None,
    coordinate_system: str | None = None,
    series: int | str | None = None,
    dims: str | None = None,
    chunks: Any = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Open an image lazily: no pixel is read.

    Parameters
    ----------
    url : str, Path or zarr store
        OME-Zarr 0.4, 0.5 or 0.6 (flat or dual layout), a group written by xarray with one image in it, or a Zarr array
        with dimension names; a path, an fsspec URL (``s3://…``), or any Zarr store object. Also a Zarr store in a zip file
        (``.zarr.zip``, ``.ozx``), a TIFF file (OME-TIFF, ImageJ, BigTIFF, pyramids of slide scanners: extra ``tiff``), and
        with the extra ``bioio`` what bioio's readers know: see Notes.
    level : int or mapping of str to float or str
        Resolution: 0 is the finest, negative numbers count from the coarsest. A mapping gives the pixel size wanted, by dim,
        in the store's unit or with one (``{"x": 2.0}``, ``{"x": "2 um"}``): the coarsest level whose pixels are no larger.
    label : str, optional
        Name of a label image to open instead of the image.
    coordinate_system : str, optional
        Where transformations lead to several coordinate systems (OME-Zarr 0.6, SpatialData), the one whose coordinates the
        image gets; by default that called ``global``, else the first. `xprep info` lists them. What coordinates along axes
        cannot say (a rotation, a shear) is warned of, and refused where it was asked for.
    series : int or str, optional
        Of a file or store of several series (scenes, positions), the number or name of one. A slide's label, macro and
        thumbnail are no series of the specimen, and are opened by their names.
    dims : str, optional
        What the axes of a TIFF file of more than one entry are, a letter each (``"zyx"``), where it says nothing or is wrong.
    chunks : mapping, int or tuple, optional
        Chunks of the lazy array, by dim; by default those of the store.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint.

    Returns
    -------
    DataArray
        Dims as stored (``t, c, z, y, x`` or some of them), with physical coordinates of the pixels' centres (``units`` in
        their attributes) and the channels' names in ``c``, also where two are equal. Axes of OME-Zarr that are called otherwise
        have our names where their types say what they are (a ``channel`` is ``c``). Values that xarray packed (``scale_factor``,
        ``add_offset``, ``_FillValue``, ``missing_value``, ``_Unsigned``) are decoded block by block, as `xarray.open_zarr` does;
        an OME-Zarr's fill value is a value, and so is the 0 of a bare Zarr v2 array. How channels and labels are shown is in
        the attributes ``omero`` and ``image-label``, as in OME-Zarr, and is kept when the image is written again;
        that the latter is there says that these are labels, also to operations on a Dataset of both.

    Raises
    ------
    UnfinishedStoreError
        A store whose writer did not finish.
    StoreFormatError
        No image there, several of them, metadata that are wrong, a level that is not there, dims of other tools.
    KeyError
        No such label, no such coordinate system.
    ImportError
        A file whose reader is not installed; it names the extra.
    OSError
        The store cannot be read: no such bucket, wrong credentials.

    Warns
    -----
    ChunksWarning
        A file in pieces so large that reading a part of one costs much memory.

    Notes
    -----
    Files are read strip by strip or tile by tile, in the order of dims of OME-Zarr, whatever order they have; samples (RGB) are
    channels, axes of one entry are left out but for a channel that has a name. Names of channels, colours and sizes of pixels
    are those of the OME-XML, of ImageJ, of Aperio's and PerkinElmer's descriptions; the resolution in TIFF's own tags counts
    where a slide scanner wrote it, and is a printer's elsewhere. Pages of which a file says nothing are channels, called by
    their tag PageName if each has one; ``dims`` says otherwise. What the metadata say and the file has not (planes, levels that
    are not the image made smaller) is refused. A TIFF file may lie in a bucket, and is then read a request at a time.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/blobs.ome.zarr"
    >>> report = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.to_ome_zarr(url)
    >>> xprep.open_image(url).dims
    ('c', 'y', 'x')
    """
    check_asked(level, label, coordinate_system, chunks, series, dims)
    place = open_store(url, storage_options, dims=dims or "")
    check_dims(place, dims)
    group = read_group(place)
    if group is None:
        if series is not None:
            raise KeyError(f"{place} is one array, which has no series {series!r}.")
        opened = open_bare(open_array(place), chunks, label)
    else:
        check_finished(group)
        group = choose_series(group, series)
        warn_of_cost(group)
        group = group if label is None else _label_group(group, label)
        if group.is_image:
            opened = open_level(group, read_placed(group, coordinate_system), level, chunks)
            return opened if label is None else opened.assign_attrs({IMAGE_LABEL: opened.attrs.get(IMAGE_LABEL, {})})
        opened = open_variable(group, chunks)
    if coordinate_system is not None:
        raise KeyError(f"{place} is no OME-Zarr image and has no coordinate systems; got {coordinate_system!r}.")
    return opened


def open_labels(
    url: str | Path | Any,
    series: int | str | None = None,
    dims: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> dict[str, xr.DataArray]:
    """Open the label images of an image lazily, by their names; an empty mapping where there are none."""
    group = read_group(open_store(url, storage_options, dims=dims or ""))
    if group is None:
        return {}
    group = choose_series(group, series)
    names = list_labels(group) if group.is_image else []
    return {name: open_image(group.place, label=name) for name in names}


def open_tree(
    url: str | Path | Any,
    *,
    chunks: Any = None,
    coordinate_system: str | None = None,
    series: int | str | None = None,
    dims: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Open all levels and labels of an image lazily.

    Parameters
    ----------
    url, chunks, coordinate_system, series, dims, storage_options
        As for `open_image`; without ``series`` all are in the tree.

    Returns
    -------
    DataTree
        ``scale0 … scaleN``, each with the variable ``image``, and ``labels/NAME/scale0 …``. Of a plate, a store of several
        series or a SpatialData object, a node per image. Wells, fields and labels that are listed and not there are left out,
        with a warning.

    Raises
    ------
    UnfinishedStoreError, StoreFormatError, KeyError, OSError
        As for `open_image`.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/blobs.ome.zarr"
    >>> report = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.to_ome_zarr(url, scale_factors=(2,))
    >>> list(xprep.open_tree(url).children)
    ['scale0', 'scale1']
    """
    check_asked(0, None, coordinate_system, chunks, series, dims)
    place = open_store(url, storage_options, dims=dims or "")
    check_dims(place, dims)
    group = read_group(place)
    if group is None:
        check_something(place)
        raise StoreFormatError(f"{place} is no Zarr group; open_image opens a bare array.")
    check_finished(group)
    group = group if series is None else choose_series(group, series)
    place = group.place
    nodes: dict[str, xr.Dataset] = {}
    stored: dict[str, Multiscale] = {}
    entries = list_images(group)
    for entry in entries:
        image = read_group(place.child(entry.path)) if entry.path else group
        if image is None or not image.is_image:
            text = f"{place} lists {entry.path!r}, where no image is. The tree has the rest."
            warnings.warn(text, StoreFormatWarning, stacklevel=2)
            continue
        stored[entry.path], levels = _levels(image, f"/{entry.path}".rstrip("/"), coordinate_system, chunks)
        nodes.update(levels)
    if not nodes:
        raise StoreFormatError(f"{place} holds no OME-Zarr image" + (", and none of those that it lists." if entries else "."))
    tree = xr.DataTree.from_dict(nodes, name=stored[""].name or None if "" in stored else None)
    for path, found in stored.items():
        if found.method:
            (tree[path] if path else tree).attrs["method"] = found.method
    return tree


def _levels(group: Group, prefix: str, system: str | None, chunks: Any) -> tuple[Multiscale, dict[str, xr.Dataset]]:
    """Return the image that ``group`` is, and its levels and those of its labels, by their paths below ``prefix``."""
    image = read_placed(group, system)
    found = _pyramid(group, image, prefix, chunks)
    for name in list_labels(group):
        try:
            label = _label_group(group, name)
        except StoreFormatError as error:
            warnings.warn(f"{error} The tree has the rest.", StoreFormatWarning, stacklevel=4)
            continue
        found |= _pyramid(label, read_placed(label, system), f"{prefix}/labels/{name}", chunks)
    return image, found


def _pyramid(group: Group, image: Multiscale, prefix: str, chunks: Any) -> dict[str, xr.Dataset]:
    numbers = range(len(image.levels))
    return {f"{prefix}/scale{n}": open_level(group, image, n, chunks).to_dataset(name="image") for n in numbers}


def _label_group(group: Group, label: str) -> Group:
    names = list_labels(group)
    if label not in names:
        raise KeyError(f"{group.place} has no labels {label!r}; it has {names}.")
    found = read_group(group.place.child(f"labels/{label}"))
    if found is None:
        raise StoreFormatError(f"{group.place} lists the labels {label!r}, which are not there.")
    check_finished(found)
    return inherit_status(found, group)
