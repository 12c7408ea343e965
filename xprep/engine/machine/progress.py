"""A bar, where somebody looks: a line of a terminal, or an output of a notebook."""

from __future__ import annotations

import sys
from html import escape
from importlib import import_module
from time import monotonic
from typing import Any, Final, TextIO

from xprep.extras import loaded
from xprep.options import options
from xprep.sizes import format_bytes
from xprep.switches import check_switch
from xprep.types import Listener

WIDTH = 30
EVERY = 0.2  # seconds between two drawings
KEPT: Final = 3  # stages that are done, as a notebook shows them: a batch has hundreds


class _StepCount:
    """How far a stage is, and how to say it."""

    def __init__(self) -> None:
        self.stage, self.total, self.done, self.nbytes, self.start, self.drawn = "", 1, 0, 0, monotonic(), 0.0

    def started(self, stage: str, total: int) -> None:
        """Begin a stage."""
        self.stage, self.total, self.done, self.nbytes, self.start = stage, max(1, total), 0, 0, monotonic()
        self.draw()

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Go on; drawn at most five times a second."""
        self.done, self.nbytes = self.done + steps, self.nbytes + nbytes
        if monotonic() - self.drawn > EVERY:
            self.draw()

    def finished(self, stage: str) -> None:
        """End the stage."""
        self.done = self.total
        self.draw()

    def draw(self) -> None:
        """Show it."""
        self.drawn = monotonic()

    @property
    def share(self) -> float:
        """What is done of the stage, 0 to 1."""
        return min(1.0, self.done / self.total)

    @property
    def so_far(self) -> str:
        """Share, time and bytes in words."""
        share, seconds = self.share, self.drawn - self.start
        left = f", {seconds / share - seconds:.0f} s left" if 0.02 < share < 1 else ""
        written = f", {format_bytes(self.nbytes)} written" if self.nbytes else ""
        return f"{share:4.0%} {seconds:.0f} s{written}{left}"


class ProgressBar(_StepCount):
    """Draws how far a stage is, on one line of ``stream``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream, self._width = stream or sys.stderr, 0

    def finished(self, stage: str) -> None:
        """Draw the full bar and end the line."""
        super().finished(stage)
        self._stream.write("\n")
        self._stream.flush()

    def draw(self) -> None:
        """Draw over what was drawn before."""
        super().draw()
        line = f"{self.stage} {'█' * round(self.share * WIDTH):·<{WIDTH}} {self.so_far}"
        self._stream.write(f"\r{line:<{self._width}}")
        self._width = len(line)
        self._stream.flush()


class NotebookBar(_StepCount):
    """Draws how far a stage is, in one output of a notebook's cell, which is replaced; a line stays of stages that are done.

    Written to the cell's stream, each drawing would stay in the notebook's file, and be a line of its own in what is made of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._display: Any = import_module("IPython.display")
        self._shown: Any = None
        self._before: list[str] = []

    def finished(self, stage: str) -> None:
        """Say that it is done."""
        super().finished(stage)
        self._before.append(f"{self.stage}: done, {self.so_far.strip()}")
        self._show([])

    def draw(self) -> None:
        """Replace what was drawn before."""
        super().draw()
        self._show([f"{self.stage}: {self.so_far.strip()}"])

    def _show(self, now: list[str]) -> None:
        hidden = [f"{len(self._before) - KEPT} before that"] if len(self._before) > KEPT else []
        lines = [*hidden, *self._before[-KEPT:], *now]
        bar = f'<progress value="{self.share:.4f}" style="width: 30em; display: block"></progress>' if now else ""
        page = f"<div>{bar}{'<br>'.join(map(escape, lines))}</div>"
        shown = {"text/plain": "\n".join(lines), "text/html": page}
        if self._shown is None:
            self._shown = self._display.display(shown, raw=True, display_id=True)
        else:
            self._shown.update(shown, raw=True)


def choose_listener(progress: Listener | bool | None) -> Listener | None:
    """Return who is told: a bar, by default where somebody looks; nobody; or an object that is given.

    Raises
    ------
    TypeError
        It is neither True, False, None, nor an object with the methods of a `Listener`.
    """
    if all(callable(getattr(progress, name, None)) for name in ("started", "advanced", "finished")):
        return progress  # type: ignore[return-value]
    try:
        return _default_listener() if check_switch(progress, "progress", True) else None  # type: ignore[arg-type]
    except TypeError as error:
        text = f"{str(error).partition(';')[0]}, or an object with the methods started, advanced and finished; got {progress!r}."
        raise TypeError(text) from None


def _default_listener() -> Listener | None:
    """Return a bar where the options say so; by default in a terminal and a notebook, and not into a pipe."""
    wanted = options().progress
    if wanted != "off" and _in_notebook():
        return NotebookBar()
    watched = sys.stderr is not None and sys.stderr.isatty()
    return ProgressBar() if wanted == "on" or (wanted == "auto" and watched) else None


def _in_notebook() -> bool:
    module = loaded("IPython")
    shell = None if module is None else module.get_ipython()
    return getattr(shell, "kernel", None) is not None
