"""What other libraries' graphs read: `dask.array.from_array`, `from_zarr`, `xarray.open_zarr`.

dask reads Zarr a chunk a task, through zarr's own codecs, and puts the chunks together where a tile needs several. As a
source of ours, a tile is one read in the task that uses it; a further pass reads anew without a clone of the graph,
readings can be paced, and plans know what is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array

from xprep.engine.graph.tasks import Cost
from xprep.engine.machine.private_dask import held, sliced
from xprep.engine.sources.readable import View, read_array
from xprep.io.arrays.opened_elsewhere import place_below, readable_of
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.store.places import Place

LABEL = "another graph's"  # what plans call a reading that somebody else's graph does


def adopt(array: da.Array) -> da.Array:
    """Return ``array`` as a reading of its source, if it is nothing but the reading of a Zarr array; otherwise itself."""
    found = sliced(array.dask.layers, array.name)
    if found is None or found.locked or found.chunks != array.chunks or type(meta_from_array(array)) is not np.ndarray:
        return array
    source = readable_of(found.source)
    if source is None or source.shape != array.shape or source.dtype != array.dtype:
        return array
    return read_array(View.of(source, str(array.name)), chunks=array.chunks)


def foreign_readings(array: da.Array) -> Iterator[tuple[str, Cost]]:
    """Yield the layers below ``array`` in which another library slices a source, and what reading all of it costs.

    A graph may use a part of it only; only running it would tell.
    """
    for name in array.dask.layers:
        found = sliced(array.dask.layers, name)
        size = getattr(getattr(found and found.source, "dtype", None), "itemsize", 0)
        if found is not None and size:
            block = prod(map(max, found.chunks)) * size
            yield name, Cost(LABEL, prod(map(sum, found.chunks)) * size, False, block)


def places_below(array: Any) -> list[Place]:
    """Return where every Zarr array lies that ``array`` is read from, by whatever layers of whatever library.

    Also of one that xarray reads when its values are asked for, which is no dask array.
    """
    if not isinstance(array, da.Array):
        return [] if (place := place_below(array)) is None else [place]
    costs = [getattr(layer, "cost", None) for layer in array.dask.layers.values()]
    views = [cost.view for cost in costs if cost is not None and cost.view is not None]
    ours = [view.source.place for view in views if isinstance(view.source, ZarrReadable)]
    others = [value for layer in array.dask.layers.values() for value in held(layer)]
    return ours + [place for place in map(place_below, others) if place is not None]


def parts_below(array: Any) -> Iterator[tuple[Place, bool]]:
    """Yield where the Zarr arrays lie that ``array`` is read from, and whether only a part of the axes but ``c`` is.

    Of an array whose dims have no names, y and x count.
    """
    for layer in array.dask.layers.values() if isinstance(array, da.Array) else ():
        view = getattr(getattr(layer, "cost", None), "view", None)
        if view is not None and isinstance(view.source, ZarrReadable):
            dims = view.source.dims or ("c",) * (len(view.picks) - 2) + ("y", "x")
            axes = zip(view.picks, dims, view.source.shape, strict=True)
            yield view.source.place, any(picks is not None and dim != "c" and len(picks) < n for picks, dim, n in axes)
