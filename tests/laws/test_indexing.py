"""What xarray and dask take out of a lazy image, point by point or otherwise: equal to the same of the computed image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.laws.operations import OPERATIONS, Operation, assert_same_bits, variables
from tests.laws.test_laws import example_image

pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")

SPOTS = xr.DataArray([2, 6, 2], dims="spot")
CELLS = xr.DataArray([[1, 2], [3, 5]], dims=("cell", "corner"))

# What is not there (a result without y) is left out of the index.
INDEXING: dict[str, Callable[[xr.DataArray], Any]] = {
    "spots": lambda a: a.isel(y=SPOTS, x=SPOTS[::-1], missing_dims="ignore"),
    "spots of all axes": lambda a: a.isel(c=SPOTS.copy(data=[0, 2, 0]), y=SPOTS, x=SPOTS, missing_dims="ignore"),
    "spots along one axis": lambda a: a.isel(x=SPOTS, missing_dims="ignore"),
    "spots of two dims": lambda a: a.isel(y=CELLS, x=CELLS, missing_dims="ignore"),
    "lists": lambda a: a.isel(y=[5, 1, 1, 6], x=[2, 0], missing_dims="ignore"),
    "numpy's integers": lambda a: a.isel(y=np.int16(3), x=np.int64(4), missing_dims="ignore"),
    "backwards": lambda a: a.isel(y=slice(None, None, -2), x=slice(6, 2, -1), missing_dims="ignore"),
    "a boolean list": lambda a: a.isel(y=np.arange(a.sizes.get("y", 1)) % 3 == 0, missing_dims="ignore"),
    "nothing": lambda a: a.isel(y=[], missing_dims="ignore"),
    "stacked": lambda a: a.stack(pixel=a.dims, create_index=False),
    "coarsened": lambda a: a.coarsen({dim: 2 for dim in a.dims if dim in "yx"}, boundary="trim").max(),
}
# These go by coordinates, so by values too.
BY_COORDINATES: dict[str, Callable[[xr.DataArray], Any]] = {
    "nearest": lambda a: a.sel(y=SPOTS / 6 + 5, x=SPOTS / 4 + 5, method="nearest"),
    "where, dropped": lambda a: a.where(a.y > 7, drop=True),
    "reindexed": lambda a: a.reindex(y=[5.0, 5.1, 6.25]),
    "interpolated": lambda a: a.interp(y=[6.05, 7.1], x=[6.2, 8.3]),
    "interpolated at spots": lambda a: a.interp(y=SPOTS / 6 + 5.1, x=SPOTS / 4 + 5.1),
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_an_index_into_a_lazy_result(operation: Operation) -> None:
    image = example_image(operation)
    result = operation.call(image.chunk({"c": 1, "y": 16, "x": 20}), **operation.example)
    for lazy in variables(result).values():
        whole = lazy.compute()
        by_coordinates = BY_COORDINATES if {"y", "x"} <= set(lazy.coords) & set(lazy.dims) else {}
        for index in (INDEXING | by_coordinates).values():
            assert_same_bits(index(lazy).compute(scheduler="sync"), index(whole))


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_dasks_own_pointwise_indexing(operation: Operation) -> None:
    image = example_image(operation)
    result = operation.call(image.chunk({"c": 1, "y": 16, "x": 20}), **operation.example)
    for lazy in variables(result).values():
        spots = np.array([0, 1, 0]), np.array([1, 0, 0])
        chosen = lazy.data.vindex[spots] if lazy.ndim > 1 else lazy.data[spots[0]]
        assert np.array_equal(chosen.compute(), lazy.values[spots[: lazy.ndim]], equal_nan=True)
        # dask gives what a mask takes block by block.
        assert np.array_equal(np.sort(lazy.data[lazy.data > 1].compute()), np.sort(lazy.values[lazy.values > 1]))
