"""The one place where dask graphs are written: keys, tasks, layers, and arrays made of them.

A task is ``(callable, *keys)``, dask's documented form. What a task needs besides other tasks' results is inside its
callable, a small frozen object; so no argument is ever mistaken for a key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from dask.base import clone_key
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from xprep.engine.graph.tokens import token
from xprep.engine.machine.private_dask import renamed
from xprep.naming import named
from xprep.types import Chunks

Key: TypeAlias = tuple[Any, ...] | str
Tasks: TypeAlias = dict[Key, tuple[Any, ...]]


class Skipped:
    """What a task returns when its result is no longer needed; tasks that receive it return it too."""


SKIPPED = Skipped()


def is_skipped(values: Iterable[Any]) -> bool:
    """Whether any of ``values`` was skipped (by type: a pickled `SKIPPED` is another object)."""
    return any(isinstance(value, Skipped) for value in values)


class BlockTasks(Mapping[Key, Any]):
    """The tasks of an array's blocks, each made when it is asked for: a graph of millions costs nothing to build.

    Parameters
    ----------
    name
        Of the array; keys are ``(name, *block index)``.
    numblocks
        Number of blocks along each axis.
    make
        ``make(index)``: the task of one block. An object that pickles, so that lazy images do.
    """

    def __init__(self, name: str, numblocks: Sequence[int], make: Callable[[tuple[int, ...]], tuple[Any, ...]]) -> None:
        self.name, self.numblocks, self.make = name, tuple(numblocks), make

    def __getitem__(self, key: Key) -> tuple[Any, ...]:
        if key not in self:
            raise KeyError(key)
        return self.make(tuple(map(int, key[1:])))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, tuple) or len(key) != len(self.numblocks) + 1 or key[0] != self.name:
            return False
        # dask's pointwise indexing asks for blocks with numpy's integers.
        return all(isinstance(i, int | np.integer) and 0 <= i < n for i, n in zip(key[1:], self.numblocks, strict=True))

    def __iter__(self) -> Iterator[Key]:
        return ((self.name, *index) for index in product(*map(range, self.numblocks)))

    def __len__(self) -> int:
        return prod(self.numblocks)


@dataclass(frozen=True)
class Cost:
    """What the blocks of a layer take, in bytes: what plans are added up from.

    Attributes
    ----------
    label
        What the layer does.
    reads
        Bytes that all blocks together read from a source; 0 for a layer that reads none.
    maybe
        Whether they are read only if a guess was wrong.
    block
        Size of the largest block, with what it is made from.
    front
        Size of the inputs that wait for their neighbours while blocks are made row by row.
    held
        Size of all blocks together: what stays in memory where two passes use them.
    view
        What is read, in a layer that reads.
    scratch
        Bytes that all blocks together write to scratch.
    """

    label: str = ""
    reads: int = 0
    maybe: bool = False
    block: int = 0
    front: int = 0
    held: int = 0
    view: Any = None
    scratch: int = 0


class NamedLayer(MaterializedLayer):  # type: ignore[misc]
    """A layer that remembers where it came from and what it costs, as long as nobody rewrites it.

    ``identity`` names a value for good: equal wherever and however the same value is computed. A ``partial`` one is a step on
    the way to such a value.
    """

    def __init__(
        self,
        tasks: Mapping[Key, Any],
        origin: Any = None,
        cost: Cost = Cost(),
        identity: str | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(tasks)
        self.origin, self.cost, self.identity, self.partial = origin, cost, identity, partial
        self.step: Any = None  # see `xprep.engine.graph.steps`

    @property
    def has_legacy_tasks(self) -> bool:
        """False, so that nobody lists all keys of a graph, of which there may be millions, to find a task's among them."""
        return False

    def cull(self, keys: set[Key], all_hlg_keys: Collection[Key]) -> tuple[MaterializedLayer, Mapping[Key, set[Key]]]:
        """Return the layer with only the tasks that ``keys`` need, which are made now, and what each needs."""
        found: dict[Key, Any] = {}
        needed: dict[Key, set[Key]] = {}
        left = [key for key in keys if key in self.mapping]
        while left:
            key = left.pop()
            if key not in found:
                found[key] = task = self.mapping[key]
                needed[key] = set(task[1:] if isinstance(task, tuple) else task.dependencies)
                left += [one for one in needed[key] if one in self.mapping]
        return MaterializedLayer(found, annotations=self.annotations), needed


def unique(prefix: str, *parts: Any) -> str:
    """Return a name for a layer: equal for equal ``parts``, so that equal graphs are computed once."""
    return f"xprep-{prefix}-{token(*parts)}"


