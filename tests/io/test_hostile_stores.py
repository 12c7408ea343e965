"""Hostile and strange stores × what looks at stores: each ends soon, in little memory, with a result or a refusal.

The table is in `hostile_stores`; one process goes over it, as memory is the process's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import xprep
from tests.helpers.hostile_stores import HOSTILE, HOSTILE_04, MARKS, Change
from xprep.cli.app import app

# Of processor time, which other work on the machine does not lengthen much; most of them take 5 ms.
SECONDS, MEBIBYTES = 2.0, 100
TABLES = {"0.5": HOSTILE, "0.4": HOSTILE_04}
ROWS = [(version, name, change) for version, table in TABLES.items() for name, change in table.items()]

PROGRAM = """
import resource, sys, time, warnings
warnings.simplefilter("ignore")
import xprep
from xprep.images.checking.info import describe_store
actions = [xprep.open_image, xprep.open_tree, describe_store, xprep.validate, xprep.verify]
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
first, *urls = sys.argv[1:]
for action in actions:
    action(first)
for url in urls:
    for action in actions:
        before, begun = peak(), time.process_time()
        try:
            action(url)
            said = "a result"
        except (xprep.StoreFormatError, xprep.ChunkError, xprep.UnfinishedStoreError) as error:
            text = str(error)
            said = "refused" if text and len(text) < 2000 else f"refused in {len(text)} letters"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:200]
        print(f"{url}\\t{action.__name__}\\t{time.process_time() - begun:.2f}\\t{peak() - before}\\t{ascii(said)}")
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    pixels = np.arange(256, dtype="u1").reshape(16, 16)
    image = xr.DataArray(pixels, dims=("y", "x"), coords={"y": np.arange(16.0), "x": np.arange(16.0)})
    for version in ("0.4", "0.5"):
        image.prep.to_ome_zarr(folder / version, scale_factors=(), version=version)
    return folder


def broken(whole: Path, version: str, change: Change, at: Path) -> Path:
    """Return a copy of a store, changed."""
    for source in (whole / version).rglob("*"):
        if source.is_file():
            copy = at / source.relative_to(whole / version)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    change(at)
    return at


def test_each_ends_soon_and_small(whole: Path, tmp_path: Path) -> None:
    urls = [broken(whole, version, change, tmp_path / f"{i}/a.zarr") for i, (version, _, change) in enumerate(ROWS)]
    command = [sys.executable, "-c", PROGRAM, str(whole / "0.5"), *map(str, urls)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert len(lines) == 5 * len(ROWS), ran.stderr[-2000:]
    wrong = []
    for url, action, seconds, grown, said in lines:
        if float(seconds) > SECONDS or int(grown) > MEBIBYTES or said not in ("'a result'", "'refused'"):
            wrong.append((ROWS[int(Path(url).parent.name)][1], action, seconds, grown, said))
    assert wrong == []


TALKING = [(version, name, change) for version, name, change in ROWS if "talk" in name]


@pytest.mark.parametrize(("version", "change"), [(v, c) for v, _, c in TALKING], ids=[name for _, name, _ in TALKING])
def test_what_is_shown_holds_no_commands_of_a_terminal(whole: Path, tmp_path: Path, version: str, change: Change) -> None:
    url = broken(whole, version, change, tmp_path / "a.zarr")
    for how in (["info"], ["validate"], ["validate", "--json"], ["plan"], ["verify"]):
        ran = CliRunner().invoke(app, [how[0], str(url), *how[1:]])
        shown = ran.stdout + ran.stderr
        assert shown, how
        raw = {letter for letter in shown if not letter.isprintable()} - {"\n"}
        assert not raw & set(MARKS), (how, raw)
    text = ""
    try:
        xprep.open_image(url)
    except xprep.StoreFormatError as error:
        text = str(error)
    assert not {letter for letter in text if not letter.isprintable()} & set(MARKS)
