"""The one place where dask graphs are written: keys, tasks, layers, and arrays made of them.

A task is ``(callable, *keys)``, dask's documented form. What a task needs besides other tasks' results is inside its
callable, a small frozen object; so no argument is ever mistaken for a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from xprep.types import Chunks

Key: TypeAlias = tuple[Any, ...] | str
Tasks: TypeAlias = dict[Key, tuple[Any, ...]]


class Skipped:
    """What a task returns when nobody needs its result any more; whoever gets it passes it on."""


SKIPPED = Skipped()


def is_skipped(values: Iterable[Any]) -> bool:
    """Whether any of ``values`` was skipped (by type: a pickled `SKIPPED` is another object)."""
    return any(isinstance(value, Skipped) for value in values)


class NamedLayer(MaterializedLayer):  # type: ignore[misc]
    """A layer that remembers where it came from, as long as nobody rewrites it."""

    def __init__(self, tasks: Mapping[Key, Any], origin: Any) -> None:
        super().__init__(tasks)
        self.origin = origin


def unique(prefix: str, *parts: Any) -> str:
    """Return a name for a layer: equal for equal ``parts``, so that equal graphs are computed once."""
    return f"xprep-{prefix}-{tokenize(*parts)}"


def array_of(
    name: str, tasks: Tasks, chunks: Chunks, dtype: Any, parents: Sequence[Any] = (), origin: Any = None
) -> da.Array:
    """Return the dask array whose blocks are made by ``tasks``, keyed ``(name, *block index)``."""
    layer = NamedLayer(tasks, origin)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list(parents))
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


def value_of(name: str, tasks: Tasks, key: Key, parents: Sequence[Any] = ()) -> Delayed:
    """Return the lazy value which the task ``key`` makes."""
    graph = HighLevelGraph.from_collections(name, NamedLayer(tasks, None), dependencies=list(parents))
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


def call(function: Callable[..., Any], *values: Any, label: str = "call") -> Delayed:
    """Return ``function(*values)`` as a lazy value; ``values`` are lazy ones."""
    name = unique(label, function, [key_of(value) for value in values])
    return value_of(name, {name: (function, *map(key_of, values))}, name, values)


def as_array(value: Delayed, shape: tuple[int, ...], dtype: Any) -> da.Array:
    """Return a lazy value as a dask array of one block."""
    name = unique("value", value.key)
    key = (name, *(0,) * len(shape))
    return array_of(name, {key: (_itself, value.key)}, tuple((n,) for n in shape), dtype, [value])


def _itself(value: Any) -> Any:
    return value
