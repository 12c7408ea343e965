"""One number per ROI and frame, summed block by block: every block is read once, whatever the number of ROIs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.dims.provenance import kept_coords
from xprep.engine.blocks.tiling import merged
from xprep.engine.graph.grid import starts as edges_of
from xprep.engine.running.roi_blocks import BatchSums, sum_blocks
from xprep.engine.sources.lazy import EAGER_TILE_BYTES, as_lazy, is_lazy, like
from xprep.kernels.rois import sum_frames, sum_frames_skipping_nan
from xprep.naming import named
from xprep.rois.images.as_table import table_on
from xprep.rois.images.crops import space_dims
from xprep.rois.table.flat_pixels import BlockGrid, Ints, RoiPixels, group_by_block
from xprep.rois.table.offsets import flat_offsets
from xprep.rois.table.roi_table import RoiTable
from xprep.switches import check_switch
from xprep.types import Array

How = Literal["weighted_mean", "mean", "sum", "dot"]
Floats = NDArray[np.float64]


def traces(image: xr.DataArray, rois: Any, *, how: How = "weighted_mean", skipna: bool = False) -> xr.DataArray:
    """Return one value per ROI: a trace over time where the image is a movie.

    Parameters
    ----------
    image : DataArray
        Dims ``y``, ``x``, and any others in any order. ``z`` is where the table's planes lie; without it, ROIs lie in
        plane 0.
    rois : RoiTable or label image
        A label image, (y, x) or (z, y, x), is read when this is called, once, as by `RoiTable.from_labels`. What has
        coordinates is measured where they say that it lies (`RoiTable`).
    how : {"weighted_mean", "mean", "sum", "dot"}
        Σ lam·I / Σ lam; the plain mean or sum of the ROI's pixels; or Σ lam·I / ‖lam‖₂. A pixel that a ROI lists
        twice counts twice.
    skipna
        Leave NaN out, of the weights too; otherwise it makes the ROI's value NaN.

    Returns
    -------
    DataArray of float64
        The image's dims without ``z, y, x``, and ``roi`` last. Lazy if the image is, in chunks along the other dims.
        A ROI without pixels (or weights that sum to 0) is NaN, its sum 0.

    Raises
    ------
    ValueError
        A ROI reaches beyond the image, lies in a plane that it does not have, or between its pixels; labels that do not
        fit, or a boolean mask; no y or x; another ``how``.
    TypeError
        ``rois`` is neither a table nor a label image.

    Notes
    -----
    Sums are in float64: parts per block, joined in a fixed order. Blocks without a ROI are not read.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> movie = xr.DataArray(np.arange(8.0).reshape(2, 2, 2), dims=("t", "y", "x"))
    >>> table = RoiTable.from_pixels([[1.0, 3.0]], ypix=[[0, 1]], xpix=[[0, 1]])
    >>> traces(movie, table).values
    array([[2.25],
           [6.25]])
    """
    skipna = check_switch(skipna, "skipna")
    if np.ndim(how) or how not in ("weighted_mean", "mean", "sum", "dot"):
        raise ValueError(f"how must be 'weighted_mean', 'mean', 'sum' or 'dot'; got {how!r}.")
    space = space_dims(image)
    table = table_on(image, rois)
    leading = [dim for dim in image.dims if dim not in space]
    ordered = image.transpose(*leading, *space)
    summed = _sum_rois(ordered.data, table, Weighing(how, skipna), len(space))
    coords = kept_coords(image, leading, roi=table.names)
    return xr.DataArray(summed, coords, (*leading, "roi"), attrs=image.attrs).rename(image.name)


class TracedPart(NamedTuple):
    """What blocks gave so far: their ROIs, and their sums, (frame, roi); shares only where NaN is skipped."""

    rois: Ints
    sums: Floats
    shares: Floats | None


@named("roi-weighing")
@dataclass(frozen=True)
class Weighing:
    """What pixels are multiplied with, and what their sum is divided by."""

    how: How
    skipna: bool

    def weights(self, lam: Floats) -> Floats:
        """Return what each pixel is multiplied with."""
        return lam if self.how in ("weighted_mean", "dot") else np.ones_like(lam)

    def shares(self, lam: Floats) -> Floats:
        """Return what each pixel adds to the divisor."""
        return lam * lam if self.how == "dot" else self.weights(lam)

    def totals(self, lam: Floats, owners: Ints, count: int) -> Floats:
        """Return the sum of each ROI's shares."""
        return np.asarray(np.bincount(owners, self.shares(lam), minlength=count), np.float64)

    def divide(self, sums: Floats, shares: Floats) -> Floats:
        """Return sums divided by the total of their shares; NaN where there is none."""
        if self.how == "sum":
            return sums
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums / (np.sqrt(shares) if self.how == "dot" else np.where(shares == 0, np.nan, shares))


