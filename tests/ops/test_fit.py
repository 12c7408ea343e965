"""`fit_normalize` and `normalize(statistics=…)`: statistics that are fitted once, stored, and applied to other images."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import xarray as xr

import xprep
from tests.helpers.sources import counted
from tests.laws import dense
from tests.laws.operations import assert_same_bits

CHUNKS = {"c": 1, "y": 16, "x": 24}


def cells(channels: int = 3, shape: tuple[int, ...] = (48, 60), seed: int = 0) -> xr.DataArray:
    return xprep.datasets.blobs(channels=channels, shape=shape, seed=seed, density=0.005)


def fields(*images: xr.DataArray) -> xr.DataTree:
    return xr.DataTree.from_dict({f"/field {n}": image.to_dataset(name="image") for n, image in enumerate(images)})


# What it holds


def test_the_fitted_dataset_says_everything() -> None:
    tree = fields(cells(seed=1), cells(seed=2, shape=(40, 44)))
    fitted = tree.prep.fit_normalize(sigma=1, cap_max=2)
    each = [one["image"].values for one in tree.children.values()]
    assert {name: one.dims for name, one in fitted.data_vars.items()} == {
        "p": ("c",), "p_sum": (), "p_post": ("c",),
        "image_p": ("image", "c"), "image_p_sum": ("image",), "image_p_post": ("image", "c"),
        "pixels": ("image",), "left_out": ("image",),
    }  # fmt: skip
    assert fitted.c.values.tolist() == ["marker 1", "marker 2", "marker 3"]
    assert fitted.image.values.tolist() == ["/field 0 image", "/field 1 image"]
    assert fitted.pixels.values.tolist() == [48 * 60, 40 * 44]
    assert {str(one.dtype) for name, one in fitted.data_vars.items() if name not in ("pixels", "left_out")} == {"float32"}
    assert fitted.pixels.dtype == fitted.left_out.dtype == "float64"
    expected = [[np.percentile(channel[channel > 0], 99) for channel in one] for one in each]
    np.testing.assert_allclose(fitted.image_p, expected, rtol=1e-6)
    np.testing.assert_allclose(fitted.p, np.mean(expected, axis=0), rtol=1e-6)
    results = tree.prep.normalize(sigma=1, cap_max=2)
    lost = [int(np.isnan(one["image"].values).all(axis=0).sum()) for one in results.children.values()]
    assert fitted.left_out.values.tolist() == lost
    assert all(isinstance(value, str) for value in fitted.attrs.values())
    assert set(fitted.attrs) == {"xprep_statistics", "version", "parameters", "sources", "voxel_size", "approximate"}
    assert json.loads(fitted.attrs["parameters"]) == {
        "p": 99, "p_sum": 5, "p_post": 99.9, "sigma": 1, "norm_sum": True, "cap_max": 2, "channels": None, "dtype": "float32",
        "pool": "mean", "empty": "skip",
    }  # fmt: skip
    assert json.loads(fitted.attrs["voxel_size"]) == {"y": [0.5, "micrometer"], "x": [0.5, "micrometer"]}
    assert fitted.attrs["approximate"] == ""
    assert fitted.attrs["version"] == xprep.__version__


def test_what_is_not_asked_for_is_not_there() -> None:
    fitted = xprep.fit_normalize(cells(), p=None, p_post=None)
    assert set(fitted.data_vars) == {"p_sum", "image_p_sum", "pixels", "left_out"}
    assert np.isnan(fitted.left_out).all()
    pooled = fields(cells(seed=1), cells(seed=2)).prep.fit_normalize(pool="exact")
    assert np.isnan(pooled.image_p).all()
    assert np.isfinite(pooled.left_out).all()


def test_it_is_lazy_and_reads_what_statistics_need(nothing_computes: None) -> None:
    image, source = counted(cells(), CHUNKS)
    fitted = image.prep.fit_normalize()
    image.prep.normalize(statistics=fitted)
    assert all(fitted[name].chunks is not None for name in ("p", "p_sum", "p_post", "image_p", "left_out"))
    assert source.total == 0


@pytest.mark.parametrize("chunks", [{"y": 7}, {"c": 2, "x": 11}, {"y": 48, "x": 60}])
def test_chunks_do_not_show(chunks: dict[str, int]) -> None:
    image = cells()
    xr.testing.assert_identical(image.chunk(chunks).prep.fit_normalize().compute(), image.prep.fit_normalize())


def test_sources_are_named_without_secrets(tmp_path: Path) -> None:
    cells().prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    stored = xprep.open_image(tmp_path / "a.zarr")
    assert json.loads(stored.prep.fit_normalize().attrs["sources"]) == [str(tmp_path / "a.zarr")]
    assert json.loads(cells().prep.fit_normalize().attrs["sources"]) == [""]


# The same as normalize

OPTIONS: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "percentiles": {"p": 95, "p_sum": 20, "p_post": 99},
    "no p": {"p": None},
    "no p_sum": {"p_sum": None},
    "no p_post": {"p_post": None},
    "none of them": {"p": None, "p_sum": None, "p_post": None},
    "no sigma": {"sigma": None},
    "sigma of each": {"sigma": [0, 1.5, 3]},
    "sigma by name": {"sigma": {"marker 2": 2}},
    "a length": {"sigma": "1 um"},
    "no sum": {"norm_sum": False},
    "a cap": {"cap_max": 0.5},
    "float64": {"dtype": "float64"},
    "its own type": {"dtype": None},
    "all pixels": {"pool": "exact"},
    "NaN": {"empty": "nan"},
    "channels": {"channels": ["marker 3", "marker 1"]},
    "channels by position": {"channels": [2, 0]},
    "one channel": {"channels": "marker 2"},
}  # fmt: skip
CONTAINERS: dict[str, Callable[[xr.DataArray], Any]] = {
    "DataArray": lambda image: image,
    "Dataset": lambda image: xr.Dataset({"a": image, "b": image.roll(y=9) * np.uint16(2)}),
    "DataTree": lambda image: fields(image, image.isel(y=slice(5, 40)) * np.uint16(2)),
}


def saved(fitted: xr.Dataset, path: Path, how: str) -> Any:
    """Return a fitted Dataset as it comes from a file, or that file."""
    if how == "zarr":
        fitted.to_zarr(path / "fit.zarr", consolidated=False)
    elif how == "nc":
        fitted.to_netcdf(path / "fit.nc")
    elif how == "json":
        (path / "fit.json").write_text(json.dumps(fitted.compute().to_dict()))
    return fitted if how == "lazy" else path / f"fit.{how}"


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("options", OPTIONS)
def test_fitted_and_applied_is_normalized(options: str, container: str) -> None:
    whole = CONTAINERS[container](cells())
    lazy = CONTAINERS[container](cells().chunk(CHUNKS))
    expected = whole.prep.normalize(**OPTIONS[options])
    for image in (whole, lazy):
        found = image.prep.normalize(statistics=xprep.fit_normalize(image, **OPTIONS[options]))
        assert type(found) is type(expected)
        for mine, theirs in zip(arrays(found), arrays(expected), strict=True):
            assert_same_bits(mine, theirs)
            xr.testing.assert_identical(mine.coords.to_dataset(), theirs.coords.to_dataset())


def arrays(container: Any) -> list[xr.DataArray]:
    nodes = container.subtree if isinstance(container, xr.DataTree) else [container]
    if isinstance(container, xr.DataArray):
        return [container]
    return [one for node in nodes for one in node.data_vars.values()]


@pytest.mark.parametrize("how", ["lazy", "zarr", "nc", "json"])
@pytest.mark.parametrize("options", ["the defaults", "sigma of each", "float64", "channels", "no p_post"])
def test_by_whatever_means_it_is_stored(options: str, how: str, tmp_path: Path) -> None:
    image = cells().chunk(CHUNKS)
    fitted = saved(image.prep.fit_normalize(**OPTIONS[options]), tmp_path, how)
    for given in (fitted, str(fitted)) if isinstance(fitted, Path) else (fitted,):
        assert_same_bits(image.prep.normalize(statistics=given), image.prep.normalize(**OPTIONS[options]))


@pytest.mark.parametrize("engine", [one for one in ("scipy", "netCDF4", "h5netcdf") if importlib.util.find_spec(one)])
def test_netcdf_of_each_engine_that_is_here(engine: str, tmp_path: Path) -> None:
    fitted = cells().prep.fit_normalize()
    fitted.to_netcdf(tmp_path / "fit.nc", engine=engine.lower())
    with xr.open_dataset(tmp_path / "fit.nc", engine=engine.lower()) as read:
        xr.testing.assert_identical(read.load(), fitted)
    image = cells(seed=3)
    assert_same_bits(image.prep.normalize(statistics=tmp_path / "fit.nc"), image.prep.normalize(statistics=fitted))


def formula(image: np.ndarray, fitted: xr.Dataset, sigma: float) -> np.ndarray:
    """What `normalize` computes with given statistics, in plain numpy and scipy."""
    scaled = image.astype(np.float32) / fitted.p.values[:, None, None]
    blurred = np.stack([scipy.ndimage.gaussian_filter(one, sigma) for one in scaled])
    total = blurred.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(total > float(fitted.p_sum), blurred / total, np.nan)
    return shares / fitted.p_post.values[:, None, None]


@pytest.mark.parametrize("lazy", [True, False])
def test_fitted_on_some_and_applied_to_another(lazy: bool) -> None:
    train, test = fields(cells(seed=1), cells(seed=2)), cells(seed=3, shape=(70, 52))
    if lazy:
        train, test = train.chunk({"y": 20}), test.chunk({"x": 17})
    fitted = train.prep.fit_normalize(sigma=1.5)
    found = test.prep.normalize(statistics=fitted)
    expected = formula(test.values, fitted.compute(), 1.5)
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(expected))
    np.testing.assert_allclose(found.values, expected, rtol=2e-5)
    (alone,) = dense.normalize([test.values], sigma=1.5)
    assert not np.allclose(found.values, alone, rtol=1e-3, equal_nan=True)


def test_each_image_of_a_container_gets_the_same_statistics() -> None:
    fitted = cells(seed=1).prep.fit_normalize()
    images = [cells(seed=2), cells(seed=3, shape=(30, 44))]
    found = fields(*images).prep.normalize(statistics=fitted)
    for node, image in zip(found.children.values(), images, strict=True):
        assert_same_bits(node["image"], image.prep.normalize(statistics=fitted))


def test_what_is_held_out_changes_nothing_but_itself() -> None:
    train, test = cells(seed=1), cells(seed=2)
    before = fields(train, test).prep.normalize(statistics=train.prep.fit_normalize())
    test[0, 3, 4] = 60000
    after = fields(train, test).prep.normalize(statistics=train.prep.fit_normalize())
    assert_same_bits(before["field 0/image"], after["field 0/image"])
    changed = (before["field 1/image"] != after["field 1/image"]) & before["field 1/image"].notnull()
    assert 0 < int(changed.any("c").sum()) <= 17**2, "as far as the blur reaches"


def test_one_reading_instead_of_four() -> None:
    image, source = counted(cells(shape=(64, 96)), CHUNKS)
    fitted = cells(seed=1).prep.fit_normalize(sigma=0)
    with xprep.set_options(intermediates="recompute"):
        result = image.prep.normalize(statistics=fitted)
        assert result.prep.plan().bytes_read == image.nbytes
        result.compute()
        assert source.reads_per_chunk == 1
        image.prep.normalize(sigma=0).compute()
        assert source.reads_per_chunk == 1 + 4


def test_numbers_that_somebody_corrected_are_applied() -> None:
    image = cells()
    fitted = image.prep.fit_normalize(sigma=1)
    fitted["p"][1] = 2 * fitted["p"][1]
    np.testing.assert_allclose(image.prep.normalize(statistics=fitted), formula(image.values, fitted, 1), rtol=2e-5)


# Channels


def named(names: list[Any] | None, seed: int = 0) -> xr.DataArray:
    image = cells(3 if names is None else len(names), seed=seed)
    return image.drop_vars("c") if names is None else image.assign_coords(c=names)


MATCHES: dict[str, tuple[list[Any] | None, list[Any] | None, list[int] | str]] = {
    "in another order": (["a", "b", "c"], ["c", "a", "b"], [1, 2, 0]),
    "the k-th of a name to the k-th": (["a", "b", "a"], ["b", "a", "a"], [1, 0, 2]),
    "numbers for names": ([488, 561, 640], [640, 488, 561], [1, 2, 0]),
    "no names in the image": (["a", "b", "c"], None, [0, 1, 2]),
    "no names in the fit": (None, ["a", "b", "c"], [0, 1, 2]),
    "no names": (None, None, [0, 1, 2]),
    "one is not in the image": (["a", "b", "c"], ["a", "b", "x"], r"the image of blobs has no channel 'c'"),
    "one is not in the fit": (["a", "b"], ["a", "b", "x"], r"the image of blobs has the channel 'x', which the statistics lack"),
    "another number of one name": (["a", "b", "a"], ["a", "b", "b"], r"has 1 channels 'a' and not 2"),
    "other numbers without names": (None, ["a", "b"], r"of 3 channels and the image of blobs has 2"),
    "other numbers, none in the image": (["a", "b"], None, r"of 2 channels and the image of blobs has 3"),
}  # fmt: skip


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("case", MATCHES)
def test_channels_go_together_by_name(case: str, lazy: bool) -> None:
    mine, theirs, expected = MATCHES[case]
    fitted, image = named(mine, seed=1).prep.fit_normalize(sigma=[0, 1, 2][: len(mine or "abc")]), named(theirs, seed=2)
    image = image.chunk(CHUNKS) if lazy else image
    if isinstance(expected, str):
        with pytest.raises((KeyError, ValueError), match=expected):
            image.prep.normalize(statistics=fitted)
        return
    found = image.prep.normalize(statistics=fitted)
    bare = fitted.drop_vars("c", errors="ignore")
    wanted = image.isel(c=expected).drop_vars("c", errors="ignore").prep.normalize(statistics=bare)
    assert_same_bits(found.drop_vars("c", errors="ignore"), wanted)
    if theirs is not None:
        assert found.c.values.tolist() == [theirs[i] for i in expected]


def test_an_image_in_a_container_is_named() -> None:
    fitted = named(["a", "b"]).prep.fit_normalize()
    with pytest.raises(KeyError, match=r"the image of /field 1 image has no channel 'b'"):
        fields(named(["a", "b"]), named(["a", "x"])).prep.normalize(statistics=fitted)


def test_channels_that_were_chosen_are_chosen_again() -> None:
    image, other = named(["a", "b", "c"], 1), named(["x", "c", "a"], 2)
    fitted = image.prep.fit_normalize(channels=["c", "a"])
    found = other.prep.normalize(statistics=fitted)
    assert found.c.values.tolist() == ["c", "a"]
    assert_same_bits(found, other.sel(c=["c", "a"]).prep.normalize(statistics=image.sel(c=["c", "a"]).prep.fit_normalize()))


CHOSEN: dict[str, tuple[list[Any] | None, Any, list[int]]] = {
    "numbers for names": ([488, 561, 640], [640, 488], [2, 0]),
    "positions": (None, [2, 0], [2, 0]),
    "one name of two": (["a", "b", "a"], ["a"], [0, 2]),
    "two of one name and another": (["a", "b", "a"], ["b", "a"], [1, 0, 2]),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_whatever_they_are_called(case: str) -> None:
    names, channels, positions = CHOSEN[case]
    image = named(names)
    found = image.prep.normalize(statistics=image.prep.fit_normalize(channels=channels))
    assert_same_bits(found, image.prep.normalize(channels=channels))
    assert_same_bits(found, image.isel(c=positions).prep.normalize())


# What is given beside

EQUAL: list[dict[str, Any]] = [
    {"p": 99}, {"p": 99.0, "p_sum": 5}, {"sigma": 1}, {"sigma": [1, 1, 1]},
    {"sigma": {"marker 1": 1, "marker 2": 1, "marker 3": 1}},
    {"norm_sum": True, "cap_max": None}, {"dtype": "float32"}, {"dtype": np.float32}, {"pool": "mean", "empty": "skip"},
    {"channels": ["marker 1", "marker 2", "marker 3"]}, {"chunks": {"y": 10}}, {"intermediates": "recompute"},
]  # fmt: skip
OTHER: dict[str, dict[str, Any]] = {
    "p=95 is given beside statistics that are of p=99": {"p": 95},
    "p_sum=None is given": {"p_sum": None},
    "p_post=99 ": {"p_post": 99},
    "sigma=2 ": {"sigma": 2},
    r"sigma=\[1, 1, 0\]": {"sigma": [1, 1, 0]},
    "sigma='1 um'": {"sigma": "1 um"},
    "norm_sum=False": {"norm_sum": False},
    "cap_max=3": {"cap_max": 3},
    "dtype='float64'": {"dtype": "float64"},
    "pool='exact'": {"pool": "exact"},
    "empty='nan'": {"empty": "nan"},
    r"channels=\['marker 2'": {"channels": ["marker 2", "marker 1", "marker 3"]},
    "marker 3": {"channels": ["marker 2", "marker 1"]},
    "between 0 and 100; got 120": {"p": 120},
    "intermediates must be one of": {"intermediates": "somehow"},
}  # fmt: skip


@pytest.mark.parametrize("given", EQUAL, ids=str)
def test_equal_parameters_may_stand_beside(given: dict[str, Any]) -> None:
    image = cells()
    fitted = image.prep.fit_normalize(sigma=1)
    assert_same_bits(image.prep.normalize(statistics=fitted, **given), image.prep.normalize(sigma=1))


@pytest.mark.parametrize("message", OTHER)
def test_others_are_refused(message: str) -> None:
    image = cells()
    fitted = image.prep.fit_normalize(sigma=1)
    with pytest.raises((ValueError, KeyError), match=message):
        image.prep.normalize(statistics=fitted, **OTHER[message])


def test_parameters_by_position_count_as_given() -> None:
    image = cells()
    with pytest.raises(ValueError, match="p=95 is given"):
        xprep.normalize(image, 95, statistics=image.prep.fit_normalize())


# Blurs in pixels


def sized(step: float | None, unit: str | None = "micrometer") -> xr.DataArray:
    image = cells().drop_vars(["y", "x"], errors="ignore")
    if step is None:
        return image
    return image.assign_coords({dim: (dim, np.arange(image.sizes[dim]) * step, {"units": unit} if unit else {}) for dim in "yx"})


@pytest.mark.parametrize(
    ("fitted", "applied", "refused"),
    [
        ((0.5, "micrometer"), (0.25, "micrometer"), True),
        ((0.5, "micrometer"), (0.5, "millimeter"), True),
        ((0.5, "micrometer"), (0.5, "second"), True),
        ((0.5, "micrometer"), (500, "nanometer"), False),
        ((0.5, "micrometer"), (0.5001, "micrometer"), False),
        ((0.5, "micrometer"), (None, None), False),
        ((None, None), (0.5, "micrometer"), False),
        ((0.5, None), (0.25, None), True),
    ],
)
def test_pixels_of_another_size_are_refused(fitted: Any, applied: Any, refused: bool) -> None:
    image, other = sized(*fitted), sized(*applied)
    if refused:
        with pytest.raises(ValueError, match=r"sigma=2.0 is in pixels, and those of the statistics are 0\.5.*'1 um'"):
            other.prep.normalize(statistics=image.prep.fit_normalize())
    else:
        assert_same_bits(other.prep.normalize(statistics=image.prep.fit_normalize()), other.prep.normalize())
    for sigma in (None, 0):
        assert_same_bits(other.prep.normalize(statistics=image.prep.fit_normalize(sigma=sigma)), other.prep.normalize(sigma=0))


def test_lengths_follow_the_voxels() -> None:
    image, finer = sized(0.5), sized(0.25)
    fitted = image.prep.fit_normalize(sigma="1 um")
    expected = formula(finer.values, fitted, 4)
    np.testing.assert_allclose(finer.prep.normalize(statistics=fitted), expected, rtol=2e-5)


# Bad input


def without(attribute: str) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda fitted: fitted.drop_attrs().assign_attrs({k: v for k, v in fitted.attrs.items() if k != attribute})


def nan_in(name: str) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda fitted: fitted.assign({name: fitted[name].where(fitted[name].c != "marker 2") if name != "p_sum" else np.nan})


BAD: dict[str, tuple[Callable[[xr.Dataset], Any], type[Exception], str]] = {
    "no Dataset": (lambda fitted: {"p": [1, 2, 3]}, TypeError, "must be the Dataset of fit_normalize, or its file"),
    "an array": (lambda fitted: fitted.p, TypeError, "must be the Dataset"),
    "another Dataset": (lambda fitted: fitted.drop_attrs(), ValueError, "no attribute 'xprep_statistics'.*statistics_of"),
    "another format": (lambda fitted: fitted.assign_attrs(xprep_statistics="2"), ValueError, "of the format '2'"),
    "no parameters": (without("parameters"), ValueError, "lacks the attribute 'parameters'"),
    "no voxel size": (without("voxel_size"), ValueError, "lacks the attribute 'voxel_size'"),
    "no JSON": (lambda fitted: fitted.assign_attrs(parameters="p=99"), ValueError, "no JSON"),
    "other parameters": (lambda fitted: fitted.assign_attrs(parameters='{"q": 1}'), ValueError, "must say its parameters"),
    "a list of parameters": (lambda fitted: fitted.assign_attrs(parameters="[1]"), ValueError, "must say its parameters"),
    **{
        f"no {name}": (lambda fitted, name=name: fitted.drop_vars(name), ValueError, f"lacks the variable '{name}'")
        for name in ("p", "p_sum", "p_post", "image_p", "image_p_sum", "image_p_post", "pixels", "left_out")
    },
    "other dims": (lambda fitted: fitted.assign(p=fitted.p.rename(c="z")), ValueError, "'p' of statistics must lie over"),
    "texts": (lambda fitted: fitted.assign(p=fitted.p.astype(str)), TypeError, "'p' of statistics must hold numbers"),
    "NaN in p": (nan_in("p"), ValueError, "the statistic 'p' of channel marker 2 is NaN"),
    "NaN in p_sum": (nan_in("p_sum"), ValueError, "the statistic 'p_sum' is NaN"),
    "NaN in p_post": (nan_in("p_post"), ValueError, "the statistic 'p_post' of channel marker 2 is NaN"),
}  # fmt: skip


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("case", BAD)
def test_bad_statistics_are_refused(case: str, lazy: bool) -> None:
    change, kind, message = BAD[case]
    image = cells().chunk(CHUNKS) if lazy else cells()
    with pytest.raises(kind, match=message):
        image.prep.normalize(statistics=change(image.prep.fit_normalize())).compute()


@pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning")
def test_nan_is_applied_where_it_was_asked_for() -> None:
    image = cells()
    image[1] = 0
    fitted = image.prep.fit_normalize(empty="nan")
    assert np.isnan(fitted.p.values).tolist() == [False, True, False]
    assert np.isnan(cells().prep.normalize(statistics=fitted)).all()


FILES: dict[str, tuple[str, bytes | None, str]] = {
    "not there": ("none.json", None, "there is no file .*none.json"),
    "no store": ("none.zarr", None, "there is no file .*none.zarr"),
    "no JSON": ("a.json", b"p: 99", "is not JSON"),
    "a list": ("a.json", b"[1]", "holds a JSON list"),
    "another object": ("a.json", b'{"p": 99}', "no Dataset in JSON"),
    "variables without dims": ("a.json", b'{"attrs": {}, "coords": {}, "data_vars": {"p": {"data": [1]}}}', "no Dataset in JSON"),
    "no netCDF": ("a.nc", b"CDF\x01 and no more", "cannot be read as a Dataset"),
    "nothing": ("a.nc", b"", "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_bad_files_are_refused(case: str, tmp_path: Path) -> None:
    name, data, message = FILES[case]
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        cells().prep.normalize(statistics=tmp_path / name)


def test_bad_numbers_in_a_file_are_refused(tmp_path: Path) -> None:
    fitted = cells().prep.fit_normalize()
    for how in ("zarr", "nc", "json"):
        with pytest.raises(ValueError, match=r"'p' of channel marker 2 is NaN"):
            cells().prep.normalize(statistics=saved(nan_in("p")(fitted), tmp_path, how))


def test_a_percentile_that_is_not_positive_warns() -> None:
    fitted = cells().prep.fit_normalize()
    fitted["p"][0] = -1
    with pytest.warns(xprep.PercentileWarning, match="'p' of channel marker 1 is not positive"):
        cells().prep.normalize(statistics=fitted)
