"""Kills and faults, a few of each; `python -m tests.campaign` does hundreds."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import dask
import pytest

import xprep
from tests import campaign
from tests.crashes import objects
from tests.faulty import FaultProxy, Rule
from tests.servers import SECRET, Server


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = tmp_path_factory.mktemp("campaign") / "source.zarr"
    campaign.make_source(url)
    return str(url)


@pytest.fixture(scope="module")
def expected(source: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return campaign.expected_objects(tmp_path_factory.mktemp("expected"), source)


def test_kills_on_this_machine(source: str, expected: dict[str, bytes], tmp_path: Path) -> None:
    found = campaign.kill_trials(6, 11, tmp_path, source, None, expected)
    assert not found.wrong, found
    assert found.most_rewritten <= 2 * campaign.THREADS * 8, found


def test_kills_in_a_bucket(source: str, expected: dict[str, bytes], s3: Server) -> None:
    found = campaign.kill_trials(4, 12, s3.new_bucket(), source, s3.storage_options(), expected)
    assert not found.wrong, found


def test_faults_of_the_network(expected: dict[str, bytes], s3: Server) -> None:
    found = campaign.fault_trials(40, 13, s3, expected)
    assert not found.wrong, found
    assert sum(found.injected.values()) >= 40


@pytest.fixture
def behind(s3: Server) -> Any:
    """A bucket behind a proxy, with the image of the trials in it."""
    with FaultProxy(int(s3.endpoint.rpartition(":")[2])) as proxy:
        direct = s3.storage_options()
        options = {**direct, "client_kwargs": {**direct["client_kwargs"], "endpoint_url": proxy.endpoint}}
        bucket = s3.new_bucket()
        campaign.make_source(f"{bucket}/source.zarr", direct)
        yield proxy, bucket, options


@pytest.mark.parametrize("fault", ["404", "flip", "lie", "403"])
def test_what_cannot_be_read_is_named(behind: Any, fault: str) -> None:
    proxy, bucket, options = behind
    proxy.set(Rule(r"^GET .*scale0/image/c/1/2/1", fault))
    with pytest.raises(OSError, match=r"c/1/2/1.* of s3://.*/source.zarr/scale0/image") as caught:
        campaign.job(f"{bucket}/source.zarr", f"{bucket}/x.zarr", options)
    assert SECRET not in repr(caught.getrepr(style="long", showlocals=False))


@pytest.mark.parametrize("match", ["image/c/", r"scale0/zarr.json", "y/c/0", r"\.xprep/manifest", r"scale1/image/zarr.json"])
def test_writes_that_were_lost_are_noticed(behind: Any, expected: dict[str, bytes], match: str) -> None:
    """The server says that it wrote, and did not."""
    proxy, bucket, options = behind
    proxy.set(Rule(rf"^PUT .*{match}", "drop_put", times=1))
    with pytest.raises(ValueError, match=r"lacks|lost|not finished"):
        campaign.job(f"{bucket}/source.zarr", f"{bucket}/x.zarr", options)
    proxy.set()
    campaign.job(f"{bucket}/source.zarr", f"{bucket}/x.zarr", options, resume=True)
    assert objects(f"{bucket}/x.zarr", options).keys() == expected.keys()


def test_a_bucket_that_vanishes_on_the_way(behind: Any) -> None:
    proxy, bucket, options = behind
    proxy.set(Rule(r"^(PUT|GET|HEAD|DELETE) ", "reset", skip=150))
    start = time.monotonic()
    with pytest.raises(OSError, match="s3://"):
        campaign.job(f"{bucket}/source.zarr", f"{bucket}/x.zarr", options)
    assert time.monotonic() - start < 60


def test_a_full_disk(source: str, expected: dict[str, bytes], tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=220k", "tmpfs", target], check=False).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        with pytest.raises(OSError, match="No space left"):
            campaign.job(source, target / "x.zarr")
        with pytest.raises((xprep.UnfinishedStoreError, FileNotFoundError)):
            xprep.open_image(target / "x.zarr")
        assert not list(target.rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=64m", target], check=True)
        campaign.job(source, target / "x.zarr", resume=True)
        assert objects(target / "x.zarr") == expected
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_folder_that_cannot_be_written(source: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write /proc/x\.zarr"):
        campaign.job(source, "/proc/x.zarr")


distributed = pytest.importorskip("distributed", reason="dask.distributed is an extra")


@pytest.fixture
def cluster() -> Any:
    settings = {"distributed.deploy.lost-worker-timeout": "1h", "xprep.patience": 3}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as found,
        distributed.Client(found) as client,
    ):
        yield found, client


class Killing:
    """Kills a worker's process when the run is some way on; notes how far it was told to be."""

    def __init__(self, client: Any) -> None:
        self.client, self.told, self.killed = client, [], False

    def started(self, stage: str, total: int) -> None:
        self.total = total

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.told.append(steps)
        if not self.killed and sum(self.told) > self.total / 10:
            self.killed = True
            pids = self.client.run(os.getpid)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

    def finished(self, stage: str) -> None: ...


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_is_replaced(source: str, expected: dict[str, bytes], tmp_path: Path, cluster: Any) -> None:
    listener = Killing(cluster[1])
    campaign.job(source, tmp_path / "x.zarr", progress=listener)
    assert objects(tmp_path / "x.zarr") == expected
    assert sum(listener.told) == listener.total


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_workers_is_an_error(source: str, expected: dict[str, bytes], tmp_path: Path, cluster: Any) -> None:
    found, client = cluster

    class Closing(Killing):
        def started(self, stage: str, total: int) -> None:
            found.scale(0)

        def advanced(self, stage: str, steps: int, nbytes: int) -> None: ...

    client.wait_for_workers(2)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="no worker has been left for 3 s") as caught:
        campaign.job(source, tmp_path / "x.zarr", progress=Closing(client))
    assert time.monotonic() - start < 30
    assert "resume=True" in caught.value.__notes__[0]
    found.scale(2)
    client.wait_for_workers(2)
    campaign.job(source, tmp_path / "x.zarr", resume=True)
    assert objects(tmp_path / "x.zarr") == expected


@pytest.mark.filterwarnings("ignore")
def test_workers_that_are_all_paused_are_an_error(source: str, tmp_path: Path) -> None:
    """Their memory is full from the start; dask would wait for ever."""
    memory = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "terminate")}
    settings = {**memory, "distributed.worker.memory.pause": 0.01, "xprep.patience": 3}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="1GiB", dashboard_address=None, silence_logs=50
        ) as found,
        distributed.Client(found),
    ):
        start = time.monotonic()
        with pytest.raises(RuntimeError, match="all 2 workers have been paused for 3 s"):
            campaign.job(source, tmp_path / "x.zarr")
        assert time.monotonic() - start < 30
