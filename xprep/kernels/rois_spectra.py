"""Fourier spectra of real windows, and what is read off a pair of them."""

from functools import lru_cache

import numpy as np
import scipy  # its parts load when they are first used: signal alone is 40 MiB

from xprep.kernels.compiling import compiled
from xprep.kernels.rois import Floats, Ints, frozen
from xprep.kernels.rois_windows import SUMS, check_pairs
from xprep.types import Array

DIRECT = 64  # up to this side a product with the matrix of waves beats the FFT: 31 is prime, and BLAS is 3 times as fast
BATCH = 128  # pairs at once: their spectra stay in the second-level cache


def mean_cross_power(masks: Array, references: Array, mask_of: Ints, reference_of: Ints, eps: float, relative: bool) -> Floats:
    """Mean over all frequencies of the real part of R / (eps + |R|), R the cross spectrum of a pair; (pair,).

    Windows are (window, z, y, x).
    """
    check_pairs(masks, references, mask_of, reference_of)
    counts = frozen(_half_counts(masks.shape[1:]))
    means = np.empty(mask_of.size)
    for first in range(0, mask_of.size, BATCH):
        batch = slice(first, first + BATCH)
        a, pick_a = _spectra(masks, mask_of[batch])
        b, pick_b = _spectra(references, reference_of[batch])
        _mean_cross_power(a, b, pick_a, pick_b, counts, eps, relative, means[batch])
    return means


def _spectra(windows, numbers):
    low, high = numbers.min(), numbers.max() + 1
    spectra = half_spectra(windows[low:high])
    return frozen(spectra.reshape(high - low, -1)), frozen(numbers - low)


def half_spectra(windows: Array) -> Array:
    """Fourier transform of real windows (window, z, y, x) over their axes; half of it, as `scipy.fft.rfftn`."""
    if max(windows.shape[1:]) > DIRECT:
        return np.asarray(scipy.fft.rfftn(windows, axes=(1, 2, 3)))
    n, depth, height, width = windows.shape
    kind = np.result_type(windows.dtype, np.complex64)
    rows = _waves(width, kind)[:, : width // 2 + 1].copy().view(windows.dtype)
    spectra = np.matmul(windows, rows).view(kind)
    spectra = np.matmul(_waves(height, kind), spectra)
    if depth > 1:
        spectra = np.matmul(_waves(depth, kind), spectra.reshape(n, depth, -1)).reshape(spectra.shape)
    return np.asarray(spectra)


@lru_cache(maxsize=32)
def _waves(length, kind):
    # Exponents modulo the length: exact, where their products would lose digits.
    turns = np.outer(np.arange(length), np.arange(length)) % length / length
    return np.exp(-2j * np.pi * turns).astype(kind)


def _half_counts(shape):
    # A real window's spectrum is stored by half: all but the first (and, if even, last) column stand for two.
    columns = np.full(shape[-1] // 2 + 1, 2.0)
    columns[0] = 1.0
    if shape[-1] % 2 == 0:
        columns[-1] = 1.0
    return np.tile(columns, int(np.prod(shape[:-1])))


@compiled(error_model="numpy", fastmath=SUMS)
def _mean_cross_power(masks, references, mask_of, reference_of, counts, eps, relative, means):
    total = 0.0
    for k in range(counts.size):
        total += counts[k]
    for p in range(mask_of.size):
        mask = masks[mask_of[p]]
        reference = references[reference_of[p]]
        scale = eps
        if relative:
            scale *= _mean_magnitude(mask, reference, counts) / total
        summed = 0.0
        for k in range(counts.size):
            real, magnitude = _cross(mask[k], reference[k])
            summed += counts[k] * real / (scale + magnitude)
        means[p] = summed / total


@compiled()
def _mean_magnitude(mask, reference, counts):
    summed = 0.0
    for k in range(counts.size):
        summed += counts[k] * _cross(mask[k], reference[k])[1]
    return summed


@compiled()
def _cross(a, b):
    # In float64 whatever the spectra: squares of float32 magnitudes run over at 1e19.
    ar, ai, br, bi = float(a.real), float(a.imag), float(b.real), float(b.imag)
    real = ar * br + ai * bi
    imaginary = ai * br - ar * bi
    return real, np.sqrt(real * real + imaginary * imaginary)
