"""Every chunk that was removed, cut short or changed is found, wherever it lies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.core.sync import sync

import xprep
from tests.helpers.servers import Server
from xprep.errors import ChunkError, StoreFormatError, UnfinishedStoreError
from xprep.io.arrays.coordinates import Coord, encode_coord, read_coord
from xprep.io.store.places import open_store


def store(url: Any, **options: Any) -> Any:
    image = xprep.datasets.blobs(channels=2, shape=(64, 96))
    labels = {"cells": (image.isel(c=0, drop=True) > 100).astype("uint8")}
    image.prep.to_ome_zarr(url, scale_factors=(2,), chunks={"y": 32, "x": 32}, labels=labels, **options)
    return url


@pytest.mark.parametrize("how", [{}, {"shards": {"y": 64, "x": 64}}, {"version": "0.4", "layout": "flat"}, {"version": "0.6"}])
def test_every_damage_to_every_chunk_is_found(tmp_path: Path, how: dict[str, Any]) -> None:
    url = store(tmp_path / "x.zarr", **how)
    whole = xprep.verify(url)
    chunks = [path for path in url.rglob("*") if path.is_file() and path.name.isdigit()]
    assert whole.is_whole
    assert whole.units == len(chunks) + len([path for path in url.rglob("c") if path.is_file()])
    rng = np.random.default_rng(7)
    good = {path: path.read_bytes() for path in chunks}
    for turn in range(3):
        kinds = {}
        for n, path in enumerate(chunks):
            kind = kinds[path.relative_to(url).as_posix()] = ("missing", "size", "checksum")[(n + turn) % 3]
            damage(path, kind, rng)
        found = {damage.key: damage.kind for damage in xprep.verify(url).damaged}
        assert found.keys() == kinds.keys()
        assert {name: kind for name, kind in found.items() if is_pixels(name)} == {n: k for n, k in kinds.items() if is_pixels(n)}
        for path, data in good.items():
            path.write_bytes(data)
    assert xprep.verify(url).is_whole


def damage(path: Path, kind: str, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.unlink()
    if kind != "missing":
        path.write_bytes(data if kind == "checksum" else data[:-1])


def is_pixels(name: str) -> bool:
    """Coordinates have no list of sizes; whatever is wrong with them shows when they are decoded."""
    return "/image/" in name or "scale" not in name


def test_the_report_names_them(tmp_path: Path) -> None:
    url = store(tmp_path / "x.zarr")
    (url / "scale1/image/c/1/0/1").unlink()
    (url / "labels/cells/scale0/image/c/0/0").write_bytes(b"short")
    lines = str(xprep.verify(url)).splitlines()
    assert lines[0].endswith("2 of 34 objects are damaged:")
    assert "resume=True" in lines[-1]
    assert lines[1:-1] == ["scale1/image/c/1/0/1 is missing", "labels/cells/scale0/image/c/0/0 has another size"]


def test_in_a_bucket(rclone: Server) -> None:
    url, options = rclone.new_bucket() + "/x.zarr", rclone.storage_options()
    store(url, storage_options=options)
    assert xprep.verify(url, storage_options=options).is_whole
    assert rclone.folder is not None
    lost = rclone.folder / url.removeprefix("s3://") / "scale0/image/c/0/1/2"
    lost.unlink()
    found = xprep.verify(url, storage_options=options)
    assert [str(damage) for damage in found.damaged] == ["scale0/image/c/0/1/2 is missing"]


@pytest.mark.parametrize("how", [{}, {"shards": {"y": 64, "x": 64}}, {"version": "0.4"}], ids=["chunks", "shards", "0.4"])
def test_every_damage_in_a_bucket_is_found(s3: Server, how: dict[str, Any]) -> None:
    """As in a folder: objects gone, cut short, with one bit flipped, by `verify`; those that are gone by `validate` too."""
    url, options = s3.new_bucket() + "/x.zarr", s3.storage_options()
    store(url, storage_options=options, **how)
    place = open_store(url, options, "r+")
    chunks = [name for name in place.list_names() if name.rpartition("/")[2].isdigit() and ".xprep" not in name]
    good = {name: place.get(name) or b"" for name in chunks}
    rng = np.random.default_rng(3)
    kinds = {name: ("missing", "size", "checksum")[n % 3] for n, name in enumerate(chunks)}
    for name, kind in kinds.items():
        flipped = bytearray(good[name])
        # Behind the headers, where a few bits mean nothing: coordinates have no list, their checksum is in the frame.
        flipped[rng.integers(16, len(flipped))] ^= 1 << int(rng.integers(8))
        if kind == "missing":
            sync(place.store.delete(place.key(name)))
        else:
            place.set(name, bytes(flipped) if kind == "checksum" else good[name][:-1])
    found = {damage.key: damage.kind for damage in xprep.verify(url, storage_options=options).damaged}
    assert found.keys() == kinds.keys()
    assert all(found[name] == kind for name, kind in kinds.items() if is_pixels(name))
    lost = [str(one) for one in xprep.validate(url, storage_options=options).findings if one.state == "failed"]
    for name in (name for name, kind in kinds.items() if kind == "missing" and is_pixels(name)):
        array = re.sub(r"/c(/\d+)+$|(/\d+)+$", "", name)
        assert any(line for line in lost if array in line and "objects are not there" in line), (name, lost)
    place.set_many(good)
    assert xprep.verify(url, storage_options=options).is_whole
    assert xprep.validate(url, storage_options=options).is_valid


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name", ["x", "c"])
def test_no_flipped_bit_of_a_coordinate_gives_other_values(tmp_path: Path, version: Any, name: str) -> None:
    """In 0.4 too, whose compressor has its checksum in the frame: a third of these was read without a word."""
    coord = xr.DataArray(["a", "b"] if name == "c" else np.arange(64) * 0.5).values
    place = open_store(tmp_path, mode="r+")
    place.set_many(encode_coord(Coord((name,), coord), 2 if version == "0.4" else 3, "here"))
    chunk = "0" if version == "0.4" else "c/0"
    good = place.get(chunk) or b""
    np.testing.assert_array_equal(read_coord(place).values, coord)
    seen = set()
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        place.set(chunk, bytes(flipped))
        try:
            np.testing.assert_array_equal(read_coord(place).values, coord)
            seen.add("same")
        except (ChunkError, StoreFormatError):
            seen.add("refused")
    assert "refused" in seen


def test_several_images(tmp_path: Path) -> None:
    image = xprep.datasets.blobs(channels=1, shape=(32, 32)).rename("a")
    image.to_dataset().assign(b=image + 1).prep.to_ome_zarr(tmp_path / "both.zarr")
    (tmp_path / "both.zarr/b/scale0/image/c/0/0/0").unlink()
    with pytest.raises((StoreFormatError, FileNotFoundError)):
        xprep.verify(tmp_path)
    assert not xprep.verify(tmp_path / "both.zarr/b").is_whole


def test_nothing_to_compare_with_is_an_error(tmp_path: Path) -> None:
    with pytest.raises((StoreFormatError, FileNotFoundError)):
        xprep.verify(tmp_path / "nothing.zarr")
    zarr.create_array(tmp_path / "foreign.zarr", shape=(4,), chunks=(2,), dtype="u1")
    with pytest.raises(StoreFormatError, match="nothing can be compared"):
        xprep.verify(tmp_path / "foreign.zarr")
    url = store(tmp_path / "x.zarr")
    manifest = url / "scale0/image/.xprep/manifest.npy"
    good = manifest.read_bytes()
    for bad in (good[:50], b"", good[:-12]):
        manifest.write_bytes(bad)
        with pytest.raises(StoreFormatError, match=r"damaged|nothing can be|entries"):
            xprep.verify(url)
    manifest.write_bytes(good)
    text = (url / "zarr.json").read_text()
    (url / "zarr.json").write_text(text.replace('"finished"', '"writing"'))
    with pytest.raises(UnfinishedStoreError):
        xprep.verify(url)
