"""``xprep compile``: after it, no operation compiles anything on images of the types that were named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import paths

SECOND_PROCESS = """
import warnings
import numpy as np
import xarray as xr
from numba.core import event
from tests.laws.operations import OPERATIONS

compiled = []

class Listener(event.Listener):
    def on_start(self, happening):
        compiled.append(happening.data["dispatcher"].py_func.__name__)

    def on_end(self, happening):
        pass

event.register("numba:compile", Listener())
warnings.simplefilter("ignore")
pixels = np.random.default_rng(0).integers(1, 1000, (3, 40, 56)).astype("uint16")
image = xr.DataArray(pixels, dims=("c", "y", "x"), coords={"c": ["a", "b", "d"], "y": np.arange(40.0), "x": np.arange(56.0)})
count = 0
for operation in OPERATIONS:
    for one in (image, image.chunk(c=1, y=24, x=24)):
        operation.call(one, **operation.example).compute()
        count += 1
print(count, *sorted(set(compiled)))
"""


def run(*command: str) -> str:
    where = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run([sys.executable, *command], cwd=paths.ROOT, env=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_second_process_compiles_nothing() -> None:
    """In the cache that all tests share, so that what is compiled here is compiled once for them all."""
    assert "kept in" in run("-m", "xprep", "compile", "--dtype", "uint16")
    count, *compiled = run("-c", SECOND_PROCESS).split()
    assert int(count) > 20
    assert compiled == []


def test_types_that_no_image_has_are_refused() -> None:
    command = [sys.executable, "-m", "xprep", "compile", "--dtype", "uint16,float"]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--dtype float is none of uint8, uint16, float32" in done.stderr


def test_loops_that_an_image_brings_are_found_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xprep.kernels import compiling

    key = ("types", "target", ("code", "closure"))
    monkeypatch.setattr(compiling, "PACKAGED", tmp_path)
    compiling._KeyedFiles(tmp_path, "kernel").save(key, "loops")
    assert compiling._KeyedFiles(tmp_path / "not" / "there", "kernel").load(key) == "loops"
