"""Local mean of a stack, in memory and streamed, beside scipy and OpenCV."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import xarray as xr
from scipy import ndimage

import xprep
from xprep.kernels.background import half_of, mean_taps


def stack(shape):
    """Seeded counts, uint16."""
    return np.random.default_rng(0).integers(0, 4000, shape, dtype=np.uint16)


class Background:
    """``subtract_background`` and ``background`` of 64 x 1024 x 1024 uint16."""

    params = ([7.0, 2.0, 20.0],)
    param_names = ("radius",)
    timeout = 300
    shape, chunks = (64, 1024, 1024), (16, 512, 512)  # a test takes a smaller subclass

    def setup(self, radius):
        self.array = stack(self.shape)
        self.image = xr.DataArray(self.array, dims=("t", "y", "x"))
        self.lazy = self.image.chunk(dict(zip("tyx", self.chunks, strict=True)))
        half = half_of(mean_taps(radius / 2)).astype(np.float32)
        self.taps = np.concatenate([half[:0:-1], half])
        xprep.background(self.image[:1], radius)  # compile

    def time_in_memory(self, radius):
        xprep.background(self.image, radius)

    def time_streamed(self, radius):
        with dask.config.set(scheduler="threads"):
            xprep.background(self.lazy, radius).background.data.sum().compute()

    def time_opencv(self, radius):
        import cv2

        for plane in self.array:
            cv2.sepFilter2D(plane, cv2.CV_32F, self.taps, self.taps, borderType=cv2.BORDER_REPLICATE)

    def time_scipy(self, radius):
        for plane in self.array.astype(np.float32):
            rows = ndimage.correlate1d(plane, self.taps, axis=0, mode="nearest")
            ndimage.correlate1d(rows, self.taps, axis=1, mode="nearest")

    def track_tasks_per_chunk(self, radius):
        found = xprep.background(self.lazy, radius).background
        return len(found.__dask_graph__()) / found.data.npartitions


class Memory:
    """Peak memory of stacks of one and of 16 tiles: it must be the same."""

    params = ([4, 64],)
    param_names = ("planes",)
    side, chunk = 2048, 512

    def setup(self, planes):
        self.lazy = xr.DataArray(
            da.random.default_rng(0).integers(
                0, 4000, (planes, self.side, self.side), chunks=(2, self.chunk, self.chunk), dtype="u2"
            ),
            dims=("t", "y", "x"),
        )

    def peakmem_subtract(self, planes):
        xprep.subtract_background(self.lazy, 7).data.max().compute(num_workers=2)
