"""The codec is the user's: every one that a version can store is written, read, verified and resumed; others are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

import xprep
from tests.helpers.crashes import objects
from xprep.cli.app import app
from xprep.errors import StoreExistsError
from xprep.images import describe_store

IMAGE = xprep.datasets.blobs(channels=2, shape=(64, 48))
CELLS = (IMAGE.isel(c=0, drop=True) > 300).astype("uint16")
BOTH, V2, V3 = ("0.4", "0.5"), ("0.4",), ("0.5",)  # 0.6 stores pixels as 0.5 does
DELTA = numcodecs.Delta(dtype="<u2")

# What is given, for which versions, and what metadata say of it, without the checksum.
CODECS: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "none": ("none", BOTH, "uncompressed"),
    "zstd": ("zstd", BOTH, "zstd level 1"),
    "zstd of a level": ("zstd:3", BOTH, "zstd level 3"),
    "gzip": ("gzip:6", BOTH, "gzip level 6"),
    "blosc zstd": ("blosc-zstd:5", BOTH, "blosc zstd level 5 with shuffle"),
    "blosc lz4": ("blosc-lz4", BOTH, "blosc lz4 level 1 with shuffle"),
    "blosc lz4hc": ("blosc-lz4hc:9", BOTH, "blosc lz4hc level 9 with shuffle"),
    "blosc zlib": ("blosc-zlib:2", BOTH, "blosc zlib level 2 with shuffle"),
    "blosc blosclz": ("blosc-blosclz:2", BOTH, "blosc blosclz level 2 with shuffle"),
    "zarr's zstd": (ZstdCodec(level=7), BOTH, "zstd level 7"),
    "zarr's gzip": (GzipCodec(level=2), BOTH, "gzip level 2"),
    "zarr's blosc, to choose": (BloscCodec(cname="lz4", clevel=3), V3, "blosc lz4 level 3 with shuffle"),
    "zarr's blosc, bits": (BloscCodec(cname="zstd", shuffle="bitshuffle"), BOTH, "blosc zstd level 5 with bit shuffle"),
    "numcodecs' zstd": (numcodecs.Zstd(level=2), BOTH, "zstd level 2"),
    "numcodecs' gzip": (numcodecs.GZip(level=1), BOTH, "gzip level 1"),
    "numcodecs' blosc": (numcodecs.Blosc("zlib", 1, 2), BOTH, "blosc zlib level 1 with bit shuffle"),
    "numcodecs' lz4": (numcodecs.LZ4(), V2, "lz4"),
    "numcodecs' bz2": (numcodecs.BZ2(3), V2, "bz2 level 3"),
    "a filter of v2": ([DELTA, numcodecs.Zstd(level=1)], V2, "delta, zstd level 1"),
    "metadata of v3": ({"name": "zstd", "configuration": {"level": 4, "checksum": False}}, BOTH, "zstd level 4"),
    "a name of v3": ({"name": "gzip"}, V3, "gzip level 5"),
    "metadata of v2": ({"id": "zstd", "level": 4}, BOTH, "zstd level 4"),
    "transposed": ([TransposeCodec(order=(0, 2, 1)), ZstdCodec(level=1)], V3, "transpose, zstd level 1"),
    "of another byte order": ([BytesCodec(endian="big"), ZstdCodec(level=1)], V3, "zstd level 1"),
    "with its own checksum": ([ZstdCodec(level=1), Crc32cCodec()], V3, "zstd level 1"),
    "metadata of numcodecs in v3": ({"name": "numcodecs.bz2", "configuration": {"level": 2}}, BOTH, "bz2 level 2"),
}  # fmt: skip
CASES = [
    pytest.param(given, version, name, id=f"{key}-{version}")
    for key, (given, versions, name) in CODECS.items()
    for version in versions
]
# zarr's own warning of codecs that its specification has not.
pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")


def write(url: Path, image: xr.DataArray = IMAGE, **options: Any) -> Any:
    """Write without coordinates and levels, which are no matter of the codec."""
    return image.prep.to_ome_zarr(url, scale_factors=(), chunks={"y": 32, "x": 32}, layout="flat", **options)


@pytest.mark.parametrize(("given", "version", "name"), CASES)
def test_every_codec_is_written_read_verified_and_resumed(given: Any, version: str, name: str, tmp_path: Path) -> None:
    how = {"compression": given, "version": version, "fingerprint": "mine"}
    report = write(tmp_path / "a.zarr", **how)
    checked = name if version == "0.4" else f"{name}, crc32c".removeprefix("uncompressed, ")
    assert report.codec.replace("numcodecs.", "") == checked
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr/0", mode="r")[...], IMAGE)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), IMAGE)
    assert xprep.verify(tmp_path / "a.zarr").is_whole
    again = write(tmp_path / "a.zarr", **how, resume=True)
    assert (again.units, again.codec) == (0, report.codec)


OTHERS: dict[str, dict[str, Any]] = {
    "a level": {"compression": "zstd:4"}, "a codec": {"compression": "gzip:3"}, "no checksum": {"checksum": False},
    "the default": {"compression": None}, "an object": {"compression": ZstdCodec(level=3, checksum=True)},
}  # fmt: skip


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_codec_is_another_run(other: dict[str, Any], tmp_path: Path) -> None:
    how: dict[str, Any] = {"compression": "zstd:3", "fingerprint": "mine", "resume": True}
    assert write(tmp_path / "a.zarr", **how).units
    with pytest.raises(StoreExistsError, match="another"):
        write(tmp_path / "a.zarr", **{**how, **other})
    assert not write(tmp_path / "a.zarr", **{**how, "compression": ZstdCodec(level=3)}).units  # the same in other words


@pytest.mark.parametrize("given", ["blosc-lz4", ZstdCodec(level=7), TransposeCodec(order=(0, 2, 1)), {"name": "gzip"}], ids=str)
@pytest.mark.parametrize("checksum", [True, False])
def test_shards_hold_the_codec(given: Any, checksum: bool, tmp_path: Path) -> None:
    report = write(tmp_path / "a.zarr", compression=given, checksum=checksum, shards={"y": 64, "x": 64})
    assert ("crc32c" in report.codec) is checksum
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr/0", mode="r")[...], IMAGE)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), IMAGE)


def test_defaults_are_those_of_the_kind(tmp_path: Path) -> None:
    """Labels are stored without shuffling, as labels of an image, in a Dataset, and as an image of their own."""
    image, labels = "blosc zstd level 1 with shuffle, crc32c", "zstd level 1, crc32c"
    assert write(tmp_path / "a.zarr", labels={"cells": CELLS}).codec == f"{image} (labels: {labels})"
    assert stored(tmp_path / "a.zarr/labels/cells/0") == "zstd"
    assert stored(tmp_path / "a.zarr/0") == "blosc"
    said = CELLS.assign_attrs({"image-label": {}})
    assert write(tmp_path / "b.zarr", said).codec == labels
    assert write(tmp_path / "c.zarr", xr.Dataset({"image": IMAGE, "cells": said})).codec == f"{image} (labels: {labels})"
    assert write(tmp_path / "d.zarr", xprep.open_image(tmp_path / "a.zarr", label="cells")).codec == labels
    assert write(tmp_path / "e.zarr", labels={"cells": CELLS}, compression="gzip").codec == "gzip level 1, crc32c"
    assert stored(tmp_path / "e.zarr/labels/cells/0") == "gzip"


def stored(url: Path) -> str:
    return str(zarr.open_array(url, mode="r").compressors[0].to_dict()["name"])


def test_without_checksums_the_journal_still_tells(tmp_path: Path) -> None:
    report = write(tmp_path / "a.zarr", compression="none", checksum=False)
    assert report.codec == "uncompressed"
    chunk = tmp_path / "a.zarr/0/c/1/0/1"
    data = bytearray(chunk.read_bytes())
    assert len(data) == 32 * 32 * IMAGE.dtype.itemsize
    data[100] ^= 1
    chunk.write_bytes(data)
    xprep.open_image(tmp_path / "a.zarr").load()  # nobody notices
    (found,) = xprep.verify(tmp_path / "a.zarr").damaged
    assert "c/1/0/1" in str(found)


# Kills itself while it writes: between two tiles, when some are there and some are not.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from tests.io.test_compression import write_filtered

class Killer:
    def started(self, stage, total): ...
    def finished(self, stage): ...
    def advanced(self, stage, steps, nbytes):
        if any(any((target / "0").glob(pattern)) for pattern in ("c/*/*/*", "[0-9]/*/*")):
            os.kill(os.getpid(), signal.SIGKILL)

source, target, how = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
write_filtered(source, target, progress=Killer(), **how)
"""
KILLED: dict[str, dict[str, Any]] = {
    "gzip, which notes times": {"compression": "gzip", "checksum": False},
    "through zarr": {"compression": [{"id": "delta", "dtype": "<f4"}, {"id": "zstd", "level": 2}], "version": "0.4"},
}  # fmt: skip


