"""ROIs of a label image, read once, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.engine.blocks.tiling import in_tiles
from xprep.engine.running.roi_blocks import collect_blocks
from xprep.engine.sources.lazy import as_lazy, check_known, is_lazy
from xprep.kernels.labels_lists import expand_runs, find_runs, sort_runs
from xprep.naming import named
from xprep.rois.table.placement import placement_of
from xprep.types import Array

Runs = tuple[Array, NDArray[np.int32]]
FEW_BLOCKS = 64  # of more, chunks of a source are read together: a task each would take more memory than the labels


def columns_from_labels(labels: Any) -> dict[str, Any]:
    """Return the arguments of `RoiTable` for a label image.

    Raises
    ------
    ValueError
        Not integers, negative labels, or other axes than y, x and z.
    """
    data = label_data(labels)
    placement = placement_of(labels) if isinstance(labels, xr.DataArray) else {}  # refused before anything is read
    blocks = as_lazy(data)
    if blocks.npartitions > FEW_BLOCKS:
        blocks, _ = in_tiles(blocks, range(blocks.ndim))
    values, places = _joined(collect_blocks(blocks, _find_runs, here=not is_lazy(data)))
    ids, ranks = _rank(values)
    del values
    order = _order(ranks, ids.size, places)
    z, y, x, lengths = places
    counts = np.bincount(ranks, weights=lengths, minlength=ids.size).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    columns = {
        "ypix": expand_runs(order, x, lengths, y),
        "xpix": expand_runs(order, x, lengths, None),
        "zpix": expand_runs(order, x, lengths, z) if data.ndim == 3 else _constant(0, np.int32, starts[-1]),
    }
    for column in columns.values():
        column.flags.writeable = False  # made here: the table need not copy them
    return {
        **columns,
        "lam": _constant(1, np.float32, starts[-1]),
        "starts": starts,
        "ids": ids,
        "volumetric": data.ndim == 3,
        "placement": placement,
    }


def _constant(value: float, dtype: Any, size: int) -> Array:
    return np.broadcast_to(np.array(value, dtype), (int(size),))


def label_data(labels: Any) -> Any:
    """Return the data of a label image, with axes (y, x) or (z, y, x).

    Raises
    ------
    ValueError
        Not integers, or other axes.
    """
    if isinstance(labels, xr.DataArray):
        order = [dim for dim in ("z", "y", "x") if dim in labels.dims]
        if set(labels.dims) != set(order) or not {"y", "x"} <= set(order):
            other = next((dim for dim in labels.dims if dim not in order), "t")
            raise ValueError(
                f"a label image has the dims y and x, and z if it is a volume; got {labels.dims}. "
                f"Select one of the others first, e.g. labels.isel({other}=0, drop=True)."
            )
        labels = labels.transpose(*order).data
    data = labels if is_lazy(labels) else np.asarray(labels)
    check_known(data, "a table of ROIs", "labels.data")
    if data.ndim not in (2, 3):
        got = f"the shape {data.shape}" if data.ndim else repr(labels)
        raise ValueError(f"labels must be a label image with the axes (y, x) or (z, y, x); got {got}.")
    if data.dtype.kind not in "iu":
        one = "A mask has no labels yet: mask.astype(int) is one ROI, scipy.ndimage.label numbers its parts."
        raise ValueError(f"labels must be integers, got {data.dtype}. {one if data.dtype == bool else 'Round them first.'}")
    return data


@named("label-runs")
def _find_runs(block: Array, origin: Sequence[int]) -> Runs:
    # Two types are compiled, whatever the image's: signed and unsigned, 64 bits only where they are needed.
    wide = block.dtype.itemsize == 8
    kind = np.dtype(f"{block.dtype.kind}{8 if wide else 4}")
    labels = np.ascontiguousarray(block, kind)
    values, places = find_runs(labels if labels.ndim == 3 else labels[None])
    places[:3] += np.array([0, *origin][-3:], np.int32)[:, None]
    return values, places


def _joined(runs: list[Runs]) -> Runs:
    values = np.concatenate([part for part, _ in runs])
    places = np.concatenate([part for _, part in runs], axis=1)
    runs.clear()  # they are 20 bytes each, and not needed twice
    return values, places


def _order(ranks: NDArray[np.int64], count: int, places: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return runs by label, and in raster order in each."""
    z, y = places[:2]
    rows = z.astype(np.int64) * (int(y.max(initial=0)) + 1) + y
    if not (np.diff(rows) < 0).any():
        return sort_runs(ranks, count)[0]
    # Blocks come from left to right, so in one row x rises already: counting by rows is all the sorting there is.
    by_row, _ = sort_runs(rows, int(rows.max()) + 1)
    by_label, _ = sort_runs(ranks[by_row], count)
    return by_row[by_label]


def _rank(values: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return the labels that occur, ascending, and the number of each value among them."""
    highest = int(values.max()) if values.size else 0
    if highest > 8 * values.size + 2**20:
        ids, ranks = np.unique(values, return_inverse=True)
        return ids if ids.dtype == np.uint64 and ids[-1] >= 2**63 else ids.astype(np.int64), ranks.astype(np.int64)
    # Labels are mostly 1 … n: a table of them is looked up faster than anything is sorted.
    there = np.zeros(highest + 1, bool)
    there[values.astype(np.int64)] = True
    ids = np.flatnonzero(there)
    ranks_of = np.cumsum(there) - 1
    return ids, ranks_of[values.astype(np.int64)]
