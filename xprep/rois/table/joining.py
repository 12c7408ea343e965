"""Several ROI tables as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xprep.arguments import check_listed
from xprep.dims.alignment import SPACE
from xprep.rois.table.placement import joined_placement
from xprep.rois.table.ragged_columns import RaggedPixels


def joined_columns(tables: Sequence[RaggedPixels]) -> dict[str, Any]:
    """Return the arguments of `RoiTable` for tables one after another, as `RoiTable.concat` says.

    Raises
    ------
    ValueError
        No tables, or planar and volumetric ones; pixels that do not lie on one grid.
    """
    listed = check_listed(tables, "tables", "a list of RoiTables")
    if wrong := [table for table in listed if not isinstance(table, RaggedPixels)]:
        raise TypeError(f"tables must be a list of RoiTables; got {wrong[0]!r} in it.")
    if len({table.volumetric for table in tables}) != 1:
        raise ValueError(f"tables must be one RoiTable or more, all planar or all volumetric; got {tables!r}.")
    counts = np.concatenate([np.diff(table.starts) for table in tables])
    ids = np.concatenate([table.ids for table in tables])
    placement, shifts = joined_placement([table.placement for table in tables])
    columns = {"lam": np.concatenate([table.lam for table in tables])}
    for dim in SPACE:
        parts = [getattr(table, f"{dim}pix") + shift.get(dim, 0) for table, shift in zip(tables, shifts, strict=True)]
        columns[f"{dim}pix"] = np.concatenate(parts)
    return {
        **columns,
        "starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "ids": ids if len(np.unique(ids)) == ids.size else np.arange(ids.size),
        "volumetric": tables[0].volumetric,
        "placement": placement,
    }
