"""Lazy results at coarse levels: the same steps of `.prep` on the coarse levels of what they were made of.

What is measured in pixels (sigma, radius) is divided by how many times coarser a level is; factors are the same at every level.
Statistics of `normalize` that were not given are fitted to a coarse level.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import xarray as xr

from xprep.dims.axes import PLANE
from xprep.dims.containers.apply import images_of
from xprep.dims.parameters import channel_sigmas, dim_sigmas
from xprep.dims.radii import radii_of
from xprep.ops import fit_normalize, gaussian_filter, normalize, project, rescale, subtract_background
from xprep.ops.normalize_fields import prepare
from xprep.ops.normalize_given import fitted_dataset
from xprep.ops.recorded import OperationStep, recorded_step
from xprep.ops.rescale import checked_edge, checked_factors, isotropic_factors
from xprep.viewer.resolutions import Resolutions, find_resolutions

ENOUGH: Final = 2**19  # pixels of a plane that percentiles are taken of
MOST: Final = 2**27  # values that they are taken of; of more, a sample
PIECES: Final = 60  # blocks that a sample is drawn of at least

Arguments = Mapping[str, Any]
Factors = Mapping[str, float]
Make = Callable[[xr.DataArray, Factors], xr.DataArray]


class _UnscalableError(Exception):
    """A step cannot be made at a coarse level; why, as a clause."""


def resolutions_of(image: xr.DataArray, name: str = "image") -> Resolutions:
    """Return an image at the resolutions of what it was made of; of what is no result of known steps, `find_resolutions`."""
    step = recorded_step(image)
    if step is None:
        return find_resolutions(image, name=name)
    try:
        return _normalized(step, image, name) if step.operation == "normalize" else _mapped(step, image, name)
    except _UnscalableError as error:
        found = find_resolutions(image, name=name)
        remark = f"{name}: shown from its full resolution, because {error}; seen from afar, pictures take longer."
        return Resolutions(found.levels, (remark,) if len(found.levels) > 1 else ())


def _mapped(step: OperationStep, image: xr.DataArray, name: str) -> Resolutions:
    """Return the result of a step that looks at each image for itself."""
    images = images_of(step.container)
    source = step.container if isinstance(step.container, xr.DataArray) else images.get(step.key)
    if source is None:
        raise _UnscalableError(f"what {step.operation} was made of is no image")
    below = resolutions_of(source, name)
    scaled = SCALED[step.operation]
    make = scaled(step.arguments, source, list(images.values()))
    return _result(image, below, make)


def _result(
    image: xr.DataArray, below: Resolutions, make: Make, remarks: Sequence[str] = (), *, remade: bool = False
) -> Resolutions:
    """Return what ``make`` makes of every level; the finest is the image itself, unless that was, or is to be, made anew."""
    finest, is_remade = make(below.levels[0], below.factors(0)), remade or below.is_remade
    levels = [finest if is_remade else finest.copy(data=image.data)]
    for n in range(1, len(below.levels)):
        try:
            levels.append(make(below.levels[n], below.factors(n)))
        except ValueError:  # too small for it, such as one that rescaling would leave no pixel of
            break
    return Resolutions(tuple(levels), (*below.remarks, *remarks), is_remade)


def _gaussian(given: Arguments, source: xr.DataArray, _: list[xr.DataArray]) -> Make:
    each = dim_sigmas(given["sigma"], source)

    def make(level: xr.DataArray, factors: Factors) -> Any:
        scaled = [{dim: value / factors.get(dim, 1.0) for dim, value in one.items()} for one in each]
        if all(one == scaled[0] for one in scaled):
            sigma: Any = scaled[0]
        else:
            sigma = [_square(one) for one in scaled]
        return gaussian_filter(level, sigma, truncate=given["truncate"], mode=given["mode"], nan=given["nan"])

    return make


def _square(sigma: Mapping[str, float]) -> float:
    if sigma["y"] != sigma["x"]:
        raise _UnscalableError("its levels are not as much coarser along y as along x, and each channel has its own sigma")
    return sigma["y"]


def _background(given: Arguments, source: xr.DataArray, _: list[xr.DataArray]) -> Make:
    radii = radii_of(given["radius"], source)

    def make(level: xr.DataArray, factors: Factors) -> Any:
        radius = [(y / factors["y"], x / factors["x"]) for y, x in radii]
        return subtract_background(level, radius, **{name: given[name] for name in ("clip", "dtype", "nan")})

    return make


def _rescaled(given: Arguments, source: xr.DataArray, _: list[xr.DataArray]) -> Make:
    factors = checked_factors(given["factors"], source)
    options = {name: value for name, value in given.items() if name != "factors"}
    return lambda level, _: rescale(level, factors, **options)


def _isotropic(given: Arguments, source: xr.DataArray, beside: list[xr.DataArray]) -> Make:
    edge = checked_edge(given["size"], given["zoom"])
    factors = isotropic_factors(source, beside, edge, given["voxel_size"])
    return lambda level, _: rescale(level, factors, **given["rescale_options"])


def _projected(given: Arguments, source: xr.DataArray, _: list[xr.DataArray]) -> Make:
    def make(level: xr.DataArray, factors: Factors) -> Any:
        dims = [given["dim"]] if isinstance(given["dim"], str) else given["dim"]
        if given["how"] == "sum" and any(factors.get(dim, 1.0) != 1.0 for dim in dims):
            raise _UnscalableError("a sum over fewer planes is another number")
        return project(level, **given)

    return make


SCALED: Final[Mapping[str, Callable[..., Make]]] = {
    "gaussian_filter": _gaussian, "subtract_background": _background, "rescale": _rescaled, "to_isotropic": _isotropic,
    "project": _projected,
}  # fmt: skip


def _normalized(step: OperationStep, image: xr.DataArray, name: str) -> Resolutions:
    """Return the result of `normalize`: with its statistics, or such of a coarse level of all images that share them."""
    given = step.arguments
    below = {key: resolutions_of(one, name) for key, one in images_of(step.container, "normalize").items()}
    own = next(iter(below.values())) if isinstance(step.container, xr.DataArray) else below.get(step.key)
    if own is None:
        raise _UnscalableError("what normalize was made of is no image")
    remarks: list[str] = []
    if given["statistics"] is not None:
        fitted = fitted_dataset(given["statistics"])
        sigmas = _given_sigmas(fitted, own.levels[0])
    else:
        sigmas = _sigmas(given, step.container)
        fitted, remarks = _fit(given, below, sigmas, name)

    def make(level: xr.DataArray, factors: Factors) -> Any:
        return normalize(level, statistics=_at_level(fitted, sigmas, _zoom(factors)))

    # Without statistics, each tile of the image as it is would take passes over all of it.
    return _result(image, own, make, remarks, remade=given["statistics"] is None)


def _zoom(factors: Factors) -> float:
    if factors["y"] != factors["x"]:
        raise _UnscalableError("its levels are not as much coarser along y as along x, and the blur of normalize is round")
    return factors["y"]


def _sigmas(given: Arguments, container: Any) -> list[float]:
    """Return the sigmas of the channels that are normalised, in pixels of the finest level."""
    images, _ = prepare(container, "normalize", given)
    each = {tuple(channel_sigmas(given["sigma"], one)) for one in images.values()}
    if len(each) > 1:
        raise _UnscalableError("the images that share statistics have voxels of several sizes")
    return list(each.pop())


def _given_sigmas(fitted: xr.Dataset, image: xr.DataArray) -> list[float]:
    sigma = json.loads(fitted.attrs["parameters"])["sigma"]
    if isinstance(sigma, list):
        return [channel_sigmas(one, image)[0] for one in sigma]
    return [channel_sigmas(sigma, image)[0]] * int(fitted.sizes.get("c", 1))


def _at_level(fitted: xr.Dataset, sigmas: list[float], zoom: float) -> xr.Dataset:
    """Return statistics for a level whose pixels are so many times larger; it is not compared with the voxels of the fit."""
    parameters = {**json.loads(fitted.attrs["parameters"]), "sigma": [sigma / zoom for sigma in sigmas]}
    return fitted.assign_attrs(parameters=json.dumps(parameters), voxel_size="{}")


def _fit(given: Arguments, below: Mapping[Any, Resolutions], sigmas: list[float], name: str) -> tuple[xr.Dataset, list[str]]:
    """Return statistics of the coarsest level that has enough pixels, and what is to be said of them."""
    count = min(len(one.levels) for one in below.values())
    large = [n for n in range(count) if all(_plane(one.levels[n]) >= ENOUGH for one in below.values())]
    level = max(large, default=0)
    zooms = {_zoom(one.factors(level)) for one in below.values()}
    if len(zooms) > 1:
        raise _UnscalableError("the images that share statistics have levels of several sizes")
    zoom = zooms.pop()
    images = [one.levels[level] for one in below.values()]
    nodes = {f"/{n}": one.to_dataset(name="image") for n, one in enumerate(images)}
    parameters = {key: value for key, value in given.items() if key not in ("statistics", "chunks", "intermediates")}
    parameters["sigma"] = [sigma / zoom for sigma in sigmas]
    share = _share(images)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        several: Any = images[0] if len(images) == 1 else xr.DataTree.from_dict(nodes)
        fitted = fit_normalize(several, **parameters, sample=share).compute(scheduler="threads")
    told = [] if level == 0 and share is None else [_approximate(name, level, images[0], share)]
    return fitted, [*told, *dict.fromkeys(f"{name}: {one.message}" for one in caught)]


def _approximate(name: str, level: int, image: xr.DataArray, share: float | None) -> str:
    sizes = " × ".join(str(image.sizes[dim]) for dim in PLANE)
    of = f"level {level} ({sizes} pixels)" if level else "the image"
    of = of if share is None else f"a sample ({share:.2g}) of {of}"
    return f"{name}: approximate, because its percentiles are those of {of}; with statistics=fit_normalize(…) they are exact."


def _plane(image: xr.DataArray) -> int:
    return int(image.sizes["y"]) * int(image.sizes["x"])


def _share(images: list[xr.DataArray]) -> float | None:
    """Return the share that percentiles are taken of, where all would take long and there are blocks to choose from."""
    values, pieces = sum(one.size for one in images), min(one.data.npartitions for one in images)
    return max(MOST / values, PIECES / 2 / pieces) if values > MOST and pieces >= PIECES else None
