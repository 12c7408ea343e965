"""Formats of microscopes through bioio's readers: the same laws, whatever the format. Skipped without bioio."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import xprep
from xprep.errors import StoreFormatError
from xprep.io.store.files.images import FileLevel
from xprep.io.store.single_files import FileKind

pytestmark = [pytest.mark.emulators, pytest.mark.filterwarnings("ignore")]
bioio = pytest.importorskip("bioio", reason="bioio is not installed: see tests/emulators.txt")

STACK = np.random.default_rng(3).integers(0, 4000, (2, 3, 4, 50, 70), dtype="u2")
SAID: dict[str, Any] = {
    "axes": "TCZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0,
    "Channel": {"Name": ["DAPI", "CD3", "CD8"]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _by_bioio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for one that only bioio reads: what it reads of TIFF can be compared."""
    monkeypatch.setattr("xprep.io.store.files.finding.kind_of_file", lambda path: FileKind("a file of a microscope", "bioio"))


def write(path: Path) -> None:
    tifffile.imwrite(path, STACK, metadata=SAID, ome=True, tile=(32, 32))


def test_ome_tiff(tmp_path: Path) -> None:
    pytest.importorskip("bioio_ome_tiff", reason="bioio-ome-tiff is not installed: see tests/emulators.txt")
    write(tmp_path / "a.ome.tif")
    image = xprep.open_image(tmp_path / "a.ome.tif")
    assert image.dims == tuple("tczyx")
    np.testing.assert_array_equal(image, STACK)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image))[1, 2], STACK[1, 2])  # noqa: S301
    assert list(image.c.values) == ["DAPI", "CD3", "CD8"]
    steps = {dim: float(image[dim][1] - image[dim][0]) for dim in "zyx"}
    assert (steps, image.z.attrs["units"]) == ({"z": 2.0, "y": 0.5, "x": 0.25}, "micrometer")
    assert image.data.chunksize == (1, 1, 1, 50, 70)  # a plane, and not a whole stack


def test_imagej_through_another_reader(tmp_path: Path) -> None:
    pytest.importorskip("bioio_tifffile", reason="bioio-tifffile is not installed: see tests/emulators.txt")
    tifffile.imwrite(tmp_path / "a.tif", STACK.swapaxes(1, 2), imagej=True, metadata={"axes": "TZCYX"})
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.tif"), STACK)
    rgb = STACK[0, 0, 0, :, :, None].repeat(3, -1).astype("u1")
    tifffile.imwrite(tmp_path / "b.tif", rgb, photometric="rgb")
    image = xprep.open_image(tmp_path / "b.tif")
    np.testing.assert_array_equal(image.transpose("y", "x", "c"), rgb)


def test_blocks_are_read_once_a_pass_and_none_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.ome.tif")
    read: list[tuple[int, ...]] = []
    chunk = FileLevel.chunk
    monkeypatch.setattr(FileLevel, "chunk", lambda level, index: (read.append(index), chunk(level, index))[1])
    result = xprep.open_image(tmp_path / "a.ome.tif").prep.gaussian_filter(1)
    assert read == []
    report = result.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    assert sorted(read) == sorted(set(read))
    assert report.source == "watched"
    assert result.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), resume=True).units == 0


def test_scenes_are_series(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as made:
        for pixels in (STACK[0], STACK[1, :, :, :30]):
            made.write(pixels, metadata={"axes": "CZYX"}, photometric="minisblack")
    with pytest.raises(StoreFormatError, match="file of several series of 2 images"):
        xprep.open_image(tmp_path / "a.ome.tif")
    for n, wanted in enumerate((STACK[0], STACK[1, :, :, :30])):
        np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.ome.tif", series=n), wanted)


def test_what_no_reader_knows_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(90))
    with pytest.raises(StoreFormatError, match=r"a\.czi cannot be read by bioio.*pip install bioio-czi"):
        xprep.open_image(tmp_path / "a.czi")
    write(tmp_path / "a.ome.tif")
    with pytest.raises(ValueError, match="read by bioio, whose readers say what its axes are"):
        xprep.open_image(tmp_path / "a.ome.tif", dims="tczyx")
