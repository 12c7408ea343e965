"""What fails before the first pixel leaves nothing claimed: no store where none was, and the old one as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import xprep
from tests.helpers.servers import Server
from xprep.io.commit.journal import Journal
from xprep.io.store.places import Place, open_store


def blob(seed: int = 0) -> xr.DataArray:
    return xprep.datasets.blobs(channels=2, shape=(32, 32), seed=seed)


LABELS = (blob().isel(c=0, drop=True) > 300).astype("uint8")


def damaged(folder: Path) -> xr.DataArray:
    """Return an image of which a chunk is gone."""
    blob().prep.to_ome_zarr(folder / "in.zarr", scale_factors=(), chunks={"y": 16, "x": 16})
    (folder / "in.zarr/scale0/image/c/1/0/1").unlink()
    return xprep.open_image(folder / "in.zarr")


def failing(block: np.ndarray) -> np.ndarray:
    raise ArithmeticError("no such pixel")


Made = xr.DataArray | tuple[xr.DataArray, dict[str, Any]]
# Ways to fail before the first pixel: the image, and how it is written.
WAYS: dict[str, Callable[[Path], Made]] = {
    "an attribute that is no JSON": lambda _: blob().assign_attrs(when=pd.Timestamp("2024-01-01")),
    "an attribute deep in others": lambda _: blob().assign_attrs(microscope={"lenses": [{"made": {1, 2}}]}),
    "an attribute in bytes": lambda _: blob().assign_attrs(raw=b"\x00"),
    "a coordinate with a space": lambda _: blob().assign_coords({"stage x": 1}),
    "an attribute of a coordinate": lambda _: blob().assign_coords(q=xr.Variable((), 1.0, {"since": pd.Timestamp(0)})),
    "a coordinate of objects": lambda _: blob().assign_coords(q=("y", np.array([None] * 32, dtype=object))),
    "a complex coordinate": lambda _: blob().assign_coords(q=("y", np.ones(32, complex))),
    "a coordinate called image": lambda _: blob().assign_coords(image=1),
    "a coordinate with a slash": lambda _: blob().assign_coords({"a/b": 1}),
    "a coordinate that is uneven": lambda _: blob().assign_coords(x=np.arange(32.0) ** 2),
    "complex pixels": lambda _: blob().astype(complex),
    "labels of floats": lambda _: (blob(), {"labels": {"cells": LABELS.astype(float)}}),
    "labels of another size": lambda _: (blob(), {"labels": {"cells": LABELS[:9]}}),
    "labels of no name": lambda _: (blob(), {"labels": {"": LABELS}}),
    "an attribute in another layout": lambda _: (blob().assign_attrs(when=pd.Timestamp(0)), {"layout": "flat", "version": "0.4"}),
    "a chunk of the source that is gone": damaged,
    "the same, in statistics": lambda folder: damaged(folder).prep.normalize(sigma=None),
    "a function that fails": lambda _: xr.DataArray(
        da.map_blocks(failing, da.ones((2, 32, 32), chunks=16), dtype=float, meta=np.empty((0, 0, 0))), dims=("c", "y", "x")
    ),
}  # fmt: skip
IN_BUCKETS = ("an attribute that is no JSON", "a coordinate of objects", "labels of floats", "the same, in statistics")
FAILURES = (ValueError, TypeError, OSError, ArithmeticError)
MODES: dict[str, dict[str, Any]] = {
    "new": {}, "overwrite": {"overwrite": True}, "resume": {"resume": True}, "both": {"overwrite": True, "resume": True},
}  # fmt: skip


def contents(place: Place) -> dict[str, bytes]:
    names = place.list_names()
    return dict(zip(names, place.get_many(names), strict=True))


def check(way: str, mode: str, folder: Path, url: str, options: dict[str, Any] | None) -> None:
    made = WAYS[way](folder)
    image, how = made if isinstance(made, tuple) else (made, {})
    asked = {"scale_factors": (), "storage_options": options, "fingerprint": "mine", **MODES[mode]}
    if "overwrite" in asked:
        blob(1).prep.to_ome_zarr(url, scale_factors=(2,), storage_options=options)
    above = open_store(url.rpartition("/")[0], options)
    before = contents(above)
    with pytest.raises(FAILURES):
        image.prep.to_ome_zarr(url, **asked, **how)
    assert contents(above) == before
    mended = blob().prep.to_ome_zarr(url, **asked)
    assert mended.units
    assert xprep.open_image(url, storage_options=options).equals(blob())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_on_a_disk(way: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    check(way, mode, tmp_path, str(tmp_path / "out/a.zarr"), None)


@pytest.mark.parametrize("mode", ["new", "overwrite"])
@pytest.mark.parametrize("way", IN_BUCKETS)
def test_nothing_is_left_in_a_bucket(way: str, mode: str, tmp_path: Path, s3: Server) -> None:
    check(way, mode, tmp_path, f"{s3.new_bucket()}/out/a.zarr", s3.storage_options())


def test_a_slow_note_is_not_written_into_what_was_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the source is, is noted by a thread of its own, which is slow where the file system is."""
    save = Journal.save

    def save_late(journal: Journal, name: str, value: Any) -> None:
        threading.Event().wait(0.5 if name == "source.note" else 0)
        save(journal, name, value)

    monkeypatch.setattr(Journal, "save", save_late)
    with pytest.raises(FAILURES):
        damaged(tmp_path).prep.normalize(sigma=None).prep.to_ome_zarr(tmp_path / "a.zarr", resume=True)
    assert not (tmp_path / "a.zarr").exists()


