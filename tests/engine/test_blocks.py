"""The engine: geometry of blocks against numpy slicing, folds, what is kept where, and how many tasks that takes."""

from __future__ import annotations

import copy
import gc
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.array.optimization import optimize
from dask.core import flatten
from hypothesis import given
from hypothesis import strategies as st

import xprep
from tests.helpers.servers import Server
from tests.helpers.sources import CountingSource, counted
from tests.laws.strategies import chunks_of
from tests.laws.test_laws import python
from xprep.engine.blocks.folds import Fold, fold
from xprep.engine.blocks.gather import BlockPlace, gather
from xprep.engine.graph.tasks import SKIPPED, call, clone, is_skipped
from xprep.engine.passes.keep import choose, keep
from xprep.engine.sources.readable import arrange, pick, read_array, retile
from xprep.io.arrays.reads import open_array
from xprep.io.commit.scratch import find_scratch
from xprep.io.store.places import open_store

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 14), st.integers(1, 14))


@st.composite
def cut_arrays(draw: st.DrawFn) -> tuple[np.ndarray, da.Array]:
    shape = draw(SHAPES)
    array = np.arange(np.prod(shape), dtype="int64").reshape(shape)
    chunks = tuple(draw(chunks_of(n)) for n in shape)
    if draw(st.booleans()):
        source = CountingSource(array, [draw(st.integers(1, n)) for n in shape])
        return array, read_array(source, token=f"{id(source)}-{draw(st.integers(0, 10**9))}", chunks=chunks)
    return array, da.from_array(array, chunks=chunks)


# Geometry


@given(data=st.data())
def test_every_block_gets_the_region_that_it_needs(data: st.DataObject) -> None:
    array, lazy = data.draw(cut_arrays())
    chunks = tuple(data.draw(chunks_of(n)) for n in array.shape)
    reach = data.draw(st.tuples(*[st.integers(0, 9)] * 3))

    def check(block: np.ndarray, place: BlockPlace) -> np.ndarray:
        region = tuple(slice(max(0, a - r), min(n, b + r)) for (a, b), r, n in zip(place.output, reach, array.shape, strict=True))
        assert place.input == tuple((s.start, s.stop) for s in region)
        assert place.shape == array.shape
        np.testing.assert_array_equal(block, array[region])
        return block[tuple(slice(o[0] - i[0], o[1] - i[0]) for o, i in zip(place.output, place.input, strict=True))] + 1

    found = gather(check, lazy, dtype=array.dtype, chunks=chunks, needs=lambda axis, a, b: (a - reach[axis], b + reach[axis]))
    assert found.chunks == chunks
    np.testing.assert_array_equal(found.compute(scheduler="sync"), array + 1)


@given(data=st.data())
def test_beyond_its_ends_a_wrapped_axis_begins_anew(data: st.DataObject) -> None:
    array, lazy = data.draw(cut_arrays())
    before, after = data.draw(st.tuples(st.integers(0, 40), st.integers(0, 40)))

    def check(block: np.ndarray, place: BlockPlace) -> np.ndarray:
        rows = np.arange(place.output[1][0] - before, place.output[1][1] + after)
        columns = slice(*place.output[2])
        np.testing.assert_array_equal(block, array[slice(*place.output[0])].take(rows, axis=1, mode="wrap")[:, :, columns])
        return block[:, before : block.shape[1] - after]

    def needs(axis: int, a: int, b: int) -> tuple[int, int]:
        return (a - before, b + after) if axis == 1 else (a, b)

    np.testing.assert_array_equal(gather(check, lazy, dtype=array.dtype, needs=needs, wrap=True).compute(scheduler="sync"), array)


