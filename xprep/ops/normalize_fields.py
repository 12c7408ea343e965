"""The images of one call of `normalize`, checked, with the same channels in the same order; and what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, check_image
from xprep.dims.channels import channel_names, channel_positions, matching_positions, pick_channels
from xprep.dims.containers.apply import images_of, rebuild, spell_name
from xprep.dims.containers.contents import Name
from xprep.dims.names import check_no_other_dims
from xprep.dims.parameters import channel_sigmas, check_choice, check_percentile, working_dtype
from xprep.dims.provenance import relabel
from xprep.ops.normalize_passes import Field, NormalizeParameters
from xprep.switches import check_switch

Images = Mapping[Name, xr.DataArray]


def prepare(container: Any, operation: str, given: Mapping[str, Any]) -> tuple[dict[Name, xr.DataArray], NormalizeParameters]:
    """Return the images of a container with the channels that are asked for, and what is to be done with them."""
    images = _selected(images_of(container, operation), given["channels"], operation)
    return images, parameters_of(next(iter(images.values())), given)


def parameters_of(first: xr.DataArray, given: Mapping[str, Any]) -> NormalizeParameters:
    """Return what is to be done, checked, by the parameters of `normalize`; ``first`` is the first image."""
    return NormalizeParameters(
        p=check_percentile(given["p"], "p"),
        p_sum=check_percentile(given["p_sum"], "p_sum"),
        p_post=check_percentile(given["p_post"], "p_post"),
        norm_sum=check_switch(given["norm_sum"], "norm_sum"),
        cap=_check_cap(given["cap_max"]),
        dtype=working_dtype(given["dtype"], first.dtype),
        pooled=check_choice(given["pool"], ("mean", "exact"), "pool") == "exact",
        skip_empty=check_choice(given["empty"], ("skip", "nan"), "empty") == "skip",
        channels=channel_names(first),
    )


def fields_of(images: Images, sigma: Any) -> list[Field]:
    """Return images as fields of view of one experiment, blurred by ``sigma``, each in its own pixels."""
    nodes = Counter(node for node, _ in images)
    return [Field(spell_name(name), one, channel_sigmas(sigma, one), shares=nodes[name[0]] > 1) for name, one in images.items()]


def results_of(container: Any, images: Images, arrays: Sequence[Any], step: str, parameters: NormalizeParameters) -> Any:
    """Return ``container`` with its images replaced by the results ``arrays``."""
    unitless = parameters.p is not None or parameters.p_post is not None
    results = {
        name: relabel(one, data, step, unitless=unitless) for (name, one), data in zip(images.items(), arrays, strict=True)
    }
    return rebuild(container, results)


def check_fields(images: Images, operation: str) -> None:
    """Refuse images that no percentiles can be taken of.

    Raises
    ------
    ValueError
        An image without y or x, with dims of other tools, or without pixels.
    TypeError
        Values that are not real numbers.
    """
    for image in images.values():
        check_image(image, operation)
        check_no_other_dims(image, operation)


def picked(image: xr.DataArray, positions: Sequence[int]) -> xr.DataArray:
    """Return the channels at ``positions``; the image itself where these are all, in order."""
    if CHANNEL not in image.dims or list(positions) == list(range(image.sizes[CHANNEL])):
        return image
    return pick_channels(image, positions)


def _check_cap(cap: float | None) -> float:
    if cap is None:
        return float("inf")
    if isinstance(cap, bool) or not isinstance(cap, int | float | np.integer | np.floating) or cap != cap:
        raise ValueError(f"cap_max must be a number or None; got {cap!r}.")
    return float(cap)


def _selected(images: Images, channels: Any, operation: str) -> dict[Name, xr.DataArray]:
    """Return the images with the same channels in the same order: ``channels``, or those of the first image."""
    check_fields(images, operation)
    first = next(iter(images.values()))
    for name, image in images.items():
        if set(image.dims) != set(first.dims):
            raise ValueError(
                f"images of one call must have the same dims: {tuple(first.dims)} and, in {name}, {tuple(image.dims)}. "
                f"Normalise 2D and 3D images apart, or add the dim: image.expand_dims('z')."
            )
    positions = _chosen(images, channels)
    whole = channels is None
    return {name: picked(image, _there(name, image, first, positions, whole)) for name, image in images.items()}


def _chosen(images: Images, channels: Any) -> tuple[int, ...]:
    """Return the positions of ``channels`` in the first image."""
    name, first = next(iter(images.items()))
    try:
        return channel_positions(first, channels)
    except KeyError as error:
        raise (error if len(images) == 1 else KeyError(f"of {spell_name(name)!r}: {error.args[0]}")) from None


def _there(name: Name, image: xr.DataArray, first: xr.DataArray, positions: Sequence[int], whole: bool) -> list[int]:
    """Return where the first image's channels at ``positions`` (all: ``whole``) are in ``image``."""
    if CHANNEL not in image.dims or image is first:
        return list(positions)
    own = channel_names(first)
    try:
        return matching_positions(channel_names(image), own, positions, whole=whole)
    except KeyError as error:
        raise KeyError(
            f"{spell_name(name)!r} {error.args[0]} Images of one call share channels by name; the first has {list(own)}. "
            f"Choose some that all have: channels=[…]."
        ) from None
