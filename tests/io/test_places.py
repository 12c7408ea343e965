"""Stores on real servers: the same bytes everywhere, errors that say what to do, and no secret in any of them."""

from __future__ import annotations

import functools
import gc
import http.server
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs
import xarray as xr
from zarr.storage import LocalStore, MemoryStore

import xprep
from tests import paths
from tests.helpers.servers import KEY, SECRET, Server
from xprep.errors import ChunkError, ScratchFullError, StoreExistsError, StoreFormatError, UnfinishedStoreError
from xprep.io.arrays.coordinates import Coord, read_coord
from xprep.io.arrays.reads import open_array
from xprep.io.arrays.specs import ArraySpec, LevelSpec
from xprep.io.commit.begin import create_image
from xprep.io.commit.finishing import finish_image
from xprep.io.commit.image_store import ImageStore
from xprep.io.commit.mark import check_finished
from xprep.io.commit.scratch import Scratch, find_scratch
from xprep.io.ome.groups import read_group, read_image
from xprep.io.ome_model import Level, Multiscale, make_axes
from xprep.io.store.places import Place, open_store
from xprep.io.store.urls import join

FULL = (slice(None), slice(None))
PIXELS = np.random.default_rng(0).integers(0, 999, (50, 70)).astype(np.uint16)


def begin(url: Any, options: dict[str, Any] | None = None, **more: Any) -> ImageStore:
    names = Coord(("y",), np.arange(50.0))
    specs = [LevelSpec((50, 70), (16, 16), shards, {"y": names}) for shards in (None, (32, 32))]
    return create_image(url, specs, ArraySpec(("y", "x"), "uint16"), storage_options=options, **more)


def finish(store: ImageStore) -> None:
    for level in store.levels:
        level.write(FULL, PIXELS)
    levels = tuple(Level(store.level_path(n), (1.0, 1.0), (0.0, 0.0)) for n in range(2))
    finish_image(store, Multiscale(make_axes(("y", "x")), levels))


def check(url: Any, options: dict[str, Any] | None = None) -> None:
    group = read_group(open_store(url, options))
    assert group is not None
    check_finished(group)
    for level in read_image(group).levels:
        array = open_array(group.place.child(level.path), "error")
        np.testing.assert_array_equal(array.read(FULL), PIXELS)
        np.testing.assert_array_equal(array.read((slice(17, 30), slice(3, 4))), PIXELS[17:30, 3:4])
    np.testing.assert_array_equal(read_coord(group.place.child("scale0/y")).values, np.arange(50.0))


