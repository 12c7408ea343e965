"""Kills and faults, a few of each; `python -m tests.campaign` does hundreds."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.campaign import clusters, faults, kills
from tests.campaign.lab import THREADS, Lab, expected_objects, job, make_source
from tests.helpers.crashes import objects, wait_for
from tests.helpers.faulty import FaultProxy, Rule
from tests.helpers.servers import SECRET, Server


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = tmp_path_factory.mktemp("campaign") / "source.zarr"
    make_source(url)
    return str(url)


@pytest.fixture(scope="module")
def expected(source: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return expected_objects(tmp_path_factory.mktemp("expected"), source)


def test_kills_on_this_machine(source: str, expected: dict[str, bytes], tmp_path: Path) -> None:
    found = kills.kill_trials(5, 11, Lab(source, tmp_path, None, expected), seconds=0.4)
    assert not found.wrong, found


def test_faults_of_the_network(s3: Server) -> None:
    found = faults.fault_trials(25, 13, s3)
    assert not found.wrong, found
    assert sum(found.injected.values()) >= 25


@pytest.mark.parametrize("overwrite", [False, True])
def test_runs_that_begin_at_the_same_moment(source: str, tmp_path: Path, overwrite: bool) -> None:
    url = tmp_path / "x.zarr"
    if overwrite:
        small(source, url)
    said = kills.race(3, source, str(url), overwrite=overwrite)
    assert set(said) == {"StoreExistsError", "finished"}
    assert overwrite or said.count("finished") == 1
    assert xprep.verify(url).is_whole
    assert not list(tmp_path.glob(".x.zarr.*"))


def test_runs_that_begin_at_the_same_moment_in_a_bucket(source: str, s3: Server) -> None:
    url = s3.new_bucket() + "/x.zarr"
    said = kills.race(2, source, url, s3.storage_options())
    assert said == ["StoreExistsError", "finished"]
    assert xprep.verify(url, storage_options=s3.storage_options()).is_whole


def small(source: Any, target: Any, options: dict[str, Any] | None = None, **how: Any) -> Any:
    """Do a part of what the trials do: some thirty requests."""
    image = xprep.open_image(source, storage_options=options)[:1, :64, :64].prep.normalize(sigma=1)
    return image.prep.to_ome_zarr(target, scale_factors=(2,), chunks={"y": 32, "x": 32}, storage_options=options, **how)


@pytest.fixture(scope="module")
def lab(s3: Server) -> Iterator[tuple[FaultProxy, str, dict[str, Any]]]:
    """A bucket behind a proxy, with the image of the trials in it."""
    with FaultProxy(int(s3.endpoint.rpartition(":")[2])) as proxy:
        bucket, direct = s3.new_bucket(), s3.storage_options()
        make_source(f"{bucket}/source.zarr", direct)
        yield proxy, bucket, faults.behind_proxy(direct, proxy)


@pytest.fixture
def behind(lab: tuple[FaultProxy, str, dict[str, Any]], request: pytest.FixtureRequest) -> Iterator[Any]:
    """The same, without faults, and with a URL of the test's own."""
    proxy, bucket, options = lab
    proxy.set()
    yield proxy, f"{bucket}/source.zarr", f"{bucket}/{len(request.node.name)}-{abs(hash(request.node.name))}.zarr", options
    proxy.set()


@pytest.mark.parametrize("fault", ["404", "flip", "lie", "403"])
def test_what_cannot_be_read_is_named(behind: Any, fault: str) -> None:
    proxy, source, target, options = behind
    proxy.set(Rule(r"^GET .*scale0/image/c/0/1/0", fault))
    with pytest.raises(OSError, match=r"c/0/1/0.* of s3://.*/source.zarr/scale0/image") as caught:
        small(source, target, options)
    assert SECRET not in repr(caught.getrepr(style="long", showlocals=False))


@pytest.fixture(scope="module")
def whole(lab: tuple[FaultProxy, str, dict[str, Any]]) -> tuple[list[str], dict[str, bytes]]:
    """What a small run asks of a bucket, and what it leaves there."""
    proxy, bucket, options = lab
    proxy.log.clear()
    small(f"{bucket}/source.zarr", f"{bucket}/whole.zarr", options)
    return [key for key in proxy.log if key.startswith("PUT ")], objects(f"{bucket}/whole.zarr", options)


@pytest.mark.parametrize(
    ("match", "which"),
    [
        ("scale1/image/c/", 0),
        (r"\.zarr/scale0/zarr.json", -1),
        ("y/c/0", 0),
        (r"\.xprep/manifest", 0),
        (r"\.zarr/scale1/image/zarr.json", -1),
        (r"\.zarr/zarr.json", 0),
        (r"\.zarr/zarr.json", -1),
    ],
)
# A write that was noted before it was found lost is told of.
@pytest.mark.filterwarnings("ignore:.*objects that an earlier run wrote are not as it wrote them")
def test_writes_that_were_lost_are_noticed(behind: Any, whole: Any, match: str, which: int) -> None:
    """The server says that it wrote, and did not."""
    proxy, source, target, options = behind
    skip = range(sum(re.search(match, key) is not None for key in whole[0]))[which]
    proxy.set(Rule(rf"^PUT .*{match}", "drop_put", times=1, skip=skip))
    with pytest.raises(ValueError, match=r"lacks|lost|not finished"):
        small(source, target, options)
    with pytest.raises((xprep.UnfinishedStoreError, FileNotFoundError)):
        xprep.open_image(target, storage_options=options)
    proxy.set()
    small(source, target, options, resume=True)
    assert objects(target, options) == whole[1]


