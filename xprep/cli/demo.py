"""``xprep demo``: the whole job on the image that comes with xprep."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from rich.console import Console

from xprep import datasets
from xprep.cli.bar import Bar
from xprep.cli.tables import print_plan, print_reports
from xprep.images import open_image, to_ome_zarr
from xprep.ops import normalize, plan
from xprep.plot import plot_before_after

LEVELS = (2, 2)


def run_demo(folder: Path, out: Console, bar: Bar) -> None:
    """Convert the image to OME-Zarr, normalise it, write it with a pyramid, draw it; say what was done."""
    raw, result, picture = folder / "cells.ome.zarr", folder / "cells_normalized.ome.zarr", folder / "before_after.png"
    image = datasets.cells()
    out.print(f"A real image, {image.attrs['source']}:", soft_wrap=True)
    report = to_ome_zarr(image, raw, scale_factors=LEVELS, overwrite=True, progress=bar)
    print_reports(out, [report], image.nbytes)

    out.print("\nNormalised, lazily; this is the plan:")
    normalized = normalize(open_image(raw))
    found = plan(normalized)
    print_plan(out, found, [str(result)])

    out.print("\nNow run (the first time, kernels are compiled for this machine, which takes a while):")
    report = to_ome_zarr(normalized, result, scale_factors=LEVELS, overwrite=True, progress=bar)
    print_reports(out, [report], found.bytes_read)
    if find_spec("matplotlib"):
        plot_before_after(open_image(raw), open_image(result)).savefig(picture, dpi=100)
        out.print(f"drew  {picture.absolute()}: before and after; what is left out (NaN) is dark red", soft_wrap=True)
    out.print(_how_to_look(result.absolute()), soft_wrap=True)


def _how_to_look(result: Path) -> str:
    quoted = f"'{result}'"
    return "\n".join(
        [
            "\nLook at it:",
            f"  {_program('xprep')} info {quoted}",
            f'  {_program("python")} -c "import xprep; print(xprep.open_image({quoted}))"',
            f"  napari --plugin napari-ome-zarr {quoted}      (pip install napari napari-ome-zarr)",
            f"  ome_zarr view {quoted}      (in a browser; pip install ome-zarr)",
            "Your own image:",
            f"  {_program('xprep')} normalize IN.zarr OUT.ome.zarr --p 99 --sigma 2",
        ]
    )


def _program(name: str) -> str:
    """Return how to call a program of this environment: its name where the shell finds the same, else its path."""
    here = Path(sys.executable).with_name(name)
    found = which(name)
    return name if not here.exists() or (found and Path(found) == here) else str(here)
