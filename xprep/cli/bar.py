"""Progress as a bar of rich."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


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
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def started(self, stage: str, total: int) -> None:
        """Add a bar."""
        self._tasks[stage] = self._progress.add_task(stage, total=total)

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Make it longer."""
        self._progress.advance(self._tasks[stage], steps)

    def finished(self, stage: str) -> None:
        """Fill it."""
        task = self._tasks[stage]
        self._progress.update(task, completed=self._progress.tasks[task].total)
