"""The coarser levels of an image that was opened at a fine one: a picture needs no more pixels than it has."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xprep.dims.axes import PLANE
from xprep.dims.spacing import spacing
from xprep.engine.sources.lazy import as_lazy, is_lazy
from xprep.engine.sources.readable import View, read_array, source_of
from xprep.io.arrays.reads import Missing, ZarrReadable, open_array
from xprep.io.commit.mark import read_status
from xprep.io.ome.groups import Group, read_group, read_image
from xprep.io.ome_model import Level
from xprep.io.store.places import Place


def fitting_level(image: xr.DataArray, pixels: int) -> xr.DataArray:
    """Return the coarsest level of ``image`` that has as many ``pixels`` along y or x; the image itself where none is known.

    Levels are known of an image as it was opened, by `xprep.open_image` or another library: of all its pixels, unchanged.
    """
    source = _whole_source(image)
    found = None if source is None else _group_of(source.place)
    if source is None or found is None:
        return image
    group, own = found
    # A chunk that a finished store has not was lost, in every level: it is no zeros.
    missing: Missing = "error" if read_status(group) == "finished" else source.missing
    levels = read_image(group).levels
    axes = [image.get_axis_num(dim) for dim in PLANE]
    chosen = image
    for level in levels[[one.path for one in levels].index(own.path) + 1 :]:
        array = open_array(group.place.child(level.path), missing)
        if len(array.shape) != image.ndim or max(array.shape[axis] for axis in axes) < pixels:
            break
        chosen = _at_level(image, array, own, level)
    return chosen


def _whole_source(image: xr.DataArray) -> ZarrReadable | None:
    """Return the array in a store whose pixels are the image's, all of them and in its order of axes."""
    origin = source_of(as_lazy(image.data)) if is_lazy(image.data) else None
    if origin is None or not isinstance(source := origin.view.source, ZarrReadable) or source.decoding is not None:
        return None
    everything = View.of(source, "")
    return source if (origin.view.axes, origin.view.picks) == (everything.axes, everything.picks) else None


def _group_of(place: Place) -> tuple[Group, Level] | None:
    """Return the OME-Zarr image that lists the array at ``place`` among its levels, and that level."""
    above = place
    while above.path:
        above = above.parent
        group = read_group(above)
        if group is not None and group.is_image:
            path = place.path.removeprefix(above.path).lstrip("/")
            return next(((group, level) for level in read_image(group).levels if level.path == path), None)
    return None


def _at_level(image: xr.DataArray, array: ZarrReadable, own: Level, level: Level) -> xr.DataArray:
    """Return the pixels of a level where the image's coordinates say that they lie."""
    data = read_array(array, token=array.identity)
    moved = [str(dim) for dim, n in zip(image.dims, array.shape, strict=True) if image.sizes[dim] != n]
    coords = {name: coord for name, coord in image.coords.items() if not set(coord.dims) & set(moved)}
    for dim in moved:
        if dim in image.coords and (step := spacing(image, dim)) is not None:
            axis = image.get_axis_num(dim)
            shift = (level.translation[axis] - own.translation[axis]) / own.scale[axis]
            places = shift + level.scale[axis] / own.scale[axis] * np.arange(array.shape[axis])
            first = float(image.coords[dim].values[0])
            coords[dim] = xr.DataArray(first + step * places, dims=dim, attrs=image.coords[dim].attrs)
    return xr.DataArray(data, coords, image.dims, attrs=image.attrs).rename(image.name)
