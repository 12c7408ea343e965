"""The seven laws of docs/design.md, over every operation of `tests.laws.operations`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xprep
from tests import paths
from tests.helpers.sources import counted
from tests.laws.dense import DoubtfulError
from tests.laws.operations import OPERATIONS, Operation, assert_blind, assert_matches, assert_same_bits, input_scale, variables
from tests.laws.strategies import chunkings, images
from xprep.engine.sources.lazy import is_lazy

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
# What these images have by accident (an empty channel, a negative percentile) warns, as it should; see test_normalize.
pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")


def example_image(
    operation: Operation, dims: tuple[str, ...] = ("c", "y", "x"), sides: dict[str, int] | None = None
) -> xr.DataArray:
    sizes = {"t": 2, "c": 3, "z": 2, "y": 40, "x": 52} | (sides or {})
    random = np.random.default_rng(7)
    pixels = random.lognormal(4, 1, [sizes[dim] for dim in dims]).clip(0, 60000)
    coords: dict[str, Any] = {dim: (dim, 5 + 0.25 * np.arange(sizes[dim]), {"units": "micrometer"}) for dim in dims if dim != "c"}
    if "c" in dims:
        coords["c"] = [f"marker {i}" for i in range(sizes["c"])]
        coords["wavelength"] = ("c", np.arange(sizes["c"]) * 100.0)
    coords["stage"] = 3.5
    attrs = {"lens": "40x", "units": "counts", "history": "made by a test", "valid_max": 65535}
    return xr.DataArray(
        pixels.astype(operation.images.get("dtypes", ("uint16",))[-1]),
        dims=dims,
        coords=coords,
        name="slide",
        attrs=attrs,
    )


# 1. Lazy


@every_operation
def test_building_reads_nothing(operation: Operation, nothing_computes: None) -> None:
    image, source = counted(example_image(operation), {"c": 1, "y": 16, "x": 16})
    result = operation.call(image, **operation.example)
    assert all(is_lazy(one.data) for one in variables(result).values())
    if operation.image_out:
        plan = xprep.plan(result)
        assert plan.bytes_read >= image.nbytes
        assert plan.bytes_made == result.nbytes
    assert source.total == 0


@every_operation
def test_building_reads_nothing_of_containers(operation: Operation, nothing_computes: None) -> None:
    image, source = counted(example_image(operation), {"c": 1, "y": 16, "x": 16})
    tree = xr.DataTree.from_dict({"a": image.to_dataset(name="image"), "b": image.isel(y=slice(0, 20)).to_dataset(name="image")})
    for container in (image.to_dataset(name="image"), tree):
        assert type(operation.call(container, **operation.example)) in (type(container), xr.DataTree)
    assert source.total == 0


@every_operation
def test_numpy_in_numpy_out(operation: Operation) -> None:
    image = example_image(operation)
    result = operation.call(image, **operation.example)
    lazy = operation.call(image.chunk({"y": 11}), **operation.example)
    assert not any(is_lazy(one.data) for one in variables(result).values())
    assert_blind(operation, lazy, result, image)


# 2. Blind to chunks, and 3. equal to the oracle


@every_operation
@given(data=st.data())
def test_equal_to_the_oracle_however_it_is_cut(operation: Operation, data: st.DataObject) -> None:
    image = data.draw(images(**operation.images), label="image")
    parameters = data.draw(operation.parameters(image), label="parameters")
    chunks = data.draw(chunkings(image.sizes), label="chunks")
    try:
        desired = operation.oracle(image, **parameters)
    except DoubtfulError:
        assume(False)
    lazy = operation.call(image.chunk(chunks), **parameters)
    whole = operation.call(image, **parameters)
    assert_matches(lazy, desired, operation.rtol, input_scale(operation, image))
    assert_blind(operation, lazy, whole, image)


@every_operation
@given(data=st.data())
@settings(max_examples=15)
def test_sources_are_read_in_tiles_that_do_not_show(operation: Operation, data: st.DataObject) -> None:
    """Images from stores take another way through the engine than graphs of somebody else."""
    image = data.draw(images(**operation.images), label="image")
    chunk = data.draw(st.fixed_dictionaries({dim: st.integers(1, n) for dim, n in image.sizes.items()}), label="chunk")
    tile_bytes = data.draw(st.sampled_from((1, 300, 2**20)), label="tile_bytes")
    stored, _ = counted(image, chunk)
    parameters = data.draw(operation.parameters(image), label="parameters")
    with xprep.set_options(tile_bytes=tile_bytes):
        result = operation.call(stored, **parameters)
    assert_blind(operation, result, operation.call(image, **parameters), image)


@every_operation
@pytest.mark.parametrize("chunks", [(1, 1, 1), (2, 3, 5), (1, 40, 7)])
def test_halos_longer_than_chunks_and_axes(operation: Operation, chunks: tuple[int, ...]) -> None:
    image = example_image(operation, sides={"y": 5, "x": 11})
    parameters = dict(operation.example)
    if "sigma" in parameters:
        parameters["sigma"] = 4  # reaches 16 pixels
    if "radius" in parameters:
        parameters["radius"] = 14  # 18 pixels
    lazy = image.chunk(dict(zip(image.dims, chunks, strict=True)))
    assert_blind(operation, operation.call(lazy, **parameters), operation.call(image, **parameters), image)


# 4. Keeps labels


@every_operation
@pytest.mark.parametrize("dims", [("c", "y", "x"), ("y", "x", "c"), ("t", "c", "z", "y", "x"), ("x", "z", "c", "y")])
def test_dims_coordinates_and_names_stay(operation: Operation, dims: tuple[str, ...]) -> None:
    image = example_image(operation, dims)
    for given_image in (image, image.chunk({"y": 9})):
        result = operation.call(given_image, **operation.example)
        if operation.image_out:
            assert result.dims == image.dims
            assert result.name == image.name
            xr.testing.assert_identical(result.coords.to_dataset(), image.coords.to_dataset())
        else:
            for one in variables(result).values():
                shared = [name for name in image.coords if name in one.coords]
                assert {"stage"} <= set(shared)
                for name in shared:
                    if name in one.dims and one.sizes[name] == image.sizes[name]:
                        xr.testing.assert_identical(one.coords[name].variable, image.coords[name].variable)


@every_operation
@pytest.mark.parametrize("keep", [True, False, "default"])
def test_attributes_by_keep_attrs_and_a_line_of_history(operation: Operation, keep: Any) -> None:
    image = example_image(operation)
    with xr.set_options(keep_attrs=keep):
        result = operation.call(image, **operation.example)
    assert ("lens" in result.attrs) is (keep is not False)
    assert "valid_max" not in result.attrs, "stale: it speaks of the input's values"
    lines = result.attrs["history"].splitlines()
    assert operation.name in lines[-1]
    assert xprep.__version__ in lines[-1]
    assert lines[:-1] == ["made by a test"]
    with xprep.set_options(history=False):
        silent = operation.call(image, **operation.example)
    assert silent.attrs.get("history", "made by a test") == "made by a test"


@every_operation
def test_the_input_is_never_modified(operation: Operation) -> None:
    image = example_image(operation)
    before = image.copy(deep=True)
    writeable = image.values.flags.writeable
    operation.call(image, **operation.example)
    lazy = image.chunk({"y": 9})
    operation.call(lazy, **operation.example).compute()
    xr.testing.assert_identical(image, before)
    xr.testing.assert_identical(lazy.compute(), before)
    assert image.values.flags.writeable is writeable


@every_operation
def test_the_same_in_a_dataset_and_in_a_tree(operation: Operation) -> None:
    """One image: statistics cannot be shared, so that every container gives the same numbers."""
    image = example_image(operation).chunk({"y": 9})
    alone = operation.call(image, **operation.example)
    dataset = image.to_dataset(name="slide").assign(labels=(("y", "x"), np.zeros(image.shape[1:], int)))
    found = operation.call(dataset, **operation.example)
    inside = found["slide"] if not isinstance(found, xr.DataTree) else found["slide"].to_dataset()
    assert_same_bits(inside, alone)
    if operation.image_out:
        xr.testing.assert_identical(found["labels"].variable, dataset["labels"].variable)
        tree = operation.call(xr.DataTree.from_dict({"site/1": dataset}), **operation.example)
        assert_same_bits(tree["site/1/slide"], alone)
        xr.testing.assert_identical(tree["site/1/labels"].variable, dataset["labels"].variable)


# 5. Bounded

MEASURED = """
    import json, os, sys, zlib
    import numpy as np, xarray as xr, dask
    import xprep
    from tests.laws.operations import OPERATIONS, variables
    from xprep.engine.sources.readable import read_array

    class Synthetic:
        cost = "local"
        def __init__(self, shape, chunks): self.shape, self.chunks, self.dtype = shape, chunks, np.dtype("uint16")
        def read(self, region):
            random = np.random.default_rng(zlib.crc32(repr(region).encode()))
            return random.integers(0, 4000, [p.stop - p.start for p in region], dtype="uint16")

    def measure(operation, height, folder):
        data = read_array(Synthetic((4, height, 1024), (1, 256, 256)), token=f"synthetic-{height}")
        coords = {dim: 0.1 * np.arange(n) for dim, n in (("y", height), ("x", 1024))}
        image = xr.DataArray(data, coords, dims=("c", "y", "x"), name="image")
        result = operation.call(image, **parameters_of(operation))
        arrays = list(variables(result).values())
        plan = xprep.plan(result) if operation.image_out else None
        if all({"y", "x"} <= set(one.dims) for one in arrays):
            result.prep.to_ome_zarr(f"{folder}/{operation.name}-{height}.zarr", scale_factors=())
        else:
            [one.compute() for one in arrays]
        # Not getrusage: a new process inherits the largest size of the one that started it.
        peak = 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
        print(json.dumps([operation.name, {"peak": peak, "planned": plan.peak_memory if plan else None, "image": image.nbytes}]))

    def parameters_of(operation):
        parameters = dict(operation.example)
        return parameters | {"radius": 7} if isinstance(parameters.get("radius"), list) else parameters

    xprep.set_options(intermediates="recompute", progress="off", tile_bytes=2**21)
    dask.config.set(pool=None, num_workers=2)
    for operation in OPERATIONS:
        for height in map(int, sys.argv[2:]):
            sys.stdout.flush()
            child = os.fork()  # a process for each, without the second that imports take; no thread runs here
            if child == 0:
                try:
                    measure(operation, height, sys.argv[1])
                    sys.stdout.flush()
                    os._exit(0)
                except BaseException as error:
                    sys.stderr.write(f"{operation.name}: {error!r}")
                    os._exit(1)
            if os.waitpid(child, 0)[1]:
                sys.exit(1)
