"""A small job as with cellector, on lazy data: everything in Zarr on an S3 server."""

from contextlib import nullcontext

import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.engine.sources.lazy import is_lazy


def cells(seed=0):
    """A movie of blinking cells, its mean, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((96, 112), np.uint16)
    for i, (y, x) in enumerate(rng.integers(8, 88, (30, 2)), start=1):
        labels[y - 3 : y + 4, x - 4 : x + 4] = i
    light = rng.random((31, 24)) * 100
    movie = rng.poisson(50 + light[labels].transpose(2, 0, 1)).astype(np.uint16)
    space = {dim: (dim, np.arange(n) * 0.5, {"units": "micrometer"}) for dim, n in (("y", 96), ("x", 112))}
    movie = xr.DataArray(movie, dims=("t", "y", "x"), coords={**space, "t": np.arange(24) * 0.1})
    return movie, xr.DataArray(labels, dims=("y", "x"), coords=space)


@pytest.mark.parametrize("engine", ["threads", "distributed"])
def test_from_bucket_to_bucket(s3, engine, request):
    movie, labels = cells()
    bucket, options = s3.new_bucket(), s3.storage_options()
    chunks = {"t": 6, "y": 32, "x": 32}
    reference = movie.mean("t").astype("float32")
    movie.prep.to_ome_zarr(f"{bucket}/movie.zarr", chunks=chunks, scale_factors=(), storage_options=options)
    reference.prep.to_ome_zarr(
        f"{bucket}/reference.zarr", chunks={"y": 32, "x": 32}, labels={"cells": labels}, storage_options=options
    )

    if engine == "distributed":
        from distributed import Client

        client = Client(request.getfixturevalue("cluster"))
    else:
        client = nullcontext()
    with client:
        seen = xprep.open_image(f"{bucket}/reference.zarr", storage_options=options)
        table = xprep.RoiTable.from_labels(xprep.open_image(f"{bucket}/reference.zarr", label="cells", storage_options=options))
        features = seen.prep.roi_features(table, width=8, iterations=3)
        assert all(is_lazy(variable.data) for variable in features.data_vars.values())
        traces = xprep.open_image(f"{bucket}/movie.zarr", storage_options=options).prep.traces(table)
        features.to_zarr(f"{bucket}/features.zarr", storage_options=options, consolidated=False)
        table.to_dataset().to_zarr(f"{bucket}/table.zarr", storage_options=options, consolidated=False)
        found = traces.compute()

    stored = xr.open_zarr(f"{bucket}/features.zarr", storage_options=options, consolidated=False).load()
    wanted = reference.prep.roi_features(xprep.RoiTable.from_labels(labels), width=8, iterations=3)
    for name in wanted:
        np.testing.assert_allclose(stored[name], wanted[name], rtol=1e-5, err_msg=name)
    np.testing.assert_array_equal(stored.roi, np.unique(labels)[1:])
    back = xprep.RoiTable.from_dataset(xr.open_zarr(f"{bucket}/table.zarr", storage_options=options, consolidated=False))
    assert back.fingerprint == table.fingerprint
    means = np.stack([movie.values[:, labels.values == i].mean(axis=1) for i in table.ids], axis=1)
    np.testing.assert_allclose(found.transpose("t", "roi"), means, rtol=1e-12)
