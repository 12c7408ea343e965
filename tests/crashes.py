"""Runs that are killed: programs in processes of their own, and stores compared byte for byte."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

from tests import paths
from xprep.io.stores import open_store

SIZES = {"tile_bytes": 2**15}
STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

PROGRAM = """
import json, sys, xprep
source, target, options, how = (json.loads(text) for text in sys.argv[1:5])
xprep.set_options(tile_bytes=2**15)
image = xprep.open_image(source, storage_options=options).prep.normalize(sigma=1)
print("ready", flush=True)
image.prep.to_ome_zarr(target, scale_factors=(2, 2), chunks={"y": 32, "x": 32}, storage_options=options, **how)
print("finished", flush=True)
"""


def start(source: str, target: str, options: dict[str, Any] | None = None, **how: Any) -> subprocess.Popen[str]:
    """Start writing ``target`` in a process of its own."""
    import json

    arguments = [json.dumps(value) for value in (source, target, options, how)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(paths.ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def kill_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kill a process some time after it began to work; whether it was still at it."""
    assert process.stdout is not None
    while "ready" not in (line := process.stdout.readline()):
        assert line, process.communicate()[1]
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    return "finished" not in out


def objects(url: Any, options: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Return everything in a store, without the time stamps of its JSON."""
    place = open_store(url, options)
    names = place.list_names()
    found = dict(zip(names, place.get_many(names), strict=True))
    return {
        name: STAMP.sub(b"", data or b"") if name.endswith((".json", ".zattrs", ".zmetadata")) else data or b""
        for name, data in found.items()
    }


def wait_for(condition: Any, seconds: float = 30) -> None:
    """Wait until ``condition()``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
