"""Many images by one recipe: each with its own outcome."""

from __future__ import annotations

from xprep.batch.inputs import Task, find_fields, find_tasks, group_tasks
from xprep.batch.located import RecipeError
from xprep.batch.outcome import BatchInterruptedError, BatchReport, Outcome
from xprep.batch.recipe import Recipe, load_recipe
from xprep.batch.running import run, run_tasks
from xprep.batch.shared import read_statistics, statistics_to_come
from xprep.batch.state import Progress, status
from xprep.batch.steps import check_values, prepare, steps_with

__all__ = [
    "BatchInterruptedError", "BatchReport", "Outcome", "Progress", "Recipe", "RecipeError", "Task", "check_values",
    "find_fields", "find_tasks", "group_tasks", "load_recipe", "prepare", "read_statistics", "run", "run_tasks",
    "statistics_to_come", "status", "steps_with",
]  # fmt: skip
