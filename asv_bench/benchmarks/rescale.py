"""Rescaling of a stack, in memory and streamed, beside scipy and OpenCV."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import xarray as xr
from scipy import ndimage

import xprep

FACTORS = {"half": (1, 0.5, 0.5), "third": (1, 1 / 3, 1 / 3), "x1.3": (1.3, 1.3, 1.3)}


class Rescale:
    """Linear interpolation of 64 x 1024 x 1024 uint16."""

    params = (list(FACTORS),)
    param_names = ("factors",)
    timeout = 300
    shape, chunks = (64, 1024, 1024), (16, 512, 512)  # a test takes a smaller subclass

    def setup(self, factors):
        self.array = np.random.default_rng(0).integers(0, 4000, self.shape, dtype=np.uint16)
        self.image = xr.DataArray(self.array, dims=("z", "y", "x"))
        self.lazy = self.image.chunk(dict(zip("zyx", self.chunks, strict=True)))
        self.factors = dict(zip("zyx", FACTORS[factors], strict=True))
        for smooth in (False, True):
            xprep.rescale(self.image[:3, :9, :9], self.factors, anti_alias=smooth)  # compile

    def time_in_memory(self, factors):
        xprep.rescale(self.image, self.factors)

    def time_anti_alias(self, factors):
        xprep.rescale(self.image, self.factors, anti_alias=True)

    def time_nearest(self, factors):
        xprep.rescale(self.image, self.factors, order=0)

    def time_streamed(self, factors):
        with dask.config.set(scheduler="threads"):
            xprep.rescale(self.lazy, self.factors).data.sum().compute()

    def time_scipy(self, factors):
        ndimage.zoom(self.array, FACTORS[factors], output=np.float32, order=1, mode="nearest", grid_mode=True)

    def track_tasks_per_chunk(self, factors):
        found = xprep.rescale(self.lazy, self.factors)
        return len(found.__dask_graph__()) / self.lazy.data.npartitions


class Memory:
    """Peak memory of stacks of 4 and of 64 planes, at factors that make much of little and little of much."""

    params = ([4, 64], [0.01, 0.5, 1.3])
    param_names = ("planes", "factor")
    side, chunk = 2048, 512

    def setup(self, planes, factor):
        self.lazy = xr.DataArray(
            da.random.default_rng(0).integers(
                0, 4000, (planes, self.side, self.side), chunks=(2, self.chunk, self.chunk), dtype="u2"
            ),
            dims=("z", "y", "x"),
        )

    def peakmem_rescale(self, planes, factor):
        xprep.rescale(self.lazy, {"y": factor, "x": factor}).data.max().compute(num_workers=2)
