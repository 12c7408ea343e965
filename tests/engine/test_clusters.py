"""dask.distributed: what goes wrong on clusters is handled, or said; and Ctrl-C, which workers must not hear."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from zarr.storage import MemoryStore

import xprep
from tests import paths
from tests.helpers.crashes import objects, wait_for
from tests.helpers.listeners import Heard
from tests.helpers.sources import CountingSource
from xprep.engine.blocks.deliver import deliver
from xprep.engine.computing.waiting import NobodyWorksError
from xprep.engine.running.cluster import connect
from xprep.engine.sources.readable import read_array, retile

SETUP = {"tile_bytes": 2**15, "progress": "off"}


def write(image: xr.DataArray, target: Any, **options: Any) -> Any:
    return image.prep.gaussian_filter(1).prep.to_ome_zarr(target, scale_factors=(2,), chunks={"y": 32, "x": 32}, **options)


def image(size: int = 128) -> xr.DataArray:
    return xprep.datasets.blobs(channels=1, shape=(size, size))


@pytest.fixture
def small_cluster() -> Iterator[Any]:
    """A cluster in this process, and a client of it."""
    from distributed import Client, LocalCluster

    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**how) as cluster, Client(cluster) as client:
        yield client


# The traps


def test_array_expressions_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    program = (
        "import sys, xprep\n"
        "image = xprep.datasets.blobs(channels=1, shape=(32, 32))\n"
        "for call in (lambda: image.prep.to_ome_zarr(sys.argv[1] + '/a.zarr'), lambda: image.prep.project('c'),\n"
        "             lambda: image.chunk({'y': 8}).prep.gaussian_filter(1)):\n"
        "    try:\n"
        "        call()\n"
        "    except RuntimeError as error:\n"
        "        print('array-expr' if 'DASK_ARRAY__QUERY_PLANNING=False' in str(error) else error)\n"
    )
    environment = {**os.environ, "DASK_ARRAY__QUERY_PLANNING": "True"}
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, env=environment)
    assert ran.stdout.split() == ["array-expr"] * 3
    assert list(tmp_path.iterdir()) == []


def test_no_rechunk_is_peer_to_peer(on_cluster: Any) -> None:
    """dask's own choice where there is a client: it killed workers of 700 MiB (CLOUD §4)."""
    lazy = da.zeros((128, 128), chunks=(128, 1))
    assert any("p2p" in str(key) for key in lazy.rechunk((16, 16)).dask), "dask's choice; else this test proves nothing"
    mine = retile(lazy, (16, 16))
    assert mine.chunks == ((16,) * 8,) * 2
    back = deliver(mine, (0, 1), ((1,) * 128, (128,)))
    assert not any("p2p" in str(key) for array in (mine, back) for key in array.dask)


def test_a_local_cluster_has_the_settings_that_do_not_hang() -> None:
    with connect(workers=1) as client:
        assert dask.config.get("distributed.deploy.lost-worker-timeout") == "1h"
        assert dask.config.get("array.rechunk.method") == "tasks"
        ignored = client.run(lambda: __import__("signal").getsignal(2) == __import__("signal").SIG_IGN)
        assert list(ignored.values()) == [True]
    assert dask.config.get("distributed.deploy.lost-worker-timeout") == "15s"


def wake(dask_worker: Any) -> None:
    from distributed.core import Status

    dask_worker.status = Status.running


def test_a_worker_whose_restart_takes_long_is_not_given_up() -> None:
    """dask forgets a worker, and its nanny, that is not back in time: CLOUD §4, for ever without workers in 2 of 2 runs."""
    # dask's own 15 s are less than two restarts of a busy machine; this is less than one of any.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "50ms"}), connect(workers=1) as client:
        for _ in range(2):  # without the setting, the first restart is the last
            (before,) = client.run(os.getpid).values()
            os.kill(before, signal.SIGKILL)
            wait_for(lambda before=before: client.submit(os.getpid, pure=False).result(timeout=300) != before)


