"""An overwrite deletes Zarr stores, and of those only what a Zarr hierarchy can hold: somebody else's file stops it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.memory import MemoryFileSystem
from zarr.storage import FsspecStore, LocalStore, MemoryStore

import xprep
from tests.helpers.servers import Server
from xprep.errors import StoreExistsError, StoreFormatError
from xprep.io.commit.hierarchy import check_removable
from xprep.io.store import paging
from xprep.io.store.places import Place, open_store

KINDS = ("local", "memory", "fsspec memory", "s3")


class Bucket(MemoryFileSystem):
    """A bucket of a test's own."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder in a store of each kind."""
    if request.param == "s3":
        server: Server = request.getfixturevalue("s3")
        return open_store(f"{server.new_bucket()}/a.zarr", server.storage_options(), "r+")
    made: dict[str, Callable[[], Any]] = {
        "local": lambda: LocalStore(tmp_path / "a.zarr"),
        "memory": MemoryStore,
        "fsspec memory": lambda: FsspecStore(AsyncFileSystemWrapper(Bucket(), asynchronous=True), path="/lab/a.zarr"),
    }
    return open_store(made[request.param](), mode="r+")


def blob(seed: int = 0) -> xr.DataArray:
    return xprep.datasets.blobs(channels=1, shape=(32, 32), seed=seed)


def written(place: Place | Path, seed: int = 0, **how: Any) -> None:
    with xprep.set_options(progress="off"):
        blob(seed).prep.to_ome_zarr(place.store if isinstance(place, Place) else place, **{"scale_factors": (2,), **how})


def left(place: Place) -> list[str]:
    return place.list_names()


V3 = {"zarr_format": 3, "node_type": "group"}
ARRAY = {
    "zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "uint8", "fill_value": 0,
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}}, "codecs": [{"name": "bytes"}],
    "chunk_key_encoding": {"name": "default"},
}  # fmt: skip
# Files that are called as Zarr's, and do not make a folder a store.
NO_STORES: dict[str, dict[str, str]] = {
    "empty object": {"zarr.json": "{}"},
    "another's": {"zarr.json": '{"hello": 1}'},
    "version 99": {"zarr.json": '{"zarr_format": 99, "node_type": "group"}'},
    "version 2": {"zarr.json": '{"zarr_format": 2, "node_type": "group"}'},
    "version as text": {"zarr.json": '{"zarr_format": "3", "node_type": "group"}'},
    "no kind": {"zarr.json": '{"zarr_format": 3}'},
    "unknown kind": {"zarr.json": '{"zarr_format": 3, "node_type": "leaf"}'},
    "array without shape": {"zarr.json": '{"zarr_format": 3, "node_type": "array"}'},
    "array without chunks": {"zarr.json": json.dumps({key: value for key, value in ARRAY.items() if "chunk" not in key})},
    "list": {"zarr.json": "[]"},
    "cut short": {"zarr.json": '{"zarr_format": 3, "node'},
    "empty": {"zarr.json": ""},
    "no text": {"zarr.json": "\udcff"},
    "empty .zgroup": {".zgroup": ""},
    "garbage in .zgroup": {".zgroup": "garbage"},
    "version 3 in .zgroup": {".zgroup": '{"zarr_format": 3}'},
    "empty .zarray": {".zarray": ""},
    ".zarray without shape": {".zarray": '{"zarr_format": 2}'},
    "attributes alone": {".zattrs": "{}"},
    "consolidated alone": {".zmetadata": "{}"},
}


@pytest.mark.parametrize("files", NO_STORES.values(), ids=NO_STORES)
@pytest.mark.parametrize("resume", [False, True])
def test_what_is_no_store(tmp_path: Path, files: Mapping[str, str], resume: bool) -> None:
    """Another's folder stays, also if nothing in it is called otherwise than Zarr's."""
    target = open_store(tmp_path / "home", mode="r+")
    for more in ({"thesis.docx": "x"}, {}):
        there = {name: text.encode(errors="surrogateescape") for name, text in {**files, **more}.items()}
        target.set_many(there)
        with pytest.raises((StoreExistsError, StoreFormatError), match=r"is not a Zarr store|is not JSON|holds a JSON list"):
            blob().prep.to_ome_zarr(tmp_path / "home", overwrite=True, resume=resume)
        assert set(there) <= set(left(target))
        (tmp_path / "home/thesis.docx").unlink(missing_ok=True)


