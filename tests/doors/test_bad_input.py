"""Bad input: a clear error that names the value and the way out, raised before anything is computed or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.sources import counted


def image(channels: int = 2) -> xr.DataArray:
    return xprep.datasets.blobs(channels=channels, shape=(24, 32))


def normalize(**parameters: Any) -> Callable[[xr.DataArray], Any]:
    return lambda one: xprep.normalize(one, **parameters)


PARAMETERS: dict[str, tuple[Callable[[xr.DataArray], Any], type[Exception], str]] = {
    "p too large": (normalize(p=101), ValueError, r"p is a percentile.*between 0 and 100; got 101"),
    "p negative": (normalize(p=-1), ValueError, r"between 0 and 100; got -1"),
    "p NaN": (normalize(p=float("nan")), ValueError, r"p .*0 and 100; got nan"),
    "p_sum infinite": (normalize(p_sum=float("inf")), ValueError, r"p_sum.*got inf"),
    "p_post too large": (normalize(p_post=100.5), ValueError, r"p_post.*got 100\.5"),
    "p a list": (normalize(p=[99, 98]), ValueError, r"p must be one percentile.*got \[99, 98\]"),
    "p a string": (normalize(p="99"), ValueError, r"p must be one percentile.*got '99'"),
    "p a truth value": (normalize(p=True), ValueError, r"p must be one percentile.*got True"),
    "too few sigmas": (
        normalize(sigma=[1]),
        ValueError,
        r"sigma has 1 values for 2 channels; give one a channel, or one",
    ),
    "too many sigmas": (normalize(sigma=[1, 2, 3]), ValueError, r"sigma has 3 values for 2 channels"),
    "sigma negative": (normalize(sigma=-1), ValueError, r"sigma must be .*0 or more; got -1"),
    "sigma NaN": (normalize(sigma=float("nan")), ValueError, r"sigma must be a finite number.*got nan"),
    "sigma infinite": (normalize(sigma=float("inf")), ValueError, r"sigma must be a finite number.*got inf"),
    "one sigma negative": (normalize(sigma=[1, -2]), ValueError, r"0 or more; got -2"),
    "sigma a string": (normalize(sigma="2"), ValueError, r"sigma got '2', which is no length.*a number and a unit"),
    "sigma of an unknown channel": (
        normalize(sigma={"marker 1": 1, "CD8": 2}),
        KeyError,
        r"sigma names 'CD8'.*marker 1.*marker 2",
    ),
    "p a quantile": (normalize(p=0.99), ValueError, r"percentiles are 0–100, p=99; got 0\.99"),
    "p_post a quantile": (normalize(p_post=0.999), ValueError, r"percentiles are 0–100, p_post=99\.9; got 0\.999"),
    "an unknown channel": (normalize(channels=["CD8"]), KeyError, r"channels names 'CD8'; the image has.*marker 1"),
    "no channel": (normalize(channels=[]), KeyError, r"channels.*marker 1"),
    "cap NaN": (normalize(cap_max=float("nan")), ValueError, r"cap_max must be a number or None; got nan"),
    "dtype of integers": (normalize(dtype="uint8"), ValueError, r"dtype must be float32, float64 or None.*got 'uint8'"),
    "dtype unknown": (normalize(dtype="float33"), ValueError, r"dtype must be float32.*got 'float33'"),
    "pool unknown": (normalize(pool="median"), ValueError, r"pool must be one of 'mean', 'exact'; got 'median'"),
    "empty unknown": (normalize(empty="zero"), ValueError, r"empty must be one of 'skip', 'nan'; got 'zero'"),
    "intermediates unknown": (normalize(intermediates="disk"), ValueError, r"intermediates must be one of.*got 'disk'"),
    "chunks of 0": (normalize(chunks={"y": 0}), ValueError, r"chunks must be positive.*'y': 0"),
    "chunks of an unknown dim": (normalize(chunks={"w": 3}), ValueError, r"chunks names the dim 'w'.*'c', 'y', 'x'"),
    "too few chunks": (normalize(chunks=(1, 5)), ValueError, r"chunks has 2 lengths for the dims.*mapping"),
    "q too large": (lambda one: xprep.quantile(one, 99), ValueError, r"between 0 and 1; got 99.*mean q=0\.99"),
    "q NaN": (lambda one: xprep.quantile(one, float("nan")), ValueError, r"q must lie between 0 and 1; got nan"),
    "q of two dims": (lambda one: xprep.quantile(one, [[0.5]]), ValueError, r"q must be a number or a one-dimensional"),
    "no q": (lambda one: xprep.quantile(one, []), ValueError, r"q must be a number or a one-dimensional"),
    "quantile over an unknown dim": (
        lambda one: xprep.quantile(one, 0.5, "time"),
        ValueError,
        r"dim names the dim 'time'.*'c', 'y', 'x'",
    ),
    "quantile over no dim": (lambda one: xprep.quantile(one, 0.5, []), ValueError, r"no dim to reduce"),
    "quantile by a sketch": (
        lambda one: xprep.quantile(one, 0.5, method="tdigest"),
        ValueError,
        r"method must be one of 'exact'; got 'tdigest'",
    ),
    "blur of an unknown dim": (
        lambda one: xprep.gaussian_filter(one, {"z": 1}),
        ValueError,
        r"sigma names the dim 'z'",
    ),
    "blur along c": (
        lambda one: xprep.gaussian_filter(one, {"c": 1}),
        ValueError,
        r"cannot blur along the channels 'c'; give a sequence",
    ),
    "blur of None": (
        lambda one: xprep.gaussian_filter(one, None),
        ValueError,
        r"sigma must be a number, a mapping by dim or a sequence.*None",
    ),
    "blur truncated at less than nothing": (
        lambda one: xprep.gaussian_filter(one, 1, truncate=-1),
        ValueError,
        r"truncate must be.*got -1",
    ),
    "an unknown mode": (
        lambda one: xprep.gaussian_filter(one, 1, mode="edge"),
        ValueError,
        r"mode must be one of 'reflect'.*got 'edge'",
    ),
    "an unknown rule for NaN": (
        lambda one: xprep.gaussian_filter(one, 1, nan="skip"),
        ValueError,
        r"nan must be one of.*got 'skip'",
    ),
}


@pytest.mark.parametrize(("call", "kind", "text"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters(call: Callable[[xr.DataArray], Any], kind: type[Exception], text: str, nothing_computes: None) -> None:
    lazy, source = counted(image(), {"y": 8})
    with pytest.raises(kind, match=text):
        call(lazy)
    assert source.total == 0


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "normalize": lambda one: xprep.normalize(one),
    "gaussian_filter": lambda one: xprep.gaussian_filter(one, 1),
    "quantile": lambda one: xprep.quantile(one, 0.5),
}
IMAGES: dict[str, tuple[xr.DataArray, type[Exception], str]] = {
    "complex": (
        image().astype("complex64"),
        TypeError,
        r"real numbers; the image is of complex64.*astype\('float32'\).*abs\(image\)",
    ),
    "strings": (image().astype(str), TypeError, r"real numbers; the image is of <U"),
    "objects": (image().astype(object), TypeError, r"real numbers; the image is of object"),
    "times": (image().astype("datetime64[s]"), TypeError, r"real numbers; the image is of datetime64"),
    "no pixels": (image().isel(y=slice(0, 0)), ValueError, r"image without pixels.*'y': 0"),
}
SHAPES: dict[str, tuple[xr.DataArray, type[Exception], str]] = {
    "no y": (image().isel(y=0), ValueError, r"needs the dim 'y', but the image has \('c', 'x'\).*rename"),
    "no names": (xr.DataArray(np.ones((4, 5))), ValueError, r"needs the dims 'y', 'x'.*dim_0.*rename"),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize(("bad", "kind", "text"), IMAGES.values(), ids=IMAGES)
def test_values_that_are_no_image(
    operation: Callable[[Any], Any], bad: xr.DataArray, kind: type[Exception], text: str, nothing_computes: None
) -> None:
    for one in (bad, bad.chunk({"x": 8})):
        with pytest.raises(kind, match=text):
            operation(one)


@pytest.mark.parametrize("name", ["normalize", "gaussian_filter"])
@pytest.mark.parametrize(("bad", "kind", "text"), SHAPES.values(), ids=SHAPES)
def test_dims_that_are_no_image(name: str, bad: xr.DataArray, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=f"{name} {text}"):
        OPERATIONS[name](bad)


def test_a_channel_dim_that_is_missing() -> None:
    flat = image(1).isel(c=0, drop=True)
    with pytest.raises(ValueError, match=r"channels=\['DAPI'\] was given, but the image has no dim 'c': \('y', 'x'\)"):
        xprep.normalize(flat, channels=["DAPI"])
    with pytest.raises(ValueError, match=r"sigma has 2 values for 1 channels"):
        xprep.normalize(flat, sigma=[1, 2])


def test_images_of_different_dims_in_one_call() -> None:
    tree = xr.DataTree.from_dict({"a": image().to_dataset(name="i"), "b": image().expand_dims("z").to_dataset(name="i")})
    with pytest.raises(ValueError, match=r"same dims.*'/b'.*Normalise 2D and 3D images apart"):
        xprep.normalize(tree)


def test_images_of_different_channels_in_one_call() -> None:
    tree = xr.DataTree.from_dict(
        {"a": image().to_dataset(name="i"), "b": image().assign_coords(c=["marker 1", "CD8"]).to_dataset(name="i")}
    )
    with pytest.raises(KeyError, match=r"marker 2.*CD8"):
        xprep.normalize(tree)


def test_containers_without_an_image() -> None:
    for operation in OPERATIONS.values():
        with pytest.raises(ValueError, match=r"no image here.*dims y and x"):
            operation(xr.Dataset({"table": ("row", [1, 2])}))
        with pytest.raises(TypeError, match=r"DataArray, a Dataset or a DataTree; got ndarray"):
            operation(np.ones((3, 4)))


def test_options() -> None:
    with pytest.raises(ValueError, match=r"unknown option 'colour'; the options are"):
        xprep.set_options(colour=1)
    for wrong in ({"intermediates": "x"}, {"memory_limit": 0}, {"tile_bytes": -1}, {"progress": "loud"}):
        with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
            xprep.set_options(**wrong)


@pytest.mark.parametrize(
    ("given", "nbytes"),
    [("16 GiB", 2**34), ("2GiB", 2**31), ("500 MB", 500_000_000), ("1.5 kib", 1536), ("4096", 4096), (4096, 4096), (1e9, 10**9)],
)
@pytest.mark.parametrize("option", ["memory_limit", "tile_bytes"])
def test_options_of_bytes_take_texts(option: str, given: Any, nbytes: int) -> None:
    with xprep.set_options(**{option: given}) as chosen:
        assert getattr(chosen, option) == nbytes


@pytest.mark.parametrize(
    ("option", "given", "error"),
    [
        ("memory_limit", "much", ValueError),
        ("memory_limit", "-1 GiB", ValueError),
        ("memory_limit", "0 GiB", ValueError),
        ("memory_limit", True, TypeError),
        ("memory_limit", [1], TypeError),
        ("tile_bytes", "16 pixels", ValueError),
        ("deadline", "50 s", TypeError),
        ("deadline", float("nan"), ValueError),
    ],
)
def test_options_name_what_they_do_not_take(option: str, given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=option):
        xprep.set_options(**{option: given})


# What is a rule, and not an error: see test_normalize for NaN only, an all-zero channel, p <= 0 and infinities.


# Writing: the target must not be there afterwards

WRITING: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an unknown method": ({"method": "median"}, ValueError, r"method must be one of 'mean'.*got 'median'"),
    "an unknown version": ({"version": "0.3"}, ValueError, r"version must be one of.*got '0\.3'"),
    "an unknown layout": ({"layout": "nested"}, ValueError, r"layout must be.*got 'nested'"),
    "a factor of 0": (
        {"scale_factors": (0,)},
        ValueError,
        r"scale_factors must be whole numbers, 1 or more; got \{'y': 0, 'x': 0\}",
    ),
    "a factor of 1.5": ({"scale_factors": (1.5,)}, ValueError, r"whole numbers.*1\.5"),
    "a factor of an unknown dim": ({"scale_factors": ({"z": 2},)}, ValueError, r"scale_factors names the dim 'z'"),
    "factors that are no sequence": ({"scale_factors": 2}, ValueError, r"scale_factors must be.*a sequence.*got 2"),
    "factors by an unknown word": (
        {"scale_factors": "all"},
        ValueError,
        r"scale_factors must be.*a sequence.*got 'all'",
    ),
    "chunks of 0": ({"chunks": {"x": 0}}, ValueError, r"chunks must be positive.*'x': 0"),
    "chunks of an unknown dim": ({"chunks": {"z": 4}}, ValueError, r"chunks names the dim 'z'"),
    "shards in 0.4": ({"version": "0.4", "shards": {"y": 24}}, ValueError, r"[sS]hards.*0\.5"),
    "labels of fractions": (
        {"labels": {"cells": image().isel(c=0, drop=True).astype("float32")}},
        TypeError,
        r"labels must be whole numbers; 'cells' is of float32",
    ),
    "labels of another size": (
        {"labels": {"cells": image().isel(c=0, drop=True)[:5]}},
        ValueError,
        r"'cells' does not lie on the image: along 'y' .*19 of the image's 24 pixels have none",
    ),
    "labels with a name that leads elsewhere": (
        {"labels": {"../x": image().isel(c=0, drop=True)}},
        ValueError,
        r"'\.\./x' cannot be a name",
    ),
}


@pytest.mark.parametrize(("options", "kind", "text"), WRITING.values(), ids=WRITING)
def test_writing(options: dict[str, Any], kind: type[Exception], text: str, tmp_path: Path, nothing_computes: None) -> None:
    lazy, source = counted(image(), {"y": 8})
    with pytest.raises(kind, match=text):
        lazy.prep.to_ome_zarr(tmp_path / "out.zarr", **options)
    assert list(tmp_path.iterdir()) == []
    assert source.total == 0


UNWRITABLE: dict[str, tuple[xr.DataArray, type[Exception], str]] = {
    "complex": (image().astype("complex64"), TypeError, r"real numbers"),
    "no pixels": (image().isel(x=slice(0, 0)), ValueError, r"without pixels"),
    "a foreign dim": (
        image().rename(c="wavelength"),
        ValueError,
        r"OME-Zarr has the dims t, c, z, y, x; the image has 'wavelength'.*rename",
    ),
    "uneven coordinates": (
        image().assign_coords(x=np.arange(32.0) ** 2),
        ValueError,
        r"coordinate 'x' is not evenly spaced.*drop_vars\('x'\)",
    ),
    "no y": (image().isel(y=0), ValueError, r"needs the dim 'y'"),
}


@pytest.mark.parametrize(("bad", "kind", "text"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_images_that_cannot_be_written(bad: xr.DataArray, kind: type[Exception], text: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=text):
        bad.prep.to_ome_zarr(tmp_path / "out.zarr")
    assert list(tmp_path.iterdir()) == []


URLS = {
    "empty": ("", ValueError, r"URL is empty"),
    "unknown protocol": ("ftp://host/a.zarr", ValueError, r"'ftp' is not allowed"),
    "a chain": ("simplecache::s3://lab/a.zarr", ValueError, r"chained URL"),
    "http": ("http://127.0.0.1:9/a.zarr", ValueError, r"for reading only"),
}


@pytest.mark.parametrize(("url", "kind", "text"), URLS.values(), ids=URLS)
def test_urls_to_write_to(url: str, kind: type[Exception], text: str) -> None:
    lazy, source = counted(image(), {"y": 8})
    with pytest.raises(kind, match=text):
        lazy.prep.to_ome_zarr(url)
    assert source.total == 0


def test_of_several_images_none_is_created_if_one_is_bad(tmp_path: Path) -> None:
    good, bad = image(), image().assign_coords(x=np.arange(32.0) ** 2)
    tree = xr.DataTree.from_dict({"a": good.to_dataset(name="i"), "b": bad.to_dataset(name="i")})
    with pytest.raises(ValueError, match="not evenly spaced"):
        tree.prep.to_ome_zarr(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_several_images_with_labels(tmp_path: Path) -> None:
    dataset = xr.Dataset({"a": image(), "b": image()})
    with pytest.raises(ValueError, match="labels belong to one image"):
        dataset.prep.to_ome_zarr(tmp_path / "out", labels={"cells": image().isel(c=0)})
    assert list(tmp_path.iterdir()) == []


OPENING = {
    "nothing there": (lambda path: None, r"there is nothing at .*in\.zarr: no such store"),
    "a text file": (lambda path: path.mkdir() or (path / "zarr.json").write_text("{"), r"is not JSON"),
    "an empty folder": (lambda path: path.mkdir(), r"there is nothing at .*in\.zarr: no such store, folder or bucket"),
}


@pytest.mark.parametrize(("make", "text"), OPENING.values(), ids=OPENING)
def test_opening_what_is_no_store(make: Callable[[Path], Any], text: str, tmp_path: Path) -> None:
    make(tmp_path / "in.zarr")
    with pytest.raises((xprep.StoreFormatError, FileNotFoundError), match=text):
        xprep.open_image(tmp_path / "in.zarr")


def test_opening_a_level_or_a_label_that_is_not_there(tmp_path: Path) -> None:
    image().prep.to_ome_zarr(tmp_path / "in.zarr", scale_factors=(2,))
    with pytest.raises(xprep.StoreFormatError, match=r"levels 0 … 1; got level=2"):
        xprep.open_image(tmp_path / "in.zarr", level=2)
    assert xprep.open_image(tmp_path / "in.zarr", level=-1).sizes["x"] == 16
    with pytest.raises(KeyError, match=r"no labels 'cells'; it has \[\]"):
        xprep.open_image(tmp_path / "in.zarr", label="cells")
    with pytest.raises(ValueError, match=r"chunks names the dim 'z'"):
        xprep.open_image(tmp_path / "in.zarr", chunks={"z": 1})


@pytest.mark.parametrize("opener", [xprep.open_image, xprep.open_tree, xprep.validate, xprep.verify, xprep.statistics_of])
def test_where_nothing_is_every_opener_says_so(opener: Any, tmp_path: Path) -> None:
    """And not that it is no Zarr group: the way out is another path, and no other opener."""
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        opener(tmp_path / "none.zarr")