def check_engine() -> None:
    """Refuse dask's array expressions, which have no blocks to build on.

    Raises
    ------
    RuntimeError
        ``array.query-planning`` is on.
    """
    if not hasattr(da.Array, "dask") or "array_expr" in da.Array.__module__:
        raise RuntimeError(
            "dask's array expressions are on, and xprep builds on the classic arrays. Turn them off before dask is "
            "imported: dask.config.set({'array.query-planning': False}), or DASK_ARRAY__QUERY_PLANNING=False."
        )


def array_of(
    name: str,
    tasks: Mapping[Key, Any],
    chunks: Chunks,
    dtype: Any,
    parents: Sequence[Any] = (),
    origin: Any = None,
    cost: Cost = Cost(),
) -> da.Array:
    """Return the dask array whose blocks are made by ``tasks``, keyed ``(name, *block index)``."""
    check_engine()
    layer = NamedLayer(tasks, origin, cost)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list(parents))
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


def value_of(
    name: str,
    tasks: Tasks,
    key: Key,
    parents: Sequence[Any] = (),
    cost: Cost = Cost(),
    identity: str | None = None,
    partial: bool = False,
    note: Noted | None = None,
) -> Delayed:
    """Return the lazy value which the task ``key`` makes."""
    layer = NamedLayer(tasks, note, cost, identity, partial)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list(parents))
    return Delayed(key, graph, layer=name)


def origin_of(array: da.Array) -> Any:
    """Return what the last layer of ``array`` remembers of its origin, or None."""
    return getattr(array.dask.layers.get(array.name), "origin", None)


def key_of(value: da.Array | Delayed) -> Key:
    """Return the key of a lazy value: a Delayed, or an array of one block."""
    if isinstance(value, Delayed):
        return value.key  # type: ignore[no-any-return]
    if value.npartitions != 1:
        raise ValueError(f"a state must be an array of one block; got {value.numblocks} blocks.")
    return (value.name, *(0,) * value.ndim)


def call(
    function: Callable[..., Any],
    *values: Any,
    label: str = "call",
    identity: str | None = None,
    partial: bool = False,
    note: Noted | None = None,
) -> Delayed:
    """Return ``function(*values)`` as a lazy value; ``values`` are lazy ones.

    A value with an ``identity`` is one that a resumed run must not compute anew: a statistic of the whole image. Of a
    ``partial`` one (of one image of many) only those runs go on that keep such. A ``note`` is for `noted_below`.
    """
    name = unique(label, function, [key_of(value) for value in values])
    tasks: Tasks = {name: (function, *map(key_of, values))}
    return value_of(name, tasks, name, values, identity=identity, partial=partial, note=note)


def noted_below(array: Any) -> list[tuple[Noted, Delayed]]:
    """Return the lazy values with a note that ``array`` is made with, by whatever steps."""
    layers = array.dask.layers if isinstance(array, da.Array) else {}
    notes = {name: layer.origin for name, layer in layers.items() if isinstance(getattr(layer, "origin", None), Noted)}
    return [(note, Delayed(name, array.dask, layer=name)) for name, note in notes.items()]


def as_value(array: da.Array) -> Delayed:
    """Return an array of one block as a lazy value."""
    return Delayed(key_of(array), array.dask, layer=array.name)


@dataclass(frozen=True, eq=False)
class Noted:
    """What a lazy value remembers that a store of whatever is made with it keeps: its name, and what else is to be said."""

    name: str
    about: Any


@dataclass(frozen=True)
class Valued:
    """What an array made of a lazy value remembers: what its numbers are for good, in any process."""

    identity: str


def as_array(value: Delayed, shape: tuple[int, ...], dtype: Any, identity: str | None = None) -> da.Array:
    """Return a lazy value as a dask array of one block; ``identity`` names its numbers for good, in any process."""
    name = unique("value", value.key)
    key = (name, *(0,) * len(shape))
    return array_of(name, {key: (itself, value.key)}, tuple((n,) for n in shape), dtype, [value], identity and Valued(identity))


@dataclass(frozen=True, eq=False)
class Cloned:
    """What a cloned array remembers: the array whose tasks it has once more."""

    array: da.Array


def clone(array: da.Array, seed: int) -> da.Array:
    """Return an array of the same tasks under other names, so that it shares no block with ``array``."""
    graph = dict(array.dask)
    tasks = renamed(graph, {key: clone_key(key, seed) for key in graph})
    name = clone_key(array.name, seed)
    layers = HighLevelGraph.from_collections(name, NamedLayer(tasks, Cloned(array)))
    return da.Array(layers, name, array.chunks, meta=meta_from_array(array))


@named("itself")
def itself(value: Any) -> Any:
    """Return ``value``."""
    return value
