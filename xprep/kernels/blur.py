"""Separable symmetric blur of one plane that carries its own margin.

A row is converted and filtered along x once, into a ring that holds as many rows as the filter along y is long; an
output row is the filter over that ring. Nothing else is written, so a plane costs one read and one write of memory.
The ring keeps each row twice, one turn apart: any window of it is then contiguous, at a stride the compiler knows, and
the loop over pixels vectorises without seventeen checks for overlap. Taps are added eight pairs at a time, because a
loop over a run-time number of taps reaches a fifth of the speed.

Every output is the same sum in the same order (centre, then pairs outwards), wherever it lies: results do not depend on
tiles. Nothing here may be compiled with ``fastmath``: fused or reordered sums would differ between loop and tail.
"""

from __future__ import annotations

import numpy as np

from xprep.kernels.compiling import compiled
from xprep.kernels.layout import contiguous

MAX_RADIUS = 10**7  # 80 MB of taps; an image has fewer pixels along an axis

# Pixels of a row that are worked on together: the ring of sigma 2 is 140 KiB and stays in the second cache, however
# wide the image. 256 pixels were a fifth slower, 2048 no faster.
STRIP = 1024
# Distance of two rows in the ring, not a power of two, or rows would fall onto the same few cache sets.
STRIDE = STRIP + 16


