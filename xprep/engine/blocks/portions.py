"""The tasks of work: all of them, or, of many tiles, portion by portion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, product
from math import prod
from typing import Any

from xprep.engine.blocks.gather import GatherBlock, GatherHow, block_tasks
from xprep.engine.blocks.needs import has_portions, portion_size, same
from xprep.engine.blocks.pacing import PacedTasks
from xprep.engine.blocks.work import Index, ReadingWork, Work, cost_of, inputs_of, reading_work, through_steps
from xprep.engine.graph.tasks import Cost, Key, Tasks
from xprep.engine.machine.memory import worker_threads


def work_tasks(work: Work) -> tuple[dict[Index, Key], Tasks, list[Any], Cost]:
    """Return the key of every block, the tasks, what they depend on, and the cost.

    Tasks are paced where the input is a source with one user. Such tasks must be computed all together, since one waits for
    another; a lazy array, of which somebody may want a part, is never made so.
    """
    work = through_steps(work)
    read = reading_work(work) if work.needs is not same else None
    if read is not None and read.waiting:
        paced = PacedTasks.of(read)
        for part in paced.parts():
            paced.add(part)
        return paced.keys, paced.found, inputs_of(work), cost_of(work, read)
    _, made, parents, cost = block_tasks(
        work.function, work.array, work.states, work.chunks, work.needs, work.unless, work.label, work.wrap
    )
    tasks = dict(made)
    size = prod(map(max, work.chunks)) * work.itemsize
    return {key[1:]: key for key in tasks}, tasks, parents, replace(cost, block=cost.block + size)  # type: ignore[misc]


def large_work(work: Work) -> tuple[ReadingWork, list[Any], Cost] | None:
    """Return work that is to be done in portions, what it depends on, and its cost; None where a graph has room for all.

    Somebody else's graph below it has no portions: it would have to be cut, and what two portions need made twice.
    """
    if not has_portions(prod(map(len, work.chunks))):
        return None
    work = through_steps(work)
    read = reading_work(work)
    return None if read is None else (read, inputs_of(work), cost_of(work, read))


@dataclass(frozen=True, eq=False)
class Portion:
    """Some tiles, in the order of their making: the key of each, and all tasks that make them."""

    keys: Mapping[Index, Key]
    tasks: Tasks


def portions(work: ReadingWork, order: Iterable[Index] | None = None) -> Iterator[Portion]:
    """Yield all tiles of ``work``, whose states are known, in portions; ``order`` is theirs where none waits for another."""
    size = portion_size(worker_threads())
    return _paced(work, size) if work.waiting else _unpaced(work, size, order)


def _paced(work: ReadingWork, size: int) -> Iterator[Portion]:
    paced = PacedTasks.of(work)
    for part in paced.parts():
        paced.add(part)
        if len(paced.keys) >= size:
            yield Portion(paced.keys, paced.found)
            paced = PacedTasks.of(work)
    if paced.keys:
        yield Portion(paced.keys, paced.found)


def _unpaced(work: ReadingWork, size: int, order: Iterable[Index] | None) -> Iterator[Portion]:
    how = GatherHow(work.function, work.view.shape, 0, False, len(work.states), work.view)
    indices = iter(product(*map(range, map(len, work.axes))) if order is None else order)
    while some := list(islice(indices, size)):
        keys: dict[Index, Key] = {index: (work.name, *index) for index in some}
        along = (tuple(axis[i] for axis, i in zip(work.axes, index, strict=True)) for index in some)
        yield Portion(keys, {key: (GatherBlock(how, one), *work.states) for key, one in zip(keys.values(), along, strict=True)})
