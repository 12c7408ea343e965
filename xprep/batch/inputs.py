"""The images of a recipe: patterns looked up, plates and series taken apart, and where each result goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Any

from xprep.batch.located import LocatedText
from xprep.batch.places import check_places
from xprep.batch.recipe import SHARING, Recipe
from xprep.io.ome.groups import list_held, read_group
from xprep.io.store.local_paths import stem, take_apart
from xprep.io.store.locations import locate
from xprep.io.store.patterns import find_urls, has_pattern
from xprep.io.store.places import open_store
from xprep.io.store.urls import join, redact


@dataclass(frozen=True, repr=False)
class Task:
    """One image of a batch.

    Attributes
    ----------
    input, output : str
        Where it is, and where its result goes.
    experiment : str
        Of which it is one: those of one share statistics.
    plate : str
        The plate, or other group of images, that holds it; empty where none does.
    made : str
        The plate that is made of that, and holds the result; empty where results are stores of their own.
    path : str
        Of the image in its plate.
    fits : bool
        Whether others get the statistics of its experiment.
    series, dims
        As of `xprep.open_image`.
    """

    input: str
    output: str
    experiment: str
    plate: str = ""
    made: str = ""
    path: str = ""
    fits: bool = False
    series: int | str | None = None
    dims: str | None = None

    def __repr__(self) -> str:
        return f"Task({self.shown!r}, {redact(self.output)!r})"

    @property
    def shown(self) -> str:
        """The input without secrets."""
        return redact(self.input)

    @property
    def name(self) -> str:
        """What its result is called: that of a plate's field says which."""
        return stem(redact(self.output))


@dataclass(frozen=True)
class Image:
    """An image that was found: where, what its result is called, what it lies in; of a plate its path and well there."""

    url: str
    name: str
    parent: str
    folder: str
    plate: str = ""
    path: str = ""
    well: str = ""
    is_element: bool = False


def find_tasks(recipe: Recipe) -> list[Task]:
    """Return the images of ``recipe``; nothing of them is read but the metadata of plates.

    Raises
    ------
    RecipeError
        A pattern that fits nothing; a result that would be, hold or lie in another or an input.
    OSError
        A bucket that cannot be listed.
    """
    images = [image for given in recipe.inputs for image in _images(given, recipe)]
    if recipe.statistics in ("well", "plate") and not any(image.plate for image in images):
        recipe.refuse("statistics", f"{recipe.statistics}: no input is a plate, nor a store of several series; give each or all.")
    if is_whole := _is_one_plate(recipe.output, images):
        outputs = [join(recipe.output, image.path) for image in images]
    else:
        outputs = [_output(recipe.output, image, index, len(images)) for index, image in enumerate(images)]
    twice = [url for url, count in Counter(outputs).items() if count > 1]
    if twice:
        recipe.refuse("output", f"several results would go to {redact(twice[0])}; use {{name}}, {{parent}} or {{index}}.")
    made, cohort = recipe.output if is_whole else "", _cohort(recipe, images)
    tasks = [_task(one, url, made, recipe.statistics, one.url in cohort) for one, url in zip(images, outputs, strict=True)]
    return _checked(recipe, tasks)


def find_fields(
    inputs: Sequence[str], outputs: Sequence[str], recipe: Recipe, series: int | str | None = None, dims: str | None = None
) -> list[Task]:
    """Return the images at ``inputs``, which are no patterns, with one of ``outputs`` for each: a plate's results are a plate.

    ``series`` and ``dims`` are those of `xprep.open_image`; with ``series`` one image of each input is meant.

    Raises
    ------
    RecipeError
        As of `find_tasks`.
    """
    tasks: list[Task] = []
    for url, output in zip(inputs, outputs, strict=True):
        for one in find_images(url, recipe.storage_options) if series is None else [_image_at(url)]:
            if one.is_element:
                recipe.refuse(
                    "inputs",
                    f"{redact(url)} is a SpatialData object: xprep.spatialdata gives back one in Python; or give one of its "
                    f"images, {redact(one.url)}.",
                )
            target, made = (join(output, one.path), output) if one.plate else (output, "")
            tasks.append(replace(_task(one, target, made, recipe.statistics), series=series, dims=dims))
    return _checked(recipe, tasks)


