"""Law 5 for every pairing of the chunks that are read and those that are written: memory is that of a few tiles.

Bytes are counted as Python and numpy allocate them, with one thread: they are the same in every run. Between two sizes the image
grows by 11 MiB, three times as much as memory may. ``XPREP_EVERY_PAIRING=1 pytest tests/test_bounded.py`` tries the whole
product of operations, sources and targets (20 minutes of CPU).
"""

from __future__ import annotations

import gc
import os
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.sources import SyntheticSource
from xprep.engine.plan import BASELINE_BYTES
from xprep.engine.sources import read_array

TILE = 2**19
SMALL, LARGE = 16, 64  # planes of 256 × 320 pixels: 2.5 and 10 MiB
SIDE = {"y": 256, "x": 320}
GROWTH = 4 * 2**20  # of memory, at most
APART = 5 * 2**20  # graphs, journals, codecs, edges of tiles: what plans count among what a process takes before its first block

SOURCES = {
    "z-major": {"z": 1000, "y": 16, "x": 16},
    "plane": {"z": 1, "y": 256, "x": 320},
    "column": {"z": 1000, "y": 256, "x": 8},
    "cube": {"z": 16, "y": 32, "x": 32},
    "thick": {"z": 8, "y": 256, "x": 320},
    "row": {"z": 1, "y": 1, "x": 320},
    "tiny": {"z": 1, "y": 8, "x": 8},
    "prime": {"z": 7, "y": 37, "x": 53},
}
TARGETS: dict[str, dict[str, Any]] = {
    "default": {},
    "plane": {"chunks": {"z": 1, "y": 256, "x": 320}},
    "column": {"chunks": {"z": 1000, "y": 16, "x": 16}},
    "cube": {"chunks": {"z": 16, "y": 32, "x": 32}},
    "prime": {"chunks": {"z": 5, "y": 41, "x": 31}},
    "shards": {"chunks": {"z": 1, "y": 64, "x": 64}, "shards": {"z": 2, "y": 256, "x": 320}},
}


def table() -> xprep.RoiTable:
    """Return three squares of nine pixels."""
    corners = [(10, 12), (60, 70), (200, 130)]
    square = np.arange(3)
    y, x = ([np.repeat(a + square, 3) for a, _ in corners], [np.tile(b + square, 3) for _, b in corners])
    return xprep.RoiTable.from_pixels([np.ones(9)] * 3, ypix=y, xpix=x)


