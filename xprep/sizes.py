"""Numbers of bytes, as people write them."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

_SIZE: Final = re.compile(r"\s*([0-9.]+)\s*([kmgtp]?)(i?)(b?)\s*", re.IGNORECASE)


def format_bytes(nbytes: float) -> str:
    """Return a number of bytes in a few letters.

    Examples
    --------
    >>> format_bytes(0), format_bytes(1536), format_bytes(3 * 2**40), format_bytes(2**75)
    ('0 B', '1.5 KiB', '3.0 TiB', '32768.0 EiB')
    """
    size = float(nbytes)
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} EiB"


def parse_bytes(given: Any) -> int:
    """Return a number of bytes that is given as a number or as a text: ``8GiB``, ``500 MB``, ``1000000``.

    Raises
    ------
    ValueError
        A text that is no size, or a number that is not whole.
    TypeError
        Neither a number nor a text.

    Examples
    --------
    >>> parse_bytes("1.5 KiB"), parse_bytes("2 kB"), parse_bytes(16e9)
    (1536, 2000, 16000000000)
    """
    if isinstance(given, bool) or not isinstance(given, str | int | float | np.number):
        raise TypeError(f"{given!r} is no number of bytes, such as 8589934592 or '8 GiB'.")
    if not isinstance(given, str):
        if not float(given).is_integer():
            raise ValueError(f"{given!r} is no whole number of bytes, such as 8589934592 or '8 GiB'.")
        return int(given)
    found = _SIZE.fullmatch(given)
    try:
        number, prefix, binary, _ = found.groups() if found else ("", "", "", "")
        return int(float(number) * (1024 if binary else 1000) ** " kmgtp".index(prefix.lower() or " "))
    except ValueError:
        raise ValueError(f"{given!r} is no number of bytes, such as '8 GiB', '500 MB' or '1000000'.") from None
