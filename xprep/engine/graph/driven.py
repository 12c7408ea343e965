"""Work of many tiles as one task of a graph: portions of it are made into small graphs and computed, one after the other.

dask's graph of a whole image grows with it: of 40 × 350 000² pixels, 117,649 tiles, nothing was written after four minutes. A
portion has some hundred tiles whatever the image's size, and what the next one needs of it is handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dask.delayed import Delayed

from xprep.engine.computing.nested import computing_in_task
from xprep.engine.graph.tasks import Cost, Key, Tasks, key_of, value_of

# Computes some keys of a small graph, which makes so many tiles: ``compute(tasks, keys, tiles)``.
ComputePortion: TypeAlias = Callable[[Tasks, Sequence[Key], int], tuple[Any, ...]]


class PortionedWork(Protocol):
    """Work that is done in portions; it pickles."""

    @property
    def label(self) -> str:
        """What a bar calls it."""

    @property
    def ntiles(self) -> int:
        """How many tiles it has."""

    def drive(self, inputs: Sequence[Any], compute: ComputePortion) -> Any:
        """Do all of it with the computed ``inputs``, and return the result."""


@dataclass(frozen=True, eq=False)
class Driven:
    """The one task of such work. Called, as dask does, it computes where the task runs."""

    work: PortionedWork

    def __call__(self, *inputs: Any) -> Any:
        """Do it all."""
        with computing_in_task() as compute:
            return self.work.drive(inputs, lambda tasks, keys, _tiles: compute(values_in(tasks, keys)))


@dataclass(frozen=True, eq=False)
class KnownValue:
    """A task that gives what is known."""

    value: Any

    def __call__(self) -> Any:
        """Return it."""
        return self.value


def given(keys: Sequence[Key], values: Sequence[Any]) -> Tasks:
    """Return tasks that give ``values`` under ``keys``."""
    return {key: (KnownValue(value),) for key, value in zip(keys, values, strict=True)}


def values_in(tasks: Tasks, keys: Sequence[Key]) -> list[Delayed]:
    """Return ``keys`` of a graph as lazy values."""
    return [Delayed(key, tasks) for key in keys]


def driven_value(name: str, work: PortionedWork, inputs: Sequence[Any], cost: Cost) -> Delayed:
    """Return what ``work`` gives, lazily; ``inputs`` are lazy values."""
    return value_of(name, {name: (Driven(work), *map(key_of, inputs))}, name, inputs, cost)


def driven_task(layer: Any) -> tuple[PortionedWork, tuple[Key, ...]] | None:
    """Return the work of a layer that is one such task, and the keys of its inputs."""
    task = next(iter(layer.values())) if len(layer) == 1 else ()
    return (task[0].work, task[1:]) if isinstance(task, tuple) and task and isinstance(task[0], Driven) else None
