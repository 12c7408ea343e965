"""The server of a page: who may ask, what fails where it is seen, what is computed, kept and given up."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.engine.running.regions import UnwantedError, compute_region
from xprep.viewer.blocks import BlockCache

PLANE = xr.DataArray(np.arange(300 * 520, dtype="uint32").reshape(300, 520), dims=("y", "x"))


def ask(url: str, **headers: str) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    try:
        with urlopen(Request(url, headers=headers)) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except HTTPError as error:
        return error.code, error.read().decode()


# What is asked, below the token unless a token is in it; headers; the answer's status.
ASKED: dict[str, tuple[str, dict[str, str], int]] = {
    "the page": ("", {}, 200),
    "the client": ("v/view/", {}, 200),
    "what is shown": ("page.json", {}, 200),
    "a store": ("images/0/zarr.json", {}, 200),
    "a level": ("images/0/0/zarr.json", {}, 200),
    "a chunk": ("images/0/0/c/1/2", {}, 200),
    "another name of this machine": ("page.json", {"Host": "localhost:9999"}, 200),
    "its own origin": ("page.json", {"Origin": "own"}, 200),
    "no token": ("/", {}, 403),
    "a wrong token": ("/0123456789abcdef0123456789abcdef/page.json", {}, 403),
    "a part of the token": ("part", {}, 403),
    "a foreign host": ("page.json", {"Host": "evil.example"}, 403),
    "a foreign host that ends like ours": ("page.json", {"Host": "127.0.0.1.evil.example"}, 403),
    "a broken host": ("page.json", {"Host": "[::1"}, 403),
    "a foreign origin": ("page.json", {"Origin": "http://evil.example"}, 403),
    "a hidden origin": ("page.json", {"Origin": "null"}, 403),
    "a foreign origin at a tile": ("images/0/0/c/0/0", {"Origin": "http://evil.example"}, 403),
    "an image that is not there": ("images/1/zarr.json", {}, 404),
    "a level that is not there": ("images/0/9/zarr.json", {}, 404),
    "a chunk beyond the edge": ("images/0/0/c/2/0", {}, 404),
    "a chunk of another rank": ("images/0/0/c/0/0/0", {}, 404),
    "a negative chunk": ("images/0/0/c/-1/0", {}, 404),
    "a chunk in words": ("images/0/0/c/a/b", {}, 404),
    "a number with a zero before": ("images/0/0/c/00/1", {}, 404),
    "an image in another script": ("images/%D9%A0/zarr.json", {}, 404),
    "a file of this machine": ("v/view/../../../../etc/passwd", {}, 404),
    "a file of the package": ("v/view/..%2f__init__.py", {}, 404),
    "a hidden file": ("v/view/.htaccess", {}, 404),
    "another page of the client": ("v/other/", {}, 404),
    "something else": ("state", {}, 404),
}


@pytest.mark.parametrize("what", ASKED)
def test_who_may_ask(what: str, show: Any) -> None:
    page = show(PLANE)
    path, headers, status = ASKED[what]
    home = urlsplit(page.url)
    headers = {name: f"http://{home.netloc}" if value == "own" else value for name, value in headers.items()}
    url = f"http://{home.netloc}{path}" if path.startswith("/") else page.url + path
    if path == "part":
        url = page.url[:-9] + "/page.json"
    found, text = ask(url, **headers)
    assert found == status, text
    if status == 403:
        token = home.path.strip("/")
        assert token not in text


def test_only_this_machine_is_answered(show: Any) -> None:
    page = show(PLANE)
    assert page._server.server_address[0] == "127.0.0.1"
    assert len(urlsplit(page.url).path.strip("/")) >= 32
    assert show(PLANE).url.rpartition("/")[0].rpartition("/")[2] != page.url.rpartition("/")[0].rpartition("/")[2]


def test_other_methods_are_refused(show: Any) -> None:
    page = show(PLANE)
    connection = http.client.HTTPConnection("127.0.0.1", page.port)
    connection.request("POST", urlsplit(page.url).path, body=b"x")
    assert connection.getresponse().status == 501


def errors_of(page: Any) -> list[str]:
    return [one["text"] for one in json.loads(ask(f"{page.url}status.json")[1])["errors"]]


def test_a_torn_chunk_stands_on_the_page(tmp_path: Path, show: Any) -> None:
    url = tmp_path / "torn.ome.zarr"
    xprep.datasets.blobs(channels=2, shape=(300, 300)).prep.to_ome_zarr(url, scale_factors=(2,), chunks={"y": 256, "x": 256})
    (chunk,) = url.glob("scale0/image/c/1/1/0")
    chunk.write_bytes(chunk.read_bytes()[:-20])
    page = show(url)
    assert errors_of(page) == []
    status, text = ask(f"{page.url}images/0/0/c/1/1/0")
    assert status == 500
    (told,) = errors_of(page)
    assert told == text.strip()
    assert "torn, level 0, c 1, y 256…299, x 0…255" in told
    assert "c/1/1/0" in told.partition(":")[2], "the chunk of the store is named"


def test_limits_that_cannot_be_found_are_said(show: Any) -> None:
    def broken(_block: np.ndarray) -> np.ndarray:
        raise OSError("the disk is gone")

    data = da.zeros((2, 300, 300), chunks=(2, 300, 300), dtype="uint16").map_blocks(broken, dtype="uint16")
    page = show(xr.DataArray(data, dims=("c", "y", "x")))
    (remark,) = page.remarks
    assert "contrast limits are not known" in remark
    assert "the disk is gone" in remark
    assert ask(f"{page.url}images/0/0/c/0/0/0")[0] == 500
    assert "the disk is gone" in errors_of(page)[0]


def counted(shape: tuple[int, ...], chunk: int) -> tuple[xr.DataArray, list[int]]:
    made: list[int] = []

    def count(block: np.ndarray) -> np.ndarray:
        made.append(1)
        return block + 1

    data = da.zeros(shape, chunks=(shape[0], chunk, chunk), dtype="float32")
    data = data.map_blocks(count, dtype="float32", meta=np.empty((0,) * 3, "float32"))
    return xr.DataArray(data, dims=("c", "y", "x")), made


def test_a_tile_is_computed_once_with_all_channels(show: Any, read: Callable[..., np.ndarray]) -> None:
    image, made = counted((5, 512, 512), 256)
    page = show(image)
    made.clear()
    for _ in range(2):
        assert (read(page) == 1).all()
    assert len(made) == 4
    assert page._cache.computed == 4


def test_many_who_ask_at_once_wait_for_the_same() -> None:
    cache, begun, go = BlockCache(2**20), [], threading.Event()

    def make(_wanted: Callable[[], bool]) -> np.ndarray:
        begun.append(1)
        go.wait()
        return np.zeros(4)

    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("a", make, lambda: True))) for _ in range(5)]
    for one in threads:
        one.start()
    go.set()
    for one in threads:
        one.join()
    assert len(found) == 5
    assert len(begun) == 1
    cache.close()


class AtOnce(Executor):
    """Runs what is submitted before anybody can wait for it."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except LookupError as error:
            future.set_exception(error)
        return future


