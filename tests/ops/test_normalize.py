"""`normalize`: every parameter and every rule, against the dense oracle."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.sources import counted
from tests.laws import dense
from tests.laws.operations import assert_same_bits

RTOL = 2e-5


def cells(channels: int = 3, shape: tuple[int, ...] = (36, 44), seed: int = 0) -> xr.DataArray:
    return xprep.datasets.blobs(channels=channels, shape=shape, seed=seed, density=0.005)


def check(result: Any, desired: np.ndarray, rtol: float = RTOL) -> None:
    values = result.values
    np.testing.assert_array_equal(np.isnan(values), np.isnan(desired))
    np.testing.assert_allclose(values, desired, rtol=rtol)


# Channels


def test_channels_by_name_in_the_order_given() -> None:
    image = cells(4).assign_coords(c=["DAPI", "CD3", "CD8", "CD20"], wavelength=("c", [400.0, 500, 600, 700]))
    found = xprep.normalize(image.chunk({"c": 1, "y": 10}), channels=["CD20", "DAPI"])
    assert found.c.values.tolist() == ["CD20", "DAPI"]
    assert found.wavelength.values.tolist() == [700, 400]
    check(found, dense.normalize([image.values[[3, 0]]])[0])
    assert_same_bits(xprep.normalize(image, channels="CD3"), xprep.normalize(image.sel(c=["CD3"])))


def test_channels_by_position_where_there_is_no_coordinate() -> None:
    image = cells(4).drop_vars("c")
    found = xprep.normalize(image.chunk({"c": 2}), channels=[2, 0])
    check(found, dense.normalize([image.values[[2, 0]]])[0])
    with pytest.raises(KeyError, match="CD8"):
        xprep.normalize(image, channels=["CD8"])


def test_channels_with_numbers_for_names_are_names() -> None:
    image = cells(3).assign_coords(c=[10, 20, 30])
    check(xprep.normalize(image, channels=[30, 10]), dense.normalize([image.values[[2, 0]]])[0])
    with pytest.raises(KeyError, match=r"0.*10, 20, 30"):
        xprep.normalize(image, channels=[0])


def test_only_the_channels_asked_for_are_read() -> None:
    image, source = counted(cells(4), {"c": 1, "y": 12, "x": 12})
    xprep.normalize(image, channels=["marker 2", "marker 4"], intermediates="recompute").compute()
    assert {index[0] for index in source.reads} == {1, 3}


# Sigma


@pytest.mark.parametrize(
    "sigma",
    [[0, 1.5, 3], (0, 1.5, 3), np.array([0, 1.5, 3]), {"marker 2": 1.5, "marker 3": 3, "marker 1": 0}],
    ids=["list", "tuple", "array", "mapping"],
)
def test_sigma_per_channel(sigma: Any) -> None:
    image = cells(3)
    check(
        xprep.normalize(image.chunk({"c": 1, "x": 9}), sigma=sigma),
        dense.normalize([image.values], sigma=[0, 1.5, 3])[0],
    )


def test_sigma_by_name_follows_the_selected_channels() -> None:
    image = cells(3)
    found = xprep.normalize(image, sigma={"marker 3": 2, "marker 1": 0}, channels=["marker 3", "marker 1"])
    check(found, dense.normalize([image.values[[2, 0]]], sigma=[2, 0])[0])


def test_sigma_none_is_sigma_zero() -> None:
    image = cells(2)
    assert_same_bits(xprep.normalize(image, sigma=None), xprep.normalize(image, sigma=0))


# Dtypes


@pytest.mark.parametrize(
    ("dtype", "given", "result"),
    [
        ("uint16", "float32", "float32"),
        ("uint16", None, "float64"),
        ("float32", None, "float32"),
        ("float64", None, "float64"),
        ("float64", "float32", "float32"),
        ("uint8", np.float64, "float64"),
        ("float16", None, "float32"),
        ("bool", "float32", "float32"),
        ("int64", "float32", "float32"),
    ],
)
def test_working_type_and_result(dtype: str, given: Any, result: str) -> None:
    image = (cells(2) // 40).astype(dtype) if dtype != "bool" else cells(2) > 80
    found = xprep.normalize(image.chunk({"y": 9}), dtype=given)
    assert found.dtype == np.dtype(result)
    assert found.compute().dtype == np.dtype(result)
    (desired,) = dense.normalize([image.values], dtype=result)
    check(found, desired, 1e-11 if result == "float64" else RTOL)


@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_in_any_order(order: str) -> None:
    image = cells(2)
    assert_same_bits(xprep.normalize(image.astype(f"{order}u2")), xprep.normalize(image))
    assert_same_bits(xprep.normalize(image.astype(f"{order}u2").chunk({"y": 9})), xprep.normalize(image))


# Several images


def fields(*shapes: tuple[int, ...]) -> list[xr.DataArray]:
    return [cells(2, shape, seed) * np.uint16(seed + 1) for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("pool", ["mean", "exact"])
@pytest.mark.parametrize("lazy", [True, False])
def test_fields_of_view_of_different_shapes_share_statistics(pool: str, lazy: bool) -> None:
    images = fields((30, 41), (52, 23), (16, 16))
    tree = xr.DataTree.from_dict(
        {f"/plate/{i}": (image.chunk({"y": 13}) if lazy else image).to_dataset(name="image") for i, image in enumerate(images)}
    )
    found = xprep.normalize(tree, pool=pool, sigma=1)
    desired = dense.normalize([image.values for image in images], pool=pool, sigma=1)
    for i, want in enumerate(desired):
        check(found[f"/plate/{i}/image"], want)
    assert not np.allclose(desired[0], dense.normalize([images[0].values], sigma=1)[0], equal_nan=True), (
        "shared, or the test shows nothing"
    )


def test_mean_and_exact_pools_differ_as_they_should() -> None:
    images = fields((40, 40), (16, 16))
    dataset = xr.DataTree.from_dict({f"{i}": image.to_dataset(name="a") for i, image in enumerate(images)})
    for options in (
        {"p": 90, "p_sum": None, "p_post": None},
        {"p": None, "p_sum": 30, "p_post": None},
        {"p": None, "p_sum": None, "p_post": 80},
    ):
        found = {pool: xprep.normalize(dataset, **options, sigma=None, norm_sum=False, pool=pool) for pool in ("mean", "exact")}
        for pool, tree in found.items():
            for i, want in enumerate(
                dense.normalize([image.values for image in images], **options, sigma=None, norm_sum=False, pool=pool)
            ):
                check(tree[f"{i}/a"], want, 1e-6)
        assert not np.array_equal(found["mean"]["0/a"].values, found["exact"]["0/a"].values, equal_nan=True)


def test_images_of_a_dataset_share_statistics_and_the_rest_passes_through() -> None:
    one, two = fields((24, 30), (24, 30))
    dataset = xr.Dataset(
        {"one": one, "two": two, "labels": (("y", "x"), np.arange(720).reshape(24, 30)), "area": ("cell", [3.0, 4.0])},
        attrs={"slide": 7},
    )
    found = dataset.chunk({"y": 10}).prep.normalize(sigma=1)
    desired = dense.normalize([one.values, two.values], sigma=1)
    check(found["one"], desired[0])
    check(found["two"], desired[1])
    assert list(found.data_vars) == ["one", "two", "labels", "area"]
    assert found.attrs == {"slide": 7}
    xr.testing.assert_identical(found["labels"].compute(), dataset["labels"])
    xr.testing.assert_identical(found["area"].compute(), dataset["area"])


def test_selecting_channels_of_a_dataset() -> None:
    one, _ = fields((24, 30), (24, 30))
    dataset = xr.Dataset({"one": one, "labels": (("y", "x"), np.zeros((24, 30), int))})
    found = xprep.normalize(dataset, channels=["marker 2"])
    assert found["one"].c.values.tolist() == ["marker 2"]
    assert list(found.data_vars) == ["one", "labels"]


def test_channels_are_matched_by_name_over_images() -> None:
    one, two = fields((24, 30), (20, 20))
    turned = two.isel(c=[1, 0])
    tree = xr.DataTree.from_dict({"a": one.to_dataset(name="i"), "b": turned.to_dataset(name="i")})
    found = xprep.normalize(tree, sigma=1)
    desired = dense.normalize([one.values, two.values], sigma=1)
    assert found["b/i"].c.values.tolist() == found["a/i"].c.values.tolist() == ["marker 1", "marker 2"]
    check(found["b/i"], desired[1])


@pytest.mark.parametrize("wanted", [["marker 2", "marker 1"], ["marker 2"]])
@pytest.mark.parametrize("inherited", [False, True])
def test_selected_channels_keep_their_order_in_every_container(wanted: list[str], inherited: bool) -> None:
    one, two = fields((24, 30), (24, 30))
    table = ("c", np.array([405.0, 488.0]))
    dataset = xr.Dataset({"one": one, "two": two, "laser": table, "labels": (("y", "x"), np.ones((24, 30), int))})
    desired = xprep.normalize(dataset[["one", "two"]].sel(c=wanted))
    found = xprep.normalize(dataset.chunk({"y": 10}), channels=wanted)
    assert found.c.values.tolist() == wanted
    assert found["laser"].values.tolist() == dataset["laser"].sel(c=wanted).values.tolist()
    assert_same_bits(found[["one", "two"]], desired)
    root = xr.Dataset(coords={"c": one.c}) if inherited else xr.Dataset()
    child = dataset.drop_vars("c") if inherited else dataset
    tree = xprep.normalize(xr.DataTree.from_dict({"/": root, "/site": child}), channels=wanted)
    assert tree["site"].c.values.tolist() == wanted
    assert_same_bits(tree["site/one"], desired["one"])


def test_mixed_types_in_one_experiment() -> None:
    one, two = fields((24, 30), (20, 20))
    tree = xr.DataTree.from_dict({"a": one.to_dataset(name="i"), "b": (two / 3).astype("float32").to_dataset(name="i")})
    found = xprep.normalize(tree.chunk({"y": 7}), sigma=1)
    desired = dense.normalize([one.values, (two / 3).astype("float32").values], sigma=1)
    check(found["a/i"], desired[0])
    check(found["b/i"], desired[1])


# Empty channels


def with_empty(*which: int, shape: tuple[int, int] = (24, 30), seed: int = 0) -> xr.DataArray:
    image = cells(3, shape, seed)
    image[list(which)] = 0
    return image


def test_an_empty_channel_is_divided_by_one_and_stays_zero() -> None:
    image = with_empty(1)
    with pytest.warns(xprep.EmptyChannelWarning, match=r"channel 'marker 2' of blobs"):
        found = xprep.normalize(image, sigma=1)
    check(found, dense.normalize([image.values], sigma=1)[0])
    values = found.values[1]
    assert (values[~np.isnan(values)] == 0).all()
    assert np.isfinite(found.values).any()


def test_an_empty_channel_of_one_image_is_left_out_of_the_mean() -> None:
    images = [with_empty(1), with_empty(shape=(20, 26), seed=3)]
    tree = xr.DataTree.from_dict({f"site {i}": image.to_dataset(name="image") for i, image in enumerate(images)})
    with pytest.warns(xprep.EmptyChannelWarning, match=r"'marker 2' of /site 0 image"):
        found = xprep.normalize(tree, sigma=1)
    desired = dense.normalize([image.values for image in images], sigma=1)
    for i in range(2):
        check(found[f"site {i}/image"], desired[i])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pooled, the channel is not empty
        xprep.normalize(tree, sigma=1, pool="exact")


def test_empty_nan_is_the_reference() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xprep.EmptyChannelWarning)
        assert np.isnan(xprep.normalize(with_empty(1), empty="nan").values).all()


def test_nothing_but_zeros_and_nothing_but_nan() -> None:
    for fill in (0, np.nan):
        image = xr.full_like(cells(2).astype("float32"), fill)
        with pytest.warns(xprep.EmptyChannelWarning, match="'marker 1', 'marker 2'"):
            found = xprep.normalize(image.chunk({"y": 10}), sigma=1).compute()
        assert np.isnan(found.values).all()  # a sum of 0 is not above 0, and 0 / 0 is NaN
        with pytest.warns(xprep.EmptyChannelWarning):
            plain = xprep.normalize(image, p_sum=None, norm_sum=False, sigma=1)
        np.testing.assert_array_equal(plain.values, image.values)


def test_a_threshold_of_nothing_is_zero() -> None:
    """Without any non-zero sum T is 0: nothing is above it."""
    image = xr.zeros_like(cells(2).astype("float32"))
    assert np.isnan(xprep.normalize(image, p=None, p_post=None, norm_sum=False).values).all()


def test_the_report_lists_what_was_warned_of(tmp_path: Any) -> None:
    with pytest.warns(xprep.EmptyChannelWarning):
        report = xprep.normalize(with_empty(2).chunk({"y": 10})).prep.to_ome_zarr(tmp_path / "out.zarr")
    assert len(report.notes) == 1
    assert "'marker 3'" in report.notes[0]


def test_warnings_of_workers_are_not_lost(tmp_path: Any, on_cluster: Any) -> None:
    with pytest.warns(UserWarning, match="marker 3"):
        report = xprep.normalize(with_empty(2).chunk({"y": 10})).prep.to_ome_zarr(tmp_path / "out.zarr")
    assert "marker 3" in report.notes[0]


def test_a_percentile_that_is_not_positive_warns() -> None:
    image = cells(2).astype("float32")
    image[1] *= -1
    with pytest.warns(xprep.PercentileWarning, match=r"p of channel 'marker 2'.*not positive"):
        found = xprep.normalize(image, sigma=None, p_sum=None)
    check(found, dense.normalize([image.values], sigma=None, p_sum=None)[0])


# The threshold, the cap, infinities


def test_the_threshold_is_strict() -> None:
    """A constant image is completely NaN: its sum is at its own percentile, not above it."""
    image = xr.full_like(cells(2), 7)
    assert np.isnan(xprep.normalize(image, sigma=None).values).all()
    ramp = xr.DataArray(np.arange(1, 13, dtype="uint16").reshape(1, 3, 4), dims=("c", "y", "x"))
    found = xprep.normalize(ramp, p=None, p_sum=100 * 4 / 11, p_post=None, sigma=None, norm_sum=False).values
    assert np.isnan(found.ravel()[:5]).all(), "T is 5, and 5 is not above it"
    np.testing.assert_array_equal(found.ravel()[5:], np.arange(6, 13))


def test_the_threshold_is_of_the_unblurred_sum() -> None:
    image = xr.zeros_like(cells(1).astype("float32"))
    image[0, 18, 22] = 100
    found = xprep.normalize(image, p=None, p_sum=50, p_post=None, norm_sum=False, sigma=2).values
    assert np.isnan(found).all(), "the blurred peak of 4 is not above the unblurred 100"


def test_the_cap_comes_last_and_keeps_nan() -> None:
    image = cells(3)
    capped, free = (xprep.normalize(image, p_post=50, cap_max=cap, sigma=1).values for cap in (0.7, None))
    np.testing.assert_array_equal(capped, np.minimum(free, np.float32(0.7)))
    assert (capped == np.float32(0.7)).any()
    assert np.isnan(capped).any()
    plain = xprep.normalize(image, p_sum=None, p_post=None, norm_sum=False, sigma=None, cap_max=0.5).values
    assert plain.max() == np.float32(0.5)


def test_infinities_take_part() -> None:
    image = cells(2).astype("float32")
    image[0, 5, 5] = np.inf
    with np.errstate(invalid="ignore"):
        (desired,) = dense.normalize([image.values], sigma=None)
    found = xprep.normalize(image.chunk({"y": 7}), sigma=None).values
    np.testing.assert_array_equal(np.isnan(found), np.isnan(desired))
    np.testing.assert_allclose(found, desired, rtol=RTOL)


def test_a_nan_spreads_as_far_as_the_blur_and_over_all_channels() -> None:
    image = cells(2, (40, 40)).astype("float32")
    image[0, 20, 20] = np.nan
    clean = np.isnan(xprep.normalize(cells(2, (40, 40)).astype("float32"), p_sum=None).values)
    lost = np.isnan(xprep.normalize(image.chunk({"y": 9, "x": 9}), p_sum=None).values)
    assert not clean.any()
    assert lost.sum() == 2 * 17 * 17
    alone = np.isnan(xprep.normalize(image, p_sum=None, sigma=None).values)
    assert alone.sum() == 2


# Dims


@pytest.mark.parametrize("dims", [("c", "z", "y", "x"), ("t", "c", "y", "x"), ("x", "t", "y", "c", "z"), ("y", "x", "c")])
def test_statistics_run_over_all_dims_but_the_channel(dims: tuple[str, ...]) -> None:
    sizes = {"t": 2, "c": 3, "z": 2, "y": 20, "x": 24}
    straight = [dim for dim in ("c", "t", "z", "y", "x") if dim in dims]
    pixels = np.random.default_rng(4).lognormal(3, 1, [sizes[dim] for dim in straight]).astype("uint16")
    image = xr.DataArray(pixels, dims=straight).transpose(*dims)
    found = xprep.normalize(image.chunk({"y": 7, "c": 1}), sigma=1)
    assert found.dims == dims
    check(found.transpose(*straight), dense.normalize([pixels], sigma=1)[0])


def test_an_image_without_channels_is_one_channel() -> None:
    image = cells(1)
    flat = image.isel(c=0, drop=True)
    found = xprep.normalize(flat.chunk({"y": 7}), sigma=1)
    assert found.dims == ("y", "x")
    np.testing.assert_array_equal(found.values, xprep.normalize(image, sigma=1).values[0])


def test_images_smaller_than_the_blur() -> None:
    """The reference refuses them; scipy's reflection knows no such limit."""
    image = cells(2, (3, 5))
    check(xprep.normalize(image.chunk({"x": 2}), sigma=3), dense.normalize([image.values], sigma=3)[0])


