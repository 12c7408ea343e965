"""Steps of a recipe, applied: to its images, and before that to none, to find values that fit no image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import xarray as xr

from xprep.batch.inputs import Task
from xprep.batch.located import RecipeError
from xprep.batch.opening import IMAGE, open_task
from xprep.batch.recipe import STEPS, Recipe, RecipeStep, find_needed
from xprep.dims.channels import channel_names
from xprep.images import open_image
from xprep.io.store.urls import redact
from xprep.options import set_options

_ERRORS: Final = (ValueError, KeyError, TypeError, ArithmeticError)


Image: TypeAlias = xr.DataArray | xr.DataTree


def prepare(
    images: Sequence[Image], steps: Sequence[RecipeStep], storage_options: Mapping[str, Any], urls: Sequence[str]
) -> list[Image]:
    """Return the lazy results of ``steps``; several images are one experiment and share statistics.

    An image with labels is a DataTree of both, and so is its result.
    """
    results = list(images)
    for step in steps:
        if len(results) == 1 or isinstance(step.parameters.get("rois"), str):
            results = [_apply(_with_labels(step, url, storage_options), one) for url, one in zip(urls, results, strict=True)]
        else:
            results = _apply_together(step, results, urls)
    return results


def _apply_together(step: RecipeStep, images: Sequence[Image], urls: Sequence[str]) -> list[Image]:
    # As errors and warnings tell them.
    names = [f"/{n} {redact(url).rstrip('/').rpartition('/')[2]}" for n, url in enumerate(urls)]
    nodes = {path: node for name, image in zip(names, images, strict=True) for path, node in _nodes(name, image).items()}
    tree = _apply(step, xr.DataTree.from_dict(nodes))
    return [_taken(tree[name], image) for name, image in zip(names, images, strict=True)]


def _nodes(name: str, image: Image) -> dict[str, xr.Dataset]:
    if isinstance(image, xr.DataArray):
        return {name: image.to_dataset(name=IMAGE)}
    return {f"{name}/{node.path.strip('/')}".rstrip("/"): node.to_dataset(inherit=False) for node in image.subtree}


def _taken(node: xr.DataTree, image: Image) -> Image:
    """Return a result in the form of its ``image``, and under its name."""
    if isinstance(image, xr.DataArray):
        return node[IMAGE].rename(image.name)
    alone = node.copy()
    alone.name = image.name
    return alone


def _with_labels(step: RecipeStep, url: str, storage_options: Mapping[str, Any]) -> RecipeStep:
    """Return a step whose ``rois``, the name of the image's labels, are opened."""
    if not isinstance(step.parameters.get("rois"), str):
        return step
    labels = open_image(url, label=step.parameters["rois"], storage_options=storage_options)
    return replace(step, parameters={**step.parameters, "rois": labels})


def _apply(step: RecipeStep, image: Any) -> Any:
    try:
        return step(image)
    except (ValueError, KeyError, TypeError) as error:
        raise type(error)(f"{step.where}, {step.name}: {_text(error)}") from error


def steps_with(steps: Sequence[RecipeStep], statistics: xr.Dataset | None) -> list[RecipeStep]:
    """Return ``steps`` with ``statistics`` given to the one that normalises."""
    return [
        replace(step, parameters={**step.parameters, "statistics": statistics})
        if statistics is not None and step.name == "normalize"
        else step
        for step in steps
    ]


def check_values(recipe: Recipe, groups: Sequence[Sequence[Task]], statistics: xr.Dataset | None = None) -> None:
    """Refuse a recipe with a value that fits no image: a percentile of 120, a method that there is not.

    ``statistics`` are those of the file that it names.

    The steps are applied, lazily, to an image of zeros that has whatever they name. What that refuses, and the first image that
    can be opened refuses at the same step, is the recipe's fault and not an image's.

    Raises
    ------
    RecipeError
        It names the line and the key.
    """
    steps = steps_with(recipe.steps, statistics)
    with set_options(**recipe.settings):
        images = _stages(steps)
        for step, image in zip(steps, images, strict=False):
            if (error := _refused(step, image)) and (same := _refused_too(replace(recipe, steps=tuple(steps)), groups, step)):
                _blame(step, image, error, same)


