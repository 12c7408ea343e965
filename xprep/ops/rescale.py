"""Rescaling: other voxels for the same volume."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import xarray as xr

from xprep.ops.containers import Container
from xprep.ops.labels import spell
from xprep.ops.layout import SPACE, check_dims
from xprep.ops.rescaling import Way, rescale_everywhere
from xprep.ops.units import Length, in_pixels, isotropic_sizes


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
        Dims in any order, with y and x; integers, floats or booleans. Dims other than z, y and x are a batch. In a
        Dataset or DataTree every image is scaled, and with it every other variable along these dims, so that they
        still fit: labels and masks (integers and booleans that are no image) always by ``order=0``.
    factors : mapping of str to float or str
        New voxels per old voxel by dim, finite and above 0: ``{"z": 2, "y": 0.5}``. With a unit it is the voxel size
        wanted: ``{"z": "0.2 um"}`` (`xprep.ops.units`).
    order : {1, 0}
        1 interpolates linearly between the two nearest voxels an axis; 0 takes the nearest voxel's value, as labels
        need it.
    boundary : {"nearest", "constant"}
        What lies outside: ``"nearest"`` the voxel at the edge; ``"constant"`` the number `cval`, which darkens the rim
        of an enlarged image by up to a half an axis (the reference's rule, with ``cval=0``).
    cval : float
        The value outside for ``boundary="constant"``.
    size : {"round", "ceil", "same"}
        Voxels of the result along an axis: length times factor, rounded (a half up) or up, at least 1; ``"same"``
        keeps the length, and crops or pads what was scaled (the reference's ``auto_size=False``).
    origin : {"corner", "center"}
        What stays where it is: the first voxel's outer corner, or the image's centre.
    anti_alias : bool
        When shrinking, average all the voxels that a new one covers, under a triangle of half-width 1 / factor.

    Returns
    -------
    same kind as ``image``
        float32 for ``order=1`` (float64 from float64), the input's dtype for ``order=0``. Dims keep their order;
        coordinates are the new voxels' centres in the old units. Lazy if the input is; a block reads only the voxels
        that it is made of.

    Raises
    ------
    ValueError
        A factor is not finite or not positive, a dim is not z, y or x or not the image's, an option is unknown, or the
        result is too large to be planned or held.
    TypeError
        The image's values are not real numbers, or ``factors`` is no mapping.

    Notes
    -----
    Voxel ``i`` of the result looks at ``u = (i + 1/2) / factor``, in input voxels whose centres are at ``k + 1/2``
    (clEsperanto's ``scale``). The factor is the one that was asked for, not the ratio of the rounded sizes: voxels are
    exactly ``old size / factor``, and the last may reach beyond the image. An axis of length 1 is copied, whatever its
    factor. A voxel without weight is not read, so factor 1 gives the image, and a NaN reaches only the voxels it is a
    part of.

    Without `anti_alias`, shrinking reads two voxels an axis of the 1 / f that a new one covers. What that costs: at f
    = 0.2 the new voxels are as noisy as the old ones (with it they have 37 % of the noise, an axis), and stripes of
    5.5 voxels come back in full strength as waves of 11 new voxels that the sample does not have (1 % with it). It is
    off by default as in the source, and takes about three times as long. Labels cannot be averaged (``order=0``).

    Examples
    --------
    >>> import xarray as xr, xprep
    >>> line = xr.DataArray([[0.0, 2.0, 4.0]], dims=("y", "x"), coords={"x": [0.0, 0.1, 0.2]})
    >>> double = line.prep.rescale({"x": 2})
    >>> double.values.tolist(), double.x.values.round(3).tolist()
    ([[0.0, 0.5, 1.5, 2.5, 3.5, 4.0]], [-0.025, 0.025, 0.075, 0.125, 0.175, 0.225])
    """
    way = Way(order, boundary, cval, size, origin, anti_alias)
    if not isinstance(factors, Mapping):
        raise TypeError(f"factors must be a mapping by dim, e.g. {{'y': 0.5, 'x': 0.5}}; got {factors!r}.")
    defaults = RescaleOptions(order=1, boundary="nearest", cval=0.0, size="round", origin="corner", anti_alias=False)
    step = spell("rescale", {"factors": dict(factors), **vars(way)}, dict(defaults))

    def of(array: xr.DataArray, is_image: bool) -> dict[str, float]:
        mine = factors if is_image else {dim: value for dim, value in factors.items() if dim in array.dims}
        return _checked_factors(mine, array)

    return rescale_everywhere(image, of, way, step)


