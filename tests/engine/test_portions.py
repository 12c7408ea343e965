"""Work of many tiles is done in portions: the same bits, each chunk read as often, and graphs that do not grow with the image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.array.optimization import optimize
from dask.core import flatten

import xprep
from tests.conftest import IDLE
from tests.helpers.listeners import Heard
from tests.helpers.sources import CountingSource, counted
from tests.laws.operations import OPERATIONS, Operation, assert_same_bits
from xprep.engine.blocks import needs
from xprep.engine.blocks.folds import Fold, fold
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.halos import Reach
from xprep.engine.computing import nested
from xprep.engine.filling.level_tasks import WrittenTile
from xprep.engine.filling.summaries import Seen
from xprep.engine.filling.write import Target, write
from xprep.engine.graph.driven import driven_task
from xprep.engine.graph.tasks import Key, Tasks, call
from xprep.engine.running.run import run
from xprep.engine.sources.readable import read_array

pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")
CHUNKS = {"c": 1, "y": 16, "x": 16}


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Portions of a few small tiles."""
    monkeypatch.setattr(needs, "PORTION", 10)
    monkeypatch.setattr(needs, "PER_THREAD", 1)
    monkeypatch.setattr(needs, "HEIGHT", 3)
    with xprep.set_options(tile_bytes=3 * 16 * 16 * 2):
        yield


def example(dtype: str = "uint16", shape: tuple[int, ...] = (3, 90, 120)) -> xr.DataArray:
    pixels = np.random.default_rng(3).lognormal(4, 1, shape).clip(0, 60000)
    coords = {dim: np.arange(float(size)) for dim, size in zip("yx", shape[1:], strict=True)}
    return xr.DataArray(pixels.astype(dtype), coords, ("c", "y", "x"))


def large(shape: tuple[int, ...], chunks: tuple[int, ...], name: str) -> xr.DataArray:
    """An image that is nowhere, and is never read."""

    class Nothing:
        cost, dtype = "local", np.dtype("uint16")

        def read(self, region: tuple[slice, ...]) -> np.ndarray:
            raise AssertionError("this image is only planned")

    source: Any = Nothing()
    source.shape, source.chunks = shape, chunks
    return xr.DataArray(read_array(source, token=name), dims=("c", "y", "x"))


def count_tasks(array: da.Array) -> int:
    return len(optimize(array.dask, list(flatten(array.__dask_keys__()))))


