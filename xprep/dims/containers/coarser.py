"""Coarser versions of an image and of all that lies along it, each made of the one before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE
from xprep.dims.containers.levels import multiscales_of
from xprep.dims.containers.shrinking import Shrinking, check_method, factors_of, shrunk_coords, shrunk_shape
from xprep.dims.provenance import attributes, spell, without_place
from xprep.engine.blocks.gather import Gathered, gather
from xprep.engine.blocks.tiling import base_chunk
from xprep.engine.graph.grid import regular_chunks
from xprep.engine.graph.tasks import origin_of
from xprep.engine.sources.lazy import as_lazy, is_lazy, like
from xprep.naming import named

KEEPING = ("mode", "nearest", "max")  # methods that make no new values


def make_levels(image: xr.DataArray, steps: Sequence[Any], method: str, step: str) -> list[xr.DataArray]:
    """Return the image and its coarser versions; all coordinates come from its own, so that no rounding adds up."""
    check_method(method, image.dtype)
    levels, total = [image], (1,) * image.ndim
    for one in steps:
        factors = factors_of(one, image)
        total = tuple(a * b for a, b in zip(total, factors, strict=True))
        data = _shrink(levels[-1].data, Shrinking(factors, method))
        coords = shrunk_coords(image, total, data.shape)
        level = xr.DataArray(data, coords=coords, dims=image.dims, name=image.name)
        level.attrs = without_place(attributes(image, step))
        levels.append(level)
    return levels


def _shrink(data: Any, shrinking: Shrinking) -> Any:
    before = as_lazy(data)
    shape = shrunk_shape(before.shape, shrinking.factors)
    chunks = regular_chunks(shape, base_chunk(before))
    made = gather(shrinking, before, dtype=before.dtype, chunks=chunks, needs=partial(_needs, shrinking), label=shrinking.method)
    return like(data, made)


@named("shrinking-needs")
def _needs(shrinking: Shrinking, axis: int, start: int, stop: int) -> tuple[int, int]:
    return shrinking.needs(axis, start, stop)


def made_steps(levels: Sequence[xr.DataArray]) -> list[Shrinking] | None:
    """Return how lazy levels are made, if each is `make_levels`'s of the one before: then they need not be made apart."""
    steps = []
    for before, level in pairwise(levels):
        made = origin_of(level.data) if is_lazy(level.data) else None
        if not isinstance(made, Gathered) or not isinstance(made.function, Shrinking):
            return None
        if not is_lazy(before.data) or made.array.name != before.data.name:
            return None
        steps.append(made.function)
    return steps if len({step.method for step in steps}) == 1 else None


def shrink_dataset(
    dataset: xr.Dataset, images: Collection[Any], steps: Sequence[Any], method: str, step: str
) -> list[xr.Dataset]:
    """Return a Dataset and its coarser versions; what does not lie along a dim that shrinks is in each of them."""
    parts = [_own_part(one, dataset) for one in steps]
    shrinking = {dim for one in parts for dim, factor in one.items() if factor != 1}
    moving = {name: array for name, array in dataset.data_vars.items() if not shrinking.isdisjoint(array.dims)}
    made = {}
    for name, array in moving.items():
        if array.dtype.kind in "buif":
            how = method if name in images else _method_beside(method, array.dtype)
            made[name] = make_levels(array, [_own_part(one, array) for one in parts], how, step)
    still = dataset.drop_dims(shrinking)
    levels = [dataset]
    for n in range(1, len(steps) + 1):
        coarse = [arrays[n].to_dataset(name=name) for name, arrays in made.items()]
        level = xr.merge([still, *coarse], join="exact", compat="override", combine_attrs="override")
        levels.append(level[[name for name in dataset.data_vars if name in level]].assign_attrs(dataset.attrs))
    return levels


def _own_part(step: Any, array: xr.DataArray | xr.Dataset) -> dict[Any, Any]:
    """Return the factors of those dims that ``array`` has: labels have no channels."""
    wanted = step if isinstance(step, Mapping) else dict.fromkeys(PLANE, step)
    return {dim: factor for dim, factor in wanted.items() if dim in array.dims}


def _method_beside(method: str, dtype: np.dtype[Any]) -> str:
    """Return how levels are made of what is no image: of labels and masks by their mode, whatever the image's method."""
    return "mode" if dtype.kind != "f" else level_method(method, dtype)


def level_method(method: str, dtype: np.dtype[Any], as_labels: bool = False) -> str:
    """Return how levels of ``dtype`` are made: by the ``method`` that is written down, where it suits what they are.

    Without one, images by their mean; labels and masks by their mode, unless by a method that makes no new values.
    """
    if as_labels and dtype.kind != "f":
        return method if method in KEEPING else "mode"
    return "mean" if not method or (method == "mode" and dtype.kind == "f") else method


def may_be_labels(image: xr.DataArray) -> bool:
    """Whether levels of which nobody says how they were made are not to be blended: wide whole numbers without channels."""
    return CHANNEL not in image.dims and image.dtype.kind in "iu" and image.dtype.itemsize >= 4


def level_attributes(attrs: Mapping[Any, Any], method: str, same: bool) -> dict[Any, Any]:
    """Return the attributes of a node whose levels were made anew: their method, and of ``multiscales`` what is still true.

    Where their pixels lie, is not, unless the levels are of the ``same`` sizes as before.
    """
    kept = dict(attrs)
    entries = [{**(entry if same else _paths_of(entry)), "type": method} for entry in multiscales_of(attrs)]
    if entries and isinstance(kept.get("ome"), Mapping):
        kept["ome"] = {**kept["ome"], "multiscales": entries}
    elif entries:
        kept["multiscales"] = entries
    return kept | {"method": method}


def _paths_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    datasets = [{"path": one["path"]} for one in entry.get("datasets", ()) if isinstance(one, Mapping) and "path" in one]
    return {**({"name": entry["name"]} if "name" in entry else {}), "datasets": datasets}


def anew(dataset: xr.Dataset, images: Collection[Any], steps: Sequence[Mapping[str, int]], method: str) -> list[xr.Dataset]:
    """Return the coarser levels of what became of a level 0, by the factors that its levels had."""
    told = spell("pyramid", {"scale_factors": tuple(dict(step) for step in steps), "method": method})
    return shrink_dataset(dataset, images, steps, method, told)[1:]
