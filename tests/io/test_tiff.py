"""TIFF files that others write, read lazily: to the pixel as tifffile reads them, each tile once, with names and sizes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr
from typer.testing import CliRunner

import xprep
from tests.helpers.servers import Server
from xprep.cli.app import app
from xprep.errors import ChunkError, SourceChangedError, StoreExistsError, StoreFormatError
from xprep.images import describe_store
from xprep.io.store.files import stores
from xprep.io.store.files.images import FileLevel

RNG = np.random.default_rng(5)
STACK = RNG.integers(0, 4000, (2, 3, 4, 50, 70), dtype="u2")  # t, c, z, y, x
PLANE = RNG.integers(0, 4000, (150, 210), dtype="u2")
RGB = RNG.integers(0, 256, (60, 50, 3), dtype="u1")
SAID: dict[str, Any] = {
    "axes": "TCZYX", "Name": "a slide", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500.0,
    "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0, "TimeIncrement": 3.0, "TimeIncrementUnit": "min",
    "Channel": {"Name": ["DAPI", "CD3", "CD8"], "Color": [-16776961, 16711935, 65535]},
}  # fmt: skip


def write(path: Path, pixels: np.ndarray, **options: Any) -> None:
    tifffile.imwrite(path, pixels, **options)


# What is written, how, and the dims it has then. Equal to what tifffile reads is a matter of the axes alone.
FILES: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "OME, one after the other": (STACK, {"metadata": SAID, "ome": True}, "tczyx"),
    "OME, deflate with predictor": (STACK, {"metadata": SAID, "ome": True, "tile": (32, 32), "compression": "deflate",
                                            "predictor": True}, "tczyx"),
    "BigTIFF of the other byte order": (STACK, {"metadata": SAID, "ome": True, "bigtiff": True, "byteorder": ">",
                                                "tile": (16, 48)}, "tczyx"),
    "strips of seven rows": (STACK, {"metadata": SAID, "ome": True, "rowsperstrip": 7, "compression": "deflate"}, "tczyx"),
    "an ImageJ hyperstack": (STACK.swapaxes(1, 2), {"imagej": True, "metadata": {"axes": "TZCYX"}}, "tzcyx"),
    "LZW with predictor": (STACK[0], {"metadata": {"axes": "CZYX"}, "photometric": "minisblack", "compression": "lzw",
                                        "predictor": True}, "czyx"),
    "JPEG 2000": (STACK[0], {"metadata": {"axes": "CZYX"}, "photometric": "minisblack", "compression": "jpeg2000",
                             "tile": (32, 32)}, "czyx"),
    "zstd": (STACK[0], {"metadata": {"axes": "CZYX"}, "photometric": "minisblack", "compression": "zstd"}, "czyx"),
    "floats with their predictor": (STACK[0].astype("f4"), {"metadata": {"axes": "CZYX"}, "photometric": "minisblack",
                                                            "compression": "deflate",
                                                            "predictor": True}, "czyx"),
    "one plane": (PLANE, {}, "yx"),
    "one plane in tiles": (PLANE, {"tile": (64, 64)}, "yx"),
    "pages of which nothing is said": (STACK[0, :, 0].astype("f4"), {"metadata": None, "photometric": "minisblack"}, "cyx"),
    "a shape of which no more is said": (STACK[0, 0], {"photometric": "minisblack"}, "cyx"),
    "RGB, contiguous": (RGB, {"photometric": "rgb", "tile": (32, 32)}, "yxc"),
    "RGB, contiguous and plain": (RGB, {"photometric": "rgb"}, "yxc"),
    "RGB, planar": (RGB.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate", "tile": (32, 32)}, "cyx"),
    "RGB, planar and plain": (RGB.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}, "cyx"),
    "a stack of RGB": (np.stack([RGB, RGB // 2]), {"photometric": "rgb", "metadata": {"axes": "ZYXS"}, "tile": (32, 32)}, "zyxc"),
    "eight bits, signed": (STACK[0, 0, 0].astype("i1"), {}, "yx"),
    "bits": (PLANE > 2000, {}, "yx"),
}  # fmt: skip


@pytest.mark.parametrize(("pixels", "how", "dims"), FILES.values(), ids=FILES)
def test_every_kind_is_what_tifffile_reads(pixels: np.ndarray, how: dict[str, Any], dims: str, tmp_path: Path) -> None:
    write(tmp_path / "a.tif", pixels, **how)
    image = xprep.open_image(tmp_path / "a.tif")
    wanted = xr.DataArray(tifffile.imread(tmp_path / "a.tif"), dims=tuple(dims))
    assert image.dims == tuple(sorted(dims, key="tczyx".index))
    assert image.dtype == wanted.dtype.newbyteorder("=")
    np.testing.assert_array_equal(image.values, wanted.transpose(*image.dims).values)
    part = {"y": slice(13, 47), "x": slice(5, 39)}
    np.testing.assert_array_equal(image.isel(part), wanted.isel(part).transpose(*image.dims))
    elsewhere = pickle.loads(pickle.dumps(image))  # noqa: S301
    np.testing.assert_array_equal(elsewhere.isel(part), image.isel(part))


def test_samples_of_several_channels_are_channels(tmp_path: Path) -> None:
    two = np.stack([RGB, RGB // 2])  # c, y, x, s
    wanted = two.transpose(0, 3, 1, 2).reshape(6, 60, 50)
    named = {"axes": "CYXS", "Channel": {"Name": ["before", "after"]}}
    write(tmp_path / "a.ome.tif", two, photometric="rgb", metadata=named, tile=(32, 32))
    planar = {**named, "axes": "CSYX"}
    write(tmp_path / "b.ome.tif", two.transpose(0, 3, 1, 2), photometric="rgb", planarconfig="separate", metadata=planar)
    for name in ("a.ome.tif", "b.ome.tif"):
        image = xprep.open_image(tmp_path / name)
        np.testing.assert_array_equal(image, wanted)
        assert list(image.c.values) == ["before 0", "before 1", "before 2", "after 0", "after 1", "after 2"]


def spacing(image: xr.DataArray, dim: str) -> tuple[float, str]:
    values = image[dim].values
    return round(float(values[1] - values[0]), 6), image[dim].attrs.get("units", "")


def write_imagej(path: Path) -> None:
    about = {"axes": "CYX", "unit": "um", "Labels": ["DAPI", "CD3", "CD8"]}
    write(path, STACK[0, :, 0], imagej=True, resolution=(4.0, 2.0), metadata=about)


def write_svs(path: Path) -> None:
    said = "Aperio Image Library v11\n50x60 [0,0 50x60] (32x32) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(path) as made:
        made.write(RGB, photometric="rgb", tile=(32, 32), description=said, metadata=None)
        made.write(RGB[::2, ::2], photometric="rgb", description="Aperio Image Library v11\nthumbnail", metadata=None)
        made.write(RGB[::2, ::2], photometric="rgb", tile=(16, 16), description="Aperio Image Library v11\nlevel", metadata=None)
        label = "Aperio Image Library v11\nlabel 9x9"
        made.write(RGB[:9, :9], photometric="rgb", description=label, subfiletype=1, metadata=None)


def write_qptiff(path: Path) -> None:
    with tifffile.TiffWriter(path) as made:
        for factor in (1, 2):
            for name, color in (("DAPI", "0,0,255"), ("CD3", "255,128,0")):
                text = f"<PerkinElmer-QPI-ImageDescription><Name>{name}</Name><Color>{color}</Color>" + (
                    "<ImageType>FullResolution</ImageType>" if factor == 1 else "<ImageType>ReducedResolution</ImageType>"
                ) + "</PerkinElmer-QPI-ImageDescription>"  # fmt: skip
                made.write(
                    PLANE[::factor, ::factor], tile=(32, 32), resolution=(20000 / factor, 20000 / factor), resolutionunit=3,
                    description=text, software="PerkinElmer-QPI", metadata=None, subfiletype=int(factor > 1),
                )  # fmt: skip


def write_names(path: Path) -> None:
    with tifffile.TiffWriter(path) as made:
        for n, name in enumerate(("CD3", "CD8")):
            made.write(STACK[0, n, 0], metadata=None, extratags=[(285, 2, len(name) + 1, name, True)])


def write_dpi(path: Path) -> None:
    write(path, PLANE, resolution=(72, 72), resolutionunit=2)


# The file, the names and colours of its channels, and the spacing of its pixels.
METADATA: dict[str, tuple[Callable[[Path], None], list[str], list[str], dict[str, tuple[float, str]]]] = {
    "OME": (
        lambda path: write(path, STACK, metadata=SAID, ome=True), ["DAPI", "CD3", "CD8"], ["FF0000", "00FF00", "0000FF"],
        {"x": (0.25, "micrometer"), "y": (500.0, "nanometer"), "z": (2.0, "micrometer"), "t": (3.0, "minute")},
    ),
    "OME, a channel alone": (
        lambda path: write(path, PLANE, ome=True, metadata={"axes": "YX", "Channel": {"Name": ["DAPI"]}}), ["DAPI"], ["FFFFFF"],
        {"x": (1.0, "")},
    ),
    "ImageJ": (write_imagej, ["DAPI", "CD3", "CD8"], ["FFFFFF"] * 3, {"x": (0.25, "micrometer"), "y": (0.5, "micrometer")}),
    "SVS": (write_svs, ["red", "green", "blue"], ["FF0000", "00FF00", "0000FF"], {"x": (0.499, "micrometer")}),
    "QPTIFF": (write_qptiff, ["DAPI", "CD3"], ["0000FF", "FF8000"], {"x": (0.5, "micrometer"), "y": (0.5, "micrometer")}),
    "names of pages": (write_names, ["CD3", "CD8"], ["FFFFFF"] * 2, {"x": (1.0, "")}),
    "a printer's resolution": (write_dpi, [], [], {"x": (1.0, ""), "y": (1.0, "")}),
}  # fmt: skip


@pytest.mark.parametrize(("make", "names", "colors", "steps"), METADATA.values(), ids=METADATA)
def test_names_and_sizes_are_those_of_the_file(
    make: Any, names: list[str], colors: list[str], steps: dict[str, Any], tmp_path: Path
) -> None:
    """And they are kept where the file is converted."""
    make(tmp_path / "a.tif")
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "a.tif"), str(tmp_path / "a.zarr"), "--scale-factors", "2"])
    assert done.exit_code == 0, done.output
    source, copy = xprep.open_image(tmp_path / "a.tif"), xprep.open_image(tmp_path / "a.zarr")
    for image in (source, copy):
        assert [str(name) for name in image.coords["c"].values] == names if names else "c" not in image.coords
        assert [one["color"] for one in image.attrs.get("omero", {}).get("channels", [])][: len(colors)] == colors
        assert {dim: spacing(image, dim) for dim in steps} == steps
    np.testing.assert_array_equal(copy, source)
    assert xprep.verify(tmp_path / "a.zarr").is_whole
    assert copy.name == (source.name or "image")


def write_pyramid(path: Path, levels: list[np.ndarray]) -> None:
    with tifffile.TiffWriter(path) as made:
        made.write(levels[0], subifds=len(levels) - 1, tile=(32, 32), metadata={"axes": "CYX"})
        for level in levels[1:]:
            made.write(level, subfiletype=1, tile=(32, 32))


def test_levels_are_those_of_the_file(tmp_path: Path) -> None:
    pixels = STACK[0, :, 0]
    levels = [pixels, pixels[:, ::2, ::2], pixels[:, ::4, ::4]]
    write_pyramid(tmp_path / "a.ome.tif", levels)
    tree = xprep.open_tree(tmp_path / "a.ome.tif")
    for n, wanted in enumerate(levels):
        np.testing.assert_array_equal(tree[f"scale{n}"]["image"], wanted)
        image = xprep.open_image(tmp_path / "a.ome.tif", level=n)
        np.testing.assert_array_equal(image, wanted)
        assert float(image.y[0]) == (2**n - 1) / 2  # in the middle of the pixels that it shows
    assert [array.shape for array in describe_store(tmp_path / "a.ome.tif").arrays] == [level.shape for level in levels]
    write_svs(tmp_path / "a.svs")
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.svs", level=1), RGB[::2, ::2].transpose(2, 0, 1))
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.svs", series="Label"), RGB[:9, :9].transpose(2, 0, 1))


def write_two(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as made:
        for name, pixels in (("first", STACK[0]), ("second", STACK[1, :, :, :30])):
            made.write(pixels, metadata={"axes": "CZYX", "Name": name})


def test_a_series_is_chosen_or_all_are_named(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    write_two(path)
    for opening in (xprep.open_image, lambda url: xprep.open_image(url, level=0)):
        with pytest.raises(StoreFormatError, match=r"several series of 2 images: 0 \('first'\), 1 \('second'\)\..*series=0"):
            opening(path)
    for wanted, ways in ((STACK[0], (0, "first")), (STACK[1, :, :, :30], (1, "second"))):
        for way in ways:
            np.testing.assert_array_equal(xprep.open_image(path, series=way), wanted)
            np.testing.assert_array_equal(xprep.open_tree(path, series=way)["scale0"]["image"], wanted)
    np.testing.assert_array_equal(xprep.open_image(f"{path}/1"), STACK[1, :, :, :30])
    assert list(xprep.open_tree(path).children) == ["0", "1"]
    for wrong in (2, -1, "third"):
        with pytest.raises(KeyError, match=rf"no series {wrong!r}; it has 0 \('first'\), 1 \('second'\)"):
            xprep.open_image(path, series=wrong)
    output = CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "a.zarr"), "--series", "second"]).output
    assert "wrote" in output
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), STACK[1, :, :, :30])
    assert CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "b.zarr")]).exit_code == 2
    recipe = {"inputs": str(path), "steps": [{"gaussian_filter": {"sigma": 1}}], "output": str(tmp_path / "out")}
    assert xprep.run(recipe).ok
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["two_0.ome.zarr", "two_1.ome.zarr"]


def test_series_of_zarr_stores(tmp_path: Path) -> None:
    """What bioformats2raw writes is chosen from in the same way; an image is its own only series; a plate has paths."""
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(tmp_path / "a.zarr")
    assert xprep.open_image(tmp_path / "a.zarr", series=0).sizes == {"c": 1, "y": 32, "x": 32}
    with pytest.raises(KeyError, match="no series 1; it has 0"):
        xprep.open_image(tmp_path / "a.zarr", series=1)
    with pytest.raises(ValueError, match="is a Zarr store, which names its dims"):
        xprep.open_image(tmp_path / "a.zarr", dims="zyx")


DIMS: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "a stack": (STACK[0, 0], {"photometric": "minisblack", "metadata": None}, "zyx"),
    "a film": (STACK[0, 0], {"photometric": "minisblack"}, "tyx"),
    "two that are not said": (STACK[0], {"photometric": "minisblack"}, "czyx"),
    "what was said wrong": (STACK[:, 0], {"metadata": {"axes": "CZYX"}, "ome": True}, "tzyx"),
}


@pytest.mark.parametrize(("pixels", "how", "dims"), DIMS.values(), ids=DIMS)
def test_dims_can_be_said(pixels: np.ndarray, how: dict[str, Any], dims: str, tmp_path: Path) -> None:
    write(tmp_path / "a.tif", pixels, **how)
    image = xprep.open_image(tmp_path / "a.tif", dims=dims)
    assert image.dims == tuple(dims)
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "a.tif"), str(tmp_path / "a.zarr"), "--dims", dims])
    assert done.exit_code == 0, done.output
    assert xprep.open_image(tmp_path / "a.zarr").sizes == image.sizes
    np.testing.assert_array_equal(image, pixels)
    swapped = dims[1] + dims[0] + dims[2:]
    if dims[:1] not in ("t",) and len(dims) == 4:
        np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.tif", dims=swapped), np.swapaxes(pixels, 0, 1))
    for wrong in ("yx", "tczyx", dims[:-2] + "xy"):
        with pytest.raises(StoreFormatError, match=r"dims=.*(does not fit|stay y and x)"):
            xprep.open_image(tmp_path / "a.tif", dims=wrong)


def test_axes_that_nobody_says_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", STACK[0], photometric="minisblack")
    with pytest.raises(StoreFormatError, match=r"axes 'QQYX'.*would be 'c'.*dims='czyx'"):
        xprep.open_image(tmp_path / "a.tif")
    write(tmp_path / "b.ome.tif", STACK[0], metadata={"axes": "HCYX"}, photometric="minisblack")
    with pytest.raises(StoreFormatError, match=r"its axis 'H' is none of t, c, z, y, x"):
        xprep.open_image(tmp_path / "b.ome.tif")


class CountingLevel:
    """Counts which chunks of a file are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[tuple[int, ...]] = []
        chunk = FileLevel.chunk

        def counted(level: FileLevel, index: tuple[int, ...]) -> Any:
            self.read.append(index)
            return chunk(level, index)

        monkeypatch.setattr(FileLevel, "chunk", counted)