# Keys that no Zarr store holds, in one of two levels with chunks of two axes.
STRANGERS = (
    "thesis.docx", "docs/thesis.docx", "docs/zarr.json", "scale0/notes.txt", "scale0/image/thumbnail.png", "OME/other.xml",
    "scale0/image/c/notes.txt", "scale0/image/c/0", "scale0/image/0.0.0", "scale0/image/c/00/0/0", "scale0/image/c/-1/0/0",
    "scale0/image/c.0.0.0", "scale0/.xprep/thesis.docx", "scale0/image/.xprep/manifest.npy.bak", "METADATA.ome.xml", "c/0/0",
    "points/points.parquet/part.0.parquet", ".git/HEAD", "zarr.json.bak", ".zattrs~", "a\nb", "\u00e9",
)  # fmt: skip
HARMLESS = (
    ".DS_Store", "scale0/.DS_Store", "scale0/image/c/._0", "._thesis.docx", "Thumbs.db", "scale0/thumbs.db", "desktop.ini",
    "scale0/image/.nfs000000000012", "OME/METADATA.ome.xml", f"scale0/image/c/0/0/0.{'a' * 32}.partial", "scale0/.zattrs",
    "scale0/image/.xprep/parts/host-1.jsonl", "scale0/image/.xprep/parts/0-0.0.json", "scale0/image/c/7/9/9", ".zmetadata",
)  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_named_and_stops(tmp_path: Path, name: str) -> None:
    written(tmp_path / "a.zarr")
    target = open_store(tmp_path / "a.zarr", mode="r+")
    if name == "scale0/image/c/0":  # a file where the chunks' folder is
        (tmp_path / "a.zarr/scale0/image/c").rename(tmp_path / "c")
    target.set(name, b"x")
    before = left(target)
    with pytest.raises(StoreExistsError, match="is no part of a Zarr store, so nothing there is deleted") as caught:
        written(tmp_path / "a.zarr", 1, overwrite=True)
    assert repr(name) in str(caught.value)
    assert left(target) == before
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("a.zarr", "c")] == []


def test_what_systems_leave_is_no_stranger(tmp_path: Path) -> None:
    written(tmp_path / "a.zarr")
    target = open_store(tmp_path / "a.zarr", mode="r+")
    target.set_many(dict.fromkeys(HARMLESS, b"{}"))
    written(tmp_path / "a.zarr", 1, overwrite=True)
    assert not set(HARMLESS) & set(left(target))
    assert xprep.open_image(tmp_path / "a.zarr").equals(blob(1))


def test_in_every_kind_of_store(folder: Place) -> None:
    written(folder)
    folder.set_many({".DS_Store": b"x", "scale1/image/c/0/._1": b"x", "scale0/thesis.docx": b"x"})
    before = left(folder)
    with pytest.raises(StoreExistsError, match=r"holds 'scale0/thesis\.docx'"):
        written(folder, 1, overwrite=True)
    assert left(folder) == before
    zarr.core.sync.sync(folder.store.delete(folder.key("scale0/thesis.docx")))
    check_removable(folder)


def by_zarr(path: Path, zarr_format: int, separator: str) -> None:
    root = zarr.create_group(path, zarr_format=zarr_format)
    keys = {"name": "v2" if zarr_format == 2 else "default", "separator": separator}
    for name, shape in (("a", (4, 4)), ("b/c", (3,)), ("scalar", ())):
        how = {"chunks": (2,) * len(shape) or "auto", "dtype": "i4", "chunk_key_encoding": keys}
        root.create_array(name, shape=shape, **how)[...] = 1


# Stores of others, all of which can go.
STORES: dict[str, Callable[[Path], None]] = {
    "v3": lambda path: by_zarr(path, 3, "/"),
    "v3, dots": lambda path: by_zarr(path, 3, "."),
    "v2": lambda path: by_zarr(path, 2, "/"),
    "v2, dots": lambda path: by_zarr(path, 2, "."),
    "v3 with keys of v2": lambda path: zarr.create_array(
        path, shape=(4, 4), chunks=(2, 2), dtype="i4", chunk_key_encoding={"name": "v2", "separator": "."}
    ).__setitem__(..., 1),
    "one array": lambda path: zarr.create_array(path, data=np.ones((4, 4))) and None,
    "one array, v2": lambda path: zarr.create_array(path, data=np.ones((4, 4)), zarr_format=2) and None,
    "shards": lambda path: written(path, shards={"y": 32, "x": 32}, chunks={"y": 16, "x": 16}),
    "flat": lambda path: written(path, layout="flat"),
    "0.4": lambda path: written(path, version="0.4"),
    "labels": lambda path: written(path, labels={"cells": blob().isel(c=0, drop=True).astype("uint8")}),
    "xarray's": lambda path: blob().to_dataset(name="image").to_zarr(path, consolidated=True) and None,
    "xarray's, v2": lambda path: blob().to_dataset(name="image").to_zarr(path, zarr_format=2, consolidated=True) and None,
    "an empty group": lambda path: zarr.create_group(path) and None,
    "groups that are implied": lambda path: (
        zarr.create_array(path / "x/y", data=np.ones(2)) and (path / "zarr.json").write_text(json.dumps(V3)) and None
    ),
}


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_stores_of_others_can_go(tmp_path: Path, store: Callable[[Path], None]) -> None:
    store(tmp_path / "a.zarr")
    check_removable(open_store(tmp_path / "a.zarr"))
    (tmp_path / "a.zarr/thesis.docx").write_text("x")
    with pytest.raises(StoreExistsError, match=r"'thesis\.docx'"):
        check_removable(open_store(tmp_path / "a.zarr"))


