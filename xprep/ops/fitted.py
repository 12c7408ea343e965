"""The fitted Dataset of `fit_normalize`: made of statistics, lazy or computed, and of what is known before."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE
from xprep.dims.channel_titles import spell_channel
from xprep.dims.channels import channel_names, values_by_position
from xprep.dims.containers.apply import spell_name
from xprep.dims.labelled import ByLabel, labelled
from xprep.dims.voxel_sizes import unit_of, voxel_size
from xprep.engine.filling.identity import identity_of
from xprep.engine.graph.tasks import as_array, call
from xprep.engine.graph.tokens import token
from xprep.engine.sources.foreign_graphs import parts_below, places_below
from xprep.engine.sources.lazy import as_lazy, is_lazy
from xprep.io.private_xarray import unread_data
from xprep.naming import named
from xprep.ops.normalize_fields import Images
from xprep.ops.normalize_passes import NormalizeParameters
from xprep.ops.statistics import Statistic
from xprep.types import Array
from xprep.version import version

FORMAT: Final = "1"
STATISTICS: Final = ("p", "p_sum", "p_post")
BOUNDS: Final = ("lower", "upper")
MOST: Final = 4096  # numbers a statistic, of all images: 150 KB of JSON, which is read whenever the store is opened
SAMPLED: Final = "a sample of "  # how `approximate` begins where there are intervals


@dataclass(frozen=True, eq=False)
class About:
    """What a fit says besides its numbers, and the shape of these.

    Attributes
    ----------
    images
        Their names.
    channels
        Their names; None where they have none.
    count
        Of the channels.
    pixels
        Of every image.
    attrs
        Of the Dataset: texts.
    dtype
        Working type.
    index
        Which of the images a store holds.
    is_given
        Whether the numbers came from elsewhere, and a store holds none of the images.
    """

    images: tuple[str, ...]
    channels: tuple[Any, ...] | None
    count: int
    pixels: tuple[float, ...]
    attrs: Mapping[str, str]
    dtype: str
    index: int | None = None
    is_given: bool = False

    def of_image(self, index: int) -> About:
        """Return it for the store of one of the images; what came from elsewhere stays as it is."""
        return self if self.is_given else replace(self, index=index)



def about_fit(images: Images, parameters: NormalizeParameters, given: Mapping[str, Any], approximate: str = "") -> About:
    """Return what is to be known of a fit to ``images`` with the parameters ``given``."""
    first = next(iter(images.values()))
    sizes = [voxel_sizes(image) for image in images.values()]
    attrs = {
        "xprep_statistics": FORMAT,
        "version": version(),
        "parameters": json.dumps(_parameters(first, parameters, given)),
        "sources": json.dumps([_source(image) for image in images.values()]),
        "voxel_size": json.dumps(sizes[0] if all(one == sizes[0] for one in sizes) else {}),
        "approximate": approximate,
    }
    names = tuple(one if isinstance(one, str | int | float) else spell_channel(one) for one in parameters.channels)
    pixels = tuple(float(image.size // image.sizes.get(CHANNEL, 1)) for image in images.values())
    titles = tuple(spell_name(name) or str(n) for n, name in enumerate(images))
    return About(titles, names if CHANNEL in first.coords else None, len(names), pixels, attrs, parameters.dtype.name)


def _parameters(first: xr.DataArray, found: NormalizeParameters, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a fit as JSON knows them: the channels only where some were chosen."""
    names = found.channels if CHANNEL in first.coords else np.atleast_1d(given["channels"]).tolist()  # positions in the whole
    chosen = None if given["channels"] is None else [spell_channel(one) for one in names]
    return {
        "p": found.p, "p_sum": found.p_sum, "p_post": found.p_post, "sigma": sigma_as_given(given["sigma"], first),
        "norm_sum": found.norm_sum, "cap_max": None if np.isinf(found.cap) else found.cap, "channels": chosen,
        "dtype": found.dtype.name, "pool": "exact" if found.pooled else "mean",
        "empty": "skip" if found.skip_empty else "nan",
    }  # fmt: skip


def _source(image: xr.DataArray) -> str:
    """Return the URLs, without secrets, of the stores that an image is read from; an empty text of what is in memory."""
    return ", ".join(dict.fromkeys(place.shown for place in places_below(unread_data(image.variable))))


