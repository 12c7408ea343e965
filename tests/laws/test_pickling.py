"""Everything lazy that xprep hands out is pickled, and computes after it, in another process too."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.laws.operations import OPERATIONS, assert_same_bits
from tests.laws.test_laws import example_image

pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("pickled") / "slide.ome.zarr"
    image = example_image(OPERATIONS[0]).drop_vars("stage")
    labels = (image.isel(c=0, drop=True) > 100).astype("uint8")
    image.prep.to_ome_zarr(url, chunks=16, scale_factors=(2,), labels={"cells": labels})
    return url


@pytest.fixture(scope="module")
def results(url: Path) -> dict[str, Any]:
    """Results of every operation, of an image from a store and of a graph of dask."""
    image = xprep.open_image(url)
    cut = {"c": 1, "y": 13, "x": 20}
    found = {f"{one}, from a store": one.call(_fitting(one, image), **one.example) for one in OPERATIONS}
    found |= {f"{one}, of a graph": one.call(example_image(one).chunk(cut), **one.example) for one in OPERATIONS}
    for how in ("recompute", "persist", "spill"):
        found[f"intermediates: {how}"] = image.prep.normalize(sigma=1, intermediates=how)
    return found | {"image": image, "label": xprep.open_image(url, label="cells"), "part": image[1, 3:9].prep.normalize()}


def _fitting(operation: Any, image: xr.DataArray) -> xr.DataArray:
    return image.astype(operation.images.get("dtypes", ("uint16",))[-1])


@pytest.mark.parametrize("library", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_lazy_results_compute_after_it(library: Any, results: dict[str, Any]) -> None:
    for result in results.values():
        back = library.loads(library.dumps(result))
        assert_same_bits(back.compute(scheduler="sync"), result.compute(scheduler="sync"))


def test_lazy_results_compute_in_a_process_that_knows_nothing(results: dict[str, Any], tmp_path: Path) -> None:
    """As processes do that are spawned: nothing is imported there, and no filesystem or option is set."""
    (tmp_path / "lazy").write_bytes(pickle.dumps(results))
    code = """
        import pickle, sys, pathlib, warnings
        if __name__ == "__main__":
            warnings.simplefilter("ignore")
            here = pathlib.Path(sys.argv[1])
            lazy = pickle.loads((here / "lazy").read_bytes())
            done = {name: one.compute(scheduler="sync") for name, one in lazy.items()}
            (here / "done").write_bytes(pickle.dumps(done))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True)
    done = cloudpickle.loads((tmp_path / "done").read_bytes())
    assert list(done) == list(results)
    for name, result in results.items():
        assert_same_bits(done[name], result.compute(scheduler="sync"))


def _recipe(url: Path, new: Path) -> dict[str, Any]:
    return {"inputs": [str(url)], "steps": [{"project": {"dim": "c"}}], "output": str(new)}


VALUES: dict[str, Callable[[Path, Path], Any]] = {
    "tree": lambda url, _: xprep.open_tree(url).load(),
    "report": lambda url, new: xprep.open_image(url).prep.to_ome_zarr(new, overwrite=True),
    "plan": lambda url, _: xprep.open_image(url).prep.normalize().prep.plan(),
    "table": lambda url, _: xprep.RoiTable.from_labels(xprep.open_image(url, label="cells")),
    "batch": lambda url, new: xprep.run(_recipe(url, new), overwrite=True),
}


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_values_are_the_same_after_it(make: Callable[[Path, Path], Any], url: Path, tmp_path: Path) -> None:
    value = make(url, tmp_path / "new.ome.zarr")
    for library in (pickle, cloudpickle):
        back = library.loads(library.dumps(value))
        assert type(back) is type(value)
        assert repr(back) == repr(value)


def test_a_lazy_write_computes_after_it(url: Path, tmp_path: Path) -> None:
    writing = xprep.open_image(url).prep.to_ome_zarr(tmp_path / "new.ome.zarr", compute=False)
    cloudpickle.loads(pickle.dumps(writing)).compute(scheduler="sync")
    assert np.array_equal(xprep.open_image(tmp_path / "new.ome.zarr"), xprep.open_image(url))


@pytest.mark.usefixtures("nothing_computes")
def test_a_whole_tree_is_lazy_after_it(url: Path) -> None:
    tree = cloudpickle.loads(pickle.dumps(xprep.open_tree(url)))
    assert tree["scale1/image"].chunks is not None
