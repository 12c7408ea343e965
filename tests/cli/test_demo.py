"""`xprep demo`: no argument, no network, the whole job on the bundled real image."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

import xprep
from xprep.cli.demo import run_demo

NO_NETWORK = (
    "import socket\n"
    "def refuse(*args, **more): raise AssertionError('the demo opens no connection')\n"
    "socket.socket.connect = refuse\n"
)


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"{NO_NETWORK}from xprep.cli import main; main()"
    words = [sys.executable, "-c", code, "demo", *arguments]
    paths = os.pathsep.join(filter(None, [str(Path(xprep.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_the_demo_does_the_whole_job_and_says_where_it_is(tmp_path: Path) -> None:
    said = demo(tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    result = tmp_path / "xprep-demo" / "cells_normalized.ome.zarr"
    image = xprep.open_image(result)
    np.testing.assert_array_equal(image.values, xprep.datasets.cells().prep.normalize(p_sum=75).values)
    assert len(xprep.open_tree(result).children) == 3
    assert (tmp_path / "xprep-demo" / "before_after.png").read_bytes().startswith(b"\x89PNG")
    for text in (str(result), "before_after.png", "xprep info", "napari", "pass 1", "peak memory"):
        assert text in said.stdout
    again = demo(tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    left = sorted(path.name for path in (tmp_path / "xprep-demo").iterdir())
    assert left == ["before_after.png", "cells.ome.zarr", "cells_normalized.ome.zarr"]


def test_no_bar_is_drawn_over_what_was_said(tmp_path: Path) -> None:
    """On a terminal, a bar that is still alive moves the cursor up and clears the lines that were printed since."""
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=60, highlight=False, markup=False)
    run_demo(tmp_path, console, console)
    drawn = terminal.getvalue()
    assert "\x1b[2K" in drawn
    assert "\x1b[2K" not in drawn[drawn.rindex("wrote ") :]


def test_the_demo_deletes_nobody_elses_files(tmp_path: Path) -> None:
    (tmp_path / "cells.ome.zarr").mkdir()
    (tmp_path / "cells.ome.zarr" / "thesis.txt").write_text("mine")
    said = demo(tmp_path, ".")
    assert said.returncode == 2
    assert "never deletes" in said.stderr
    assert (tmp_path / "cells.ome.zarr" / "thesis.txt").read_text() == "mine"
