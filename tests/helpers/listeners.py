"""Listeners of a run's progress: one that adds up what it is told, and one that ends the run."""

from __future__ import annotations


class Heard:
    """Adds up the steps and the bytes that it is told; ``total`` are the steps of the last of the ``stages`` that began."""

    def __init__(self) -> None:
        self.total = self.steps = self.nbytes = 0
        self.stages: list[str] = []

    def started(self, stage: str, total: int) -> None:
        self.stages.append(stage)
        self.total = total

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.steps, self.nbytes = self.steps + steps, self.nbytes + nbytes

    def finished(self, stage: str) -> None: ...


class Interrupt:
    """Ends a run after some steps, by an error or as Ctrl-C does."""

    def __init__(self, steps: int, error: type[BaseException]) -> None:
        self.left, self.error = steps, error

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise self.error("interrupted")

    def finished(self, stage: str) -> None: ...
