"""Arrays of a store as xarray's: lazy images, and coordinates, decoded as xarray decodes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import chunks_for
from xprep.engine.graph.tokens import token
from xprep.engine.sources.readable import read_array
from xprep.errors import StoreFormatError
from xprep.io.arrays.coordinates import Coord, read_coords
from xprep.io.arrays.metadata import ArrayNode
from xprep.io.arrays.packing import PACKING, VALID, Fill, find_decoding, missing_value
from xprep.io.arrays.reads import Missing, ZarrReadable
from xprep.io.store.places import Place

# What zarr and xarray keep in an array's attributes for themselves.
OWN_ATTRIBUTES = ("_ARRAY_DIMENSIONS", "coordinates", "xprep")


def decoded(array: ZarrReadable, fill: Fill) -> ZarrReadable:
    """Return ``array`` to be read as the numbers that its own stand for; see `find_decoding`."""
    metadata = {**array.array.metadata.to_dict(), "attributes": array.attributes}
    found = find_decoding(metadata, array.dtype, fill, str(array.place))
    if found is None:
        return array
    return replace(array, decoding=found, identity=token(array.identity, sorted(found.attributes.items())))


def _check_lengths(array: ZarrReadable, sizes: Mapping[str, int], coords: Mapping[str, Any]) -> None:
    """Refuse coordinates that are not as long as the image."""
    for name, coord in coords.items():
        for dim, length in coord.sizes.items() if isinstance(coord, xr.Variable) else ():
            if length != sizes.get(str(dim), length):
                raise StoreFormatError(
                    f"{array.place} has {sizes[str(dim)]} pixels along {dim!r}, and the coordinate {name!r} has {length} values."
                )


def lazy_image(array: ZarrReadable, dims: Sequence[str], coords: Mapping[str, Any], name: Any, chunks: Any) -> xr.DataArray:
    """Return the image in ``array``; nothing of it is read."""
    if len(set(dims)) != len(dims):
        raise StoreFormatError(f"{array.place} names a dimension twice: {tuple(dims)}.")
    array.check_bounds()
    _check_lengths(array, dict(zip(dims, array.shape, strict=True)), coords)
    image = xr.DataArray(read_array(array, token=array.identity), coords=dict(coords), dims=tuple(dims)).rename(name)
    image.attrs = _attributes(array)
    if chunks is None:
        return image
    return image.copy(data=read_array(array, token=array.identity, chunks=chunks_for(image, chunks)))


def _attributes(array: ZarrReadable) -> dict[str, Any]:
    """Return what is said of the pixels, without what zarr and xarray say of how they are stored."""
    found = {key: value for key, value in array.attributes.items() if key not in OWN_ATTRIBUTES}
    packed = {name for name in PACKING if name in found} | ({"dtype"} if found.get("dtype") == "bool" else set())
    ranges = {} if array.decoding is None else array.decoding.ranges({name: found[name] for name in VALID if name in found})
    return {key: ranges.get(key, value) for key, value in found.items() if key not in packed}


def coordinates(place: Place, nodes: Mapping[str, ArrayNode], fill: Fill, missing: Missing = "fill") -> dict[str, xr.Variable]:
    """Return the arrays ``nodes`` below ``place`` as coordinates, read whole."""
    return {name: _variable(coord, nodes[name], fill) for name, coord in read_coords(place, nodes, missing).items()}


def _variable(coord: Coord, node: ArrayNode, fill: Fill) -> xr.Variable:
    """Decode a coordinate: what was packed, dates and durations."""
    values = np.asarray(coord.values)
    try:
        attributes = {**coord.attributes, **missing_value(node.metadata, values.dtype, fill)}
        raw = xr.Dataset({"v": xr.Variable(coord.dims, values, attributes)})
        made = xr.decode_cf(raw, decode_coords=False)["v"].variable
        return xr.Variable(made.dims, made.values, made.attrs)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise StoreFormatError(
            f"the coordinate {node.place} cannot be decoded by its attributes {dict(coord.attributes)}, as xarray does: {error}."
        ) from None