"""


def python(program: str, *arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), *map(str, arguments)]
    root = str(paths.ROOT)
    environment = {**os.environ, "PYTHONPATH": root, "MALLOC_ARENA_MAX": "2"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=600, check=False, **options)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Peak memory of every operation, of an image and of one six times as high."""
    done = python(MEASURED, tmp_path_factory.mktemp("measured"), 1024, 6 * 1024)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for name, one in map(json.loads, done.stdout.splitlines()):
        found.setdefault(name, []).append(one)
    return found


@every_operation
@pytest.mark.slow
def test_memory_does_not_grow_with_the_image(operation: Operation, measured: dict[str, list[dict[str, Any]]]) -> None:
    small, large = measured[operation.name]
    assert large["image"] == 6 * small["image"]
    grown = large["peak"] - small["peak"]
    # An image that is kept would grow by 40 MiB of uint16 at least; 36 are allowed, as a busy machine's threads run apart.
    # It grows in height: tiles of a row wait for the next row's edges, so memory grows with the width up to a band of
    # 192 MiB, which plan() counts.
    assert grown < 0.75 * large["image"], f"peak memory grew by {grown / 2**20:.0f} MiB"
    if large["planned"] is not None:
        assert large["peak"] < 1.1 * large["planned"], (
            f"plan() said {large['planned'] / 2**20:.0f} MiB, {large['peak'] / 2**20:.0f} were used"
        )
        assert large["planned"] < 2 * large["peak"], "plan() exaggerates"


