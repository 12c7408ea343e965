"""suite2p's ``stat``: a dict per ROI."""

from __future__ import annotations

from collections.abc import Mapping
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
    """
    exclude_overlap = check_switch(exclude_overlap, "exclude_overlap")
    cells = list(stat)
    needed = (*NEEDED, "overlap") if exclude_overlap else NEEDED
    for number, cell in enumerate(cells):
        missing = [name for name in needed if name not in cell]
        if missing:
            raise KeyError(f"ROI {number} of stat lacks {missing}; it has {sorted(cell)}.")
    kept = [_kept(cell, exclude_overlap) for cell in cells]
    columns = {name: [np.asarray(cell[name])[keep] for cell, keep in zip(cells, kept, strict=True)] for name in NEEDED}
    planes = [int(cell.get("iplane", 0)) if plane is None else plane for cell in cells]
    return {**columns, "zpix": np.asarray(planes, np.int64)}


def _kept(cell: Mapping[str, Any], exclude_overlap: bool) -> Any:
    return ~np.asarray(cell["overlap"], bool) if exclude_overlap else slice(None)
