"""ROIs: traces of a movie, features of a reference, lists of a label image, masks."""

from __future__ import annotations

import numpy as np
import xarray as xr

import xprep
from xprep import rois


def ellipses(count: int, side: int, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Return lists of pixels of elliptical ROIs with random weights."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[-10:10, -10:10]
    lists: dict[str, list[np.ndarray]] = {"lam": [], "ypix": [], "xpix": []}
    for y, x in rng.integers(10, side - 10, (count, 2)):
        a, b = rng.uniform(4, 9, 2)
        inside = (down / a) ** 2 + (across / b) ** 2 <= 1
        lists["ypix"].append(y + down[inside])
        lists["xpix"].append(x + across[inside])
        lists["lam"].append(rng.random(inside.sum()).astype(np.float32) + 0.1)
    return lists


class Traces:
    """500 ROIs of a movie, in memory and in chunks."""

    shape, chunks, count = (400, 512, 512), (100, 256, 256), 500  # a test takes a smaller subclass

    def setup(self) -> None:
        values = np.random.default_rng(0).poisson(100, self.shape).astype(np.uint16)
        self.movie = xr.DataArray(values, dims=("t", "y", "x"))
        self.chunked = self.movie.chunk(dict(zip("tyx", self.chunks, strict=True)))
        self.table = xprep.RoiTable.from_pixels(**ellipses(self.count, self.shape[1]))
        xprep.traces(self.movie[:8], self.table)

    def time_memory(self) -> None:
        xprep.traces(self.movie, self.table)

    def time_chunks(self) -> None:
        xprep.traces(self.chunked, self.table).compute()

    def time_build(self) -> None:
        xprep.traces(self.chunked, self.table)

    def track_tasks_per_chunk(self) -> float:
        graph = xprep.traces(self.chunked, self.table).__dask_graph__()
        return len(dict(graph)) / self.chunked.data.npartitions


class Features:
    """2000 ROIs of one plane: all four features, and the functions that they are made of."""

    side, count = 512, 2000

    def setup(self) -> None:
        self.lists = ellipses(self.count, self.side)
        self.plane = np.zeros(self.count, int)
        plane = np.random.default_rng(0).gamma(2, 200, (self.side, self.side))
        self.image = xr.DataArray(plane.astype(np.float32), dims=("y", "x"))
        self.table = xprep.RoiTable.from_pixels(**self.lists)
        self.flat = rois.flatten_roi_data(**self.lists)
        found = rois.get_roi_centroids(**self.lists, zpix=self.plane)
        self.centroids = dict(zip(("zc", "yc", "xc"), found, strict=True))
        self.masks = rois.get_centered_masks(self.flat, self.centroids)
        self.windows = rois.get_centered_reference(self.image.values[None], self.centroids)
        self.time_features()

    def time_features(self) -> None:
        xprep.roi_features(self.image, self.table)

    def time_table(self) -> None:
        xprep.RoiTable.from_pixels(**self.lists)

    def time_mask_volume(self) -> None:
        rois.get_mask_volume(self.flat, self.count, (self.side, self.side))

    def peakmem_mask_volume(self) -> None:
        rois.get_mask_volume(self.flat, self.count, (self.side, self.side))

    def time_centered_masks(self) -> None:
        rois.get_centered_masks(self.flat, self.centroids)

    def time_phase_correlation_zero(self) -> None:
        rois.phase_correlation_zero(self.masks, self.windows)

    def time_in_vs_out(self) -> None:
        rois.in_vs_out(self.masks, self.windows)

    def time_dot_product(self) -> None:
        rois.dot_product(**self.lists, zpix=self.plane, reference=self.image.values[None])

    def time_correlation(self) -> None:
        rois.compute_correlation(*rois.surround_filter(self.masks, self.windows))


class Labels:
    """Lists of pixels of a label image with some 25 000 cells."""

    side, chunk = 4096, 1024

    def setup(self) -> None:
        cell = np.zeros((26, 26), bool)
        cell[3:22, 4:20] = True
        many = -(-self.side // 26)
        numbers = np.arange(1, many**2 + 1, dtype=np.uint32).reshape(many, many)
        labels = np.kron(numbers, cell.astype(np.uint32))[: self.side, : self.side]
        self.labels = xr.DataArray(labels, dims=("y", "x")).chunk(y=self.chunk, x=self.chunk)
        self.time_lists()

    def time_lists(self) -> None:
        xprep.RoiTable.from_labels(self.labels)

    def peakmem_lists(self) -> None:
        xprep.RoiTable.from_labels(self.labels)
