"""Running a recipe: experiment by experiment, image by image; what fails does not stop the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import xarray as xr

from xprep.batch.experiments import Experiments, not_run
from xprep.batch.inputs import Task, find_inputs, find_outputs, find_tasks, group_tasks
from xprep.batch.outcome import BatchInterruptedError, BatchReport, Outcome, OutcomeListener
from xprep.batch.places import check_report
from xprep.batch.plates import begin_plates, finish_plates, list_wells
from xprep.batch.recipe import Recipe, load_recipe
from xprep.batch.reports import Account, ReportFile
from xprep.batch.shared import read_statistics
from xprep.batch.steps import check_values
from xprep.batch.turns import in_turns, run_turn
from xprep.engine.machine.progress import choose_listener
from xprep.images import WriteOptions
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
        times. If it cannot be written later on, that is noted, and the batch goes on.

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
    The images of one experiment (``statistics: all`` or ``folder``) are computed together. If one of them cannot be
    opened or read, all fail: without it, the others would get other statistics. The same holds for the inputs that ``fit``
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
    how = replace(checked.store, resume=resume, overwrite=checked.store.overwrite if overwrite is None else overwrite)
    itself = [recipe] if isinstance(recipe, str | Path) else []
    return run_tasks(replace(checked, store=how), find_tasks(checked), listener, report, itself)


def run_tasks(
    recipe: Recipe,
    tasks: Sequence[Task],
    listener: Listener | None,
    report: str | Path | None = None,
    itself: Sequence[str | Path] = (),
) -> BatchReport:
    """Run a checked recipe over its ``tasks``; ``itself`` is its file, if it has one, that a report must not go to."""
    groups = group_tasks(tasks)
    tasks = [task for group in groups for task in group]
    file = None if report is None else _report_file(report, recipe, tasks, itself)
    statistics = read_statistics(recipe)
    check_values(recipe, groups, statistics)
    account = Account(recipe, tasks, file)
    how = replace(recipe.store, storage_options=recipe.storage_options)
    with set_options(**recipe.settings):
        return _run_all(groups, account, how, listener, statistics)


def _report_file(
    report: str | Path, recipe: Recipe, tasks: Sequence[Task], itself: Sequence[str | Path]
) -> ReportFile:
    """Return the file for the report, which is none of the files and stores of the batch."""
    check_report(report, recipe, [*itself, *find_inputs(tasks), *find_outputs(tasks)])
    return ReportFile.at(report, recipe.storage_options)


def _run_all(
    groups: Sequence[Sequence[Task]],
    account: Account,
    how: WriteOptions,
    listener: Listener | None,
    statistics: xr.Dataset | None,
) -> BatchReport:
    total = len(account.tasks)
    plates = begin_plates(account.tasks, account.recipe, how, listener)
    for turn in in_turns(groups, account.recipe):
        done = len(account.outcomes)
        account.keep(account.report([task for group in turn for task in group]))
        try:
            experiments = Experiments(account.recipe, how, plates, groups[0], statistics)
            named = _named(listener, [task for group in turn for task in group], done, total)
            if unfit := _unfit(turn[0], account):
                account.outcomes += [not_run(task, unfit) for task in turn[0]]
            else:
                account.outcomes += run_turn(turn, experiments, named)
            plates = list_wells(plates, account)
        except KeyboardInterrupt:
            account.outcomes += [not_run(task, "interrupted") for task in account.tasks[len(account.outcomes) :]]
            _tell(listener, account.outcomes, told=done, total=total)
            raise BatchInterruptedError(account.keep(account.report(ended=True, interrupted=True))) from None
        account.keep(account.report())
        _tell(listener, account.outcomes, told=done, total=total)
    finish_plates(list_wells(plates, account, ended=True), account, listener)
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
