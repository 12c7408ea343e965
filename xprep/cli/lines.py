"""Progress as lines of JSON, for logs; or as a bar."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from xprep.cli.bar import Bar
from xprep.types import Listener

if TYPE_CHECKING:
    from xprep.batch import Outcome

EVERY: Final = 1.0  # seconds between two lines of one stage

Progress = Annotated[
    str, typer.Option("--progress", metavar="bar|json|none", help="How progress is shown; json is lines, for logs.")
]


class Lines:
    """Listens to a run and prints a JSON object a line: what, how far, how long still.

    Parameters
    ----------
    console : rich.console.Console
        Where.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._done = self._bytes = 0
        self._start = self._last = 0.0

    def started(self, stage: str, total: int) -> None:
        """Print that a stage begins."""
        self._total, self._done, self._bytes, self._start = total, 0, 0, monotonic()
        self._print("started", stage)

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Print how far it is, at most once a second."""
        self._done, self._bytes = self._done + steps, self._bytes + nbytes
        if monotonic() - self._last > EVERY:
            self._print("advanced", stage)

    def finished(self, stage: str) -> None:
        """Print that it is over."""
        self._done = self._total
        self._print("finished", stage)

    def ended(self, outcome: Outcome, number: int, total: int) -> None:
        """Print what became of an image of a batch."""
        self._write({"event": "image", "number": number, "of": total, **asdict(outcome), "seconds": round(outcome.seconds, 3)})

    def _print(self, event: str, stage: str) -> None:
        self._last = monotonic()
        seconds = self._last - self._start
        left = seconds * (self._total - self._done) / self._done if self._done else None
        line = {
            "event": event,
            "stage": stage,
            "tasks": self._done,
            "total": self._total,
            "bytes": self._bytes,
            "seconds": round(seconds, 3),
            "left": None if left is None else round(left, 1),
        }
        self._write(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._console.file.write(json.dumps({"time": now, **line}) + "\n")
        self._console.file.flush()


@contextmanager
def listening(how: str, console: Console, *, quiet: bool = False) -> Iterator[Listener | bool]:
    """Yield who is told of a run: a bar, lines of JSON, or nobody."""
    if how not in ("bar", "json", "none"):
        raise ValueError(f"--progress must be one of bar, json, none; got {how!r}.")
    if quiet or how == "none":
        yield False
    elif how == "json":
        yield Lines(console)
    else:
        with Bar(console) as bar:
            yield bar
