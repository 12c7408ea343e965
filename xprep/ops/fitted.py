"""The fitted Dataset of `fit_normalize`: made of statistics, and read and checked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import dask.array as da
import numpy as np
import xarray as xr

from xprep.dims.channels import channel_names, spell_channel
from xprep.dims.labelled import ByLabel, labelled
from xprep.dims.channels import values_by_position
from xprep.engine.graph import as_array, call
from xprep.engine.identity import identity_of
from xprep.ops.contents import Name
from xprep.ops.containers import spell_name
from xprep.ops.layout import CHANNEL, PLANE
from xprep.ops.normalize_passes import Recipe
from xprep.ops.statistics import Statistic
from xprep.ops.units import unit_of, voxel_size
from xprep.types import Array
from xprep.version import version

FORMAT: Final = "1"
STATISTICS: Final = ("p", "p_sum", "p_post")


@dataclass(frozen=True, eq=False)
class About:
    """What a fit says besides its numbers.

    Attributes
    ----------
    images, channels
        Names; of channels None where the image has none.
    pixels
        Of every image.
    attrs
        Of the Dataset: texts.
    dtype
        Working type.
    index
        Of one image of a store: which it is.
    """

    images: tuple[str, ...]
    channels: tuple[Any, ...] | None
    pixels: tuple[int, ...]
    attrs: Mapping[str, str]
    dtype: str
    index: int = 0

    def of_image(self, index: int) -> About:
        """Return it for the store of one image."""
        return replace(self, index=index)


def about_fit(images: Mapping[Name, xr.DataArray], recipe: Recipe, given: Mapping[str, Any]) -> About:
    """Return what is to be known of a fit to ``images``."""
    first = next(iter(images.values()))
    parameters = {
        "p": recipe.p, "p_sum": recipe.p_sum, "p_post": recipe.p_post, "sigma": sigmas_as_given(given["sigma"], first),
        "norm_sum": recipe.norm_sum, "cap_max": None if np.isinf(recipe.cap) else recipe.cap, "dtype": recipe.dtype.name,
        "pool": "exact" if recipe.pooled else "mean", "empty": "skip" if recipe.skip_empty else "nan",
    }  # fmt: skip
    sizes = [voxel_sizes(image) for image in images.values()]
    attrs = {
        "xprep_statistics": FORMAT,
        "version": version(),
        "parameters": json.dumps(parameters),
        "sources": json.dumps([identity_of(image.data) or "" for image in images.values()]) if _all_lazy(images) else "[]",
        "voxel_size": json.dumps(sizes[0] if all(one == sizes[0] for one in sizes) else {}),
        "approximate": "",
    }
    named = CHANNEL in first.coords
    names = tuple(name if isinstance(name, str | int | float) else spell_channel(name) for name in channel_names(first))
    pixels = tuple(int(image.size // image.sizes.get(CHANNEL, 1)) for image in images.values())
    titles = tuple(spell_name(name) or str(n) for n, name in enumerate(images))
    return About(titles, names if named else None, pixels, attrs, recipe.dtype.name)


def _all_lazy(images: Mapping[Name, xr.DataArray]) -> bool:
    return all(isinstance(image.data, da.Array) for image in images.values())


def voxel_sizes(image: xr.DataArray) -> dict[str, list[Any]]:
    """Return the voxel size along y and x with its unit, where the image says it."""
    found: dict[str, list[Any]] = {}
    for dim in PLANE:
        try:
            found[dim] = [voxel_size(image, dim, "sigma"), unit_of(image, dim)]
        except ValueError:
            continue
    return found


def sigmas_as_given(sigma: Any, image: xr.DataArray) -> list[float | str]:
    """Return one sigma a channel as it was given: pixels, or a length."""
    names = channel_names(image)
    given = labelled(sigma, "sigma", CHANNEL)
    if isinstance(given, ByLabel):
        values = values_by_position(given, names, "sigma")
        each = [values.get(i, 0.0) for i in range(len(names))]
    elif isinstance(given, str) or not np.iterable(given):
        each = [0.0 if given is None else given] * len(names)
    else:
        each = list(given)
    plain = [labelled(one, "sigma", CHANNEL) for one in each]
    return [one if isinstance(one, str) else float(one) for one in plain]


@dataclass(frozen=True)
class _Part:
    """One variable of a fit, of the statistics by name."""

    statistic: str
    what: str
    images: int

    def __call__(self, found: Statistic) -> Array:
        if self.what == "left_out":
            lost = found.left_out
            return lost if lost is not None and len(lost) == self.images else np.full(self.images, np.nan)
        values = found.values if self.what == "values" else found.each
        if self.what == "each" and len(values) != self.images:  # taken over all images together
            values = np.full((self.images, values.shape[1]), np.nan, values.dtype)
        return values[..., 0] if self.statistic == "p_sum" else values


def dataset_of(about: About, statistics: Mapping[str, Any]) -> xr.Dataset:
    """Return the fitted Dataset of ``statistics``, which are computed, or lazy; then it is lazy."""
    count, channels = len(about.images), None
    variables: dict[str, Any] = {}
    for name, one in statistics.items():
        dims = () if name == "p_sum" else (CHANNEL,)
        channels = channels or (None if about.channels is None else list(about.channels))
        size = _size(about, one) if dims else 0
        shape = (size,) * len(dims)
        variables[name] = (dims, _made(one, _Part(name, "values", count), shape, about.dtype))
        variables[f"image_{name}"] = (("image", *dims), _made(one, _Part(name, "each", count), (count, *shape), about.dtype))
    variables["pixels"] = ("image", np.array(about.pixels, np.float64))
    lost: Any = np.full(count, np.nan)
    if "p_post" in statistics:
        lost = _made(statistics["p_post"], _Part("p_post", "left_out", count), (count,), "float64")
    variables["left_out"] = ("image", lost)
    coords: dict[str, Any] = {"image": list(about.images)}
    if about.channels is not None:
        coords[CHANNEL] = list(about.channels)
    return xr.Dataset(variables, coords, dict(about.attrs))


def _size(about: About, one: Any) -> int:
    return len(json.loads(about.attrs["parameters"])["sigma"])


def _made(statistic: Any, part: _Part, shape: tuple[int, ...], dtype: str) -> Any:
    if isinstance(statistic, Statistic):
        return np.asarray(part(statistic), dtype)
    return as_array(call(part, statistic, label="fitted"), shape, np.dtype(dtype))


def check_fitted(fitted: Any) -> xr.Dataset:
    """Return a fitted Dataset whose attributes and variables are complete.

    Raises
    ------
    ValueError
        It is none, of another format, or lacks a variable; it names what.
    TypeError
        It is no Dataset.
    """
    if not isinstance(fitted, xr.Dataset):
        raise TypeError(f"statistics must be a Dataset of fit_normalize, or its file; got a {type(fitted).__name__}.")
    found = fitted.attrs.get("xprep_statistics")
    if found is None:
        raise ValueError("statistics is no fitted Dataset: it has no attribute 'xprep_statistics'. Make it with fit_normalize.")
    if str(found) != FORMAT:
        raise ValueError(f"statistics are of format {found!r}; this version of xprep reads {FORMAT!r}. Fit again.")
    parameters = parameters_of(fitted)
    for name in STATISTICS:
        dims = () if name == "p_sum" else (CHANNEL,)
        if parameters[name] is not None and (name not in fitted or fitted[name].dims != dims):
            raise ValueError(f"statistics lack the variable {name!r} over {dims}, which their parameters promise. Fit again.")
    return fitted


def parameters_of(fitted: xr.Dataset) -> dict[str, Any]:
    """Return the parameters of a fit.

    Raises
    ------
    ValueError
        They are not what `fit_normalize` writes.
    """
    try:
        found = json.loads(fitted.attrs["parameters"])
        wanted = {"p", "p_sum", "p_post", "sigma", "norm_sum", "cap_max", "dtype", "pool", "empty"}
        if not isinstance(found, dict) or set(found) != wanted or not isinstance(found["sigma"], list):
            raise ValueError(f"got {fitted.attrs['parameters']!r}")
        json.loads(fitted.attrs["voxel_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the attributes of statistics are not those that fit_normalize writes: {error}.") from None
    return dict(found)