def to_isotropic(
    image: Container,
    *,
    zoom: float = 1.0,
    voxel_size: Mapping[str, Length] | None = None,
    **rescale_options: Unpack[RescaleOptions],
) -> Container:
    """Scale an image to cubic voxels, one unit of its coordinates wide.

    The factor of every dim of space is voxel size × zoom: voxels of 1 × 0.202 × 0.202 µm become cubes of 1 µm, and of
    half a micrometre with ``zoom=2``. To get cubes of a size of your choice, zoom by one over it.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        As for `rescale`.
    zoom : float
        One over the edge of the new voxels, in the coordinates' unit; finite and above 0.
    voxel_size : mapping of str to float or str, optional
        The voxel size of the dims whose coordinates do not say it (or say it wrongly): numbers in the coordinates'
        unit, or with a unit (``{"z": "1 um", "y": "202 nm", "x": "202 nm"}``). Where an image has no coordinate along
        a dim, the result gets one.
    **rescale_options
        ``order``, ``boundary``, ``cval``, ``size``, ``origin``, ``anti_alias`` of `rescale`.

    Returns
    -------
    same kind as ``image``
        As from `rescale`.

    Raises
    ------
    ValueError
        The voxel size of a dim is not known, or not positive; and what `rescale` raises. A dim of one voxel is copied,
        its size is not asked for.
    TypeError
        An option that `rescale` does not have.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> stack = xr.DataArray(np.zeros((8, 40, 40), "uint8"), dims=("z", "y", "x"))
    >>> cubes = stack.prep.to_isotropic(voxel_size={"z": 1.0, "y": 0.202, "x": 0.202})
    >>> dict(cubes.sizes)
    {'z': 8, 'y': 8, 'x': 8}
    """
    if unknown := set(rescale_options) - set(RescaleOptions.__annotations__):
        raise TypeError(
            f"to_isotropic has no option {sorted(unknown)[0]!r}; the options of rescale are "
            f"{list(RescaleOptions.__annotations__)}."
        )
    zoom = _check_factor(zoom, "zoom")
    way = Way(**rescale_options)
    step = spell("to_isotropic", {"zoom": zoom, "voxel_size": voxel_size, **rescale_options}, {"voxel_size": None})

    def factors(array: xr.DataArray, _is_image: bool) -> dict[str, float]:
        sizes = isotropic_sizes(array, voxel_size)
        return {dim: _check_factor(size * zoom, f"voxel size × zoom of {dim!r}") for dim, size in sizes.items()}

    return rescale_everywhere(image, factors, way, step, partial(isotropic_sizes, voxel_size=voxel_size))


def _checked_factors(factors: Mapping[str, Length], image: xr.DataArray) -> dict[str, float]:
    check_dims(list(factors), image, "factors")
    if wrong := [dim for dim in factors if dim not in SPACE]:
        raise ValueError(f"factors names the dim {wrong[0]!r}; only dims of space can be scaled: z, y and x.")
    for dim, value in factors.items():
        if not isinstance(value, str):
            _check_factor(value, f"factors[{dim!r}]")
    return {dim: _factor(value, image, dim) for dim, value in factors.items()}


def _factor(value: Length, image: xr.DataArray, dim: str) -> float:
    """Return a factor; a length is the voxel size wanted, and one over it in old voxels the factor."""
    if not isinstance(value, str):
        return float(value)
    span = in_pixels(value, image, dim, f"factors[{dim!r}]")
    return _check_factor(1 / span if span else 0.0, f"factors[{dim!r}]={value!r}")


def _check_factor(value: Any, what: str) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value <= 0:
        raise ValueError(f"{what} must be a finite number above 0 (new voxels per old voxel); got {value!r}.")
    return float(value)
