"""What other libraries' graphs read: `dask.array.from_array`, `from_zarr`, `xarray.open_zarr`.

dask reads Zarr a chunk a task, through zarr's own codecs, and puts the chunks together where a tile needs several. As a
source of ours, a tile is one read in the task that uses it; a further pass reads anew without a clone of the graph,
readings can be paced, and plans know what is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import TaskRef
from dask.array.core import getter, getter_nofancy
from dask.blockwise import Blockwise

from xprep.engine.graph.tasks import Cost
from xprep.engine.sources.readable import View, read_array
from xprep.io.arrays.opened_elsewhere import place_below, readable_of
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.store.places import Place
from xprep.types import Chunks

LABEL = "another graph's"  # what plans call a reading that somebody else's graph does


@dataclass(frozen=True)
class Sliced:
    """A layer that slices blocks out of ``source``; ``locked`` if only one thread may."""

    source: Any
    chunks: Chunks
    locked: bool


def adopt(array: da.Array) -> da.Array:
    """Return ``array`` as a reading of its source, if it is nothing but the reading of a Zarr array; otherwise itself."""
    found = sliced(array.dask.layers, array.name)
    if found is None or found.locked or found.chunks != array.chunks or type(array._meta) is not np.ndarray:
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
    cut = [found.source for name in array.dask.layers if (found := sliced(array.dask.layers, name)) is not None]
    return ours + [place for place in map(place_below, cut) if place is not None]


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


def sliced(layers: Mapping[str, Any], name: str) -> Sliced | None:
    """Return what `dask.array.from_array` cut up in the layer ``name``, None where the layer is something else."""
    layer = layers.get(name)
    if not isinstance(layer, Blockwise) or len(layer.indices) != 2:
        return None
    (value, _), (slices, _) = layer.indices
    chunks = getattr(layer.io_deps.get(slices), "chunks", None)
    if chunks is None or getattr(layer.task, "func", None) not in (getter, getter_nofancy):
        return None
    if isinstance(value, TaskRef):  # otherwise inline_array=True
        value = layers.get(value.key, {}).get(value.key)
        value = getattr(value, "value", value)
    return Sliced(value, chunks, bool(layer.task.kwargs.get("lock")))
