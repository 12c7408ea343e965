"""What is used of tifffile that is not documented."""

from __future__ import annotations

from typing import Any

from xprep.private_api import uses


@uses(
    "tifffile.ZarrTiffStore._parse_key",
    since="tifffile 2023.4",
    loss="refused",
    without="compressed TIFF files are not read: a file that was cut short would have black planes",
)
def where_in_file(store: Any, key: str) -> tuple[Any, int, int]:
    """Return the page of the chunk ``key`` (None where the file has none), its offset and how many bytes it has.

    Raises
    ------
    OSError
        This tifffile does not tell.
    """
    if not hasattr(store, "_parse_key"):
        raise OSError("this version of tifffile does not tell where a chunk lies, so a file that was cut short would look black. "
                      "Use an older one.")  # fmt: skip
    _, page, _, offset, nbytes = store._parse_key(key)
    return page, offset, nbytes
