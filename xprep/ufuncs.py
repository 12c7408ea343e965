"""Per-pixel arithmetic as numpy ufuncs, for numpy, dask and xarray (`xarray.apply_ufunc`).

Each is built (0.3 to 1.3 s) when it is first touched, not when xprep is imported, and may be
pickled. Like any ufunc they broadcast, take ``out=`` and cast by numpy's rules. Beside each stands its signature.

``sum_scaled(values, scales)``, ``(c,n),(c)->(n)``
    Sum over channels of ``values / scales``: what thresholds are measured on. ``values`` (…, c, n) are bool, integers
    or floats, ``scales`` (…, c) one divisor per channel; the result (…, n) is float32 where both fit float32
    (integers of up to 16 bits do), otherwise float64. Channels are added in their order; NaN in any makes the sum NaN.

``normalize_pixels(values, threshold, thresholded, norm_sum, divisors, cap)``, ``(c,n),(),(),(),(c),()->(c,n)``
    What `xprep.normalize` does to a pixel whose channels were divided by their percentiles and blurred. With ``S`` the
    sum of its channels: all of them become NaN where ``S`` is NaN and, if ``thresholded``, unless ``S > threshold``; if
    ``norm_sum`` they are divided by ``S`` where that is positive, and NaN elsewhere; then each is divided by its
    channel's entry of ``divisors`` (ones for none) and is at most ``cap`` (infinity for none; NaN stays). float32 or
    float64. The method is that of harpy's ``pixel_clustering_preprocess``.

``mask_pixels(value, keep, outside)``
    ``value`` where ``keep``, otherwise ``outside``, in the dtype numpy finds for the two values: that of ``value`` as
    long as it can hold ``outside``.

``fill_mask(lam, ypix, xpix, canvas)``, ``(n),(n),(n),(y,x)->(y,x)``
    ``canvas`` with the weights ``lam`` of a ROI's pixels written at ``ypix``, ``xpix``. Pixels outside the canvas are
    left out, so the lists of many ROIs can be padded with -1 to one length; of a pixel listed twice, the last wins.
    float32 or float64.

The core dims ``c`` and ``n`` are channels and any one dim of pixels, best the one whose pixels are neighbours in
memory.

Examples
--------
>>> import numpy as np, xarray as xr
>>> from xprep.ufuncs import mask_pixels, normalize_pixels, sum_scaled
>>> image = xr.DataArray(np.array([[[2, 4]], [[10, 30]]], np.uint16), dims=("c", "y", "x"))
>>> scales = xr.DataArray(np.array([2, 10], np.float32), dims="c")
>>> total = xr.apply_ufunc(
...     sum_scaled, image, scales, input_core_dims=[["c", "x"], ["c"]], output_core_dims=[["x"]], dask="parallelized"
... )
>>> total.values.tolist()
[[2.0, 5.0]]
>>> normalize_pixels(np.array([[1.0, 2.0], [1.0, 3.0]]), 2.0, True, True, [0.5, 0.25], 2.0).tolist()
[[nan, 0.8], [nan, 2.0]]
>>> mask_pixels(np.array([3, 4], np.uint16), [True, False], 0)
array([3, 0], dtype=uint16)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xprep.kernels.ufuncs import build_ufunc

__all__ = ["fill_mask", "mask_pixels", "normalize_pixels", "sum_scaled"]

if TYPE_CHECKING:
    fill_mask: np.ufunc
    mask_pixels: np.ufunc
    normalize_pixels: np.ufunc
    sum_scaled: np.ufunc


def __getattr__(name: str) -> np.ufunc:
    """Build a ufunc when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}.")
    ufunc = globals()[name] = build_ufunc(name)
    return ufunc


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
