"""How far a recipe is: asked of the stores themselves, which know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xprep.batch.inputs import Task, find_tasks
from xprep.batch.recipe import Recipe, load_recipe
from xprep.io.commit.mark import describe_owner, read_status
from xprep.io.ome.groups import read_group
from xprep.io.store.places import open_store
from xprep.io.store.urls import redact, redact_text


@dataclass(frozen=True)
class Progress:
    """How far one image is.

    Attributes
    ----------
    input, output : str
        URLs without secrets.
    state : {"finished", "unfinished", "not begun", "unknown"}
        ``"unknown"``: another program's store, or one that cannot be read.
    about : str
        Who writes it, or why it is not known.
    """

    input: str
    output: str
    state: Literal["finished", "unfinished", "not begun", "unknown"]
    about: str = ""

    def __str__(self) -> str:
        return f"{self.state:10} {self.output}" + (f" ({self.about})" if self.about else "")

    __repr__ = __str__


def status(recipe: str | Path | Mapping[str, Any] | Recipe) -> list[Progress]:
    """Return how far each image of a recipe is: asked of the stores themselves; nothing is computed or changed.

    Parameters
    ----------
    recipe : str, Path or mapping
        As `run` takes it.

    Returns
    -------
    list of Progress
        One an image, in order: ``input``, ``output``, ``state`` (``"finished"``, ``"unfinished"``, ``"not begun"``,
        ``"unknown"``) and ``about``, who writes it or why its state is not known.

    Raises
    ------
    RecipeError
        The recipe is wrong, with the line and the key.
    OSError
        A bucket that cannot be listed.

    Examples
    --------
    >>> import tempfile, xprep
    >>> folder = tempfile.mkdtemp()
    >>> _ = xprep.datasets.blobs(channels=1, shape=(64, 64)).prep.to_ome_zarr(f"{folder}/a.zarr")
    >>> recipe = {"inputs": f"{folder}/a.zarr", "steps": ["to_isotropic"], "output": f"{folder}/out"}
    >>> [one.state for one in xprep.status(recipe)]
    ['not begun']
    >>> xprep.run(recipe).ok
    True
    >>> [one.state for one in xprep.status(recipe)]
    ['finished']
    """
    checked = load_recipe(recipe)
    return [_state(task, checked.storage_options) for task in find_tasks(checked)]


def _state(task: Task, storage_options: Mapping[str, Any]) -> Progress:
    shown = redact(task.output)
    try:
        place = open_store(task.output, storage_options)
        group = read_group(place)
        empty = group is None and not place.list_folder()
    except (OSError, ValueError) as error:
        return Progress(task.shown, shown, "unknown", redact_text(str(error), (storage_options, task.output)))
    if group is None:
        about = "" if empty else "no Zarr group"
        return Progress(task.shown, shown, "not begun" if empty else "unknown", about)
    found = read_status(group)
    if found == "foreign":
        return Progress(task.shown, shown, "unknown", "no store of xprep")
    if found == "writing":
        return Progress(task.shown, shown, "unfinished", describe_owner(group))
    return Progress(task.shown, shown, "finished")