@pytest.mark.parametrize("how", [{"tile": (32, 32), "compression": "deflate"}, {}], ids=["tiles", "plain"])
def test_each_tile_is_read_once_a_pass_and_none_before(how: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.tif", STACK[0, :, 0], metadata={"axes": "CYX"}, photometric="minisblack", **how)
    counting = CountingLevel(monkeypatch)
    with xprep.set_options(intermediates="recompute"):
        image = xprep.open_image(tmp_path / "a.tif")
        result = image.prep.normalize(p_sum=None, sigma=None, norm_sum=False, p_post=None)
        result.prep.plan()
        assert counting.read == []
        result.prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 32, "x": 32})
    passes = {counting.read.count(index) for index in set(counting.read)}
    assert passes == {2}  # for p, and for the pixels
    assert len(set(counting.read)) == int(np.prod(image.data.numblocks))


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def say(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def damaged_pyramid(path: Path) -> None:
    write_pyramid(path, [STACK[0, :, 0], STACK[0, :, 0, ::2, ::5]])


def ome(path: Path, **how: Any) -> None:
    write(path, STACK, metadata=SAID, ome=True, tile=(32, 32), **how)


def ome_and(change: Callable[[Path], None], **how: Any) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        ome(path, **how)
        change(path)

    return make


BOMB = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><OME>&b;</OME>'
# What is wrong with a file, and what the sentence says when it is opened.
WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut in the midst": (ome_and(lambda path: cut(path, 0.5)), "is not what it says|cut short"),
    "cut at the end": (ome_and(lambda path: cut(path, 0.99)), "is not what it says|cut short"),
    "cut behind its header": (ome_and(lambda path: cut(path, 0.001)), "is not what it says|cannot be read|damaged"),
    "more planes than there are": (ome_and(lambda path: say(path, b'SizeT="2"', b'SizeT="3"')), "missing 12|planes that"),
    "another width": (ome_and(lambda path: say(path, b'SizeX="70"', b'SizeX="90"')), "is not what it says"),
    "XML that is none": (ome_and(lambda path: say(path, b"</Pixels>", b"</Pixeln>")), "is not what it says"),
    "XML with entities": (lambda path: write(path, PLANE, description=BOMB, metadata=None), "document type of its own"),
    "a pyramid that lies": (damaged_pyramid, "level 1 of its pyramid.*not the same image made smaller"),
    "complex numbers": (lambda path: write(path, PLANE.astype("c8")), "complex64, no numbers"),
    "nothing behind its header": (lambda path: path.write_bytes(b"II*\0" + bytes(20)), "cannot be read as a TIFF file"),
    "text": (lambda path: path.write_text("x"), "called like a TIFF file"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_wrong_is_named(make: Any, says: str, tmp_path: Path) -> None:
    make(tmp_path / "a.ome.tif")
    with pytest.raises(StoreFormatError, match=says) as caught:
        xprep.open_image(tmp_path / "a.ome.tif")
    assert str(tmp_path / "a.ome.tif") in str(caught.value)
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "a.ome.tif"), str(tmp_path / "a.zarr")])
    assert (done.exit_code, (tmp_path / "a.zarr").exists()) == (2, False)


