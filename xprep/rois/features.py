"""Windows and features of ROIs, of an image that is read only where ROIs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.signal
import xarray as xr
from numpy.typing import NDArray

from xprep.engine.grid import starts
from xprep.engine.lazy import as_lazy, like
from xprep.engine.roi_blocks import Visit, merge_rows, visit_blocks
from xprep.kernels.rois_spectra import mean_cross_power
from xprep.kernels.rois_windows import correlate, dilate, sum_inside_and_around
from xprep.rois.centers import Centers, centers_of, check_width
from xprep.rois.crops import Window, blocks_touched, check_planes, crop_blocks, crop_labelled, kept_coords, space_dims
from xprep.rois.masks import windows_of
from xprep.rois.pixels import Grid, Index, Ints, Pixels, take_ranges
from xprep.rois.spectra import check_eps
from xprep.rois.surround import Surround, check_iterations, check_surround, ratio
from xprep.rois.table import RoiTable
from xprep.rois.traces import BlockSums, Weighing, check_table
from xprep.types import Array

FEATURES = ("phase_correlation", "in_vs_out", "dot_product", "correlation")
GROUP = 512  # ROIs a task: enough to pay for it, few enough that 2000 ROIs of one small plane keep two threads busy
BATCH_BYTES = (
    2**20
)  # windows worked on at once: they stay in the second-level cache, and memory does not grow with ROIs


def centered(image: xr.DataArray, rois: RoiTable, *, width: int = 15, fill_value: float = 0.0) -> xr.DataArray:
    """Return a window of the image about the centroid of every ROI.

    Parameters
    ----------
    image : DataArray
        Dims ``y``, ``x``, and any others in any order.
    rois : RoiTable
        Windows of a planar table are taken from each ROI's plane of ``z``, of a volumetric one from all planes.
    width
        Half-width: a window has 2·width + 1 pixels each way.
    fill_value
        Value of what lies outside the image.

    Returns
    -------
    DataArray of float32, (roi, …, [z], dy, dx)
        ``dy`` and ``dx`` are offsets in pixels, -width … width. Lazy if the image is, chunked over ROIs: only chunks
        which a window touches are read. A ROI without centroid has ``fill_value`` only.

    Raises
    ------
    ValueError
        A ROI reaches beyond the image or lies in a plane that it does not have; no y or x; a negative width.
    TypeError
        ``rois`` is not a table.

    Notes
    -----
    Windows are those of `xprep.rois.get_centered_reference` (SEMANTICS 4.11) about truncated weighted means.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> image = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=("y", "x"))
    >>> table = RoiTable.from_pixels([[1.0, 1.0]], ypix=[[0, 0]], xpix=[[1, 2]])
    >>> centered(image, table, width=1, fill_value=-1).values[0]
    array([[-1., -1., -1.],
           [ 0.,  1.,  2.],
           [ 4.,  5.,  6.]], dtype=float32)
    """
    check_table(rois)
    rois.check_inside({dim: image.sizes[dim] for dim in space_dims(image)})
    window = Window(check_width(width), fill_value, rois.volumetric)
    return crop_labelled(image, centers_of(rois), window, rois.ids)


def roi_features(
    image: xr.DataArray,
    rois: RoiTable,
    *,
    width: int = 15,
    iterations: int = 7,
    eps: float = 1e6,
    surround: Surround = "filled",
    window: Any = None,
) -> xr.Dataset:
    """Return four numbers per ROI that tell how well it fits the image.

    Parameters
    ----------
    image : DataArray
        Dims ``y``, ``x``, and any others (``z, c, t``) in any order; one value per ROI for each of ``c``, ``t`` …
    rois : RoiTable
    width
        Half-width of the windows about the centroids.
    iterations
        How far the surround reaches (`xprep.rois.center_surround`).
    eps
        See `xprep.rois.cross_power_spectrum`.
    surround : {"filled", "annulus"}
        What ``in_vs_out`` compares with (`xprep.rois.in_vs_out`).
    window : str or array, optional
        Multiplied with both windows before ``phase_correlation``: a name for `scipy.signal.get_window`, taken
        along y and x, or weights of (2·width + 1, 2·width + 1).

    Returns
    -------
    Dataset of float64, over ``roi`` and the image's other dims
        ``phase_correlation``, ``in_vs_out``, ``dot_product``, and ``correlation`` inside the surround. Lazy if the
        image is: only chunks that a window or a ROI touches are read, and memory does not grow with the number of ROIs.

    Raises
    ------
    ValueError
        See `centered`; a negative ``iterations`` or ``eps``; another ``surround``; a window of another shape.
    TypeError
        ``rois`` is not a table.

    Notes
    -----
    Functions 16, 17, 18 and 19 of the reference (19 on the pair of 13), on windows filled with 0 outside the image.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> image = xr.DataArray(np.random.default_rng(0).random((40, 40)), dims=("y", "x"))
    >>> table = RoiTable.from_pixels([[1.0, 1.0]], ypix=[[20, 20]], xpix=[[19, 20]])
    >>> sorted(roi_features(image, table, width=5))
    ['correlation', 'dot_product', 'in_vs_out', 'phase_correlation']
    """
    check_table(rois)
    check_eps(eps)
    check_surround(surround)
    space = space_dims(image)
    rois.check_inside({dim: image.sizes[dim] for dim in space})
    steps = check_iterations(iterations)
    shape = Window(check_width(width), 0.0, rois.volumetric)
    how = _How(shape, steps, float(eps), surround, taper_of(window, shape.tail(1)[-2:]), image.sizes.get("z", 1))
    leading = [dim for dim in image.dims if dim not in space]
    data = image.transpose(*leading, *space).data
    made = like(image.data, _measure(as_lazy(data), rois, how, len(space)))
    coords = {**kept_coords(image, leading), "roi": rois.ids}
    found = xr.DataArray(made, coords, ("roi", *leading, "feature"))
    return xr.Dataset({name: found[..., i] for i, name in enumerate(FEATURES)}, attrs=image.attrs)


def taper_of(window: Any, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return the weights that windows are multiplied with, or None.

    Raises
    ------
    ValueError
        Weights of another shape, or a name that scipy does not know.
    """
    if window is None:
        return None
    if isinstance(window, str):
        one = scipy.signal.get_window(window, shape[0], fftbins=False)
        return np.outer(one, one).astype(np.float32)
    weights = np.asarray(window, np.float32)
    if weights.shape != shape:
        raise ValueError(f"window needs the shape {shape} of the windows, 2·width + 1 each way; got {weights.shape}.")
    return weights


