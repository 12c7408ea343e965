"""The coarser levels of an image that was opened at a fine one: a picture needs no more pixels than it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import xarray as xr

from xprep.dims.axes import PLANE
from xprep.dims.spacing import spacing
from xprep.engine.sources.lazy import as_lazy, is_lazy
from xprep.engine.sources.readable import View, read_array
from xprep.engine.sources.slices import view_of
from xprep.io.arrays.reads import Missing, ZarrReadable, open_array
from xprep.io.commit.mark import read_status
from xprep.io.ome.groups import Group, read_group, read_image
from xprep.io.ome_model import Level
from xprep.io.store.places import Place


def fitting_level(image: xr.DataArray, pixels: int) -> xr.DataArray:
    """Return the coarsest level of ``image`` that has as many ``pixels`` along y or x; the image itself where none is known.

    Levels are known of an image as it was opened, by `xprep.open_image` or another library: of all its pixels, unchanged.
    """
    view = _view(image)
    chosen = image
    if view is not None and (view.axes, view.picks) == (tuple(range(image.ndim)), (None,) * image.ndim):
        for level in _coarser(image, view):
            if max(level.sizes[dim] for dim in PLANE) < pixels:
                break
            chosen = level
    return chosen


def coarser_levels(image: xr.DataArray) -> list[xr.DataArray]:
    """Return the coarser levels that are stored of ``image``, finest first; none where none are known.

    The image may also be a part of what was opened: some channels or planes, or a crop, whose coarse levels reach to the
    edges of their own pixels. Of an image without coordinates the levels have none either.
    """
    view = _view(image)
    return [] if view is None else list(_coarser(image, view))


def _view(image: xr.DataArray) -> View | None:
    """Return what the image shows of the array of a store, whose numbers are the pixels."""
    view = view_of(as_lazy(image.data)) if is_lazy(image.data) else None
    is_stored = view is not None and isinstance(view.source, ZarrReadable) and view.source.decoding is None
    return view if is_stored else None


def _coarser(image: xr.DataArray, view: View) -> Iterator[xr.DataArray]:
    source = cast("ZarrReadable", view.source)
    if (found := _group_of(source.place)) is None:
        return
    group, own = found
    # A chunk that a finished store has not was lost, in every level: it is no zeros.
    missing: Missing = "error" if read_status(group) == "finished" else source.missing
    levels = read_image(group).levels
    for level in levels[[one.path for one in levels].index(own.path) + 1 :]:
        array = open_array(group.place.child(level.path), missing)
        if len(array.shape) != len(source.shape):
            return
        picks = [_coarse_picks(view, axis, array, own, level) for axis in range(len(array.shape))]
        if any(one is not None and not one for one in picks):
            return
        yield _at_level(image, View(array, view.axes, tuple(picks), array.identity), view, own, level)


def _coarse_picks(view: View, axis: int, array: ZarrReadable, own: Level, level: Level) -> tuple[int, ...] | None:
    """Return the positions in a coarse level that cover those in the view, along an axis of the source; () where none do."""
    picks, length = view.picks[axis], array.shape[axis]
    if picks is None or length == view.source.shape[axis]:
        return picks
    if picks != tuple(range(picks[0], picks[0] + len(picks))):
        return ()
    ratio = level.scale[axis] / own.scale[axis]
    return tuple(range(int(picks[0] // ratio), min(length, -int(-(picks[-1] + 1) // ratio))))


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


def _at_level(image: xr.DataArray, coarse: View, fine: View, own: Level, level: Level) -> xr.DataArray:
    """Return the pixels of a level where the image's coordinates say that they lie."""
    axes = {str(dim): axis for dim, axis in zip(image.dims, coarse.axes, strict=True) if axis is not None}
    moved = {dim: axis for dim, axis in axes.items() if fine.source.shape[axis] != coarse.source.shape[axis]}
    coords = {name: coord for name, coord in image.coords.items() if not set(coord.dims) & set(moved)}
    for dim, axis in moved.items():
        if dim in image.coords and (step := spacing(image, dim)) is not None:
            ratio = level.scale[axis] / own.scale[axis]
            shift = (level.translation[axis] - own.translation[axis]) / own.scale[axis]
            n = coarse.shape[image.get_axis_num(dim)]
            # Where its pixels lie, in pixels of the image's own level after the first that it shows.
            places = shift + ratio * (_first(coarse, axis) + np.arange(n)) - _first(fine, axis)
            attrs = dict(image.coords[dim].attrs) | ({"spacing": step * ratio} if n == 1 else {})
            coords[dim] = xr.DataArray(float(image.coords[dim].values[0]) + step * places, dims=dim, attrs=attrs)
    return xr.DataArray(read_array(coarse), coords, image.dims, attrs=image.attrs).rename(image.name)


def _first(view: View, axis: int) -> int:
    picks = view.picks[axis]
    return 0 if picks is None else picks[0]
