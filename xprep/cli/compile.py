"""``xprep compile``: every loop compiled ahead, for an image of a container or the first start of many workers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr

import xprep
from xprep import images
from xprep.cli.arguments import Debug, Quiet
from xprep.cli.failures import reported
from xprep.cli.tables import make_console
from xprep.cli.values import parse_names

DTYPES = ("uint8", "uint16", "float32")
KNOWN = (*DTYPES, "int8", "int16", "int32", "uint32", "float64")


def compile_kernels(
    dtypes: Annotated[
        Any, typer.Option("--dtype", help="Of the images that will come.", parser=parse_names, metavar="NAMES")
    ] = ",".join(DTYPES),
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compile the loops of every operation now, for images of these types, and keep them where every later process finds them.

    In a Dockerfile: RUN pip install xprep[cli] && xprep compile. Code is made for this machine's processor; for others too where
    the image sets ENV NUMBA_CPU_NAME=x86-64-v3, which must be set where it runs, as well.
    """
    err = make_console(stderr=True)
    with reported(err, debug=debug), TemporaryDirectory() as folder:
        for dtype in _checked(dtypes):
            run_every_operation(dtype, Path(folder) / dtype)
            if not quiet:
                err.print(f"compiled for {dtype}", soft_wrap=True)
        from xprep.kernels.compiling import where_kept

        if not quiet:
            make_console().print(where_kept(), soft_wrap=True)


def _checked(dtypes: list[Any]) -> list[str]:
    if unknown := [name for name in dtypes if name not in KNOWN]:
        raise ValueError(f"--dtype {unknown[0]} is none of {', '.join(KNOWN)}.")
    return list(map(str, dtypes))


def run_every_operation(dtype: str, folder: Path) -> None:
    """Run each operation on a small image of ``dtype``, in memory and from a store: what compiles is the type and the layout."""
    stack = _image(dtype)
    images.to_ome_zarr(stack, f"{folder}/in.zarr", scale_factors=(), chunks=_CHUNKS, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 48 pixels, none of which anybody will see
        for image in (stack, images.open_image(f"{folder}/in.zarr")):
            for result in (*_of_images(image), *_of_planes(image.isel(z=0, drop=True)), *_of_rois(image.isel(z=0, drop=True))):
                result.compute()
        for method in ("mean", "max", "nearest", "gaussian"):
            labels = {"cells": _labels()} if method == "mean" else None
            image = images.open_image(f"{folder}/in.zarr").isel(z=0, drop=True)
            images.to_ome_zarr(
                image, f"{folder}/{method}.zarr", scale_factors=(2, 3), method=method, labels=labels, chunks=16, progress=False
            )


_CHUNKS = {"c": 1, "z": 2, "y": 24, "x": 24}


def _image(dtype: str) -> xr.DataArray:
    pixels = np.random.default_rng(0).integers(1, 100, (2, 4, 48, 48)).astype(dtype)
    spaced = {name: np.arange(length) * step for name, length, step in (("z", 4, 2.0), ("y", 48, 1.0), ("x", 48, 1.0))}
    return xr.DataArray(pixels, dims=("c", "z", "y", "x"), coords={"c": ["a", "b"], **spaced})


def _labels() -> xr.DataArray:
    cells = np.zeros((48, 48), np.uint32)
    cells[5:15, 5:15], cells[20:40, 8:30] = 1, 2
    return xr.DataArray(cells, dims=("y", "x"))


def _of_images(image: xr.DataArray) -> Iterator[Any]:
    """Yield what volumes are made of, beside what `_of_planes` makes."""
    for how in ("max", "mean", "sum", "min", "std"):
        yield xprep.project(image, "z", how)
    yield xprep.to_isotropic(image)
    yield xprep.rescale(image, {"z": 2, "y": 0.5, "x": 1.3})
    yield xprep.rescale(image, {"z": 2, "y": 0.5, "x": 1.3}, order=0)
    yield xprep.rescale(image, {"y": 0.4, "x": 0.4}, anti_alias=True)
    yield xprep.gaussian_filter(image, {"z": 1, "y": 1, "x": 1})
    yield xprep.normalize(image)


def _of_planes(image: xr.DataArray) -> Iterator[Any]:
    yield xprep.normalize(image, cap_max=2)
    yield xprep.quantile(image, [0.1, 0.9])
    yield xprep.quantile(image, 0.5, skip_zeros=True)
    yield xprep.quantile(image, 0.5, dim="x")
    yield xprep.gaussian_filter(image, 2)
    yield xprep.gaussian_filter(image, 2, nan="normalize")
    yield xprep.background(image, 3.0)
    yield xprep.subtract_background(image, 3.0)
    yield xprep.pyramid(image, (2, 3))


def _of_rois(image: xr.DataArray) -> Iterator[Any]:
    table = xprep.RoiTable.from_labels(_labels().chunk(24) if image.chunks else _labels())
    yield table.masks((48, 48))
    yield table.centered_masks()
    yield table.centroids()
    yield xprep.mask(image, table)
    yield xprep.centered(image, table)
    yield xprep.roi_features(image, table)
    for how in ("weighted_mean", "mean", "sum", "dot"):
        yield xprep.traces(image, table, how=how)
    yield xprep.traces(image, table, skipna=True)