def as_movie(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return an operation on movies as one on stacks."""
    return lambda stack: call(stack.rename(z="t"))


# What is written.
WRITTEN: dict[str, Callable[[Any], Any]] = {
    "copy": lambda image: image,
    "normalize": lambda image: image.prep.normalize(norm_sum=False, sigma=None, intermediates="recompute"),
    "normalize, blurred": lambda image: image.prep.normalize(sigma=1, intermediates="recompute"),
    "gaussian_filter": lambda image: image.prep.gaussian_filter(1),
    "gaussian_filter along z": lambda image: image.prep.gaussian_filter({"z": 1, "y": 1}),
    "two filters": lambda image: image.prep.gaussian_filter(1).prep.gaussian_filter(2),
    "background": lambda image: image.prep.background(3)["background"],
    "subtract_background": lambda image: image.prep.subtract_background(3),
    "rescale": lambda image: image.prep.rescale({"z": 0.5, "y": 0.7}, anti_alias=True),
    "to_isotropic": lambda image: image.prep.to_isotropic(voxel_size={"z": 1.0, "y": 2.0, "x": 2.0}, size=2.0),
    "pyramid": lambda image: image.prep.pyramid(({"z": 2, "y": 2, "x": 2},))["scale1/image"],
    "mask": lambda image: image.rename(z="t").prep.mask(table(), outside=0).rename(t="z"),
}
# What is small, and computed.
COMPUTED: dict[str, Callable[[Any], Any]] = {
    "quantile": lambda image: image.prep.quantile(0.5),
    "project": lambda image: image.prep.project("z", "std"),
    "traces": as_movie(lambda image: image.prep.traces(table())),
    "centered": as_movie(lambda image: image.prep.centered(table(), width=3)),
    "roi_features": as_movie(lambda image: image.prep.roi_features(table(), width=3)["in_vs_out"]),
}

EVERY = bool(os.environ.get("XPREP_EVERY_PAIRING"))
PAIRINGS = [
    ("copy", "z-major", "plane"),
    ("copy", "plane", "column"),
    ("copy", "tiny", "plane"),
    ("copy", "thick", "prime"),
    ("copy", "row", "cube"),
    ("copy", "column", "shards"),
    ("copy", "prime", "default"),
    ("normalize", "z-major", "plane"),
    ("gaussian_filter", "z-major", "plane"),
    ("gaussian_filter along z", "cube", "plane"),
    ("two filters", "cube", "default"),
    ("background", "tiny", "default"),
    ("subtract_background", "thick", "shards"),
    ("rescale", "column", "plane"),
    ("to_isotropic", "plane", "cube"),
    ("pyramid", "z-major", "plane"),
    ("mask", "cube", "plane"),
    ("mask", "tiny", "default"),
    ("two filters", "tiny", "default"),
]
READINGS = [
    ("quantile", "z-major"),
    ("quantile", "tiny"),
    ("roi_features", "tiny"),
    ("project", "z-major"),
    ("project", "row"),
    ("project", "thick"),
    ("traces", "z-major"),
    ("centered", "cube"),
    ("centered", "tiny"),
    ("roi_features", "plane"),
]


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path) -> Iterator[None]:
    with (
        xprep.set_options(tile_bytes=TILE, scratch_url=str(tmp_path / "scratch")),
        dask.config.set(num_workers=1),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", xprep.ChunksWarning)
        yield


def opened(depth: int, source: str, kind: str = "noise") -> tuple[xr.DataArray, SyntheticSource]:
    """Return an image of ``depth`` planes that is nowhere before it is read, and what it is read from."""
    sizes = {"z": depth, **SIDE}
    made = SyntheticSource(tuple(sizes.values()), tuple(min(SOURCES[source][dim], n) for dim, n in sizes.items()), kind)
    return xr.DataArray(read_array(made, token=f"{source}-{depth}-{id(made)}"), dims=tuple(sizes)), made


def peak_of(run: Callable[[], Any]) -> int:
    """Return how much more memory Python and numpy held at the same time while something ran."""
    gc.collect()
    tracemalloc.start(1)
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@cache
def warm(operation: str) -> None:
    """Import and compile what an operation needs, and a writing through scratch."""
    image, _ = opened(8, "z-major")
    result = {**WRITTEN, **COMPUTED}[operation](image)
    with TemporaryDirectory() as place:
        if operation in WRITTEN:
            result.prep.to_ome_zarr(f"{place}/warm.zarr", scale_factors=(), **chunks_of("plane", result))
        else:
            result.compute()


def chunks_of(target: str, image: xr.DataArray) -> dict[str, Any]:
    """Return the chunks and shards of ``target``, no longer than the image."""
    given = TARGETS[target].items()
    return {name: {dim: min(n, image.sizes[dim]) for dim, n in lengths.items()} for name, lengths in given}


def assert_bounded(found: list[int], planned: list[int]) -> None:
    """Compare peaks for the small and the large image with one another, and with what plans say."""
    told = f"memory {[f'{n / 2**20:.2f}' for n in found]} MiB, planned {[f'{n / 2**20:.2f}' for n in planned]} MiB"
    assert found[1] - found[0] < GROWTH, told
    assert all(have < want + APART for have, want in zip(found, planned, strict=True)), told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "source", "target"), [*product(WRITTEN, SOURCES, TARGETS)] if EVERY else PAIRINGS, ids="{}".format
)
def test_what_is_written_is_bounded(operation: str, source: str, target: str, tmp_path: Path) -> None:
    warm(operation)
    found, planned = [], []
    for depth in (SMALL, LARGE):
        image, counting = opened(depth, source)
        result = WRITTEN[operation](image)
        chunks = chunks_of(target, result)
        plan = result.prep.plan(**chunks)
        planned.append(plan.peak_memory - BASELINE_BYTES)
        found.append(peak_of(lambda: result.prep.to_ome_zarr(tmp_path / f"{depth}.zarr", scale_factors=(), **chunks)))  # noqa: B023
        assert counting.reads_per_chunk <= 2 * len(plan.passes)
    assert_bounded(found, planned)
    assert not list((tmp_path / "scratch").glob("*"))


@pytest.mark.parametrize("factors", [(2, 2), ({"z": 2, "y": 2, "x": 2},)], ids=str)
@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_levels_are_bounded(factors: Any, method: str, tmp_path: Path) -> None:
    found, planned = [], []
    for depth in (8, SMALL, LARGE):  # the first imports and compiles
        image, _ = opened(depth, "z-major")
        planned.append(image.prep.plan(chunks=chunks_of("plane", image)["chunks"]).peak_memory - BASELINE_BYTES)
        how = {"scale_factors": factors, "method": method, **chunks_of("plane", image)}
        found.append(peak_of(lambda: image.prep.to_ome_zarr(tmp_path / f"{depth}.zarr", **how)))  # noqa: B023
    assert_bounded(found[1:], planned[1:])


@pytest.mark.parametrize(("operation", "source"), [*product(COMPUTED, SOURCES)] if EVERY else READINGS, ids="{}".format)
def test_what_is_computed_is_bounded(operation: str, source: str) -> None:
    warm(operation)
    found, planned = [], []
    for depth in (SMALL, LARGE):
        image, counting = opened(depth, source)
        result = COMPUTED[operation](image)
        plan = result.prep.plan()
        planned.append(plan.peak_memory - BASELINE_BYTES + result.nbytes)
        found.append(peak_of(result.compute))
        assert counting.reads_per_chunk <= 2 * max(1, len(plan.passes))
    assert_bounded(found, planned)


@pytest.mark.parametrize(("kind", "dtype"), [("constant", "float32"), ("two values", "float64")])
def test_values_near_a_guess_are_bounded(kind: str, dtype: str, tmp_path: Path) -> None:
    """Where all values are equal, all are near: 64 MiB were held of an image of 15 MiB."""
    warm("normalize")
    found, planned = [], []
    for depth in (SMALL, LARGE):
        image, _ = opened(depth, "plane", kind)
        result = image.prep.normalize(norm_sum=False, sigma=None, dtype=dtype, intermediates="recompute")
        planned.append(result.prep.plan().peak_memory - BASELINE_BYTES)
        found.append(peak_of(lambda: result.prep.to_ome_zarr(tmp_path / f"{depth}.zarr", scale_factors=())))  # noqa: B023
    assert_bounded(found, planned)


def test_what_keeps_the_image_is_seen() -> None:
    """The table would be green for ever if what it measures did not see a copy."""
    found = [peak_of(lambda: opened(depth, "plane")[0].compute()) for depth in (SMALL, LARGE)]  # noqa: B023
    with pytest.raises(AssertionError, match="memory"):
        assert_bounded(found, found)
