"""Groups that xarray wrote, with one image in each, and bare arrays with named dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import xarray as xr

from xprep.dims.axes import PLANE
from xprep.errors import StoreFormatError
from xprep.images.opening.variables import coordinates, decoded, lazy_image
from xprep.io.arrays.metadata import ArrayNode, find_arrays
from xprep.io.arrays.reads import ZarrReadable, open_node
from xprep.io.ome.groups import Group, list_members

# What other tools call our dims, in small letters.
CALLED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("t", "time", "times", "frame", "frames", "timepoint"), "t"),
    **dict.fromkeys(("c", "channel", "channels", "ch", "band", "bands", "marker", "markers"), "c"),
    **dict.fromkeys(("z", "depth", "plane", "planes", "slice", "slices"), "z"),
    **dict.fromkeys(("y", "row", "rows", "height", "lat", "latitude"), "y"),
    **dict.fromkeys(("x", "col", "cols", "column", "columns", "width", "lon", "longitude"), "x"),
}


def open_variable(group: Group, chunks: Any) -> xr.DataArray:
    """Open the one image of a group that xarray wrote, decoded as `xarray.open_zarr` does, with its coordinates.

    Raises
    ------
    StoreFormatError
        No image or several, dims of other tools, or what xarray does not decode.
    """
    nodes = find_arrays(group.place, list_members(group))
    arrays = {name: open_node(node) for name, node in nodes.items()}
    named = _coordinate_names(group, arrays)
    images = [name for name, array in arrays.items() if name not in named and set(PLANE) <= set(array.dims or ())]
    if len(images) != 1:
        _refuse(group, {name: array.dims for name, array in arrays.items() if name not in named and array.dims}, images)
    array = decoded(arrays[images[0]], "missing")
    _check_dims(array, images[0])
    dims = array.dims or ()
    return lazy_image(array, dims, _coords(group, nodes, arrays, named.intersection(arrays), dims), images[0], chunks)


def _coordinate_names(group: Group, arrays: Mapping[str, ZarrReadable]) -> set[str]:
    """Return the names of coordinates: those of dims, and those that the group or a variable lists, as xarray has them."""
    listed = [group.attributes.get("coordinates"), *(array.attributes.get("coordinates") for array in arrays.values())]
    dims = {dim for array in arrays.values() for dim in array.dims or ()}
    return dims | {name for text in listed if isinstance(text, str) for name in text.split()}


def _coords(
    group: Group, nodes: Mapping[str, ArrayNode], arrays: Mapping[str, ZarrReadable], names: set[str], dims: Sequence[str]
) -> dict[str, Any]:
    """Return the coordinates along ``dims``; those of several dims are as large as images, so they stay lazy."""
    large = {name for name in names if len(arrays[name].shape) > 1 and set(arrays[name].dims or ()) <= set(dims)}
    found: dict[str, Any] = {}
    for name in sorted(large):
        array = decoded(arrays[name], "missing")
        found[name] = lazy_image(array, array.dims or (), {}, name, None).variable
    # Text that is stored letter by letter has one more dim, which decoding takes away.
    small = {name: nodes[name] for name in sorted(names - large) if len(arrays[name].shape) < 2 or arrays[name].dtype.kind == "S"}
    read = coordinates(group.place, small, "missing")
    return found | {name: one for name, one in read.items() if set(one.dims) <= set(dims)}


def _refuse(group: Group, dims: Mapping[str, Any], images: Sequence[str]) -> None:
    """Say why a group has no one image: which there are, or what its dims would have to be called."""
    renamed = {name: _renaming(found) for name, found in dims.items()}
    for name, names in renamed.items():
        if not images and names and set(PLANE) <= {names.get(dim, dim) for dim in dims[name]}:
            raise StoreFormatError(_rename(group.place.url, name, dims[name], names))
    raise StoreFormatError(
        f"{group.place} is no OME-Zarr image, and holds {len(images) or 'no'} variables with the dims y and x"
        f"{': ' + ', '.join(images) if images else ''}. Give the URL of one array, or of an image's group."
    )


def _check_dims(array: ZarrReadable, name: str) -> None:
    dims = array.dims or ()
    if names := _renaming(dims):
        raise StoreFormatError(_rename(array.place.parent.url, name, dims, names))


def _renaming(dims: Sequence[str]) -> dict[str, str]:
    """Return which of ``dims`` would be called otherwise here.

    >>> _renaming(("channel", "Y", "x")), _renaming(("row", "y", "x"))
    ({'channel': 'c', 'Y': 'y'}, {})
    """
    found = {dim: CALLED[dim.lower()] for dim in dims if dim.lower() in CALLED and CALLED[dim.lower()] not in dims}
    return found if len(set(found.values())) == len(found) else {}


def _rename(url: str, name: str, dims: Sequence[str], names: Mapping[str, str]) -> str:
    return (
        f"{url} holds {name!r} with the dims {tuple(dims)}. Dims are t, c, z, y, x here, and what others are is not guessed: "
        f"open it with xarray.open_zarr({url!r})[{name!r}].rename({dict(names)})."
    )


def open_bare(array: ZarrReadable, chunks: Any, label: str | None) -> xr.DataArray:
    """Open an array that no group describes.

    Raises
    ------
    KeyError
        A ``label`` of it was asked for.
    StoreFormatError
        Its dims have no names.
    """
    if label is not None:
        raise KeyError(f"{array.place} is a bare array and has no labels; got label={label!r}.")
    if array.dims is None:
        raise StoreFormatError(
            f"{array.place} is a Zarr array of shape {array.shape} without dimension names, so it is not known which axis is "
            "which. Name them: xarray.DataArray(dask.array.from_zarr(url), dims=('c', 'y', 'x'))."
        )
    return lazy_image(decoded(array, "missing but 0"), array.dims, {}, None, chunks)
