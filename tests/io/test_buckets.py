"""The same bits through every kind of store: servers of others, s3fs and obstore, and objects of zarr instead of URLs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, StorePath

import xprep
from tests.helpers.buckets import NOT_INSTALLED, Bucket, az_bucket, gs_bucket, moto_bucket, moto_here, rclone_bucket
from tests.helpers.crashes import objects
from tests.helpers.servers import SECRET, Server
from tests.helpers.servers import _put as put
from xprep.io.arrays.reads import open_array
from xprep.io.commit.bucket.copying import split
from xprep.io.store.backends import name_store
from xprep.io.store.locations import locate
from xprep.io.store.places import open_store

__all__ = ["az_bucket", "gs_bucket", "moto_bucket", "moto_here", "rclone_bucket"]  # fixtures

emulated = pytest.mark.emulators
BUCKETS = [
    "moto_bucket",
    "rclone_bucket",
    pytest.param("gs_bucket", marks=emulated),
    pytest.param("az_bucket", marks=emulated),
]
SHARDS = {"y": 64, "x": 64}
# gcsfs and adlfs leave sessions to the garbage collector, and azurite's answers have headers that azure-core warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*([Uu]nclosed|Loop is not running|never awaited)"),
]


@pytest.fixture(params=BUCKETS)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    found: Bucket = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("buckets") / "in.zarr"
    xprep.datasets.blobs(channels=2, shape=(64, 48)).prep.to_ome_zarr(url, scale_factors=(), chunks={"y": 32, "x": 32})
    return url


def write(source: Any, target: Any, **options: Any) -> Any:
    image = xprep.open_image(source, storage_options=options.pop("source_options", None)).prep.normalize(sigma=1)
    return image.prep.to_ome_zarr(target, scale_factors=(2,), chunks={"y": 32, "x": 32}, **options)


@pytest.fixture(scope="module")
def wanted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What a local folder holds, plain and in shards: everything else must hold the same, to the byte."""
    folder = tmp_path_factory.mktemp("wanted")
    write(source, folder / "plain.zarr")
    write(source, folder / "sharded.zarr", shards=SHARDS)
    return {name: contents(folder / f"{name}.zarr") for name in ("plain", "sharded")}


def contents(url: Any, options: Any = None) -> dict[str, Any]:
    """Return all objects of a store; of JSON what it says, without when and by whom it was written."""
    found = objects(url, options)
    root = json.loads(found["zarr.json"])["attributes"]
    return {**found, "zarr.json": {**root, "xprep": root["xprep"].keys()}}


def test_the_same_bits_in_every_bucket(bucket: Bucket, source: Path, wanted: Any) -> None:
    url, options = f"{bucket.url}/a/plain.zarr", dict(bucket.options)
    report = write(source, url, storage_options=options)
    assert report.url == url
    assert contents(url, options) == wanted["plain"]
    assert xprep.verify(url, storage_options=options).is_whole
    assert write(source, url, storage_options=options, resume=True).units == 0
    with pytest.raises(xprep.StoreExistsError):
        write(source, url, storage_options=options)
    # And from there, in shards, over what was there.
    write(url, f"{bucket.url}/a/b.zarr", source_options=options, storage_options=options)
    write(source, url, storage_options=options, shards=SHARDS, overwrite=True)
    assert contents(url, options) == wanted["sharded"]
    np.testing.assert_array_equal(xprep.open_image(url, level=1, storage_options=options)[:, 3:9, 7], pixels(wanted, 3, 9, 7))
    with xr.open_datatree(url, engine="zarr", storage_options=options or None) as tree:  # type: ignore[call-overload]
        assert tree["scale1/image"].dims == ("c", "y", "x")


def pixels(wanted: Any, start: int, stop: int, x: int) -> np.ndarray:
    store = MemoryStore()
    place = open_store(store, mode="r+")
    place.set_many({name: data for name, data in wanted["plain"].items() if isinstance(data, bytes)})
    return np.asarray(zarr.open_array(store, path="scale1/image", mode="r")[:, start:stop, x])


def test_obstore_gives_the_same_bits_as_fsspec(bucket: Bucket, source: Path, wanted: Any) -> None:
    if bucket.obstore is None:
        pytest.skip("obstore's interface to Google (XML) is none that fake-gcs-server takes writes by, or it is not installed")
    store = ObjectStore(bucket.obstore("o/plain.zarr"))
    report = write(source, store, shards=SHARDS)
    assert report.url == f"{bucket.url}/o/plain.zarr"
    assert contents(report.url, dict(bucket.options)) == wanted["sharded"]
    assert xprep.verify(store).is_whole
    np.testing.assert_array_equal(xprep.open_image(store, level=1)[:, 3:9, 7], pixels(wanted, 3, 9, 7))
    assert write(source, bucket.obstore("o/plain.zarr"), shards=SHARDS, resume=True).units == 0
    write(report.url, bucket.obstore("o/other.zarr"), source_options=dict(bucket.options), overwrite=True)
    azure = bucket.url.startswith("az")
    # obstore does not say whether Azure has copied yet.
    with pytest.warns(UserWarning, match="is deleted now, before") if azure else nullcontext():
        write(source, bucket.obstore("o/other.zarr"), shards=SHARDS, overwrite=True)
    assert contents(bucket.obstore("o/other.zarr")) == wanted["sharded"]
    assert not [name for name in open_store(bucket.url, dict(bucket.options)).child("o").list_folder() if name[0] == "."]
    with pytest.raises(xprep.StoreExistsError, match=r"o/plain\.zarr"):
        write(source, store)


