"""Commands for one image, given plates or images that do not share statistics: run as a recipe of one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from xprep import batch, images
from xprep.cli.request import Request

if TYPE_CHECKING:
    from xprep.batch import Recipe, Task

SHARED: Final = "all"  # of several inputs, unless somebody says otherwise


def find_batch(name: str, request: Request) -> tuple[Recipe, Sequence[Task]] | None:
    """Return the recipe and the images of a command; None where its inputs are images that share statistics.

    Raises
    ------
    RecipeError
        A result would be, hold or lie in another or an input; an input is there by two names.
    """
    recipe, tasks = find_fields(name, request)
    return None if request.share == SHARED and not any(task.made for task in tasks) else (recipe, tasks)


def find_fields(name: str, request: Request) -> tuple[Recipe, Sequence[Task]]:
    """Return the images of a command, and the recipe of it alone; raise as `find_batch` does."""
    recipe = _recipe(name, request)
    return recipe, batch.find_fields(request.inputs, request.outputs, recipe, **request.source)


def _recipe(name: str, request: Request) -> Recipe:
    given = {
        key: batch.LocatedText(value, f"xprep {name}", f"--{key.replace('_', '-')}")
        for key, value in request.parameters.items()
    }
    return batch.Recipe(
        inputs=tuple(batch.LocatedText(url, f"xprep {name}", "IN") for url in request.inputs),
        steps=() if name == batch.COPY else (batch.RecipeStep(name, request.parameters, f"xprep {name}", given),),
        output=", ".join(request.outputs),
        statistics=request.share,
        store=images.WriteOptions(**request.store),
        settings=request.settings,
        storage_options=request.storage_options,
        given={key: batch.LocatedText(None, f"xprep {name}", shown) for key, shown in (("inputs", "IN…"), ("output", "OUT"))},
    )
