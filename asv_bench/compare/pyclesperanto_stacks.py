"""pyclesperanto beside xprep, in memory: rescaling and maximum projections of a stack, in interleaved rounds.

An environment with both: pip install "xprep" pyclesperanto, and an OpenCL driver (apt-get install pocl-opencl-icd for CPUs).
pyclesperanto's seconds include copying to the device and back, as every result has to be seen; values are compared, as the
two differ at the rim by decision (the reference blends it with zeros).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import pyclesperanto as cle
import xarray as xr

import xprep

FACTORS = {"half": (1, 0.5, 0.5), "x1.3": (1.3, 1.3, 1.3)}


def jobs(stack: np.ndarray) -> dict[str, tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]]:
    """Return what is timed: by name, with pyclesperanto and with xprep."""
    image = xr.DataArray(stack, dims=("z", "y", "x"))
    found: dict[str, tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]] = {}
    for name, (z, y, x) in FACTORS.items():
        found[f"rescale {name}"] = (
            lambda z=z, y=y, x=x: np.asarray(
                cle.pull(cle.scale(cle.push(stack), factor_x=x, factor_y=y, factor_z=z, interpolate=True, resize=True))
            ),
            lambda z=z, y=y, x=x: xprep.rescale(image, {"z": z, "y": y, "x": x}, boundary="constant").values,
        )
    for dim, project in zip("zyx", (cle.maximum_z_projection, cle.maximum_y_projection, cle.maximum_x_projection), strict=True):
        found[f"maximum along {dim}"] = (
            lambda project=project: np.asarray(cle.pull(project(cle.push(stack)))),
            lambda dim=dim: xprep.project(image, dim).values,
        )
    return found


def timed(call: Callable[[], np.ndarray]) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--shape", type=int, nargs=3, default=(64, 1024, 1024))
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    stack = np.random.default_rng(0).integers(0, 4000, given.shape, dtype=np.uint16)
    print(f"pyclesperanto {cle.__version__} on {cle.list_available_devices()[0]}, xprep {xprep.__version__}")
    todo = jobs(stack)
    runs: Mapping[tuple[str, str], list[tuple[float, float]]] = {(name, who): [] for name in todo for who in ("cle", "xprep")}
    for name, (theirs, ours) in todo.items():  # compiles both
        one, other = theirs(), ours()
        print(f"{name}: shapes {one.shape} {other.shape}, largest difference {np.abs(one.astype(float) - other).max():.3g}")
    for _ in range(given.rounds):
        for name, (theirs, ours) in todo.items():
            runs[name, "cle"].append(timed(theirs))
            runs[name, "xprep"].append(timed(ours))
    for name in todo:
        walls = {who: statistics.median(wall for wall, _ in runs[name, who]) for who in ("cle", "xprep")}
        cpus = {who: statistics.median(cpu for _, cpu in runs[name, who]) for who in ("cle", "xprep")}
        print(
            f"{name:16} pyclesperanto {walls['cle']:6.3f} s {cpus['cle']:6.2f} CPU-s   xprep {walls['xprep']:6.3f} s "
            f"{cpus['xprep']:6.2f} CPU-s   {walls['cle'] / walls['xprep']:.1f} x"
        )


if __name__ == "__main__":
    main()
