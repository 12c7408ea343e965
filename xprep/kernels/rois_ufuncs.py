"""ROI masking and mask filling as numpy ufuncs, compiled when they are first used."""

from functools import cache

import numpy as np
from numba import guvectorize, vectorize

_FLOATS = ("float32", "float64")
_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", *_FLOATS)


def mask_pixels(image, inside, outside, invert=False):
    """Return ``image`` where ``inside`` is true (false if ``invert``), else ``outside``."""
    plain = image.view(np.uint8) if image.dtype == bool else image
    if plain.dtype.name not in _TYPES or not plain.dtype.isnative:
        return np.where(inside != invert, image, image.dtype.type(outside))
    return mask_ufunc()(plain, inside, plain.dtype.type(outside), invert).view(image.dtype)


@cache
def mask_ufunc():
    """Return the ufunc ``(value, inside, outside, invert) -> value``, of every real type."""
    signatures = [f"{name}({name}, boolean, {name}, boolean)" for name in _TYPES]
    return vectorize(signatures, nopython=True, cache=True)(_mask_pixel)


def _mask_pixel(value, inside, outside, invert):
    return value if inside != invert else outside


@cache
def fill_ufunc():
    """Return the gufunc ``(n),(n),(n),(y,x)->(y,x)``: weights, y and x of a ROI's pixels written on a canvas.

    Pixels outside the canvas are left out, so lists of different lengths can be padded with -1; the last of a pixel
    listed twice wins.
    """
    signatures = [f"void({name}[:], int64[:], int64[:], {name}[:, :], {name}[:, :])" for name in _FLOATS]
    return guvectorize(signatures, "(n),(n),(n),(y,x)->(y,x)", nopython=True, cache=True)(_fill_canvas)


def _fill_canvas(lam, ypix, xpix, canvas, filled):
    for y in range(canvas.shape[0]):
        for x in range(canvas.shape[1]):
            filled[y, x] = canvas[y, x]
    for i in range(lam.size):
        y = ypix[i]
        x = xpix[i]
        if 0 <= y < canvas.shape[0] and 0 <= x < canvas.shape[1]:
            filled[y, x] = lam[i]
