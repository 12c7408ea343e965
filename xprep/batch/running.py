"""Running a recipe: experiment by experiment, image by image; what fails does not stop the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from xprep.batch.inputs import Task, find_tasks, group_tasks
from xprep.batch.outcome import BatchInterruptedError, BatchReport, Outcome, OutcomeListener
from xprep.batch.recipe import Recipe, load_recipe
from xprep.batch.steps import check_values, prepare
from xprep.engine.progress import default_listener
from xprep.images import Report, WriteOptions, open_image, write_images
from xprep.io.urls import redact, redact_text
from xprep.options import set_options
from xprep.types import Listener


def run(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    *,
    resume: bool = False,
    overwrite: bool | None = None,
    progress: Listener | bool | None = None,
    report: str | Path | None = None,
) -> BatchReport:
    """Run a recipe over many images; an image that fails does not stop the others.

    Parameters
    ----------
    recipe : str, Path or mapping
        A YAML file, or a mapping of the same keys: ``inputs`` (URLs and patterns), ``steps`` (operations with their
        parameters), ``output`` (a folder, or a URL with ``{name}``), and optionally ``statistics``, ``store``,
        ``settings``, ``storage_options``.
    resume : bool
        Leave finished results alone, and go on with those that the same recipe left unfinished.
    overwrite : bool, optional
        Replace results that are there; by default as the recipe's ``store`` says.
    progress : bool or listener, optional
        A bar, by default where somebody looks; or an object that is told, also of every image's outcome if it has a method
        ``ended(outcome, number, total)``.
    report : str or Path, optional
        A file for the report as JSON; written anew after every image.

    Returns
    -------
    BatchReport
        One outcome an image, in order: what ran, what failed, and why.

    Raises
    ------
    RecipeError
        The recipe is wrong, with the line and the key: also a value that no image could be prepared with; a pattern fits
        nothing; two results would have one name.
    OSError
        A bucket that cannot be listed.
    BatchInterruptedError
        A KeyboardInterrupt, after Ctrl-C: when what was in flight is finished. It has the ``report`` of what was done; the same
        call with ``resume=True``, also in this process, does the rest.

    Notes
    -----
    The images of one experiment (``statistics: all`` or ``folder``) are computed together, so one of them that cannot be
    opened or read fails all: without it, the others would get other statistics.

    Examples
    --------
    >>> import tempfile, xprep
    >>> folder = tempfile.mkdtemp()
    >>> for name in "ab":
    ...     _ = xprep.datasets.blobs(channels=1, shape=(64, 64)).prep.to_ome_zarr(f"{folder}/{name}.zarr")
    >>> recipe = {"inputs": f"{folder}/?.zarr", "steps": [{"gaussian_filter": {"sigma": 1}}], "output": f"{folder}/out"}
    >>> xprep.run(recipe).ok
    True
    """
    checked = load_recipe(recipe)
    start, outcomes, interrupted, found = perf_counter(), list[Outcome](), False, BatchReport((), 0.0)
    groups = group_tasks(find_tasks(checked))
    check_values(checked, groups)
    tasks = [task for group in groups for task in group]
    listener = default_listener() if progress is None or progress is True else progress or None
    how = replace(
        checked.store,
        resume=resume,
        overwrite=checked.store.overwrite if overwrite is None else overwrite,
        storage_options=checked.storage_options,
    )
    with set_options(**checked.settings):
        for group in groups:
            try:
                outcomes += _run_group(group, checked, how, _named(listener, group, len(outcomes), len(tasks)))
            except KeyboardInterrupt:
                interrupted = True
                outcomes += [_not_run(task, "interrupted") for task in tasks[len(outcomes) :]]
            _tell(listener, outcomes, told=len(found.outcomes), total=len(tasks))
            found = BatchReport(tuple(outcomes), perf_counter() - start, interrupted)
            if report is not None:
                Path(report).write_text(found.to_json())
            if interrupted:
                raise BatchInterruptedError(found)
    return found


def _tell(listener: Listener | None, outcomes: Sequence[Outcome], told: int, total: int) -> None:
    """Tell a listener that wants to know what became of the images after the first ``told``."""
    if isinstance(listener, OutcomeListener):
        for number, outcome in enumerate(outcomes[told:], told + 1):
            listener.ended(outcome, number, total)


def _run_group(tasks: Sequence[Task], recipe: Recipe, how: WriteOptions, progress: Any) -> list[Outcome]:
    start = perf_counter()
    culprit: Task | None = None
    try:
        images = []
        for task in tasks:
            culprit = task
            images.append(open_image(task.input, storage_options=recipe.storage_options))
        culprit = None
        results = prepare(images, recipe.steps, recipe.storage_options, [task.input for task in tasks])
        targets = [(image, task.output) for image, task in zip(results, tasks, strict=True)]
        reports = list(write_images(targets, how, progress=progress).values())
    except Exception as error:  # noqa: BLE001  (whatever it is, the other images go on)
        return _failed(tasks, culprit, error, recipe, perf_counter() - start)
    return [_written(task, report) for task, report in zip(tasks, reports, strict=True)]


def _written(task: Task, report: Report) -> Outcome:
    done = "written" if report.units else "finished before"
    notes = report.notes if report.units else ()
    return Outcome(task.shown, report.url, done, "", "", report.seconds, report.nbytes, notes)  # type: ignore[arg-type]


def _failed(tasks: Sequence[Task], culprit: Task | None, error: Exception, recipe: Recipe, seconds: float) -> list[Outcome]:
    """Return the outcomes of an experiment that failed: of the image that did it, if that is known, and of the others."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    reason = redact_text(text, recipe.storage_options) or type(error).__name__
    named = [task for task in tasks if task is culprit or task.shown in reason or redact(task.output) in reason]
    guilty = named if named else tasks
    kind = type(error).__name__
    outcomes = []
    for task in tasks:
        if task in guilty:
            outcomes.append(Outcome(task.shown, redact(task.output), "failed", reason, kind, seconds))
        else:
            outcomes.append(_not_run(task, f"it shares statistics with {guilty[0].shown}, which failed"))
    return outcomes


def _not_run(task: Task, reason: str) -> Outcome:
    return Outcome(task.shown, redact(task.output), "not run", reason)


@dataclass
class _Named:
    """Passes on what it is told, with the image's name in the stage."""

    listener: Listener
    prefix: str

    def started(self, stage: str, total: int) -> None:
        """Pass it on."""
        self.listener.started(f"{self.prefix} {stage}", total)

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Pass it on."""
        self.listener.advanced(f"{self.prefix} {stage}", steps, nbytes)

    def finished(self, stage: str) -> None:
        """Pass it on."""
        self.listener.finished(f"{self.prefix} {stage}")


def _named(listener: Listener | None, tasks: Sequence[Task], number: int, total: int) -> Listener | bool:
    if listener is None:
        return False
    if len(tasks) == 1:
        return _Named(listener, f"[{number + 1}/{total}] {tasks[0].name}")
    return _Named(listener, f"[{number + 1}-{number + len(tasks)}/{total}] {tasks[0].name} … {tasks[-1].name}")
