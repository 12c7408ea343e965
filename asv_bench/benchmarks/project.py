"""Projections of a stack, in memory and streamed, beside numpy and dask."""

from __future__ import annotations

import dask
import numpy as np
import xarray as xr

import xprep


class Project:
    """64 x 1024 x 1024 float32."""

    params = (["max", "mean", "std"], ["z", "x"])
    param_names = ("how", "dim")
    timeout = 300
    shape, chunks = (64, 1024, 1024), (16, 512, 512)  # a test takes a smaller subclass

    def setup(self, how, dim):
        array = np.random.default_rng(0).normal(size=self.shape).astype(np.float32)
        self.image = xr.DataArray(array, dims=("z", "y", "x"))
        self.lazy = self.image.chunk(dict(zip("zyx", self.chunks, strict=True)))
        xprep.project(self.image[:2, :9, :9], dim, how)  # compile

    def time_in_memory(self, how, dim):
        xprep.project(self.image, dim, how)

    def time_streamed(self, how, dim):
        with dask.config.set(scheduler="threads"):
            xprep.project(self.lazy, dim, how).compute()

    def time_xarray(self, how, dim):
        getattr(self.image, how)(dim)

    def time_xarray_streamed(self, how, dim):
        with dask.config.set(scheduler="threads"):
            getattr(self.lazy, how)(dim).compute()

    def track_tasks_per_chunk(self, how, dim):
        return len(xprep.project(self.lazy, dim, how).__dask_graph__()) / self.lazy.data.npartitions