@pytest.mark.parametrize("how", [{}, {"tile": (32, 32)}, {"compression": "deflate"}, {"rowsperstrip": 7, "compression": "zstd"}],
                         ids=["plain", "tiles", "strip", "strips"])  # fmt: skip
def test_pixels_that_are_cut_off_are_an_error_and_no_zeros(how: Any, tmp_path: Path) -> None:
    """The metadata come first in these files, so that they open."""
    write(tmp_path / "a.tif", PLANE, metadata=None, **how)
    cut(tmp_path / "a.tif", 0.6)
    image = xprep.open_image(tmp_path / "a.tif")
    with pytest.raises(ChunkError, match=r"chunk .* of .*a\.tif/0 cannot be read: .*cut short"):
        image.load()


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", PLANE, tile=(64, 64))
    image = xprep.open_image(tmp_path / "a.tif").prep.gaussian_filter(1)
    assert image.prep.to_ome_zarr(tmp_path / "a.zarr").source == "watched"
    assert image.prep.to_ome_zarr(tmp_path / "a.zarr", resume=True).units == 0
    write(tmp_path / "a.tif", PLANE + 1, tile=(64, 64))
    os.utime(tmp_path / "a.tif", ns=(1, 1))
    again = xprep.open_image(tmp_path / "a.tif").prep.gaussian_filter(1)
    with pytest.raises((SourceChangedError, StoreExistsError), match=r"changed|another"):
        again.prep.to_ome_zarr(tmp_path / "a.zarr", resume=True)
    stale = xprep.open_image(tmp_path / "a.tif")
    write(tmp_path / "a.tif", PLANE, tile=(32, 32))
    stores._open.cache_clear()
    with pytest.raises(OSError, match="was changed after it had been opened"):
        stale.load()


