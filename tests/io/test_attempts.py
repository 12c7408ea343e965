"""What is tried again and what is final; requests that hang; requests of a run that nobody waits for any more."""

from __future__ import annotations

import asyncio
import errno
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.delayed import Delayed
from zarr.core.sync import sync

import xprep
from tests.campaign.faults import behind_proxy
from tests.campaign.lab import CHUNKS, make_source
from tests.helpers.crashes import wait_for
from tests.helpers.faulty import FaultProxy, Rule, impatient
from tests.helpers.servers import SECRET, Server
from xprep.engine.machine.attempts import PAUSES, attempt
from xprep.engine.machine.clients import active_client
from xprep.engine.running.run import run
from xprep.engine.sources.readable import read_array
from xprep.io.store import deadlines
from xprep.io.store.deadlines import WANTED, in_time


class Failing:
    """Fails some times, and then gives 7."""

    def __init__(self, *errors: Exception) -> None:
        self.left, self.calls = list(errors), 0

    def __call__(self, *arguments: Any) -> int:
        self.calls += 1
        if self.left:
            raise self.left.pop(0)
        return 7


def test_what_passes_is_tried_again() -> None:
    work = Failing(ConnectionResetError("by peer"), OSError(errno.ESTALE, "stale"), xprep.ChunkError("a bit was flipped"))
    assert attempt(work) == 7
    assert work.calls == 4


def test_what_does_not_pass_is_told() -> None:
    work = Failing(*(OSError(errno.EIO, str(turn)) for turn in range(9)))
    with pytest.raises(OSError, match=str(len(PAUSES))):
        attempt(work)
    assert work.calls == 1 + len(PAUSES)


def lasting() -> list[Exception]:
    named = xprep.ChunkError("chunk 'c/0'")
    named.errno = errno.ETIMEDOUT
    full = xprep.ScratchFullError("full")
    full.errno = errno.ENOSPC
    kinds = (FileNotFoundError, PermissionError, FileExistsError, TimeoutError, xprep.StoreExistsError, ValueError)
    return [named, full, OSError(errno.ENOSPC, "full"), OSError(errno.EROFS, "read-only"), *(kind("x") for kind in kinds)]


@pytest.mark.parametrize("error", lasting(), ids=lambda error: f"{type(error).__name__}-{getattr(error, 'errno', None)}")
def test_what_lasts_is_told_at_once(error: Exception) -> None:
    work = Failing(error)
    with pytest.raises(type(error)):
        attempt(work)
    assert work.calls == 1


def test_what_took_long_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket's client that failed after ten seconds has tried many times."""
    times = iter((100.0, 110.0))
    monkeypatch.setattr("xprep.engine.machine.attempts.monotonic", lambda: next(times))
    work = Failing(OSError("reset"))
    with pytest.raises(OSError, match="reset"):
        attempt(work)
    assert work.calls == 1


class Flaky:
    """A source whose first reading of every chunk fails, as a network folder's may."""

    def __init__(self, pixels: np.ndarray, folder: Path) -> None:
        self.pixels, self.folder = pixels, folder
        self.shape, self.dtype, self.chunks = pixels.shape, pixels.dtype, (32, 32)

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        try:
            (self.folder / "-".join(str(part.start) for part in region)).touch(exist_ok=False)
        except FileExistsError:
            return self.pixels[region]
        raise OSError("the server was away for a moment")


@pytest.mark.parametrize("engine", ["threads", "cluster"])
def test_a_source_that_fails_once_is_read_again(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if engine == "cluster":
        request.getfixturevalue("on_cluster")
    pixels = np.arange(64.0 * 64).reshape(64, 64)
    (tmp_path / "tried").mkdir()
    source = xr.DataArray(read_array(Flaky(pixels, tmp_path / "tried"), token=engine), dims=("y", "x"))
    source.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), pixels)


# Requests that hang


@pytest.fixture(scope="module")
def bucket(s3: Server) -> Iterator[tuple[FaultProxy, str, dict[str, Any]]]:
    """A bucket behind a proxy, with an image in it."""
    with FaultProxy(int(s3.endpoint.rpartition(":")[2])) as proxy:
        url, direct = s3.new_bucket(), s3.storage_options()
        make_source(f"{url}/source.zarr", direct)
        yield proxy, url, behind_proxy(direct, proxy, quick=False)