def _checked(recipe: Recipe, tasks: list[Task]) -> list[Task]:
    if twice := [url for url, count in Counter(task.input for task in tasks).items() if count > 1]:
        recipe.refuse("inputs", f"{redact(twice[0])} is there more than once; give it once.")
    file = [] if recipe.statistics in SHARING else [recipe.statistics]
    check_places(recipe, find_outputs(tasks), [*find_inputs(tasks), *file])
    return tasks


def _task(image: Image, output: str, made: str, sharing: str, fits: bool = False) -> Task:
    experiment = "" if fits else _experiment(sharing, image)
    return Task(image.url, output, experiment, image.plate, made, image.path, fits)


def _is_one_plate(output: str, images: Sequence[Image]) -> bool:
    """Whether ``images`` are those of one plate, and ``output`` the name of one store."""
    plates = {"" if image.is_element else image.plate for image in images}
    return len(plates) == 1 and plates != {""} and not _has_fields(output) and output.rstrip("/").endswith(".zarr")


def find_outputs(tasks: Sequence[Task]) -> list[str]:
    """Return all stores that are written, a plate as one."""
    return list(dict.fromkeys(task.made or task.output for task in tasks))


def _cohort(recipe: Recipe, images: Sequence[Image]) -> set[str]:
    """Return the URLs of the images that are fitted to, which must be among the inputs."""
    found: set[str] = set()
    located = [(locate(one.url, recipe.storage_options), one.url) for one in images] if recipe.fit else []
    called = {name: (place, url) for place, url in located for name in place.own}
    for given in recipe.fit:
        for image in _images(given, recipe):
            place = locate(image.url, recipe.storage_options)
            same = (called[name] for name in place.own if name in called)
            mine = next((url for other, url in same if place.lies_in(other)), None)
            if mine is None:
                given.refuse(f"{redact(image.url)} is none of the inputs; fit names some of them.")
            found.add(mine)
    return found


def find_inputs(tasks: Sequence[Task]) -> list[str]:
    """Return all that is read: images, and the plates that hold them."""
    return [url for task in tasks for url in (task.input, task.plate) if url]


def group_tasks(tasks: Sequence[Task]) -> list[list[Task]]:
    """Return the images experiment by experiment, in their order; first those that others get their statistics of."""
    groups: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda one: not one.fits):
        groups.setdefault(task.experiment, []).append(task)
    return list(groups.values())


def _experiment(sharing: str, image: Image) -> str:
    """Return the name of an image's experiment; the folder of a plate's field is its well, and an element is of no plate."""
    plate = image.url if image.is_element else image.plate or image.url
    well = join(plate, image.well) if image.well else plate
    folder = well if image.well else image.plate or image.folder
    return {"each": image.url, "folder": folder, "well": well, "plate": plate, "all": ""}.get(sharing, image.url)


def _images(given: LocatedText, recipe: Recipe) -> list[Image]:
    text = given.text()
    if not has_pattern(text):
        return find_images(text, recipe.storage_options)
    found = find_urls(text, recipe.storage_options)
    if not found:
        here = "" if "://" in text else f" (looked for {Path(text).absolute()})"
        given.refuse(f"nothing fits {redact(text)!r}{here}.")
    return [image for url in found for image in find_images(url, recipe.storage_options)]


def find_images(url: str, storage_options: Mapping[str, Any]) -> list[Image]:
    """Return the image at ``url``, or those of the plate or series there; what cannot be read is an image that fails later."""
    name = stem(url)
    try:
        group = read_group(open_store(url, storage_options))
        entries = list_held(group) if group is not None else []
    except (ValueError, OSError, ImportError):
        entries = []
    if not entries:
        return [_image_at(url)]
    return [
        Image(
            join(url, one.path), f"{name}_{one.path.replace('/', '_')}", _image_at(url).parent, url, url, one.path,
            one.name if one.kind == "field" else "", one.kind == "element",
        )
        for one in entries
    ]  # fmt: skip


def _image_at(url: str) -> Image:
    folder = take_apart(url)[0]
    return Image(url, stem(url), folder.rpartition("/")[2], folder)


def _has_fields(pattern: str) -> bool:
    return any(name is not None for _, name, _, _ in Formatter().parse(pattern))


def _output(pattern: str, image: Image, index: int, count: int) -> str:
    if _has_fields(pattern):
        return pattern.format(name=image.name, parent=image.parent, index=index)
    if count == 1 and pattern.rstrip("/").endswith(".zarr"):
        return pattern
    return join(pattern, f"{image.name}.ome.zarr")
