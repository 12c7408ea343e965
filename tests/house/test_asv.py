"""Every benchmark runs, on a small image, and what it tracks is what was promised."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from types import ModuleType
from typing import Any

import pytest

from tests import paths

BENCHMARKS = paths.ROOT / "asv_bench"
MODULES = ("background", "gaussian", "normalize", "project", "pyramid", "quantile", "rescale", "rois")
OPENCV = find_spec("cv2") is not None  # of the extra "bench"
PREFIXES = ("time_", "peakmem_", "track_")
# A blur's tiles of one row; percentiles of float64 and normalize need up to this many readings.
MOST_READS = {"Gaussian": 1, "Quantile": 4, "Normalize": 6, "Pyramid": 1, "Labels": 1}
MOST_TASKS = {"Gaussian": 8, "Quantile": 8, "Normalize": 30, "Pyramid": 8, "Labels": 8}
MOST_TASKS |= {"Background": 12, "Project": 8, "Rescale": 12, "Traces": 8}
SIZES = {
    "gaussian normalize pyramid quantile": {"shape": (2, 128, 120), "shapes": ((2, 96, 64), (2, 64, 64)), "chunk": 64},
    "background project rescale rois": {"shape": (6, 128, 128), "chunks": (3, 64, 64), "side": 128, "chunk": 64, "count": 12},
}


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield {name: importlib.import_module(f"benchmarks.{name}") for name in MODULES}
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
            del sys.modules[name]


def small(module: ModuleType) -> list[type]:
    """Return the module's benchmarks with an image of a few chunks."""
    found = [
        one
        for name, one in vars(module).items()
        if inspect.isclass(one) and one.__module__ == module.__name__ and not name.startswith("_")
    ]
    sizes = next(sizes for names, sizes in SIZES.items() if module.__name__.rpartition(".")[2] in names.split())
    return [type(one.__name__, (one,), {key: value for key, value in sizes.items() if hasattr(one, key)}) for one in found]


def run(benchmark: type) -> dict[tuple[str, Any], Any]:
    """Run every method of a benchmark once for each parameter, as asv would; return what they gave."""
    results = {}
    params = getattr(benchmark, "params", ())
    every = params if isinstance(next(iter(params), None), list) else [params] if params else []
    for given in product(*every):
        param = given[0] if len(given) == 1 else given or None
        problem = benchmark()
        problem.setup(*given)
        try:
            for name in (name for name in dir(problem) if name.startswith(PREFIXES) and (name != "time_opencv" or OPENCV)):
                results[name, param] = getattr(problem, name)(*given)
        finally:
            getattr(problem, "teardown", lambda *_: None)(*given)
    return results


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_runs_and_tracks_what_was_promised(benchmarks: dict[str, ModuleType], name: str) -> None:
    classes = small(benchmarks[name])
    assert classes
    for benchmark in classes:
        results = run(benchmark)
        assert results
        for (method, param), value in results.items():
            if method == "track_reads_per_chunk":
                assert 1 <= value <= MOST_READS[benchmark.__name__], (method, param, value)
            if method == "track_tasks_per_chunk":
                assert 0 < value <= MOST_TASKS[benchmark.__name__], (method, param, value)


def test_sixteen_bits_are_read_once(benchmarks: dict[str, ModuleType]) -> None:
    (benchmark,) = small(benchmarks["quantile"])
    results = run(benchmark)
    assert results["track_reads_per_chunk", "uint16"] == 1
    assert results["track_reads_per_chunk", "float32"] <= 2
    assert results["track_reads_per_chunk", "float64"] <= 4


def test_a_benchmark_counts_every_reading(benchmarks: dict[str, ModuleType]) -> None:
    """The counter itself: kept in memory, the image is read once; made anew, more often."""
    (benchmark,) = (one for one in small(benchmarks["normalize"]) if one.__name__ == "Normalize")
    results = run(benchmark)
    assert results["track_reads_per_chunk", "persist"] == 1
    assert results["track_reads_per_chunk", "recompute"] > 1