@given(data=st.data())
def test_results_of_another_size(data: st.DataObject) -> None:
    """Every second pixel: the output's chunks are none of the input's."""
    array, lazy = data.draw(cut_arrays())
    chunks = tuple(data.draw(chunks_of((n + 1) // 2)) for n in array.shape)
    found = gather(
        lambda block, place: block[::2, ::2, ::2],
        lazy,
        dtype=array.dtype,
        chunks=chunks,
        needs=lambda axis, a, b: (2 * a, 2 * b - 1),
    )
    np.testing.assert_array_equal(found.compute(scheduler="sync"), array[::2, ::2, ::2])


@given(data=st.data())
def test_arranged_picked_and_cut_anew(data: st.DataObject) -> None:
    array, lazy = data.draw(cut_arrays())
    axes = data.draw(st.permutations((0, 1, 2, None)))
    moved = arrange(lazy, axes)
    desired = np.expand_dims(array, 0).transpose([0 if axis is None else axis + 1 for axis in axes])
    np.testing.assert_array_equal(moved.compute(scheduler="sync"), desired)
    axis = data.draw(st.sampled_from([i for i, a in enumerate(axes) if a is not None]))
    positions = data.draw(st.lists(st.integers(0, desired.shape[axis] - 1), min_size=1, max_size=6))
    chosen = pick(moved, axis, positions)
    np.testing.assert_array_equal(chosen.compute(scheduler="sync"), desired.take(positions, axis))
    tile = tuple(data.draw(st.integers(1, n)) for n in chosen.shape)
    np.testing.assert_array_equal(retile(chosen, tile, 3).compute(scheduler="sync"), desired.take(positions, axis))


# Folds


@given(data=st.data())
def test_a_fold_sees_every_block_once_and_joins_them_in_order(data: st.DataObject) -> None:
    array, lazy = data.draw(cut_arrays())
    seen = fold(Fold(lambda block, place: [place.output], lambda parts: [one for part in parts for one in part]), lazy).compute(
        scheduler="sync"
    )
    starts = [np.concatenate([[0], np.cumsum(lengths)]) for lengths in lazy.chunks]
    desired = [
        tuple((int(s[i]), int(s[i + 1])) for s, i in zip(starts, index, strict=True)) for index in np.ndindex(*lazy.numblocks)
    ]
    assert seen == desired
    total = fold(Fold(lambda block, place, offset: int((block + offset).sum()), sum), lazy, call(lambda: 5)).compute(
        scheduler="sync"
    )
    assert total == int((array + 5).sum())


def test_a_fold_that_nobody_needs_reads_nothing() -> None:
    image, source = counted(xr.DataArray(np.ones((4, 6)), dims=("y", "x")), {"y": 2, "x": 2})
    for alone in (True, False):
        lazy = retile(image.data, (2, 2), 1, call(lambda: True), alone=alone)
        found = fold(Fold(lambda block, place: block.sum(), sum), lazy, unless=call(lambda: True)).compute()
        assert is_skipped([found])
        assert source.total == 0
        found = fold(
            Fold(lambda block, place: block.sum(), sum), retile(image.data, (2, 2), 2), unless=call(lambda: False)
        ).compute()
        assert found == 24
        source.reads.clear()


def test_a_read_is_fused_into_its_fold() -> None:
    image, source = counted(xr.DataArray(np.ones((40, 40)), dims=("y", "x")), {"y": 4, "x": 4})
    total = fold(Fold(lambda block, place: block.sum(), sum), retile(image.data, (4, 4), 1, alone=True))
    assert len(total.dask) < 1.5 * source.nchunks, "a task a block, and the tree of joins"
    assert total.compute() == 1600


def test_skipped_survives_pickling() -> None:
    assert is_skipped([1, copy.deepcopy(SKIPPED), cloudpickle.loads(cloudpickle.dumps(SKIPPED))])
    assert not is_skipped([None, 0, np.zeros(3)])


# Clones


def graphs(x: da.Array) -> dict[str, da.Array]:
    return {
        "slice": x[:, 1:], "take": da.take(x, [1, 0], axis=0), "fancy": x[:, [2, 0]],
        "rechunk": x.rechunk((2, 3, 2)),
        "transpose": x.T, "concatenate": da.concatenate([x[1:], x[:1]]),
        "sum": x.sum(axis=0), "cumsum": x.cumsum(axis=0),
        "where": da.where(x > 3, x, 0), "overlap": da.overlap.overlap(x, {1: 1, 2: 1}, "reflect"),
        "map_blocks": x.map_blocks(lambda block: block + 1), "blockwise": x + x.mean(), "stack": da.stack([x, x * 2]),
        "optimized": dask.optimize(x * 2 + 1)[0],
    }  # fmt: skip


@pytest.mark.parametrize("name", graphs(da.ones((2, 3, 4), chunks=(1, 2, 2))))
def test_a_clone_gives_the_same_and_shares_nothing(name: str) -> None:
    array = graphs(da.from_array(np.arange(24).reshape(2, 3, 4), chunks=(1, 2, 2)))[name]
    one, other = clone(array, 1), clone(array, 2)
    np.testing.assert_array_equal(one.compute(), array.compute())
    assert not set(one.dask) & set(array.dask)
    assert not set(one.dask) & set(other.dask)
    assert one.chunks == array.chunks


# What is kept


COSTS = [
    ("local", 10**12, "persist"), ("local", 1, "recompute"),
    ("remote", 10**12, "persist"), ("remote", 1, "spill"),
    ("memory", 10**12, "recompute"), ("memory", 1, "recompute"),
    ("computed", 10**12, "persist"), ("computed", 1, "spill"),
]  # fmt: skip


@pytest.mark.parametrize(("cost", "limit", "placement"), COSTS)
def test_auto_chooses_by_size_and_by_where_the_source_lives(cost: str, limit: int, placement: str) -> None:
    image, _ = counted(xr.DataArray(np.ones((16, 16)), dims=("y", "x")), {"y": 4, "x": 4}, cost)
    data = image.data + 1 if cost == "computed" else image.data
    with xprep.set_options(memory_limit=limit):
        assert choose(data, 3, "auto") == placement
        assert choose(data, 1, "auto") == "recompute", "one pass needs no keeping"
        for asked in ("recompute", "persist", "spill"):
            assert choose(data, 3, asked) == asked  # type: ignore[arg-type]


def test_a_store_says_what_reading_it_costs(tmp_path: Path, s3: Server) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), dtype="u1")
    store = zarr.storage.MemoryStore()
    zarr.create_array(store, shape=(4, 4), dtype="u1")
    bucket = s3.new_bucket()
    zarr.create_array(f"{bucket}/a.zarr", shape=(4, 4), dtype="u1", storage_options=s3.storage_options())
    for url, options, cost in (
        (tmp_path / "a.zarr", None, "local"),
        (store, None, "memory"),
        (f"{bucket}/a.zarr", s3.storage_options(), "remote"),
    ):
        assert open_array(open_store(url, options)).cost == cost


@pytest.mark.parametrize("placement", ["recompute", "persist", "spill"])
def test_every_reading_gives_the_same(placement: Any, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 20, 22))
    for lazy in (
        counted(xr.DataArray(array, dims=("c", "y", "x")), {"y": 5, "x": 5})[0].data,
        da.from_array(array, chunks=(1, 7, 9)) * 1,
    ):
        with xprep.set_options(scratch_url=str(tmp_path)):
            kept = keep(lazy, 3, (3, 8, 8), placement)
        readings = [kept.reading(number) for number in range(3)]
        for found in dask.compute(*readings):
            np.testing.assert_array_equal(found, array)


