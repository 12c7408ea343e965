"""Servers that do not say what is there: 403 for what is not, as S3 answers without the right to list."""

from __future__ import annotations

import functools
import http.server
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner
from zarr.storage import FsspecStore

import xprep
from tests.helpers.servers import KEY, SECRET
from xprep.cli.app import app
from xprep.io.store.places import open_store

obstore = pytest.importorskip("obstore.store", reason="obstore is of the extra 'test'")

DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
IMAGE = xr.DataArray(np.arange(2 * 40 * 50, dtype="u2").reshape(2, 40, 50), dims=("c", "y", "x"))


class Denying(http.server.SimpleHTTPRequestHandler):
    """Gives what is there, in ranges too; refuses what is not, listings, and whatever `private` is part of."""

    protocol_version = "HTTP/1.1"
    private = "\0"

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if self.private in self.path or not path.is_file():
            self._answer(403, DENIED)
            return
        data = path.read_bytes()
        if (asked := self.headers.get("Range")) is None:
            self._answer(200, data)
            return
        first, last = asked.removeprefix("bytes=").split("-")
        start = int(first) if first else len(data) - int(last)
        stop = min(len(data), int(last) + 1) if first and last else len(data)
        self._answer(206, data[start:stop], {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "ETag": '"e"', **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket: stores of every version, a plate, a group of xarray, arrays."""
    root = tmp_path_factory.mktemp("denied")
    labels = {"cells": (IMAGE[0] > 9).astype("u1")}
    named = IMAGE.assign_coords(c=["a", "b"])
    IMAGE.prep.to_ome_zarr(root / "lab/own.zarr", scale_factors=(2,))
    named.prep.to_ome_zarr(root / "lab/labels.zarr", scale_factors=(), labels=labels)
    IMAGE.prep.to_ome_zarr(root / "lab/v04.zarr", version="0.4", layout="flat", scale_factors=())
    named.prep.to_ome_zarr(root / "lab/dual04.zarr", version="0.4", scale_factors=())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's word about consolidated metadata of v3
        for zarr_format in (2, 3):
            made = IMAGE.assign_coords(c=[3, 4]).to_dataset(name="image")
            made.to_zarr(root / f"lab/xarray{zarr_format}.zarr", zarr_format=zarr_format, consolidated=True)
    plate(root / "lab/plate.zarr")
    (root / "lab/empty.zarr").mkdir()
    return root


def plate(root: Path) -> None:
    for well in ("A/1", "A/2"):
        IMAGE.prep.to_ome_zarr(root / well / "0", version="0.4", scale_factors=())
        group(root / well, '{"well":{"images":[{"path":"0"}],"version":"0.4"}}')
    wells = ",".join(f'{{"path":"A/{n}","rowIndex":0,"columnIndex":{n - 1}}}' for n in (1, 2, 3))
    group(root, f'{{"plate":{{"rows":[{{"name":"A"}}],"columns":[],"wells":[{wells}],"version":"0.4"}}}}')


def group(folder: Path, attributes: str) -> None:
    (folder / ".zgroup").write_text('{"zarr_format":2}')
    (folder / ".zattrs").write_text(attributes)


@pytest.fixture(scope="module")
def endpoint(files: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Denying, directory=str(files)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def s3_options(endpoint: str) -> dict[str, Any]:
    return {"key": KEY, "secret": SECRET, "client_kwargs": {"endpoint_url": endpoint}}


def over_obstore(endpoint: str, path: str) -> Any:
    """An S3 store of obstore below ``path``."""
    ways = {"endpoint": endpoint, "access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
    return obstore.S3Store("lab", prefix=path, client_options={"allow_http": True}, virtual_hosted_style_request=False, **ways)


# How a store is reached: what open_image takes, by keyword.
WAYS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "http": lambda endpoint, path: {"url": f"{endpoint}/lab/{path}"},
    "s3": lambda endpoint, path: {"url": f"s3://lab/{path}", "storage_options": s3_options(endpoint)},
    "obstore": lambda endpoint, path: {"url": over_obstore(endpoint, path)},
    "a store object": lambda endpoint, path: {
        "url": FsspecStore.from_url(f"s3://lab/{path}", storage_options=s3_options(endpoint), read_only=True)
    },
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@every_way
@pytest.mark.parametrize("path", ["own.zarr", "labels.zarr", "v04.zarr", "dual04.zarr", "xarray2.zarr", "xarray3.zarr"])
def test_what_is_there_is_read(way: Any, path: str, endpoint: str, files: Path) -> None:
    opened = xprep.open_image(**way(endpoint, path))
    xr.testing.assert_identical(opened.compute(), xprep.open_image(files / "lab" / path).compute())


@every_way
def test_trees_labels_and_levels(way: Any, endpoint: str) -> None:
    assert list(xprep.open_tree(**way(endpoint, "own.zarr")).children) == ["scale0", "scale1"]
    assert int(xprep.open_image(**way(endpoint, "labels.zarr"), label="cells").sum()) == 40 * 50 - 10
    with pytest.raises(KeyError, match=r"no labels 'cells'; it has \[\]"):
        xprep.open_image(**way(endpoint, "v04.zarr"), label="cells")


@every_way
def test_a_plate(way: Any, endpoint: str) -> None:
    with pytest.warns(xprep.StoreFormatWarning, match="lists 'A/3', where no image is"):
        tree = xprep.open_tree(**way(endpoint, "plate.zarr"))
    assert [one.path for one in tree.subtree if "image" in one.data_vars] == ["/A/1/0/scale0", "/A/2/0/scale0"]


@every_way
@pytest.mark.parametrize("path", ["nothing.zarr", "empty.zarr"])
def test_where_nothing_can_be_read_it_is_a_matter_of_rights(way: Any, path: str, endpoint: str) -> None:
    for opening in (xprep.open_image, xprep.open_tree):
        with pytest.raises(PermissionError, match=r"Are the credentials right.*It may be the URL too"):
            opening(**way(endpoint, path))


@every_way
def test_a_chunk_is_no_metadata(way: Any, endpoint: str, files: Path) -> None:
    """Of a store that was written complete, what is refused is not zeros."""
    opened = xprep.open_image(**way(endpoint, "own.zarr"))
    chunk = next(one for one in (files / "lab/own.zarr/scale0/image/c").rglob("0") if one.is_file())
    held = chunk.rename(chunk.with_name("away"))
    try:
        with pytest.raises(xprep.ChunkError, match="cannot be read"):
            opened.compute()
    finally:
        held.rename(chunk)


@every_way
def test_a_refusal_never_makes_a_place_free(way: Any, endpoint: str) -> None:
    target = way(endpoint, "new.zarr")
    if target["url"].__class__ is FsspecStore:
        target["url"] = FsspecStore.from_url("s3://lab/new.zarr", storage_options=s3_options(endpoint))
    error = ValueError if str(target["url"]).startswith("http") else (PermissionError, OSError)
    for more in ({}, {"overwrite": True}, {"resume": True, "fingerprint": "f"}):
        with pytest.raises(error, match=r"for reading only|403|Forbidden|Access Denied|AccessDenied|denied"):
            IMAGE.prep.to_ome_zarr(**target, **more)


def test_rights_are_asked_of_the_moment(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights that end while a store is read are no sign that labels are not there."""
    place = open_store(f"{endpoint}/lab/own.zarr")
    assert place.get_metadata(["zarr.json", "labels/zarr.json"])[1] is None
    assert place.child("labels").get_metadata(["zarr.json"]) == [None]
    monkeypatch.setattr(Denying, "private", "own.zarr")
    with pytest.raises(PermissionError):
        place.child("labels").get_metadata(["zarr.json"])


def test_the_command(endpoint: str, tmp_path: Path) -> None:
    run = CliRunner().invoke
    kinds = {"own.zarr": "OME-Zarr 0.5 image", "xarray3.zarr": "Zarr group", "plate.zarr": "plate or well of 3 images"}
    for path, kind in kinds.items():
        said = run(app, ["info", f"{endpoint}/lab/{path}"])
        assert said.exit_code == 0
        assert kind in said.output
    assert "not there  A/3" in run(app, ["info", f"{endpoint}/lab/plate.zarr"]).output
    done = xprep.run({
        "inputs": [f"{endpoint}/lab/plate.zarr"], "steps": [{"project": {"dim": "c"}}], "output": str(tmp_path / "{index}.zarr"),
    })  # fmt: skip
    assert "2 written, 1 failed" in str(done)


@every_way
@pytest.mark.parametrize("store", ["own", "v04"])
def test_validating_without_the_right_to_list(endpoint: str, way: Callable[..., Any], store: str) -> None:
    """What is there is asked for by its key; nothing is called lost."""
    found = xprep.validate(**way(endpoint, f"{store}.zarr"))
    assert found.is_valid, found
    assert "lost" not in str(found)
    chunks = [one for one in found.findings if one.what == "chunks"]
    assert [one.state for one in chunks] == ["ok"] * len(chunks), chunks
    assert chunks


@every_way
@pytest.mark.parametrize("store", ["own", "v04"])
def test_a_chunk_that_is_refused_is_not_called_lost(
    endpoint: str, way: Callable[..., Any], store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = xprep.validate(**way(endpoint, f"{store}.zarr"))
    monkeypatch.setattr(Denying, "private", "/c/0/0/0" if store == "own" else "/0/0/0/0")
    found = xprep.validate(**way(endpoint, f"{store}.zarr"))
    assert whole.is_valid
    assert "were lost" not in str(found)
    assert not found.is_valid or "cannot be known" in str(found), found
