"""What is used of dask that is not documented: its kinds of tasks, what layers of other programs hold, its pools of threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import dask
import dask.threaded
from dask.highlevelgraph import MaterializedLayer

from xprep.private_api import part_of, uses
from xprep.types import Chunks

_TASKS: Final = "dask._task_spec"
_Task, _TaskRef, _Alias, _DataNode = (part_of(_TASKS, name) for name in ("Task", "TaskRef", "Alias", "DataNode"))
_convert_legacy_graph: Any = part_of(_TASKS, "convert_legacy_graph", None)
_Blockwise = part_of("dask.blockwise", "Blockwise")
_getters: tuple[Any, ...] = tuple(part_of("dask.array.core", name) for name in ("getter", "getter_nofancy"))

INDEXED: Final = ("getitem-", "slice-")  # how dask names what indexing makes; slices before a list are in the list's layer
_INDEXING: Final = ("getitem", "_getitem")  # of dask.array.slicing and of dask.array._shuffle


@dataclass(frozen=True)
class Sliced:
    """A layer that slices blocks out of ``source``; ``locked`` if only one thread may."""

    source: Any
    chunks: Chunks
    locked: bool


@uses(
    "dask.blockwise.Blockwise.indices, io_deps, task; dask._task_spec.TaskRef, DataNode; dask.array.core.getter, getter_nofancy",
    since="dask 2025.1",
    loss="slower",
    without="arrays of da.from_zarr and xarray.open_zarr are read by dask's own tasks, a chunk each, and not watched for changes",
)
def sliced(layers: Mapping[str, Any], name: str) -> Sliced | None:
    """Return what `dask.array.from_array` cut up in the layer ``name``, None where the layer is something else."""
    layer = layers.get(name)
    indices = getattr(layer, "indices", None)
    if not isinstance(layer, _Blockwise) or indices is None or len(indices) != 2:
        return None
    (value, _), (slices, _) = indices
    task = getattr(layer, "task", None)
    chunks = getattr(getattr(layer, "io_deps", {}).get(slices), "chunks", None)
    if chunks is None or getattr(task, "func", None) not in _getters:
        return None
    if isinstance(value, _TaskRef):  # otherwise inline_array=True
        value = layers.get(value.key, {}).get(value.key)
        value = getattr(value, "value", value)
    return Sliced(value, chunks, bool(getattr(task, "kwargs", {"lock": True}).get("lock")))


@uses(
    "dask.blockwise.Blockwise.indices, dask._task_spec.DataNode.value",
    since="dask 2025.1",
    loss="unchecked",
    without="of an array that the layer holds itself (inline_array=True), it is not seen that the output would replace it",
)
def held(layer: Any) -> list[Any]:
    """Return what a layer may read from: the objects beside its slices, or the one that it is."""
    found = [pair[0] for pair in getattr(layer, "indices", ())]
    if isinstance(layer, MaterializedLayer) and len(layer) == 1:
        (value,) = layer.values()
        found += [getattr(value, "value", value)]
    return found


@uses(
    "dask._task_spec.Alias.target, Task.func, args, TaskRef.key, DataNode.value; the names of layers and functions that index",
    since="dask 2025.1",
    loss="slower",
    without="parts that indexing took are made by dask's tasks, and what is to be read waits in memory",
)
def indexing(layer: Any, key: Any) -> tuple[Any, Any] | None:
    """Return the key of the block that the task ``key`` of ``layer`` takes a part of, and the index; None of any other task."""
    task = layer.get(key)
    if isinstance(task, _Alias):
        target = getattr(task, "target", None)
        return getattr(target, "key", target), ()
    args: Any = getattr(task, "args", ())
    if not isinstance(task, _Task) or getattr(task.func, "__name__", "") not in _INDEXING or len(args) != 2:
        return None
    return (args[0].key, _index_of(layer, args[1])) if isinstance(args[0], _TaskRef) else None


def _index_of(layer: Any, index: Any) -> Any:
    """Return the index that a task takes: its own, or (lists of positions) the second half of one that tasks share."""
    if not isinstance(index, _TaskRef):
        return index
    node = layer.get(index.key)
    pair = node.value if isinstance(node, _DataNode) else ()
    return tuple(pair[1]) if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], tuple | list) else None


@uses(
    "dask._task_spec.convert_legacy_graph, GraphNode.substitute",
    since="dask 2024.12",
    loss="refused",
    without="another library's graph cannot be run once more for each pass; it is kept or spilled instead, if that is asked for",
)
def renamed(graph: Mapping[Any, Any], names: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the tasks of ``graph`` under the new ``names`` of all its keys.

    `dask.graph_manipulation.clone` forgets the references inside the new kind of task (2026.8): of ten ordinary graphs (slices,
    rechunk, take, overlap…), five then fail for a missing key.

    Raises
    ------
    RuntimeError
        This dask has no such parts.
    """
    if _convert_legacy_graph is None:
        raise RuntimeError(
            f"dask {dask.__version__} lacks {_TASKS}.convert_legacy_graph, to run another library's graph once more. "
            "Give intermediates='persist' or 'spill', or use an older dask."
        )
    tasks = _convert_legacy_graph(dict(graph))
    return {names[key]: task.substitute(names, key=names[key]) for key, task in tasks.items()}


@uses(
    "dask.threaded.default_pool, pools, pools_lock",
    since="dask 2.0",
    loss="untidy",
    without="in a forked child dask's own compute() may wait for threads that only the parent has; xprep has pools of its own",
)
def forget_pools() -> None:
    """Let dask make new pools: it would wait for the threads of the old ones for ever, as soon as both processes compute."""
    dask.threaded.default_pool = None
    getattr(dask.threaded, "pools", {}).clear()
    dask.threaded.pools_lock = Lock()  # another thread may have held it


@uses(
    "concurrent.futures.Executor._max_workers, as dask asks for it",
    since="Python 3.8",
    loss="slower",
    without="a pool that was given to dask counts as many threads as the machine has",
)
def threads_of(pool: Any, otherwise: int) -> int:
    """Return how many threads a pool has, ``otherwise`` where it does not say."""
    return int(getattr(pool, "_max_workers", None) or otherwise)