# 6. Engine-blind


@every_operation
def test_every_engine_gives_the_same_bits(operation: Operation, scheduler: str) -> None:
    image = example_image(operation)
    result = operation.call(image.chunk({"c": 1, "y": 13, "x": 20}), **operation.example)
    assert_same_bits(result.compute(), result.compute(scheduler="sync"))
    assert_blind(operation, result, operation.call(image, **operation.example), image)


@every_operation
def test_every_placement_gives_the_same_bits(operation: Operation, intermediates: str) -> None:
    image = example_image(operation)
    result = operation.call(image.chunk({"c": 1, "y": 13, "x": 20}), **operation.example)
    assert_blind(operation, result.compute(), operation.call(image, **operation.example), image)


# 7. Nothing half-done

KILLED = """
    import os, signal, sys
    import xprep

    class Killer:
        steps = 0
        def __init__(self, when, percent): self.when, self.percent = when, percent
        def _now(self, when):
            if when == self.when and self.steps >= self.percent / 100 * self.total:
                os.kill(os.getpid(), signal.SIGKILL)
        def started(self, stage, total): self.total = total; self._now("started")
        def advanced(self, stage, steps, nbytes): self.steps += steps; self._now("advanced")
        def finished(self, stage): self._now("finished")

    source, target, version, when, percent, overwrite = sys.argv[1:]
    image = xprep.open_image(source)
    out = image.prep.normalize(sigma=1, intermediates="recompute")
    xprep.set_options(tile_bytes=1)
    out.prep.to_ome_zarr(target, version=version, scale_factors=(2,), overwrite=overwrite == "yes",
        labels={"cells": image.isel(c=0, drop=True)}, progress=Killer(when, int(percent)))
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "in.zarr"
    xprep.datasets.blobs(channels=2, shape=(96, 128)).prep.to_ome_zarr(path, chunks={"y": 32, "x": 32}, scale_factors=())
    return path


KILLS = [
    ("0.5", "started", 0),
    ("0.5", "advanced", 1),
    ("0.5", "advanced", 40),
    ("0.4", "advanced", 80),
    ("0.6", "finished", 0),
    ("0.5", "finished", 0),
]


@pytest.mark.parametrize(("version", "when", "percent"), KILLS)
def test_a_killed_writer_leaves_a_store_that_does_not_open(
    stored: Path, tmp_path: Path, version: str, when: str, percent: int
) -> None:
    target = tmp_path / "out.zarr"
    done = python(KILLED, stored, target, version, when, percent, "no")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert target.exists()
    for door in (xprep.open_image, xprep.open_tree):
        with pytest.raises(xprep.UnfinishedStoreError, match=r"not finished.*overwrite=True"):
            door(target)
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(target, label="cells")
    with pytest.raises(xprep.StoreExistsError):
        xprep.open_image(stored).prep.to_ome_zarr(target)
    report = xprep.open_image(stored).prep.to_ome_zarr(target, overwrite=True)
    assert report.shapes[0] == (2, 96, 128)
    np.testing.assert_array_equal(xprep.open_image(target).values, xprep.open_image(stored).values)


def test_a_killed_overwrite_leaves_the_old_store(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    xprep.open_image(stored).prep.to_ome_zarr(target)
    done = python(KILLED, stored, target, "0.5", "advanced", 40, "yes")
    assert done.returncode == -signal.SIGKILL, done.stderr
    np.testing.assert_array_equal(xprep.open_image(target).values, xprep.open_image(stored).values)
    xprep.open_image(stored).prep.to_ome_zarr(target, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"], "what the dead writer left is removed"


def test_a_writer_that_fails_leaves_a_store_that_does_not_open(stored: Path, tmp_path: Path) -> None:
    image = xprep.open_image(stored)
    broken = tmp_path / "broken.zarr"
    shutil.copytree(stored, broken)
    (broken / "scale0/image/c/1/2/2").write_bytes(b"no chunk")
    target = tmp_path / "out.zarr"
    with pytest.raises(xprep.ChunkError, match="c/1/2/2"):
        xprep.open_image(broken).prep.to_ome_zarr(target)
    with pytest.raises((xprep.UnfinishedStoreError, FileNotFoundError)):  # no pixel may have been written by then
        xprep.open_image(target)
    assert image.prep.to_ome_zarr(target, overwrite=True).shapes[0] == image.shape