# Scratch


def test_scratch_is_there_as_long_as_somebody_needs_it(tmp_path: Path) -> None:
    image = xprep.datasets.blobs(2, (64, 64)).chunk({"y": 16})
    with xprep.set_options(scratch_url=str(tmp_path), intermediates="spill"):
        result = xprep.normalize(image)
    assert list(tmp_path.iterdir()) == [], "building writes nothing"
    first = result.compute()
    assert len(find_scratch(tmp_path)) == 1
    xr.testing.assert_identical(result.compute(), first)
    del result, image
    gc.collect()
    assert list(tmp_path.iterdir()) == []


KILLED = """
    import os, signal, sys
    import xprep
    xprep.set_options(scratch_url=sys.argv[1], intermediates="spill", progress="off")
    result = xprep.normalize(xprep.datasets.blobs(2, (64, 64)).chunk({"y": 16}))
    result.compute()
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_scratch_is_removed_when_python_ends(tmp_path: Path) -> None:
    done = python(KILLED, tmp_path, "ends")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_scratch_of_a_killed_process_is_found_and_removed_by_the_next(tmp_path: Path) -> None:
    done = python(KILLED, tmp_path, "killed")
    assert done.returncode == -signal.SIGKILL
    (left,) = find_scratch(tmp_path)
    assert left.is_alive is False
    assert left.owner is not None
    assert left.owner.pid != os.getpid()
    image = xprep.datasets.blobs(2, (64, 64)).chunk({"y": 16})
    with xprep.set_options(scratch_url=str(tmp_path), intermediates="spill"):
        result = xprep.normalize(image)
        result.compute()
    (mine,) = find_scratch(tmp_path)
    assert mine.is_alive is True
    assert mine.url != left.url


# Numbers


def big(chunks: Sequence[int] = (1, 1024, 1024), side: int = 16384) -> xr.DataArray:
    class Nothing:
        shape, dtype, cost = (8, side, side), np.dtype("uint16"), "local"

        def read(self, region: tuple[slice, ...]) -> np.ndarray:
            raise AssertionError("this image is only planned")

    source = Nothing()
    source.chunks = tuple(chunks)  # type: ignore[attr-defined]
    return xr.DataArray(read_array(source, token=f"nothing-{side}"), dims=("c", "y", "x"))  # type: ignore[arg-type]


# Tasks per chunk of the source, after dask's optimisation. A tile holds 8 chunks here: of each chunk a view of its tile
# is handed out (1), the rest are passes over tiles.
TASKS = {"normalize": 2.7, "quantile": 0.3, "gaussian_filter": 1.5}
CALLS = {
    "normalize": lambda image: xprep.normalize(image, intermediates="recompute"),
    "quantile": lambda image: xprep.quantile(image, 0.5),
    "gaussian_filter": lambda image: xprep.gaussian_filter(image, 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_tasks_per_chunk(name: str) -> None:
    image = big(side=8192)
    result = CALLS[name](image)
    tasks = len(optimize(result.data.dask, list(flatten(result.data.__dask_keys__())))) / image.data.npartitions
    assert tasks <= TASKS[name]
    assert tasks > TASKS[name] / 3, "the number is out of date"


@pytest.mark.parametrize("name", CALLS)
def test_graphs_grow_with_the_number_of_chunks_and_not_faster(name: str) -> None:
    per_chunk = [len(CALLS[name](image).data.dask) / image.data.npartitions for image in (big(side=8192), big(side=32768))]
    assert per_chunk[1] < 1.3 * per_chunk[0] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_an_image_of_ten_terabytes_is_planned_in_seconds(name: str) -> None:
    image = big((1, 2048, 2048), side=800_000)  # 8 x 800 000 x 800 000 uint16: 10 TB, 1.2 million chunks
    assert image.nbytes > 10**13
    start = process_time()
    result = CALLS[name](image)
    assert process_time() - start < 30
    assert result.data.npartitions == (1 if name == "quantile" else image.data.npartitions)


def test_too_many_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"blocks; at most 20,000,000.*chunks="):
        big((1, 16, 16), side=800_000)