# Chunks


@pytest.mark.parametrize("chunks", [{"y": 9, "x": 11}, 8, (1, 10, 44), {"c": -1, "y": -1}])
def test_chunks_of_the_result(chunks: Any) -> None:
    image = cells(3).chunk({"c": 1, "y": 20, "x": 20})
    found = xprep.normalize(image, chunks=chunks)
    wanted = {"c": 1, "y": 20, "x": 20}
    wanted |= (
        {"y": chunks, "x": chunks}
        if isinstance(chunks, int)
        else dict(zip("cyx", chunks, strict=True))
        if isinstance(chunks, tuple)
        else chunks
    )
    for dim, size in wanted.items():
        assert found.chunksizes[dim][0] == (image.sizes[dim] if size == -1 else size)
    assert_same_bits(found.compute(), xprep.normalize(cells(3)))


def test_chunks_of_the_result_are_those_of_the_input_by_default() -> None:
    image = cells(3).chunk({"c": (1, 2), "y": (5, 30, 1), "x": 13})
    assert xprep.normalize(image).chunks == image.chunks


# Passes


READS = {"recompute": (4, 4), "persist": (1, 1), "spill": (1, 1)}


@pytest.mark.parametrize("placement", READS)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_reads_per_chunk(placement: Any, dtype: str, tmp_path: Any) -> None:
    """Statistics of p, p_sum and p_post, and the result: four passes; of float32 too, unless a guess was wrong."""
    pixels = np.random.default_rng(0).lognormal(5, 1, (3, 256, 256)).astype(dtype)
    image, source = counted(xr.DataArray(pixels, dims=("c", "y", "x")), {"c": 1, "y": 64, "x": 64})
    with xprep.set_options(scratch_url=str(tmp_path)):
        result = xprep.normalize(image, intermediates=placement)
        assert source.total == 0
        result.compute()
    low, high = READS[placement]
    assert low <= source.reads_per_chunk <= high + (2 if dtype == "float32" and placement == "recompute" else 0)