def test_paused_workers_are_not_waited_for(small_cluster: Any, tmp_path: Path) -> None:
    def pause(dask_worker: Any) -> None:
        from distributed.core import Status

        dask_worker.periodic_callbacks["memory_monitor"].stop() if "memory_monitor" in dask_worker.periodic_callbacks else None
        dask_worker.status = Status.paused

    small_cluster.run(pause)
    wait_for(lambda: {w["status"] for w in small_cluster.scheduler_info()["workers"].values()} == {"paused"})
    # Nobody would wait for ever for this test to fail: after five minutes the worker goes on, and nothing is raised.
    waking = threading.Timer(300, small_cluster.run, [wake])
    waking.start()
    with xprep.set_options(patience=1), pytest.raises(NobodyWorksError, match="all 1 workers have been paused for 1 s"):
        write(image(), tmp_path / "a.zarr")
    waking.cancel()
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(tmp_path / "a.zarr")


def test_workers_that_are_gone_are_not_waited_for(small_cluster: Any, tmp_path: Path) -> None:
    """Nobody restarts them here: a batch system killed them."""
    source = xr.DataArray(read_array(_Slow(np.ones((64, 64)), (32, 32)), token="slow"), dims=("y", "x"))
    with xprep.set_options(patience=1), pytest.raises(NobodyWorksError, match="no worker has been left for 1 s"):
        source.prep.to_ome_zarr(tmp_path / "a.zarr", progress=_Closing(small_cluster))


class _Slow(CountingSource):
    """A source that takes longer than its worker lives."""

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        time.sleep(2)
        return super().read(region)


class _Closing:
    """A listener that takes the workers away when it hears of the run for the first time."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def started(self, stage: str, total: int) -> None:
        pass

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        if workers := list(self._client.scheduler_info()["workers"]):
            self._client.retire_workers(workers, close_workers=True, remove=True)

    def finished(self, stage: str) -> None:
        pass


def test_chunks_that_do_not_fit_the_stores_are_put_together_first(tmp_path: Path) -> None:
    """da.store of such chunks lost half of the pixels (CLOUD §2g)."""
    pixels = np.random.default_rng(0).integers(0, 999, (200, 230)).astype(np.uint16)
    lazy = xr.DataArray(da.from_array(pixels, chunks=(48, 37)), dims=("y", "x"))
    with xprep.set_options(**SETUP):
        lazy.prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 64, "x": 64}, shards={"y": 128, "x": 128})
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), pixels)


def test_a_store_in_memory_is_not_written_by_other_processes(on_cluster: Any) -> None:
    with pytest.raises(ValueError, match="lies in the memory of this process, which workers cannot write to"):
        write(image(), MemoryStore())


def noting(pixels: np.ndarray, folder: Path) -> Any:
    """Return a source of one chunk that leaves a file for each of its readings, whatever process reads."""

    class Noting:  # here, so that it goes to workers by value
        shape, dtype, chunks = pixels.shape, pixels.dtype, pixels.shape

        def read(self, region: tuple[slice, ...]) -> np.ndarray:
            (folder / uuid4().hex).touch()
            return pixels[region]

    folder.mkdir()
    return Noting()


@pytest.mark.parametrize("compute", [True, False], ids=["now", "later"])
def test_images_of_one_call_share_statistics(compute: bool, on_cluster: Any, tmp_path: Path) -> None:
    """Twice for the percentiles, once for the pixels: 3, and 5 of two calls; also in the task that a lazy writing is."""
    pixels = np.random.default_rng(0).random((64, 64), np.float32)
    images = {}
    for name in "ab":
        source = noting(pixels, tmp_path / f"read-{name}")
        images[name] = xr.DataArray(read_array(source, token=f"{name}-{compute}"), dims=("y", "x"))
    with xprep.set_options(intermediates="recompute"):
        both = xr.Dataset(images).prep.normalize(sigma=None, p_sum=None, p_post=None)
    dask.compute(both.prep.to_ome_zarr(tmp_path / "out", scale_factors=(), compute=compute))
    assert [len(list((tmp_path / f"read-{name}").iterdir())) for name in "ab"] == [3, 3]


def test_a_worker_keeps_nothing_of_a_run(on_cluster: Any, tmp_path: Path) -> None:
    """The first run loads the kernels, which stay; what dask keeps of later ones (its profile, its log) is bounded."""
    image(64).prep.to_ome_zarr(tmp_path / "in.zarr", scale_factors=())

    def count() -> int:
        gc.collect()
        kinds = [type(one) for one in gc.get_objects()]
        return sum(str(kind.__module__).startswith("xprep.") or issubclass(kind, np.ndarray) for kind in kinds)

    def run(times: int) -> dict[str, int]:
        for _ in range(times):
            done = xprep.open_image(tmp_path / "in.zarr").prep.normalize(sigma=1)
            done.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), overwrite=True, progress=False)
        return dict(on_cluster.run(count))

    before = run(3)
    assert run(3) == before


def test_progress_has_bytes_on_a_cluster(on_cluster: Any, tmp_path: Path) -> None:
    heard = Heard()
    report = write(image(), tmp_path / "a.zarr", progress=heard)
    assert heard.steps == heard.total
    assert heard.nbytes == report.nbytes


def test_progress_has_bytes_on_threads(tmp_path: Path) -> None:
    heard = Heard()
    with xprep.set_options(**SETUP):
        report = write(image(), tmp_path / "a.zarr", progress=heard)
    assert heard.steps == heard.total
    assert heard.nbytes == report.nbytes


# Ctrl-C: the whole group of processes gets it, as in a terminal

PROGRAM = """
import sys, time
from pathlib import Path
import xprep.io.arrays.writes as writes
write = writes.ZarrWritable.write
def slowly(self, region, block):  # as a bucket is slow: what is in flight takes a moment
    stored = write(self, region, block)
    time.sleep({seconds})
    return stored
