"""What one tile goes through, all channels of it: `blur_tile`, and the steps of normalisation in `TileRecipe`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xprep.kernels.blur import blur_plane, blur_plane_nan
from xprep.kernels.pixels import normalize_pixels, sum_scaled
from xprep.kernels.windows import Margins, fit_margins
from xprep.naming import named
from xprep.types import Array, Boundary

Halves = tuple[tuple[Array, Array], ...]


def blur_tile(
    tile: Array, halves: Halves, margins: Margins, divisors: Array, dtype: Any, mode: Boundary = "reflect", skipna: bool = False
) -> Array:
    """Divide every channel by its divisor, and blur its planes.

    Parameters
    ----------
    tile : (c, ..., y, x)
        The tile with ``margins``: at least the radius, except at the image's own edges, which ``mode`` extends.
    halves
        Half taps along y and x for every channel.
    margins
        ((top, bottom), (left, right)) voxels of the neighbours that the tile carries.
    divisors : (c,)
        One per channel.
    dtype
        float32 or float64, of the result.
    mode
        How the image goes on beyond its edge.
    skipna
        Whether NaN are left out of the means instead of spreading.

    Returns
    -------
    (c, ..., y, x) without the margins
    """
    (top, bottom), (left, right) = margins
    shape = (*tile.shape[:-2], tile.shape[-2] - top - bottom, tile.shape[-1] - left - right)
    out = np.empty(shape, dtype)
    blur = blur_plane_nan if skipna else blur_plane
    for index in np.ndindex(*tile.shape[:-2]):
        half_y, half_x = halves[index[0]]
        need = (len(half_y) - 1, len(half_x) - 1)
        plane = fit_margins(tile[index], margins, need, mode)
        blur(plane, half_y, half_x, float(divisors[index[0]]), out[index])
    return out


def blur_volume(
    tile: Array,
    halves: Halves,
    others: Sequence[tuple[int, Array]],
    margins: Sequence[tuple[int, int]],
    dtype: Any,
    mode: Boundary,
    skipna: bool,
) -> Array:
    """Blur a tile along ``others`` (pairs of axis and half taps) and then in its planes; ``margins`` are per axis.

    Normalised convolution does not split into axes: with ``skipna`` and other axes, values and weights are blurred apart.
    """
    ones = np.ones(tile.shape[0])
    plane: Margins = (margins[-2], margins[-1])
    if not (skipna and others and tile.dtype.kind == "f"):
        for axis, half in others:
            tile = _blur_axis(tile, axis, half, margins[axis], dtype, mode)
        return blur_tile(tile, halves, plane, ones, dtype, mode, skipna)
    lost = np.isnan(tile)
    values = blur_volume(np.where(lost, 0, tile).astype(dtype), halves, others, margins, dtype, mode, False)
    known = (~lost).astype(dtype)
    if mode == "constant":  # the zeros beyond the edge are values: they weigh as much as any other
        known, margins = _surrounded(known, halves, others, margins)
    weights = blur_volume(known, halves, others, margins, dtype, mode, False)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weights > 0, values / weights, np.nan).astype(dtype)


def _surrounded(
    weights: Array, halves: Halves, others: Sequence[tuple[int, Array]], margins: Sequence[tuple[int, int]]
) -> tuple[Array, Sequence[tuple[int, int]]]:
    """Return ``weights`` with ones where a window reaches beyond the image, and the margins that they have then."""
    reach = [0] * weights.ndim
    reach[-2], reach[-1] = (max(len(half[i]) for half in halves) - 1 for i in (0, 1))
    for axis, half in others:
        reach[axis] = len(half) - 1
    missing = [(max(0, n - before), max(0, n - after)) for n, (before, after) in zip(reach, margins, strict=True)]
    wider = [(a + c, b + d) for (a, b), (c, d) in zip(margins, missing, strict=True)]
    return np.pad(weights, missing, constant_values=1), wider


def _blur_axis(tile: Array, axis: int, half: Array, margin: tuple[int, int], dtype: Any, mode: Boundary) -> Array:
    """Blur along one axis before the last two: its lines are the columns of planes (axis, all that follows)."""
    before, after = margin
    length = tile.shape[axis] - before - after
    outer, inner = int(np.prod(tile.shape[:axis])), int(np.prod(tile.shape[axis + 1 :]))
    planes = tile.reshape(outer, tile.shape[axis], inner)
    out = np.empty((outer, length, inner), dtype)
    for plane, result in zip(planes, out, strict=True):
        blur_plane(fit_margins(plane, (margin, (0, 0)), (len(half) - 1, 0), mode), half, np.ones(1), 1.0, result)
    return out.reshape(*tile.shape[:axis], length, *tile.shape[axis + 1 :])


@named("tile-recipe")
@dataclass(frozen=True, eq=False)
class TileRecipe:
    """The steps of normalisation per tile, given the statistics.

    Attributes
    ----------
    halves
        Half taps along y and x per channel; single taps where a channel is not blurred.
    dtype
        Working type, float32 or float64.
    norm_sum
        Whether a pixel's channels are divided by their sum.
    cap
        Largest value of the result; infinity for none.
    """

    halves: Halves
    dtype: Any
    norm_sum: bool
    cap: float

    def total(self, tile: Array, divisors: Array) -> Array:
        """Return the sum over the channels of the scaled, unblurred tile: ``(1, pixels)``."""
        # Compiled loops know no float16.
        values = tile.reshape(tile.shape[0], -1).astype(self.dtype if tile.dtype == np.float16 else tile.dtype, copy=False)
        out = np.empty((1, values.shape[1]), self.dtype)
        sum_scaled(values, divisors.astype(self.dtype), out[0])
        return out

    def finish(self, tile: Array, margins: Margins, divisors: Array, threshold: float | None, scale: Array | None) -> Array:
        """Return the tile scaled, blurred, thresholded, normalised by the sum, scaled again and capped."""
        out = blur_tile(tile, self.halves, margins, divisors, self.dtype)
        pixels = out.reshape(out.shape[0], -1)
        scale = np.ones(len(out), self.dtype) if scale is None else scale.astype(self.dtype)
        normalize_pixels(
            pixels, -np.inf if threshold is None else threshold, threshold is not None, self.norm_sum, scale, self.cap, out=pixels
        )
        return out