@pytest.mark.parametrize(
    ("off", "reads"),
    [
        ({}, 4),
        ({"p": None}, 3),
        ({"p_sum": None}, 3),
        ({"p_post": None}, 3),
        ({"p": None, "p_sum": None, "p_post": None}, 1),
    ],
)
def test_a_pass_that_is_not_asked_for_is_not_made(off: dict[str, None], reads: int) -> None:
    pixels = np.random.default_rng(0).lognormal(5, 1, (2, 200, 200)).astype("uint16")
    image, source = counted(xr.DataArray(pixels, dims=("c", "y", "x")), {"y": 50, "x": 50})
    xprep.normalize(image, **off, intermediates="recompute").compute()
    assert reads <= source.reads_per_chunk <= reads + 2


def test_persist_holds_and_recompute_does_not() -> None:
    """plan() says which, and how much."""
    image, _ = counted(cells(3, (64, 64)), {"c": 1, "y": 16, "x": 16})
    plans = {how: xprep.normalize(image, intermediates=how).prep.plan() for how in ("recompute", "persist")}
    assert plans["persist"].persisted >= image.nbytes
    assert plans["recompute"].persisted == 0
    assert plans["recompute"].bytes_read >= 4 * image.nbytes
    assert plans["persist"].bytes_read < 2 * image.nbytes


