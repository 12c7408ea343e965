"""Statistics that the images of a batch did not make themselves: a file's, or those of the inputs that were fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from xprep.batch.inputs import Task
from xprep.batch.opening import open_task
from xprep.batch.recipe import SHARING, Recipe
from xprep.images import statistics_of
from xprep.io.dataset_files import read_dataset
from xprep.io.store.urls import redact_text
from xprep.ops import check_fitted, fit_normalize


def read_statistics(recipe: Recipe) -> xr.Dataset | None:
    """Return the statistics in the file that ``recipe`` names, None where it names none.

    Raises
    ------
    RecipeError
        The file is not there, or none of statistics.
    """
    if recipe.statistics in SHARING:
        return None
    try:
        found = read_dataset(recipe.statistics, recipe.storage_options)
        check_fitted(found, "it")
    except (OSError, ValueError, TypeError) as error:
        text = redact_text(str(error), recipe.secrets)
        recipe.refuse("statistics", f"must be {', '.join(SHARING)}, or a file of statistics; {text}")
    return found


def statistics_for(tasks: Sequence[Task], recipe: Recipe, of_file: xr.Dataset | None, fitted: Any) -> xr.Dataset | None:
    """Return the statistics of the store ``fitted``, None for the images that made them; where none are fitted, ``of_file``."""
    if not recipe.fit or tasks[0].fits:
        return of_file
    return statistics_of(fitted, storage_options=recipe.storage_options)


def statistics_to_come(tasks: Sequence[Task], groups: Sequence[Sequence[Task]], recipe: Recipe) -> xr.Dataset | None:
    """Return a stand-in for `statistics_for` of images that are not finished: ones, for plans."""
    if not recipe.fit or tasks[0].fits:
        return None
    images = {f"/{n}": open_task(task, recipe.storage_options) for n, task in enumerate(groups[0])}
    tree = xr.DataTree.from_dict({path: image.to_dataset(name="image") for path, image in images.items()})
    (step,) = (step for step in recipe.steps if step.name == "normalize")
    parameters = {name: value for name, value in step.parameters.items() if name != "chunks"}
    return xr.ones_like(fit_normalize(tree, **parameters))
