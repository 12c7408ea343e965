"""How well a mask and an image fall together, by phase: the reference's functions 14 to 16."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its parts load when they are first used: signal alone is 40 MiB

from xprep.arguments import check_number
from xprep.kernels.rois_spectra import mean_cross_power
from xprep.rois.formulas.dispatch import Pairs, as_floats, float_type, over_windows
from xprep.switches import check_switch
from xprep.types import Array


def cross_power_spectrum(static: Any, moving: Any, *, eps: float = 1e6, volumetric: bool = False, relative: bool = False) -> Any:
    """Return ``R / (eps + |R|)``, where R = FFT(static) · conj(FFT(moving)), unnormalised, over each window.

    Parameters
    ----------
    static, moving : numpy, dask or xarray, (roi, [z], y, x)
        Windows of one size; their other axes are broadcast.
    eps
        Added to ``|R|``. With the reference's 1e6 the result is nearly R itself unless the light is strong: it depends on
        the unit of the image. Small values give the pure phase.
    volumetric
        Whether windows hold planes.
    relative
        Take ``eps`` times the window's mean ``|R|``, so that the result does not depend on the unit.

    Returns
    -------
    complex64 (complex128 unless both are float32)
        A NaN anywhere makes its window NaN; so does eps = 0 where R is 0.

    Raises
    ------
    ValueError
        Windows of different sizes, axes that cannot be broadcast, a negative or NaN ``eps``.

    Notes
    -----
    Reference: ``cellector.utils.cross_power_spectrum``.

    Examples
    --------
    >>> import numpy as np
    >>> cross_power_spectrum(np.ones((1, 2, 2)), np.ones((1, 2, 2)), eps=16.0)[0, 0]
    array([0.5+0.j, 0. +0.j])
    """
    volumetric, relative = check_switch(volumetric, "volumetric"), check_switch(relative, "relative")
    check_eps(eps)
    axes = tuple(range(-3 if volumetric else -2, 0))

    def divide(static: Array, moving: Array) -> Any:
        return _spectrum(static, moving, axes, eps, relative).astype(_complex_type(static.dtype, moving.dtype)[0], copy=False)

    windows = {"static": static, "moving": moving}
    return over_windows(divide, windows, volumetric, _complex_type, keeps=True)[0]


def _complex_type(a: Any, b: Any) -> tuple[Any]:
    return (np.complex64 if float_type(a, b) is np.float32 else np.complex128,)


def _spectrum(static: Array, moving: Array, axes: tuple[int, ...], eps: float, relative: bool) -> Any:
    # In float64, rounded once: in float32 the sum over a bright window covers every other frequency with its rounding.
    static, moving = static.astype(np.float64, copy=False), moving.astype(np.float64, copy=False)
    product = scipy.fft.fftn(static, axes=axes) * scipy.fft.fftn(moving, axes=axes).conj()
    magnitude = np.abs(product)
    added = eps * magnitude.mean(axis=axes, keepdims=True) if relative else magnitude.dtype.type(eps)
    with np.errstate(divide="ignore", invalid="ignore"):
        return product / (added + magnitude)


def check_eps(eps: float) -> None:
    """Refuse what cannot be added to a magnitude.

    Raises
    ------
    ValueError
        Negative or NaN.
    TypeError
        No number.
    """
    check_number(eps, "eps", least=0)


def phase_correlation(static: Any, moving: Any, *, eps: float = 1e-8, volumetric: bool = False) -> Any:
    """Return the phase correlation of windows: its peak is the cyclic shift that moves ``moving`` onto ``static``.

    Parameters
    ----------
    static, moving : numpy, dask or xarray, (roi, y, x)
        Windows of one size; their other axes are broadcast.
    eps
        See `cross_power_spectrum`; note the other default.
    volumetric
        Whether windows hold planes (the reference knows planes only).

    Returns
    -------
    float32 (float64 unless both are float32), shape of the windows
        Index 0 is no shift; the peak of ``moving = roll(static, s)`` lies at -s modulo the shape.

    Raises
    ------
    ValueError
        See `cross_power_spectrum`.

    Notes
    -----
    Reference: ``cellector.utils.phase_correlation``.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((8, 8))
    >>> found = phase_correlation(image, np.roll(image, (2, 3), axis=(0, 1)))
    >>> [int(i) for i in np.unravel_index(found.argmax(), found.shape)]
    [6, 5]
    """
    volumetric = check_switch(volumetric, "volumetric")
    check_eps(eps)
    axes = tuple(range(-3 if volumetric else -2, 0))

    def correlate(static: Array, moving: Array) -> Any:
        shifted = scipy.fft.ifftn(_spectrum(static, moving, axes, eps, False), axes=axes).real
        return shifted.astype(float_type(static.dtype, moving.dtype), copy=False)

    windows = {"static": static, "moving": moving}
    return over_windows(correlate, windows, volumetric, lambda a, b: (float_type(a, b),), keeps=True)[0]


def phase_correlation_zero(
    masks: Any, references: Any, *, eps: float = 1e6, volumetric: bool = False, relative: bool = False
) -> Any:
    """Return the phase correlation at no shift: how well each mask lies on its image as it is.

    Parameters
    ----------
    masks, references : numpy, dask or xarray, (roi, [z], y, x)
        Windows of one size; their other axes are broadcast.
    eps, volumetric, relative
        See `cross_power_spectrum`. Values are comparable for one ``eps`` only.

    Returns
    -------
    float64, (roi, …)
        The mean of the cross-power spectrum over all frequencies, its real part.

    Raises
    ------
    ValueError
        See `cross_power_spectrum`.

    Notes
    -----
    Reference: ``cellector.utils.phase_correlation_zero``. It windows nothing; the pipeline of the
    reference does so before (``window`` of `roi_features`).

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((1, 8, 8))
    >>> phase_correlation_zero(image, image, eps=0.0)
    array([1.])
    """
    volumetric, relative = check_switch(volumetric, "volumetric"), check_switch(relative, "relative")
    check_eps(eps)
    core = 3 if volumetric else 2

    def average(masks: Array, references: Array) -> Any:
        pairs = Pairs(as_floats(masks), references.astype(np.float64, copy=False), core)
        found = mean_cross_power(pairs.masks, pairs.references, pairs.mask_of, pairs.reference_of, float(eps), relative)
        return pairs.result(found)

    windows = {"masks": masks, "references": references}
    return over_windows(average, windows, volumetric, lambda *_: (np.float64,), keeps=False)[0]
