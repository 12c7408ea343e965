"""Clients in JavaScript read what xprep writes, over HTTP: every level, every pixel.

They are skipped where Node or the packages are missing: ``npm install --no-package-lock`` in ``tests/clients/node``, or
in any folder that XPREP_NODE_MODULES names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clients.server import serve
from tests.clients.stores import ROADS, Road, Stored

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]
HERE = Path(__file__).parent / "node"
PACKAGES = {"zarrita": "zarrita", "ome-zarr.js": "ome-zarr.js", "viv": "@vivjs/loaders", "ngff-zarr": "@fideus-labs/ngff-zarr"}
UNKNOWN = {"viv": ["0.6"], "ngff-zarr": ["0.6"]}  # versions that a client says it does not know


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, beside the packages."""
    modules = Path(os.environ.get("XPREP_NODE_MODULES", HERE)) / "node_modules"
    if shutil.which("node") is None or not modules.exists():
        pytest.skip("Node or its packages are not installed: npm install --no-package-lock in tests/clients/node")
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(modules)
    return Path(shutil.copy(HERE / "read.mjs", folder))


@pytest.fixture(scope="module", params=ROADS, ids=str)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Stored]]:
    road: Road = request.param
    folder = tmp_path_factory.mktemp("served")
    stored = road.write(folder / "image.ome.zarr")
    with serve(folder) as url:
        yield f"{url}/image.ome.zarr", stored


def read(script: Path, client: str, url: str, paths: list[str]) -> Any:
    if not (script.parent / "node_modules" / PACKAGES[client]).exists():
        pytest.skip(f"{PACKAGES[client]} is not installed: npm install --no-package-lock in tests/clients/node")
    done = subprocess.run(
        ["node", script, client, url, *paths], capture_output=True, text=True, timeout=120, check=False, cwd=script.parent
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_levels(found: Any, wanted: tuple[np.ndarray, ...]) -> None:
    assert [level["shape"] for level in found] == [list(level.shape) for level in wanted]
    for have, want in zip(found, wanted, strict=True):
        assert have["digest"] == hashlib.sha256(np.ascontiguousarray(want).tobytes()).hexdigest()


@pytest.mark.parametrize("client", list(PACKAGES))
def test_levels(script: Path, served: tuple[str, Stored], client: str) -> None:
    url, stored = served
    if stored.version in UNKNOWN.get(client, []):
        pytest.skip(f"{PACKAGES[client]} does not know OME-Zarr {stored.version}")
    found = read(script, client, url, [stored.path(n) for n in range(3)])
    assert_levels(found["levels"], stored.levels)
    if client == "viv" and "c" in stored.dims:
        assert found["channels"] == ["DAPI", "CD3", "ä/b"]
    if client == "ome-zarr.js":
        assert found["picture"]["brightest"] > 100, "the picture is not black: the windows of omero fit the pixels"


def test_labels(script: Path, served: tuple[str, Stored]) -> None:
    url, stored = served
    if not stored.labels:
        pytest.skip("there are none in this store")
    found = read(script, "zarrita", f"{url}/labels/cells", [stored.path(n) for n in range(3)])
    assert_levels(found["levels"], stored.labels)
