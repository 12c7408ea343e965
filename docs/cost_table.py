"""What every operation costs, as a table: made of plans and of a pixel's reach, so that it is true of the version at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr
import zarr

import xprep
from xprep.engine.running.plan import Estimate, estimate

SHAPE, CHUNKS = (4, 4096, 4096), (1, 512, 512)
SIDE, MIDDLE = 65, 32  # of the image that shows how far a pixel reaches
HEAD = "| call | lazy | halo | passes | reads a chunk | tasks a chunk | memory of a block |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """An operation of the table.

    Attributes
    ----------
    call
        As it stands in the table.
    run
        The operation, of an image (c, y, x).
    reach
        What shows the halo: the same without statistics, which every pixel has a share in.
    variable
        Of a Dataset, the one that is looked at.
    """

    call: str
    run: Callable[[Any], Any]
    reach: Callable[[Any], Any] | None = None
    variable: str = ""


def table_of_cells(side: int) -> xprep.RoiTable:
    """Return a cell of 3 × 3 pixels in every part of 64 × 64 pixels."""
    corners, square = np.mgrid[30:side:64, 30:side:64].reshape(2, -1), np.mgrid[:3, :3].reshape(2, -1)
    ypix, xpix = ([one + offsets for one in along] for along, offsets in zip(corners, square, strict=True))
    return xprep.RoiTable.from_pixels([np.ones(9, "float32")] * len(ypix), ypix=ypix, xpix=xpix)


def _applied(image: xr.DataArray) -> xr.DataArray:
    """Return what `normalize` gives by statistics that are there already."""
    one = xr.DataArray(np.ones((image.sizes["c"], 8, 8), "float32"), dims=("c", "y", "x"))
    return image.prep.normalize(statistics=xprep.fit_normalize(one, sigma=2))


def _blurred(image: xr.DataArray) -> xr.DataArray:
    return image.prep.gaussian_filter(2)


def _foreground(image: xr.DataArray) -> xr.DataArray:
    return image.prep.subtract_background(7)


ROWS = (
    Row("normalize(sigma=2)", lambda image: image.prep.normalize(sigma=2, intermediates="recompute"), _blurred),
    Row("normalize(sigma=0)", lambda image: image.prep.normalize(sigma=0, intermediates="recompute")),
    Row("fit_normalize(sigma=2)", lambda image: image.prep.fit_normalize(sigma=2, intermediates="recompute"), _blurred, "p_post"),
    Row("normalize(statistics=fitted)", _applied, _blurred),
    Row("quantile(0.99)", lambda image: image.prep.quantile(0.99)),
    Row("gaussian_filter(2)", _blurred, _blurred),
    Row("background(7)", lambda image: image.prep.background(7), lambda image: image.prep.background(7).background, "background"),
    Row("subtract_background(7)", _foreground, _foreground),
    Row('rescale({"y": 0.5, "x": 0.5})', lambda image: image.prep.rescale({"y": 0.5, "x": 0.5})),
    Row('rescale({"y": 2, "x": 2})', lambda image: image.prep.rescale({"y": 2, "x": 2})),
    Row("to_isotropic(2)", lambda image: image.rename(c="z").prep.to_isotropic(2, voxel_size={"z": 2, "y": 1, "x": 1})),
    Row('project("c", "max")', lambda image: image.prep.project("c", "max")),
    Row('project(["y", "x"], "std")', lambda image: image.prep.project(["y", "x"], "std")),
    Row("pyramid((2, 2))", lambda image: image.prep.pyramid((2, 2))["scale2"], None, "image"),
    Row("mask(table)", lambda image: image.prep.mask(table_of_cells(image.sizes["y"]))),
    Row("traces(table)", lambda image: image.prep.traces(table_of_cells(image.sizes["y"]))),
    Row("centered(table)", lambda image: image.prep.centered(table_of_cells(image.sizes["y"]))),
    Row("roi_features(table)", lambda image: image.prep.roi_features(table_of_cells(image.sizes["y"])), None, "in_vs_out"),
)


def halo(row: Row) -> int:
    """Return how far a pixel reaches along y: one bright one in a dark image."""
    if row.reach is None:
        return 0
    image = xr.DataArray(np.zeros((1, SIDE, SIDE), "float32"), dims=("c", "y", "x"))
    image[0, MIDDLE, MIDDLE] = 1e6
    reached = np.flatnonzero(np.asarray(row.reach(image)).any(axis=(0, 2)))
    return int(abs(reached - MIDDLE).max())


def cost(row: Row, image: xr.DataArray) -> tuple[bool, Estimate]:
    """Return whether an operation is lazy, and what its result would cost, with one thread."""
    result = row.run(image)
    array = result[row.variable].data if row.variable else result.data
    return not isinstance(array, np.ndarray), estimate([array], threads=1)


def line(row: Row, image: xr.DataArray) -> str:
    """Return the line of an operation."""
    lazy, found = cost(row, image)
    sure = [one for one in found.passes if not one.maybe]
    maybe = len(found.passes) - len(sure)
    chunks = prod(-(-n // c) for n, c in zip(SHAPE, CHUNKS, strict=True))
    cells = (
        f"`{row.call}`",
        "yes" if lazy else "no",
        f"{far} pixels" if (far := halo(row)) else "",
        f"{len(sure)}" + (f", up to {maybe} more" if maybe else ""),
        f"{sum(one.nbytes for one in sure) / image.nbytes:.1f}",
        f"{found.tasks / chunks:.1f}",
        f"{found.block / 2**20:.1f} MiB",
    )
    return f"| {' | '.join(cells)} |"


def stored(folder: str, shape: tuple[int, ...] = SHAPE, chunks: tuple[int, ...] = CHUNKS) -> xr.DataArray:
    """Return an image that is opened from a store, which holds no chunk: nothing of it is read."""
    zarr.create_array(folder, shape=shape, chunks=chunks, dtype="uint16", dimension_names=("c", "y", "x"))
    return xprep.open_image(folder)


def write(path: Path) -> None:
    """Write the table."""
    with TemporaryDirectory() as folder:
        image = stored(folder)
        path.write_text("\n".join([HEAD, *(line(row, image) for row in ROWS)]) + "\n", encoding="utf-8")
