"""Arrays in, arrays out: numpy in → numpy out, dask in → lazy out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import Any
from uuid import uuid4

import dask
import dask.array as da
import numpy as np

from xprep.engine.graph.grid import tile_shape
from xprep.engine.graph.tasks import check_engine, origin_of
from xprep.engine.sources.foreign_graphs import adopt
from xprep.engine.sources.readable import View, read_array
from xprep.engine.sources.slices import follow
from xprep.types import Array, Region

EAGER_TILE_BYTES = 8 * 2**20  # small enough that two threads share even a small image


@dataclass(frozen=True, eq=False)
class Memory:
    """An array in memory, as a source: reading it again costs nothing."""

    array: Array
    chunks: tuple[int, ...]
    cost: str = "memory"

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements, in this machine's order of bytes: compiled loops know no other."""
        return self.array.dtype.newbyteorder("=")

    def read(self, region: Region) -> Array:
        """Return a view of ``region``, read-only: no task may change its input."""
        view = self.array[region]
        if not view.dtype.isnative:
            return view.astype(self.dtype)
        view.flags.writeable = False
        return view


def is_lazy(data: Any) -> bool:
    """Whether ``data`` is a dask array."""
    return isinstance(data, da.Array)


def as_lazy(data: Any) -> da.Array:
    """Return ``data`` as a dask array: itself (as a source where it is one), or a source in memory."""
    if isinstance(data, da.Array):
        check_engine()
        check_known(data, "xprep")
        lazy = data if origin_of(data) is not None else follow(adopt(data))
        return lazy if lazy.dtype.isnative else lazy.astype(lazy.dtype.newbyteorder("="))
    array = np.asarray(data)
    tile = tile_shape(array.shape, (1,) * array.ndim, (), array.dtype.itemsize, EAGER_TILE_BYTES)
    return read_array(View.of(Memory(array, tile), f"memory-{uuid4().hex}"))


def check_known(data: Any, operation: str, what: str = "image.data") -> None:
    """Refuse an array of unknown length, as dask makes it of a boolean index: ``frames[frames.mean((1, 2)) > 9]``.

    ``what`` is how its owner calls it.

    Raises
    ------
    ValueError
        It names the axis, and how to find the length out.
    """
    unknown = [axis for axis, length in enumerate(getattr(data, "shape", ())) if length != length]  # NaN
    if unknown:
        raise ValueError(
            f"{operation} needs to know how long the array is, and dask does not along its axis {unknown[0]}: that depends on "
            f"values (a boolean index). Find it out first: {what}.compute_chunk_sizes()."
        )


def like(data: Any, result: da.Array) -> Any:
    """Return ``result`` as lazy as ``data`` is; computed on this machine's threads where that is in memory."""
    return result if isinstance(data, da.Array) else in_memory(result)


def in_memory(result: da.Array) -> Array:
    """Compute ``result`` on threads, each block into its place.

    `dask.compute` would hold all blocks and then copy them into one array: twice the memory, and 0.87 s against 0.45
    where a 128 MiB stack is made 1.3 times as large.
    """
    out = np.empty(result.shape, result.dtype)
    with _own_threads():
        da.store(result, out, lock=False, scheduler="threads")
    return out


def _own_threads() -> Any:
    """Return a context in which dask's threads are threads: a pool of processes that somebody set would fill copies."""
    pool = dask.config.get("pool", None)
    return nullcontext() if pool is None or isinstance(pool, ThreadPoolExecutor | ThreadPool) else dask.config.set(pool=None)


def compute_here(*results: Any) -> tuple[Any, ...]:
    """Compute on threads of this process: what is in memory is not sent to a cluster and back."""
    with _own_threads():
        found: tuple[Any, ...] = dask.compute(*results, scheduler="threads")
    return found
