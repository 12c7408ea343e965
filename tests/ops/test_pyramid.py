"""Pyramids: where pixels lie, what containers become, what is read how often, and what is refused.

That levels are right however they are cut is in `test_laws` (the table's row ``pyramid``) and
`test_kernels_downsample`.
"""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xprep
from tests.helpers.sources import counted
from xprep.engine.graph.tasks import BlockTasks
from xprep.kernels.smooth_shrink import gaussian_reach, gaussian_sigma, shrink_gaussian


def image_of(dims: tuple[str, ...] = ("c", "y", "x"), **sizes: int) -> xr.DataArray:
    size = {"t": 2, "c": 3, "z": 5, "y": 37, "x": 51} | sizes
    pixels = np.random.default_rng(3).integers(0, 60000, [size[dim] for dim in dims], dtype=np.uint16)
    coords = {dim: (dim, 7 + 0.5 * np.arange(size[dim]), {"units": "micrometer"}) for dim in dims if dim != "c"}
    return xr.DataArray(pixels, dims=dims, coords=coords | ({"c": ["a", "b", "d"]} if "c" in dims else {}), name="slide")


def test_the_tree_is_like_that_of_a_store() -> None:
    image = image_of().chunk({"y": 10})
    tree = image.prep.pyramid((2, {"y": 3}))
    assert list(tree.children) == ["scale0", "scale1", "scale2"]
    assert [tree[f"scale{n}/image"].shape for n in range(3)] == [(3, 37, 51), (3, 19, 26), (3, 7, 26)]
    assert {tree[f"scale{n}/image"].dtype for n in range(3)} == {np.dtype("uint16")}
    xr.testing.assert_identical(tree["scale0/image"].rename("slide"), image)
    assert tree.name == "slide"
    assert tree.attrs == {"method": "mean"}


def test_pixels_lie_in_the_middle_of_their_blocks() -> None:
    tree = image_of().prep.pyramid((2, 2))
    np.testing.assert_allclose(tree["scale1/image"].x[:3], [7.25, 8.25, 9.25], rtol=0, atol=1e-12)
    np.testing.assert_allclose(tree["scale2/image"].x[:3], [7.75, 9.75, 11.75], rtol=0, atol=1e-12)
    assert tree["scale2/image"].x.attrs == {"units": "micrometer"}
    assert tree["scale2/image"].c.values.tolist() == ["a", "b", "d"]


@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_a_ramp_stays_where_it_is(method: str) -> None:
    """The values of a ramp are positions: a level that was shifted by half a pixel would show it."""
    ramp = xr.DataArray(np.broadcast_to(np.arange(64.0), (4, 64)).copy(), dims=("y", "x"))
    for factors in [(2, 2), (3,), (4,), (5,)]:
        levels = ramp.prep.pyramid([{"x": f} for f in factors], method=method)
        last = levels[f"scale{len(factors)}/image"]
        np.testing.assert_allclose(last[0, 3:-3], last.x[3:-3], rtol=1e-12)


def test_uneven_coordinates_and_dates_are_interpolated_and_names_dropped() -> None:
    times = np.datetime64("2026-01-01", "ns") + np.array([0, 10, 30, 70], "m8[s]")
    others = {"depth": ("t", [0.0, 1, 3, 7]), "who": ("t", list("abcd")), "both": (("t", "y"), np.ones((4, 2)))}
    image = xr.DataArray(np.zeros((4, 2, 2)), dims=("t", "y", "x"), coords={"t": times, **others})
    level = image.prep.pyramid([{"t": 2}])["scale1/image"]
    assert ((level.t.values - times[0]) / np.timedelta64(1, "s")).tolist() == [5, 50]
    assert level.depth.values.tolist() == [0.5, 5]
    assert set(level.coords) == {"t", "depth"}


def test_one_pixel_keeps_its_size() -> None:
    level = image_of(y=2, x=2).prep.pyramid((2, 2))["scale2/image"]
    assert level.sizes["x"] == 1
    assert float(level.x[0]) == 7.75
    assert level.x.attrs["spacing"] == 2


