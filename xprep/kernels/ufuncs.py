"""The numpy ufuncs. Building one compiles its loops, so it waits for the first use.

The functions that give the loops carry the ufuncs' names, because numpy pickles a ufunc by its name: where one is
unpickled, `xprep.ufuncs` builds it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import RLock

import numpy as np
from numba import (
    boolean,
    float32,
    float64,
    guvectorize,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    vectorize,
)

from xprep.kernels import pixels, rois

_BUILDING = RLock()


def build_ufunc(name: str) -> np.ufunc:
    """Return the ufunc of this name, built once per process, from whatever thread asks first."""
    with _BUILDING:
        return _build(name)


@cache
def _build(name: str) -> np.ufunc:
    ufunc: np.ufunc = _BUILDERS[name]().ufunc
    return ufunc


def sum_scaled(values, scales, out):
    """Sum over channels of ``values / scales``, NaN where a channel is NaN."""
    pixels.sum_scaled(values, scales, out)


def normalize_pixels(values, threshold, thresholded, norm_sum, divisors, cap, out):
    """Mask pixels by the sum of their channels, divide by it and by ``divisors``, and cap."""
    pixels.normalize_pixels(values, threshold, thresholded, norm_sum, divisors, cap, out)


def mask_pixels(value, keep, outside):
    """``value`` where ``keep``, otherwise ``outside``."""
    return value if keep else outside


def fill_mask(lam, ypix, xpix, canvas, out):
    """``canvas`` with the weights of one ROI's pixels written on it."""
    rois.fill_mask(lam, ypix, xpix, canvas, out)


# Not kept on disk: numba gives no way to keep them but its own numbered files (see compiling.py). What they call is kept, so
# building them takes 0.3 to 1.3 s each, once a process. The engine calls the plain functions.
def _build_sum_scaled():
    loops = [(kind[:, :], float32[:], float32[:]) for kind in (uint8, uint16, float32)]
    loops.append((float64[:, :], float64[:], float64[:]))
    return guvectorize(loops, "(c,n),(c)->(n)", nopython=True)(sum_scaled)


def _build_normalize_pixels():
    loops = [(kind[:, :], kind, boolean, boolean, kind[:], kind, kind[:, :]) for kind in (float32, float64)]
    return guvectorize(loops, "(c,n),(),(),(),(c),()->(c,n)", nopython=True)(normalize_pixels)


def _build_mask_pixels():
    kinds = (boolean, uint8, int8, uint16, int16, uint32, int32, uint64, int64, float32, float64)
    return vectorize([kind(kind, boolean, kind) for kind in kinds], nopython=True)(mask_pixels)


def _build_fill_mask():
    loops = [(kind[:], int64[:], int64[:], kind[:, :], kind[:, :]) for kind in (float32, float64)]
    return guvectorize(loops, "(n),(n),(n),(y,x)->(y,x)", nopython=True)(fill_mask)


_BUILDERS: dict[str, Callable] = {
    "fill_mask": _build_fill_mask,
    "mask_pixels": _build_mask_pixels,
    "normalize_pixels": _build_normalize_pixels,
    "sum_scaled": _build_sum_scaled,
}
