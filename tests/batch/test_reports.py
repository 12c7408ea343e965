"""The report of a batch: there before anything is computed, true at every moment, and never a reason to stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import xprep
from tests.helpers.servers import SECRET, Server
from xprep.batch import Outcome
from xprep.cli.app import app
from xprep.io.store.places import open_store


def given(folder: Path, count: int = 3, **more: Any) -> dict[str, Any]:
    """Return a recipe over some small images, made here."""
    for n in range(count):
        image = xprep.datasets.blobs(channels=1, shape=(16, 16), seed=n)
        image.prep.to_ome_zarr(folder / f"in/{n}.zarr", scale_factors=())
    steps = [{"normalize": {"p": 98, "sigma": None}}]
    return {"inputs": [f"{folder}/in/{n}.zarr" for n in range(count)], "steps": steps, "output": f"{folder}/out", **more}


class Listening:
    """Calls ``hear`` after every image, and before its pixels are written."""

    def __init__(self, hear: Callable[[int], None], first: Callable[[], None] = lambda: None) -> None:
        self.hear, self.first = hear, first

    def started(self, stage: str, total: int) -> None:
        self.first()

    def advanced(self, stage: str, steps: int, nbytes: int) -> None: ...

    def finished(self, stage: str) -> None: ...

    def ended(self, outcome: Outcome, number: int, total: int) -> None:
        self.hear(number)


def _file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file" / "r.json"


# Where no report can be written.
NOWHERE: dict[str, Callable[[Path], Any]] = {
    "no folder": lambda folder: folder / "nodir" / "r.json",
    "a folder": lambda folder: folder / "in",
    "a folder, with a slash": lambda folder: f"{folder}/in/",
    "below a file": _file,
    "a name that is too long": lambda folder: folder / ("x" * 300),
    "http": lambda folder: "http://127.0.0.1:9/r.json",
    "no bucket": lambda folder: "s3://",
}


@pytest.mark.parametrize("where", NOWHERE.values(), ids=NOWHERE)
def test_what_cannot_be_written_is_noticed_first(where: Callable[[Path], Any], tmp_path: Path) -> None:
    recipe = given(tmp_path, 1)
    with pytest.raises((OSError, ValueError)):
        xprep.run(recipe, progress=False, report=where(tmp_path))
    assert not (tmp_path / "out").exists()


def test_the_command_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(given(tmp_path, 1)))
    found = CliRunner().invoke(app, ["run", str(path), "--report", str(tmp_path / "nodir/r.json")])
    assert found.exit_code not in (0, None)
    assert "there is no folder" in found.stderr
    assert not (tmp_path / "out").exists()


def test_it_goes_on_where_the_report_cannot_be_written_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    found = xprep.run(given(tmp_path), progress=Listening(lambda _: _block(folder)), report=folder / "r.json")
    assert found.ok
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert "the report could not be written" in str(found)
    assert "the report could not be written" in found.notes[0]


def _block(folder: Path) -> None:
    """Put a file where the folder was, so that it cannot be made again."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.is_file():
        folder.write_text("x")


def test_it_is_true_at_every_moment(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    report = tmp_path / "r.json"

    def look() -> None:
        seen.append(json.loads(report.read_text()))

    found = xprep.run(given(tmp_path), progress=Listening(lambda _: look(), look), report=report)
    assert found.ok
    look()
    *during, last = seen
    for one in during:
        assert one["ok"] is (len(one["outcomes"]) == 3)
        assert one["state"] == ("finished" if one["ok"] else "running")
        assert one["total"] == 3 == len(one["outcomes"]) + len(one["running"]) + len(one["not_begun"])
        assert sum(one["counts"].values()) == 3
    ran = [Path(one["running"][0]["input"]).name for one in during if one["running"]]
    assert list(dict.fromkeys(ran)) == ["0.zarr", "1.zarr", "2.zarr"]
    assert (last["ok"], last["state"], last["counts"]) == (True, "finished", {"written": 3})
    assert last["running"] == last["not_begun"] == []
    assert last == json.loads(found.to_json())


def test_what_it_says(tmp_path: Path) -> None:
    xprep.run(given(tmp_path, store={"overwrite": True}, settings={"history": False}), progress=False, report=tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["version"] == xprep.__version__
    assert found["recipe"]["steps"] == [{"normalize": {"p": 98, "sigma": None}}]
    assert found["recipe"]["store"] == {"overwrite": True}
    assert found["recipe"]["settings"] == {"history": False}
    assert found["process"]["pid"] == os.getpid()
    assert found["started"] <= found["outcomes"][0]["ended"] <= found["as_of"]
    for outcome in found["outcomes"]:
        kept = json.loads((Path(outcome["output"]) / "zarr.json").read_text())["attributes"]["xprep"]["statistics"]
        assert outcome["statistics"] == kept
        assert len(outcome["statistics"]["p"]) == 1


def test_a_batch_that_was_killed(tmp_path: Path) -> None:
    """What lies there says that it is not finished, what is, what ran, and what is left."""
    recipe = given(tmp_path, 4)
    code = f"""if True:
        import os, signal, xprep
        class Killing:
            def started(self, *_): ...
            advanced = finished = started
            def ended(self, outcome, number, total):
                if number == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
        xprep.run({recipe!r}, progress=Killing(), report={str(tmp_path / "r.json")!r})
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["ok"] is False
    assert found["state"] == "running"
    assert found["total"] == 4
    assert found["counts"] == {"written": 2, "not begun": 2}
    assert [Path(one["input"]).name for one in found["not_begun"]] == ["2.zarr", "3.zarr"]
    assert [one.state for one in xprep.status(recipe)] == ["finished", "finished", "not begun", "not begun"]


def test_images_that_share_statistics_run_together(tmp_path: Path) -> None:
    running: list[int] = []
    report = tmp_path / "r.json"

    def look() -> None:
        running.append(len(json.loads(report.read_text())["running"]))

    assert xprep.run(given(tmp_path, statistics="all"), progress=Listening(lambda _: None, look), report=report).ok
    assert set(running) == {3}


def test_in_a_bucket_and_without_secrets(tmp_path: Path, s3: Server) -> None:
    bucket, options = s3.new_bucket(), s3.storage_options()
    xprep.datasets.blobs(channels=1, shape=(16, 16)).prep.to_ome_zarr(f"{bucket}/a.zarr", storage_options=options)
    recipe = {
        "inputs": f"{bucket}/a.zarr", "steps": ["to_isotropic"], "output": f"{bucket}/b.zarr", "storage_options": options,
        "settings": {"scratch_options": {"secret": SECRET}},
    }  # fmt: skip
    found = xprep.run(recipe, progress=False, report=f"{bucket}/r.json")
    assert found.ok
    kept = (open_store(bucket, options).get("r.json") or b"").decode()
    assert json.loads(kept)["ok"] is True
    assert SECRET not in kept
    assert options["key"] not in kept