def _sum_rois(movie: Any, rois: RoiTable, weighing: Weighing, ndim: int) -> Any:
    """Return the traces of a movie whose last ``ndim`` axes are space, as lazy as it is."""
    pixels = rois.pixels()
    owners, leading = pixels.rois, movie.ndim - ndim
    finish = _FinishTraces(weighing, weighing.totals(pixels.lam, owners, len(rois)))
    if not is_lazy(movie) and movie.nbytes <= EAGER_TILE_BYTES:  # one tile: nothing to share among threads
        whole = BlockSums.of_all(pixels, movie.shape[leading:], weighing)
        return finish([whole(movie)] if pixels.lam.size else [], movie.shape[:leading])
    # What is computed now needs no name that equal tables share: digesting the table would take longer than the sums.
    token = rois.fingerprint if is_lazy(movie) else str(id(rois))
    lazy = merged(as_lazy(movie))
    grid = BlockGrid(tuple(edges_of(lengths) for lengths in lazy.chunks[leading:]))
    parts = {
        index: BlockSums.of(pixels, owners, chosen, grid.origin(index), grid.extent(index), weighing)
        for index, chosen in group_by_block(pixels, grid)
    }
    sums = BatchSums(join_parts, finish, len(rois))
    return like(movie, sum_blocks(lazy, leading, parts, sums, (token, weighing)))


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sum the ROIs of one block, whose last axes have the shape ``extent``."""

    rois: Ints
    starts: Ints
    offsets: Ints
    lam: Floats
    extent: tuple[int, ...]
    weighing: Weighing

    @classmethod
    def of(
        cls,
        pixels: RoiPixels,
        owners: Ints,
        chosen: Ints,
        origin: Sequence[int],
        extent: tuple[int, ...],
        weighing: Weighing,
    ) -> BlockSums:
        """Return what sums the block at ``origin``; the ``chosen`` pixels lie in it, ROI by ROI."""
        touched = owners[chosen]
        firsts = np.append(np.flatnonzero(np.diff(touched, prepend=-1)), touched.size).astype(np.int64)
        local = [place[chosen] - start for place, start in zip(pixels.space(len(origin)), origin, strict=True)]
        offsets = np.ascontiguousarray(flat_offsets(local, extent))
        return cls(touched[firsts[:-1]], firsts, offsets, pixels.lam[chosen], extent, weighing)

    @classmethod
    def of_all(cls, pixels: RoiPixels, extent: tuple[int, ...], weighing: Weighing) -> BlockSums:
        """Return what sums the only block: every pixel lies in it, and none need be picked."""
        filled = np.flatnonzero(np.diff(pixels.starts))
        offsets = np.ascontiguousarray(flat_offsets(pixels.space(len(extent)), extent))
        return cls(filled, np.append(pixels.starts[filled], pixels.lam.size), offsets, pixels.lam, extent, weighing)

    def __call__(self, block: Array) -> TracedPart:
        """Return the block's part of the sums."""
        if block.shape[block.ndim - len(self.extent) :] != self.extent:
            raise ValueError(f"expected a block of {self.extent} pixels, got one of shape {block.shape}.")
        frames = np.ascontiguousarray(compiled_type(block)).reshape(-1, int(np.prod(self.extent)))
        weights = self.weighing.weights(self.lam)
        if not self.weighing.skipna:
            return TracedPart(self.rois, sum_frames(frames, self.offsets, weights, self.starts), None)
        shares = self.weighing.shares(self.lam)
        return TracedPart(self.rois, *sum_frames_skipping_nan(frames, self.offsets, weights, shares, self.starts))


def compiled_type(block: Array) -> Array:
    """Return ``block`` in a type that loops are compiled for: native, and neither bool nor float16."""
    if block.dtype == bool:
        return block.view(np.uint8)
    if block.dtype.kind == "f" and block.dtype.itemsize == 2:  # whatever its order of bytes
        return block.astype(np.float32)
    return block.astype(block.dtype.newbyteorder("="), copy=False)


def join_parts(parts: Sequence[TracedPart]) -> TracedPart:
    """Add parts, ROI by ROI."""
    rois = np.unique(np.concatenate([part.rois for part in parts]))
    frames = parts[0].sums.shape[0]
    sums = np.zeros((frames, rois.size))
    shares = None if parts[0].shares is None else np.zeros_like(sums)
    for part in parts:
        where = np.searchsorted(rois, part.rois)
        sums[:, where] += part.sums
        if shares is not None and part.shares is not None:
            shares[:, where] += part.shares
    return TracedPart(rois, sums, shares)


@dataclass(frozen=True, eq=False)
class _FinishTraces:
    """From the last parts to the values of all ROIs, (leading…, roi)."""

    weighing: Weighing
    shares: Floats

    def __call__(self, parts: Sequence[TracedPart], leading: tuple[int, ...]) -> Array:
        frames = int(np.prod(leading))
        sums = np.zeros((frames, self.shares.size))
        left = np.zeros_like(sums) if self.weighing.skipna else self.shares
        if parts:
            part = join_parts(parts)
            sums[:, part.rois] = part.sums
            if part.shares is not None:
                left[:, part.rois] = part.shares
        return self.weighing.divide(sums, left).reshape(*leading, self.shares.size)
