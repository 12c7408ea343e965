"""Clients in JavaScript read what xprep writes, over HTTP: every level, every pixel.

They are skipped where Node or the packages are missing: ``npm install --no-package-lock`` in ``tests/clients/node``, or
in a folder with a copy of its ``package.json`` that XPREP_NODE_MODULES names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xprep
from tests.clients.packages import HERE, find_modules
from tests.clients.server import serve
from tests.clients.stores import ROADS, Road, Stored

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]
PACKAGES = {"zarrita": "zarrita", "ome-zarr.js": "ome-zarr.js", "viv": "@vivjs/loaders", "ngff-zarr": "@fideus-labs/ngff-zarr"}
UNKNOWN = {"viv": ["0.6"], "ngff-zarr": ["0.6"]}  # versions that a client says it does not know
COLORS = {"c": [(0, 255, 255), (255, 0, 255), (255, 255, 0)], "": [(255, 255, 255)]}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, beside the packages."""
    modules = find_modules()
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(modules)
    return Path(shutil.copy(HERE / "read.mjs", folder))


@dataclass(frozen=True)
class Answers:
    """A store, and what clients read of it."""

    stored: Stored
    image: dict[str, Any]
    labels: dict[str, Any]


@pytest.fixture(scope="module", params=ROADS, ids=str)
def answers(request: pytest.FixtureRequest, script: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    road: Road = request.param
    folder = tmp_path_factory.mktemp("served")
    stored = road.write(folder / "image.ome.zarr")
    paths = [stored.path(n) for n in range(3)]
    with serve(folder) as url:
        image = read(script, f"{url}/image.ome.zarr", paths, list(PACKAGES))
        labels = read(script, f"{url}/image.ome.zarr/labels/cells", paths, ["zarrita", "viv"]) if stored.labels else {}
    return Answers(stored, image, labels)


def read(script: Path, url: str, paths: list[str], clients: list[str]) -> Any:
    job = json.dumps({"url": url, "paths": paths, "clients": clients})
    done = subprocess.run(["node", script, job], capture_output=True, text=True, timeout=600, check=False, cwd=script.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_levels(found: Any, wanted: tuple[np.ndarray, ...]) -> None:
    assert "error" not in found, found["error"]
    assert [level["shape"] for level in found["levels"]] == [list(level.shape) for level in wanted]
    for have, want in zip(found["levels"], wanted, strict=True):
        assert have["digest"] == hashlib.sha256(np.ascontiguousarray(want).tobytes()).hexdigest()


@pytest.mark.parametrize("client", list(PACKAGES))
def test_levels(answers: Answers, client: str) -> None:
    stored, found = answers.stored, answers.image[client]
    if stored.version in UNKNOWN.get(client, []):
        pytest.skip(f"{PACKAGES[client]} does not know OME-Zarr {stored.version}")
    assert_levels(found, stored.levels)
    if client == "viv" and "c" in stored.dims:
        assert found["channels"] == ["DAPI", "CD3", "ä/b"]


def test_a_picture_in_the_colours_and_windows_that_are_stored(answers: Answers) -> None:
    """ome-zarr.js draws the first level by the metadata alone: it is what they say, to a grey value."""
    stored = answers.stored
    if stored.dims not in ("yx", "cyx"):
        pytest.skip("which plane of a stack is drawn is the client's choice")
    picture = answers.image["ome-zarr.js"]["picture"]
    drawn = np.frombuffer(base64.b64decode(picture["rgba"]), np.uint8).reshape(picture["height"], picture["width"], 4)
    planes = stored.levels[0].reshape(-1, *stored.levels[0].shape[-2:]).astype(float)
    windows = [channel["window"] for channel in xprep.open_image(stored.url).attrs["omero"]["channels"]]
    wanted = np.zeros((*planes.shape[1:], 3))
    for plane, window, color in zip(planes, windows, COLORS["c" * ("c" in stored.dims)], strict=True):
        share = ((plane - window["start"]) / (window["end"] - window["start"])).clip(0, 1)
        wanted = np.maximum(wanted, share[..., None] * np.array(color))  # channels are not added in ome-zarr.js
    assert np.abs(drawn[..., :3] - wanted).max() <= 1
    assert drawn[..., :3].max() > 200


@pytest.mark.parametrize("client", ["zarrita", "viv"])
def test_labels(answers: Answers, client: str) -> None:
    stored = answers.stored
    if not stored.labels:
        pytest.skip("there are none in this store")
    if stored.version in UNKNOWN.get(client, []):
        pytest.skip(f"{PACKAGES[client]} does not know OME-Zarr {stored.version}")
    assert_levels(answers.labels[client], stored.labels)
