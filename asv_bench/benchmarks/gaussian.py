"""The Gaussian blur, from store to store."""

from __future__ import annotations

import xarray as xr

from benchmarks.problem import Problem, with_unit


class Gaussian(Problem):
    """A narrow and a wide one: the halo grows, the number of reads should hardly."""

    params = (2, 8)
    param_names = ("sigma",)

    def operation(self, image: xr.DataArray, sigma: float) -> xr.DataArray:
        return image.prep.gaussian_filter(sigma)

    def time_zarr_to_zarr(self, sigma: float) -> None:
        self.write(sigma)

    def peakmem_zarr_to_zarr(self, sigma: float) -> None:
        self.write(sigma)

    @with_unit("tasks")
    def track_tasks_per_chunk(self, sigma: float) -> float:
        return self.tasks_per_chunk(sigma)

    @with_unit("reads")
    def track_reads_per_chunk(self, sigma: float) -> float:
        return self.reads_per_chunk(sigma)
