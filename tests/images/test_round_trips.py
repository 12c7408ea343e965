"""`to_ome_zarr`, `open_image`, `open_tree`: round trips, pyramids, overwriting, faults, the same bits in a bucket."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import xprep
from tests.campaign.faults import behind_proxy
from tests.helpers.faulty import FaultProxy
from tests.helpers.servers import Server
from tests.helpers.sources import counted
from tests.laws import dense
from tests.laws.strategies import images

VERSIONS = ("0.4", "0.5", "0.6")
LAYOUTS = ("dual", "flat")


def blobs(channels: int = 2, shape: tuple[int, ...] = (61, 90), seed: int = 0) -> xr.DataArray:
    return xprep.datasets.blobs(channels=channels, shape=shape, seed=seed)


def ome_of(path: Path) -> dict[str, Any]:
    if (path / "zarr.json").exists():
        return json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    return json.loads((path / ".zattrs").read_text())


# Round trips


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lazy", [True, False])
def test_what_is_written_is_read(version: str, layout: str, lazy: bool, tmp_path: Path) -> None:
    image = blobs()
    given_image = image.chunk({"c": 1, "y": 20, "x": 33}) if lazy else image
    report = given_image.prep.to_ome_zarr(tmp_path / "a.zarr", version=version, layout=layout, scale_factors=(2, 3))
    assert report.shapes == ((2, 61, 90), (2, 31, 45), (2, 11, 15))
    assert report.nbytes == sum(2 * np.prod(shape) for shape in report.shapes)
    found = xprep.open_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(found.values, image.values)
    assert found.dtype == image.dtype
    assert found.dims == image.dims
    assert found.name == "blobs"
    assert found.c.values.tolist() == ["marker 1", "marker 2"]
    for dim in "yx":
        np.testing.assert_allclose(found[dim].values, image[dim].values)
        assert found[dim].attrs["units"] == "micrometer"
    assert ome_of(tmp_path / "a.zarr")["multiscales"][0]["datasets"][1]["path"] == ("scale1/image" if layout == "dual" else "1")


@given(data=st.data())
@settings(max_examples=30)
def test_any_image_any_chunks(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    orders = (("c", "y", "x"), ("y", "x"), ("y", "x", "c"), ("t", "c", "z", "y", "x"), ("z", "y", "x"))
    dtypes = ("bool", "uint8", "int16", "uint16", "int32", "uint64", "float32", "float64")
    image = data.draw(images(dtypes=dtypes, orders=orders), label="image")
    chunks = data.draw(st.fixed_dictionaries({dim: st.integers(1, n) for dim, n in image.sizes.items()}), label="chunks")
    inner = data.draw(st.booleans(), label="shards")
    options: dict[str, Any] = {"chunks": chunks}
    if inner:
        options["shards"] = {dim: n * data.draw(st.integers(1, 3)) for dim, n in chunks.items()}
    folder = tmp_path_factory.mktemp("any") / "a.zarr"
    lazy = image.chunk(data.draw(st.fixed_dictionaries({dim: st.integers(1, n) for dim, n in image.sizes.items()})))
    with xprep.set_options(tile_bytes=data.draw(st.sampled_from((1, 2**20)))):
        lazy.prep.to_ome_zarr(folder, scale_factors=(2, 2), **options)
    found = xprep.open_image(folder)
    assert found.dims == tuple(dim for dim in ("t", "c", "z", "y", "x") if dim in image.dims)
    np.testing.assert_array_equal(found.transpose(*image.dims).values, image.values)
    straight = image.transpose(*found.dims)
    factors = tuple(2 if dim in "yx" else 1 for dim in straight.dims)
    if image.dtype.kind != "b" and image.dtype.itemsize < 8:
        level = dense.shrink(straight.values, factors)
        np.testing.assert_array_equal(xprep.open_image(folder, level=1).values, level)
        np.testing.assert_array_equal(xprep.open_image(folder, level=2).values, dense.shrink(level, factors))


@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_shards(version: str, tmp_path: Path) -> None:
    image = blobs(2, (150, 170))
    image.chunk({"y": 40}).prep.to_ome_zarr(
        tmp_path / "a.zarr", version=version, chunks={"y": 16, "x": 16}, shards={"y": 64, "x": 64}
    )
    stored = zarr.open_array(tmp_path / "a.zarr" / "scale0" / "image", mode="r")
    assert stored.chunks == (1, 16, 16)
    assert stored.shards == (1, 64, 64)
    np.testing.assert_array_equal(stored[:], image.values)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values, image.values)
    assert xprep.open_image(tmp_path / "a.zarr").chunks[1][0] == 16


def test_dims_that_are_not_named_keep_their_default_chunk(tmp_path: Path) -> None:
    blobs(3).prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 32, "x": 32}, scale_factors=())
    assert zarr.open_array(tmp_path / "a.zarr" / "scale0" / "image", mode="r").chunks == (1, 32, 32)


@pytest.mark.parametrize("version", VERSIONS)
def test_labels(version: str, tmp_path: Path) -> None:
    image = blobs(2, (50, 61))
    random = np.random.default_rng(1)
    cells = xr.DataArray(random.integers(0, 3, (50, 61)).astype("uint32") * 100_000, dims=("y", "x"))
    image.chunk({"y": 20}).prep.to_ome_zarr(
        tmp_path / "a.zarr", version=version, scale_factors=(2,), labels={"cells": cells.chunk({"x": 10})}
    )
    found = xprep.open_image(tmp_path / "a.zarr", label="cells")
    np.testing.assert_array_equal(found.values, cells.values)
    np.testing.assert_allclose(found.x.values, image.x.values)
    small = xprep.open_image(tmp_path / "a.zarr", label="cells", level=1).values
    assert small.dtype == np.uint32
    for y, x in ((0, 0), (7, 9), (24, 30)):
        values, counts = np.unique(cells.values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2], return_counts=True)
        assert small[y, x] in values[counts == counts.max()]
    tree = xprep.open_tree(tmp_path / "a.zarr")
    assert {"/scale0", "/scale1", "/labels/cells/scale0", "/labels/cells/scale1"} <= {node.path for node in tree.subtree}


def test_datasets_and_trees_of_several(tmp_path: Path) -> None:
    one, two = blobs(), blobs(seed=1)
    dataset = xr.Dataset({"one": one, "two": two, "table": ("row", [1, 2])})
    reports = dataset.chunk({"y": 20}).prep.to_ome_zarr(tmp_path / "set")
    assert len(reports) == 2
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "set" / "two").values, two.values)
    tree = xr.DataTree.from_dict({"a": one.to_dataset(name="i"), "b/c": two[:, :30].to_dataset(name="i")}).chunk({"y": 20})
    xprep.normalize(tree, sigma=1).prep.to_ome_zarr(str(tmp_path / "tree"))
    desired = dense.normalize([one.values, two.values[:, :30]], sigma=1)
    np.testing.assert_allclose(xprep.open_image(tmp_path / "tree/a/i").values, desired[0], rtol=2e-5)
    np.testing.assert_allclose(xprep.open_image(tmp_path / "tree/b/c/i").values, desired[1], rtol=2e-5)


def test_statistics_of_several_images_are_computed_once(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).lognormal(5, 1, (2, 96, 96)).astype("uint16")
    (one, first), (two, second) = (counted(xr.DataArray(pixels * n, dims=("c", "y", "x")), {"y": 32, "x": 32}) for n in (1, 2))
    dataset = xr.Dataset({"one": one, "two": two})
    xprep.normalize(dataset, intermediates="recompute").prep.to_ome_zarr(tmp_path / "out")
    for source in (first, second):
        assert 4 <= source.reads_per_chunk <= 6


def test_compute_false_writes_when_computed(tmp_path: Path) -> None:
    image, source = counted(blobs(), {"y": 20})
    lazy = image.prep.to_ome_zarr(tmp_path / "a.zarr", compute=False)
    assert source.total == 0
    with pytest.raises((xprep.UnfinishedStoreError, xprep.StoreFormatError, FileNotFoundError)):
        xprep.open_image(tmp_path / "a.zarr")
    report = lazy.compute()
    assert report.shapes[0] == image.shape
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values, blobs().values)


def test_engines_write_the_same(scheduler: str, tmp_path: Path) -> None:
    image = blobs(2, (70, 90)).chunk({"c": 1, "y": 32, "x": 32})
    image.prep.to_ome_zarr(tmp_path / "in.zarr", scale_factors=(2,), chunks={"y": 32, "x": 32})
    stored = xprep.open_image(tmp_path / "in.zarr")
    for _ in range(2):  # a second time to another place: nothing that was written is taken for done
        target = tmp_path / f"out{_}.zarr"
        stored.prep.normalize(sigma=1).prep.to_ome_zarr(target, scale_factors=(2,))
        np.testing.assert_array_equal(xprep.open_image(target).values, xprep.normalize(blobs(2, (70, 90)), sigma=1).values)
        level = dense.shrink(xprep.open_image(target).values, (1, 2, 2))
        np.testing.assert_allclose(xprep.open_image(target, level=1).values, level, rtol=1e-6)
    stored.prep.to_ome_zarr(tmp_path / "out0.zarr", overwrite=True)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "out0.zarr").values, blobs(2, (70, 90)).values)


# What others read


@pytest.mark.parametrize("version", VERSIONS)
def test_plain_xarray_opens_every_level(version: str, tmp_path: Path) -> None:
    image = blobs(2, (61, 90)).assign_coords(wavelength=("c", [405.0, 488.0]), stage=3.5)
    image.chunk({"y": 20}).prep.to_ome_zarr(tmp_path / "a.zarr", version=version, scale_factors=(2, 2))
    with xr.open_datatree(tmp_path / "a.zarr", engine="zarr") as tree:
        assert list(tree.children) == ["scale0", "scale1", "scale2"]
        found = tree["scale0/image"]
        np.testing.assert_array_equal(found.values, image.values)
        assert found.dtype == np.uint16, "no fill value turns it into floats with NaN"
        assert found.wavelength.values.tolist() == [405.0, 488.0]
        assert list(map(str, found.c.values)) == ["marker 1", "marker 2"]
        np.testing.assert_allclose(tree["scale2/image"].y.values, 0.75 + 2.0 * np.arange(16))


def test_metadata_of_axes_scales_and_translations(tmp_path: Path) -> None:
    image = blobs(2, (4, 31, 40)).assign_coords(z=("z", 2.0 * np.arange(4) + 7, {"units": "um"}))
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2, {"z": 2, "y": 3}))
    multiscale = ome_of(tmp_path / "a.zarr")["multiscales"][0]
    space = [(dim, "space", "micrometer") for dim in "zyx"]
    axes = [(axis["name"], axis["type"], axis.get("unit")) for axis in multiscale["axes"]]
    assert axes == [("c", "channel", None), *space]
    scales = [level["coordinateTransformations"][0]["scale"] for level in multiscale["datasets"]]
    shifts = [
        level["coordinateTransformations"][1]["translation"] if len(level["coordinateTransformations"]) > 1 else [0] * 4
        for level in multiscale["datasets"]
    ]
    np.testing.assert_allclose(scales, [[1, 2, 0.5, 0.5], [1, 2, 1, 1], [1, 4, 3, 1]])
    np.testing.assert_allclose(shifts, [[0, 7, 0, 0], [0, 7, 0.25, 0.25], [0, 8, 1.25, 0.25]])
    for level in range(3):
        found = xprep.open_image(tmp_path / "a.zarr", level=level)
        for dim, scale, shift in zip("zyx", scales[level][1:], shifts[level][1:], strict=True):
            np.testing.assert_allclose(found[dim].values, shift + scale * np.arange(found.sizes[dim]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_levels_of_an_image_without_coordinates_lie_where_their_pixels_do(layout: str, tmp_path: Path) -> None:
    xr.DataArray(np.ones((16, 20), "uint8"), dims=("y", "x")).prep.to_ome_zarr(
        tmp_path / "a.zarr", layout=layout, scale_factors=(2, 2)
    )
    np.testing.assert_allclose(xprep.open_image(tmp_path / "a.zarr", level=2).x.values, 1.5 + 4 * np.arange(5))


def test_channels_have_windows_of_what_they_hold(tmp_path: Path) -> None:
    """Per channel, also where the tiles hold one channel each."""
    pixels = np.stack([np.linspace(0, 100, 120 * 120), np.linspace(5000, 9000, 120 * 120), np.zeros(120 * 120)]).reshape(
        3, 120, 120
    )
    image = xr.DataArray(pixels.astype("uint16"), dims=("c", "y", "x"), coords={"c": ["low", "high", "none"]})
    for number, (chunks, tile_bytes) in enumerate((({"c": 1, "y": 40, "x": 40}, 1), ({}, 2**24))):
        with xprep.set_options(tile_bytes=tile_bytes):
            counted(image, chunks)[0].prep.to_ome_zarr(tmp_path / f"{number}.zarr", chunks={"y": 40, "x": 40})
        channels = ome_of(tmp_path / f"{number}.zarr")["omero"]["channels"]
        assert [channel["label"] for channel in channels] == ["low", "high", "none"]
        windows = [channel["window"] for channel in channels]
        assert [(window["min"], window["max"]) for window in windows] == [(0, 100), (5000, 9000), (0, 0)]
        assert windows[0]["start"] < 2
        assert 97 < windows[0]["end"] <= 100
        assert 5000 <= windows[1]["start"] < 5100
        assert 8900 < windows[1]["end"] <= 9000
        assert windows[2]["end"] > windows[2]["start"], "viewers divide by the difference"


def test_windows_pass_over_nan_and_infinities(tmp_path: Path) -> None:
    image = blobs(1).astype("float32")
    image[0, :20] = np.nan
    image[0, 30, 30], image[0, 31, 31] = np.inf, -np.inf
    image.prep.to_ome_zarr(tmp_path / "a.zarr")
    window = ome_of(tmp_path / "a.zarr")["omero"]["channels"][0]["window"]
    finite = image.values[np.isfinite(image.values)]
    assert (window["min"], window["max"]) == (finite.min(), finite.max())
    (xr.full_like(image, np.nan)).prep.to_ome_zarr(tmp_path / "nan.zarr")
    window = ome_of(tmp_path / "nan.zarr")["omero"]["channels"][0]["window"]
    assert all(np.isfinite(value) for value in window.values())


def test_a_plain_zarr_array_and_a_group_of_xarray(tmp_path: Path) -> None:
    image = blobs()
    image.to_dataset(name="image").to_zarr(tmp_path / "group.zarr", consolidated=False)
    found = xprep.open_image(tmp_path / "group.zarr")
    xr.testing.assert_equal(found.compute(), image)
    bare = zarr.create_array(tmp_path / "bare.zarr", data=image.values, dimension_names=image.dims)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "bare.zarr").values, bare[:])
    assert xprep.open_image(tmp_path / "bare.zarr").dims == image.dims


def test_opening_reads_no_pixels_and_cuts_as_asked(tmp_path: Path) -> None:
    blobs().prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 16, "x": 16})
    shutil.rmtree(tmp_path / "a.zarr" / "scale0" / "image" / "c")
    image = xprep.open_image(tmp_path / "a.zarr", chunks={"y": 20, "c": -1})
    assert image.chunks == ((2,), (20, 20, 20, 1), (16, 16, 16, 16, 16, 10))
    assert xprep.open_image(tmp_path / "a.zarr", chunks=32).chunks[1:] == ((32, 29), (32, 32, 26))


# One pass


@pytest.mark.parametrize("factors", [(), (2,), (2, 2, 2)])
def test_the_source_is_read_once_however_many_levels(factors: tuple[int, ...], tmp_path: Path) -> None:
    image, source = counted(blobs(2, (128, 160)), {"c": 1, "y": 16, "x": 16})
    with xprep.set_options(tile_bytes=4096):
        image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=factors, chunks={"y": 16, "x": 16})
    assert set(source.reads.values()) == {1}
    assert len(source.reads) == source.nchunks


@pytest.mark.parametrize("method", ["mean", "max", "nearest", "mode"])
def test_methods(method: str, tmp_path: Path) -> None:
    image = (blobs(1, (15, 23)) // 40).astype("uint8")
    image.chunk({"y": 4}).prep.to_ome_zarr(tmp_path / "a.zarr", method=method, scale_factors=(3,))
    found = xprep.open_image(tmp_path / "a.zarr", level=1).values[0]
    for y, x in np.ndindex(found.shape):
        window = image.values[0, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
        values, counts = np.unique(window, return_counts=True)
        desired = {
            "mean": [np.rint(window.mean())],
            "max": [window.max()],
            "nearest": window,
            "mode": values[counts == counts.max()],
        }
        assert found[y, x] in desired[method]


# Overwriting and unfinished stores


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    blobs().prep.to_ome_zarr(tmp_path / "a.zarr")
    image, source = counted(blobs(seed=1), {"y": 20})
    with pytest.raises(xprep.StoreExistsError, match=r"a\.zarr exists.*overwrite=True"):
        image.prep.to_ome_zarr(tmp_path / "a.zarr")
    assert source.total == 0
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values, blobs().values)
    image.prep.to_ome_zarr(tmp_path / "a.zarr", overwrite=True)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values, blobs(seed=1).values)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_what_is_no_store_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    for overwrite in (True, False):
        with pytest.raises(xprep.StoreExistsError, match=r"not a Zarr store \('thesis\.txt'\)"):
            blobs().prep.to_ome_zarr(tmp_path / "notes", overwrite=overwrite)
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(("below", "above"), [("in.zarr", "in.zarr"), ("in.zarr/labels/out", "in.zarr"), ("lab", "lab/in.zarr")])
def test_the_output_must_not_lie_in_the_input(below: str, above: str, tmp_path: Path) -> None:
    blobs().prep.to_ome_zarr(tmp_path / above)
    image = xprep.open_image(tmp_path / above)
    for lazy in (image, image.prep.normalize(), image.isel(x=slice(0, 20)) + 1):
        with pytest.raises(ValueError, match=r"output .* and the input .* lie in each other.*Give another URL"):
            lazy.prep.to_ome_zarr(tmp_path / below, overwrite=True)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / above).values, blobs().values)


def test_a_link_to_the_input_is_the_input(tmp_path: Path) -> None:
    blobs().prep.to_ome_zarr(tmp_path / "in.zarr")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "in.zarr")
    with pytest.raises(ValueError, match="lie in each other"):
        xprep.open_image(tmp_path / "in.zarr").prep.to_ome_zarr(tmp_path / "link.zarr", overwrite=True)


# Faults


def corrupted(path: Path, data: bytes | None) -> Path:
    blobs(2, (64, 64)).prep.to_ome_zarr(path, chunks={"y": 32, "x": 32}, scale_factors=())
    chunk = path / "scale0/image/c/1/0/1"
    if data is None:
        raw = bytearray(chunk.read_bytes())
        raw[len(raw) // 2] ^= 1
        data = bytes(raw)
    chunk.write_bytes(data)
    return path


@pytest.mark.parametrize("data", [None, b"", b"garbage"], ids=["a flipped bit", "nothing", "garbage"])
def test_a_corrupt_chunk_is_named(data: bytes | None, tmp_path: Path) -> None:
    image = xprep.open_image(corrupted(tmp_path / "in.zarr", data))
    for run in (
        lambda: image.compute(),
        lambda: image.prep.quantile(0.5).compute(),
        lambda: image.prep.to_ome_zarr(tmp_path / "out.zarr"),
    ):
        with pytest.raises(xprep.ChunkError, match=r"chunk 'c/1/0/1' of .*in\.zarr/scale0/image"):
            run()
    assert not (tmp_path / "out.zarr").exists()  # it failed before the first pixel


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode:
        pytest.skip("a small disk needs the right to mount one (root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def noise(side: int) -> xr.DataArray:
    return xr.DataArray(np.random.default_rng(0).integers(0, 65535, (2, side, side), dtype="uint16"), dims=("c", "y", "x"))


def test_a_full_disk_to_write_to(small_disk: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write .*small/out\.zarr.*[Nn]o space"):
        noise(1200).chunk({"y": 200}).prep.to_ome_zarr(small_disk / "out.zarr", chunks={"y": 200, "x": 200})
    with pytest.raises((xprep.UnfinishedStoreError, xprep.StoreFormatError)):
        xprep.open_image(small_disk / "out.zarr")
    assert not list(small_disk.rglob("*.partial"))


def test_a_full_disk_to_spill_to(small_disk: Path, tmp_path: Path) -> None:
    image = noise(1200)
    lazy, _ = counted(image, {"c": 1, "y": 200, "x": 200})
    with (
        xprep.set_options(scratch_url=str(small_disk)),
        pytest.raises(xprep.ScratchFullError, match=r"small.*needs .* MiB .*scratch_url.*intermediates='recompute'"),
    ):
        xprep.normalize(lazy, intermediates="spill").prep.to_ome_zarr(tmp_path / "out.zarr")
    if (tmp_path / "out.zarr").exists():
        with pytest.raises(xprep.UnfinishedStoreError):
            xprep.open_image(tmp_path / "out.zarr")


# Buckets


def test_the_same_bits_in_a_bucket(s3: Server, tmp_path: Path) -> None:
    bucket, options = s3.new_bucket(), s3.storage_options()
    image = xprep.datasets.cells()[:, :128, :160]
    for url, given_options in ((f"{tmp_path}/in.zarr", None), (f"{bucket}/in.zarr", options)):
        image.chunk({"y": 64}).prep.to_ome_zarr(url, chunks={"y": 64, "x": 64}, storage_options=given_options)
    local = xprep.open_image(tmp_path / "in.zarr").prep.normalize().compute()
    remote = xprep.open_image(f"{bucket}/in.zarr", storage_options=options)
    np.testing.assert_array_equal(remote.values, image.values)
    report = remote.prep.normalize().prep.to_ome_zarr(f"{bucket}/out.zarr", storage_options=options)
    np.testing.assert_array_equal(xprep.open_image(f"{bucket}/out.zarr", storage_options=options).values, local.values)
    assert "canary" not in str(report)
    with pytest.raises(xprep.StoreExistsError, match="overwrite=True"):
        remote.prep.to_ome_zarr(f"{bucket}/out.zarr", storage_options=options)
    remote.prep.to_ome_zarr(f"{bucket}/out.zarr", storage_options=options, overwrite=True)
    np.testing.assert_array_equal(xprep.open_image(f"{bucket}/out.zarr", storage_options=options).values, image.values)
    with pytest.raises(ValueError, match="lie in each other"):
        remote.prep.to_ome_zarr(f"{bucket}/in.zarr/inside", storage_options=options)


def test_a_missing_bucket(s3: Server) -> None:
    lazy, source = counted(blobs(), {"y": 20})
    with FaultProxy(int(s3.endpoint.rpartition(":")[2])) as proxy:
        options = behind_proxy(s3.storage_options(), proxy, quick=False)
        with pytest.raises(FileNotFoundError, match=r"s3://no-such-bucket-here/.*[Dd]oes the bucket"):
            lazy.prep.to_ome_zarr("s3://no-such-bucket-here/a.zarr", storage_options=options)
        with pytest.raises(FileNotFoundError, match="no-such-bucket-here"):
            xprep.open_image("s3://no-such-bucket-here/a.zarr", storage_options=options)
    assert source.total == 0
    assert max(Counter(proxy.log).values()) <= 4, "what is not there is asked for again and again: five times five, by default"


def test_wrong_credentials(rclone: Server) -> None:
    lazy, source = counted(blobs(), {"y": 20})
    options = rclone.storage_options(secret="canary-wrong-2718281828")
    bucket = rclone.new_bucket()
    for run in (
        lambda: lazy.prep.to_ome_zarr(f"{bucket}/a.zarr", storage_options=options),
        lambda: xprep.open_image(f"{bucket}/a.zarr", storage_options=options),
    ):
        with pytest.raises(PermissionError, match="credentials") as caught:
            run()
        assert "canary" not in str(caught.value)
    assert source.total == 0
