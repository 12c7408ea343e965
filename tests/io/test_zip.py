"""Zarr stores in zip files, and what other programs make a store of: read as any other."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tifffile
import xarray as xr
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, StorePath, ZipStore

import xprep
from xprep.errors import StoreFormatError
from xprep.images import describe_store

IMAGE = xprep.datasets.blobs(channels=2, shape=(64, 48))
CELLS = (IMAGE.isel(c=0, drop=True) > 300).astype("uint16")


def pack(folder: Path, path: Path, below: str = "", comment: bytes = b"") -> None:
    """Zip a folder; as RFC-9 wants it, its ``zarr.json`` first and nothing compressed."""
    files = sorted((one for one in folder.rglob("*") if one.is_file()), key=lambda one: (one.name != "zarr.json", str(one)))
    with zipfile.ZipFile(path, "w") as made:
        made.comment = comment
        for file in files:
            made.write(file, f"{below}{file.relative_to(folder).as_posix()}")


# The file's name, the folder in it, and its comment: that of RFC-9 says which version is in it.
ZIPS = {
    "RFC-9": ("a.ozx", "", b'{"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": true}}}}'),
    "zipped from within": ("a.zarr.zip", "", b""),
    "zipped as a folder": ("a.zarr.zip", "a.ome.zarr/", b""),
    "of another name": ("scan.dat", "", b""),
}


@pytest.mark.parametrize(("name", "below", "comment"), ZIPS.values(), ids=ZIPS)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_zip_file_is_a_store(name: str, below: str, comment: bytes, version: str, tmp_path: Path) -> None:
    IMAGE.prep.to_ome_zarr(tmp_path / "a.zarr", version=version, scale_factors=(2,), labels={"cells": CELLS})
    pack(tmp_path / "a.zarr", tmp_path / name, below, comment)
    image = xprep.open_image(tmp_path / name)
    xr.testing.assert_equal(image, IMAGE)
    assert pickle.loads(pickle.dumps(image)).equals(IMAGE)  # noqa: S301
    np.testing.assert_array_equal(xprep.open_image(tmp_path / name, label="cells"), CELLS)
    assert len(describe_store(tmp_path / name).arrays) == 2
    assert xprep.verify(tmp_path / name).is_whole
    report = image.prep.gaussian_filter(1).prep.to_ome_zarr(tmp_path / "b.zarr")
    assert report.source == "watched"


def test_a_zip_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zarr.zip").write_bytes(b"PK\3\4" + bytes(50))
    with pytest.raises(StoreFormatError, match=r"a\.zarr\.zip cannot be read as a zip file.*damaged"):
        xprep.open_image(tmp_path / "a.zarr.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as made:
        made.writestr("notes.txt", "none")
    with pytest.raises(StoreFormatError, match="with no Zarr store at its root"):
        xprep.open_image(tmp_path / "b.zip")


def of_references(folder: Path) -> Any:
    """Return a store of fsspec's references to the tiles of a TIFF file, as kerchunk and tifffile write them."""
    tifffile.imwrite(folder / "a.tif", IMAGE.values, tile=(16, 16), photometric="minisblack", metadata={"axes": "CYX"})
    with tifffile.TiffFile(folder / "a.tif") as tif:
        tif.series[0].aszarr().write_fsspec(str(folder / "a.json"), f"file://{folder}/")
    found = json.loads((folder / "a.json").read_text())
    found[".zattrs"] = json.dumps({"_ARRAY_DIMENSIONS": ["c", "y", "x"]})
    system = fsspec.filesystem("reference", fo=found, asynchronous=True, remote_protocol="file")
    return FsspecStore(system, read_only=True, path="/")


def of_memory(folder: Path) -> MemoryStore:
    store = MemoryStore()
    IMAGE.prep.to_ome_zarr(store, scale_factors=())
    return store


def of_obstore(folder: Path) -> ObjectStore[Any]:
    import obstore.store

    IMAGE.prep.to_ome_zarr(folder / "a.zarr", scale_factors=())
    return ObjectStore(obstore.store.LocalStore(str(folder / "a.zarr")), read_only=True)


def of_zip(folder: Path) -> ZipStore:
    IMAGE.prep.to_ome_zarr(folder / "a.zarr", scale_factors=())
    pack(folder / "a.zarr", folder / "a.zip")
    return ZipStore(folder / "a.zip", mode="r")


def of_path(folder: Path) -> StorePath:
    IMAGE.prep.to_ome_zarr(folder / "lab/a.zarr", scale_factors=())
    return StorePath(LocalStore(folder / "lab", read_only=True), "a.zarr")


STORES: dict[str, Callable[[Path], Any]] = {
    "fsspec's references": of_references, "memory": of_memory, "obstore": of_obstore, "zip": of_zip, "a path in a store": of_path,
}  # fmt: skip


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_any_store_object_of_zarr_is_a_source(make: Callable[[Path], Any], tmp_path: Path) -> None:
    image = xprep.open_image(make(tmp_path))
    assert image.dims == ("c", "y", "x")
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(image[1, 7:30, 5:40], IMAGE[1, 7:30, 5:40])
    image.prep.gaussian_filter(1).prep.to_ome_zarr(tmp_path / "result.zarr")
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "result.zarr"), IMAGE.prep.gaussian_filter(1))