def write_filtered(source: Path, target: Path, **how: Any) -> Any:
    with xprep.set_options(tile_bytes=2**13):
        return write(target, xprep.open_image(source).prep.gaussian_filter(1), resume=True, **how)


@pytest.mark.parametrize("how", KILLED.values(), ids=KILLED)
def test_a_killed_run_is_resumed_to_the_byte(how: dict[str, Any], tmp_path: Path) -> None:
    source, broken, whole = (tmp_path / name for name in ("in.zarr", "a.zarr", "b.zarr"))
    write(source, xprep.datasets.blobs(channels=2, shape=(128, 96)))
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(source), str(broken), json.dumps(how)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert write_filtered(source, broken, **how).nbytes_before
    assert not write_filtered(source, whole, **how).nbytes_before
    assert objects(broken) == objects(whole)


# What is refused, with which version, and what the sentence says: before anything is there.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name": ({"compression": "lz4"}, "'lz4' is not a compression that xprep knows.*'zstd:3'"),
    "a name that means several": ({"compression": "blosc"}, "'blosc' is not a compression that xprep knows.*blosc-lz4"),
    "capitals": ({"compression": "ZSTD"}, "not a compression that xprep knows"),
    "no level": ({"compression": "zstd:"}, "not a compression that xprep knows"),
    "a level that is none": ({"compression": "zstd:fast"}, "not a compression that xprep knows"),
    "a level that there is not": ({"compression": "zstd:23"}, "level of zstd is 1 to 22"),
    "a level of blosc": ({"compression": "blosc-lz4:0"}, "level of blosc-lz4 is 1 to 9"),
    "a level of nothing": ({"compression": "none:1"}, "not a compression that xprep knows"),
    "a number": ({"compression": 3}, "must be a text or codecs; got 3"),
    "a switch": ({"compression": False}, "must be a text or codecs; got False"),
    "metadata of none": ({"compression": {"name": "zst"}}, "no codec that is installed here"),
    "metadata of none, v2": ({"compression": {"id": "zst"}}, "no codec that is installed here"),
    "settings that are none": ({"compression": {"name": "zstd", "configuration": {"level": "high"}}}, "no codec that is"),
    "v2's in v3": ({"compression": numcodecs.LZ4()}, "Zarr v3, so OME-Zarr 0.5 and 0.6, has no codec 'lz4'"),
    "v3's in v2": ({"compression": TransposeCodec(order=(0, 2, 1)), "version": "0.4"}, "v2, which has no codec 'transpose'"),
    "a checksum in v2": ({"checksum": True, "version": "0.4"}, "no place for a checksum"),
    "a crc32c in v2": ({"compression": Crc32cCodec(), "version": "0.4"}, "v2, which has no codec 'crc32c'"),
    "with and without": ({"compression": [ZstdCodec(), Crc32cCodec()], "checksum": False}, "Give one of the two"),
    "a switch as text": ({"checksum": "no"}, "checksum must be True or False, or None; got 'no'"),
    "filters behind": ({"compression": [ZstdCodec(), TransposeCodec(order=(0, 2, 1))]}, "an order that Zarr v3 has not"),
    "two that make bytes": ({"compression": [BytesCodec(), BytesCodec(endian="big")]}, "a chunk takes one"),
    "shards": ({"compression": zarr.codecs.ShardingCodec(chunk_shape=(1, 8, 8))}, "shards={'y'"),
    "other axes": ({"compression": TransposeCodec(order=(1, 0))}, "transpose|order"),
    "another dtype": ({"compression": [numcodecs.PackBits(), numcodecs.Zstd()], "version": "0.4"}, "lose pixels of uint16"),
    "no bound": ({"compression": {"name": "numcodecs.pcodec"}}, "no codec that is installed|cannot be bounded"),
    "code": ({"compression": numcodecs.Pickle(), "version": "0.4"}, "runs whatever code"),
    "no bytes": ({"compression": numcodecs.Categorize(["a"], "O"), "version": "0.4"}, "cannot be bounded|cannot store"),
}  # fmt: skip


