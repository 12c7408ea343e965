"""Sources that are changed while they are read, or between a run and the one that goes on: never a store of two sources."""

from __future__ import annotations

import functools
import http.server
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import fsspec
import numpy as np
import pytest
import xarray as xr
from zarr.core.sync import sync
from zarr.storage import ZipStore

import xprep
from tests.helpers.crashes import objects
from tests.helpers.servers import Server
from xprep.engine.sources.origins import origins_of
from xprep.errors import SourceChangedError
from xprep.images.writing import jobs
from xprep.images.writing.source_watch import SourceWatch
from xprep.io.arrays.source_sums import GROUPS, SourceSums, add_up
from xprep.io.store.places import Place, open_store

CHUNKS = {"t": 1, "y": 32, "x": 32}
LAYOUTS: dict[str, dict[str, Any]] = {
    "chunks": {},
    "shards": {"shards": {"y": 64, "x": 64}},
    "0.4 flat": {"version": "0.4", "layout": "flat"},
}


@pytest.fixture(autouse=True)
def _small_tiles() -> Iterator[None]:
    with xprep.set_options(tile_bytes=2**14, intermediates="recompute", progress="off", timestamps=False):
        yield


def make(url: Any, options: dict[str, Any] | None = None, **how: Any) -> None:
    image = xprep.datasets.blobs(channels=2, shape=(128, 128)).expand_dims(t=3)
    image.prep.to_ome_zarr(url, chunks=CHUNKS, scale_factors=(), storage_options=options, **how)


def job(source: Any, options: dict[str, Any] | None = None) -> xr.DataArray:
    return xprep.open_image(source, storage_options=options).isel(t=slice(0, 2)).prep.normalize(sigma=1)


def write(image: xr.DataArray, url: Any, **how: Any) -> Any:
    return image.prep.to_ome_zarr(url, chunks=CHUNKS, scale_factors=(2,), **how)


class Interrupt(Exception):
    """Ends a run."""


class At:
    """Does something once, when some tasks of the writing are done."""

    def __init__(self, tasks: int, what: Callable[[], Any]) -> None:
        self.left, self.what = tasks, what

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.left -= steps
        if self.left <= 0 < self.left + steps:
            self.what()

    def finished(self, stage: str) -> None: ...


def stop() -> None:
    raise Interrupt


def chunk(place: Place, last: bool = True, t: int = 1) -> str:
    """Return a stored object of time ``t``."""
    lead = "scale0/image/c/" if place.exists("scale0/image/zarr.json") else "0/"
    names = sorted(name for name in place.list_names() if name.startswith(f"{lead}{t}/"))
    return names[-1 if last else 0]


def other(name: str) -> str:
    """Return the same unit of the other channel: what a chunk is replaced by can be read."""
    parts = name.split("/")
    return "/".join([*parts[:-3], str(1 - int(parts[-3])), *parts[-2:]])


# Each: what is done to an object of a folder on this machine.
def in_place(path: Path) -> None:
    path.write_bytes(Path(other(str(path))).read_bytes())


def renamed(path: Path) -> None:
    path.with_name("new").write_bytes(Path(other(str(path))).read_bytes())
    path.with_name("new").replace(path)


def time_set_back(path: Path) -> None:
    """Written in the same size, and its date set back: only its inode knows."""
    stamp = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def renamed_and_time_set_back(path: Path) -> None:
    stamp = path.stat()
    path.with_name("new").write_bytes(path.read_bytes())
    path.with_name("new").replace(path)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def removed(path: Path) -> None:
    path.unlink()


CHANGES = [in_place, renamed, removed]
FLEETING = [time_set_back, renamed_and_time_set_back]  # seen while one run lasts
OTHERS = [(in_place, "shards"), (renamed, "0.4 flat")]


@pytest.mark.parametrize(
    ("change", "layout"), [*((one, "chunks") for one in CHANGES + FLEETING), *OTHERS, (time_set_back, "shards")]
)
def test_changed_while_it_is_read(tmp_path: Path, change: Any, layout: str) -> None:
    """The chunk was read, or will be: nobody knows. The store stays unfinished, and no run goes on with it; it is made anew."""
    source, url = tmp_path / "s.zarr", tmp_path / "o.zarr"
    make(source, **LAYOUTS[layout])
    name = chunk(open_store(source))
    # Removed, it may be missed first: that is an error of its own.
    with pytest.raises(OSError, match=name.removeprefix("scale0/image/").removeprefix("0/")) as caught:
        write(job(source), url, progress=At(60, lambda: change(source / name)))
    assert isinstance(caught.value, SourceChangedError) or change is removed
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(url)
    if isinstance(caught.value, SourceChangedError):
        assert "resume=True" not in f"{caught.value} {caught.value.__notes__}"
        with pytest.raises(SourceChangedError, match="overwrite=True"):
            write(job(source), url, resume=True)
    if change is not renamed:
        return
    write(job(source), url, overwrite=True, resume=True)
    write(job(source), tmp_path / "whole.zarr")
    assert objects(url) == objects(tmp_path / "whole.zarr")


