"""A bar of one line, where somebody looks: a terminal or a notebook."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Final, TextIO

from xprep.options import options
from xprep.sizes import format_bytes
from xprep.types import Listener

WIDTH = 30
EVERY = 0.2  # seconds between two drawings
WRITTEN: Final = "xprep-written"  # name of the measure by which a cluster's workers tell how many bytes they wrote


def note_written(nbytes: int) -> None:
    """Tell a cluster's scheduler, if this is a task of one, that so many bytes were written."""
    metrics = sys.modules.get("distributed.metrics")
    if metrics is not None:
        metrics.context_meter.digest_metric(WRITTEN, nbytes, "bytes")


class Bar:
    """Draws how far a stage is, on one line of ``stream``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._stage, self._total, self._done, self._start, self._drawn = "", 1, 0, monotonic(), 0.0
        self._bytes, self._width = 0, 0

    def started(self, stage: str, total: int) -> None:
        """Draw an empty bar."""
        self._stage, self._total, self._done, self._bytes, self._start = stage, max(1, total), 0, 0, monotonic()
        self._draw()

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Draw a longer bar, at most five times a second."""
        self._done, self._bytes = self._done + steps, self._bytes + nbytes
        if monotonic() - self._drawn > EVERY:
            self._draw()

    def finished(self, stage: str) -> None:
        """Draw the full bar and end the line."""
        self._done = self._total
        self._draw()
        self._stream.write("\n")
        self._stream.flush()

    def _draw(self) -> None:
        self._drawn = monotonic()
        share = min(1.0, self._done / self._total)
        seconds = self._drawn - self._start
        left = f", {seconds / share - seconds:.0f} s left" if 0.02 < share < 1 else ""
        filled = "█" * round(share * WIDTH)
        written = f", {format_bytes(self._bytes)} written" if self._bytes else ""
        line = f"{self._stage} {filled:·<{WIDTH}} {share:4.0%} {seconds:.0f} s{written}{left}"
        self._stream.write(f"\r{line:<{self._width}}")
        self._width = len(line)
        self._stream.flush()


def default_listener() -> Listener | None:
    """Return a bar where the options say so; by default in a terminal and a notebook, and not into a pipe."""
    wanted = options().progress
    watched = (sys.stderr is not None and sys.stderr.isatty()) or "ipykernel" in sys.modules
    return Bar() if wanted == "on" or (wanted == "auto" and watched) else None
