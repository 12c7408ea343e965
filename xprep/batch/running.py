"""Running a recipe: experiment by experiment, image by image; what fails does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import xarray as xr

from xprep.batch.inputs import Task, find_inputs, find_tasks, group_tasks
from xprep.batch.outcome import BatchInterruptedError, BatchReport, Outcome, OutcomeListener
from xprep.batch.places import check_report
from xprep.batch.recipe import Recipe, load_recipe
from xprep.batch.reports import Account, ReportFile
from xprep.batch.shared import read_statistics, statistics_for
from xprep.batch.steps import check_values, prepare, steps_with
from xprep.engine.progress import choose_listener
from xprep.images import Report, WriteOptions, open_image, write_images
from xprep.io.urls import redact, redact_text
from xprep.options import set_options
from xprep.switches import check_switch
from xprep.types import Listener

_NO_RESULT: Final = ("failed", "not run")


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
        parameters), ``output`` (a folder, or a URL with ``{name}``), and optionally ``statistics`` or ``fit``, ``store``,
        ``settings``, ``storage_options``.
    resume : bool
        Leave finished results alone, and go on with those that the same recipe left unfinished.
    overwrite : bool, optional
        Replace results that are there; by default as the recipe's ``store`` says.
    progress : bool or listener, optional
        A bar, by default where somebody looks; or an object that is told, also of every image's outcome if it has a method
        ``ended(outcome, number, total)``.
    report : str or Path, optional
        A file for the report as JSON, a path or URL: written before anything is computed, and replaced before and after every
        image, so that it is true at every moment: what is finished, what runs, what is left; with version, recipe, statistics and
        times. Later on, that it cannot be written is a note and no reason to stop.

    Returns
    -------
    BatchReport
        One outcome an image, in order: what ran, what failed, and why.

    Raises
    ------
    RecipeError
        The recipe is wrong, with the line and the key: also a value that no image could be prepared with; a pattern fits
        nothing; a result would be, hold or lie in another or an input.
    ValueError
        The report would be written over or into an input, an output or the recipe.
    OSError
        A bucket that cannot be listed; the report cannot be written.
    BatchInterruptedError
        A KeyboardInterrupt, after Ctrl-C: when what was in flight is finished. It has the ``report`` of what was done; the same
        call with ``resume=True``, also in this process, does the rest.

    Notes
    -----
    The images of one experiment (``statistics: all`` or ``folder``) are computed together, so one of them that cannot be
    opened or read fails all: without it, the others would get other statistics. The same holds for the inputs that ``fit``
    names; the others are normalised one by one with the statistics that those stores keep.

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
    resume, overwrite = check_switch(resume, "resume"), check_switch(overwrite, "overwrite", None)
    listener = choose_listener(progress)
    checked = load_recipe(recipe)
    groups = group_tasks(find_tasks(checked))
    tasks = [task for group in groups for task in group]
    file = None if report is None else _report_file(report, recipe, checked, tasks)
    statistics = read_statistics(checked)
    check_values(checked, groups, statistics)
    account = Account(checked, tasks, file)
    how = replace(
        checked.store,
        resume=resume,
        overwrite=checked.store.overwrite if overwrite is None else overwrite,
        storage_options=checked.storage_options,
    )
    with set_options(**checked.settings):
        return _run_all(groups, account, how, listener, statistics)


def _report_file(report: str | Path, recipe: Any, checked: Recipe, tasks: Sequence[Task]) -> ReportFile:
    """Return the file for the report, which is none of the files and stores of the batch."""
    itself = [recipe] if isinstance(recipe, str | Path) else []
    check_report(report, checked, [*itself, *find_inputs(tasks), *(task.output for task in tasks)])
    return ReportFile.at(report, checked.storage_options)


def _run_all(
    groups: Sequence[Sequence[Task]],
    account: Account,
    how: WriteOptions,
    listener: Listener | None,
    statistics: xr.Dataset | None,
) -> BatchReport:
    total = len(account.tasks)
    for group in groups:
        done = len(account.outcomes)
        account.keep(account.report(group))
        try:
            if unfit := _unfit(group, account):
                account.outcomes += [_not_run(task, unfit) for task in group]
            else:
                given = partial(statistics_for, group, groups, account.recipe, statistics)
                account.outcomes += _run_group(group, account.recipe, how, _named(listener, group, done, total), given)
        except KeyboardInterrupt:
            account.outcomes += [_not_run(task, "interrupted") for task in account.tasks[done:]]
            _tell(listener, account.outcomes, told=done, total=total)
            raise BatchInterruptedError(account.keep(account.report(ended=True, interrupted=True))) from None
        account.keep(account.report())
        _tell(listener, account.outcomes, told=done, total=total)
    return account.keep(account.report(ended=True))


def _tell(listener: Listener | None, outcomes: Sequence[Outcome], told: int, total: int) -> None:
    """Tell a listener that wants to know what became of the images after the first ``told``."""
    if isinstance(listener, OutcomeListener):
        for number, outcome in enumerate(outcomes[told:], told + 1):
            listener.ended(outcome, number, total)


def _unfit(tasks: Sequence[Task], account: Account) -> str:
    """Return why there are no statistics for images that get those of others; an empty text where there are."""
    wrong = [one for task, one in zip(account.tasks, account.outcomes, strict=False) if task.fits and one.state in _NO_RESULT]
    return f"its statistics are fitted to {wrong[0].input}, which has no result" if wrong and not tasks[0].fits else ""


def _run_group(
    tasks: Sequence[Task], recipe: Recipe, how: WriteOptions, progress: Any, statistics: Callable[[], xr.Dataset | None]
) -> list[Outcome]:
    start = perf_counter()
    culprit: Task | None = None
    try:
        images = []
        for task in tasks:
            culprit = task
            images.append(open_image(task.input, storage_options=recipe.storage_options))
        culprit = None
        steps = steps_with(recipe.steps, statistics())
        results = prepare(images, steps, recipe.storage_options, [task.input for task in tasks])
        targets = [(image, task.output) for image, task in zip(results, tasks, strict=True)]
        reports = list(write_images(targets, how, progress=progress).values())
    except Exception as error:  # noqa: BLE001  (whatever it is, the other images go on)
        return _failed(tasks, culprit, error, recipe, perf_counter() - start)
    return [_written(task, report) for task, report in zip(tasks, reports, strict=True)]


def _written(task: Task, report: Report) -> Outcome:
    done = "written" if report.units else "finished before"
    notes = report.notes if report.units else ()
    return Outcome(
        task.shown, report.url, done, "", "", report.seconds, report.nbytes, notes, report.statistics, _now()  # type: ignore[arg-type]
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _failed(tasks: Sequence[Task], culprit: Task | None, error: Exception, recipe: Recipe, seconds: float) -> list[Outcome]:
    """Return the outcomes of an experiment that failed: of the image that did it, if that is known, and of the others."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    reason = redact_text(text, recipe.secrets) or type(error).__name__
    named = [task for task in tasks if task is culprit or task.shown in reason or redact(task.output) in reason]
    guilty = named if named else tasks
    kind = type(error).__name__
    outcomes = []
    for task in tasks:
        if task in guilty:
            outcomes.append(Outcome(task.shown, redact(task.output), "failed", reason, kind, seconds, ended=_now()))
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