def test_a_spatialdata_object_is_not_replaced_by_an_image(tmp_path: Path) -> None:
    written(tmp_path / "s.zarr/images/raw", layout="flat")
    zarr.create_group(tmp_path / "s.zarr", attributes={"spatialdata_attrs": {"version": "0.2"}})
    zarr.create_group(tmp_path / "s.zarr/points/genes", attributes={"encoding-type": "ngff:points", "spatialdata_attrs": {}})
    (tmp_path / "s.zarr/points/genes/points.parquet").mkdir()
    (tmp_path / "s.zarr/points/genes/points.parquet/part.0.parquet").write_text("x")
    with pytest.raises(StoreExistsError, match="is a SpatialData object; give the URL of one of its images"):
        written(tmp_path / "s.zarr", 1, overwrite=True)
    with pytest.raises(StoreExistsError, match=r"points\.parquet/part\.0\.parquet"):
        written(tmp_path / "s.zarr/points/genes", 1, overwrite=True)
    written(tmp_path / "s.zarr/images/raw", 1, overwrite=True, layout="flat")
    assert np.array_equal(xprep.open_image(tmp_path / "s.zarr/images/raw"), blob(1))


def test_a_file_that_came_while_the_store_was_written(tmp_path: Path) -> None:
    """Looked at again before the old store goes; the new one is whole beside it, and is put there when the file is away."""
    url = tmp_path / "a.zarr"
    written(url)

    class Visitor:
        def started(self, stage: str, total: int) -> None:
            (url / "thesis.docx").write_text("x")

        def advanced(self, stage: str, steps: int, nbytes: int) -> None:
            """Do nothing."""

        def finished(self, stage: str) -> None:
            """Do nothing."""

    image = xprep.open_image(_saved(tmp_path / "in.zarr", 1))
    with pytest.raises(StoreExistsError, match=r"'thesis\.docx'"):
        image.prep.to_ome_zarr(url, overwrite=True, progress=Visitor())
    assert (url / "thesis.docx").exists()
    assert xprep.open_image(url).equals(blob())
    (url / "thesis.docx").unlink()
    assert image.prep.to_ome_zarr(url, overwrite=True, resume=True).units == 0
    assert xprep.open_image(url).equals(blob(1))


def _saved(path: Path, seed: int) -> Path:
    written(path, seed)
    return path


def test_overwriting_through_a_link(tmp_path: Path) -> None:
    """What the link leads to is replaced, the link stays, and nothing is left over."""
    (tmp_path / "big").mkdir()
    written(tmp_path / "big/a.zarr")
    (tmp_path / "a.zarr").symlink_to(tmp_path / "big/a.zarr")
    report = blob(1).prep.to_ome_zarr(tmp_path / "a.zarr", overwrite=True)
    assert report.url == str(tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr").is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*a.zarr*")) == ["a.zarr", "a.zarr"]
    assert xprep.open_image(tmp_path / "big/a.zarr").equals(blob(1))


def test_links_in_a_store_are_not_followed(tmp_path: Path) -> None:
    written(tmp_path / "a.zarr")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.docx").write_text("x")
    (tmp_path / "a.zarr/scale9").symlink_to(tmp_path / "home")
    with pytest.raises(StoreExistsError, match="'scale9'"):
        written(tmp_path / "a.zarr", 1, overwrite=True)
    assert (tmp_path / "home/thesis.docx").exists()


def test_the_look_at_a_bucket_is_paged(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large bucket a page is in memory, and what is found in the first ends the look."""
    target = open_store(f"{s3.new_bucket()}/a.zarr", s3.storage_options(), "r+")
    target.set("zarr.json", json.dumps(V3).encode())
    target.set("a/zarr.json", json.dumps({**ARRAY, "shape": [128]}).encode())
    target.set_many({f"a/c/{n}": b"x" for n in range(128)})
    monkeypatch.setattr(paging, "PAGE", 50)
    assert [len(names) for names in target.list_pages()] == [50, 50, 30]
    check_removable(target)
    target.set("a/c/thesis.docx", b"x")
    with pytest.raises(StoreExistsError, match=r"'a/c/thesis\.docx'"):
        check_removable(target)
