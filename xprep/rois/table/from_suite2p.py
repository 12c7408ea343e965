"""suite2p's ``stat``: a dict per ROI."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from xprep.switches import check_switch

NEEDED = ("ypix", "xpix", "lam")


def columns_from_suite2p(stat: Any, plane: int | None, exclude_overlap: bool) -> dict[str, Any]:
    """Return the arguments of `RoiTable.from_pixels`.

    Raises
    ------
    KeyError
        A ROI lacks an entry.
    TypeError
        ``stat`` is no list of ROIs.
    """
    exclude_overlap = check_switch(exclude_overlap, "exclude_overlap")
    if plane is not None and (isinstance(plane, bool) or not isinstance(plane, int | np.integer) or not 0 <= plane < 2**31):
        raise TypeError(f"plane must be a whole number, 0 or more, or None; got {plane!r}.")
    cells = cells_of(stat)
    needed = (*NEEDED, "overlap") if exclude_overlap else NEEDED
    for number, cell in enumerate(cells):
        missing = [name for name in needed if name not in cell]
        if missing:
            raise KeyError(f"ROI {number} of stat lacks {missing}; it has {sorted(map(str, cell))}.")
    kept = [_kept(cell, exclude_overlap) for cell in cells]
    columns = {name: [np.asarray(cell[name])[keep] for cell, keep in zip(cells, kept, strict=True)] for name in NEEDED}
    planes = [int(cell.get("iplane", 0)) if plane is None else plane for cell in cells]
    return {**columns, "zpix": np.asarray(planes, np.int64)}


def cells_of(stat: Any) -> list[Mapping[str, Any]]:
    """Return the ROIs of what was given for ``stat``: a list of dicts; of an array that holds one object, that.

    Raises
    ------
    TypeError
        A path, a dict that is no ROI, anything else.
    """
    if isinstance(stat, str | bytes | PathLike):
        raise TypeError(
            f"from_suite2p takes ROIs and no path, because reading a pickle runs what is in it; if you trust the file: "
            f"RoiTable.from_suite2p(numpy.load({str(stat)!r}, allow_pickle=True))."
        )
    if isinstance(stat, np.ndarray) and stat.ndim == 0:
        return cells_of(stat.item())
    if isinstance(stat, Mapping):
        if not set(NEEDED) & set(stat):
            keys = sorted(map(str, stat))[:8]
            raise TypeError(f"stat is a list with a dict a ROI; got one dict with the keys {keys}. Give its entry of ROIs.")
        return [stat]
    cells = list(stat) if np.iterable(stat) else [stat]
    if wrong := [type(cell).__name__ for cell in cells if not isinstance(cell, Mapping)]:
        raise TypeError(f"stat is a list with a dict a ROI ({', '.join(NEEDED)}); got {wrong[0]} in it.")
    return cells


def _kept(cell: Mapping[str, Any], exclude_overlap: bool) -> Any:
    return ~np.asarray(cell["overlap"], bool) if exclude_overlap else slice(None)
