"""Exact quantiles, streamed."""

from __future__ import annotations

import xarray as xr

from benchmarks.problem import Problem, with_unit


class Quantile(Problem):
    """Of every channel: one reading for 16 bits, up to two for float32, four for float64."""

    params = ("uint16", "float32", "float64")
    param_names = ("dtype",)

    def setup(self, dtype: str) -> None:
        self.dtype = dtype
        super().setup(dtype)

    def operation(self, image: xr.DataArray, dtype: str) -> xr.DataArray:
        return image.prep.quantile([0.05, 0.99])

    def time_compute(self, dtype: str) -> None:
        self.opened(dtype).compute()

    def peakmem_compute(self, dtype: str) -> None:
        self.opened(dtype).compute()

    @with_unit("tasks")
    def track_tasks_per_chunk(self, dtype: str) -> float:
        return self.tasks_per_chunk(dtype)

    @with_unit("reads")
    def track_reads_per_chunk(self, dtype: str) -> float:
        return self.reads_per_chunk(dtype)
