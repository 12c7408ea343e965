"""What is listed and not there, and what is there and no store: it fails alone, and is said by name."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner

import xprep
from tests.io.test_forbidden import group, plate
from xprep.cli.app import app

IMAGE = xr.DataArray(np.arange(2 * 40 * 50, dtype="u2").reshape(2, 40, 50), dims=("c", "y", "x"))
RUN = CliRunner().invoke


def gone(root: Path) -> None:
    """The plate lists a well that was never imaged."""


def no_group(root: Path) -> None:
    (root / "A/3").mkdir()


def no_well(root: Path) -> None:
    (root / "A/3").mkdir()
    group(root / "A/3", '{"note": 1}')


def no_fields(root: Path) -> None:
    (root / "A/3").mkdir()
    group(root / "A/3", '{"well": {"images": [{"path": "0"}]}}')


def leading_out(root: Path) -> None:
    (root / "A/3").mkdir()
    group(root / "A/3", '{"well": {"images": [{"path": "../../A/1/0"}]}}')


def no_image(root: Path) -> None:
    no_fields(root)
    (root / "A/3/0").mkdir()
    group(root / "A/3/0", "{}")


@pytest.mark.parametrize("damage", [gone, no_group, no_well, no_fields, leading_out, no_image])
def test_a_well_fails_alone_in_every_command(damage: Any, tmp_path: Path) -> None:
    plate(tmp_path / "plate.zarr")
    damage(tmp_path / "plate.zarr")
    with pytest.warns(xprep.StoreFormatWarning, match="lists 'A/3.*', where no image is"):
        tree = xprep.open_tree(tmp_path / "plate.zarr")
    assert [one.path for one in tree.subtree if "image" in one.data_vars] == ["/A/1/0/scale0", "/A/2/0/scale0"]
    said = RUN(app, ["info", str(tmp_path / "plate.zarr")])
    assert said.exit_code == 0
    assert "plate or well of 3 images" in said.output
    assert "not there  A/3" in said.output
    steps = [{"gaussian_filter": {"sigma": 1}}]
    done = xprep.run({"inputs": [str(tmp_path / "plate.zarr")], "steps": steps, "output": str(tmp_path / "{name}.zarr")})
    assert "3 images" in str(done)
    assert "2 written, 1 failed" in str(done), str(done)
    assert xprep.open_image(tmp_path / "plate_A_2_0.zarr").shape == IMAGE.shape
    findings = xprep.validate(tmp_path / "plate.zarr").findings
    assert any(one.where.startswith("A/3") and one.state == "failed" for one in findings)
    assert not any(one.where.startswith("A/1") and one.state == "failed" for one in findings)
    with pytest.raises(xprep.StoreFormatError, match=r"plate or well of 3 images: A/1/0, A/2/0, A/3.*Open one of them"):
        xprep.open_image(tmp_path / "plate.zarr")


def test_a_plate_of_which_nothing_is_there(tmp_path: Path) -> None:
    plate(tmp_path / "plate.zarr")
    shutil.rmtree(tmp_path / "plate.zarr/A")
    with (
        pytest.raises(xprep.StoreFormatError, match="no OME-Zarr image, and none of those that it lists"),
        pytest.warns(xprep.StoreFormatWarning),
    ):
        xprep.open_tree(tmp_path / "plate.zarr")
    assert "of which none is there" in RUN(app, ["info", str(tmp_path / "plate.zarr")]).output


def test_a_label_fails_alone(tmp_path: Path) -> None:
    labels = {name: (IMAGE[0] > 9).astype("u1") for name in ("cells", "nuclei")}
    IMAGE.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), labels=labels)
    shutil.rmtree(tmp_path / "a.zarr/labels/cells")
    with pytest.warns(xprep.StoreFormatWarning, match="lists the labels 'cells', which are not there"):
        tree = xprep.open_tree(tmp_path / "a.zarr")
    assert list(tree["labels"].children) == ["nuclei"]
    with pytest.raises(xprep.StoreFormatError, match="'cells', which are not there"):
        xprep.open_image(tmp_path / "a.zarr", label="cells")
    assert xprep.open_image(tmp_path / "a.zarr", label="nuclei").dtype == "u1"


def test_series_are_named(tmp_path: Path) -> None:
    for name in ("0", "1"):
        IMAGE.prep.to_ome_zarr(tmp_path / "a.zarr" / name, version="0.4", scale_factors=())
    group(tmp_path / "a.zarr", '{"bioformats2raw.layout": 3}')
    (tmp_path / "a.zarr/OME").mkdir()
    group(tmp_path / "a.zarr/OME", '{"series": ["0", "1", "2"]}')
    text = r"store of several series of 3 images: 0, 1, 2\. Open one of them, open_image\("
    with pytest.raises(xprep.StoreFormatError, match=text):
        xprep.open_image(tmp_path / "a.zarr")
    with pytest.warns(xprep.StoreFormatWarning, match="lists '2'"):
        assert list(xprep.open_tree(tmp_path / "a.zarr").children) == ["0", "1"]


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a", "b")


FILES: dict[str, tuple[str, Any, str]] = {
    "HDF5": ("a.h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n\0\0"), "is an HDF5 .*h5py"),
    "zip": ("a.ozx", write_zip, "is a zip file, with no Zarr store"),
    "numpy": ("a.npy", lambda path: np.save(path, np.ones(3)), "is a file of numpy.*mmap_mode"),
    "PNG": ("a.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "is a PNG file"),
    "by name only": ("slide.tiff", lambda path: path.write_text("x"), "is a file called like a TIFF file"),
    "empty": ("a", lambda path: path.write_text(""), "is a file of an unknown kind"),
    "metadata": ("zarr.json", lambda path: path.write_text("{}"), "is the metadata of a Zarr array or group: give the folder"),
}


@pytest.mark.parametrize(("name", "write", "says"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_store_is_named(name: str, write: Any, says: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    for opening in (xprep.open_image, xprep.open_tree, xprep.validate, xprep.verify):
        with pytest.raises(xprep.StoreFormatError, match=says):
            opening(tmp_path / name)
    said = RUN(app, ["info", str(tmp_path / name)])
    assert said.exit_code != 0
    assert name in said.output.replace("\n", "")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_zip_file_is_read_and_never_written(version: Any, tmp_path: Path) -> None:
    IMAGE.prep.to_ome_zarr(tmp_path / "a.zarr", version=version, scale_factors=(2,))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for file in (tmp_path / "a.zarr").rglob("*"):
            if file.is_file():
                made.write(file, file.relative_to(tmp_path / "a.zarr"))
    store = zarr.storage.ZipStore(tmp_path / "a.zip", mode="r")
    opened = xprep.open_image(store)
    np.testing.assert_array_equal(opened, IMAGE)
    np.testing.assert_array_equal(opened.prep.gaussian_filter(1), IMAGE.prep.gaussian_filter(1))
    assert list(xprep.open_tree(zarr.storage.ZipStore(tmp_path / "a.zip", mode="r")).children) == ["scale0", "scale1"]
    for mode in ("r", "w", "a"):
        target = zarr.storage.ZipStore(tmp_path / ("a.zip" if mode == "r" else f"{mode}.zip"), mode=mode)
        with pytest.raises(ValueError, match="is for reading only" if mode == "r" else r"is a zip file.*shutil\.make_archive"):
            IMAGE.prep.to_ome_zarr(target)
    assert not (tmp_path / "w.zip").exists()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("dtype", "value"), [("float64", 1.7), ("uint16", 300), (">i4", -5), ("bool", True)])
def test_an_array_without_axes_has_its_value(zarr_format: Any, dtype: str, value: Any, tmp_path: Path) -> None:
    if zarr_format == 3 and dtype == ">i4":
        array = zarr.create_array(str(tmp_path / "a"), shape=(), dtype="int32", serializer=zarr.codecs.BytesCodec(endian="big"))
    else:
        array = zarr.create_array(str(tmp_path / "a"), shape=(), dtype=dtype, zarr_format=zarr_format)
    array[...] = value
    assert xprep.open_image(tmp_path / "a").values == value
    assert xprep.open_image(tmp_path / "a").dims == ()


RAGGED = {
    "zarr_format": 3, "node_type": "array", "shape": [6, 4], "data_type": "uint8", "fill_value": 0, "attributes": {},
    "chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[4, [1, 2]], [4]]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "codecs": [{"name": "bytes"}],
    "dimension_names": ["y", "x"],
}  # fmt: skip


def ragged(root: Path, **changes: Any) -> np.ndarray:
    values = np.arange(1, 25, dtype="u1").reshape(6, 4)
    root.mkdir()
    (root / "zarr.json").write_text(json.dumps({**RAGGED, **changes}))
    for i, rows in enumerate((slice(0, 4), slice(4, 5), slice(5, 6))):
        (root / f"c/{i}").mkdir(parents=True)
        (root / f"c/{i}/0").write_bytes(values[rows].tobytes())
    return values


def test_chunks_of_unequal_length(tmp_path: Path) -> None:
    values = ragged(tmp_path / "a.zarr")
    if zarr.config.get("array.rectilinear_chunks", None) is None:
        with pytest.raises(xprep.StoreFormatError, match=r"has a 'rectilinear' chunk grid.*zarr 3\.2"):
            xprep.open_image(tmp_path / "a.zarr")
        return
    image = xprep.open_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image, values)
    np.testing.assert_array_equal(image[3:, 1:], values[3:, 1:])
    assert zarr.config.get("array.rectilinear_chunks") is False
    (tmp_path / "a.zarr/c/1/0").write_bytes(b"1")
    with pytest.raises(xprep.ChunkError, match="'c/1/0'"):
        image[4:5].compute()


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"name": "hexagonal", "configuration": {}}, "the chunk grid 'hexagonal' is not known here"),
        ({"name": "rectilinear", "configuration": {}}, "'rectilinear' needs chunk_shapes"),
        ({"name": "rectilinear", "configuration": {"chunk_shapes": [[4], [4]]}}, "do not make up its 6 pixels"),
        ({"name": "rectilinear", "configuration": {"chunk_shapes": [[4, 0, 2], [4]]}}, "do not make up"),
        ({"name": "rectilinear", "configuration": {"chunk_shapes": [[[1, 2**60]], [4]]}}, "do not make up"),
        ({"name": "rectilinear", "configuration": {"chunk_shapes": ["a", [4]]}}, "do not make up"),
        (None, "lacks"),
    ],
)
def test_other_grids_are_refused_by_name(grid: Any, says: str, tmp_path: Path) -> None:
    ragged(tmp_path / "a.zarr", chunk_grid=grid)
    with pytest.raises(xprep.StoreFormatError, match=says):
        xprep.open_image(tmp_path / "a.zarr")
