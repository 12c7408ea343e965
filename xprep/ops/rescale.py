"""Rescaling: other voxels for the same volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypedDict, Unpack

import xarray as xr

from xprep.dims.axes import SPACE, check_dims
from xprep.dims.containers.apply import Container
from xprep.dims.lengths import Length, parse_length
from xprep.dims.provenance import spell
from xprep.dims.voxel_sizes import edge_of, in_pixels, is_positive, isotropic_sizes
from xprep.ops.recorded import recorded
from xprep.ops.rescaling import Way, real_type, rescale_everywhere
from xprep.switches import check_switch


class RescaleOptions(TypedDict, total=False):
    """Options of `rescale`."""

    order: Literal[0, 1]
    boundary: Literal["nearest", "constant"]
    cval: float
    size: Literal["round", "ceil", "same"]
    origin: Literal["corner", "center"]
    anti_alias: bool


@recorded
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
        still fit: labels and masks (integers and booleans that are no image) always by ``order=0``. Levels of an image
        are made anew.
    factors : mapping of str to float or str
        New voxels per old voxel by dim, finite and above 0: ``{"z": 2, "y": 0.5}``. With a unit it is the voxel size
        wanted: ``{"z": "0.2 um"}`` (`xprep.dims.lengths`).
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
        A factor is not finite or not positive, makes an axis of more than 2²³ voxels or voxels of a thousand times the image,
        a dim is not z, y or x or not the image's, an option is unknown, or the result is too large to be planned or held.
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
    anti_alias = check_switch(anti_alias, "anti_alias")
    way = Way(order, boundary, cval, size, origin, anti_alias)
    if not isinstance(factors, Mapping):
        raise TypeError(f"factors must be a mapping by dim, e.g. {{'y': 0.5, 'x': 0.5}}; got {factors!r}.")
    defaults = RescaleOptions(order=1, boundary="nearest", cval=0.0, size="round", origin="corner", anti_alias=False)
    step = spell("rescale", {"factors": dict(factors), **vars(way)}, dict(defaults))

    def of(array: xr.DataArray, images: Sequence[xr.DataArray]) -> dict[str, float]:
        is_image = any(array is one for one in images)
        mine = factors if is_image else {dim: value for dim, value in factors.items() if dim in array.dims}
        return checked_factors(mine, array)

    return rescale_everywhere(image, of, way, step)


class IsotropicOptions(TypedDict, total=False):
    """Options of `rescale` that `to_isotropic` takes: all but ``size``, which is the edge of its voxels."""

    order: Literal[0, 1]
    boundary: Literal["nearest", "constant"]
    cval: float
    origin: Literal["corner", "center"]
    anti_alias: bool


@recorded
def to_isotropic(
    image: Container,
    size: Length | None = None,
    *,
    zoom: float | None = None,
    voxel_size: Mapping[str, Length] | None = None,
    dtype: Any = None,
    **rescale_options: Unpack[IsotropicOptions],
) -> Container:
    """Scale an image to cubic voxels: by default of its finest edge, so that nothing is lost.

    The factor of every dim of space is its voxel size over the edge of the cubes. Voxels of 1 × 0.202 × 0.202 µm become
    cubes of 0.202 µm; of 1 µm with ``size=1`` or ``size="1 um"``.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        As for `rescale`. In a Dataset or DataTree every image is scaled by its own voxel size.
    size : float or str, optional
        Edge of the new voxels: a number in the unit of the coordinates (that of x, where they differ), or with a unit of
        its own (``"0.5 um"``, ``"500 nm"``). By default the smallest voxel size of the input. Where it is larger than the
        input's, voxels are lost; ``anti_alias=True`` then averages them.
    zoom : float, optional
        One over the edge, in the coordinates' unit, instead of ``size``: the factors of clEsperanto's ``scale`` with the
        voxel size, times ``zoom``.
    voxel_size : mapping of str to float or str, optional
        The voxel size of the input's dims whose coordinates do not say it (or say it wrongly): numbers in the coordinates'
        unit, or with a unit (``{"z": "1 um", "y": "202 nm", "x": "202 nm"}``). Where an image has no coordinate along
        a dim, the result gets one.
    dtype : dtype, optional
        Of the result; by default that of `rescale`. Whole numbers are rounded half to even, and held within what the type
        can hold; images of floats, which may be NaN, become floats only. Labels beside an image keep theirs.
    **rescale_options
        ``order``, ``boundary``, ``cval``, ``origin``, ``anti_alias`` of `rescale`. Lengths are rounded.

    Returns
    -------
    same kind as ``image``
        As from `rescale`.

    Raises
    ------
    ValueError
        The voxel size of a dim is not known, or not positive; ``size`` is no length above 0, or has a unit where the
        coordinates have none; ``size`` and ``zoom``; and what `rescale` raises. A dim of one voxel is copied, and needs no size.
    TypeError
        An unknown option; a ``dtype`` that is not one of real numbers, or that is one of integers for an image of floats.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> stack = xr.DataArray(np.zeros((8, 40, 40), "uint8"), dims=("z", "y", "x"))
    >>> voxels = {"z": 1.0, "y": 0.2, "x": 0.2}
    >>> dict(stack.prep.to_isotropic(voxel_size=voxels).sizes)
    {'z': 40, 'y': 40, 'x': 40}
    >>> dict(stack.prep.to_isotropic(0.5, voxel_size=voxels, anti_alias=True).sizes)
    {'z': 16, 'y': 16, 'x': 16}
    """
    if unknown := set(rescale_options) - set(IsotropicOptions.__annotations__):
        raise TypeError(
            f"to_isotropic has no option {sorted(unknown)[0]!r}; the options of rescale are "
            f"{list(IsotropicOptions.__annotations__)}."
        )
    if size is not None and zoom is not None:
        raise ValueError(f"size={size!r} and zoom={zoom!r} both say how large voxels become; give one of them.")
    edge = checked_edge(size, zoom)
    way = Way(**rescale_options, cast=None if dtype is None else real_type(dtype))
    given = {"size": size, "zoom": zoom, "voxel_size": voxel_size, "dtype": dtype}
    step = spell("to_isotropic", {**given, **rescale_options}, dict.fromkeys(given))

    factors = partial(isotropic_factors, edge=edge, voxel_size=voxel_size)
    return rescale_everywhere(image, factors, way, step, partial(isotropic_sizes, voxel_size=voxel_size))


def isotropic_factors(
    array: xr.DataArray, images: Sequence[xr.DataArray], edge: Length | None, voxel_size: Mapping[str, Length] | None
) -> dict[str, float]:
    """Return the factors by dim that make cubes of the voxels of ``array``, which lies beside ``images``: on one grid."""
    sizes, _ = isotropic_sizes(array, voxel_size)
    wanted = min(edge_of(edge, *isotropic_sizes(one, voxel_size)) for one in images)
    return {dim: _check_factor(length / wanted, f"voxel size / size of {dim!r}") for dim, length in sizes.items()}


def checked_edge(size: Any, zoom: Any) -> Length | None:
    """Return the edge of the new voxels, checked: a number, a length with a unit, or None for the finest of the input."""
    if zoom is not None:
        if not is_positive(zoom):
            raise ValueError(f"zoom must be a finite number above 0 (new voxels per unit of length); got {zoom!r}.")
        return 1 / float(zoom)
    if isinstance(size, str):
        if parse_length(size, "size")[0] > 0:
            return size
    elif size is None or is_positive(size):
        return None if size is None else float(size)
    raise ValueError(f"size is the edge of the new voxels, a number above 0 or a length such as '0.5 um'; got {size!r}.")


def checked_factors(factors: Mapping[str, Length], image: xr.DataArray) -> dict[str, float]:
    """Return factors by dim, checked; of a length, which is the voxel size wanted, what makes it of the image's."""
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
    if not is_positive(value):
        raise ValueError(f"{what} must be a finite number above 0 (new voxels per old voxel); got {value!r}.")
    return float(value)