def test_workers_open_the_file_by_its_path(tmp_path: Path) -> None:
    from distributed import Client

    write(tmp_path / "a.tif", STACK[0], metadata={"axes": "CZYX"}, tile=(32, 32), compression="deflate", photometric="minisblack")
    image = xprep.open_image(tmp_path / "a.tif")
    wanted = image.prep.normalize(sigma=1).values
    with Client(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None):
        np.testing.assert_array_equal(image.prep.normalize(sigma=1).values, wanted)


def test_a_file_in_a_bucket(tmp_path: Path, s3: Server) -> None:
    import fsspec

    ome(tmp_path / "a.ome.tif", compression="deflate")
    url, options = f"{s3.new_bucket()}/a.ome.tif", s3.storage_options()
    with fsspec.open(url, "wb", **options) as file:
        file.write((tmp_path / "a.ome.tif").read_bytes())
    image = xprep.open_image(url, storage_options=options)
    np.testing.assert_array_equal(image, STACK)
    assert list(image.c.values) == ["DAPI", "CD3", "CD8"]
    report = pickle.loads(pickle.dumps(image)).prep.to_ome_zarr(tmp_path / "a.zarr")  # noqa: S301
    assert report.source == "watched"
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), STACK)
    with fsspec.open(url.replace("a.ome.tif", "a.zarr.zip"), "wb", **options) as file:
        file.write(b"PK\5\6" + bytes(18))
    with pytest.raises(StoreFormatError, match="has the name of a zip file, which is read from this machine only"):
        xprep.open_image(url.replace("a.ome.tif", "a.zarr.zip"), storage_options=options)
    with pytest.raises(FileNotFoundError, match="no such store"):
        xprep.open_image(url.replace("a.ome.tif", "b.ome.tif"), storage_options=options)


