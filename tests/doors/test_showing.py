"""What results look like as a cell's last line and in a terminal, and what the commands say of themselves."""

from __future__ import annotations

import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import xprep
from xprep.cli.examples import EXAMPLES

LONGEST = 200  # characters of a line: a few fields, and a path
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One of everything that xprep gives back and that is neither an image nor a Dataset."""
    folder = tmp_path_factory.mktemp("shown")
    image = xprep.datasets.blobs(channels=9, shape=(64, 64)).chunk(y=32)
    report = image.prep.to_ome_zarr(folder / "in.zarr", scale_factors=(2,), progress=False)
    recipe = {"inputs": f"{folder}/in.zarr", "steps": ["normalize"], "output": f"{folder}/out"}
    batch = xprep.run(recipe, progress=False)
    whole = xprep.verify(folder / "in.zarr")
    next(path for path in (folder / "in.zarr" / "scale0" / "image" / "c").rglob("*") if path.is_file()).unlink()
    found = xprep.validate(folder / "in.zarr")
    broken = xprep.verify(folder / "in.zarr")
    tree = xr.DataTree.from_dict({"a": image.to_dataset(name="image"), "b": image[:2].to_dataset(name="image")})
    return {
        "report": report, "batch": batch, "outcome": batch.outcomes[0], "status": xprep.status(recipe)[0],
        "whole": whole, "broken": broken, "damage": broken.damaged[0], "validation": found, "finding": found.findings[0],
        "plan": image.prep.normalize().prep.plan(), "image": image.prep, "dataset": image.to_dataset(name=HOSTILE).prep,
        "tree": tree.prep, "rois": xprep.RoiTable.from_labels(image.isel(c=0).astype("u4").compute() // 200),
        "nothing": xr.Dataset().prep,
    }  # fmt: skip


NAMES = ["report", "batch", "outcome", "status", "whole", "broken", "damage", "validation", "finding"]
PICTURED = ["report", "batch", "validation", "plan", "image", "dataset", "tree", "rois", "nothing"]


@pytest.mark.parametrize("name", sorted({*NAMES, *PICTURED}))
def test_a_result_is_a_few_short_lines(results: dict[str, Any], name: str) -> None:
    one = results[name]
    assert repr(one) == str(one)
    assert not repr(one).startswith(f"{type(one).__name__}(")
    assert max(map(len, repr(one).splitlines())) <= LONGEST
    assert len(repr(one).splitlines()) <= 14


@pytest.mark.parametrize("name", PICTURED)
def test_a_notebook_gets_a_table(results: dict[str, Any], name: str) -> None:
    html = results[name]._repr_html_()
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert parser.tables >= 1
    assert "<script" not in html


class Balanced(HTMLParser):
    """Which elements are open, and how many tables there were."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tables += tag == "table"
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_an_image_says_what_a_person_asks(results: dict[str, Any]) -> None:
    assert repr(results["image"]).splitlines() == [
        "<xprep: blobs (c 9, y 64, x 64) uint16",
        "  chunks    c 9, y 32, x 64",
        "  spacing   y 0.5 micrometer, x 0.5 micrometer",
        "  channels  " + ", ".join(f"marker {i}" for i in range(1, 9)) + ", … (9)",
        "  a pass    reads 72.0 KiB>",
    ]
    assert repr(results["tree"]).count("<xprep: ") == 2


def test_a_report_says_its_notes_in_both_forms(results: dict[str, Any]) -> None:
    noted = replace(results["report"], notes=("channel 'CD3' is empty",), source="not watched: a stream")
    assert repr(noted).splitlines()[-2:] == ["source: not watched: a stream", "note: channel 'CD3' is empty"]
    assert "channel &#x27;CD3&#x27; is empty" in noted._repr_html_()
    assert "not watched: a stream" in noted._repr_html_()


@pytest.fixture(scope="module")
def command() -> Any:
    """The command, as click has it."""
    typer = pytest.importorskip("typer", reason="the extra 'cli' is not installed")
    from xprep.cli.app import app

    return typer.main.get_command(app)


def test_every_command_has_an_example(command: Any) -> None:
    assert set(command.commands) == set(EXAMPLES)


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines])
def test_an_example_is_in_the_help_and_is_understood(
    command: Any, name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").touch()
    words = shlex.split(line)
    assert words[:2] == ["xprep", name]
    assert line in command.commands[name].epilog
    command.commands[name].make_context(name, words[2:])  # refuses options and values that there are not


def test_the_version_is_said_alone(command: Any) -> None:
    from typer.testing import CliRunner

    from xprep.cli.app import app

    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"xprep {xprep.__version__}\n")