def test_a_block_is_wanted_from_its_beginning() -> None:
    cache, seen = BlockCache(2**20), []
    cache._pool.shutdown()
    cache._pool = AtOnce()  # type: ignore[assignment]

    def make(wanted: Callable[[], bool]) -> np.ndarray:
        seen.append(wanted())
        raise LookupError("far enough")

    with pytest.raises(LookupError):
        cache.get("a", make, lambda: True)
    assert seen == [True]


def test_memory_is_bounded() -> None:
    cache = BlockCache(10_000)
    for n in range(50):
        cache.get(n, lambda _: np.zeros(1000, "uint8"), lambda: True)
        assert cache.nbytes <= 10_000
    before = cache.computed
    cache.get(49, lambda _: np.zeros(1000, "uint8"), lambda: True)
    assert cache.computed == before
    cache.get("large", lambda _: np.zeros(20_000, "uint8"), lambda: True)
    assert cache.nbytes <= 10_000
    cache.close()


class TwoSteps:
    """An array whose second tasks need the first, which waits until it is let go; each is a quarter, so none is fused with it."""

    def __init__(self) -> None:
        self.begun, self.go, self.second = threading.Event(), threading.Event(), []
        empty = np.empty((0, 0), "uint8")
        first = da.zeros((300, 300), chunks=300, dtype="uint8").map_blocks(self._first, dtype="uint8", meta=empty)
        self.array = first.rechunk(150).map_blocks(self._second, dtype="uint8", meta=empty)

    def _first(self, block: np.ndarray) -> np.ndarray:
        self.begun.set()
        assert self.go.wait(120)
        return block

    def _second(self, block: np.ndarray) -> np.ndarray:
        self.second.append(1)
        return block


def test_what_nobody_wants_ends_between_two_tasks() -> None:
    steps, wanted = TwoSteps(), [True]
    failed: list[BaseException] = []

    def compute() -> None:
        try:
            compute_region(steps.array, (slice(0, 300), slice(0, 300)), lambda: bool(wanted))
        except UnwantedError as error:
            failed.append(error)

    thread = threading.Thread(target=compute)
    thread.start()
    assert steps.begun.wait(120)
    wanted.clear()
    steps.go.set()
    thread.join()
    assert len(failed) == 1
    assert steps.second == []


def test_a_closed_connection_gives_its_tile_up(show: Any) -> None:
    page, steps = show(PLANE), TwoSteps()
    object.__setattr__(page._server.stores[0].image.levels[0], "data", steps.array)
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        path = urlsplit(page.url).path
        connection.sendall(f"GET {path}images/0/0/c/1/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert steps.begun.wait(120)
    while page._cache._jobs:
        threading.Event().wait(0.05)
    steps.go.set()
    page.close()  # waits for what is under way
    assert steps.second == []
    assert page._cache.computed == 0