def test_labels_of_a_dataset_go_by_their_commonest_value() -> None:
    labels = np.zeros((37, 51), np.int32)
    labels[5:20, 5:30] = 1000
    labels[20:30, 10:40] = 7
    dataset = image_of().to_dataset().assign(cells=(("y", "x"), labels), table=("row", [1, 2]))
    for container in (dataset, xr.DataTree.from_dict({"/a/b": dataset})):
        tree = container.prep.pyramid((2, {"c": 1, "y": 3, "x": 3}), method="gaussian")
        node = tree if container is dataset else tree["a/b"]
        assert list(node.children) == ["scale0", "scale1", "scale2"]
        for n in range(3):
            level = node[f"scale{n}"].to_dataset()
            assert list(level.data_vars) == ["slide", "cells", "table"]
            assert set(np.unique(level.cells)) == {0, 7, 1000}
            assert level.cells.dtype == np.int32
            assert level.cells.shape == level.slide.shape[1:]
    alone = image_of().prep.pyramid((2, 3), method="gaussian")
    np.testing.assert_array_equal(node["scale2/slide"], alone["scale2/image"])


def test_every_chunk_is_read_once_for_all_levels() -> None:
    image, source = counted(image_of(y=128, x=160), {"c": 1, "y": 16, "x": 16})
    tree = image.prep.pyramid((2, 2))
    assert source.total == 0
    dask.compute(*(tree[f"scale{n}/image"].data for n in range(3)))
    assert source.reads_per_chunk == 1


def test_tasks_a_chunk_are_few_and_made_when_asked_for() -> None:
    image = xr.DataArray(da.zeros((4, 65536, 65536), chunks=(1, 1024, 1024), dtype="uint16"), dims=("c", "y", "x"))
    tree = image.prep.pyramid((2,) * 4)
    graph = tree["scale4/image"].data.dask
    assert len(graph) < 2.5 * image.data.npartitions
    assert isinstance(graph.layers[tree["scale4/image"].data.name].mapping, BlockTasks)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda i: i.prep.pyramid((1.5,)), ValueError, "whole numbers"),
        (lambda i: i.prep.pyramid((0,)), ValueError, "whole numbers"),
        (lambda i: i.prep.pyramid((-2,)), ValueError, "whole numbers"),
        (lambda i: i.prep.pyramid((np.nan,)), ValueError, "whole numbers"),
        (lambda i: i.prep.pyramid((True,)), ValueError, "whole numbers"),
        (lambda i: i.prep.pyramid(("2",)), ValueError, "whole numbers"),
        (lambda i: i.prep.pyramid(2), ValueError, "a sequence, one entry a level"),
        (lambda i: i.prep.pyramid({"y": 2}), ValueError, "a sequence, one entry a level"),
        (lambda i: i.prep.pyramid(({"z": 2},)), ValueError, "the dim 'z'"),
        (lambda i: i.prep.pyramid(method="median"), ValueError, "method"),
        (lambda i: i.astype(float).prep.pyramid(method="mode"), TypeError, "labels"),
        (lambda i: i.astype(complex).prep.pyramid(), TypeError, "real numbers"),
        (lambda i: i.rename(y="row").prep.pyramid(), ValueError, "needs the dim 'y'"),
        (lambda i: i[:, :0].prep.pyramid(), ValueError, "without pixels"),
        (lambda i: xprep.pyramid(i.values), TypeError, "a DataArray, a Dataset or a DataTree"),
    ],
)
def test_what_is_refused(call: Any, error: type[Exception], text: str) -> None:
    for image in (image_of(), image_of().chunk()):
        with pytest.raises(error, match=text):
            call(image)


def test_sigma_of_the_gaussian() -> None:
    assert gaussian_sigma(1) == 0
    np.testing.assert_allclose([gaussian_sigma(2), gaussian_sigma(3)], [0.7355, 1.2011], rtol=1e-4)
    # Weights reach 4 sigma from the block's centre, no pixel more.
    for factor in range(2, 40):
        far = gaussian_reach(factor) + (factor - 1) / 2
        assert far <= 4 * gaussian_sigma(factor) < far + 1


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["int64", "uint64"]))
def test_wide_integers_neither_wrap_nor_leave_their_range(value: int, dtype: str) -> None:
    value = value if dtype == "int64" else value + 2**63
    block = np.full((4, 4), value, dtype)
    found = shrink_gaussian(block, (2, 2), (0, 0), (2, 2))
    assert abs(int(found[0, 0]) - value) <= 2**13  # a few roundings of 53 bits
