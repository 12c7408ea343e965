"""Rescaling: other voxels for the same volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import xarray as xr

from xprep.engine.gather import Place, gather
from xprep.engine.lazy import as_lazy, is_lazy, like
from xprep.engine.scaling import Stretch, check_room, stretched_chunks
from xprep.kernels.rescale import Rescaling, Scale, scaled_size
from xprep.ops.containers import Container, images_of
from xprep.ops.coordinates import rescaled_coordinates
from xprep.ops.labels import attributes, spell
from xprep.ops.layout import SPACE, check_dims, check_image
from xprep.ops.parameters import check_choice
from xprep.ops.units import Length, in_pixels, isotropic_sizes
from xprep.types import Array


class RescaleOptions(TypedDict, total=False):
    """Options of `rescale`."""

    order: Literal[0, 1]
    boundary: Literal["nearest", "constant"]
    cval: float
    size: Literal["round", "ceil", "same"]
    origin: Literal["corner", "center"]
    anti_alias: bool


def rescale(
    image: Container,
    factors: Mapping[str, Length],
    *,
    order: Literal[0, 1] = 1,
    boundary: Literal["nearest", "constant"] = "nearest",
    cval: float = 0.0,
    size: Literal["round", "ceil", "same"] = "round",
    origin: Literal["corner", "center"] = "corner",
    anti_alias: bool = False,
) -> Container:
    """Scale an image along dims of space, each by its own factor.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims in any order, with y and x; integers, floats or booleans. Dims other than z, y and x are a batch. In a Dataset or
        DataTree every image is scaled, and with it every other variable along these dims, so that they still fit: labels and
        masks (integers and booleans that are no image) always by ``order=0``.
    factors : mapping of str to float or str
        New voxels per old voxel by dim, finite and above 0: ``{"z": 2, "y": 0.5}``. With a unit it is the voxel size wanted:
        ``{"z": "0.2 um"}`` (`xprep.ops.units`). A factor of z is ignored where there is no z.
    order : {1, 0}
        1 interpolates linearly between the two nearest voxels an axis; 0 takes the nearest voxel's value, as labels need it.
    boundary : {"nearest", "constant"}
        What lies outside: ``"nearest"`` the voxel at the edge; ``"constant"`` the number `cval`, which darkens the rim of an
        enlarged image by up to a half an axis (the reference's rule, with ``cval=0``).
    cval : float
        The value outside for ``boundary="constant"``.
    size : {"round", "ceil", "same"}
        Voxels of the result along an axis: length times factor, rounded (a half up) or up, at least 1; ``"same"`` keeps the
        length, and crops or pads what was scaled (the reference's ``auto_size=False``).
    origin : {"corner", "center"}
        What stays where it is: the first voxel's outer corner, or the image's centre.
    anti_alias : bool
        When shrinking, average all the voxels that a new one covers, under a triangle of half-width 1 / factor.

    Returns
    -------
    same kind as ``image``
        float32 for ``order=1`` (float64 from float64), the input's dtype for ``order=0``. Dims keep their order; coordinates are
        the new voxels' centres in the old units. Lazy if the input is; a block reads only the voxels that it is made of.

    Raises
    ------
    ValueError
        A factor is not finite or not positive, a dim is not z, y or x or not the image's, an option is unknown, or the result is
        too large to be planned or held.
    TypeError
        The image's values are not real numbers, or ``factors`` is no mapping.

    Notes
    -----
    Voxel ``i`` of the result looks at ``u = (i + 1/2) / factor``, in input voxels whose centres are at ``k + 1/2``
    (clEsperanto's ``scale``). The factor is the one that was asked for, not the ratio of the rounded sizes: voxels are exactly
    ``old size / factor``, and the last may reach beyond the image. An axis of length 1 is copied, whatever its factor. A voxel
    without weight is not read, so factor 1 gives the image, and a NaN reaches only the voxels it is a part of.

    Without `anti_alias`, shrinking reads two voxels an axis of the 1 / f that a new one covers. What that costs: at f = 0.2 the new
    voxels are as noisy as the old ones (with it they have 37 % of the noise, an axis), and stripes of 5.5 voxels come back in full
    strength as waves of 11 new voxels that the sample does not have (1 % with it). It is off by default as in the source, and
    takes about three times as long. Labels cannot be averaged (``order=0``).

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> line = xr.DataArray([[0.0, 2.0, 4.0]], dims=("y", "x"), coords={"x": [0.0, 0.1, 0.2]})
    >>> double = rescale(line, {"x": 2})
    >>> double.values.tolist(), double.x.values.round(3).tolist()
    ([[0.0, 0.5, 1.5, 2.5, 3.5, 4.0]], [-0.025, 0.025, 0.075, 0.125, 0.175, 0.225])
    """
    way = Way(order, boundary, cval, size, origin, anti_alias)
    if not isinstance(factors, Mapping):
        raise TypeError(f"factors must be a mapping by dim, e.g. {{'y': 0.5, 'x': 0.5}}; got {factors!r}.")
    defaults = RescaleOptions(order=1, boundary="nearest", cval=0.0, size="round", origin="corner", anti_alias=False)
    step = spell("rescale", {"factors": dict(factors), **vars(way)}, dict(defaults))
    return _everywhere(image, lambda array: _checked_factors(factors, array), way, step)


def to_isotropic(
    image: Container,
    *,
    zoom: float = 1.0,
    voxel_size: Mapping[str, Length] | None = None,
    **rescale_options: Unpack[RescaleOptions],
) -> Container:
    """Scale an image to cubic voxels, one unit of its coordinates wide.

    The factor of every dim of space is voxel size × zoom: voxels of 1 × 0.202 × 0.202 µm become cubes of 1 µm, and of half
    a micrometre with ``zoom=2``. To get cubes of a size of your choice, zoom by one over it.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        As for `rescale`.
    zoom : float
        One over the edge of the new voxels, in the coordinates' unit; finite and above 0.
    voxel_size : mapping of str to float or str, optional
        The voxel size of the dims whose coordinates do not say it (or say it wrongly): numbers in the coordinates' unit, or with a
        unit (``{"z": "1 um", "y": "202 nm", "x": "202 nm"}``). Where an image has no coordinate along a dim, the result gets one.
    **rescale_options
        ``order``, ``boundary``, ``cval``, ``size``, ``origin``, ``anti_alias`` of `rescale`.

    Returns
    -------
    same kind as ``image``
        As from `rescale`.

    Raises
    ------
    ValueError
        The voxel size of a dim is not known, or not positive; and what `rescale` raises. A dim of one voxel is copied, its size
        is not asked for.
    TypeError
        An option that `rescale` does not have.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> stack = xr.DataArray(np.zeros((8, 40, 40), "uint8"), dims=("z", "y", "x"))
    >>> cubes = to_isotropic(stack, voxel_size={"z": 1.0, "y": 0.202, "x": 0.202})
    >>> dict(cubes.sizes)
    {'z': 8, 'y': 8, 'x': 8}
    """
    if unknown := set(rescale_options) - set(RescaleOptions.__annotations__):
        raise TypeError(f"to_isotropic has no option {sorted(unknown)[0]!r}; the options of rescale are {list(RescaleOptions.__annotations__)}.")
    zoom = _check_factor(zoom, "zoom")
    way = Way(**rescale_options)
    step = spell("to_isotropic", {"zoom": zoom, "voxel_size": voxel_size, **rescale_options}, {"voxel_size": None})

    def factors(array: xr.DataArray) -> dict[str, float]:
        sizes = isotropic_sizes(array, voxel_size)
        return {dim: _check_factor(size * zoom, f"voxel size × zoom of {dim!r}") for dim, size in sizes.items()}

    return _everywhere(image, factors, way, step, partial(isotropic_sizes, voxel_size=voxel_size))


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
            raise ValueError("anti_alias=True averages voxels, and order=0 never blends any; use order=1, or leave anti_alias off.")

    def of(self, image: xr.DataArray, is_image: bool) -> Way:
        """Return the way for a variable: what is no image and no float is a label, and never blended."""
        return self if is_image or image.dtype.kind == "f" else replace(self, order=0, anti_alias=False)

    def dtype(self, source: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of the result."""
        return source if self.order == 0 else np.dtype(np.float64 if source == np.float64 else np.float32)


FactorsOf = Callable[[xr.DataArray], Mapping[str, float]]
StepsOf = Callable[[xr.DataArray], Mapping[str, float]]


def _no_steps(_image: xr.DataArray) -> Mapping[str, float]:
    return {}


def _everywhere(container: Any, factors_of: FactorsOf, way: Way, step: str, steps_of: StepsOf = _no_steps) -> Any:
    """Scale an image, or everything in a Dataset or DataTree that lies along the dims of space."""
    names = set(images_of(container))

    def scale(array: xr.DataArray, is_image: bool) -> xr.DataArray:
        return _rescale(array, factors_of(array), steps_of(array), way.of(array, is_image), step)

    if isinstance(container, xr.DataArray):
        check_image(container, "rescale")
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


def _rescale(
    image: xr.DataArray, factors: Mapping[str, float], steps: Mapping[str, float], way: Way, step: str
) -> xr.DataArray:
    scales = {dim: _scale_of(image, dim, factors.get(dim, 1.0), way) for dim in SPACE if dim in image.dims}
    dtype = way.dtype(image.dtype)
    _check_cval(way, image.dtype)
    shape = tuple(scales[dim].size if dim in scales else n for dim, n in image.sizes.items())
    if not is_lazy(image.data):
        check_room(shape, dtype)
    result = xr.DataArray(_scaled_data(image, scales, way, dtype), dims=image.dims, name=image.name)
    result = result.assign_coords(rescaled_coordinates(image, scales, steps))
    result.attrs = _fresh(attributes(image, step))
    return result


def _scaled_data(image: xr.DataArray, scales: Mapping[str, Scale], way: Way, dtype: np.dtype[Any]) -> Any:
    data = as_lazy(image.data)
    axes = [image.get_axis_num(dim) if dim in image.dims else None for dim in SPACE]
    three = [scales.get(dim, Scale(1, 1, 1.0)) for dim in SPACE]
    recipe = Rescaling(tuple(three), tuple(axes), way.order, way.boundary == "nearest", way.cval, way.anti_alias)  # type: ignore[arg-type]
    stretches = {axis: Stretch(s.size, s.size / s.length if s.copies else s.factor) for axis, s in zip(axes, three, strict=True) if axis is not None}
    chunks = stretched_chunks(data, stretches, dtype.itemsize)
    made = gather(_RescaleBlock(recipe), data, dtype=dtype, chunks=chunks, needs=recipe.needs, label="rescale")
    return like(image.data, made)


@dataclass(frozen=True)
class _RescaleBlock:
    recipe: Rescaling

    def __call__(self, block: Array, place: Place) -> Array:
        return self.recipe(block, place.input, place.output)


def _scale_of(image: xr.DataArray, dim: str, factor: float, way: Way) -> Scale:
    length = image.sizes[dim]
    return Scale(length, scaled_size(length, factor, way.size), factor, way.origin == "center")


def _checked_factors(factors: Mapping[str, Length], image: xr.DataArray) -> dict[str, float]:
    known = {dim: value for dim, value in factors.items() if dim in image.dims or dim != "z"}
    check_dims(list(known), image, "factors")
    if wrong := [dim for dim in known if dim not in SPACE]:
        raise ValueError(f"factors names the dim {wrong[0]!r}; only dims of space can be scaled: z, y and x.")
    for dim, value in factors.items():
        if not isinstance(value, str):
            _check_factor(value, f"factors[{dim!r}]")
    return {dim: _factor(value, image, dim) for dim, value in known.items()}


def _factor(value: Length, image: xr.DataArray, dim: str) -> float:
    """A length is the voxel size wanted: one over the old voxels that a new one spans."""
    if not isinstance(value, str):
        return float(value)
    span = in_pixels(value, image, dim, f"factors[{dim!r}]")
    return _check_factor(1 / span if span else 0.0, f"factors[{dim!r}]={value!r}")


def _check_factor(value: Any, what: str) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value <= 0:
        raise ValueError(f"{what} must be a finite number above 0 (new voxels per old voxel); got {value!r}.")
    return float(value)


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
