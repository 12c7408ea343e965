"""Whatever computes may itself be a task of a cluster: one file a task, the way most facilities run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import xprep
from tests.conftest import IDLE
from tests.helpers.crashes import wait_for
from tests.helpers.listeners import Heard

THREADS = 2
FILES = 5  # more than there are threads, so that tasks hold all of them
SECONDS = 300  # before, such a task waited for ever
STORE = {"scale_factors": (2,), "chunks": {"y": 32, "x": 32}, "progress": False}


# Made in functions, so that they go to other processes by value.
def make_jobs(source: str, folder: str) -> dict[str, Callable[[int], Any]]:
    """Return what tasks do, by name: each takes a number, and returns what can be compared."""

    def to_ome_zarr(number: int) -> Any:
        url = f"{folder}/{number}-{time.monotonic_ns()}.zarr"
        image = xprep.open_image(source).prep.normalize(sigma=1)
        report = image.prep.to_ome_zarr(url, **STORE)
        return report.units, xprep.open_image(url).values

    def run(number: int) -> Any:
        recipe = {
            "inputs": source,
            "steps": [{"gaussian_filter": {"sigma": 1}}],
            "output": f"{folder}/{number}-{time.monotonic_ns()}/a.zarr",
        }
        report = xprep.run(recipe, progress=False)
        return report.ok, xprep.open_image(report.outcomes[0].output).values

    def compute(number: int) -> Any:
        return True, xprep.open_image(source).prep.normalize(sigma=1).compute().values

    def statistics(number: int) -> Any:
        return True, xprep.open_image(source).prep.quantile([0.1, 0.99]).compute().values

    def from_labels(number: int) -> Any:
        labels = (xprep.open_image(source).isel(c=0) > 100).astype("int32")
        return True, np.asarray(xprep.RoiTable.from_labels(labels).ypix)

    def traces(number: int) -> Any:
        image = xprep.open_image(source)
        return True, image.prep.traces((image.isel(c=0) > 100).astype("int32")).compute().values

    def pyramid(number: int) -> Any:
        url = f"{folder}/{number}-{time.monotonic_ns()}.zarr"
        xprep.open_image(source).prep.pyramid((2, 2)).prep.to_ome_zarr(url, progress=False)
        return True, xprep.open_image(url, level=2).values

    def checks(number: int) -> Any:
        return xprep.verify(source).is_whole, np.array(str(xprep.validate(source)))

    jobs = (to_ome_zarr, run, compute, statistics, from_labels, traces, pyramid, checks)
    return {job.__name__: job for job in jobs}


JOBS = tuple(make_jobs("", ""))


def deeper(job: Callable[[int], Any], depth: int) -> Callable[[int], Any]:
    """Return ``job`` as a task of a task, ``depth`` times."""

    def submit(number: int) -> Any:
        from distributed import worker_client

        with worker_client() as client:
            return client.submit(job, number, pure=False).result()

    return job if depth == 0 else deeper(submit, depth - 1)


@pytest.fixture(scope="module")
def threads() -> Iterator[Any]:
    """A client of a cluster in this process, of as many threads as `THREADS`."""
    from distributed import Client, LocalCluster

    with dask.config.set(IDLE):
        cluster = LocalCluster(n_workers=1, threads_per_worker=THREADS, processes=False, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = str(tmp_path_factory.mktemp("nested") / "in.zarr")
    xprep.datasets.blobs(channels=2, shape=(96, 96)).prep.to_ome_zarr(url, chunks={"y": 32, "x": 32}, scale_factors=())
    return url


@pytest.fixture(scope="module")
def expected(source: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what each job gives where nothing is nested, on threads."""
    with dask.config.set(scheduler="threads"):
        return {name: job(0) for name, job in make_jobs(source, str(tmp_path_factory.mktemp("plain"))).items()}


def check(found: list[Any], expected: Any) -> None:
    for one in found:
        assert one[0] == expected[0]
        np.testing.assert_array_equal(one[1], expected[1])


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("name", JOBS)
def test_tasks_that_hold_all_threads_compute(
    name: str, depth: int, threads: Any, source: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    job = deeper(make_jobs(source, str(tmp_path))[name], depth)
    futures = threads.map(job, range(FILES), pure=False)
    check([one.result(timeout=SECONDS) for one in futures], expected[name])


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("name", ["to_ome_zarr", "run", "from_labels"])
def test_tasks_of_processes_compute(
    name: str, depth: int, on_cluster: Any, source: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    job = deeper(make_jobs(source, str(tmp_path))[name], depth)
    futures = on_cluster.map(job, range(FILES), pure=False)
    check([one.result(timeout=SECONDS) for one in futures], expected[name])


def test_progress_is_that_of_the_own_run(threads: Any, source: str, tmp_path: Path) -> None:

    def write(number: int) -> tuple[int, int, int, int]:
        heard = Heard()
        image = xprep.open_image(source).prep.gaussian_filter(1 + number)
        report = image.prep.to_ome_zarr(tmp_path / f"{number}.zarr", **{**STORE, "progress": heard})
        return heard.nbytes, report.nbytes, heard.steps, heard.total

    for future in threads.map(write, range(FILES), pure=False):
        nbytes, written, steps, total = future.result(timeout=SECONDS)
        assert steps == total
        assert nbytes == written


def test_a_cancelled_task_stops_what_it_waits_for(threads: Any, source: str, tmp_path: Path) -> None:
    """As when the script that mapped over files is stopped; the store says that it is not finished, and resumes."""
    image = xprep.open_image(source).prep.gaussian_filter(1)
    ended = tmp_path / "ended"

    def write(number: int) -> None:
        try:
            slow = image.map_blocks(_slowly, (tmp_path / "open",), template=image)
            slow.prep.to_ome_zarr(tmp_path / "a.zarr", **{**STORE, "fingerprint": "a"})
        except Exception as error:
            ended.write_text(str(error))
            raise

    future = threads.submit(write, 0, pure=False)
    wait_for((tmp_path / "a.zarr").exists)
    future.cancel()
    (tmp_path / "open").touch()
    wait_for(ended.exists)
    assert "the task that waits for this was cancelled" in ended.read_text()
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(tmp_path / "a.zarr")


def _slowly(block: Any, gate: Path) -> Any:
    wait_for(gate.exists)
    time.sleep(0.5)  # until it is seen that nobody waits: nine times, of which one is enough
    return block


def test_a_local_scheduler_around_it_is_obeyed(threads: Any, source: str, tmp_path: Path) -> None:
    """What the cluster computes is in its scheduler's account of tasks; of these there are none."""
    jobs = make_jobs(source, str(tmp_path))
    before = _begun(threads)
    with dask.config.set(scheduler="threads"):
        for name in ("to_ome_zarr", "run", "compute", "from_labels"):
            jobs[name](0)
    assert _begun(threads) == before
    jobs["to_ome_zarr"](0)
    assert _begun(threads) > before


def _begun(client: Any) -> int:
    """Return how many tasks the scheduler ever gave to a worker; what it forgets later does not count."""

    def count(dask_scheduler: Any) -> int:
        return sum(prefix.state_counts["processing"] for prefix in dask_scheduler.task_prefixes.values())

    return int(client.run_on_scheduler(count))
