"""Mask filling as a numpy ufunc, compiled when it is first used."""

from functools import cache

from numba import guvectorize


@cache
def fill_ufunc():
    """Return the gufunc ``(n),(n),(n),(y,x)->(y,x)``: weights, y and x of a ROI's pixels written on a canvas.

    Pixels outside the canvas are left out, so lists of different lengths can be padded with -1; the last of a pixel
    listed twice wins.
    """
    signatures = [f"void({name}[:], int64[:], int64[:], {name}[:, :], {name}[:, :])" for name in ("float32", "float64")]
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
