"""Projections: numpy and the reference's stored outputs, and sums that stay right."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests import paths
from xprep.ops.project import project

GOLDEN = paths.GOLDEN / "clesperanto"
CASES = [case for case in json.loads((GOLDEN / "index.json").read_text()) if "projection" in case["function"]]
HOWS = ("max", "mean", "sum", "min", "std")


@pytest.mark.parametrize("dim", ["x", "y", "z"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_golden(case, dim):
    stored = np.load(GOLDEN / Path(case["file"]).name)
    image = xr.DataArray(stored["in_image"], dims=("z", "y", "x"))
    found = project(image.chunk(2), dim).compute()
    native, prototype = stored[f"out_native_{dim}"], stored[f"out_prototype_{dim}"]
    assert found.dtype == native.dtype
    # The prototype's x projection is transposed. A NaN wins there when it comes first; here none does.
    for wanted in (native, prototype.T if dim == "x" else prototype):
        same = np.broadcast_to(True, wanted.shape) if case["case"] != "proj_nan" else ~np.isnan(wanted)
        np.testing.assert_array_equal(found.values[same], wanted[same])
    assert not found.isnull().any()


def test_std_on_top_of_a_large_offset():
    """Sums of squares in float32 give nonsense here, in float64 four digits."""
    array = (np.random.default_rng(0).normal(size=(64, 40, 40)) + 1e6).astype("f4")
    wanted = array.astype("f8").std(axis=0)
    for chunks in ((64, 40, 40), (7, 11, 40), (1, 40, 40)):
        found = project(xr.DataArray(da.from_array(array, chunks=chunks), dims=("z", "y", "x")), "z", "std")
        np.testing.assert_allclose(found.astype("f8"), wanted, rtol=1e-6)


def test_sums_of_many_float32_are_exact():
    """2**24 + 1 is no float32: a float32 sum of ones stops there."""
    image = xr.DataArray(da.ones((2**25 + 2, 1), chunks=(2**22, 1), dtype="f4"), dims=("z", "x"))
    assert float(project(image, "z", "sum")[0]) == np.float32(2**25 + 2)
    assert float(project(image, "z", "mean")[0]) == 1


def test_integers_are_summed_as_integers():
    image = xr.DataArray(np.full(3, 2**53 + 1, "u8"), dims="z")
    assert int(project(image, "z", "sum")) == 3 * (2**53 + 1)


def test_std_ignores_nan_where_it_is_told_to():
    image = xr.DataArray([[1.0, np.nan], [3.0, np.nan]], dims=("z", "x"))
    assert project(image, "z", "std").values.tolist()[0] == 1
    assert np.isnan(project(image, "z", "std")[1])
    assert np.isnan(project(image, ["z", "x"], "std", skipna=False))
    assert project(image, "z", "sum").values.tolist() == [4, 0]


def test_labels_are_kept_and_nothing_is_computed():
    coords = {"z": [0.0, 1, 2], "y": ("y", [5.0, 6], {"units": "nm"}), "stage": (("z", "y"), np.ones((3, 2))), "run": 4}
    image = xr.DataArray(da.ones((3, 2, 4), chunks=(1, 2, 2)), dims=("z", "y", "x"), coords=coords, name="v", attrs={"a": 1})
    with dask.config.set(scheduler=_refuse):
        found = project(image, "z", "mean")
    assert sorted(found.coords) == ["run", "y"]
    assert found.y.attrs == {"units": "nm"}
    assert (found.name, found.attrs["a"], found.chunks) == ("v", 1, ((2,), (2, 2)))
    assert "project(dim='z', how='mean')" in found.attrs["history"]
    assert isinstance(project(image.compute(), "z").data, np.ndarray)


def _refuse(*_args, **_kwargs):
    raise AssertionError("building computed something")


def test_graph_is_small_and_blocks_do_not_pile_up():
    live, most = set(), 0

    def make(block_info=None):
        nonlocal most
        array = np.zeros((1, 64, 64), "u2")
        live.add(id(array))
        weakref.finalize(array, live.discard, id(array))
        most = max(most, len(live))
        return array

    image = xr.DataArray(
        da.map_blocks(make, chunks=((1,) * 256, (64,), (64,)), dtype="u2", meta=np.empty((0, 0, 0), "u2")),
        dims=("z", "y", "x"),
    )
    found = project(image, "z", "std")
    assert len(found.__dask_graph__()) - len(image.__dask_graph__()) <= 2 * 256  # a summary a block, joined by twos
    found.compute(scheduler="threads", num_workers=2)
    assert most <= 12


def test_dataset_and_tree():
    stack = xr.DataArray(np.arange(24.0).reshape(2, 3, 4), dims=("z", "y", "x"))
    data = xr.Dataset({"a": stack, "b": stack * 2, "t": ("cell", [1.0])})
    found = project(data, "z")
    assert {name: found[name].dims for name in found.data_vars} == {"a": ("y", "x"), "b": ("y", "x"), "t": ("cell",)}
    tree = xr.DataTree.from_dict({"/one": data, "/two": data.isel(y=slice(2))})
    assert project(tree, "x", "mean")["two/b"].shape == (2, 2)


def test_bad_input():
    image = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))
    with pytest.raises(ValueError, match="dim names the dim 'z', but the image has"):
        project(image, "z")
    with pytest.raises(ValueError, match="how must be one of 'max'"):
        project(image, "y", "median")
    with pytest.raises(ValueError, match="at least one dim"):
        project(image, [])
    with pytest.raises(ValueError, match="each once"):
        project(image, ["y", "y"])
    with pytest.raises(TypeError, match="real numbers"):
        project(image.astype(complex), "y")
    with pytest.raises(ValueError, match="without pixels"):
        project(image[:0], "y")
