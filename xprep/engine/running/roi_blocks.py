"""Graphs of work that follows ROIs and not the grid of chunks: chosen blocks in, whatever is made of them out.

An array here has leading axes, which are kept, and trailing ones in space, of which blocks are chosen. No block that
nobody chose is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import dask.array as da
import numpy as np

from xprep.engine.graph.grid import starts
from xprep.engine.graph.joining import FAN_IN, join_until
from xprep.engine.graph.tasks import Key, Tasks, array_of, unique, value_of
from xprep.engine.running.optimizing import optimized
from xprep.engine.running.run import run
from xprep.engine.running.workers import check_machinery
from xprep.engine.sources.lazy import compute_here
from xprep.types import Array, Chunks

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Visit:
    """``function(blocks, leading shape)`` gives ``length`` rows, made of the ``blocks`` in space that it names.

    With ``cut`` it gets what `visit_blocks` cut from these blocks, and not the blocks.
    """

    function: Callable[[Sequence[Any], tuple[int, ...]], Array]
    blocks: tuple[Index, ...]
    length: int
    cut: bool = False


@dataclass(frozen=True)
class BatchSums:
    """A sum over blocks: ``join`` two or more parts, ``finish`` the parts that are left; gives ``length`` numbers."""

    join: Callable[[Sequence[Any]], Any]
    finish: Callable[[Sequence[Any], tuple[int, ...]], Array]
    length: int


def build_blocks(functions: Mapping[Index, Callable[[], Array]], chunks: Chunks, dtype: Any, token: Any) -> da.Array:
    """Return the array whose block ``index`` is ``functions[index]()``; ``token`` names its contents."""
    name = unique("build", token, chunks)
    tasks: Tasks = {(name, *index): (function,) for index, function in functions.items()}
    return array_of(name, tasks, chunks, dtype)


class AssembledArray(da.Array):  # type: ignore[misc]  # dask has no types
    """An array that ``assemble(blocks)`` puts together where it is computed whole; in all else an array of these blocks.

    dask holds every block beside the array that it copies them to: of masks, most of which are zeros, twice the memory and time.
    """

    assemble: Callable[[Any], Array]

    def __dask_postcompute__(self) -> tuple[Callable[[Any], Array], tuple[()]]:
        return self.assemble, ()


def assembled(array: da.Array, assemble: Callable[[Any], Array]) -> AssembledArray:
    """Return ``array``, put together by ``assemble``: it is given the blocks in nested lists, as `dask.array` nests them."""
    found: AssembledArray = AssembledArray(array.dask, array.name, array.chunks, dtype=array.dtype)
    found.assemble = assemble
    return found


def sum_blocks(
    array: da.Array, leading: int, parts: Mapping[Index, Callable[[Array], Any]], sums: BatchSums, token: Any
) -> da.Array:
    """Return sums over space, ``(leading…, length)`` in float64: every block of ``parts`` is read once, in one task."""
    name = unique("sum", array.name, token)
    tasks: Tasks = {}
    for batch, shape in _batches(array, leading):
        level: list[Key] = []
        for index, part in sorted(parts.items()):
            key = (f"{name}-part", *batch, *index)
            tasks[key] = (part, (array.name, *batch, *index))
            level.append(key)
        joins, level = join_until(level, FAN_IN, (f"{name}-join", *batch))
        tasks |= {key: (_JoinBatch(sums), *some) for key, some in joins.items()}
        tasks[name, *batch, 0] = (_FinishSums(sums, shape), *level)
    return array_of(name, tasks, (*array.chunks[:leading], (sums.length,)), np.float64, [array])


def _batches(array: da.Array, leading: int) -> Iterator[tuple[Index, tuple[int, ...]]]:
    """Yield the index and the shape of every block along the leading axes."""
    for index in product(*(range(n) for n in array.numblocks[:leading])):
        yield index, tuple(lengths[i] for lengths, i in zip(array.chunks[:leading], index, strict=True))


@dataclass(frozen=True, eq=False)
class _JoinBatch:
    sums: BatchSums

    def __call__(self, *parts: Any) -> Any:
        return self.sums.join(parts)


@dataclass(frozen=True, eq=False)
class _FinishSums:
    sums: BatchSums
    shape: tuple[int, ...]

    def __call__(self, *parts: Any) -> Array:
        return self.sums.finish(parts, self.shape)


def visit_blocks(
    array: da.Array,
    leading: int,
    visits: Sequence[Visit],
    tail: tuple[int, ...],
    dtype: Any,
    token: Any,
    cuts: Mapping[Index, Callable[[Array], Any]] | None = None,
) -> da.Array:
    """Return rows made by ``visits``, ``(row, leading…, *tail)``; a visit is one block along the rows.

    What needs several blocks takes from each what ``cuts`` says, so that no block waits for its neighbours.
    """
    name = unique("visit", array.name, token, tail)
    end = (0,) * len(tail)
    tasks: Tasks = {}
    for batch, shape in _batches(array, leading):
        for index, cut in (cuts or {}).items():
            tasks[f"{name}-cut", *batch, *index] = (cut, (array.name, *batch, *index))
        for row, visit in enumerate(visits):
            keys = [(f"{name}-cut" if visit.cut else array.name, *batch, *index) for index in visit.blocks]
            tasks[name, row, *batch, *end] = (_Visit(visit, shape), *keys)
    rows = tuple(visit.length for visit in visits)
    return array_of(name, tasks, (rows, *array.chunks[:leading], *((n,) for n in tail)), dtype, [array])


@dataclass(frozen=True, eq=False)
class _Visit:
    visit: Visit
    shape: tuple[int, ...]

    def __call__(self, *blocks: Array) -> Array:
        return self.visit.function(blocks, self.shape)


def merge_rows(array: da.Array, order: Array) -> da.Array:
    """Return ``array`` in one block along its first axis: row i becomes row ``order[i]``.

    Rows are joined in a tree, so that dask makes neighbours one after another, and not all before the first join.
    """
    name = unique("merge", array.name, order)
    tasks: Tasks = {}
    for index in product(*(range(n) for n in array.numblocks[1:])):
        level: list[Key] = [(array.name, row, *index) for row in range(array.numblocks[0])]
        joins, level = join_until(level, FAN_IN, (f"{name}-join", *index))
        tasks |= {key: (_concatenate, *some) for key, some in joins.items()}
        tasks[name, 0, *index] = (_Merge(order), *level)
    return array_of(name, tasks, ((order.size,), *array.chunks[1:]), array.dtype, [array])


def _concatenate(*blocks: Array) -> Array:
    return np.concatenate(blocks)


@dataclass(frozen=True, eq=False)
class _Merge:
    order: Array

    def __call__(self, *blocks: Array) -> Array:
        rows = np.concatenate(blocks)
        merged = np.empty_like(rows)
        merged[self.order] = rows
        return merged


def map_windows(
    function: Callable[..., Any], arrays: Sequence[Any], core: int, keeps: bool, dtypes: Sequence[Any]
) -> tuple[da.Array, ...]:
    """Map ``function`` over windows, the last ``core`` axes of every array, wherever these are cut into chunks.

    A result keeps these axes, or drops them; there is one for each of ``dtypes``.
    """
    window = f"({','.join('ijk'[:core])})"
    signature = f"{','.join([window] * len(arrays))}->{','.join([window if keeps else '()'] * len(dtypes))}"
    results = da.apply_gufunc(
        function, signature, *arrays, output_dtypes=list(dtypes) if len(dtypes) > 1 else dtypes[0], allow_rechunk=True
    )
    return results if isinstance(results, tuple) else (results,)


def collect_blocks(array: da.Array, function: Callable[[Array, Index], Any], *, here: bool) -> list[Any]:
    """Return ``function(block, first voxel)`` for every block, in their order, computed now, each block read once.

    Raises
    ------
    RuntimeError, ValueError
        Nothing can be computed with what dask's settings name.
    """
    if not here:
        check_machinery([array])
    edges = [starts(lengths) for lengths in array.chunks]
    name = unique("collect", array.name, function)
    tasks: Tasks = {}
    for index in product(*(range(n) for n in array.numblocks)):
        origin = tuple(edge[i] for edge, i in zip(edges, index, strict=True))
        tasks[f"{name}-block", *index] = (_Collect(function, origin), (array.name, *index))
    keys = list(tasks)
    tasks[name] = (_listed, *keys)
    made = value_of(name, tasks, name, [array])
    found = compute_here(*optimized([made]))[0] if here else run([made], "reading labels")[0][0]
    return list(found)  # its own: a cluster in this process gives the same object to everybody who computes the same


@dataclass(frozen=True, eq=False)
class _Collect:
    function: Callable[[Array, Index], Any]
    origin: Index

    def __call__(self, block: Array) -> Any:
        return self.function(block, self.origin)


def _listed(*values: Any) -> list[Any]:
    return list(values)
