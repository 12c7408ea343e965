"""What a lazy image would cost, added up from its graph; nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np

from xprep.engine.graph.tasks import Cloned, Cost
from xprep.engine.machine.memory import worker_threads
from xprep.engine.sources.foreign_graphs import foreign_readings
from xprep.engine.sources.readable import READING

# Imports, compiled kernels and the interpreter; measured 290–320 MiB resident before the first block.
BASELINE_BYTES = 320 * 2**20
# Blocks that a thread holds at once: its input, its result, and one of them once more in a codec or a temporary.
BLOCKS_PER_THREAD = 2
# A task in the graph and in the scheduler's lists: 4.9 KiB measured, of 3,567 tasks of a blurred `normalize`.
TASK_BYTES = 5 * 2**10


@dataclass(frozen=True)
class Pass:
    """One reading of a source."""

    label: str
    nbytes: int
    maybe: bool


@dataclass(frozen=True)
class Estimate:
    """What a graph would do."""

    passes: tuple[Pass, ...]
    persisted: int
    tasks: int
    chunks: int
    block: int
    front: int
    threads: int
    scratch: int = 0

    def beside(self, others: Sequence[Cost], tasks: int) -> Estimate:
        """Return the estimate with what ``others`` take besides, in so many ``tasks``."""
        front, block = sum(cost.front for cost in others), max((cost.block for cost in others), default=0)
        return replace(self, front=self.front + front, block=max(self.block, block), tasks=self.tasks + tasks)

    @property
    def peak_memory(self) -> int:
        """Bytes that a process takes at most."""
        return BASELINE_BYTES + self.tasks * TASK_BYTES + self.persisted + self.front + self.threads * self.per_thread

    @property
    def per_thread(self) -> int:
        """Bytes that a thread takes."""
        return BLOCKS_PER_THREAD * self.block


def estimate(arrays: Sequence[Any], threads: int | None = None) -> Estimate:
    """Return the cost of computing ``arrays`` block by block, without keeping the results.

    Layers that nobody here made (a rechunk, somebody's own graph) count their tasks, and one block of the result each;
    of what they read, all is counted.
    """
    lazy = [array for array in arrays if isinstance(array, da.Array)]
    layers = {name: layer for array in lazy for name, layer in array.dask.layers.items()}
    dependents: dict[str, set[str]] = {}
    for array in lazy:
        for name, parents in array.dask.dependencies.items():
            for parent in parents:
                dependents.setdefault(parent, set()).add(name)
    costs = {name: cost for array in lazy for name, cost in _costs(array)}
    persisted = sum(cost.held for name, cost in costs.items() if len(dependents.get(name, ())) > 1)
    reads = [Pass(cost.label, cost.reads, cost.maybe) for cost in costs.values() if cost.reads]
    block = max([cost.block for cost in costs.values()] + [_block(array) for array in lazy], default=0)
    front = max((cost.front for cost in costs.values()), default=0)
    return Estimate(
        passes=tuple(sorted(reads, key=lambda one: one.label == READING)),
        persisted=persisted,
        tasks=sum(len(layer) for layer in layers.values()),
        chunks=sum(array.npartitions for array in lazy),
        block=block,
        front=front,
        threads=threads or worker_threads(),
        scratch=sum(cost.scratch for cost in costs.values()),
    )


def _costs(array: da.Array) -> Iterator[tuple[str, Cost]]:
    """Yield the layers below ``array`` and what they cost; of tasks that are there once more, what it costs once more."""
    for name, layer in array.dask.layers.items():
        if isinstance(cost := getattr(layer, "cost", None), Cost):
            yield name, cost
        if isinstance(again := getattr(layer, "origin", None), Cloned):
            yield from ((f"{name} {below}", replace(cost, held=0)) for below, cost in _costs(again.array))
    yield from foreign_readings(array)


def scratch_below(arrays: Sequence[Any]) -> int:
    """Return how many bytes the graphs of ``arrays``, computed together, write to scratch."""
    layers = {name: layer for array in arrays if isinstance(array, da.Array) for name, layer in array.dask.layers.items()}
    return sum(cost.scratch for layer in layers.values() if isinstance(cost := getattr(layer, "cost", None), Cost))


def _block(array: da.Array) -> int:
    return int(np.prod([max(lengths) for lengths in array.chunks], dtype=float) * array.dtype.itemsize)