def test_the_call_is_written_into_history() -> None:
    line = xprep.normalize(cells(1), p=98, sigma=[1]).attrs["history"].splitlines()[-1]
    assert "normalize(p=98, sigma=[1])" in line


def test_values_have_no_unit() -> None:
    image = cells(1).assign_attrs(units="counts")
    assert xprep.normalize(image).attrs["units"] == "1"
    assert xprep.normalize(image, p=None, p_post=None, norm_sum=False).attrs["units"] == "counts"


@pytest.mark.parametrize("pool", ["mean", "exact"])
def test_a_sigma_in_micrometres_follows_the_voxels_of_every_field(pool: Any) -> None:
    def field(edge: float, seed: int) -> xr.DataArray:
        pixels = np.random.default_rng(seed).random((2, 40, 48)).astype("float32")
        places = {dim: np.arange(n) * edge for dim, n in (("y", 40), ("x", 48))}
        image = xr.DataArray(pixels, dims=("c", "y", "x"), coords={"c": ["a", "b"], **places})
        for dim in "yx":
            image[dim].attrs["units"] = "micrometer"
        return image

    fields = {"fine": field(0.25, 0), "coarse": field(0.5, 1)}
    tree = xr.DataTree.from_dict({name: xr.Dataset({"image": one}) for name, one in fields.items()})
    plain: dict[str, Any] = {"p": None, "p_sum": None, "p_post": None, "norm_sum": False, "cap_max": None}
    found = tree.prep.normalize(sigma="0.5 um", pool=pool, **plain)
    for name, sigma in (("fine", 2), ("coarse", 1)):
        np.testing.assert_array_equal(found[f"{name}/image"], fields[name].prep.normalize(sigma=sigma, **plain))
    # Of statistics, too: those of pixels, where both fields are as coarse, are the ones of micrometres.
    whole = tree.prep.normalize(p=90, p_sum=5, p_post=99, sigma="0.5 um", pool=pool)
    alike = xr.DataTree.from_dict({name: xr.Dataset({"image": field(0.5, i)}) for i, name in enumerate(fields)})
    same = alike.prep.normalize(p=90, p_sum=5, p_post=99, sigma=1, pool=pool)
    assert not np.array_equal(whole["coarse/image"], same["coarse/image"], equal_nan=True)  # p_post sees the fine field's blur
    one = fields["fine"].prep.normalize(p=90, p_sum=5, p_post=99, sigma="0.5 um")
    np.testing.assert_array_equal(one, fields["fine"].prep.normalize(p=90, p_sum=5, p_post=99, sigma=2))
