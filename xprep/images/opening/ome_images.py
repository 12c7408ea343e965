"""Images of OME-Zarr: a level is opened, and placed by the metadata and by the coordinates stored beside it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.dims.lengths import Length
from xprep.errors import StoreFormatError, StoreFormatWarning
from xprep.images.appearance import appearance_of
from xprep.images.opening.level_choice import choose_level
from xprep.images.opening.stored_levels import open_stored
from xprep.images.opening.variables import coordinates, decoded, lazy_image
from xprep.io.arrays.metadata import find_arrays
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.ome.groups import Group, read_image
from xprep.io.ome_model import AXIS_TYPES, Axis, Level, Multiscale
from xprep.io.store.urls import check_key

_SPACE: Final = tuple(name for name, kind in AXIS_TYPES.items() if kind == "space")

# Each pixel along an axis has a coordinate of 8 bytes in memory, wherever the image is opened.
MAX_AXIS: Final = 2**23


def read_placed(group: Group, system: str | None) -> Multiscale:
    """Return the image that ``group`` is, in the coordinate ``system``, and warn of what its coordinates do not say.

    Raises
    ------
    KeyError
        There is no such system.
    StoreFormatError
        As of `read_image`.
    """
    image = read_image(group, system=system)
    if image.unsaid:
        _warn(f"{group.place}: {image.unsaid}; the coordinates are those before it.")
    return image


def _warn(text: str) -> None:
    warnings.warn(text, StoreFormatWarning, stacklevel=2)


def open_level(group: Group, image: Multiscale, level: int | Mapping[str, Length], chunks: Any) -> xr.DataArray:
    """Open one resolution of ``image``, which ``group`` is.

    Raises
    ------
    StoreFormatError
        It is not there, or does not fit the metadata.
    """
    shown = replace(image, axes=_our_axes(image.axes))
    chosen = image.levels[choose_level(shown, level, str(group.place))]
    array = decoded(open_stored(group, image, chosen), "value")
    if len(array.shape) != len(image.axes):
        raise StoreFormatError(
            f"{array.place} has {len(array.shape)} dimensions, but the metadata name {len(image.axes)} axes {image.dims}."
        )
    placed, stored = _placed(shown, chosen, array), _stored_coords(array, image.dims, shown.dims)
    # What lies beside the pixels is exact, and of every dtype; but it does not follow to another coordinate system.
    coords = {**stored, **placed} if image.is_moved else {**placed, **stored}
    return lazy_image(array, shown.dims, coords, image.name or None, chunks).assign_attrs(appearance_of(image))


def _our_axes(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Return axes under our names where their types say what they are: a time is ``t``, a channel ``c``, ``Y`` in space ``y``."""
    taken = {axis.name for axis in axes}
    found = []
    for axis in axes:
        name = _our_name(axis)
        found.append(axis if name in taken else replace(axis, name=name))
        taken.add(name)
    return tuple(found)


def _our_name(axis: Axis) -> str:
    if axis.type == "space":
        return axis.name.lower() if axis.name.lower() in _SPACE else axis.name
    return next((name for name, kind in AXIS_TYPES.items() if kind == axis.type and kind), axis.name)


def _placed(image: Multiscale, level: Level, array: ZarrReadable) -> dict[str, Any]:
    """Return the coordinates that the metadata give: centres of pixels, names of channels."""
    coords: dict[str, Any] = {}
    if max(array.shape, default=0) > MAX_AXIS:
        raise StoreFormatError(f"{array.place} of shape {list(array.shape)} has an axis of more than {MAX_AXIS} pixels, each of "
                               "which has a coordinate. If the shape is right, store it in several images.")
    for axis, scale, shift, length in zip(image.axes, level.scale, level.translation, array.shape, strict=True):
        if axis.name == "c" and axis.type in ("channel", ""):
            names = [channel.label for channel in image.channels]
            if len(names) == length:
                coords["c"] = ("c", np.array(names, dtype=object))
            elif names:
                _warn(f"{array.place} has {length} channels, and the metadata (omero) name {len(names)}: they have no names.")
            continue
        attributes: dict[str, Any] = {"units": axis.unit} if axis.unit else {}
        if length == 1:  # one pixel does not tell how large it is
            attributes["spacing"] = scale
        centres = np.arange(length, dtype=np.float64)  # in place: an axis may take 64 MiB
        centres *= scale
        centres += shift
        coords[axis.name] = (axis.name, centres, attributes)
    return coords


def _stored_coords(array: ZarrReadable, dims: Sequence[str], ours: Sequence[str]) -> dict[str, Any]:
    """Return the coordinates stored beside an array of the dual layout, whose ``dims`` are called as ``ours``."""
    place = array.place
    if not place.path or not place.path.endswith("/image"):
        return {}
    others = str(array.attributes.get("coordinates", "")).split()
    names = [check_key(name) for name in dict.fromkeys((*dims, *others))]
    nodes = find_arrays(place.parent, names, array.array.metadata.zarr_format)
    if array.missing == "error" and (gone := set(others).difference(nodes)):
        raise StoreFormatError(f"{place} has the coordinate {min(gone)!r}, which is not in the store: it was lost.")
    called = dict(zip(dims, ours, strict=True))
    found = coordinates(place.parent, nodes, "value", array.missing)
    return {
        called.get(name, name): xr.Variable([called.get(str(dim), dim) for dim in one.dims], one.values, one.attrs)
        for name, one in found.items()
    }
