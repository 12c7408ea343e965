"""Fourier spectra of real windows, and what is read off a pair of them."""

import numpy as np
import scipy.fft
from numba import njit

from xprep.kernels.rois import check_offsets, frozen


def mean_cross_power(masks, references, mask_of, reference_of, eps, relative):
    """Mean over all frequencies of the real part of R / (eps + |R|), R the cross spectrum of a pair; (pair,)."""
    if masks.shape[1:] != references.shape[1:]:
        raise ValueError(f"masks and references need windows of one shape; got {masks.shape[1:]} and {references.shape[1:]}.")
    check_offsets(mask_of, masks.shape[0])
    check_offsets(reference_of, references.shape[0])
    axes = tuple(range(1, masks.ndim))
    means = np.empty(mask_of.size)
    _mean_cross_power(
        _flat(scipy.fft.rfftn(masks, axes=axes)),
        _flat(scipy.fft.rfftn(references, axes=axes)),
        frozen(mask_of),
        frozen(reference_of),
        frozen(_half_counts(masks.shape[1:])),
        eps,
        relative,
        means,
    )
    return means


def _flat(spectra):
    return frozen(spectra.reshape(spectra.shape[0], int(np.prod(spectra.shape[1:]))))


def _half_counts(shape):
    # A real window's spectrum is stored by half: all but the first (and, if even, last) column stand for two.
    columns = np.full(shape[-1] // 2 + 1, 2.0)
    columns[0] = 1.0
    if shape[-1] % 2 == 0:
        columns[-1] = 1.0
    return np.tile(columns, int(np.prod(shape[:-1])))


@njit(nogil=True, cache=True, error_model="numpy")
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


@njit(nogil=True, cache=True)
def _mean_magnitude(mask, reference, counts):
    summed = 0.0
    for k in range(counts.size):
        summed += counts[k] * _cross(mask[k], reference[k])[1]
    return summed


@njit(nogil=True, cache=True)
def _cross(a, b):
    # In float64 whatever the spectra: squares of float32 magnitudes run over at 1e19.
    ar, ai, br, bi = float(a.real), float(a.imag), float(b.real), float(b.imag)
    real = ar * br + ai * bi
    imaginary = ai * br - ar * bi
    return real, np.sqrt(real * real + imaginary * imaginary)