def gaussian_half(sigma: float, truncate: float = 4.0) -> np.ndarray:
    """Return the taps of a normalised Gaussian from its centre outwards, float64 ``(radius + 1,)``.

    They are those of `scipy.ndimage.gaussian_filter1d` of order 0: radius ``int(truncate * sigma + 0.5)``.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, finite and not negative; 0 gives the single tap 1.
    truncate : float
        Radius in units of ``sigma``.

    Raises
    ------
    ValueError
        ``sigma`` or ``truncate`` is negative or not finite.

    Examples
    --------
    >>> gaussian_half(1.0).round(4).tolist()
    [0.3989, 0.242, 0.054, 0.0044, 0.0001]
    >>> gaussian_half(0).tolist()
    [1.0]
    """
    if not (np.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma must be finite and not negative; got {sigma!r}.")
    if not (np.isfinite(truncate) and truncate >= 0):
        raise ValueError(f"truncate must be finite and not negative; got {truncate!r}.")
    radius = int(truncate * float(sigma) + 0.5)
    if radius > MAX_RADIUS:
        raise ValueError(f"sigma={sigma:g} with truncate={truncate:g} reaches {radius} pixels; it must be at most {MAX_RADIUS}.")
    if radius == 0:
        return np.ones(1)
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    half: np.ndarray = (taps / taps.sum())[radius:]
    return half


def blur_plane(padded: np.ndarray, half_y: np.ndarray, half_x: np.ndarray, divisor: float, out: np.ndarray) -> None:
    """Divide a plane by ``divisor`` and blur it; a NaN reaches every output whose window holds it.

    Parameters
    ----------
    padded : (h + 2 ry, w + 2 rx) bool, integers or floats
        The plane with its margin on all four sides.
    half_y, half_x : (ry + 1,), (rx + 1,) float64
        Taps from the centre outwards (`gaussian_half`); a single tap leaves the axis to itself.
    divisor : float
        Values are divided by it, in the type of ``out``, before they are blurred; 1 changes nothing.
    out : (h, w) float32 or float64, C-contiguous
        Takes the result. Sums are made in its type.

    Raises
    ------
    ValueError
        Shapes do not fit, or ``out`` is not a contiguous float32 or float64 array.
    """
    check_planes(padded, half_y, half_x, out)
    _blur(plain_plane(padded), taps_of(half_y, out.dtype), taps_of(half_x, out.dtype), out.dtype.type(divisor), out)


def blur_plane_nan(padded: np.ndarray, half_y: np.ndarray, half_x: np.ndarray, divisor: float, out: np.ndarray) -> None:
    """Blur as `blur_plane` does, over the values that are not NaN (normalised convolution).

    Each output is the weighted mean of the non-NaN values under its window, a NaN centre's output too; where all of
    them are NaN it is NaN.

    Parameters
    ----------
    padded, half_y, half_x, divisor, out
        As for `blur_plane`; taps must not be negative.

    Raises
    ------
    ValueError
        As for `blur_plane`.
    """
    check_planes(padded, half_y, half_x, out)
    if padded.dtype.kind != "f":
        blur_plane(padded, half_y, half_x, divisor, out)
        return
    _blur_nan(plain_plane(padded), taps_of(half_y, out.dtype), taps_of(half_x, out.dtype), out.dtype.type(divisor), out)


def check_planes(padded: np.ndarray, half_y: np.ndarray, half_x: np.ndarray, out: np.ndarray) -> None:
    """Refuse planes and taps that do not fit; compiled loops do not look themselves."""
    if out.ndim != 2 or out.dtype not in (np.float32, np.float64) or not out.flags.c_contiguous:
        raise ValueError(f"out must be a contiguous float32 or float64 plane; got {out.ndim} axes of {out.dtype}.")
    if half_y.ndim != 1 or half_x.ndim != 1 or not half_y.size or not half_x.size:
        raise ValueError(f"taps must be one-dimensional and not empty; got shapes {half_y.shape} and {half_x.shape}.")
    needed = out.shape[0] + 2 * (half_y.size - 1), out.shape[1] + 2 * (half_x.size - 1)
    if padded.shape != needed:
        raise ValueError(f"an output of {out.shape} needs a padded plane of {needed}; got {padded.shape}.")


def plain_plane(padded: np.ndarray) -> np.ndarray:
    """Return a native, read-only view: whether an array may be written would otherwise compile the kernel twice.

    Booleans are viewed as the bytes that they are: numba makes no ``float`` of one.
    """
    if padded.dtype == np.float16:
        padded = padded.astype(np.float32)
    if padded.dtype == np.bool_:
        padded = padded.view(np.uint8)
    plain = padded.astype(padded.dtype.newbyteorder("="), copy=False).view()
    plain.flags.writeable = False
    return plain


def taps_of(half: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round taps to the type of the sums; one that vanished would turn infinity into NaN (0 * inf)."""
    taps = half.astype(dtype)
    taps[(taps == 0) & (half > 0)] = np.finfo(dtype).tiny
    return taps


def _correlation(step):
    """Return the filter of values ``step`` apart; a constant step is what lets the loops over pixels vectorise.

    Each loop reads one window whose first value is its furthest neighbour. Taps are written out and held in names: a
    loop over them, even of constant length, is 7 to 20 times slower (0.52 against 3.9 to 10.5 ns a pixel, eight pairs).
    """

    @compiled()
    def correlate(source, at, taps, out, width):
        radius = taps.size - 1
        if radius >= 8:
            window = source[at - 8 * step :]
            t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
            t5, t6, t7, t8 = taps[5], taps[6], taps[7], taps[8]
            for x in range(width):
                total = t0 * window[x + 8 * step]
                total += t1 * (window[x + 7 * step] + window[x + 9 * step])
                total += t2 * (window[x + 6 * step] + window[x + 10 * step])
                total += t3 * (window[x + 5 * step] + window[x + 11 * step])
                total += t4 * (window[x + 4 * step] + window[x + 12 * step])
                total += t5 * (window[x + 3 * step] + window[x + 13 * step])
                total += t6 * (window[x + 2 * step] + window[x + 14 * step])
                total += t7 * (window[x + step] + window[x + 15 * step])
                total += t8 * (window[x] + window[x + 16 * step])
                out[x] = total
            k = 9
        else:
            window = source[at:]
            t0 = taps[0]
            for x in range(width):
                out[x] = t0 * window[x]
            k = 1
        while radius - k >= 3:
            near, far = source[at - (k + 3) * step :], source[at + k * step :]
            t0, t1, t2, t3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
            for x in range(width):
                total = out[x] + t0 * (near[x + 3 * step] + far[x])
                total += t1 * (near[x + 2 * step] + far[x + step])
                total += t2 * (near[x + step] + far[x + 2 * step])
                out[x] = total + t3 * (near[x] + far[x + 3 * step])
            k += 4
        while radius - k >= 0:
            near, far = source[at - k * step :], source[at + k * step :]
            t0 = taps[k]
            for x in range(width):
                out[x] += t0 * (near[x] + far[x])
            k += 1

    return correlate


_along_row = _correlation(1)
_across_rows = _correlation(STRIDE)


@compiled(error_model="numpy")
def load_row(values, divisor, line):
    """Convert values to the type of ``line``, divided."""
    if divisor == 1:
        for x in range(values.size):
            line[x] = values[x]
    else:
        for x in range(values.size):
            line[x] = line.dtype.type(values[x]) / divisor


@compiled()
def push_row(line, half_x, half_y, y, span, ring):
    """Filter a row along x into its two places in the ring."""
    turn = 2 * half_y.size - 1
    slot = (y % turn) * STRIDE
    filtered = ring[slot : slot + span]
    _along_row(line, half_x.size - 1, half_x, filtered, span)
    again = ring[slot + turn * STRIDE :]
    for x in range(span):  # not an assignment of arrays: the text of its error takes 2 s to compile
        again[x] = filtered[x]


@compiled()
def pull_row(ring, half_y, row, out):
    """Filter the ring's window which begins at ``row`` into ``out``."""
    middle = (row % (2 * half_y.size - 1) + half_y.size - 1) * STRIDE
    _across_rows(ring, middle, half_y, out, out.size)


@compiled()
def _blur(padded, half_y, half_x, divisor, out):
    height, width = out.shape
    margin_y, margin_x = 2 * (half_y.size - 1), 2 * (half_x.size - 1)
    line = np.empty(STRIP + margin_x, out.dtype)
    ring = np.empty(2 * (margin_y + 1) * STRIDE, out.dtype)
    for left in range(0, width, STRIP):
        span = min(STRIP, width - left)
        for y in range(height + margin_y):
            load_row(contiguous(padded[y, left : left + span + margin_x]), divisor, line)
            push_row(line, half_x, half_y, y, span, ring)
            if y >= margin_y:
                pull_row(ring, half_y, y - margin_y, out[y - margin_y, left : left + span])


@compiled()
def _split_nan(line, weights, width):
    """Replace NaN by 0, and mark in ``weights`` what is a number."""
    for x in range(width):
        known = line[x] == line[x]
        weights[x] = 1 if known else 0
        line[x] = line[x] if known else 0


@compiled(error_model="numpy")
def _divide(out, weights):
    for x in range(out.size):
        out[x] = out[x] / weights[x] if weights[x] > 0 else np.nan


@compiled()
def _blur_nan(padded, half_y, half_x, divisor, out):
    height, width = out.shape
    margin_y, margin_x = 2 * (half_y.size - 1), 2 * (half_x.size - 1)
    line, known = np.empty(STRIP + margin_x, out.dtype), np.empty(STRIP + margin_x, out.dtype)
    ring, known_ring = (
        np.empty(2 * (margin_y + 1) * STRIDE, out.dtype),
        np.empty(2 * (margin_y + 1) * STRIDE, out.dtype),
    )
    weights = np.empty(STRIP, out.dtype)
    for left in range(0, width, STRIP):
        span = min(STRIP, width - left)
        for y in range(height + margin_y):
            load_row(contiguous(padded[y, left : left + span + margin_x]), divisor, line)
            _split_nan(line, known, span + margin_x)
            push_row(line, half_x, half_y, y, span, ring)
            push_row(known, half_x, half_y, y, span, known_ring)
            if y >= margin_y:
                row = out[y - margin_y, left : left + span]
                pull_row(ring, half_y, y - margin_y, row)
                pull_row(known_ring, half_y, y - margin_y, weights[:span])
                _divide(row, weights)