# The same bits


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_portions_do_not_show(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    image = example(operation.images.get("dtypes", ("uint16",))[-1], (3, 40, 70))
    with xprep.set_options(tile_bytes=3 * 16 * 16 * 2, intermediates="recompute"):
        whole = operation.call(counted(image, CHUNKS)[0], **operation.example).compute()
        monkeypatch.setattr(needs, "PORTION", 2)
        monkeypatch.setattr(needs, "PER_THREAD", 1)
        monkeypatch.setattr(needs, "HEIGHT", 2)
        assert_same_bits(operation.call(counted(image, CHUNKS)[0], **operation.example).compute(), whole)


WRITTEN: dict[str, tuple[Callable[[xr.DataArray], Any], dict[str, Any]]] = {
    "as it is": (lambda image: image, {}),
    "one level": (lambda image: image, {"scale_factors": ()}),
    "a factor of three": (lambda image: image, {"scale_factors": (3, 2), "method": "max"}),
    "gaussian levels": (lambda image: image, {"method": "gaussian", "scale_factors": (2,)}),
    "blurred": (lambda image: image.prep.gaussian_filter(2), {}),
    "blurred twice": (lambda image: image.prep.gaussian_filter(1).prep.gaussian_filter({"y": 2, "x": 1}), {}),
    "rescaled": (lambda image: image.prep.rescale({"y": 1.5, "x": 0.7}), {"scale_factors": (2,)}),
    "normalised": (lambda image: image.prep.normalize(sigma=1, intermediates="recompute"), {}),
    "normalised, channels last": (
        lambda image: image.transpose("y", "x", "c").prep.normalize(sigma=1, intermediates="recompute"), {"scale_factors": (2,)},
    ),
    "spilled": (lambda image: image.prep.normalize(sigma=1, intermediates="spill"), {}),
    "persisted": (lambda image: image.prep.normalize(sigma=1, intermediates="persist"), {"scale_factors": ()}),
}  # fmt: skip


def stored(folder: Path) -> dict[str, bytes]:
    """Return everything in a store but its metadata, where times stand."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != "zarr.json")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", WRITTEN)
def test_stores_are_equal_to_the_byte(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    make, how = WRITTEN[name]
    how = {"chunks": {"y": 16, "x": 16}, "progress": False, **how}
    image = example()
    with xprep.set_options(tile_bytes=3 * 16 * 16 * 2, scratch_url=str(tmp_path)):
        whole = make(counted(image, CHUNKS)[0]).prep.to_ome_zarr(tmp_path / "whole.zarr", **how)
        request.getfixturevalue("small_portions")
        report = make(counted(image, CHUNKS)[0]).prep.to_ome_zarr(tmp_path / "portions.zarr", **how)
    assert stored(tmp_path / "portions.zarr") == stored(tmp_path / "whole.zarr")
    assert (report.nbytes, report.units, report.statistics) == (whole.nbytes, whole.units, whole.statistics)
    windows = [xprep.open_image(tmp_path / f"{which}.zarr").attrs.get("omero") for which in ("whole", "portions")]
    assert windows[0] == windows[1]


def test_each_chunk_is_read_once_a_pass(small_portions: None, tmp_path: Path) -> None:
    image, source = counted(example(), CHUNKS)
    image.prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 16, "x": 16}, progress=False)
    assert source.reads_per_chunk == 1
    source.reads.clear()
    image.prep.normalize(p_sum=None, p_post=None, sigma=None, intermediates="recompute").prep.to_ome_zarr(
        tmp_path / "b.zarr", chunks={"y": 16, "x": 16}, progress=False
    )
    assert source.reads_per_chunk == 2
    source.reads.clear()
    with xprep.set_options(scratch_url=str(tmp_path / "scratch")):
        image.prep.normalize(sigma=1, intermediates="spill").prep.to_ome_zarr(
            tmp_path / "c.zarr", chunks={"y": 16, "x": 16}, progress=False
        )
    assert source.reads_per_chunk == 1


# Graphs that do not grow


@pytest.mark.parametrize("side", [30_000, 100_000])
def test_a_slice_of_a_lazy_result_has_a_few_tasks(side: int) -> None:
    image = large((8, side, side), (1, 1024, 1024), f"slice-{side}")
    result = image.prep.normalize(intermediates="recompute")
    assert count_tasks(result.isel(y=slice(0, 1000), x=slice(0, 1000)).data) <= 48
    assert count_tasks(image.prep.quantile(0.5).data) <= 8


@pytest.mark.parametrize("side", [100_000, 350_000])  # 0.8 and 9.8 TB
@pytest.mark.parametrize("sigma", [0, 2])
def test_ten_terabytes_are_written_with_few_tasks_alive(side: int, sigma: float) -> None:
    """Every portion is built, from the first to the last, and nothing of it computed."""
    alive: list[int] = []
    tiles: list[int] = []

    class Nowhere:
        shape, dtype, unit = (40, side, side), np.dtype("float32"), (1, 1024, 1024)

    def compute(tasks: Tasks, keys: Sequence[Key], ntiles: int) -> tuple[Any, ...]:
        alive.append(len(tasks))
        tiles.append(ntiles)
        return tuple(WrittenTile(None, Seen({}, 0, 1)) for _ in keys)

    with xprep.set_options(tile_bytes=2**29):
        image = large((40, side, side), (1, 1024, 1024), f"driven-{side}").prep.gaussian_filter(sigma)
        targets = [Target(Nowhere(), step) for step in ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))]  # type: ignore[arg-type]
        value = write(image.data, targets, lambda block, factors: block, 0)
        found = driven_task(value.dask.layers[value.key])
        assert found is not None
        result = found[0].drive((), compute)
    assert sum(tiles) == found[0].ntiles
    assert result.units == np.prod(found[0].pyramid.layers[-1].counts)  # type: ignore[attr-defined]
    assert max(alive) < 8 * needs.PORTION


# Whoever waits


def test_a_pass_is_told_under_its_own_name(small_portions: None, tmp_path: Path) -> None:
    heard = Heard()
    image = counted(example(), CHUNKS)[0]
    report = image.prep.normalize(sigma=1, intermediates="recompute").prep.to_ome_zarr(
        tmp_path / "a.zarr", chunks={"y": 16, "x": 16}, progress=heard
    )
    assert list(dict.fromkeys(heard.stages)) == [
        "percentiles of the channels", "threshold of their sum", "percentiles after", "writing",
    ]  # fmt: skip
    assert heard.nbytes == report.nbytes


def slow_fold(source: CountingSource, see: Callable[[np.ndarray, BlockPlace], Any]) -> Any:
    array = read_array(source, chunks=(1, 16, 16), reading=0, alone=True, token=f"slow-{id(source)}")  # type: ignore[arg-type]
    return fold(Fold(see, sum), array, needs=Reach((0, 1, 1)))


def test_no_more_tiles_are_made_at_once_than_there_are_threads(small_portions: None) -> None:
    """Of two folds in one graph, each of which computes with all threads, one has its turn after the other."""
    running, most, lock = 0, 0, threading.Lock()

    def see(block: np.ndarray, place: BlockPlace) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        block.sum()
        with lock:
            running -= 1
        return 1

    sources = [CountingSource(np.zeros((1, 96, 96), "uint8"), (1, 16, 16)) for _ in range(4)]
    with dask.config.set(num_workers=2):
        found = dask.compute(*(slow_fold(source, see) for source in sources), scheduler="threads", num_workers=2)
    assert found == (36,) * 4
    assert most <= 2


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_a_pass_ends_when_nobody_waits_for_it(small_portions: None, scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """dask leaves its loop at Ctrl-C, and a task that it began goes on: this one computes a whole image."""
    monkeypatch.setattr(nested, "LOOK_SECONDS", 0.0)
    begun, ended, end = threading.Event(), [], threading.Event()
    source = CountingSource(np.zeros((1, 320, 320), "uint8"), (1, 16, 16))

    def see(block: np.ndarray, place: BlockPlace) -> int:
        if not begun.is_set():
            begun.set()
            if scheduler == "sync":
                raise KeyboardInterrupt
        return 1

    value = slow_fold(source, see)

    def interrupt(*_: Any) -> None:
        begun.wait(60)
        raise KeyboardInterrupt

    def watched(*inputs: Any) -> Any:
        try:
            return task(*inputs)
        except BaseException as error:
            ended.append(error)
            end.set()
            raise

    task, *keys = value.dask[value.key]
    graph = {**dict(value.dask), value.key: (watched, *keys), "other": (interrupt,)}
    with pytest.raises(KeyboardInterrupt):
        dask.threaded.get(graph, [value.key, "other"], num_workers=2) if scheduler == "threads" else dask.get(graph, value.key)
    assert end.wait(300)
    assert source.total < source.nchunks
    assert isinstance(ended[0], CancelledError if scheduler == "threads" else KeyboardInterrupt)


def test_what_is_interrupted_goes_on(small_portions: None, tmp_path: Path) -> None:
    """Tiles and statistics of the first run are kept; what is resumed equals what was done at once."""
    url = tmp_path / "in.zarr"
    how: dict[str, Any] = {"chunks": {"y": 16, "x": 16}, "progress": False}
    example().prep.to_ome_zarr(url, scale_factors=(), **how)

    class Stop(Heard):
        def advanced(self, stage: str, steps: int, nbytes: int) -> None:
            super().advanced(stage, steps, nbytes)
            if stage == "writing" and self.nbytes > 3 * 90 * 120 * 2:
                raise KeyboardInterrupt

    def image() -> Any:
        return xprep.open_image(url).prep.normalize(sigma=1, intermediates="recompute")

    with pytest.raises(KeyboardInterrupt, match="resume=True"):
        image().prep.to_ome_zarr(tmp_path / "a.zarr", **(how | {"progress": Stop()}))
    report = image().prep.to_ome_zarr(tmp_path / "a.zarr", resume=True, **how)
    assert report.nbytes_before > 0
    image().prep.to_ome_zarr(tmp_path / "b.zarr", **how)
    assert stored(tmp_path / "a.zarr") == stored(tmp_path / "b.zarr")


def test_clusters_drive_too(small_portions: None, tmp_path: Path) -> None:
    """From the client; and where the lazy image, or the lazy writing, is a task of the cluster."""
    from distributed import Client, LocalCluster

    url = tmp_path / "in.zarr"
    how: dict[str, Any] = {"chunks": {"y": 16, "x": 16}, "scale_factors": (2,), "progress": False}
    example().prep.to_ome_zarr(url, **how)
    result = xprep.open_image(url).prep.normalize(sigma=1, intermediates="recompute")
    expected = result.compute()
    with dask.config.set(IDLE):
        cluster = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0")
    with cluster, Client(cluster):
        assert_same_bits(result.compute(), expected)
        result.prep.to_ome_zarr(tmp_path / "a.zarr", **how)
        result.prep.to_ome_zarr(tmp_path / "b.zarr", compute=False, **how).compute()
    assert stored(tmp_path / "a.zarr") == stored(tmp_path / "b.zarr")
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values, expected.values)


def test_work_below_values_is_done_once(small_portions: None) -> None:
    """Two values of one fold, and one of both."""
    source = CountingSource(np.ones((1, 96, 96), "uint8"), (1, 16, 16))
    total = slow_fold(source, lambda block, place: 1)
    twice = call(lambda value: 2 * value, total)
    (found, _) = run([total, twice, call(lambda a, b: a + b, total, twice)], "adding")
    assert found == (36, 72, 108)
    assert source.total <= 36 * 2
