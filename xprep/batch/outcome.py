"""What became of the images of a batch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, runtime_checkable

from xprep.io.arrays.coordinates import plain
from xprep.texts import html_table
from xprep.types import Listener

State = Literal["written", "finished before", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes
    ----------
    input, output : str
        URLs without secrets.
    state : {"written", "finished before", "failed", "not run"}
        Written now; by an earlier run of the same recipe; neither, for a reason.
    reason : str
        Why it failed or was not run.
    error : str
        Kind of the error.
    seconds : float
        Of its run.
    nbytes : int
        Of pixels written, before compression.
    notes : tuple of str
        What was noticed on the way.
    statistics : mapping
        That it was made with, as the store keeps them.
    ended : str
        When: ISO 8601, UTC; empty if it was not run.
    """

    input: str
    output: str
    state: State
    reason: str = ""
    error: str = ""
    seconds: float = 0.0
    nbytes: int = 0
    notes: tuple[str, ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""

    def __str__(self) -> str:
        what = {"written": "wrote", "finished before": "was there", "failed": "FAILED", "not run": "not run"}[self.state]
        text = f"{what:9} {self.output}"
        return f"{text}\n          from {self.input}: {self.reason}" if self.reason else text

    __repr__ = __str__


@runtime_checkable
class OutcomeListener(Listener, Protocol):
    """Who wants to hear, beside how runs go, what became of each image."""

    def ended(self, outcome: Outcome, number: int, total: int) -> None:
        """Hear of the image ``number``, from 1, of ``total``."""


@dataclass(frozen=True)
class BatchReport:
    """What became of all images of a batch.

    Attributes
    ----------
    outcomes : tuple of Outcome
        One an image.
    seconds : float
        Of the whole run.
    interrupted : bool
        Whether it was ended by Ctrl-C.
    total : int, optional
        Number of images of the batch; by default of the outcomes.
    running, left : tuple of (str, str)
        Inputs and outputs, without secrets, of images that were running and of those that had not begun at ``as_of``.
    notes : tuple of str
        What was noticed about the batch itself.
    about : mapping
        Version, process, start and recipe.
    as_of : str
        The moment that the report describes: ISO 8601, UTC.
    """

    outcomes: tuple[Outcome, ...]
    seconds: float
    interrupted: bool = False
    total: int | None = None
    running: tuple[tuple[str, str], ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)
    as_of: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def ok(self) -> bool:
        """Whether all results are there."""
        whole = not self.interrupted and len(self.outcomes) == (len(self.outcomes) if self.total is None else self.total)
        return whole and all(one.state in ("written", "finished before") for one in self.outcomes)

    @property
    def exit_code(self) -> int:
        """What a command returns: 0, 1 if an image has no result, 130 after Ctrl-C."""
        if self.interrupted:
            return 130
        return 0 if self.ok else 1

    def to_json(self) -> str:
        """Return it as JSON."""
        counts = Counter[str](one.state for one in self.outcomes)
        counts.update({name: len(some) for name, some in (("running", self.running), ("not begun", self.left)) if some})
        ended = not self.running and not self.left
        about: dict[str, Any] = {
            "ok": self.ok,
            "state": "interrupted" if self.interrupted else "finished" if ended else "running",
            "interrupted": self.interrupted,
            "total": len(self.outcomes) if self.total is None else self.total,
            "counts": dict(counts),
            **self.about,
            "as_of": self.as_of,
            "seconds": round(self.seconds, 3),
            "running": [{"input": source, "output": target} for source, target in self.running],
            "not_begun": [{"input": source, "output": target} for source, target in self.left],
            "notes": list(self.notes),
            "outcomes": [asdict(one) for one in self.outcomes],
        }
        return json.dumps(plain(about), indent=2)

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it: what has no result first, and its reason."""
        rows = sorted(self.outcomes, key=lambda one: one.state in ("written", "finished before"))
        cells = ((one.state, one.output, one.reason or f"{one.seconds:.1f} s") for one in rows)
        return html_table(str(self).splitlines()[0], cells)

    def __str__(self) -> str:
        counts = Counter(one.state for one in self.outcomes)
        total = ", ".join(f"{count} {state}" for state, count in counts.items())
        lines = [str(one) for one in self.outcomes if one.state in ("failed", "not run")]
        return "\n".join([f"{len(self.outcomes)} images in {self.seconds:.1f} s: {total}", *lines, *self.notes])

    __repr__ = __str__


class BatchInterruptedError(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop button, while a recipe ran: what was in flight is finished, what is left can be resumed.

    Like every `KeyboardInterrupt` it ends the program, and stops a notebook's "run all", unless it is caught.

    Attributes
    ----------
    report : BatchReport
        What became of the images until then.
    """

    def __init__(self, report: BatchReport) -> None:
        super().__init__(f"{report}\nThe same call with resume=True runs what has no result, and nothing else.")
        self.report = report