@pytest.fixture(params=["s3", "rclone"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def test_written_and_read_in_a_bucket(server: Server) -> None:
    url, options = f"{server.new_bucket()}/a/image.zarr", server.storage_options()
    store = begin(url, options)
    with pytest.raises(UnfinishedStoreError, match="not finished"):
        check(url, options)
    finish(store)
    check(url, options)
    with xr.open_datatree(url, engine="zarr", storage_options=options) as tree:  # type: ignore[call-overload]
        np.testing.assert_array_equal(tree["scale1/image"], PIXELS)
    copy = pickle.loads(pickle.dumps(store.levels[1].readable()))  # noqa: S301
    np.testing.assert_array_equal(copy.read(FULL), PIXELS)
    assert copy.cost == "remote"


def test_overwriting_in_a_bucket(server: Server) -> None:
    bucket, options = server.new_bucket(), server.storage_options()
    finish(begin(join(bucket, "a.zarr"), options, layout="flat"))
    finish(begin(join(bucket, "a.zarr2"), options))
    with pytest.raises(StoreExistsError, match="overwrite=True"):
        begin(join(bucket, "a.zarr"), options)
    finish(begin(join(bucket, "a.zarr"), options, overwrite=True))
    check(join(bucket, "a.zarr"), options)
    check(join(bucket, "a.zarr2"), options)
    assert open_store(join(bucket, "a.zarr"), options).list_folder() == ["scale0", "scale1", "zarr.json"]
    open_store(bucket, options, "r+").set("notes/readme.txt", b"mine")
    with pytest.raises(StoreExistsError, match="not a Zarr store"):
        begin(join(bucket, "notes"), options, overwrite=True)
    with pytest.raises(StoreExistsError, match="not a Zarr store"):
        begin(bucket, options, overwrite=True)


def test_a_bucket_is_never_overwritten(s3: Server) -> None:
    bucket, options = s3.new_bucket(), s3.storage_options()
    finish(begin(bucket, options))
    check(bucket, options)
    with pytest.raises(StoreExistsError, match="a whole bucket"):
        begin(bucket, options, overwrite=True)
    check(bucket, options)


def test_lost_and_torn_chunks_in_a_bucket(rclone: Server) -> None:
    bucket, options = rclone.new_bucket(), rclone.storage_options()
    store = begin(join(bucket, "a.zarr"), options)
    finish(store)
    assert rclone.folder is not None
    image = rclone.folder / bucket.removeprefix("s3://") / "a.zarr" / "scale0" / "image"
    chunk = image / "c/1/2"
    good = chunk.read_bytes()
    for bad in (good[:-9], good[:50] + bytes([good[50] ^ 4]) + good[51:]):
        chunk.write_bytes(bad)
        with pytest.raises(ChunkError, match=rf"'c/1/2' of {bucket}/a.zarr/scale0/image cannot be read"):
            store.levels[0].readable().read(FULL)
    chunk.unlink()
    with pytest.raises(ChunkError, match=r"'c/1/2' .* not in the store"):
        store.levels[0].readable().read(FULL)
    with pytest.raises(UnfinishedStoreError, match="lacks 1 of its chunks"):
        finish_image(store, Multiscale(make_axes(("y", "x")), (Level("scale0/image", (1, 1), (0, 0)),)))


def test_scratch_in_a_bucket(server: Server) -> None:
    bucket, options = server.new_bucket(), server.storage_options()
    scratch = Scratch.plan(join(bucket, "tmp"), options)
    target, source = scratch.array("a", PIXELS.shape, PIXELS.dtype, (16, 70))
    assert find_scratch(join(bucket, "tmp"), options) == []
    target.write(FULL, PIXELS)
    np.testing.assert_array_equal(source.read(FULL), PIXELS)
    (left,) = find_scratch(join(bucket, "tmp"), options)
    assert left.is_alive
    del scratch, target, source
    gc.collect()
    wait_until(lambda: find_scratch(join(bucket, "tmp"), options) == [])


def test_scratch_in_a_bucket_goes_when_python_ends(s3: Server) -> None:
    bucket, options = s3.new_bucket(), s3.storage_options()
    program = (
        "import json, sys, numpy as np\n"
        "from xprep.io.commit.scratch import Scratch\n"
        "scratch = Scratch.plan(sys.argv[1], json.loads(sys.argv[2]))\n"
        "target, source = scratch.array('a', (8, 8), 'uint8', (4, 4))\n"
        "target.write((slice(0, 8), slice(0, 8)), np.ones((8, 8), 'uint8'))\n"
        "print(scratch.exists)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, bucket, json.dumps(options)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert ran.stdout == "True\n"
    assert ran.stderr == ""
    assert open_store(bucket, options).list_names() == []


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60  # only what never comes takes so long
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


CANARY = "canary/secret+27182818"


def missing_bucket(server: Server) -> list[Callable[[], Any]]:
    options, url = server.storage_options("somebody" if server.folder is None else KEY), "s3://no-such-bucket/x.zarr"
    return [
        lambda: begin(url, options),
        lambda: Scratch.create(url, options),
        lambda: open_array(open_store(url, options)),
    ]


def wrong_credentials(server: Server) -> list[Callable[[], Any]]:
    options, bucket = server.storage_options("somebody", CANARY), server.new_bucket()
    return [
        lambda: begin(join(bucket, "x.zarr"), options),
        lambda: Scratch.create(bucket, options),
        lambda: read_group(open_store(bucket, options)),
        lambda: open_array(open_store(bucket, options)),
        lambda: open_store(bucket, options).list_names(),
        lambda: open_store(bucket, options, "r+").delete(),
    ]


def test_a_missing_bucket(server: Server) -> None:
    for attempt in missing_bucket(server):
        with pytest.raises((FileNotFoundError, ScratchFullError), match=r"s3://no-such-bucket/x\.zarr") as caught:
            attempt()
        no_canary(caught)


def test_wrong_credentials(rclone: Server) -> None:
    for attempt in wrong_credentials(rclone):
        with pytest.raises((PermissionError, ScratchFullError), match="credentials right") as caught:
            attempt()
        assert "s3://lab-" in str(caught.value)
        no_canary(caught)


def test_nobody_answers() -> None:
    client = {"endpoint_url": f"http://u:{CANARY.replace('/', '')}@127.0.0.1:9"}
    quick = {"retries": {"max_attempts": 0}, "connect_timeout": 1}
    options = {"key": "somebody", "secret": CANARY, "client_kwargs": client, "config_kwargs": quick}
    with pytest.raises(OSError, match=r"cannot read s3://lab/x\.zarr") as caught:
        read_group(open_store("s3://lab/x.zarr", options))
    no_canary(caught)


def test_importing_loads_no_backend() -> None:
    modules = ("store.places", "arrays.reads", "arrays.writes", "commit.image_store", "ome.groups", "commit.scratch")
    wanted = "".join(f"import xprep.io.{name}\n" for name in modules)
    heavy = "{'s3fs', 'gcsfs', 'adlfs', 'aiohttp', 'distributed', 'matplotlib'}"
    program = f"{wanted}import sys; print({heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert ran.stdout == "set()\n"


def test_no_credentials_at_all(s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()  # another test's found them
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {"client_kwargs": s3.storage_options()["client_kwargs"]}
    url = f"{s3.new_bucket()}/x"
    with pytest.raises(PermissionError, match="Are the credentials right"):
        read_group(open_store(url, options))
    # Who then gives some, in the same notebook, is not refused by a client that was kept.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.storage_options()["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert read_group(open_store(url, options)) is None


def no_canary(caught: pytest.ExceptionInfo[BaseException]) -> None:
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for part in CANARY.split("/"):
        assert part not in shown.replace(__file__, ""), shown


def test_no_secret_in_what_can_be_seen(s3: Server) -> None:
    bucket, options = s3.new_bucket(), s3.storage_options()
    store = begin(f"{bucket}/a.zarr", options)
    finish(store)
    scratch = Scratch.create(bucket, options)
    target, source = scratch.array("a", (4, 4), "uint8", (4, 4))
    group = read_group(open_store(f"{bucket}/a.zarr", options))
    seen = [store, store.place, store.levels[0], store.levels[0].readable(), scratch, target, source, group]
    for thing in [*seen, *find_scratch(bucket, options), open_store(f"http://{KEY}:{SECRET}@host/x")]:
        assert SECRET not in repr(thing) + str(thing)
    root = open_store(bucket, options)
    for name in root.list_names():
        assert SECRET.encode() not in (root.get(name) or b""), name
    scratch.remove()


@pytest.mark.parametrize("url", ["memory://lab/a.zarr", "file"])
def test_other_protocols(url: str, tmp_path: Path) -> None:
    where = f"file://{tmp_path}/a.zarr" if url == "file" else url
    finish(begin(where))
    check(where)
    with pytest.raises(StoreExistsError):
        begin(where)
    finish(begin(where, overwrite=True))
    check(where)


@pytest.mark.parametrize("kind", [MemoryStore, LocalStore])
def test_stores_of_zarr(kind: Any, tmp_path: Path) -> None:
    store = kind(tmp_path / "a") if kind is LocalStore else kind()
    finish(begin(store))
    check(store)
    assert open_array(open_store(store).child("scale0/image")).cost == ("local" if kind is LocalStore else "memory")


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(_Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_http_is_for_reading(web: str, tmp_path: Path) -> None:
    finish(begin(tmp_path / "a.zarr"))
    group = read_group(open_store(f"{web}/a.zarr"))
    assert group is not None
    array = open_array(group.place.child("scale0/image"), "error")
    np.testing.assert_array_equal(array.read(FULL), PIXELS)
    with pytest.raises(ValueError, match="for reading only"):
        begin(f"{web}/b.zarr")


def test_read_only_and_full_disks(tmp_path: Path) -> None:
    place = open_store(tmp_path / "a", mode="r+")
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OSError, match=rf"cannot write {tmp_path}/a"):
        place.set("x", b"")


PARENTS = {"scale0/image": "scale0", "a/b/c": "a/b", "image": "", "": ""}


@pytest.mark.parametrize(("path", "above"), PARENTS.items(), ids=str)
def test_the_folder_above_keeps_what_a_place_was_opened_with(path: str, above: str) -> None:
    """Whatever the options say by then: a store that was opened with ``outside_links`` is checked with them."""
    with xprep.set_options(outside_links=True, deadline=7.0):
        place = Place(MemoryStore(), path, "memory://lab", {"secret": "x"}, reads_only=True)
    assert place.parent == replace(place, path=above)
    assert (place.parent.outside_links, place.parent.deadline, place.parent.reads_only) == (True, 7.0, True)
    assert place.parent.secrets == place.secrets


def test_no_place_is_made_of_the_parts_of_another() -> None:
    """What is not named is forgotten; `child`, `parent` and `dataclasses.replace` forget nothing."""
    for module in sorted((paths.ROOT / "xprep").rglob("*.py")):
        assert not re.search(r"\bPlace\([\w.]*place\.store\b", module.read_text()), module


def test_ranges_and_missing_names(tmp_path: Path) -> None:
    for place in (open_store(tmp_path, mode="r+"), Place(MemoryStore(), shown="memory")):
        place.set_many({"a/b": b"0123456789", "c": b""})
        assert place.get_many(["a/b"] * 3, [(2, 5), (-3, 0), (-99, 0)]) == [b"234", b"789", b"0123456789"]
        assert place.get("a") is None
        assert place.get("none") is None
        assert place.missing(["a/b", "c", "d", "a"]) == ["d", "a"]
        assert place.list_names() == ["a/b", "c"]
        assert place.child("a").list_names() == ["b"]
        assert place.list_folder() == ["a", "c"]
        place.child("a").delete()
        assert place.list_names() == ["c"]
        with pytest.raises(ValueError, match="not a path inside"):
            place.child("../x")
        with pytest.raises(ValueError, match="JSON compliant"):
            place.write_json("x", {"a": float("nan")})


def test_deep_json_in_a_store(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"a":' * 100_000)
    with pytest.raises(StoreFormatError, match="nested too deeply"):
        read_group(open_store(tmp_path))
