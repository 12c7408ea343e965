"""A ROI table as an xarray Dataset, and back: CF's contiguous ragged array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xprep.rois.table.placement import PixelAxis
from xprep.types import Array

COLUMNS = ("lam", "zpix", "ypix", "xpix")


def dataset_of(
    columns: Mapping[str, Array], counts: Array, ids: Array, volumetric: bool, placement: Mapping[str, PixelAxis]
) -> xr.Dataset:
    """Return the Dataset of a table; where pixels lie is in the attributes of their positions."""
    where = {f"{dim}pix": _attributes(axis) for dim, axis in placement.items()}
    variables: dict[str, Any] = {name: ("pixel", column, where.get(name, {})) for name, column in columns.items()}
    variables["pixel_count"] = (
        "roi",
        counts,
        {"sample_dimension": "pixel", "long_name": "number of pixels of each ROI"},
    )
    return xr.Dataset(variables, {"roi": ids}, {"volumetric": int(volumetric)})


def _attributes(axis: PixelAxis) -> dict[str, Any]:
    """Return where pixels lie as attributes. Not ``units``, ``scale_factor`` and ``add_offset``: readers decode these."""
    told = {"pixel_origin": axis.origin, "pixel_size": axis.pixel_size, "pixel_unit": axis.unit}
    return {name: value for name, value in told.items() if value is not None}


def _axis(attrs: Mapping[Any, Any]) -> PixelAxis:
    size, unit = attrs.get("pixel_size"), attrs.get("pixel_unit")
    return PixelAxis(float(attrs["pixel_origin"]), None if size is None else float(size), None if unit is None else str(unit))


def columns_from_dataset(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the arguments of `RoiTable` from a Dataset as `dataset_of` makes it.

    Raises
    ------
    KeyError
        A variable is missing.
    """
    if not isinstance(dataset, xr.Dataset):
        raise TypeError(f"dataset must be a Dataset as RoiTable.to_dataset makes it; got {type(dataset).__name__}: {dataset!r}.")
    missing = [name for name in (*COLUMNS, "pixel_count") if name not in dataset]
    if missing:
        raise KeyError(f"dataset needs the variables {[*COLUMNS, 'pixel_count']}; {missing} are missing from {list(dataset)}.")
    computed = dataset.compute()
    columns: dict[str, Any] = {name: computed[name].values for name in COLUMNS}
    starts = np.concatenate([[0], np.cumsum(computed["pixel_count"].values)]).astype(np.int64)
    ids = computed["roi"].values if "roi" in computed.coords else np.arange(starts.size - 1)
    if ids.dtype == object:
        ids = ids.astype(str)
    found = {name[0]: computed[name].attrs for name in COLUMNS[1:] if "pixel_origin" in computed[name].attrs}
    return {
        **columns,
        "starts": starts,
        "ids": ids,
        "volumetric": bool(computed.attrs.get("volumetric", False)),
        "placement": {dim: _axis(attrs) for dim, attrs in found.items()},
    }