def taken_of(images: Images) -> str:
    """Return what statistics of ``images`` are taken of, where that is less than what is stored: a coarse level, a crop."""
    found: dict[str, None] = {}
    for image in images.values():
        for place, partial in parts_below(as_lazy(image.data) if is_lazy(image.data) else None):
            level = re.search(r"(?:^|/)(?:scale)?([1-9][0-9]*)(?:/image)?$", place.path)
            if level:
                found[f"level {level[1]} of {place.shown}"] = None
            if partial:
                found[f"a part of {place.shown}"] = None
    return ", ".join(found)


def voxel_sizes(image: xr.DataArray) -> dict[str, list[Any]]:
    """Return the voxel size along y and x with its unit, where the image says it."""
    found: dict[str, list[Any]] = {}
    for dim in PLANE:
        try:
            found[dim] = [voxel_size(image, dim, "sigma"), unit_of(image, dim)]
        except ValueError:
            continue
    return found


def sigma_as_given(sigma: Any, image: xr.DataArray) -> Any:
    """Return sigma as JSON knows it: a number of pixels, a length, None, or a list of such, one a channel."""
    given = labelled(sigma, "sigma", CHANNEL)
    if isinstance(given, ByLabel):
        names = channel_names(image)
        values = values_by_position(given, names, "sigma")
        return [_plain(values.get(i, 0.0)) for i in range(len(names))]
    if given is None or isinstance(given, str) or not np.iterable(given):
        return _plain(given)
    return [_plain(one) for one in given]


def _plain(sigma: Any) -> float | str | None:
    one = labelled(sigma, "sigma", CHANNEL)
    return one if one is None or isinstance(one, str) else float(one)


@named("fitted-part")
@dataclass(frozen=True)
class _Part:
    """One variable of a fit, of one statistic; ``shape`` is the variable's."""

    statistic: str
    what: str
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, found: Statistic) -> Array:
        value = getattr(found, self.what)
        if value is None or value.size != np.prod(self.shape, dtype=int):
            # Nobody counted it; or it was taken over all images together, and none has its own.
            return np.full(self.shape, np.nan, self.dtype)
        return np.asarray(value, self.dtype).reshape(self.shape)


def dataset_of(about: About, statistics: Mapping[str, Any]) -> xr.Dataset:
    """Return the fitted Dataset of ``statistics``: computed ones, or lazy ones, and then it is lazy."""
    images, variables = len(about.images), dict[str, Any]()
    for name, one in statistics.items():
        over = {} if name == "p_sum" else {CHANNEL: about.count}
        variables[name] = (tuple(over), _made(one, _Part(name, "values", tuple(over.values()), about.dtype)))
        dims = {"image": images, **over}
        variables[f"image_{name}"] = (tuple(dims), _made(one, _Part(name, "each", tuple(dims.values()), about.dtype)))
        if about.attrs["approximate"].startswith(SAMPLED):
            dims = {**over, "bound": len(BOUNDS)}
            variables[f"{name}_interval"] = (tuple(dims), _made(one, _Part(name, "interval", tuple(dims.values()), about.dtype)))
    variables["pixels"] = ("image", np.array(about.pixels, np.float64))
    lost = _Part("p_post", "left_out", (images,), "float64")
    counted = "p_post" in statistics
    variables["left_out"] = ("image", _made(statistics["p_post"], lost) if counted else np.full(images, np.nan))
    return xr.Dataset(variables, _coords(about, any("bound" in dims for dims, _ in variables.values())), dict(about.attrs))


def kept_of(about: About, statistics: Mapping[str, Any]) -> xr.Dataset:
    """Return what a store keeps of computed statistics: of too many images, its own numbers and what they share."""
    found = dataset_of(about, statistics)
    if len(about.images) * about.count <= MOST:
        return found
    return found.isel(image=[] if about.index is None else [about.index])


def _coords(about: About, bounds: bool) -> dict[str, Any]:
    coords: dict[str, Any] = {"image": _labels(about.images)}
    if about.channels is not None:
        coords[CHANNEL] = _labels(about.channels)
    return {**coords, "bound": _labels(BOUNDS)} if bounds else coords


def _labels(names: Sequence[Any]) -> Array:
    """Return names as an array: of objects where they are texts, which zarr stores without complaint."""
    array = np.asarray(names)
    return np.asarray(names, object) if array.dtype.kind not in "iuf" else array


def _made(statistic: Any, part: _Part) -> Any:
    if isinstance(statistic, Statistic):
        return part(statistic)
    identity = identity_of(statistic)
    known = None if identity is None else token("fitted", identity, part)
    return as_array(call(part, statistic, label="fitted"), part.shape, np.dtype(part.dtype), known)