# Among the first, while the mark, metadata and coordinates are made; among the chunks; among the last.
@pytest.mark.parametrize("skip", [1, 9, 25, 45, 58])
def test_a_bucket_that_vanishes_on_the_way(behind: Any, skip: int) -> None:
    proxy, source, target, options = behind
    proxy.set(Rule(r"^(PUT|GET|HEAD|DELETE) ", "reset", skip=skip))
    with pytest.raises(OSError, match="s3://"):
        small(source, target, options)
    proxy.set()
    small(source, target, options, resume=True)
    assert xprep.verify(target, storage_options=options).is_whole


def test_a_clock_that_is_wrong_is_said(behind: Any) -> None:
    """S3 refuses requests whose time is a quarter of an hour off."""
    proxy, source, target, options = behind
    proxy.set(Rule(r"^(GET|PUT|HEAD) ", "skew"))
    with pytest.raises(PermissionError, match=r"s3://.*is the clock of this machine right"):
        small(source, target, options)


def test_a_full_disk(source: str, expected: dict[str, bytes], tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=220k", "tmpfs", target], check=False).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        with pytest.raises(OSError, match="No space left"):
            job(source, target / "x.zarr")
        with pytest.raises((xprep.UnfinishedStoreError, FileNotFoundError)):
            xprep.open_image(target / "x.zarr")
        assert not list(target.rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=64m", target], check=True)
        job(source, target / "x.zarr", resume=True)
        assert objects(target / "x.zarr") == expected
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_folder_that_cannot_be_written(source: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write /proc/x\.zarr"):
        job(source, "/proc/x.zarr")


distributed = pytest.importorskip("distributed", reason="dask.distributed is an extra")


@pytest.fixture(scope="module")
def cluster_of_nannies() -> Iterator[Any]:
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as found,
        clusters.Nannies(found.scheduler_address) as nannies,
        distributed.Client(found) as client,
    ):
        yield nannies, client


@pytest.fixture
def workers(cluster_of_nannies: Any) -> Any:
    """Nannies, all of them there whatever the test before did to them, and a client."""
    nannies, client = cluster_of_nannies
    nannies.fill_up()
    client.wait_for_workers(THREADS, timeout=300)
    return nannies, client


class Killing:
    """Kills a worker's process, or its nanny, when the run is some way on; notes how far it was told to be."""

    def __init__(self, nannies: clusters.Nannies, client: Any, kind: str) -> None:
        self.nannies, self.kind, self.told, self.left = nannies, kind, list[int](), list(client.run(os.getpid).values())[:1]

    def started(self, stage: str, total: int) -> None:
        self.total = total

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.told.append(steps)
        if self.left and sum(self.told) > self.total / 10:
            self.nannies.kill(self.kind, self.left.pop())

    def finished(self, stage: str) -> None: ...


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["worker", "nanny"])
def test_a_worker_that_is_killed_is_replaced(
    source: str, expected: dict[str, bytes], tmp_path: Path, workers: Any, kind: str
) -> None:
    nannies, client = workers
    listener = Killing(nannies, client, kind)
    job(source, tmp_path / "x.zarr", progress=listener)
    assert objects(tmp_path / "x.zarr") == expected
    assert sum(listener.told) == listener.total


def behind_a_gate(block: np.ndarray, gate: Path) -> np.ndarray:
    """Return ``block`` once a file is there."""
    wait_for(gate.exists)
    return block


class After:
    """Does something when the run has looked at its cluster some times, which it does twice a second."""

    def __init__(self, looks: int, what: Any) -> None:
        self.looks, self.what = looks, what

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.looks -= 1
        if self.looks == 0:
            self.what()

    def finished(self, stage: str) -> None: ...


def give_up() -> None:
    raise AssertionError("still waiting")


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_workers_is_an_error(tmp_path: Path, workers: Any) -> None:
    nannies, _client = workers
    ones = da.ones((2, 64, 64), chunks=(1, 32, 64), dtype="uint16")
    pixels = ones.map_blocks(behind_a_gate, tmp_path / "open", meta=np.empty((0, 0, 0), "uint16"))
    image = xr.DataArray(pixels, dims=("c", "y", "x"))
    with xprep.set_options(patience=1), pytest.raises(RuntimeError, match="no worker has been left for 1 s") as caught:
        image.prep.to_ome_zarr(tmp_path / "x.zarr", progress=After(3, nannies.kill_all))
    assert "resume=True" in caught.value.__notes__[0]
    (tmp_path / "open").touch()
    with xprep.set_options(patience=1), pytest.warns(UserWarning, match="waiting for the first"):
        image.prep.to_ome_zarr(tmp_path / "x.zarr", resume=True, progress=After(6, nannies.start))
    assert (xprep.open_image(tmp_path / "x.zarr") == 1).all()


@pytest.mark.filterwarnings("ignore")
def test_workers_that_are_all_paused_are_an_error(source: str, tmp_path: Path) -> None:
    """Their memory is full from the start; dask would wait for ever."""
    memory = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "terminate")}
    settings = {**memory, "distributed.worker.memory.pause": 0.01}
    with (
        dask.config.set(settings),
        xprep.set_options(patience=3),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="1GiB", dashboard_address=None, silence_logs=50
        ) as found,
        distributed.Client(found) as client,
    ):
        wait_for(lambda: [one["status"] for one in client.scheduler_info()["workers"].values()] == ["paused"] * 2)
        with pytest.raises(RuntimeError, match="all 2 workers have been paused for 3 s"):
            job(source, tmp_path / "x.zarr", progress=After(600, give_up))