def _stages(steps: Sequence[RecipeStep]) -> Iterator[xr.DataArray]:
    """Give what every step begins with; ends with the first that cannot be applied."""
    image = stand_in(steps)
    for step in steps:
        yield image
        if _refused(step, image):
            return
        image = _tried(step, image)


def stand_in(steps: Sequence[RecipeStep]) -> xr.DataArray:
    """Return a lazy image of zeros with all dims, in micrometres, and the channels that the steps name or count."""
    names, count = _channels(steps)
    shape = (2, count, 16, 256, 256)
    zeros = np.broadcast_to(np.uint16(0), shape)
    coords: dict[str, Any] = {
        dim: (dim, np.arange(length), {"units": "micrometer"}) for dim, length in zip("zyx", shape[2:], strict=True)
    }
    if names:
        coords["c"] = [*names, *(f"channel {n}" for n in range(count - len(names)))]
    return xr.DataArray(zeros, coords, tuple("tczyx"), "image").chunk(c=1, name_prefix="trial-", token=f"of-{count}-zeros")


def _channels(steps: Sequence[RecipeStep]) -> tuple[list[str], int]:
    """Return the channels that are named, and how many there must be."""
    given = [step.parameters.get(key) for step in steps for key in ("radius", "sigma")]
    given += [list(channel_names(one)) for step in steps if isinstance(one := step.parameters.get("statistics"), xr.Dataset)]
    given += [[one] if isinstance(one, str) else one for one in (step.parameters.get("channels") for step in steps)]
    several = [one for one in given if isinstance(one, list | dict)]
    names = dict.fromkeys(name for one in several for name in one if isinstance(name, str) and name not in tuple("tczyx"))
    return list(names), max([1, len(names), *map(len, several)])


def _refused(step: RecipeStep, image: xr.DataArray) -> Exception | None:
    try:
        _tried(step, image)
    except _ERRORS as error:
        return error
    return None


def _tried(step: RecipeStep, image: xr.DataArray) -> Any:
    """Return what a step makes of an image of zeros, whose labels are zeros as well."""
    if not isinstance(step.parameters.get("rois"), str):
        return step(image)
    plane = image.isel(dict.fromkeys(set(image.dims) - {"z", "y", "x"}, 0), drop=True)
    return replace(step, parameters={**step.parameters, "rois": xr.zeros_like(plane, dtype="int32")})(image)


def _refused_too(recipe: Recipe, groups: Sequence[Sequence[Task]], culprit: RecipeStep) -> Exception | None:
    """Return what the first image that can be opened has against ``culprit``; None if nothing, or something else before."""
    task, image = _first_image(recipe, groups)
    if task is None or image is None:
        return None
    for step in recipe.steps:
        try:
            image = _with_labels(step, task.input, recipe.storage_options)(image)
        except _ERRORS as error:
            return error if step is culprit else None
        except Exception:  # noqa: BLE001  (a store's own: that image fails, and says so)
            return None
        if step is culprit:
            return None
    return None


def _first_image(recipe: Recipe, groups: Sequence[Sequence[Task]]) -> tuple[Task | None, xr.DataArray | None]:
    for task in (task for group in groups for task in group):
        try:
            return task, open_task(task, recipe.storage_options)
        except Exception:  # noqa: BLE001  (it fails when it is its turn, with its reason)
            continue
    return None, None


def _blame(step: RecipeStep, image: xr.DataArray, error: Exception, said: Exception) -> NoReturn:
    """Name the parameter without which the step can be applied; or the one that has no default, or that the text names."""
    needed = find_needed(STEPS[step.name])
    for key in step.parameters.keys() - needed:
        rest = {name: value for name, value in step.parameters.items() if name != key}
        if key in step.given and _refused(replace(step, parameters=rest), image) is None:
            step.given[key].refuse(_text(said))
    named = [key for key in step.parameters if re.search(rf"\b{key}\b", _text(error))]
    if found := [key for key in (*named, *needed) if key in step.given]:
        step.given[found[0]].refuse(_text(said))
    raise RecipeError(f"{step.where}, {step.name}: {_text(said)}")


def _text(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
