"""Runs that are killed: programs in processes of their own, and stores compared byte for byte."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests import paths
from xprep.io.store.places import open_store

SIZES = {"tile_bytes": 2**15}
STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

PROGRAM = """
import json, os, sys, time, xprep
import xprep.io.arrays.writes as writes
source, target, options, how, gate = (json.loads(text) for text in sys.argv[1:6])
write, begun = writes.ZarrWritable.write, []
def gated(self, region, block):
    begun.append(region)
    while gate and len(begun) > 4 and not os.path.exists(gate):
        time.sleep(0.01)
    return write(self, region, block)
writes.ZarrWritable.write = gated
xprep.set_options(tile_bytes=2**15)
image = xprep.open_image(source, storage_options=options).prep.normalize(sigma=1)
print("ready", flush=True)
image.prep.to_ome_zarr(target, scale_factors=(2, 2), chunks={"y": 32, "x": 32}, storage_options=options, **how)
print("finished", flush=True)
"""

# The command, whose writes wait for a file after the first two: it is still at it when an interrupt comes.
GATED_COMMAND = """
import os, sys, time
import xprep.io.arrays.writes as writes
write, begun, gate = writes.ZarrWritable.write, [], sys.argv.pop(1)
def gated(*arguments):
    begun.append(1)
    while len(begun) > 2 and not os.path.exists(gate):
        time.sleep(0.01)
    return write(*arguments)
writes.ZarrWritable.write = gated
from xprep.cli import main
main()
"""


def begin_command(gate: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start the command; after two writes it waits until there is a file ``gate``."""
    command = [sys.executable, "-c", GATED_COMMAND, str(gate), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(process: subprocess.Popen[str], gate: Path) -> tuple[str, str]:
    """Send Ctrl-C to the command, let it go on once it says that it heard, and return what it said."""
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    heard = ""
    while "in flight" not in heard and (line := process.stderr.readline()):
        heard += line
    gate.touch()
    out, err = process.communicate(timeout=300)
    return out, heard + err


def start(
    source: str, target: str, options: dict[str, Any] | None = None, gate: Path | None = None, **how: Any
) -> subprocess.Popen[str]:
    """Start writing ``target`` in a process of its own; it goes on after its first objects once there is a file ``gate``."""
    import json

    arguments = [json.dumps(value) for value in (source, target, options, how, gate and str(gate))]
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


def wait_for(condition: Any, seconds: float = 300) -> None:
    """Wait until ``condition()``; so long only for what never comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
