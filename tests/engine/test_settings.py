"""dask's own settings: whatever is set, the same bits come out, or a sentence before anything is begun."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import dask
import dask.multiprocessing
import dask.threaded
import numpy as np
import pytest
from zarr.storage import MemoryStore

import xprep

SETTINGS: dict[str, dict[str, Any]] = {
    "fuse off": {"optimization.fuse.active": False},
    "fuse on": {"optimization.fuse.active": True},
    "fuse wide": {"optimization.fuse.ave-width": 8, "optimization.fuse.subgraphs": True},
    "tuning off": {"optimization.tune.active": False},
    "annotations": {"optimization.annotations.fuse": False},
    "large chunks split": {"array.slicing.split-large-chunks": True},
    "large chunks kept": {"array.slicing.split-large-chunks": False},
    "tiny chunks": {"array.chunk-size": "4 KiB", "array.chunk-size-tolerance": 1.01},
    "rechunk": {"array.rechunk.method": "tasks", "array.rechunk.threshold": 1},
    "backend": {"array.backend": "numpy"},
    "names must be lasting": {"tokenize.ensure-deterministic": True},
    "threads": {"scheduler": "threads"},
    "threading": {"scheduler": "threading"},
    "capitals": {"scheduler": "Threads"},
    "sync": {"scheduler": "sync"},
    "synchronous": {"scheduler": "synchronous"},
    "single-threaded": {"scheduler": "single-threaded"},
    "function": {"scheduler": dask.threaded.get},
    "function of one thread": {"scheduler": dask.get},
    "none": {"scheduler": None},
    "empty": {"scheduler": ""},
    "one worker": {"num_workers": 1},
    "seven workers": {"num_workers": 7},
    "workers of named threads": {"scheduler": "threads", "num_workers": 2},
}
POOLS: dict[str, Callable[[], Any]] = {"executor": lambda: ThreadPoolExecutor(2), "pool of threads": lambda: ThreadPool(2)}


def written(url: Path) -> np.ndarray:
    image = xprep.open_image(url.parent / "in.zarr").prep.normalize(p=99, sigma=1)
    image.prep.to_ome_zarr(url, scale_factors=(2,), chunks={"y": 32, "x": 32}, overwrite=True)
    return xprep.open_image(url, level=1).values


def cropped(url: Path) -> np.ndarray:
    image = xprep.open_image(url.parent / "in.zarr").chunk({"y": 24})
    return image.prep.gaussian_filter(2).isel(y=slice(5, 50), x=[3, 9, 40]).compute().values


def counted(url: Path) -> np.ndarray:
    labels = (xprep.open_image(url.parent / "in.zarr").isel(c=0) > 100).astype("int32")
    return np.asarray(xprep.RoiTable.from_labels(labels).xpix)


def eager(url: Path) -> np.ndarray:
    return xprep.open_image(url.parent / "in.zarr").load().prep.rescale({"y": 0.7, "x": 1.3}).values


OPERATIONS = (written, cropped, counted, eager)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    image.prep.to_ome_zarr(folder / "in.zarr", chunks={"y": 32, "x": 32}, scale_factors=())
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, np.ndarray]:
    return {operation.__name__: operation(folder / "plain.zarr") for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_settings_do_not_show(
    settings: dict[str, Any], operation: Callable[[Path], np.ndarray], folder: Path, expected: dict[str, np.ndarray]
) -> None:
    with dask.config.set(settings):
        found = operation(folder / "a.zarr")
    np.testing.assert_array_equal(found, expected[operation.__name__])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("setting", ["pool", "scheduler"])
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_pools_do_not_show(
    pool: Callable[[], Any], setting: str, operation: Callable[[Path], np.ndarray], folder: Path, expected: dict[str, Any]
) -> None:
    with pool() as made:
        if setting == "scheduler" and isinstance(made, ThreadPool):
            with dask.config.set(scheduler=made), pytest.raises(ValueError, match="Unexpected scheduler"):
                written(folder / "never.zarr")
            assert not (folder / "never.zarr").exists()
            return
        with dask.config.set({setting: made}):
            found = operation(folder / "a.zarr")
    np.testing.assert_array_equal(found, expected[operation.__name__])


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no such scheduler": ({"scheduler": "slurm"}, ValueError, "Expected one of"),
    "a number": ({"scheduler": 4}, ValueError, "Unexpected scheduler: 4"),
    "no client": ({"scheduler": "distributed"}, RuntimeError, "no Client active"),
    "no client, by its long name": ({"scheduler": "dask.distributed"}, RuntimeError, "no Client active"),
}


@pytest.mark.parametrize("operation", [written, counted], ids=lambda operation: operation.__name__)
@pytest.mark.parametrize(("settings", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_compute_is_refused_before_anything_is_begun(
    settings: dict[str, Any], error: type[Exception], words: str, operation: Callable[[Path], Any], folder: Path
) -> None:
    with dask.config.set(settings), pytest.raises(error, match=words):
        operation(folder / "never.zarr")
    assert not (folder / "never.zarr").exists()


@pytest.mark.parametrize("scheduler", ["processes", dask.multiprocessing.get], ids=["name", "function"])
def test_a_store_in_memory_is_not_written_by_processes(scheduler: Any, folder: Path) -> None:
    """Each would write into a copy: a store that looks complete, and has no pixels."""
    with dask.config.set(scheduler=scheduler), pytest.raises(ValueError, match="lies in the memory of this process"):
        xprep.open_image(folder / "in.zarr").prep.to_ome_zarr(MemoryStore())


class Failing:
    """Fails at its second chunk, while the first is being computed."""

    def __init__(self) -> None:
        self.running, self.most, self._lock = 0, 0, threading.Lock()

    def __call__(self, block: np.ndarray) -> np.ndarray:
        with self._lock:
            self.running, self.most = self.running + 1, self.most + 1
            second = self.most == 2
        try:
            if second:
                raise KeyboardInterrupt
            threading.Event().wait(0.3)
            return block
        finally:
            with self._lock:
                self.running -= 1


@pytest.mark.parametrize("settings", [{}, {"pool": None}, {"scheduler": None}], ids=["own threads", "pool", "scheduler"])
def test_what_was_begun_is_finished_before_an_interrupt_returns(settings: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    failing = Failing()
    image = xprep.open_image(folder / "in.zarr").chunk({"y": 32, "x": 32})
    made = image.data.map_blocks(failing, dtype=image.dtype, name="failing", meta=np.empty((0, 0, 0), image.dtype))
    image = image.copy(data=made)
    with ThreadPoolExecutor(4) as pool, dask.config.set({key: pool for key in settings}):
        with pytest.raises(KeyboardInterrupt, match="not finished"):
            image.prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 32, "x": 32})
        assert failing.running == 0


# The client in a coroutine


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster in this process, without a client here."""
    from distributed import LocalCluster

    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**how) as cluster:
        yield cluster.scheduler_address


