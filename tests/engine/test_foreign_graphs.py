"""Images that dask or xarray opened: read as our own are, and planned as far as their graphs tell."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import xprep
from tests.helpers.servers import Server
from xprep.engine.sources.foreign_graphs import adopt
from xprep.engine.sources.readable import source_of

SHAPE, CHUNK = (2, 60, 70), (1, 16, 20)
PIXELS = np.random.default_rng(0).integers(0, 4000, SHAPE, dtype="u2")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A Zarr group with the variable ``image``, as xarray reads it."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    array = group.create_array("image", shape=SHAPE, chunks=CHUNK, dtype="u2", dimension_names=("c", "y", "x"))
    array[:] = PIXELS
    return str(tmp_path / "a.zarr")


OPENED = {
    "from_zarr": lambda url: da.from_zarr(f"{url}/image"),
    "inline": lambda url: da.from_zarr(f"{url}/image", inline_array=True),
    "array": lambda url: da.from_zarr(zarr.open_array(f"{url}/image")),
    "larger chunks": lambda url: da.from_zarr(f"{url}/image", chunks=(2, 32, 70)),
    "open_zarr": lambda url: xr.open_zarr(url, consolidated=False).image.data,
    "open_dataset": lambda url: xr.open_dataset(url, engine="zarr", consolidated=False, chunks={"y": 32}).image.data,
    "memory": lambda url: da.from_zarr(_in_memory()),
}
OTHERS = {
    "numpy": lambda url: da.from_array(PIXELS, chunks=CHUNK),
    "a part": lambda url: da.from_zarr(f"{url}/image")[:, 1:],
    "a part by xarray": lambda url: xr.open_zarr(url, chunks=None, consolidated=False).image.isel(y=slice(1, 9)).chunk(y=4).data,
    "computed": lambda url: da.from_zarr(f"{url}/image") + 1,
    "locked": lambda url: da.from_array(zarr.open_array(f"{url}/image"), chunks=CHUNK, lock=True),
    "rechunked": lambda url: da.from_zarr(f"{url}/image").rechunk((2, 30, 70)),
    "scaled": lambda url: _scaled(url),
}


def _in_memory() -> zarr.Array:
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=SHAPE, chunks=CHUNK, dtype="u2")
    array[:] = PIXELS
    return array


def _scaled(url: str) -> da.Array:
    """An array that xarray decodes on the way: not the one that is stored."""
    zarr.open_array(f"{url}/image").attrs["scale_factor"] = 0.5
    return xr.open_zarr(url, consolidated=False).image.data


@pytest.mark.parametrize("how", OPENED)
def test_a_zarr_array_of_another_library_is_a_source(url: str, how: str, nothing_computes: None) -> None:
    opened = OPENED[how](url)
    found = adopt(opened)
    assert source_of(found) is not None
    assert (found.chunks, found.dtype) == (opened.chunks, opened.dtype)
    assert adopt(opened).name == found.name, "what is read twice is one task"
    np.testing.assert_array_equal(found.compute(scheduler="sync"), PIXELS)


@pytest.mark.parametrize("how", OTHERS)
def test_anything_else_is_left_as_it_is(url: str, how: str) -> None:
    opened = OTHERS[how](url)
    assert adopt(opened) is opened
    image = xr.DataArray(opened, dims=("c", "y", "x"))
    xr.testing.assert_equal(image.prep.gaussian_filter(1), image.compute().prep.gaussian_filter(1))


def test_a_bucket_that_dask_opened(s3: Server) -> None:
    bucket, options = s3.new_bucket(), s3.storage_options()
    zarr.create_array(f"{bucket}/a.zarr", data=PIXELS, chunks=CHUNK, storage_options=options)
    origin = source_of(adopt(da.from_zarr(f"{bucket}/a.zarr", storage_options=options)))
    assert origin is not None
    assert origin.view.source.cost == "remote"
    assert options["secret"] not in repr(origin.view.source)
    np.testing.assert_array_equal(origin.view.source.read(tuple(slice(0, n) for n in SHAPE)), PIXELS)


@pytest.mark.parametrize("how", ["from_zarr", "open_zarr"])
def test_it_goes_the_way_of_open_image(url: str, how: str) -> None:
    """Not a task more than for an image that we opened: no chunk is copied into tiles, no graph is cloned."""
    image = xr.DataArray(OPENED[how](url), dims=("c", "y", "x"))
    ours = xprep.open_image(f"{url}/image")
    for call in (
        lambda one: xprep.normalize(one, sigma=1, intermediates="recompute"),
        lambda one: xprep.subtract_background(one, 4),
        lambda one: xprep.rescale(one, {"y": 0.5, "x": 1.3}),
    ):
        assert len(call(image).data.dask) == len(call(ours).data.dask)
        xr.testing.assert_equal(call(image), call(ours))
        assert call(image).prep.plan().bytes_read == call(ours).prep.plan().bytes_read > 0


def test_blocks_of_a_graph_are_copied_once_into_tiles() -> None:
    image = xr.DataArray(da.ones((64, 64), chunks=8, dtype="u2") + 1, dims=("y", "x"))
    with xprep.set_options(tile_bytes=16 * 16 * 2):
        for made in (image.prep.gaussian_filter(1), image.prep.background(4).background):
            assert not [name for name in made.data.dask.layers if "rechunk" in name]
            np.testing.assert_allclose(made, 2, rtol=1e-6)


def test_a_source_is_not_overwritten_through_another_graph(url: str) -> None:
    image = xr.open_zarr(url, consolidated=False).image + 1
    with pytest.raises(ValueError, match="the input would be lost"):
        image.prep.to_ome_zarr(url, overwrite=True)


# Plans


def test_plan_of_another_graph_counts_what_it_reads(url: str) -> None:
    image = xr.open_zarr(url, consolidated=False).image
    assert image.prep.plan().bytes_read == PIXELS.nbytes
    plan = (image[:, 1:] * 2.0).prep.plan()
    assert plan.bytes_read == PIXELS.nbytes, "at most all of it"
    assert plan.bytes_made == 2 * 59 * 70 * 8
    assert "another graph's" in str(plan)
    numpy = xr.DataArray(da.from_array(PIXELS, chunks=CHUNK), dims=("c", "y", "x")).prep.plan()
    assert (numpy.bytes_read, numpy.bytes_made) == (0, PIXELS.nbytes)


def test_plan_of_features_and_of_traces(url: str) -> None:
    image = xprep.open_image(f"{url}/image")
    table = xprep.RoiTable.from_pixels([[1.0], [1.0]], [[3], [50]], [[3], [60]])
    features = image.prep.roi_features(table, width=3)
    plan = features.prep.plan()
    assert plan.bytes_read == PIXELS.nbytes
    assert plan.bytes_made == 4 * 2 * 2 * 8
    assert plan.tasks > 4
    trees = xr.Dataset({"a": image, "b": image * 2}).prep.roi_features(table, width=3)
    assert trees.prep.plan().bytes_made == 2 * plan.bytes_made
    assert image.prep.traces(table).to_dataset(name="trace").prep.plan().bytes_made == 2 * 2 * 8


def test_plan_of_nothing() -> None:
    for empty in (xr.Dataset(), xr.DataTree(), xr.Dataset(coords={"y": [1]})):
        with pytest.raises(ValueError, match="no image here"):
            empty.prep.plan()
