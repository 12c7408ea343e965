"""`view` as it is called: what it refuses, what it is in a notebook, what it brings when."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.viewer import client_files

PLANE = xr.DataArray(np.zeros((4, 5), "uint8"), dims=("y", "x"))

BAD: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "no y": (lambda show: show(PLANE.rename(y="row")), ValueError, "row"),
    "another dim": (lambda show: show(PLANE.expand_dims("angle")), ValueError, "angle"),
    "complex": (lambda show: show(PLANE.astype("complex64")), TypeError, "complex64"),
    "no image": (lambda show: show(np.zeros((4, 5))), TypeError, "ndarray"),
    "nothing in it": (lambda show: show(xr.Dataset()), ValueError, "no image"),
    "no pixels": (lambda show: show(PLANE[:0]), ValueError, "y"),
    "labels of floats": (lambda show: show(PLANE, labels={"cells": PLANE + 0.5}), TypeError, "float64"),
    "labels with channels": (lambda show: show(PLANE, labels={"cells": PLANE.expand_dims("c")}), ValueError, "'c'"),
    "labels without a name": (lambda show: show(PLANE, labels=PLANE), TypeError, "labels"),
    "labels of numpy": (lambda show: show(PLANE, labels={"cells": np.zeros((4, 5), int)}), TypeError, "ndarray"),
    "a port of text": (lambda show: show(PLANE, port="80"), TypeError, "port"),
    "a port too high": (lambda show: show(PLANE, port=65536), ValueError, "65536"),
    "a negative port": (lambda show: show(PLANE, port=-1), ValueError, "-1"),
    "no memory": (lambda show: show(PLANE, memory=0), ValueError, "memory"),
    "memory of words": (lambda show: show(PLANE, memory="much"), ValueError, "memory"),
    "a switch": (lambda show: show(PLANE, side_by_side="no"), TypeError, "side_by_side"),
    "options of text": (lambda show: show("x.zarr", storage_options="key=1"), TypeError, "storage_options"),
    "no such store": (lambda show: show("nowhere.zarr"), FileNotFoundError, "nowhere.zarr"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input(what: str, show: Any) -> None:
    call, error, named = BAD[what]
    with pytest.raises(error, match=named):
        call(show)


def test_a_port_in_use(show: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"port {port} cannot be used .*0 for a free one"):
            show(PLANE, port=port)


def test_a_store_that_is_being_written_is_refused(tmp_path: Path, show: Any) -> None:
    url = tmp_path / "a.ome.zarr"
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(url)
    root = url / "zarr.json"
    root.write_text(root.read_text().replace('"finished"', '"writing"'))
    with pytest.raises(xprep.UnfinishedStoreError):
        show(url)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_files, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"the viewer needs neuroglancer.*xprep\[view\]"):
        xprep.view(PLANE, browser=False)


def test_nothing_is_brought_before_it_is_asked_for() -> None:
    program = (
        "import sys, xprep\n"
        "xprep.datasets.blobs(channels=2, shape=(32, 32)).prep.normalize(sigma=1)\n"
        "print([name for name in sys.modules if name in ('http.server', 'webbrowser', 'neuroglancer') "
        "or name.startswith('xprep.viewer.') and name != 'xprep.viewer.showing'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_s_python_is_never_imported(show: Any) -> None:
    show(PLANE)
    assert not [name for name in sys.modules if name == "neuroglancer" or name.startswith("neuroglancer.")]


def test_accessors(show: Any) -> None:
    assert show is not None
    for one in (PLANE, xr.Dataset({"image": PLANE}), xr.DataTree.from_dict({"/a": xr.Dataset({"image": PLANE})})):
        with one.prep.view(browser=False) as page, urlopen(page.url) as answer:
            assert answer.status == 200


def test_a_page_in_a_notebook(show: Any) -> None:
    page = show(PLANE)
    told = page._repr_html_()
    assert f'<iframe src="{page.url}"' in told
    assert f'<a href="{page.url}"' in told
    assert f"ssh -N -L {page.port}:127.0.0.1:{page.port}" in told
    assert page.url in repr(page)
    page.close()
    assert "closed" in repr(page)
    assert page.url not in page._repr_html_()
    with pytest.raises(URLError):
        urlopen(page.url)
    page.close()


def test_a_page_in_a_notebook_of_a_hub(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy passes requests on with its own Host; what comes without the token is refused all the same."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
    page = show(PLANE)
    token = page.url.rstrip("/").rpartition("/")[2]
    assert page.address == f"/user/ann/proxy/{page.port}/{token}/"
    assert page.address in page._repr_html_()
    assert "jupyter-server-proxy" in page._repr_html_()
    from urllib.request import Request

    with urlopen(Request(f"{page.url}page.json", headers={"Host": "hub.lab.example"})) as answer:
        assert json.load(answer)["state"]["layers"]


def test_the_command(tmp_path: Path) -> None:
    """It prints the address on a line of its own, at once, and Ctrl-C ends it."""
    url = tmp_path / "a.ome.zarr"
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(url)
    words = [sys.executable, "-c", "from xprep.cli import main; main()", "view", str(url), "--no-browser", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urlopen(f"{address}page.json") as answer:
            assert [layer["name"] for layer in json.load(answer)["state"]["layers"]] == ["a"]
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(120) == 0
        finally:
            running.kill()  # or this waits for ever
