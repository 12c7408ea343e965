"""The features of some ROIs, from masks and windows in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.rois_spectra import mean_cross_power
from xprep.kernels.rois_windows import correlate, dilate, sum_inside_and_around
from xprep.rois.formulas.surround import Surround, ratio
from xprep.rois.images.crops import Window
from xprep.rois.images.traces import BlockSums, Weighing
from xprep.rois.table.flat_pixels import Index, RoiPixels, take_ranges
from xprep.rois.table.masks import windows_of
from xprep.rois.table.window_centers import Centers
from xprep.types import Array

FEATURES = ("phase_correlation", "in_vs_out", "dot_product", "correlation")
BATCH_BYTES = 2**20  # windows worked on at once: they stay in the second-level cache, and memory does not grow with ROIs
DOT = Weighing("dot", False)
Floats = NDArray[np.float64]


def window_type(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """Return the type of windows that are measured: one in which differences of the image's values keep their digits.

    float32 has those of 16 bits. Of float32 images too they are lost in a spectrum, whose sum of 961 pixels of 3e7 made the
    phase correlation wrong by 13 %.
    """
    return np.float32 if dtype.itemsize <= 2 else np.float64


@dataclass(frozen=True, eq=False)
class MeasureHow:
    """The parameters of `roi_features`, and how many planes the image has."""

    window: Window
    iterations: int
    eps: float
    surround: Surround
    taper: NDArray[np.float32] | None
    depth: int

    @property
    def token(self) -> tuple[Any, ...]:
        """What tells these parameters from others."""
        return self.window, self.iterations, self.eps, self.surround, self.taper


def measure(
    pixels: RoiPixels, centers: Centers, how: MeasureHow, crop: Callable[[slice], Array], sums: Floats, leading: tuple[int, ...]
) -> Floats:
    """Return the features of ROIs, (roi, leading…, feature); ``crop(rows)`` gives the image in the windows of some.

    ``sums`` are Σ lam·I over whole ROIs, which may reach beyond their windows: (frame, roi).
    """
    count, frames = len(centers), int(np.prod(leading))
    found = np.empty((count, frames, len(FEATURES)))
    nbytes = np.dtype(how.window.dtype).itemsize * frames * int(np.prod(how.window.tail(how.depth)))
    step = max(1, BATCH_BYTES // max(1, nbytes))
    for first in range(0, count, step):
        rows = slice(first, min(count, first + step))
        found[rows] = measure_windows(_masks(pixels, centers, how, rows), crop(rows), how)
    totals = DOT.totals(pixels.lam, pixels.rois, count)
    found[:, :, FEATURES.index("dot_product")] = DOT.divide(sums, totals).T
    return found.reshape(count, *leading, len(FEATURES))


def _masks(pixels: RoiPixels, centers: Centers, how: MeasureHow, rows: slice) -> Array:
    where, fresh = take_ranges(pixels.starts, np.arange(rows.start, rows.stop))
    some = RoiPixels(pixels.lam[where], pixels.z[where], pixels.y[where], pixels.x[where], fresh)
    depth = how.depth if how.window.volumetric else None
    return windows_of(some, centers.between(rows.start, rows.stop), how.window.width, 0.0, depth)


def sum_pixels(pixels: RoiPixels, block: Array, origin: Index) -> Floats:
    """Return Σ lam·I of every ROI over its pixels in one block, (frame, roi)."""
    extent = block.shape[block.ndim - len(origin) :]
    places = pixels.space(len(origin))
    inside = np.all([(p >= o) & (p < o + n) for p, o, n in zip(places, origin, extent, strict=True)], axis=0)
    chosen = np.flatnonzero(inside)
    sums = np.zeros((int(np.prod(block.shape[: block.ndim - len(origin)])), len(pixels)))
    if chosen.size:
        part = BlockSums.of(pixels, pixels.rois, chosen, origin, extent, DOT)(block)
        sums[:, part.rois] = part.sums
    return sums


def measure_windows(masks: Array, crops: Array, how: MeasureHow) -> Array:
    """Return the features of windows, (roi, frame, feature); ``dot_product`` is left empty.

    ``masks`` is (roi, [z], y, x), ``crops`` (roi, leading…, [z], y, x); the surround of a mask is made once.
    """
    space = masks.shape[1:]
    cubes = masks.reshape(-1, *(1,) * (3 - len(space)), *space)
    references = crops.reshape(-1, *cubes.shape[1:])
    frames = references.shape[0] // max(1, cubes.shape[0])
    mask_of = np.repeat(np.arange(cubes.shape[0]), frames)
    reference_of = np.arange(references.shape[0])
    centers = cubes > 0
    surrounds = dilate(centers, how.iterations)
    inside, around = sum_inside_and_around(centers, surrounds, references, mask_of, reference_of, False)
    found = np.empty((mask_of.size, len(FEATURES)))
    found[:, 1] = ratio(inside, around, how.surround)
    found[:, 3] = correlate(cubes, references, mask_of, reference_of, surrounds, False)
    if how.taper is not None:
        cubes, references = cubes * how.taper, references * how.taper
    found[:, 0] = mean_cross_power(cubes, references, mask_of, reference_of, how.eps, False)
    return found.reshape(cubes.shape[0], frames, len(FEATURES))