writes.ZarrWritable.write = slowly
if __name__ == "__main__":
    from xprep.cli import main
    main()
"""


def begin(folder: Path, seconds: float, *arguments: str) -> subprocess.Popen[str]:
    """Run the command on an image until a first chunk is there."""
    program = folder / "slow.py"
    program.write_text(PROGRAM.format(seconds=seconds))
    image(192).prep.to_ome_zarr(folder / "in.zarr", scale_factors=(), chunks={"y": 32, "x": 32})
    where = {"PYTHONPATH": os.pathsep.join([str(paths.ROOT), os.environ.get("PYTHONPATH", "")])}
    environment = {**os.environ, **where, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(program), "run", str(recipe(folder)), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    wait_for(lambda: process.poll() is not None or any((folder / "out.zarr").glob("scale0/image/c/*/*/*")))
    assert process.poll() is None, process.communicate()
    return process


def recipe(folder: Path) -> Path:
    path = folder / "recipe.json"
    about = {
        "inputs": str(folder / "in.zarr"),
        "output": str(folder / "out.zarr"),
        "steps": [{"gaussian_filter": {"sigma": 1}}],
        "store": {"scale_factors": [2], "chunks": {"y": 32, "x": 32}},
        "settings": {"tile_bytes": "8 KiB"},
    }
    path.write_text(json.dumps(about))
    return path


@pytest.mark.parametrize("arguments", [(), ("--workers", "1")], ids=["threads", "workers"])
def test_ctrl_c_once_finishes_what_is_in_flight(arguments: tuple[str, ...], tmp_path: Path) -> None:
    process = begin(tmp_path, 1.0, *arguments)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "what is in flight is being finished. Ctrl-C again stops at once." in err
    assert f"xprep resume {tmp_path / 'recipe.json'} runs what has no result" in err
    assert "Traceback" not in err
    assert "not run" in out
    # Every chunk that is there was noted: nothing was cut off between writing and noting.
    there = {path.name for path in (tmp_path / "out.zarr/scale0/image/c").glob("*/*/*")}
    assert not [name for name in there if "partial" in name]
    assert xprep.run(recipe(tmp_path), resume=True, progress=False).ok
    first = objects(tmp_path / "out.zarr")
    assert xprep.run(recipe(tmp_path), overwrite=True, progress=False).ok
    assert objects(tmp_path / "out.zarr") == first


@pytest.mark.parametrize("arguments", [(), ("--workers", "1")], ids=["threads", "workers"])
def test_ctrl_c_twice_stops_at_once(arguments: tuple[str, ...], tmp_path: Path) -> None:
    process = begin(tmp_path, 900, *arguments)  # nobody waits for that
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    said = ""
    while "in flight" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "xprep resume RECIPE) goes on" in err
    assert "Traceback" not in said + err
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(tmp_path / "out.zarr")
    assert xprep.run(recipe(tmp_path), resume=True, progress=False).ok