def test_lost_and_torn_chunks_through_obstore(rclone: Server, rclone_bucket: Bucket, source: Path) -> None:
    if rclone_bucket.obstore is None:
        pytest.skip(NOT_INSTALLED.format("obstore"))
    assert rclone.folder is not None
    write(source, f"{rclone_bucket.url}/lost.zarr", storage_options=dict(rclone_bucket.options))
    chunk = rclone.folder / rclone_bucket.url.removeprefix("s3://") / "lost.zarr/scale0/image/c/0/1/1"
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + b"\0")
    with pytest.raises(xprep.ChunkError, match=r"'c/0/1/1' of s3://.*lost\.zarr/scale0/image cannot be read.*crc32c"):
        xprep.open_image(rclone_bucket.obstore("lost.zarr")).values  # noqa: B018
    chunk.unlink()
    found = xprep.verify(rclone_bucket.obstore("lost.zarr"))
    assert ["c/0/1/1" in str(one) for one in found.damaged] == [True]


STORES: dict[str, Callable[[Path], Any]] = {
    "MemoryStore": lambda folder: MemoryStore(),
    "LocalStore": lambda folder: LocalStore(folder / "a.zarr"),
    "StorePath": lambda folder: StorePath(LocalStore(folder), "b/a.zarr"),
    "FsspecStore": lambda folder: FsspecStore.from_url(f"memory://{folder}/a.zarr"),
}


def icechunk_session() -> Any:
    icechunk = pytest.importorskip("icechunk", reason=NOT_INSTALLED.format("icechunk (Python 3.12 or newer)"))
    return icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")


def obstore_memory() -> Any:
    return pytest.importorskip("obstore.store", reason=NOT_INSTALLED.format("obstore")).MemoryStore()


@pytest.mark.parametrize("make", [*STORES.values(), lambda folder: obstore_memory()], ids=[*STORES, "obstore"])
def test_store_objects_hold_the_same_bits(make: Any, source: Path, wanted: Any, tmp_path: Path) -> None:
    store = make(tmp_path)
    assert contents(write(source, store) and store) == wanted["plain"]
    again = xprep.open_image(store)
    np.testing.assert_array_equal(again[0], xprep.open_image(source).prep.normalize(sigma=1)[0])
    with pytest.raises(xprep.StoreExistsError):
        write(source, store)
    place = open_store(store)
    with nullcontext() if place.folder or split(place) else pytest.warns(UserWarning, match="is deleted now"):
        write(source, store, shards=SHARDS, overwrite=True)
    assert contents(store) == wanted["sharded"]
    with pytest.raises(ValueError, match="lie in each other"):
        again.prep.to_ome_zarr(store, overwrite=True)
    assert contents(store) == wanted["sharded"], "what was being read is still there"


@emulated
def test_icechunk_keeps_what_is_committed(source: Path, wanted: Any) -> None:
    session = icechunk_session()
    report = write(source, session.store)
    assert report.url.startswith("icechunk://main/")
    with pytest.raises(xprep.StoreFormatError, match="icechunk keeps checksums of its own"):
        xprep.verify(session.store)
    with pytest.raises(xprep.StoreExistsError):
        write(source, session.store)
    session.commit("normalised")
    image = xprep.open_image(session.store, level=1)
    assert image.prep.plan().bytes_read == image.nbytes
    np.testing.assert_array_equal(image[:, 3:9, 7], pixels(wanted, 3, 9, 7))


def test_stores_are_told_apart(source: Path) -> None:
    """Two stores of one name would be one dask graph: the difference of two images would be zero."""
    made = [MemoryStore(), MemoryStore(), *(() if "obstore" not in sys.modules else (obstore_memory(), obstore_memory()))]
    for n, store in enumerate(made):
        xprep.datasets.blobs(channels=1, shape=(32, 32), seed=n).prep.to_ome_zarr(store, scale_factors=())
    names = {open_array(open_store(store).child("scale0/image")).identity for store in made}
    assert len(names) == len(made)
    assert float(abs(xprep.open_image(made[0]) - xprep.open_image(made[1]).data).sum()) > 0