WITHOUT = """
import sys, xprep
sys.modules[sys.argv[1]] = None
import importlib.util as util
found = util.find_spec
util.find_spec = lambda name, *rest: None if name == sys.argv[1] else found(name, *rest)
import xprep.extras
xprep.extras.find_spec = util.find_spec
try:
    xprep.open_image(sys.argv[2])
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["tifffile", "bioio"])
def test_a_package_that_is_missing_is_named_with_its_extra(missing: str, tmp_path: Path) -> None:
    write(tmp_path / "a.tif", PLANE)
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(20))
    name, extra = ("a.tif", "tiff") if missing == "tifffile" else ("a.czi", "bioio")
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT, missing, str(tmp_path / name)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert f"needs {missing}, which is not installed: pip install 'xprep[{extra}]'" in done.stdout, done.stderr


def test_compression_without_its_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.tif", PLANE, compression="lzw")

    class Without:
        def __getitem__(self, key: int) -> Any:
            raise KeyError(f"{key} requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", Without())
    monkeypatch.setattr("xprep.extras.find_spec", lambda name: None if name == "imagecodecs" else True)
    with pytest.raises(ImportError, match=r"compressed with LZW, and decoding it needs imagecodecs.*'xprep\[tiff\]'"):
        xprep.open_image(tmp_path / "a.tif")


def test_what_cannot_be_read_in_pieces_says_what_it_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xprep.images.opening.series.LARGE", PLANE.nbytes)
    write(tmp_path / "a.tif", PLANE, compression="deflate", rowsperstrip=150)
    with pytest.warns(xprep.ChunksWarning, match=r"pieces of 150×210 pixels.*61\.5 KiB of memory in every thread.*convert"):
        xprep.open_image(tmp_path / "a.tif")
    write(tmp_path / "b.tif", PLANE)  # of plain bytes any part can be read
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr("xprep.io.store.files.tiff_pixels._PLAIN", 64)
        assert xprep.open_image(tmp_path / "b.tif").data.chunksize == (64, 64)


def test_a_file_that_is_the_output_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", PLANE)
    with pytest.raises((ValueError, StoreExistsError, OSError)):
        xprep.open_image(tmp_path / "a.tif").prep.to_ome_zarr(tmp_path / "a.tif", overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), PLANE)