def in_coroutine(address: str, work: Callable[[], Any]) -> Any:
    """Return what ``work`` gives inside of a coroutine with an asynchronous client; a hang is an error."""
    found: list[Any] = []

    async def main() -> Any:
        from distributed import Client

        async with Client(address, asynchronous=True):
            result = work()
            return await result if asyncio.iscoroutine(result) else result

    def run() -> None:
        try:
            found.append(asyncio.run(main()))
        except Exception as error:  # noqa: BLE001  (it is what is looked at)
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(300)
    assert found, "it hangs"
    return found[0]


@pytest.mark.parametrize("operation", [written, counted], ids=lambda operation: operation.__name__)
def test_an_asynchronous_client_is_refused_in_its_loop(
    operation: Callable[[Path], Any], address: str, folder: Path, expected: dict[str, np.ndarray]
) -> None:
    found = in_coroutine(address, lambda: operation(folder / "never.zarr"))
    assert isinstance(found, RuntimeError)
    assert "await asyncio.to_thread(image.prep.to_ome_zarr, url)" in str(found)
    assert not (folder / "never.zarr").exists()
    # What the sentence says, does it.
    found = in_coroutine(address, lambda: asyncio.to_thread(operation, folder / "b.zarr"))
    np.testing.assert_array_equal(found, expected[operation.__name__])


def test_a_closed_client_is_refused(address: str, folder: Path) -> None:
    from distributed import Client

    client = Client(address)
    client.close()
    with dask.config.set(scheduler=client), pytest.raises(RuntimeError, match="the dask client is closed"):
        written(folder / "never.zarr")
    assert not (folder / "never.zarr").exists()