@pytest.mark.parametrize("engine", ["threads", "cluster"])
@pytest.mark.parametrize("request_line", [r"GET \S*source\.zarr/scale0/image/c/1/1/0", r"PUT \S*scale0/image/c/1/1/1"])
def test_a_request_that_hangs_for_ever(
    bucket: tuple[FaultProxy, str, dict[str, Any]], engine: str, request_line: str, request: pytest.FixtureRequest
) -> None:
    """It is an error after one deadline: nobody tries it once more, dask least of all (its retries made 200 s of 50)."""
    if engine == "cluster":
        request.getfixturevalue("on_cluster")
    proxy, url, options = bucket
    target = f"{url}/{engine}-{request_line[:3]}.zarr"
    proxy.set(Rule(f"^{request_line}$", "hang:1000"))
    proxy.log.clear()
    try:
        with xprep.set_options(deadline=100, tile_bytes=2**14), impatient(request_line[-7:], 98, active_client()):
            image = xprep.open_image(f"{url}/source.zarr", storage_options=options)
            with pytest.raises(OSError, match=rf"{request_line[-7:]}'.*no answer within 2 s") as caught:
                image.prep.to_ome_zarr(target, scale_factors=(), chunks=CHUNKS, storage_options=options)
    finally:
        proxy.set()
    assert re.search(r"s3://\S+\.zarr/scale0/image", str(caught.value))
    assert SECRET not in f"{caught.value!r}"
    assert sum(re.search(request_line, line) is not None for line in proxy.log) == 1
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(target, storage_options=options)


def test_a_chunk_that_hangs_in_a_codec_of_zarrs_own(bucket: tuple[FaultProxy, str, dict[str, Any]]) -> None:
    """Nor do requests of zarr-python, which decodes what xprep does not, wait for longer."""
    proxy, url, options = bucket
    group = zarr.open_group(f"{url}/foreign.zarr", mode="w", storage_options=options, zarr_format=2)
    how = {"attributes": {"_ARRAY_DIMENSIONS": ["y", "x"]}, "filters": [numcodecs.Delta("<u2")]}
    group.create_array("image", shape=(64, 64), chunks=(32, 32), dtype="uint16", **how)[...] = 1
    image = xprep.open_image(f"{url}/foreign.zarr/image", storage_options=options)
    np.testing.assert_array_equal(image, 1)
    with xprep.set_options(deadline=100):
        image = xprep.open_image(f"{url}/foreign.zarr/image", storage_options=options)
    proxy.set(Rule(r"^GET .*foreign\.zarr/image/1\.0", "hang:1000"))
    try:
        said = r"1\.0.*foreign.zarr/image cannot be read.*no answer within 2 s"
        with impatient("1.0", 98), pytest.raises(xprep.ChunkError, match=said):
            image[40:50, :20].compute()
    finally:
        proxy.set()


def test_a_request_that_nobody_wants_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(deadlines, "LOOK_SECONDS", 0.05)
    ended = list[str]()

    async def hang() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("called off")

    before = WANTED.set(lambda: False)
    try:
        with pytest.raises(TimeoutError, match=r"'c/0/1': the run that it is for was given up"):
            sync(in_time(hang(), "c/0/1", 60))
    finally:
        WANTED.reset(before)
    assert ended == ["called off"]


def test_requests_of_a_run_that_failed_are_not_wanted_on_threads() -> None:
    begun, seen = threading.Event(), list[bool]()

    def fail() -> None:
        assert begun.wait(300)
        raise KeyError("this one")

    def ask() -> None:
        seen.append(WANTED.get()())
        begun.set()
        wait_for(lambda: not WANTED.get()())
        seen.append(False)

    with dask.config.set(num_workers=2), pytest.raises(KeyError, match="this one"):
        run([delayed(fail), delayed(ask)], "test")
    assert seen == [True, False]


def delayed(function: Any) -> Delayed:
    return dask.delayed(function, pure=False)()


BEGUN, SEEN = threading.Event(), list[bool]()


def fail() -> None:
    assert BEGUN.wait(300)
    raise KeyError("this one")


def ask() -> None:
    SEEN.append(WANTED.get()())
    BEGUN.set()
    wait_for(lambda: not WANTED.get()())
    SEEN.append(False)


def test_requests_of_a_run_that_failed_are_not_wanted_on_a_cluster() -> None:
    """Nor is waited for what else was computed: the error is told when the first is known."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is an extra")
    how = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**how) as cluster, distributed.Client(cluster), pytest.raises(KeyError, match="this one"):
        run([delayed(fail), dask.delayed(attempt, pure=False)(ask)], "test")
    assert SEEN == [True, False]