@dataclass(frozen=True, eq=False)
class _How:
    """The parameters of `roi_features`."""

    window: Window
    iterations: int
    eps: float
    surround: Surround
    taper: NDArray[np.float32] | None
    depth: int

    @property
    def token(self) -> tuple[Any, ...]:
        return self.window, self.iterations, self.eps, self.surround, self.taper


def _measure(image: Any, rois: RoiTable, how: _How, ndim: int) -> Any:
    """Return the lazy features, (roi, leading…, feature), of an image whose last ``ndim`` axes are space.

    ROIs are worked on in groups of neighbours, so that a group needs few blocks, and a block few groups.
    """
    leading = image.ndim - ndim
    grid = Grid(tuple(starts(lengths) for lengths in image.chunks[leading:]))
    centers = centers_of(rois)
    if not how.window.volumetric:
        check_planes(centers, how.depth)
    order, cuts = _neighbours(centers, grid)
    visits = []
    for chosen in np.split(order, cuts) if order.size else [order]:
        pixels, part = rois.pixels_of(chosen), centers.of(chosen)
        places = pixels.space(ndim)
        blocks = tuple(sorted(blocks_touched(part, how.window, grid) | grid.between(places, places)))
        task = _Group(pixels, part, tuple(map(grid.origin, blocks)), how)
        visits.append(Visit(task, blocks, chosen.size))
    rows = visit_blocks(image, leading, visits, (len(FEATURES),), np.float64, (rois.fingerprint, how.token))
    return merge_rows(rows, order)


def _neighbours(centers: Centers, grid: Grid) -> tuple[Ints, Ints]:
    """Return ROIs in the order of the blocks that hold their centers, and where to cut that into groups."""
    places = (centers.z, centers.y, centers.x)[3 - len(grid.edges) :]
    flat = grid.flat_blocks([np.clip(p, 0, n - 1) for p, n in zip(places, grid.shape, strict=True)])
    order = np.argsort(flat, kind="stable")
    firsts = np.flatnonzero(np.diff(flat[order], prepend=-1))
    ends = np.append(firsts[1:], order.size)
    cuts = np.concatenate([np.arange(a, b, GROUP) for a, b in zip(firsts, ends, strict=True)]) if order.size else firsts
    return order, cuts[1:]


@dataclass(frozen=True, eq=False)
class _Group:
    """The features of some ROIs, from the blocks that they and their windows touch."""

    pixels: Pixels
    centers: Centers
    origins: tuple[Index, ...]
    how: _How

    def __call__(self, blocks: Sequence[Array], leading: tuple[int, ...]) -> Array:
        count, frames = len(self.centers), int(np.prod(leading))
        found = np.empty((count, frames, len(FEATURES)))
        side = 4 * frames * int(np.prod(self.how.window.tail(self.how.depth)))
        step = max(1, BATCH_BYTES // max(1, side))
        for first in range(0, count, step):
            rows = slice(first, min(count, first + step))
            found[rows] = self._measure(blocks, leading, rows)
        found[:, :, FEATURES.index("dot_product")] = self._dot(blocks, frames).T
        return found.reshape(count, *leading, len(FEATURES))

    def _measure(self, blocks: Sequence[Array], leading: tuple[int, ...], rows: slice) -> Array:
        how, depth = self.how, self.how.depth if self.how.window.volumetric else None
        centers = self.centers.between(rows.start, rows.stop)
        where, fresh = take_ranges(self.pixels.starts, np.arange(rows.start, rows.stop))
        p = self.pixels
        some = Pixels(p.lam[where], p.z[where], p.y[where], p.x[where], fresh)
        masks = windows_of(some, centers, how.window.width, 0.0, depth)
        crops = crop_blocks(blocks, self.origins, centers, how.window, leading, how.depth)
        return measure_windows(masks, crops, how)

    def _dot(self, blocks: Sequence[Array], frames: int) -> Array:
        """Return Σ lam·I / ‖lam‖ over whole ROIs, which may reach beyond their windows: (frame, roi)."""
        weighing, owners = Weighing("dot", False), self.pixels.rois
        sums = np.zeros((frames, len(self.pixels)))
        for block, origin in zip(blocks, self.origins, strict=True):
            extent = block.shape[block.ndim - len(origin) :]
            places = self.pixels.space(len(origin))
            inside = np.all([(p >= o) & (p < o + n) for p, o, n in zip(places, origin, extent, strict=True)], axis=0)
            chosen = np.flatnonzero(inside)
            if chosen.size:
                part = BlockSums.of(self.pixels, owners, chosen, origin, extent, weighing)(block)
                sums[:, part.rois] += part.sums
        return weighing.divide(sums, weighing.totals(self.pixels.lam, owners, len(self.pixels)))


def measure_windows(masks: Array, crops: Array, how: _How) -> Array:
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
