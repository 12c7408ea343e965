"""Clusters that cannot do the work, or stop in its midst: a sentence, and nothing begun where that could be known before."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xprep
from xprep.engine.computing import cluster_failures, cluster_watch
from xprep.engine.computing.cluster_watch import ClusterWatch
from xprep.engine.machine.memory import cluster_memory
from xprep.engine.running.workers import WORKER_BYTES

MIB = 2**20


def write(url: Path, **options: Any) -> Any:
    image = xprep.datasets.blobs(channels=1, shape=(128, 128)).chunk({"y": 32})
    return image.prep.gaussian_filter(1).prep.to_ome_zarr(url, chunks={"y": 32, "x": 32}, **options)


def labels(url: Path) -> Any:
    return xprep.RoiTable.from_labels((xprep.datasets.blobs(channels=1, shape=(64, 64))[0] > 9).astype("int32").chunk(32))


@pytest.fixture
def client() -> Iterator[Any]:
    """A client of a cluster in this process."""
    from distributed import Client, LocalCluster

    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**how) as cluster, Client(cluster) as client:
        yield client


# Workers without the package, or with another version of it. These run on workers, by value.


def make_other_version() -> tuple[Callable[[], None], Callable[[], None]]:
    def spoil() -> None:
        import sys

        module: Any = sys.modules["xprep.version"]
        module.kept, module.version = module.version, lambda: "0.0.9"

    def mend() -> None:
        import sys

        module: Any = sys.modules["xprep.version"]
        module.version = module.kept

    return spoil, mend


def make_missing() -> tuple[Callable[[], None], Callable[[], None]]:
    def spoil() -> None:
        import sys

        class Hidden:
            def __init__(self) -> None:
                ours = [name for name in sys.modules if name.split(".")[0] == "xprep"]
                self.modules = {name: sys.modules.pop(name) for name in ours}

            def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
                if name.split(".", maxsplit=1)[0] == "xprep":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Hidden())

    def mend() -> None:
        import sys

        sys.modules.update(sys.meta_path.pop(0).modules)

    return spoil, mend


SPOILT = {
    "another version": (make_other_version, "has xprep 0.0.9"),
    "not installed": (make_missing, "cannot import it .*No module named"),
}


@contextmanager
def spoilt(client: Any, make: Any, workers: list[str]) -> Iterator[None]:
    spoil, mend = make()
    client.run(spoil, workers=workers)
    try:
        yield
    finally:
        client.run(mend, workers=workers)


@pytest.mark.parametrize("call", [write, labels], ids=["to_ome_zarr", "from_labels"])
@pytest.mark.parametrize("all_of_them", [True, False], ids=["all", "one"])
@pytest.mark.parametrize(("make", "words"), SPOILT.values(), ids=SPOILT)
def test_workers_that_lack_it_are_named_before_anything_is_begun(
    make: Any, words: str, all_of_them: bool, call: Any, on_cluster: Any, tmp_path: Path
) -> None:
    on_cluster.run(__import__, "xprep")
    addresses = list(on_cluster.scheduler_info()["workers"])
    wrong = addresses if all_of_them else addresses[:1]
    with spoilt(on_cluster, make, wrong), pytest.raises(RuntimeError, match=words) as error:
        call(tmp_path / "a.zarr")
    assert all((address in str(error.value)) == (address in wrong) for address in addresses)
    assert "Install the same version" in str(error.value)
    assert not (tmp_path / "a.zarr").exists()
    write(tmp_path / "a.zarr")


def test_a_module_that_workers_lack_is_named(on_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is computed: workers would die of every such task."""
    (tmp_path / "only_here.py").write_text("def double(block):\n    return 2 * block\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("only_here").double
    image = xprep.datasets.blobs(channels=1, shape=(64, 64)).chunk({"y": 32})
    image = image.copy(data=image.data.map_blocks(function, dtype=image.dtype))
    workers = len(on_cluster.scheduler_info()["workers"])
    with pytest.raises(xprep.NobodyWorksError, match=rf"cannot import only_here \(tcp.*; {workers} of {workers} workers\)"):
        image.prep.to_ome_zarr(tmp_path / "a.zarr", fingerprint="a")
    on_cluster.upload_file(str(tmp_path / "only_here.py"))
    image.prep.to_ome_zarr(tmp_path / "a.zarr", fingerprint="a", resume=True)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), image)


# Workers of too little memory


def with_limits(monkeypatch: pytest.MonkeyPatch, client: Any, *limits: float, threads: int = 1) -> None:
    """Let the scheduler's account of workers say these limits, in MiB: such workers would need half a minute each to die."""
    about = {f"tcp://{n}": {"memory_limit": int(limit * MIB), "nthreads": threads} for n, limit in enumerate(limits)}
    monkeypatch.setattr(type(client), "scheduler_info", lambda self, **_: {"workers": about})


