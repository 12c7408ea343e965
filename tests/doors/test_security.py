"""Stores and recipes that somebody else made (CLOUD §5): refused with what is wrong, the value and the way out."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.io.codecs.chains import checksum_of
from xprep.io.codecs.inflation import check_inflation


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A good image, uncompressed in nothing: what is changed in it is the attack."""
    url = tmp_path / "image.zarr"
    xprep.datasets.blobs(channels=2, shape=(32, 32)).prep.to_ome_zarr(url, scale_factors=(), chunks={"y": 16, "x": 16})
    return url


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


ARRAY = "scale0/image/zarr.json"
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "zero chunks": (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 0, 16]}}},
        r"at least 1.*\[1, 0, 16\]",
    ),
    "huge": ({"shape": [2, 2**40, 2**40]}, r"\[2, 1099511627776, 1099511627776\] in chunks \[1, 16, 16\] is more than 268435456"),
    "two dims of one name": ({"dimension_names": ["c", "y", "y"]}, r"two dimensions have one name: \['c', 'y', 'y'\]"),
    "a pickle": ({"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]}, "numcodecs.pickle"),
    "an unknown codec": ({"codecs": [{"name": "bytes"}, {"name": "evil"}]}, "evil"),
    "objects": ({"data_type": "variable_length_bytes"}, "not a Zarr array|numbers|variable_length_bytes"),
}


@pytest.mark.parametrize(("values", "says"), HOSTILE.values(), ids=HOSTILE)
def test_metadata_of_an_array(store: Path, values: dict[str, Any], says: str) -> None:
    change(store / ARRAY, **values)
    with pytest.raises((xprep.StoreFormatError, TypeError), match=says) as caught:
        xprep.open_image(store).prep.gaussian_filter(1)
    assert str(store) in str(caught.value)


def test_a_pickle_of_zarr_v2_runs_nothing(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/ran",)

    for name, codec in (("filters", [{"id": "pickle", "protocol": 5}]), ("compressor", {"id": "pickle", "protocol": 5})):
        folder = tmp_path / name
        folder.mkdir()
        about = {"zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "|O", "fill_value": None, "order": "C"}
        plain = {"filters": None, "compressor": None, "dimension_separator": "/"}
        (folder / ".zarray").write_text(json.dumps({**about, **plain, name: codec}))
        (folder / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["y", "x"]}')
        (folder / "0").mkdir()
        (folder / "0" / "0").write_bytes(pickle.dumps(Payload()))
        with pytest.raises((xprep.StoreFormatError, xprep.ChunkError, TypeError)):
            xprep.open_image(folder).prep.gaussian_filter(1).compute()
    assert not (tmp_path / "ran").exists()


PATHS = ("../secret", "a/../../secret", "/etc", "a\\b", "a\0b", ".", "")


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_lead_out_of_a_store(store: Path, path: str) -> None:
    root = store / "zarr.json"
    good = root.read_text()
    about = json.loads(good)["attributes"]
    about["ome"]["multiscales"][0]["datasets"][0]["path"] = path
    change(root, attributes=about)
    with pytest.raises((xprep.StoreFormatError, FileNotFoundError)) as caught:
        xprep.open_image(store)
    assert "image.zarr" in str(caught.value)
    root.write_text(good)
    # The coordinates that an array names, and the labels that a group lists.
    attributes = json.loads((store / ARRAY).read_text())["attributes"]
    change(store / ARRAY, attributes={**attributes, "coordinates": path.replace("\0", "\\")})
    if path.strip("./") and path != "/etc":
        with pytest.raises(ValueError, match="not a path inside a store"):
            xprep.open_image(store)


def test_names_that_cannot_be_stored(tmp_path: Path) -> None:
    image = xprep.datasets.blobs(channels=1, shape=(16, 16))
    label = (image.isel(c=0, drop=True) > 0).astype("uint8")
    for name in ("a/b", "..", "a\\b", "a\0b", ".hidden", "zarr.json"):
        with pytest.raises(ValueError, match="cannot be a name in a store"):
            image.prep.to_ome_zarr(tmp_path / "out.zarr", labels={name: label})
    for name in ("..", "a\0b", "a/../b"):
        tree = xr.Dataset({name: image, "other": image})
        with pytest.raises(ValueError, match="cannot be a name in a store"):
            tree.prep.to_ome_zarr(tmp_path / "out.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("linked", ["scale0/image/c/0/0/0", "scale0/image/c", "scale0", "scale0/y/zarr.json", "zarr.json"])
def test_links_out_of_a_store(store: Path, tmp_path: Path, linked: str) -> None:
    wanted = xprep.open_image(store).values
    outside = tmp_path / "outside"
    (store / linked).rename(outside)
    (store / linked).symlink_to(outside)
    with pytest.raises(ValueError, match=rf"image\.zarr/{linked} is a link out of the store, to .*outside.*outside_links=True"):
        xprep.open_image(store).values  # noqa: B018
    with xprep.set_options(outside_links=True):
        trusted = xprep.open_image(store)
    np.testing.assert_array_equal(trusted.values, wanted)


def test_links_within_a_store_and_to_a_store(store: Path, tmp_path: Path) -> None:
    (store / "kept").mkdir()
    chunk = store / "scale0/image/c/0/0/0"
    chunk.rename(store / "kept/chunk")
    chunk.symlink_to("../../../../../kept/chunk")
    (tmp_path / "link.zarr").symlink_to(store)
    assert xprep.open_image(tmp_path / "link.zarr").values.any()


def test_nested_json(store: Path) -> None:
    for name in ("zarr.json", ARRAY):
        good = (store / name).read_text()
        (store / name).write_text('{"a":' * 40_000 + "1" + "}" * 40_000)
        with pytest.raises(xprep.StoreFormatError, match=r"nested too deeply"):
            xprep.open_image(store)
        (store / name).write_text(good)


def zeros_without_end(nbytes: int) -> bytes:
    """A zstd frame that does not say how long it is: blocks of 128 KiB of zeros in four bytes each (RFC 8878)."""
    blocks = nbytes // 2**17
    one = ((2**17 << 3) | 2).to_bytes(3, "little") + b"\0"
    last = ((2**17 << 3) | 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x70" + one * (blocks - 1) + last


@pytest.mark.parametrize("said", [True, False], ids=["size in the frame", "no size in the frame"])
@pytest.mark.parametrize("where", ["image", "c"])
def test_a_decompression_bomb(store: Path, where: str, said: bool) -> None:
    """16 kB, declared as some bytes, inflate to 512 MiB: refused without taking them."""
    import numcodecs

    bomb = numcodecs.Zstd(1).encode(bytes(2**29)) if said else zeros_without_end(2**29)
    assert len(bomb) < 100_000
    array = store / "scale0" / where
    codecs = [{"name": "bytes"}] if where == "image" else [{"name": "vlen-utf8"}]
    change(array / "zarr.json", codecs=[*codecs, {"name": "zstd", "configuration": {"level": 1, "checksum": False}}])
    chunk = array / ("c/0/0/0" if where == "image" else "c/0")
    assert chunk.exists()
    chunk.write_bytes(bomb)
    # Memory is counted in a process of its own.
    program = (
        "import resource, sys, xprep\n"
        "image = xprep.open_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    image(sys.argv[1]).values\n"
        "except (xprep.ChunkError, xprep.StoreFormatError) as error:\n"
        "    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(store)], capture_output=True, text=True, check=True, timeout=600
    )
    error, _, grown = ran.stdout.strip().rpartition("\n")
    assert f"image.zarr/scale0/{where}" in error
    assert int(grown) < 200, error


def test_honest_chunks_of_coordinates_are_taken() -> None:
    import numcodecs

    data = bytes(range(256)) * 64
    for codec in (numcodecs.Zstd(3), numcodecs.Blosc(), numcodecs.GZip(), numcodecs.Zlib()):
        found = codec.encode(data)
        two = {"zarr_format": 2, "compressor": codec.get_config()}
        check_inflation(two, found)
        with pytest.raises(ValueError, match="inflate to 16"):
            check_inflation(two, found, limit=16_000)
    names = [{"name": "bytes"}, {"name": "zstd"}, {"name": "crc32c"}]
    body = bytes(numcodecs.Zstd(3).encode(data))
    check_inflation({"zarr_format": 3, "codecs": names}, body + checksum_of(body).to_bytes(4, "little"))


def test_a_reference_reads_no_file_of_this_machine(tmp_path: Path) -> None:
    """fsspec's reference:: made a chunk of /etc/passwd."""
    (tmp_path / "secret").write_bytes(b"root:x:0:0")
    array = {
        "zarr_format": 2, "shape": [10], "chunks": [10], "dtype": "|u1", "compressor": None, "filters": None,
        "fill_value": 0, "order": "C",
    }  # fmt: skip
    reference = {".zarray": json.dumps(array), ".zattrs": '{"_ARRAY_DIMENSIONS": ["x"]}', "0": [str(tmp_path / "secret")]}
    (tmp_path / "reference.json").write_text(json.dumps({"version": 1, "refs": reference}))
    url = f"reference::file://{tmp_path}/reference.json"
    for call in (xprep.open_image, xprep.open_tree, xprep.verify, xprep.validate):
        with pytest.raises(ValueError, match=r"is a chained URL, which can read any file.*chained_urls=True"):
            call(url)
    found = xprep.run({"inputs": url, "steps": ["normalize"], "output": str(tmp_path / "out.zarr")}, progress=False)
    assert [one.state for one in found.outcomes] == ["failed"]
    with pytest.raises(ValueError, match="'reference' is not allowed"):
        xprep.open_image("reference://")
