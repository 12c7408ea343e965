"""What plans say of containers, and what writing them takes: levels, fields of view, labels beside images, others' graphs.

Bytes are counted as Python and numpy allocate them, with one thread; of images alone, `test_bounded` has the table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
import xarray as xr

import xprep
from tests.helpers.sources import SyntheticSource
from tests.laws.test_bounded import opened, peak_of
from xprep.engine.running.plan import BASELINE_BYTES
from xprep.engine.sources.readable import read_array

TILE = 2**20
APART = 3 * 2**20  # journals, codecs, metadata: what plans count among what a process takes before its first block
PLANES = 48  # of 256 × 320 pixels: 7.5 MiB of uint16


def stack(source: str = "plane") -> xr.DataArray:
    return opened(PLANES, source)[0]


def levels(method: str, source: str = "plane") -> xr.DataTree:
    return stack(source).prep.pyramid((2, {"z": 2, "y": 2, "x": 2}), method=method)


def given(folder: Path) -> xr.DataTree:
    levels("mean").prep.to_ome_zarr(folder / "given.zarr")
    return xprep.open_tree(folder / "given.zarr")


def fields(_: Path) -> xr.DataTree:
    return xr.DataTree.from_dict({"/a": stack().to_dataset(name="image"), "/b": stack("cube").to_dataset(name="image")})


def with_labels(_: Path) -> xr.Dataset:
    labels = opened(PLANES, "plane", "labels")[0].assign_attrs({"image-label": {}})
    return xr.Dataset({"image": stack().prep.gaussian_filter(1), "cells": labels})


def slide(_: Path) -> xr.DataArray:
    """One plane of 7.5 MiB, written with three levels that nobody named."""
    made = SyntheticSource((1, 1920, 2048), (1, 256, 256))
    return xr.DataArray(read_array(made, token=f"slide-{id(made)}"), dims=("z", "y", "x"))


CONTAINERS: dict[str, Callable[[Path], Any]] = {
    "levels": lambda _: levels("mean"),
    "levels, gaussian": lambda _: levels("gaussian"),
    "levels of ragged chunks, gaussian": lambda _: levels("gaussian", "prime"),
    "levels as they are stored": given,
    "levels made anew": lambda folder: given(folder).prep.gaussian_filter(1),
    "levels of a slide": slide,
    "fields of view": fields,
    "labels beside an image": with_labels,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_plan_is_what_writing_takes(container: str, tmp_path: Path) -> None:
    found = {}
    with xprep.set_options(tile_bytes=TILE, progress="off"), dask.config.set(num_workers=1):
        made = CONTAINERS[container](tmp_path)
        plan = made.prep.plan()
        for run in ("imports and compiles", "measured"):
            found[run] = peak_of(lambda: made.prep.to_ome_zarr(tmp_path / "out.zarr", overwrite=True))
    planned = plan.peak_memory - BASELINE_BYTES
    told = f"{found['measured'] / 2**20:.2f} MiB, planned {planned / 2**20:.2f}"
    assert found["measured"] <= planned + APART, told
    assert planned <= 3 * found["measured"], told


def test_a_plan_counts_the_levels_that_are_written(tmp_path: Path) -> None:
    tree = levels("mean")
    bytes_of_levels = [node["image"].nbytes for node in tree.children.values()]
    plan = tree.prep.plan()
    assert plan.bytes_made == sum(bytes_of_levels)
    assert plan.bytes_read == bytes_of_levels[0]  # the others are made of it
    assert given(tmp_path).prep.plan().bytes_read == sum(bytes_of_levels)


@pytest.mark.parametrize("step", [lambda image: image.expand_dims("c"), lambda image: image + 0], ids=["expanded", "added"])
def test_a_plan_counts_each_reading_of_somebody_elses_graph(step: Any) -> None:
    """Of tasks that are there once more for a further pass, nothing was counted."""
    image, counting = opened(8, "plane")
    with xprep.set_options(intermediates="recompute", progress="off"):
        normalized = step(image).prep.normalize(p=99, sigma=None, norm_sum=False, p_post=None)
        normalized.compute()
        assert normalized.prep.plan().bytes_read == counting.reads_per_chunk * image.nbytes
