"""What rescaling does to an image, a Dataset and a DataTree: sizes, blocks, companions and metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xprep.engine.gather import Place
from xprep.engine.lazy import is_lazy, like
from xprep.engine.scaling import (
    Stretch,
    check_room,
    cuts_in_memory,
    gather_cuts,
    stretched_cuts,
    stretched_shape,
    whole,
)
from xprep.kernels.positions import Scale, scaled_size
from xprep.kernels.rescale import Rescaling
from xprep.ops.containers import Container, images_of
from xprep.ops.coordinates import rescaled_coordinates
from xprep.ops.labels import attributes
from xprep.ops.layout import SPACE, check_image
from xprep.ops.parameters import check_choice
from xprep.types import Array


@dataclass(frozen=True)
class Way:
    """The checked options of `rescale`."""

    order: int = 1
    boundary: str = "nearest"
    cval: float = 0.0
    size: str = "round"
    origin: str = "corner"
    anti_alias: bool = False

    def __post_init__(self) -> None:
        check_choice(self.order, (0, 1), "order")
        check_choice(self.boundary, ("nearest", "constant"), "boundary")
        check_choice(self.size, ("round", "ceil", "same"), "size")
        check_choice(self.origin, ("corner", "center"), "origin")
        if self.anti_alias and self.order == 0:
            raise ValueError(
                "anti_alias=True averages voxels, and order=0 never blends any; use order=1, or leave anti_alias off."
            )

    def of(self, image: xr.DataArray, is_image: bool) -> Way:
        """Return the way for a variable: what is no image and no float is a label, and never blended."""
        return self if is_image or image.dtype.kind == "f" else replace(self, order=0, anti_alias=False)

    def dtype(self, source: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of the result."""
        return source if self.order == 0 else np.dtype(np.float64 if source == np.float64 else np.float32)


FactorsOf = Callable[[xr.DataArray, bool], Mapping[str, float]]  # of a variable, and whether it is an image
StepsOf = Callable[[xr.DataArray], Mapping[str, float]]


def _no_steps(_image: xr.DataArray) -> Mapping[str, float]:
    return {}


def rescale_everywhere(
    container: Container, factors_of: FactorsOf, way: Way, step: str, steps_of: StepsOf = _no_steps
) -> Container:
    """Scale an image, or everything in a Dataset or DataTree that lies along the dims of space."""
    names = set(images_of(container))

    def scale(array: xr.DataArray, is_image: bool) -> xr.DataArray:
        if is_image:
            check_image(array, "rescale")
        return _rescale(array, factors_of(array, is_image), steps_of(array), way.of(array, is_image), step)

    if isinstance(container, xr.DataArray):
        return scale(container, True)
    if isinstance(container, xr.Dataset):
        return _rescale_dataset(container, container, {name for _, name in names}, scale)
    nodes = {}
    for node in container.subtree:
        mine = {name for path, name in names if path == node.path}
        nodes[node.path] = _rescale_dataset(node.to_dataset(inherit=False), node.to_dataset(), mine, scale)
    return xr.DataTree.from_dict(nodes, name=container.name)


def _rescale_dataset(
    own: xr.Dataset, inherited: xr.Dataset, images: set[Any], scale: Callable[[xr.DataArray, bool], xr.DataArray]
) -> xr.Dataset:
    """Return a Dataset whose variables along dims of space are scaled; coordinates along them come from the results."""
    moving = {name for name, variable in own.variables.items() if set(SPACE) & set(variable.dims)}
    still = own.drop_vars(moving)
    scaled = {
        name: scale(inherited[name], name in images)
        for name in own.data_vars
        if name in moving and inherited[name].dtype.kind in "buif"
    }
    result = xr.merge([still, *(array.to_dataset(name=name) for name, array in scaled.items())], join="exact", compat="override")
    return result[[name for name in own.data_vars if name in result]].assign_attrs(own.attrs)


def _rescale(image: xr.DataArray, factors: Mapping[str, float], steps: Mapping[str, float], way: Way, step: str) -> xr.DataArray:
    scales = {dim: _scale_of(image, dim, factors.get(dim, 1.0), way) for dim in SPACE if dim in image.dims}
    dtype = way.dtype(image.dtype)
    _check_cval(way, image.dtype)
    shape = tuple(scales[dim].size if dim in scales else n for dim, n in image.sizes.items())
    if not is_lazy(image.data):
        check_room(shape, dtype)
    result = xr.DataArray(_scaled_data(image, scales, way, dtype), dims=image.dims).rename(image.name)
    result = result.assign_coords(rescaled_coordinates(image, scales, steps))
    result.attrs = _fresh(attributes(image, step))
    return result


def _scaled_data(image: xr.DataArray, scales: Mapping[str, Scale], way: Way, dtype: np.dtype[Any]) -> Any:
    data = whole(image.data)
    axes = [image.get_axis_num(dim) if dim in image.dims else None for dim in SPACE]
    z, y, x = (scales.get(dim, Scale(1, 1, 1.0)) for dim in SPACE)
    recipe = Rescaling((z, y, x), tuple(axes), way.order, way.boundary == "nearest", way.cval, way.anti_alias)  # type: ignore[arg-type]
    stretches = {axis: _stretch(scale) for axis, scale in zip(axes, (z, y, x), strict=True) if axis is not None}
    shape = stretched_shape(data, stretches)
    lazy = is_lazy(image.data)
    cuts = stretched_cuts(data, stretches, dtype.itemsize) if lazy else cuts_in_memory(shape, dtype.itemsize)
    made = gather_cuts(_RescaleBlock(recipe), data, cuts, shape, recipe.needs, dtype, "rescale")
    return like(image.data, made)


def _stretch(scale: Scale) -> Stretch:
    return Stretch(scale.size, scale.size / scale.length if scale.copies else scale.factor)


@dataclass(frozen=True)
class _RescaleBlock:
    recipe: Rescaling

    def __call__(self, block: Array, place: Place) -> Array:
        return self.recipe(block, place.input, place.output)


def _scale_of(image: xr.DataArray, dim: str, factor: float, way: Way) -> Scale:
    length = image.sizes[dim]
    return Scale(length, scaled_size(length, factor, way.size), factor, way.origin == "center")


def _check_cval(way: Way, dtype: np.dtype[Any]) -> None:
    if way.boundary != "constant" or way.order == 1 or dtype.kind == "f":
        return
    kept = np.array(way.cval).astype(dtype) if np.isfinite(way.cval) and abs(way.cval) < 2**63 else None
    if kept is None or kept != way.cval:
        raise ValueError(f"cval={way.cval!r} is not a value of {dtype}, which order=0 keeps; give one that is, or order=1.")


def _fresh(attrs: dict[str, Any]) -> dict[str, Any]:
    """Drop the metadata that give the old voxel size; channels' names and colours stay."""
    kept = {name: value for name, value in attrs.items() if name not in ("multiscales", "transform")}
    if isinstance(kept.get("ome"), Mapping):
        kept["ome"] = {name: value for name, value in kept["ome"].items() if name != "multiscales"}
    return kept
