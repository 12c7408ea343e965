"""Which values an image may have: one check for every operation."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_real(dtype: Any, operation: str, what: str = "the image") -> None:
    """Refuse what is no real number of at most 64 bits: complex, long double, objects, dates, text.

    Raises
    ------
    TypeError
        It names the type, and how to convert.

    Examples
    --------
    >>> check_real(np.dtype(">u2"), "traces")
    >>> check_real(np.dtype("c8"), "traces")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: traces works on real numbers; the image is of complex64. Convert it first, e.g. image.astype('float32')...
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "buif":
        more = " or abs(image)." if dtype.kind == "c" else "."
        raise TypeError(
            f"{operation} works on real numbers; {what} is of {dtype}. Convert it first, e.g. image.astype('float32'){more}"
        )
    if dtype.itemsize > 8:
        raise TypeError(
            f"{operation} works on real numbers of at most 64 bits; {what} is of {dtype}. Convert it first, e.g. "
            "image.astype('float64')."
        )