def test_nothing_is_left_of_several_stores(tmp_path: Path) -> None:
    """The second one cannot be stored: the first, which could be written, is not begun."""
    both = xr.Dataset({"a": blob(), "b": blob().assign_attrs(when=pd.Timestamp(0))})
    with pytest.raises(TypeError, match="which JSON cannot hold"):
        both.prep.to_ome_zarr(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_of_several_stores_none_is_finished_without_the_others(tmp_path: Path) -> None:
    """The second one cannot be read: the first has its pixels by then, or none and is taken back."""
    both = xr.Dataset({"a": blob(), "b": damaged(tmp_path)})
    with pytest.raises(xprep.ChunkError):
        both.prep.to_ome_zarr(tmp_path / "out")
    for name in "ab":
        with pytest.raises((xprep.UnfinishedStoreError, FileNotFoundError)):
            xprep.open_image(tmp_path / "out" / name)


def test_a_store_with_pixels_stays(tmp_path: Path) -> None:
    """What fails later is to be gone on with."""
    image = damaged(tmp_path)
    with xprep.set_options(tile_bytes=512), pytest.raises(xprep.ChunkError):
        image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), chunks={"y": 16, "x": 16})
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("mode", ["new", "overwrite"])
def test_a_lazy_writing_begins_when_it_is_computed(mode: str, tmp_path: Path) -> None:
    url, asked = tmp_path / "a.zarr", MODES[mode]
    if asked:
        blob(1).prep.to_ome_zarr(url)
    before = contents(open_store(tmp_path))
    lazy = blob().prep.to_ome_zarr(url, compute=False, **asked)
    assert contents(open_store(tmp_path)) == before
    with pytest.raises(TypeError, match="which JSON cannot hold"):
        blob().assign_attrs(when=pd.Timestamp(0)).prep.to_ome_zarr(url, compute=False, **asked)
    blob(2).prep.to_ome_zarr(tmp_path / "b.zarr")  # another one, meanwhile
    assert lazy.compute().url == str(url)
    assert xprep.open_image(url).equals(blob())


# Names that no store on every system can have, or that its layout needs.
NAMES = (
    "", "a/b", "/a", "a/", ".", "..", ".hidden", ".xprep", ".zattrs", "__x", "zarr.json", "scale0", "scale12", "labels", "a\\b",
    "a\0", "a\nb", "\x7f", "\ud800", "x" * 256, "\u00e9" * 128, "CON", "nul", "aux.txt", "COM1", "lpt9.zarr", "a:b", "a*",
    "what?", "<a>", "a|b", 'a"b', "a.", "a ",
)  # fmt: skip
GOOD = ("a", "A-b", "\u00e9", "x" * 255, "c", "0", "console", "scale", "a.b", "-", "0.zarr.json", "image1")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_that_are_refused(name: str, tmp_path: Path) -> None:
    url = tmp_path / "out"
    attempts = [
        lambda: xr.Dataset({name: blob(), "other": blob(1)}).prep.to_ome_zarr(url),
        lambda: blob().prep.to_ome_zarr(url, labels={name: LABELS}),
    ]
    if name:
        attempts.append(lambda: blob().assign_coords({name: 1.0}).prep.to_ome_zarr(url))
    if name and "/" not in name and name not in (".", ".."):  # a tree has no such nodes
        tree = xr.DataTree.from_dict({f"/{name}/one": xr.Dataset({"i": blob(), "j": blob()})})
        attempts.append(lambda: tree.prep.to_ome_zarr(url))
    for attempt in attempts:
        with pytest.raises(ValueError, match="cannot be a name in a store"):
            attempt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", GOOD, ids=lambda name: name[:9])
def test_names_that_are_kept(name: str, tmp_path: Path) -> None:
    written = blob().prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), labels={name: LABELS})
    assert written.units
    assert xprep.open_image(tmp_path / "a.zarr", label=name).dtype == LABELS.dtype
    if name != "c":
        image = blob().assign_coords({name: 1.0})
        image.prep.to_ome_zarr(tmp_path / "b.zarr", scale_factors=())
        assert float(xprep.open_image(tmp_path / "b.zarr").coords[name]) == 1.0


def test_a_zip_file_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a zip file, where nothing can be replaced"):
        blob().prep.to_ome_zarr(zarr.storage.ZipStore(tmp_path / "a.ozx", mode="w"))
    for name in ("a.zip", "a.ozx/", "a.tif", "A.ZIP"):
        with pytest.raises(ValueError, match="would be a folder with the name of a file"):
            blob().prep.to_ome_zarr(f"{tmp_path}/{name}")
    with pytest.raises(ValueError, match="with the name of a file"):
        xr.Dataset({"a": blob(), "b": blob()}).prep.to_ome_zarr(tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