@pytest.mark.parametrize(("how", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_refused_by_name(how: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        write(tmp_path / "a.zarr", **how)
    assert not any(tmp_path.iterdir())


COMMANDS: dict[str, tuple[list[str], str]] = {
    "a text": (["--compression", "zstd:3"], "zstd level 3, crc32c"),
    "none": (["--compression", "none", "--no-checksum"], "uncompressed"),
    "JSON": (["--compression", '{"name": "gzip", "configuration": {"level": 2}}', "--checksum"], "gzip level 2, crc32c"),
    "by default": ([], "blosc zstd level 1 with shuffle, crc32c"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "name"), COMMANDS.values(), ids=COMMANDS)
def test_the_command(given: list[str], name: str, tmp_path: Path) -> None:
    write(tmp_path / "in.zarr")
    source, target, refused = (str(tmp_path / name) for name in ("in.zarr", "out.zarr", "no.zarr"))
    done = CliRunner().invoke(app, ["normalize", source, target, "--scale-factors", "none", *given])
    assert f", {name}" in done.output
    assert {array.codec for array in describe_store(target).arrays} == {name}
    done = CliRunner().invoke(app, ["normalize", source, refused, "--compression", "lz4"])
    assert (done.exit_code, Path(refused).exists()) == (2, False)
    assert "error: --compression lz4 is not a compression that xprep knows" in done.output


RECIPES: dict[str, tuple[str, str]] = {
    "of the version that is given": ("{compression: {id: lz4}, version: '0.4'}", "lz4"),
    "a text": ("{compression: 'zstd:3', checksum: false}", "zstd level 3"),
    "none": ("{compression: none}", "crc32c"),
    "nothing": ("{compression: null}", "blosc zstd level 1 with shuffle, crc32c"),
    "codecs": ("{compression: [{name: zstd, configuration: {level: 5}}]}", "zstd level 5, crc32c"),
}  # fmt: skip


@pytest.mark.parametrize(("store", "name"), RECIPES.values(), ids=RECIPES)
def test_a_recipe(store: str, name: str, tmp_path: Path) -> None:
    write(tmp_path / "in.zarr")
    recipe = tmp_path / "recipe.yaml"
    text = f"inputs: {tmp_path}/in.zarr\nsteps: [{{gaussian_filter: {{sigma: 1}}}}]\noutput: {tmp_path}/out.zarr\nstore: "
    recipe.write_text(text + store)
    assert xprep.run(recipe).ok
    assert {array.codec for array in describe_store(tmp_path / "out.zarr").arrays} == {name}
    assert xprep.run(recipe, resume=True).outcomes[0].state == "finished before"
    recipe.write_text(text + "{compression: 'gzip:8'}")
    assert "another" in xprep.run(recipe, resume=True).outcomes[0].reason
    recipe.write_text(text + "{compression: lz4}")
    with pytest.raises(xprep.RecipeError, match=r"line 4: store.compression: .*'lz4' is not a compression that xprep knows"):
        xprep.run(recipe)
    recipe.write_text(text + "{checksum: 'no'}")
    with pytest.raises(xprep.RecipeError, match=r"line 4: store.checksum: must be true or false"):
        xprep.run(recipe)