@pytest.mark.parametrize("limits", [(100,), (280,), (280, 100)], ids=str)
def test_workers_that_hold_no_tile_are_refused_before_anything_is_begun(
    limits: tuple[float, ...], client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_limits(monkeypatch, client, *limits)
    with pytest.raises(xprep.NobodyWorksError, match=rf"workers have {max(limits):.1f} MiB of memory, and this needs \d+.\d MiB"):
        write(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_workers_that_will_pause_are_warned_of(client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_limits(monkeypatch, client, 300, 2000)
    with pytest.warns(UserWarning, match=r"workers have 300.0 MiB of memory, and about \d+.\d MiB each would be needed"):
        write(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("limits", "room"),
    [((1024, 1024), 2 * (1024 * MIB - WORKER_BYTES)), ((100, 100), 0), ((0, 0), None), ((100, 1024), 1024 * MIB - WORKER_BYTES)],
    ids=str,
)
def test_what_workers_take_themselves_is_no_room_for_intermediates(
    limits: tuple[float, ...], room: int | None, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(monkeypatch, client, *limits)
    assert cluster_memory() == room


def test_a_task_that_kills_its_workers_is_told_in_words(client: Any) -> None:
    from distributed.scheduler import KilledWorker

    workers = [{"memory_limit": 400 * MIB, "nthreads": 1}]
    said = cluster_failures.explained(KilledWorker("xprep-write", "tcp://1", 3), client, "tcp://0", workers)
    assert said is not None
    assert "(4 times); killed for their memory, more likely than not. Workers have 400.0 MiB of memory. Give workers" in said


@pytest.mark.parametrize(("died", "done", "stops"), [(1, 0, False), (7, 0, False), (8, 10, True), (8, 1000, False)])
def test_workers_that_die_again_and_again_end_the_run(died: int, done: int, stops: bool, client: Any) -> None:
    watch = ClusterWatch(client, [("xprep-a", n) for n in range(2000)], lambda steps, nbytes: None)
    watch.begin()
    watch._done, watch._last = done, cluster_watch._ClusterCount(2000 - done, died, 0.0, True)
    ends = pytest.raises(xprep.NobodyWorksError, match=rf"\({died} times\)") if stops else nullcontext()
    with ends, pytest.warns(UserWarning, match="workers died while they were at tasks of this run"):
        watch._check_deaths()


# A cluster that is closed in the middle


def close_client(client: Any) -> None:
    client.close()


def close_cluster(client: Any) -> None:
    client.cluster.close()


@pytest.mark.parametrize("close", [close_client, close_cluster], ids=lambda close: close.__name__)
def test_a_cluster_that_is_closed_in_the_middle_is_told(close: Callable[[Any], None], client: Any, tmp_path: Path) -> None:
    class Closing:
        closing: threading.Thread | None = None

        def started(self, stage: str, total: int) -> None:
            self.closing = threading.Thread(target=close, args=(client,))
            self.closing.start()

        def advanced(self, stage: str, steps: int, nbytes: int) -> None: ...

        def finished(self, stage: str) -> None: ...

    image = xprep.datasets.blobs(channels=1, shape=(256, 256)).chunk({"y": 32})
    listener = Closing()
    slow = image.copy(data=image.data.map_blocks(_slowly, dtype=image.dtype))
    with pytest.raises((xprep.NobodyWorksError, RuntimeError), match=r"(was closed or restarted)|(client is closed)"):
        slow.prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 32, "x": 32}, progress=listener)
    assert listener.closing is not None
    listener.closing.join()
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(tmp_path / "a.zarr")


def _slowly(block: np.ndarray) -> np.ndarray:
    threading.Event().wait(1)
    return block


# Bytes that others wrote: workers tell theirs with heartbeats, which come late


def told(at: float, written: float, *, alone: bool = True, late: float = 0.5) -> cluster_watch._ClusterCount:
    """Return the scheduler's count at a time; the last heartbeat of some worker was so much earlier."""
    return cluster_watch._ClusterCount(9, 0, written, alone, at, at - late)


BYTES = {
    "its own, after two heartbeats": ([told(1, 5), told(2, 5), told(3, 5), told(4, 8)], 3),
    "of a run that has just ended": ([told(1, 5), told(2, 7), told(3, 9)], 0),
    "of one that ends meanwhile": (
        [told(1, 5), told(2, 5), told(3, 5), told(4, 6, alone=False), told(5, 11), told(6, 12), told(7, 15)],
        3,
    ),
    "where one worker is silent": ([told(1, 5), *(told(at, 5 + at, late=at) for at in (2, 3, 4))], 0),
    "where the scheduler could not be asked first": ([cluster_watch._NOTHING, told(1, 5), told(2, 6), told(3, 8)], 2),
}


@pytest.mark.parametrize(("counts", "wanted"), BYTES.values(), ids=BYTES)
def test_bytes_that_others_wrote_are_not_told(
    counts: list[cluster_watch._ClusterCount], wanted: int, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    coming = iter(counts)
    monkeypatch.setattr(ClusterWatch, "_asked", lambda self: next(coming))
    watch = ClusterWatch(client, [("xprep-a", n) for n in range(9)], lambda steps, nbytes: heard.append(nbytes))
    watch.begin()
    for _ in counts[1:]:
        watch.look()
    assert sum(heard) == wanted
