"""``normalize``, from store to store."""

from __future__ import annotations

import tempfile
from typing import Any

import xarray as xr

import xprep
from benchmarks.problem import Problem, with_unit


class Normalize(Problem):
    """All passes, with what becomes of the image in between."""

    params = ("recompute", "persist", "spill")
    param_names = ("intermediates",)

    def operation(self, image: xr.DataArray, intermediates: Any) -> xr.DataArray:
        return image.prep.normalize(sigma=2, intermediates=intermediates)

    def time_zarr_to_zarr(self, intermediates: str) -> None:
        self.write(intermediates)

    def time_build(self, intermediates: str) -> None:
        self.opened(intermediates)

    def peakmem_zarr_to_zarr(self, intermediates: str) -> None:
        self.write(intermediates)

    @with_unit("tasks")
    def track_tasks_per_chunk(self, intermediates: str) -> float:
        return self.tasks_per_chunk(intermediates)

    @with_unit("reads")
    def track_reads_per_chunk(self, intermediates: str) -> float:
        return self.reads_per_chunk(intermediates)


class NormalizeFields:
    """Two fields of view of different shapes, which share statistics."""

    shapes = ((4, 768, 1024), (4, 512, 512))
    chunk = 256
    timeout = 120

    def setup(self) -> None:
        self.fields = [_Field() for _ in self.shapes]
        for field, shape in zip(self.fields, self.shapes, strict=True):
            field.shape, field.chunk = shape, self.chunk
            field.setup("recompute")
        self._folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        for field in self.fields:
            field.teardown("recompute")
        self._folder.cleanup()

    def time_zarr_to_zarr(self) -> None:
        images = {f"/{n}": xprep.open_image(one.url).to_dataset(name="image") for n, one in enumerate(self.fields)}
        target = tempfile.mkdtemp(dir=self._folder.name) + "/out"
        xr.DataTree.from_dict(images).prep.normalize().prep.to_ome_zarr(target, scale_factors=(), progress=False)


class _Field(Normalize):
    """A field of view; not a benchmark of its own: asv leaves out names with an underscore."""
