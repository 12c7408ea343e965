"""The report of a batch as a file: there before anything is computed, and true at every moment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from xprep.batch.inputs import Task
from xprep.batch.outcome import BatchReport, Outcome
from xprep.batch.recipe import Recipe
from xprep.io.commit.owner import Owner
from xprep.io.store.places import Place, open_store
from xprep.io.store.urls import redact, redact_text
from xprep.version import version


@dataclass(frozen=True)
class ReportFile:
    """Where a report is kept; it is replaced whole, so that nobody ever reads half of one."""

    place: Place
    name: str

    @staticmethod
    def at(report: str | Path, storage_options: Mapping[str, Any]) -> ReportFile:
        """Return the file at a path or URL; its folder must be there.

        Raises
        ------
        OSError
            There is no such folder; or the file is a folder.
        """
        if not isinstance(report, str | Path):
            raise TypeError(f"report must be a path or a URL; got {report!r}.")
        text = str(report) if "://" in str(report) else Path(os.path.abspath(os.path.expanduser(report))).as_posix()
        folder, _, name = text.rpartition("/")
        place = open_store(f"{folder}/", storage_options if "://" in text else None, "r+")
        if place.folder is not None and not place.folder.is_dir():
            raise FileNotFoundError(f"there is no folder {redact(folder)} for the report {name}; make it, or give another file.")
        if not name or (place.folder is not None and (place.folder / name).is_dir()):
            raise IsADirectoryError(f"the report {redact(text)} is a folder; give a file.")
        return ReportFile(place, name)

    def write(self, report: BatchReport) -> None:
        """Write the report."""
        self.place.set(self.name, report.to_json().encode())


@dataclass
class Account:
    """What became of a batch so far, and of what is left; kept in a file, if there is one.

    Raises
    ------
    OSError
        The file cannot be written when the batch begins. Later that is a note, and no reason to stop.
    """

    recipe: Recipe
    tasks: Sequence[Task]
    file: ReportFile | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=perf_counter)
    _notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.file is not None:
            self.file.write(self.report())

    def report(self, running: Sequence[Task] = (), *, ended: bool = False, interrupted: bool = False) -> BatchReport:
        """Return the report of this moment, in which the tasks ``running`` are at work."""
        left = [] if ended else self.tasks[len(self.outcomes) + len(running) :]
        about = {
            "version": version(),
            "process": Owner.here().to_json(),
            "started": self.started.isoformat(timespec="seconds"),
            "recipe": self.recipe.to_json(),
        }
        return BatchReport(
            tuple(self.outcomes), perf_counter() - self._clock, interrupted, len(self.tasks),
            tuple(map(_move, running)), tuple(map(_move, left)), self._notes, about,
        )  # fmt: skip

    def keep(self, report: BatchReport) -> BatchReport:
        """Write ``report`` to the file; return it, with a note where it could not be written."""
        try:
            if self.file is not None:
                self.file.write(report)
        except OSError as error:
            self._notes = (f"the report could not be written at {report.as_of}: {redact_text(str(error), self.recipe.secrets)}",)
            return replace(report, notes=self._notes)
        return report


def _move(task: Task) -> tuple[str, str]:
    return task.shown, redact(task.output)
