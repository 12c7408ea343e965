"""The images of a recipe: patterns looked up, plates and series taken apart, and where each result goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from xprep.batch.located import Located
from xprep.batch.places import check_places
from xprep.batch.recipe import SHARING, Recipe
from xprep.io.find import find_urls, has_pattern
from xprep.io.groups import list_images, read_group
from xprep.io.locations import locate
from xprep.io.paths import stem, take_apart
from xprep.io.stores import open_store
from xprep.io.urls import join, redact


@dataclass(frozen=True, repr=False)
class Task:
    """One image of a batch: where it is, where its result goes, of which experiment it is, and the plate that holds it.

    ``fits`` says whether others get the statistics of its experiment.
    """

    input: str
    output: str
    experiment: str
    plate: str = ""
    fits: bool = False

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
class _Image:
    url: str
    name: str
    parent: str
    folder: str
    plate: str = ""


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
    outputs = [_output(recipe.output, image, index, len(images)) for index, image in enumerate(images)]
    twice = [url for url, count in Counter(outputs).items() if count > 1]
    if twice:
        recipe.refuse("output", f"several results would go to {redact(twice[0])}; use {{name}}, {{parent}} or {{index}}.")
    cohort = _cohort(recipe, images)
    tasks = [
        Task(one.url, url, "" if one.url in cohort else _experiment(recipe, one), one.plate, one.url in cohort)
        for one, url in zip(images, outputs, strict=True)
    ]
    file = [] if recipe.statistics in SHARING else [recipe.statistics]
    check_places(recipe, outputs, [*find_inputs(tasks), *file])
    return tasks


def _cohort(recipe: Recipe, images: Sequence[_Image]) -> set[str]:
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


def _experiment(recipe: Recipe, image: _Image) -> str:
    return {"folder": image.folder, "all": ""}.get(recipe.statistics, image.url)


def _images(given: Located, recipe: Recipe) -> list[_Image]:
    text = given.text()
    if not has_pattern(text):
        return _parts(text, recipe)
    found = find_urls(text, recipe.storage_options)
    if not found:
        here = "" if "://" in text else f" (looked for {Path(text).absolute()})"
        given.refuse(f"nothing fits {redact(text)!r}{here}.")
    return [image for url in found for image in _parts(url, recipe)]


def _parts(url: str, recipe: Recipe) -> list[_Image]:
    """Return the image at ``url``, or those of the plate or series there; what cannot be read is an image that fails later."""
    folder, name = take_apart(url)[0], stem(url)
    parent = folder.rpartition("/")[2]
    try:
        group = read_group(open_store(url, recipe.storage_options))
        entries = list_images(group) if group is not None else []
    except (ValueError, OSError, ImportError):
        entries = []
    if len(entries) < 2 and (not entries or not entries[0].path):
        return [_Image(url, name, parent, folder)]
    return [_Image(join(url, one.path), f"{name}_{one.path.replace('/', '_')}", parent, url, url) for one in entries]


def _output(pattern: str, image: _Image, index: int, count: int) -> str:
    if any(name is not None for _, name, _, _ in Formatter().parse(pattern)):
        return pattern.format(name=image.name, parent=image.parent, index=index)
    if count == 1 and pattern.rstrip("/").endswith(".zarr"):
        return pattern
    return join(pattern, f"{image.name}.ome.zarr")