@pytest.mark.parametrize(("change", "layout"), [*((one, "chunks") for one in CHANGES), *OTHERS])
def test_changed_before_it_is_resumed(tmp_path: Path, change: Any, layout: str) -> None:
    source, url = tmp_path / "s.zarr", tmp_path / "o.zarr"
    make(source, **LAYOUTS[layout])
    name = chunk(open_store(source), last=False)
    with pytest.raises(Interrupt):
        write(job(source), url, progress=At(60, stop))
    change(source / name)
    for _ in range(2):
        with pytest.raises(SourceChangedError, match=name) as caught:
            write(job(source), url, resume=True)
        assert "overwrite=True" in str(caught.value)
        assert "resume=True" not in str(caught.value)


def test_a_chunk_that_could_not_be_read_may_be_restored(tmp_path: Path) -> None:
    """As long as nothing was made of the source, it need not be what it was."""
    source, url = tmp_path / "s.zarr", tmp_path / "o.zarr"
    make(source)
    path = source / chunk(open_store(source))
    good = path.read_bytes()
    path.write_bytes(good[:9])
    with pytest.raises(xprep.ChunkError, match="c/1/1/3/3"):
        write(job(source), url)
    path.write_bytes(good)
    write(job(source), url, resume=True)
    write(job(source), tmp_path / "whole.zarr")
    assert objects(url) == objects(tmp_path / "whole.zarr")


def appended(source: Path) -> None:
    """A plane more, as a microscope writes it: the array is longer, the objects that were there are not touched."""
    for path in sorted((source / "scale0/image/c/2").rglob("*")):
        if path.is_file():
            new = source / "scale0/image/c/3" / path.relative_to(source / "scale0/image/c/2")
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(path.read_bytes())
    metadata = source / "scale0/image/zarr.json"
    metadata.write_text(metadata.read_text().replace("3,", "4,", 1))


UNREAD = {
    "plane that is not read": lambda source: in_place(source / chunk(open_store(source), t=2)),
    "appended": appended,
    "attributes": lambda source: (source / "zarr.json").write_text((source / "zarr.json").read_text() + " "),
    "other files": lambda source: (source / "scale0/image/notes.txt").write_text("mine"),
}


@pytest.mark.parametrize("change", UNREAD)
def test_what_is_not_read_may_change(tmp_path: Path, change: str) -> None:
    source, url = tmp_path / "s.zarr", tmp_path / "o.zarr"
    make(source)
    write(job(source), tmp_path / "whole.zarr")
    report = write(job(source), url, progress=At(60, lambda: UNREAD[change](source)))
    assert report.source == "watched"
    assert objects(url) == objects(tmp_path / "whole.zarr")


@pytest.mark.parametrize("layout", ["chunks", "shards"])
@pytest.mark.parametrize("when", ["while", "before resume"])
@pytest.mark.parametrize("client", ["s3fs", "obstore"])
def test_in_a_bucket(s3: Server, tmp_path: Path, layout: str, when: str, client: str) -> None:
    """An ETag tells what neither size nor a second's clock does."""
    root, options = s3.new_bucket(), s3.storage_options()
    make(f"{root}/s.zarr", options, **LAYOUTS[layout])
    place = open_store(f"{root}/s.zarr", options, "r+")
    name = chunk(place)

    def change() -> None:
        place.set(name, place.get(other(name)) or b"")

    def opened() -> xr.DataArray:
        if client == "s3fs":
            return job(f"{root}/s.zarr", options)
        pytest.importorskip("obstore", reason="obstore is not installed")
        return job(_obstore_at(s3, root))

    if when == "while":
        with pytest.raises(SourceChangedError, match=name):
            write(opened(), tmp_path / "o.zarr", progress=At(60, change))
        return
    with pytest.raises(Interrupt):
        write(opened(), tmp_path / "o.zarr", progress=At(60, stop))
    change()
    with pytest.raises(SourceChangedError, match=name):
        write(opened(), tmp_path / "o.zarr", resume=True)


