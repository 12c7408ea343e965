"""Law 5 for every pairing of the chunks that are read and those that are written: memory is that of a few tiles.

Bytes are counted as Python and numpy allocate them, with one thread: they are the same in every run. Between two sizes the
image grows by 7.5 MiB, almost twice as much as memory may beyond what is planned. What plans say is an upper bound, and not
twice as much as is taken; of tiles this small, what a process takes besides is set aside. A small image has fewer layers of
tiles than are alive in a large one, so plans grow at first: of images of 256 and of 640 planes they are the same, but for
tasks. The deepest chunks are as deep as the images that are measured.
``XPREP_EVERY_PAIRING=1 pytest tests/laws/test_bounded.py`` tries the whole product of operations, sources and
targets (half an hour of CPU).
"""

from __future__ import annotations

import gc
import os
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.sources import SyntheticSource
from xprep.engine.running.plan import BASELINE_BYTES, TASK_BYTES
from xprep.engine.sources.readable import read_array
from xprep.ops.plan import Plan

TILE = 2**19
SMALL, LARGE = 16, 64  # planes of 256 × 320 pixels: 2.5 and 10 MiB
SIDE = {"y": 256, "x": 320}
DEEP = (256, 640)  # planes of images that are only planned: 40 and 100 MiB
GROWTH = 4 * 2**20  # of memory, at most, besides what is planned
APART = 5 * 2**20  # journals, codecs, metadata: what plans count among what a process takes before its first block
COLLECTED = 6 * 2**20  # what `normalize` may collect near a guess, and noise does not: `test_values_near_a_guess_are_bounded`

SOURCES = {
    "z-major": {"z": LARGE, "y": 16, "x": 16},
    "plane": {"z": 1, "y": 256, "x": 320},
    "column": {"z": LARGE, "y": 256, "x": 8},
    "cube": {"z": 16, "y": 32, "x": 32},
    "thick": {"z": 8, "y": 256, "x": 320},
    "row": {"z": 1, "y": 1, "x": 320},
    "tiny": {"z": 1, "y": 8, "x": 8},
    "prime": {"z": 7, "y": 37, "x": 53},
}
TARGETS: dict[str, dict[str, Any]] = {
    "default": {},
    "plane": {"chunks": {"z": 1, "y": 256, "x": 320}},
    "column": {"chunks": {"z": LARGE, "y": 16, "x": 16}},
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
    ("two filters", "z-major", "default"),
    ("normalize, blurred", "prime", "plane"),
    ("gaussian_filter along z", "thick", "prime"),
    ("mask", "prime", "cube"),
    ("pyramid", "plane", "cube"),
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


@dataclass
class Measured:
    """Peaks for the small and the large image, and what was planned, in bytes."""

    found: list[int] = field(default_factory=list)
    planned: list[int] = field(default_factory=list)

    def add(self, run: Callable[[], Any], plan: Plan, result: int = 0) -> None:
        self.planned.append(plan.peak_memory - BASELINE_BYTES + result)
        self.found.append(peak_of(run))

    def check(self) -> None:
        told = f"memory {_told(self.found)}, planned {_told(self.planned)}"
        assert self.found[1] - self.found[0] < GROWTH + max(0, self.planned[1] - self.planned[0]), told
        assert all(have < want + APART for have, want in zip(self.found, self.planned, strict=True)), told
        assert all(want < 2 * have + APART + COLLECTED for have, want in zip(self.found, self.planned, strict=True)), told


def _told(sizes: list[int]) -> str:
    return f"{[f'{n / 2**20:.2f}' for n in sizes]} MiB"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "source", "target"), [*product(WRITTEN, SOURCES, TARGETS)] if EVERY else PAIRINGS, ids="{}".format
)
def test_what_is_written_is_bounded(operation: str, source: str, target: str, tmp_path: Path) -> None:
    warm(operation)
    measured = Measured()
    for depth in (SMALL, LARGE):
        image, counting = opened(depth, source)
        result = WRITTEN[operation](image)
        chunks = chunks_of(target, result)
        plan = result.prep.plan(**chunks)
        write = partial(result.prep.to_ome_zarr, tmp_path / f"{depth}.zarr", scale_factors=(), **chunks)
        measured.add(write, plan)
        assert counting.reads_per_chunk <= 2 * len(plan.passes)
    measured.check()
    assert not list((tmp_path / "scratch").glob("*"))


