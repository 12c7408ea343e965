"""Sources that watch: how often each chunk is read, and a scheduler that computes nothing."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from xprep.engine.sources.readable import read_array


class ComputedError(AssertionError):
    """Something was computed that should have stayed lazy."""


def refuse(*_args: Any, **_kwargs: Any) -> Any:
    """A dask scheduler that computes nothing."""
    raise ComputedError("a graph was computed while it was being built")


class CountingSource:
    """An array that counts how often each of its chunks is read; `cost` is what the engine asks sources for."""

    def __init__(self, array: np.ndarray, chunks: Sequence[int], cost: str = "local") -> None:
        self.array, self.chunks, self.cost = array, tuple(chunks), cost
        self.shape, self.dtype = array.shape, array.dtype
        self.reads: Counter[tuple[int, ...]] = Counter()
        self._lock = threading.Lock()

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        touched = product(*(range(p.start // c, -(-p.stop // c)) for p, c in zip(region, self.chunks, strict=True)))
        with self._lock:
            self.reads.update(touched)
        return self.array[region].copy()

    @property
    def nchunks(self) -> int:
        return int(np.prod([-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True)]))

    @property
    def total(self) -> int:
        return sum(self.reads.values())

    @property
    def reads_per_chunk(self) -> float:
        return self.total / self.nchunks

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def counted(image: xr.DataArray, chunks: Mapping[Any, int], cost: str = "local") -> tuple[xr.DataArray, CountingSource]:
    """Return ``image`` as read from a source, and the source, which counts."""
    source = CountingSource(image.values, [min(chunks.get(dim, n), n) for dim, n in image.sizes.items()], cost)
    return image.copy(data=read_array(source, token=f"counted-{uuid.uuid4().hex}")), source


LABELLED = 56_000  # of the noise, which reaches 60,037: what is above is a label


class SyntheticSource:
    """Pixels (uint16) that are made when they are read, and are nowhere before; and how often each chunk is read.

    Of ``kind`` "noise", "constant", "two values", or "labels" of a few pixels each.
    """

    cost = "local"
    dtype = np.dtype("uint16")

    def __init__(self, shape: tuple[int, ...], chunks: tuple[int, ...], kind: str = "noise") -> None:
        self.shape, self.chunks, self.kind = shape, chunks, kind
        self.reads = np.zeros([-(-n // c) for n, c in zip(shape, chunks, strict=True)], "uint16")
        self._lock = threading.Lock()

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        touched = tuple(slice(p.start // c, -(-p.stop // c)) for p, c in zip(region, self.chunks, strict=True))
        with self._lock:
            self.reads[touched] += 1
        block = np.full([part.stop - part.start for part in region], 7, self.dtype)
        for axis, part in enumerate(region if self.kind != "constant" else ()):
            along = np.arange(part.start, part.stop) * (7919, 10473, 12997)[axis] % (2 if self.kind == "two values" else 20011)
            block += along.astype(self.dtype).reshape([-1 if i == axis else 1 for i in range(block.ndim)])
        return np.maximum(block, LABELLED) - LABELLED if self.kind == "labels" else block

    @property
    def reads_per_chunk(self) -> float:
        return float(self.reads.mean())