def _obstore_at(s3: Server, root: str) -> Any:
    from obstore.store import S3Store

    from tests.helpers.servers import KEY, SECRET

    how = {"endpoint": s3.endpoint, "access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
    return S3Store(root.removeprefix("s3://"), prefix="s.zarr", client_options={"allow_http": True}, **how)


def test_a_finished_store_of_a_source_that_changed(tmp_path: Path) -> None:
    source, url = tmp_path / "s.zarr", tmp_path / "o.zarr"
    make(source)
    write(job(source), url)
    assert write(job(source), url, resume=True).units == 0
    in_place(source / chunk(open_store(source), t=2))  # which was not read
    assert write(job(source), url, resume=True).units == 0
    path = source / chunk(open_store(source))
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChangedError, match="is finished"):
        write(job(source), url, resume=True)
    assert write(job(source), url, resume=True, overwrite=True).units > 0


def test_images_that_share_statistics(tmp_path: Path) -> None:
    """A percentile of all is made of every image: one that changes spoils each."""
    for name in "ab":
        make(tmp_path / f"{name}.zarr")
    both = xr.Dataset({name: xprep.open_image(tmp_path / f"{name}.zarr") for name in "ab"}).prep.normalize(sigma=1)
    name = chunk(open_store(tmp_path / "b.zarr"))
    with pytest.raises(SourceChangedError, match=name):
        both.prep.to_ome_zarr(tmp_path / "o", progress=At(40, lambda: time_set_back(tmp_path / "b.zarr" / name)))
    for name in "ab":
        with pytest.raises(xprep.UnfinishedStoreError):
            xprep.open_image(tmp_path / "o" / name)


def test_a_lazy_writing_takes_the_source_as_it_is_when_it_is_computed(tmp_path: Path) -> None:
    """It begins then, so that all its pixels are of one state."""
    source, url = tmp_path / "s.zarr", tmp_path / "o.zarr"
    make(source)
    lazy = write(job(source), url, compute=False)
    time_set_back(source / chunk(open_store(source)))
    lazy.compute()
    write(job(source), tmp_path / "at_once.zarr")
    np.testing.assert_array_equal(xprep.open_image(url).values, xprep.open_image(tmp_path / "at_once.zarr").values)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_over_http_each_object_is_asked(tmp_path: Path) -> None:
    make(tmp_path / "s.zarr")
    path = tmp_path / "s.zarr" / chunk(open_store(tmp_path / "s.zarr"))
    os.utime(path, ns=(10**18, 10**18))
    with served(tmp_path) as root:
        told = write(job(f"{root}/s.zarr"), tmp_path / "whole.zarr").source
        if "Last-Modified" not in fsspec.filesystem("http").info(f"{root}/s.zarr/zarr.json"):  # older versions of fsspec
            assert told is not None
            assert re.fullmatch(r"not watched: a listing of http://.* tells neither ETags nor times", told)
            return
        assert told == "watched"
        with pytest.raises(SourceChangedError, match="c/1"):
            write(job(f"{root}/s.zarr"), tmp_path / "o.zarr", progress=At(60, lambda: os.utime(path, ns=(1, 2 * 10**18))))


def test_a_zip_is_its_file(tmp_path: Path) -> None:
    make(tmp_path / "s.zarr")
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_STORED) as packed:
        for path in sorted((tmp_path / "s.zarr").rglob("*")):
            packed.write(path, path.relative_to(tmp_path / "s.zarr"))
    store = ZipStore(tmp_path / "s.zip")
    store._sync_open()
    with pytest.raises(SourceChangedError, match=r"s\.zip"):
        write(job(store), tmp_path / "o.zarr", progress=At(60, lambda: os.utime(tmp_path / "s.zip")))


def foreign() -> da.Array:
    return da.random.default_rng(0).integers(0, 99, (1, 64, 64), chunks=32).astype("uint16")


UNWATCHED: dict[str, Callable[[], Any]] = {
    "random": foreign,
    "delayed": lambda: da.map_blocks(lambda block: block + 1, foreign(), dtype="uint16"),
    "stacked": lambda: da.concatenate([foreign(), foreign()]),
}


@pytest.mark.parametrize("kind", UNWATCHED)
def test_what_cannot_be_watched_is_said(tmp_path: Path, kind: str) -> None:
    image = xr.DataArray(UNWATCHED[kind](), dims=("c", "y", "x")).prep.normalize(sigma=1)
    assert "not watched: part of it" in str(image.prep.plan())
    report = image.prep.to_ome_zarr(tmp_path / "o.zarr")
    assert "source: not watched: part of it" in str(report)
    mark = open_store(tmp_path / "o.zarr").read_json("zarr.json")["attributes"]["xprep"]  # type: ignore[index]
    assert mark["source"] == report.source


