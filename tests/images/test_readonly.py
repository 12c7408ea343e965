"""Targets that cannot be written to: said before a pixel is read, with the way out, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from zarr.storage import LocalStore, MemoryStore

import xprep
from tests.helpers.faulty import FaultProxy, Rule
from tests.helpers.servers import Server
from tests.helpers.sources import CountingSource
from xprep.engine.sources.readable import read_array

PIXELS = np.random.default_rng(0).integers(1, 4000, (1, 64, 64), dtype="u2")


def watched() -> tuple[xr.DataArray, CountingSource]:
    """A job that reads its image twice, and what counts how often."""
    source = CountingSource(PIXELS, (1, 16, 16))
    image = xr.DataArray(read_array(source, token="watched"), dims=("c", "y", "x"))
    return image.prep.normalize(sigma=1), source


def refused(url: Any, **how: Any) -> str:
    """Return what is said of ``url``; nothing was computed."""
    image, source = watched()
    with pytest.raises((OSError, ValueError)) as caught:
        image.prep.to_ome_zarr(url, fingerprint="one", progress=False, **how)
    assert source.total == 0
    return " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


# The rest runs in a namespace of its own, where mounts are nobody else's; this file is also the program there.
PROGRAM = "import sys; sys.path.insert(0, '.'); from tests.images.test_readonly import in_namespace as run; run(*sys.argv[1:])"


def in_namespace(folder: str, kind: str) -> None:
    """Make ``folder`` read-only in the way ``kind``, try to write, overwrite and resume there, print what was said."""
    if kind == "bind":
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    else:  # another user's folder: root would be let in
        xprep.datasets.blobs(channels=1, shape=(16, 16)).prep.normalize().compute()  # what is imported and compiled is root's
        os.chmod(folder, 0o755)
        os.setgid(65534)
        os.setuid(65534)
    tries: dict[str, dict[str, Any]] = {
        "new.zarr": {}, "deep/er/new.zarr": {}, "old.zarr": {"overwrite": True}, "begun.zarr": {"resume": True},
    }  # fmt: skip
    before = listing(folder)
    with dask.config.set(scheduler="sync"):
        said = {name: refused(f"{folder}/{name}", **how) for name, how in tries.items()}
    json.dump({"said": said, "same": listing(folder) == before}, sys.stdout)


def listing(folder: str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(Path(folder).rglob("*"))}


def begin(folder: Path) -> None:
    """A finished store, and one that was begun."""
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(folder / "old.zarr")
    watched()[0].prep.to_ome_zarr(folder / "begun.zarr", fingerprint="one", progress=False)
    root = folder / "begun.zarr/zarr.json"
    root.write_text(root.read_text().replace('"status": "finished"', '"ready": true, "status": "writing"'))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts and other users need root")
@pytest.mark.parametrize("kind", ["bind", "user"])
def test_folders(kind: str, request: pytest.FixtureRequest) -> None:
    folder = Path(tempfile.mkdtemp()) / "target"  # pytest's own folders let no other user in
    request.addfinalizer(lambda: shutil.rmtree(folder.parent))
    folder.parent.chmod(0o755)
    begin(folder)
    alone = [] if kind == "user" else ["unshare", "-m", "--propagation", "private"]
    if alone and subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets no process have mounts of its own")
    ran = subprocess.run(
        [*alone, sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), kind],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["same"]
    for name, text in found["said"].items():
        assert f"{folder}/" in text
        assert name.partition(".")[0].split("/")[0] in text
        assert "no pixel was written" in text
        way = "Have its owner allow it, or give another folder" if kind == "user" else "for reading only; write to another folder"
        assert way in text, (name, text)


@pytest.fixture
def behind(s3: Server) -> Iterator[tuple[FaultProxy, str, dict[str, Any]]]:
    """A bucket behind a proxy, with a finished store in it."""
    bucket, options = s3.new_bucket(), s3.storage_options()
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(f"{bucket}/old.zarr", storage_options=options)
    with FaultProxy(int(s3.endpoint.rpartition(":")[2])) as proxy:
        options = {**options, "client_kwargs": {**options["client_kwargs"], "endpoint_url": proxy.endpoint}}
        yield proxy, bucket, options


def test_a_bucket_that_lets_nothing_be_written(behind: Any, s3: Server) -> None:
    proxy, bucket, options = behind
    proxy.set(Rule("^(PUT|POST|DELETE) ", "403"))
    for how in ({}, {"resume": True}):
        said = refused(f"{bucket}/new.zarr", storage_options=options, **how)
        assert f"cannot write {bucket}/new.zarr" in said
        assert "Are the credentials right, do they allow this" in said
        assert "no pixel was written" in said
    assert [key for key in proxy.log if key.startswith("PUT ") and "/c/" in key] == []
    proxy.set()
    assert xprep.verify(f"{bucket}/old.zarr", storage_options=options).is_whole
    with pytest.raises(FileNotFoundError):
        xprep.open_image(f"{bucket}/new.zarr", storage_options=options)


def test_stores_for_reading_only(tmp_path: Path) -> None:
    for store in (MemoryStore(read_only=True), LocalStore(tmp_path / "a.zarr", read_only=True)):
        for how in ({}, {"overwrite": True}, {"resume": True}):
            said = refused(store, **how)
            assert "is for reading only; make it with read_only=False" in said
    assert "http is for reading only; write to a folder or a bucket" in refused("http://127.0.0.1:9/a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_batch_says_it_for_each_image(behind: Any, tmp_path: Path) -> None:
    proxy, bucket, options = behind
    proxy.set(Rule("^(PUT|POST|DELETE) ", "403"))
    recipe = {
        "inputs": f"{bucket}/old.zarr", "steps": ["normalize"], "output": f"{bucket}/out", "storage_options": options,
    }  # fmt: skip
    (outcome,) = xprep.run(recipe, progress=False).outcomes
    assert (outcome.state, outcome.error) == ("failed", "PermissionError")
    assert f"cannot write {bucket}/out/old.ome.zarr" in outcome.reason
