"""The store of an image: marked first, finished last, opened by plain xarray, never overwritten by mistake."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.errors import StoreExistsError, UnfinishedStoreError
from xprep.io.arrays.coordinates import Coord, encode_coord, plain, read_coord
from xprep.io.arrays.reads import open_array
from xprep.io.arrays.specs import ArraySpec, LevelSpec
from xprep.io.commit.begin import create_image
from xprep.io.commit.finishing import finish_image
from xprep.io.commit.image_store import ImageStore
from xprep.io.commit.mark import check_finished, mark_writing, read_status
from xprep.io.commit.overwrite import delete_store
from xprep.io.commit.owner import Owner
from xprep.io.ome.groups import list_labels, read_group, read_image
from xprep.io.ome_model import Channel, ContrastWindow, ImageLabel, Level, Multiscale, make_axes
from xprep.io.store.places import open_store

SHAPES = {"scale0": (2, 21, 13), "scale1": (2, 11, 7)}
FULL = (slice(None),) * 3


def levels(shards: bool = False, dims: tuple[str, ...] = ("c", "y", "x")) -> list[LevelSpec]:
    found = []
    for n, shape in enumerate(SHAPES.values()):
        lengths = dict(zip(("c", "y", "x"), shape, strict=True))
        coords = {
            "c": Coord(("c",), np.array(["DAPI", "CD8"], object)),
            "y": Coord(("y",), np.arange(lengths["y"]) * 0.5 * 2**n, {"units": "micrometer"}),
            "x": Coord(("x",), np.arange(lengths["x"]) * 0.5 * 2**n, {"units": "micrometer"}),
            "when": Coord((), np.array("2026-11-20", "datetime64[ns]")),
        }
        chunks = tuple(1 if dim == "c" else 8 for dim in dims)
        whole = tuple(1 if dim == "c" else 16 for dim in dims) if shards else None
        kept = {name: coord for name, coord in coords.items() if set(coord.dims) <= set(dims)}
        found.append(LevelSpec(tuple(lengths[dim] for dim in dims), chunks, whole, kept))
    return found


def spec(dtype: str = "uint16", dims: tuple[str, ...] = ("c", "y", "x")) -> ArraySpec:
    return ArraySpec(dims, dtype, attributes={"long_name": "intensity", "history": ["made"]})


def metadata(store: ImageStore, dims: tuple[str, ...] = ("c", "y", "x"), **more: Any) -> Multiscale:
    scales = [tuple(1.0 if dim == "c" else 0.5 * 2**n for dim in dims) for n in range(2)]
    placed = tuple(Level(store.level_path(n), scale, (0.0,) * len(dims)) for n, scale in enumerate(scales))
    return Multiscale(make_axes(dims, {"y": "µm", "x": "µm"}), placed, "image", method="mean", **more)


CHANNELS = (Channel("DAPI", "0000FF", ContrastWindow(0, 65535, 3, 99)), Channel("CD8", "FF0000", ContrastWindow(0, 65535, 3, 99)))


def fill(store: ImageStore, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = [*store.levels, *(level for name in store.labels for level in store.pyramids[name])]
    blocks = [rng.integers(0, 99, array.shape).astype(array.dtype) for array in arrays]
    for array, block in zip(arrays, blocks, strict=True):
        array.write((slice(None),) * len(array.shape), block)
    return blocks


def write(url: Any, seed: int = 0, **options: Any) -> np.ndarray:
    store = create_image(url, levels(), spec(), **options)
    blocks = fill(store, seed)
    finish_image(store, metadata(store, channels=CHANNELS), about={"steps": ["normalize"]})
    return blocks[0]


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_plain_xarray_opens_the_dual_layout(tmp_path: Path, version: Any, shards: bool, labelled: bool) -> None:
    if shards and version == "0.4":
        with pytest.raises(ValueError, match="no shards"):
            create_image(tmp_path / "x.zarr", levels(shards), spec(), version=version)
        return
    store = create_image(tmp_path / "x.zarr", levels(shards), spec(), version=version)
    if labelled:
        store = store.with_labels("cells", levels(shards, ("y", "x")), spec("uint32", ("y", "x")))
    blocks = fill(store)
    labels = {"cells": metadata(store, ("y", "x"), image_label=ImageLabel())} if labelled else {}
    finish_image(store, metadata(store, channels=CHANNELS), labels)
    with xr.open_datatree(tmp_path / "x.zarr", engine="zarr") as tree:
        for n in range(2):
            image = tree[f"scale{n}/image"]
            np.testing.assert_array_equal(image, blocks[n])
            assert image.dtype == np.uint16
            assert image.dims == ("c", "y", "x")
            assert list(image.c.values) == ["DAPI", "CD8"]
            assert image.y.values[1] == 0.5 * 2**n
            assert image.y.attrs["units"] == "micrometer"
            assert image.coords["when"].values == np.datetime64("2026-11-20")
            assert image.attrs["long_name"] == "intensity"
        if labelled:
            np.testing.assert_array_equal(tree["labels/cells/scale1/image"], blocks[3])
    group = read_group(open_store(tmp_path / "x.zarr"))
    assert group is not None
    assert read_status(group) == "finished"
    assert list_labels(group) == ["cells"] * labelled
    image_of = read_image(group)
    assert image_of.channels == CHANNELS
    assert image_of.levels[1].scale == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(open_array(group.place.child("scale1/image"), "error").read(FULL), blocks[1])


def test_flat_layout(tmp_path: Path) -> None:
    pixels = write(tmp_path / "x.zarr", layout="flat")
    assert sorted(os.listdir(tmp_path / "x.zarr")) == ["0", "1", "zarr.json"]
    group = read_group(open_store(tmp_path / "x.zarr"))
    assert group is not None
    assert [level.path for level in read_image(group).levels] == ["0", "1"]
    np.testing.assert_array_equal(open_array(group.place.child("0")).read(FULL), pixels)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_unfinished_until_the_very_end(tmp_path: Path, version: Any) -> None:
    store = create_image(tmp_path / "x.zarr", levels(), spec(), version=version)

    def refused() -> None:
        group = read_group(open_store(tmp_path / "x.zarr"))
        assert group is not None
        assert not group.is_image
        with pytest.raises(UnfinishedStoreError, match=r"by (this very process, )?process \d+ .* resume=True.* overwrite=True"):
            check_finished(group)

    refused()
    store.levels[0].write(FULL, np.ones(SHAPES["scale0"], np.uint16))
    with pytest.raises(UnfinishedStoreError, match=r"scale1/image lacks \d+ of its chunks"):
        finish_image(store, metadata(store))
    refused()
    fill(store)
    next((tmp_path / "x.zarr" / "scale0" / "image").rglob("0/0/0")).unlink()
    with pytest.raises(UnfinishedStoreError, match="scale0/image lacks 1 of"):
        finish_image(store, metadata(store))
    refused()
    fill(store)
    finish_image(store, metadata(store))
    check_finished(read_group(open_store(tmp_path / "x.zarr")))  # type: ignore[arg-type]


def test_an_existing_store_needs_overwrite(tmp_path: Path) -> None:
    pixels = write(tmp_path / "x.zarr")
    with pytest.raises(StoreExistsError, match="overwrite=True"):
        write(tmp_path / "x.zarr", seed=1)
    store = create_image(tmp_path / "x.zarr", levels(), spec(), overwrite=True)
    fill(store, 1)
    np.testing.assert_array_equal(open_array(open_store(tmp_path / "x.zarr").child("scale0/image")).read(FULL), pixels)
    finish_image(store, metadata(store))
    assert (open_array(open_store(tmp_path / "x.zarr").child("scale0/image")).read(FULL) != pixels).any()
    assert os.listdir(tmp_path) == ["x.zarr"]
    fallen = create_image(tmp_path / "x.zarr", levels(), spec(), overwrite=True)
    delete_store(fallen.place)
    assert os.listdir(tmp_path) == ["x.zarr"]


def test_what_is_not_zarr_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("two years of work")
    for overwrite in (False, True):
        with pytest.raises(StoreExistsError, match=r"not a Zarr store \('chapter.txt'\)"):
            write(tmp_path / "thesis", overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.txt").exists()
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")


def test_two_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = open_store(tmp_path / "x.zarr", mode="r+")
    mark = mark_writing(Owner.here())
    place.write_json("zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": mark})
    monkeypatch.setattr("os.getpid", lambda: 1)
    with pytest.raises(StoreExistsError, match="Two writers"):
        write(tmp_path / "x.zarr", overwrite=True)
    monkeypatch.undo()
    mark["xprep"]["owner"]["process_start"] -= 1  # another process had this number before
    place.write_json("zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": mark})
    with pytest.raises(StoreExistsError, match=r"was left by process .* resume=True goes on"):
        write(tmp_path / "x.zarr")
    write(tmp_path / "x.zarr", overwrite=True)


def test_finishing_twice_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.zarr", "b.zarr"):
        write(tmp_path / name)
    first, second = (sorted((tmp_path / name).rglob("*")) for name in ("a.zarr", "b.zarr"))
    assert [p.relative_to(tmp_path / "a.zarr") for p in first] == [p.relative_to(tmp_path / "b.zarr") for p in second]
    for one, other in zip(first, second, strict=True):
        assert one.is_dir() or one.read_bytes() == other.read_bytes(), one


def test_labels_need_names_and_metadata(tmp_path: Path) -> None:
    store = create_image(tmp_path / "x.zarr", levels(), spec())
    for name in ("../x", "a/b", "", ".x"):
        with pytest.raises(ValueError, match="cannot be a name"):
            store.with_labels(name, levels(), spec())
    store = store.with_labels("cells", levels(), spec("int32"))
    with pytest.raises(ValueError, match="already"):
        store.with_labels("cells", levels(), spec("int32"))
    fill(store)
    with pytest.raises(ValueError, match=r"needed for the labels \['cells'\]"):
        finish_image(store, metadata(store))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "values",
    [
        np.array(["ä", "", "long name"], object),
        np.array(["a", "b", "c"]),
        np.array([0.0, np.nan, np.inf]),
        np.array([0, 1, 2], "int8"),
        np.array([True, False, True]),
        np.array([], float),
    ],
    ids=lambda values: str(values.dtype),
)
def test_coordinates_survive(tmp_path: Path, values: np.ndarray, zarr_format: Any) -> None:
    place = open_store(tmp_path / "x", mode="r+").child("c")
    place.set_many(encode_coord(Coord(("c",), values, {"units": "s", "n": np.int64(3)}), zarr_format, "here"))
    back = read_coord(place)
    assert back.dims == ("c",)
    assert back.attributes == {"units": "s", "n": 3}
    np.testing.assert_array_equal(back.values, values)
    assert back.values.dtype == (object if values.dtype.kind in "OU" else values.dtype)


def test_coordinates_without_a_form(tmp_path: Path) -> None:
    place = open_store(tmp_path / "x", mode="r+").child("c")
    for values in (np.array([{}, []], object), np.array([1j])):
        with pytest.raises(TypeError, match=r"coordinate .*x/c"):
            encode_coord(Coord(("c",), values), 3, str(place))
    with pytest.raises(TypeError, match=r"attributes\.a is a set"):
        plain({"a": {1}}, "attributes")
    assert json.dumps(plain({"a": float("nan"), "b": [np.float32(1)]})) == '{"a": "nan", "b": [1.0]}'


def test_no_group_of_a_finished_store_is_marked_as_unfinished(tmp_path: Path) -> None:
    image = xprep.datasets.blobs(channels=1, shape=(16, 16))
    label = (image.isel(c=0) > 1).astype("uint8")
    image.prep.to_ome_zarr(tmp_path / "x.zarr", labels={"cells": label}, scale_factors=(2,))
    marked = [path for path in (tmp_path / "x.zarr").rglob("zarr.json") if "writing" in path.read_text()]
    assert not marked