@pytest.mark.parametrize("data", [np.ones((1, 64, 64), "u2"), da.ones((1, 64, 64), dtype="u2", chunks=32).compute()])
def test_what_is_in_memory_is_said(tmp_path: Path, data: Any) -> None:
    image = xr.DataArray(data, dims=("c", "y", "x"))
    assert image.prep.to_ome_zarr(tmp_path / "a.zarr").source == "in memory"
    assert image.chunk(y=32).prep.gaussian_filter(1).prep.to_ome_zarr(tmp_path / "b.zarr").source == "in memory"


def opened(url: Path) -> xr.DataArray:
    return xprep.open_image(url)


# Each: an image, and along t, c, y, x which shards (of 64 × 64 pixels) of its source it needs.
SELECTIONS: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], list[list[int]]]] = {
    "whole": (lambda i: i, [[0, 1, 2], [0, 1], [0, 1], [0, 1]]),
    "time points": (lambda i: i.isel(t=[0, 2]).prep.gaussian_filter(1), [[0, 2], [0, 1], [0, 1], [0, 1]]),
    "one": (lambda i: i.isel(t=1, c=0).prep.gaussian_filter(1), [[1], [0], [0, 1], [0, 1]]),
    "crop within a chunk": (lambda i: i.isel(y=slice(3, 20)).prep.gaussian_filter(1), [[0, 1, 2], [0, 1], [0], [0, 1]]),
    "crop of chunks": (lambda i: i.isel(x=slice(64, 128)).prep.normalize(), [[0, 1, 2], [0, 1], [0, 1], [1]]),
    "arithmetic": (lambda i: (i.isel(t=0) * 2).prep.project("c"), [[0], [0, 1], [0, 1], [0, 1]]),
    "spilled": (lambda i: i.isel(t=[0, 1]).prep.normalize(intermediates="spill"), [[0, 1], [0, 1], [0, 1], [0, 1]]),
}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_what_is_read_is_what_is_listed(tmp_path: Path, selection: str) -> None:
    make(tmp_path / "s.zarr", **LAYOUTS["shards"])
    how, wanted = SELECTIONS[selection]
    found = origins_of([how(opened(tmp_path / "s.zarr")).data])
    assert [[list(units) for units in one.units] for one in found.contents] == [wanted]
    assert not found.unwatched
    sums = [add_up(one) for one in found.contents]
    assert [one.count for one in sums if isinstance(one, SourceSums)] == [int(np.prod([len(units) for units in wanted]))]


def test_a_sum_does_not_depend_on_order_nor_grow(tmp_path: Path, s3: Server) -> None:
    """On a disk and in a bucket the same objects are counted; of any number, a sum has as many groups."""
    make(tmp_path / "s.zarr")
    root, options = s3.new_bucket(), s3.storage_options()
    target = open_store(f"{root}/s.zarr", options, "r+")
    target.set_many({name: (tmp_path / "s.zarr" / name).read_bytes() for name in open_store(tmp_path / "s.zarr").list_names()})
    here, there = (
        add_up(origins_of([xprep.open_image(url, storage_options=how).data]).contents[0])
        for url, how in ((tmp_path / "s.zarr", None), (f"{root}/s.zarr", options))
    )
    assert isinstance(here, SourceSums)
    assert isinstance(there, SourceSums)
    assert here.count == there.count == 96
    np.testing.assert_array_equal(here.names, there.names)
    assert len(here.lasting) == GROUPS
    kept = SourceSums.from_json(there.to_json())
    np.testing.assert_array_equal(kept.lasting, there.lasting)
    sync(target.store.delete(target.key(chunk(target))))
    after = add_up(origins_of([xprep.open_image(f"{root}/s.zarr", storage_options=options).data]).contents[0])
    assert isinstance(after, SourceSums)
    assert after.count == 95


def test_the_note_of_a_source_is_written_before_its_folder_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread writes it; that of a small image was at it when the run deleted the folder, and the run failed."""
    make(tmp_path / "a.zarr")
    order, checking, finishing = [], threading.Event(), threading.Event()
    save, check, finish = SourceWatch._save, SourceWatch.check, jobs.finish_image

    def slow(watch: Any, *arguments: Any) -> None:
        checking.wait(60)
        finishing.wait(0.5)  # where nobody waits for the note, the store is finished meanwhile
        save(watch, *arguments)
        order.append("note")

    def checked(watch: Any, *arguments: Any) -> None:
        checking.set()
        check(watch, *arguments)

    def noted(store: Any, *arguments: Any) -> None:
        order.append("finish")
        finishing.set()
        finish(store, *arguments)

    monkeypatch.setattr(SourceWatch, "_save", slow)
    monkeypatch.setattr(SourceWatch, "check", checked)
    monkeypatch.setattr(jobs, "finish_image", noted)
    write(xprep.open_image(tmp_path / "a.zarr"), tmp_path / "b.zarr")
    assert order == ["note", "finish"]