@pytest.mark.parametrize(
    ("operation", "source", "target"), [*product(WRITTEN, SOURCES, TARGETS)] if EVERY else PAIRINGS, ids="{}".format
)
def test_plans_do_not_grow(operation: str, source: str, target: str) -> None:
    plans = []
    for depth in DEEP:
        image, _ = opened(depth, source)
        result = WRITTEN[operation](image)
        plans.append(result.prep.plan(**chunks_of(target, result)))
    planned = [plan.peak_memory - plan.tasks * TASK_BYTES for plan in plans]
    assert planned[1] - planned[0] <= GROWTH // 4, _told(planned)


@pytest.mark.parametrize("factors", [(2, 2), ({"z": 2, "y": 2, "x": 2},)], ids=str)
@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_levels_are_bounded(factors: Any, method: str, tmp_path: Path) -> None:
    measured = Measured()
    for depth in (SMALL, LARGE):
        image, _ = opened(depth, "z-major")
        how = {"scale_factors": factors, "method": method, **chunks_of("plane", image)}
        if depth == SMALL:
            image.prep.to_ome_zarr(tmp_path / "warm.zarr", **how)  # imports and compiles
        plan = image.prep.plan(chunks=how["chunks"])
        measured.add(partial(image.prep.to_ome_zarr, tmp_path / f"{depth}.zarr", **how), plan)
    measured.check()


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES if EVERY else ["plane", "prime"])
def test_a_tree_of_levels_is_bounded(source: str, tmp_path: Path) -> None:
    measured = Measured()
    for depth in (8, SMALL, LARGE):  # the first imports and compiles
        image, _ = opened(depth, source)
        tree = image.prep.pyramid((2, {"z": 2, "y": 2, "x": 2}))
        measured.add(partial(tree.prep.to_ome_zarr, tmp_path / f"{depth}.zarr"), tree.prep.plan())
    Measured(measured.found[1:], measured.planned[1:]).check()


TABLES: dict[str, Callable[[Any], Any]] = {
    "from_labels": lambda labels: xprep.RoiTable.from_labels(labels),
    "traces of labels": lambda labels: labels.rename(z="t").prep.traces(labels[5]).compute(),
    "centroids": lambda labels: xprep.RoiTable.from_labels(labels).centroids(),
}


@pytest.mark.parametrize("source", SOURCES if EVERY else ["z-major", "tiny"])
@pytest.mark.parametrize("operation", TABLES)
def test_tables_are_bounded(operation: str, source: str) -> None:
    """Of labels of a few pixels: memory is that of the tiles which are read, and of the table."""
    found = []
    for depth in (8, SMALL, LARGE):
        labels, counting = opened(depth, source, "labels")
        found.append(peak_of(partial(TABLES[operation], labels)))
        assert counting.reads_per_chunk <= (2 if operation == "traces of labels" else 1)
    assert found[2] - found[1] < GROWTH, _told(found)


@pytest.mark.parametrize(("operation", "source"), [*product(COMPUTED, SOURCES)] if EVERY else READINGS, ids="{}".format)
def test_what_is_computed_is_bounded(operation: str, source: str) -> None:
    warm(operation)
    measured = Measured()
    for depth in (SMALL, LARGE):
        image, counting = opened(depth, source)
        result = COMPUTED[operation](image)
        plan = result.prep.plan()
        measured.add(result.compute, plan, result.nbytes)
        assert counting.reads_per_chunk <= 2 * max(1, len(plan.passes))
    measured.check()


@pytest.mark.parametrize(("kind", "dtype"), [("constant", "float32"), ("two values", "float64")])
def test_values_near_a_guess_are_bounded(kind: str, dtype: str, tmp_path: Path) -> None:
    """Where all values are equal, all are near: 64 MiB were held of an image of 15 MiB."""
    warm("normalize")
    measured = Measured()
    for depth in (SMALL, LARGE):
        image, _ = opened(depth, "plane", kind)
        result = image.prep.normalize(norm_sum=False, sigma=None, dtype=dtype, intermediates="recompute")
        write = partial(result.prep.to_ome_zarr, tmp_path / f"{depth}.zarr", scale_factors=())
        measured.add(write, result.prep.plan())
    measured.check()


def test_what_keeps_the_image_is_seen() -> None:
    """The table would be green for ever if what it measures did not see a copy."""
    measured = Measured()
    for depth in (SMALL, LARGE):
        image, _ = opened(depth, "plane")
        measured.add(image.compute, image.prep.plan())
    with pytest.raises(AssertionError, match="memory"):
        measured.check()
