"""What an experiment of a recipe would cost: its images, opened and prepared, and nothing run."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from xprep.batch.inputs import Task
from xprep.batch.opening import IMAGE, open_input
from xprep.batch.recipe import Recipe
from xprep.batch.steps import prepare, steps_with
from xprep.ops import Plan, plan


def plan_experiment(recipe: Recipe, tasks: Sequence[Task], statistics: xr.Dataset | None) -> Plan:
    """Return the plan of images that share statistics; ``statistics`` are those of the recipe's file, if it names one."""
    images = [open_input(task, recipe.storage_options, recipe.is_copy) for task in tasks]
    results = prepare(images, steps_with(recipe.steps, statistics), recipe.storage_options, [task.input for task in tasks])
    alone = [one if isinstance(one, xr.DataArray) else one.to_dataset()[IMAGE] for one in results]
    nodes = {f"/{n}": one.to_dataset(name=IMAGE) for n, one in enumerate(alone)}
    return plan(xr.DataTree.from_dict(nodes), chunks=recipe.store.chunks, shards=recipe.store.shards)
