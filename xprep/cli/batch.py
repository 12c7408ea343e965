"""``xprep run``, ``resume``, ``status``: many images by one recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from xprep import batch
from xprep.cli.arguments import Debug, Overwrite, Quiet, Scheduler, Workers
from xprep.cli.failures import FAILED, describe, in_command_words, reported
from xprep.cli.interrupts import interruptible
from xprep.cli.lines import Progress, listening
from xprep.cli.request import Request
from xprep.cli.tables import make_console, print_batch_failure, print_batch_plan, print_batch_total
from xprep.engine import running
from xprep.io.store.urls import redact, redact_text
from xprep.options import set_options

if TYPE_CHECKING:
    from xprep.batch import BatchReport, Recipe, Task
    from xprep.ops import Plan

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file: inputs, steps, output.")]
ReportFile = Annotated[str | None, typer.Option("--report", metavar="FILE", help="Keep the report there as JSON: a path or URL.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Say what would run, image by image, and stop.")]


def run(
    recipe: RecipeFile,
    overwrite: Overwrite = False,
    plan: PlanOnly = False,
    report: ReportFile = None,
    progress: Progress = "bar",
    scheduler: Scheduler = None,
    workers: Workers = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a recipe over many images; one that fails does not stop the others. The exit code is 1 if any has no result."""
    how = {"overwrite": True if overwrite else None, "report": report}
    _run(recipe, how, progress, scheduler, workers, quiet, debug, plan)


def resume(
    recipe: RecipeFile,
    overwrite: Overwrite = False,
    report: ReportFile = None,
    progress: Progress = "bar",
    scheduler: Scheduler = None,
    workers: Workers = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Go on with a recipe: finished results stay, unfinished ones are finished, missing ones are made.

    What another recipe made, or this one of other inputs, is left alone and fails, unless --overwrite replaces it.
    """
    _run(
        recipe,
        {"resume": True, "overwrite": True if overwrite else None, "report": report},
        progress,
        scheduler,
        workers,
        quiet,
        debug,
    )


def show_status(recipe: RecipeFile, debug: Debug = False) -> None:
    """Say how far each image of a recipe is. The exit code is 1 if any is not finished."""
    out = make_console()
    err = make_console(stderr=True)
    with reported(err, debug=debug):
        checked = batch.load_recipe(recipe)
        with reported(err, debug=debug, secrets=checked.secrets):
            found = batch.status(checked)
        for one in found:
            out.print(str(one), soft_wrap=True)
    if any(one.state != "finished" for one in found):
        raise typer.Exit(1)


def _run(
    path: Path,
    how: dict[str, Any],
    progress: str,
    scheduler: str | None,
    workers: int | None,
    quiet: bool,
    debug: bool,
    plan: bool = False,
) -> None:
    err = make_console(stderr=True)
    with reported(err, debug=debug, secrets=[scheduler, how.get("report")]):
        recipe = batch.load_recipe(path)
        safely = reported(err, debug=debug, secrets=(recipe.secrets, scheduler))
        with safely, interruptible(), running.connect(scheduler, workers):
            if plan:
                print_plans(recipe, batch.find_tasks(recipe))
                return
            with listening(progress, err, quiet=quiet) as listener:
                found = _report(lambda: batch.run(recipe, progress=listener, **how))
    _finish(found, f"xprep resume {path}", err, quiet)


def run_found(recipe: Recipe, tasks: Sequence[Task], request: Request, err: Console) -> None:
    """Run a command for one image over those that it was given."""
    with running.connect(request.scheduler, request.workers), listening("bar", err, quiet=request.quiet) as listener:
        told = None if isinstance(listener, bool) else listener
        found = _report(lambda: batch.run_tasks(recipe, tasks, told))
    _finish(found, "the same command with --resume", err, request.quiet)


def _report(work: Callable[[], BatchReport]) -> BatchReport:
    """Return what became of the images of a batch, also where it was interrupted."""
    try:
        return work()
    except batch.BatchInterruptedError as stopped:
        return stopped.report


def _finish(found: BatchReport, again: str, err: Console, quiet: bool) -> None:
    """Print what became of a batch, and end with its exit code."""
    if not quiet:
        make_console().print(Text(in_command_words(str(found))), soft_wrap=True)
    if not found.ok:
        before = "interrupted. " if found.interrupted else ""
        err.print(f"{before}{again} runs what has no result, and nothing else.", style="yellow", soft_wrap=True)
    raise typer.Exit(found.exit_code)


def plan_recipe(path: Path, scheduler: str | None, workers: int | None, debug: bool) -> None:
    """Say what a recipe would do, experiment by experiment; nothing is written."""
    _run(path, {}, "none", scheduler, workers, False, debug, plan=True)


def print_plans(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Print the plan of every experiment; one that cannot be planned does not stop the others."""
    out = make_console()
    plans: list[Plan] = []
    groups = [part for group in batch.group_tasks(tasks) for part in batch.split_absent(group, recipe.storage_options)]
    statistics = batch.read_statistics(recipe)
    batch.check_values(recipe, groups, statistics)
    with set_options(**recipe.settings):
        for tasks in groups:
            moves = [(task.shown, redact(task.output)) for task in tasks]
            try:
                given = statistics if statistics is not None else batch.statistics_to_come(tasks, groups, recipe)
                plans.append(batch.plan_experiment(recipe, tasks, given))
                print_batch_plan(out, moves, plans[-1])
            except (OSError, ValueError, KeyError, TypeError) as error:
                why = redact_text(describe(error), recipe.secrets)
                print_batch_failure(out, moves, why)
    print_batch_total(out, sum(map(len, groups)), plans, failing=len(groups) - len(plans))
    if len(plans) < len(groups):
        raise typer.Exit(FAILED)
