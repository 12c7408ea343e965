"""Fixtures of the whole suite: engines, sources that count, profiles of hypothesis."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from typing import Any

import dask
import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.servers import rclone, s3
from tests.helpers.sources import refuse
from xprep import set_options
from xprep.options import options

__all__ = ["rclone", "s3"]  # fixtures of tests.helpers.servers

os.environ["BROWSER"] = "true"  # what the module webbrowser starts: a program that does nothing

SLOW_DATA = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
]
settings.register_profile("ci", max_examples=40, deadline=None, print_blob=True, suppress_health_check=SLOW_DATA)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# An idle cluster looks at itself fifty times a second: 9 % of a core for each process of pytest, a tenth of the suite's time.
IDLE = {
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "10s",
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.worker.profile.enabled": False,
}
ORDER = os.environ.get("XPREP_TEST_ORDER", "")
INTERMEDIATES = ("auto", "recompute", "persist", "spill")
SCHEDULERS = ("threads", "sync", "processes", "distributed")


def pytest_report_header() -> str:
    """Say how an order is had again in which something failed."""
    return f"order of tests: XPREP_TEST_ORDER={ORDER}" if ORDER else "order of tests: as written"


SHORT = 3


def keep_every(config: pytest.Config, items: list[pytest.Item], step: int) -> None:
    """Deselect all but every ``step``-th row of each table."""
    rows: dict[tuple[object, str], list[pytest.Item]] = {}
    for item in items:
        rows.setdefault((item.path, item.nodeid.partition("[")[0]), []).append(item)
    left = {id(item) for table in rows.values() if len(table) > SHORT for k, item in enumerate(table) if k % step}
    if left:
        config.hook.pytest_deselected(items=[item for item in items if id(item) in left])
        items[:] = [item for item in items if id(item) not in left]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the modules, and the tests of each, in an order that ``XPREP_TEST_ORDER`` decides, any text.

    Of tables of more than `SHORT` rows, every ``XPREP_EVERY_NTH_ROW``-th stays, without it all: CI has 25 minutes.
    """
    keep_every(config, items, int(os.environ.get("XPREP_EVERY_NTH_ROW", "1")))

    def place(text: object) -> bytes:
        return sha256(f"{ORDER} {text}".encode()).digest()

    if ORDER:
        items.sort(key=lambda item: (place(item.path), place(item.nodeid)))


@pytest.fixture(autouse=True)
def _quiet_options() -> Iterator[None]:
    """No bars; a test that leaves other options than it found fails, and the next one does not see them."""
    before = options()
    with set_options(progress="off"):
        yield
    if (left := options()) != before:
        set_options(**vars(before))
        pytest.fail(f"the test leaves other options: {left}")


@pytest.fixture
def nothing_computes() -> Iterator[None]:
    """Whatever is computed with dask's own choice of scheduler raises `ComputedError`."""
    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two worker processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")
    with dask.config.set(IDLE):
        running = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with running:
        yield running


@pytest.fixture(scope="session")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes for dask's own scheduler, which would otherwise start new ones for every computation."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(params=SCHEDULERS)
def scheduler(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on threads, in the calling thread, on processes, and on a cluster of two workers."""
    if request.param == "processes":
        with dask.config.set(scheduler="processes", pool=request.getfixturevalue("processes")):
            yield request.param
        return
    if request.param != "distributed":
        with dask.config.set(scheduler=request.param):
            yield request.param
        return
    from distributed import Client

    with Client(request.getfixturevalue("cluster")):
        yield request.param


@pytest.fixture
def on_cluster(cluster: Any) -> Iterator[Any]:
    """The test's computations run on the cluster."""
    from distributed import Client

    with Client(cluster) as client:
        yield client


@pytest.fixture(params=INTERMEDIATES)
def intermediates(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Set the option ``intermediates`` to each of its four values, with a scratch folder of the test's own."""
    with set_options(intermediates=request.param, scratch_url=str(tmp_path_factory.mktemp("scratch"))):
        yield request.param


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """matplotlib keeps every figure until it is closed, and warns of the 21st."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")
