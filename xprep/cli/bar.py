"""Progress as a bar of rich."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from xprep.sizes import format_bytes
from xprep.texts import make_safe

if TYPE_CHECKING:
    from xprep.batch import Outcome

KEPT: Final = 3


class Bar:
    """Listens to a run and draws it on a terminal; into a pipe it is silent.

    Parameters
    ----------
    console : rich.console.Console
        Where.
    quiet : bool
        Draw nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[written]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._bytes: dict[str, int] = {}

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def started(self, stage: str, total: int) -> None:
        """Add a bar; of those that are full, only the last few stay: a batch has hundreds.

        What has nothing to do (a result that was finished before) counts as one step, which rich can show as done.
        """
        for old in [name for name, task in self._tasks.items() if self._is_full(task)][:-KEPT]:
            self._progress.remove_task(self._tasks.pop(old))
        self._bytes[stage] = 0
        self._tasks[stage] = self._progress.add_task(make_safe(stage), total=total or 1, written="")

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Make it longer."""
        self._bytes[stage] += nbytes
        written = format_bytes(self._bytes[stage]) if self._bytes[stage] else ""
        self._progress.update(self._tasks[stage], advance=steps, written=written)

    def finished(self, stage: str) -> None:
        """Fill it."""
        task = self._tasks[stage]
        self._progress.update(task, completed=self._find(task).total)

    def ended(self, outcome: Outcome, number: int, total: int) -> None:
        """Say at once that an image of a batch failed: the batch may run all night."""
        if outcome.state == "failed":
            self._progress.console.print(Text(f"[{number}/{total}] {outcome}", style="red"), soft_wrap=True)

    def _is_full(self, task: TaskID) -> bool:
        return self._find(task).finished

    def _find(self, task: TaskID) -> Task:
        return next(one for one in self._progress.tasks if one.id == task)
