"""What rescaling does to an image, a Dataset and a DataTree: sizes, blocks, companions and metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.arguments import check_number
from xprep.dims.axes import SPACE, check_image
from xprep.dims.containers.apply import Container, rebuild, refuse_doubtful
from xprep.dims.containers.contents import contents_of
from xprep.dims.containers.following import Beside
from xprep.dims.parameters import check_choice
from xprep.dims.provenance import attributes, without_place
from xprep.dims.scaled_coordinates import rescaled_coordinates
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.scaling import (
    Stretch,
    check_room,
    cuts_in_memory,
    gather_cuts,
    stretched_cuts,
    stretched_shape,
    whole,
)
from xprep.engine.sources.lazy import is_lazy, like
from xprep.kernels.positions import Scale, scaled_size
from xprep.kernels.rescale import Rescaling
from xprep.naming import named
from xprep.switches import check_switch
from xprep.types import Array


@dataclass(frozen=True)
class Way:
    """The checked options of `rescale`; ``cast`` is the result's type, if it is not the usual one."""

    order: int = 1
    boundary: str = "nearest"
    cval: float = 0.0
    size: str = "round"
    origin: str = "corner"
    anti_alias: bool = False
    cast: np.dtype[Any] | None = None

    def __post_init__(self) -> None:
        check_choice(self.order, (0, 1), "order")
        check_choice(self.boundary, ("nearest", "constant"), "boundary")
        check_choice(self.size, ("round", "ceil", "same"), "size")
        check_choice(self.origin, ("corner", "center"), "origin")
        check_number(self.cval, "cval")
        check_switch(self.anti_alias, "anti_alias")
        if self.anti_alias and self.order == 0:
            raise ValueError(
                "anti_alias=True averages voxels, and order=0 never blends any; use order=1, or leave anti_alias off."
            )

    def of_what_is_beside(self, dtype: np.dtype[Any]) -> Way:
        """Return the way for what is no image: what is no float either is a label, and never blended."""
        return replace(self, cast=None) if dtype.kind == "f" else replace(self, order=0, anti_alias=False, cast=None)

    def working(self, source: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type that voxels are blended in: float64 where float32 has not the digits of what is wanted."""
        if self.order == 0:
            return source
        wide = self.cast is not None and (self.cast == np.float64 or (self.cast.kind in "iu" and self.cast.itemsize > 2))
        return np.dtype(np.float64 if source == np.float64 or wide else np.float32)

    def dtype(self, source: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of the result.

        Raises
        ------
        TypeError
            Floats, which may be NaN, shall become integers.
        """
        if self.cast is not None and source.kind == "f" and self.cast.kind != "f":
            raise TypeError(
                f"dtype={str(self.cast)!r}: an image of {source} may hold NaN, which no integer is. Leave dtype out, and convert "
                "the result: image.fillna(0).round().astype(…)."
            )
        return self.working(source) if self.cast is None else self.cast


LONGEST: Final = 2**23  # voxels along an axis, each of which has a coordinate: as many as `open_image` takes
FEWEST: Final = 1000  # one voxel may stand for an image that is so much shorter: beyond that it is a factor upside down
_RIGHT: Final = "Is the factor right? It is new voxels per old voxel."

# Factors of an array by dim; beside it the images of its Dataset, with which it shares a grid.
FactorsOf = Callable[[xr.DataArray, Sequence[xr.DataArray]], Mapping[str, float]]
StepsOf = Callable[[xr.DataArray], tuple[Mapping[str, float], str | None]]


def real_type(dtype: Any) -> np.dtype[Any]:
    """Return a type of real numbers.

    Raises
    ------
    TypeError
        It is none.
    """
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be a type of numbers, such as 'uint16' or 'float32'; got {dtype!r}.") from None
    if found.kind not in "iuf" or found.itemsize > 8:
        raise TypeError(f"dtype must be a type of integers or of floats of at most 64 bits; got {dtype!r}.")
    return found


def _no_steps(_image: xr.DataArray) -> tuple[Mapping[str, float], None]:
    return {}, None


def rescale_everywhere(
    container: Container, factors_of: FactorsOf, way: Way, step: str, steps_of: StepsOf = _no_steps
) -> Container:
    """Scale an image, or everything in a Dataset or DataTree that lies along the dims of space."""

    def scale(array: xr.DataArray, images: Sequence[xr.DataArray], way: Way, is_image: bool = True) -> xr.DataArray:
        if is_image:
            check_image(array, "rescale")
        return _rescale(array, factors_of(array, images), steps_of(array), way, step)

    def follow(array: xr.DataArray, images: Sequence[xr.DataArray]) -> xr.DataArray | None:
        return scale(array, images, way.of_what_is_beside(array.dtype), False) if array.dtype.kind in "buif" else None

    if isinstance(container, xr.DataArray):
        return scale(container, [container], way)
    contents = contents_of(container)
    if way.order:
        refuse_doubtful(contents, f"{step.partition('(')[0]}(order={way.order})")
    images = [] if contents.only_labels else contents.images
    together: dict[str, list[xr.DataArray]] = {}
    for one in images:
        together.setdefault(one.key[0], []).append(one.array)
    results = {one.key: scale(one.array, together[one.key[0]], way) for one in images}
    return rebuild(container, results, Beside(SPACE, follow))  # type: ignore[no-any-return]


def _rescale(
    image: xr.DataArray, factors: Mapping[str, float], steps: tuple[Mapping[str, float], str | None], way: Way, step: str
) -> xr.DataArray:
    scales = {dim: _scale_of(image, dim, factors.get(dim, 1.0), way) for dim in SPACE if dim in image.dims}
    dtype = way.dtype(image.dtype)
    _check_cval(way, image.dtype)
    shape = tuple(scales[dim].size if dim in scales else n for dim, n in image.sizes.items())
    if not is_lazy(image.data):
        check_room(shape, dtype)
    result = xr.DataArray(_scaled_data(image, scales, way, dtype), dims=image.dims).rename(image.name)
    result = result.assign_coords(rescaled_coordinates(image, scales, *steps))
    result.attrs = without_place(attributes(image, step))
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
    made = gather_cuts(_RescaleBlock(recipe, way.working(image.dtype), dtype), data, cuts, shape, recipe.needs, dtype, "rescale")
    return like(image.data, made)


def cast_to(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return values in another type: whole numbers round half to even, and stay within what the type can hold."""
    if values.dtype == dtype:
        return values
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    whole = values if values.dtype.kind in "iu" else np.rint(values, dtype=np.float64)
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if whole.dtype.kind == "f" and dtype.itemsize == 8:  # 2**63 - 1 is no float64: the next one above would wrap around
        high = int(np.nextafter(float(high), 0))
    elif whole.dtype.kind in "iu":
        low, high = max(low, int(np.iinfo(whole.dtype).min)), min(high, int(np.iinfo(whole.dtype).max))
    return np.clip(whole, low, high).astype(dtype)


def _stretch(scale: Scale) -> Stretch:
    return Stretch(scale.size, scale.size / scale.length if scale.copies else scale.factor)


@named("rescale-block")
@dataclass(frozen=True)
class _RescaleBlock:
    recipe: Rescaling
    working: np.dtype[Any]
    dtype: np.dtype[Any]

    def __call__(self, block: Array, place: BlockPlace) -> Array:
        wide = block.astype(np.float64) if self.working == np.float64 else block
        return cast_to(self.recipe(wide, place.input, place.output), self.dtype)


def _scale_of(image: xr.DataArray, dim: str, factor: float, way: Way) -> Scale:
    length = image.sizes[dim]
    if way.size != "same" and factor * length > LONGEST:
        made = f"{factor * length:g} voxels of {length}, more than {LONGEST}"
        raise ValueError(f"factors: {factor!r} along {dim!r} makes {made}. {_RIGHT}")
    if 0 < factor * length * FEWEST < 1 < length:
        made = f"a voxel more than {FEWEST} times as long as the image"
        raise ValueError(f"factors: {factor!r} along {dim!r} makes {made}. {_RIGHT}")
    return Scale(length, scaled_size(length, factor, way.size), factor, way.origin == "center")


def _check_cval(way: Way, dtype: np.dtype[Any]) -> None:
    if way.boundary == "constant" and way.cast is not None and way.cast.kind != "f" and not np.isfinite(way.cval):
        raise ValueError(f"cval={way.cval!r} is not a value of dtype {str(way.cast)!r}; give one that is.")
    if way.boundary != "constant" or way.order == 1 or dtype.kind == "f":
        return
    kept = np.array(way.cval).astype(dtype) if np.isfinite(float(way.cval)) and abs(way.cval) < 2**63 else None
    if kept is None or kept != way.cval:
        raise ValueError(f"cval={way.cval!r} is not a value of {dtype}, which order=0 keeps; give one that is, or order=1.")
