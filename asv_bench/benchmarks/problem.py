"""An image in a store, and the same image as a source that counts how often its chunks are read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from dask.array.optimization import optimize
from dask.core import flatten

import xprep
from xprep.engine.sources.readable import read_array

DIMS = ("c", "y", "x")


@dataclass(eq=False)
class Counting:
    """A source in memory that remembers which chunks were read."""

    array: np.ndarray[Any, Any]
    chunks: tuple[int, ...]
    read_chunks: list[tuple[int, ...]] = field(default_factory=list)
    cost: str = "local"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def read(self, region: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        spans = [range(r.start // c, -(-r.stop // c)) for r, c in zip(region, self.chunks, strict=True)]
        self.read_chunks.extend(product(*spans))
        return self.array[region].copy()


class Problem:
    """What every benchmark starts from; ``operation`` is what it measures.

    The sizes are of one machine's minutes: 4 x 1024 x 1024 uint16 in chunks of 256. A test takes a smaller subclass.
    """

    shape: tuple[int, int, int] = (4, 1024, 1024)
    chunk = 256
    timeout = 120
    dtype = "uint16"

    def operation(self, image: xr.DataArray, *params: Any) -> xr.DataArray:
        """Return the lazy result."""
        raise AssertionError("a benchmark has an operation")

    def setup(self, *params: Any) -> None:
        self._folder = tempfile.TemporaryDirectory()
        channels, *plane = self.shape
        pixels = xprep.datasets.blobs(channels, tuple(plane)).astype(self.dtype)
        self.url = str(Path(self._folder.name) / "in.ome.zarr")
        chunks = {"c": 1, "y": self.chunk, "x": self.chunk}
        pixels.prep.to_ome_zarr(self.url, scale_factors=(), chunks=chunks, progress=False)
        self.pixels = pixels.values
        self._warm_up(*params)

    def teardown(self, *params: Any) -> None:
        self._folder.cleanup()

    def _warm_up(self, *params: Any) -> None:
        """Compile the kernels for these types, on a part of the image."""
        self.operation(xprep.open_image(self.url).isel(y=slice(64), x=slice(64)), *params).compute()

    def opened(self, *params: Any) -> xr.DataArray:
        return self.operation(xprep.open_image(self.url), *params)

    def write(self, *params: Any) -> None:
        """Run the operation from store to store."""
        target = tempfile.mkdtemp(dir=self._folder.name) + "/out.ome.zarr"
        self.opened(*params).prep.to_ome_zarr(target, scale_factors=(), progress=False)

    def tasks_per_chunk(self, *params: Any) -> float:
        result = self.opened(*params)
        return len(optimize(result.data.dask, list(flatten(result.data.__dask_keys__())))) / self.number_of_chunks()

    def reads_per_chunk(self, *params: Any) -> float:
        """Return how often a chunk is read, on average."""
        source = Counting(self.pixels, (1, self.chunk, self.chunk))
        image = xr.DataArray(read_array(source, token=f"counting-{id(source):x}"), dims=DIMS)
        self.operation(image, *params).compute()
        return len(source.read_chunks) / self.number_of_chunks()

    def number_of_chunks(self) -> int:
        channels, height, width = self.shape
        return channels * -(-height // self.chunk) * -(-width // self.chunk)


def with_unit(unit: str) -> Callable[[Any], Any]:
    """Give a ``track_`` benchmark its unit, as asv wants it."""

    def give(method: Any) -> Any:
        method.unit = unit
        return method

    return give
