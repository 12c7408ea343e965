"""Pyramids: lazy ones, and those that are made while an image is written."""

from __future__ import annotations

import tempfile

import xarray as xr

import xprep
from benchmarks.problem import Problem, with_unit

FACTORS = (2, 2, 2)


class Pyramid(Problem):
    """Three levels above the image: the source is to be read once, whatever the method."""

    params = ("mean", "max", "gaussian")
    param_names = ("method",)

    def operation(self, image: xr.DataArray, method: str) -> xr.DataArray:
        return image.prep.pyramid(FACTORS, method=method)[f"scale{len(FACTORS)}/image"]

    def write(self, method: str) -> None:
        target = tempfile.mkdtemp(dir=self._folder.name) + "/out.ome.zarr"
        xprep.open_image(self.url).prep.to_ome_zarr(target, scale_factors=FACTORS, method=method, progress=False)

    def time_zarr_to_zarr(self, method: str) -> None:
        self.write(method)

    def time_coarsest_level(self, method: str) -> None:
        self.opened(method).compute()

    def peakmem_zarr_to_zarr(self, method: str) -> None:
        self.write(method)

    @with_unit("tasks")
    def track_tasks_per_chunk(self, method: str) -> float:
        return self.tasks_per_chunk(method)

    @with_unit("reads")
    def track_reads_per_chunk(self, method: str) -> float:
        return self.reads_per_chunk(method)


class Labels(Pyramid):
    """Labels, by their commonest value."""

    params = ("mode",)
    dtype = "uint32"
