"""What the page can show of values: types that WebGL lacks are converted, and contrast limits are found."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from xprep.io.ome_model import ContrastWindow
from xprep.ops.shown_channels import DISPLAYED
from xprep.types import Array

_IMAGES: Final = {"bool": "uint8", "float16": "float32", "float64": "float32", "longdouble": "float32", "int64": "float32"}
_LABELS: Final = {"bool": "uint8", "int8": "uint64", "int16": "uint64", "int32": "uint64", "int64": "uint64"}


def display_dtype(dtype: np.dtype[Any], *, is_label: bool = False) -> np.dtype[Any]:
    """Return the type that values of ``dtype`` are shown in, little-endian.

    Examples
    --------
    >>> display_dtype(np.dtype(">u2")).str, display_dtype(np.dtype("int64"), is_label=True).name
    ('<u2', 'uint64')
    """
    names = _LABELS if is_label else _IMAGES
    return np.dtype(names.get(dtype.name, "float32" if dtype.kind == "f" else dtype.name)).newbyteorder("<")


def displayed(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return values in the type that is shown; between integers and of what does not fit, as numpy converts."""
    if values.dtype.kind == "f" and dtype.kind in "iu":
        values = np.rint(values)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 does not hold is infinite, and shown as the brightest
        return values.astype(dtype, copy=False)


def window_of_values(values: Array) -> ContrastWindow | None:
    """Return contrast limits for ``values``: percentiles, without NaN and infinities; None where nothing is left.

    Examples
    --------
    >>> window_of_values(np.array([0.0, np.nan, 10.0, np.inf]))
    ContrastWindow(min=0.0, max=10.0, start=0.01, end=9.99)
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    start, end = (float(f"{v:.6g}") for v in np.percentile(finite, DISPLAYED))
    return ContrastWindow(low, high, start, end) if end > start else ContrastWindow(low, max(high, low + 1), low, low + 1)