def test_names_of_stores(s3: Server, tmp_path: Path) -> None:
    plain = FsspecStore.from_url("s3://lab/a.zarr", storage_options=s3.storage_options())
    assert name_store(plain) == "s3://lab/a.zarr"
    assert locate("s3a://lab/a.zarr/labels", s3.storage_options()).lies_in(locate(plain))
    assert not locate(MemoryStore()).lies_in(locate(MemoryStore()))
    obstore = pytest.importorskip("obstore.store", reason=NOT_INSTALLED.format("obstore"))
    credentials = {"access_key_id": "K", "secret_access_key": SECRET, "region": "us-east-1"}
    assert name_store(ObjectStore(obstore.S3Store("lab", prefix="a/b/", **credentials))) == "s3://lab/a/b"
    assert name_store(ObjectStore(obstore.LocalStore(tmp_path))) == str(tmp_path)
    azure = obstore.AzureStore("lab", prefix="a", account_name="x", account_key="U0VDUkVU")
    assert name_store(ObjectStore(azure)) == "az://lab/a"
    assert name_store(ObjectStore(obstore.HTTPStore(f"http://ann:{SECRET}@host/a.zarr"))) == "http://host/a.zarr"


def test_objects_that_are_no_place_to_write(source: Path) -> None:
    with pytest.raises(ValueError, match="is for reading only; make it with read_only=False"):
        write(source, MemoryStore(read_only=True))
    with pytest.raises(ValueError, match="storage_options go with a URL"):
        write(source, MemoryStore(), storage_options={"key": "x"})
    with pytest.raises(TypeError, match="a store object of zarr; got a dict"):
        write(source, {})


def test_a_bucket_given_as_an_object_is_never_emptied(moto_bucket: Bucket, source: Path) -> None:
    store = FsspecStore.from_url(moto_bucket.url, storage_options=dict(moto_bucket.options))
    open_store(store, mode="r+").set("theirs/zarr.json", b"{}")
    open_store(store, mode="r+").set("zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(xprep.StoreExistsError, match="a whole bucket"):
        write(source, store, overwrite=True)
    assert open_store(store).get("theirs/zarr.json") == b"{}"


def test_few_requests(tmp_path: Path, source: Path) -> None:
    """A request to a bucket takes 10 to 100 ms: one a chunk to read it, one to write it, and few besides."""
    from moto.server import ThreadedMotoServer

    seen: list[str] = []
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        server._server.app = _Counting(server._server.app, seen)  # type: ignore[union-attr, attr-defined]
        client = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        options = {"key": "k", "secret": SECRET, "client_kwargs": client}
        put(f"{endpoint}/lab")
        seen.clear()
        write(source, "s3://lab/a.zarr", storage_options=options)
        assert len(seen) <= 88, "\n".join(seen)
        seen.clear()
        image = xprep.open_image("s3://lab/a.zarr", storage_options=options)
        assert len(seen) == 8, "\n".join(seen)
        seen.clear()
        image.compute()
        assert len(seen) == 2 * 2 * 2, "one request a chunk"
        assert all(one.startswith("GET ") for one in seen)
    finally:
        server.stop()


class _Counting:
    """A WSGI application that notes what is asked of another."""

    def __init__(self, app: Any, seen: list[str]) -> None:
        self._app, self._seen = app, seen

    def __call__(self, environ: Any, respond: Any) -> Any:
        self._seen.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
        return self._app(environ, respond)


def test_chains_are_opened_where_they_are_asked_for(source: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in source.rglob("*"):
            archive.write(path, path.relative_to(source))
    url = f"zip://::file://{tmp_path}/in.zip"
    with pytest.raises(ValueError, match=r"chained URL.*chained_urls=True"):
        xprep.open_image(url)
    with xprep.set_options(chained_urls=True):
        np.testing.assert_array_equal(xprep.open_image(url), xprep.open_image(source))


@emulated
@pytest.mark.parametrize("name", ["gs_bucket", "az_bucket"])
def test_nothing_is_said_when_python_ends(name: str, request: pytest.FixtureRequest) -> None:
    """adlfs, asynchronous as zarr wants it, ends every program with a traceback."""
    bucket: Bucket = request.getfixturevalue(name)
    program = (
        "import json, sys, xprep\n"
        "url, options = sys.argv[1], json.loads(sys.argv[2])\n"
        "image = xprep.datasets.blobs(channels=1, shape=(32, 32))\n"
        "image.prep.to_ome_zarr(url, storage_options=options)\n"
        "image.prep.to_ome_zarr(url, storage_options=options, overwrite=True)\n"
        "print(xprep.open_image(url, storage_options=options).shape)\n"
    )
    command = [sys.executable, "-c", program, f"{bucket.url}/end.zarr", json.dumps(bucket.options)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert ran.stdout == "(1, 32, 32)\n"
    assert ran.stderr == ""


def test_patterns_in_every_bucket(bucket: Bucket, source: Path) -> None:
    options = dict(bucket.options)
    for name in ("x", "y"):
        image = xprep.open_image(source)
        image.prep.to_ome_zarr(f"{bucket.url}/glob/{name}.zarr", scale_factors=(), storage_options=options)
    recipe = {
        "inputs": f"{bucket.url}/glob/*.zarr",
        "steps": [{"gaussian_filter": {"sigma": 1}}],
        "output": f"{bucket.url}/out",
        "storage_options": options,
    }
    found = xprep.run(recipe, progress=False)
    assert found.ok, found
    protocol = bucket.url.partition("://")[0]
    assert [one.output for one in found.outcomes] == [f"{protocol}://lab/out/{n}.ome.zarr" for n in "xy"] or "lab-" in bucket.url
