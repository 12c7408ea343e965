"""Numbers of bytes, as people write them."""

from __future__ import annotations


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
