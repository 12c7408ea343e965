"""``xprep demo``: the whole job on the image that comes with xprep."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from shutil import which
from typing import Final

from rich.console import Console

from xprep import datasets
from xprep.cli.bar import Bar
from xprep.cli.tables import print_plan, print_reports
from xprep.images import open_image, to_ome_zarr
from xprep.ops import normalize, plan
from xprep.plot import plot_before_after

LEVELS: Final = (2, 2)
BACKGROUND: Final = 75  # percent of this image's pixels, in round numbers: what lies between the cells


def run_demo(folder: Path, out: Console, err: Console) -> None:
    """Convert the image to OME-Zarr, normalise it, write it with a pyramid, draw it; say what was done.

    A bar ends before anything else is printed: rich moves the cursor up to draw it again, over whatever stands there.
    """
    raw, result, picture = folder / "cells.ome.zarr", folder / "cells_normalized.ome.zarr", folder / "before_after.png"
    image = datasets.cells()
    out.print(f"A real image, three stains of cells: {image.attrs['source']}.")
    with Bar(err) as bar:
        report = to_ome_zarr(image, raw, scale_factors=LEVELS, overwrite=True, progress=bar)
    print_reports(out, [report], image.nbytes)

    out.print(_what_is_done(), soft_wrap=not out.is_terminal)
    normalized = normalize(open_image(raw), p_sum=BACKGROUND)
    found = plan(normalized)
    print_plan(out, found, [str(result)])

    out.print("\nNow it runs; the first time, kernels are compiled for this machine (some seconds; xprep compile does so ahead):")
    with Bar(err) as bar:
        report = to_ome_zarr(normalized, result, scale_factors=LEVELS, overwrite=True, progress=bar)
    print_reports(out, [report], found.bytes_read)
    if find_spec("matplotlib"):
        plot_before_after(open_image(raw), open_image(result)).savefig(picture, dpi=100)
        out.print(f"drew {picture.absolute()}: before and after; what was left out (NaN) is dark red", soft_wrap=True)
    out.print(_how_to_look(result), soft_wrap=True)


def _what_is_done() -> str:
    return (
        "\nNormalised for pixel clustering: each stain divided by its 99th percentile and blurred, then the stains of a pixel by "
        f"their sum, so that they are shares; the dimmest {BACKGROUND} % of the pixels, which are background here, are left "
        "out. Nothing has run yet; this is the plan:"
    )


def _how_to_look(result: Path) -> str:
    program, path = quote(_program("xprep")), quote(str(result))
    code = f'import xprep; print(xprep.open_image("{result}"))'
    return "\n".join(
        [
            "\nLook at it:",
            f"  {program} info {path}",
            f"  {quote(_program('python'))} -c {quote(code)}",
            f"  napari --plugin napari-ome-zarr {path}      (pip install 'napari[all]' napari-ome-zarr)",
            f"  ome_zarr view {path}      (in a browser; pip install ome-zarr)",
            "Your own image:",
            f"  {program} normalize IN.zarr OUT.ome.zarr --p 99 --sigma 2",
        ]
    )


def _program(name: str) -> str:
    """Return how to call a program of this environment: its name where the shell finds the same, else its path."""
    here = Path(sys.executable).with_name(name)
    found = which(name)
    if not here.exists() or (found and Path(found) == here):
        return name
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)
