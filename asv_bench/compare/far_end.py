"""What it takes until work begins, of images that are nowhere and as large as one likes: their chunks are zeros at once.

For each size, in a process of its own: CPU seconds from the call of ``to_ome_zarr`` to the first chunk of the source that is
asked for, how many tasks are then in memory, and by how much the process has grown. 40 channels in chunks of 1024 × 1024:

    python far_end.py --step gaussian_filter
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
from contextlib import suppress
from time import perf_counter, process_time
from typing import Any

SIDES = {0.03: 19_456, 0.3: 61_440, 3: 193_536, 30: 612_352}  # TB of uint16, 40 channels


class Found(Exception):
    """The first chunk was asked for."""


class Nowhere:
    """An image of zeros that ends the run when it is read."""

    cost, chunks = "local", (1, 1024, 1024)

    def __init__(self, side: int) -> None:
        import numpy as np

        self.shape, self.dtype = (40, side, side), np.dtype("uint16")

    def read(self, region: Any) -> Any:
        raise Found


def measure(side: int, step: str) -> str:
    import psutil
    import xarray as xr
    from dask.callbacks import Callback

    import xprep
    from xprep.engine.machine.memory import peak_memory
    from xprep.engine.sources.readable import read_array

    image = xr.DataArray(read_array(Nowhere(side), token=f"nowhere-{side}"), dims=("c", "y", "x"))
    xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.normalize(sigma=1)  # imports and compiles
    tasks: list[int] = []
    gc.collect()
    before, start, wall = psutil.Process().memory_info().rss, process_time(), perf_counter()
    made = image if step == "none" else getattr(image.prep, step)(*((2,) if step == "gaussian_filter" else ()))
    with tempfile.TemporaryDirectory() as folder, Callback(start=lambda graph: tasks.append(len(graph))), suppress(Found):
        made.prep.to_ome_zarr(f"{folder}/a.zarr", progress=False)
    seconds, waited = process_time() - start, perf_counter() - wall
    return f"{max(tasks, default=0):,} tasks, {seconds:.1f} CPU s, {waited:.1f} s, {(peak_memory() - before) / 2**20:.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", default="gaussian_filter", choices=["none", "gaussian_filter", "normalize"])
    parser.add_argument("--side", type=int)
    given = parser.parse_args()
    if given.side:
        sys.stdout.write(measure(given.side, given.step) + "\n")
        return
    for size, side in SIDES.items():
        command = [sys.executable, __file__, "--step", given.step, "--side", str(side)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        sys.stdout.write(f"{size:5} TB  {found}")


if __name__ == "__main__":
    main()
