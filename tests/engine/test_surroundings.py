"""Where xprep is called from: forked and spawned processes, pools of threads, running event loops. The bits are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# A program of its own: processes are started from one without the threads of this one, and one that has computed already.
PROGRAM = '''
import asyncio, hashlib, json, multiprocessing, os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import dask
import xprep
from xprep.options import options

FOLDER = sys.argv[1]


def digest(values):
    return hashlib.sha256(values.tobytes()).hexdigest()[:8]


def work(number=0):
    """Compute, lazily, in memory and into a store; return what came out."""
    source = xprep.open_image(FOLDER + "/in.zarr")
    url = f"{FOLDER}/{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}.zarr"
    source.prep.normalize(sigma=1).prep.to_ome_zarr(url, progress=False)
    return {
        "compute": digest(source.prep.normalize(sigma=1).compute().values),
        "in memory": digest(source.load().prep.gaussian_filter(1).values),
        "to_ome_zarr": digest(xprep.open_image(url).values),
        "from_labels": digest(xprep.RoiTable.from_labels((source.isel(c=0) > 100).astype("int32")).ypix),
    }


def values():
    """A lazy image, options and a table: what is handed to another process."""
    image = xprep.open_image(FOLDER + "/in.zarr")
    cells = (image.isel(c=0, drop=True) > 100).astype("int32")
    return image.prep.normalize(sigma=1), options(), xprep.RoiTable.from_labels(cells)


def handed_over(image, chosen, table):
    return digest(image.compute(scheduler="sync").values), repr(chosen), digest(table.lam), len(table)


def in_process(kind):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(kind)) as pool:
        assert pool.submit(handed_over, *values()).result(timeout=300) == handed_over(*values())
        return pool.submit(work).result(timeout=300)


def in_threads():
    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(work, range(8))
    assert all(one == first for one in others), others
    return first


def in_coroutine():
    async def main():
        return work()
    return asyncio.run(main())


def with_scheduler(name):
    with dask.config.set(scheduler=name):
        return work()


def forked_with_client():
    """A sentence: the client's thread is not in the child."""
    from distributed import Client

    with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"):
        try:
            return in_process("fork")
        except RuntimeError as error:
            return {"error": str(error)}


def first_use():
    """In a new process, ten threads at once: while one imports what it needs, others look for it."""
    got, threads = [], []
    for _ in range(10):
        threads.append(threading.Thread(target=lambda: got.append(work())))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(got) == 10 and all(one == got[0] for one in got), got
    return got[0]


SURROUNDINGS = {
    "plain": work,
    "fork": lambda: in_process("fork"),
    "spawn": lambda: in_process("spawn"),
    "forkserver": lambda: in_process("forkserver"),
    "threads": in_threads,
    "coroutine": in_coroutine,
    "scheduler processes": lambda: with_scheduler("processes"),
    "scheduler sync": lambda: with_scheduler("sync"),
    "forked with a client": forked_with_client,
}

if __name__ == "__main__":
    names = ["first_use"] if sys.argv[2:] else SURROUNDINGS
    print(json.dumps({name: globals()[name]() if name == "first_use" else SURROUNDINGS[name]() for name in names}))
'''
SAME = ("fork", "spawn", "forkserver", "threads", "coroutine", "scheduler processes", "scheduler sync")


def ran(folder: Path, *arguments: str) -> dict[str, Any]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore", str(program), str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came out in each of the surroundings; for ``first_use`` of a program that did nothing else before."""
    import xprep

    folder = tmp_path_factory.mktemp("surroundings")
    xprep.datasets.blobs(channels=2, shape=(96, 96)).prep.to_ome_zarr(folder / "in.zarr", scale_factors=())
    return ran(folder) | ran(folder, "first")


@pytest.mark.parametrize("name", [*SAME, "first_use"])
def test_the_bits_are_the_same(name: str, found: dict[str, Any]) -> None:
    assert found[name] == found["plain"]
    assert len(set(found["plain"])) == 4


def test_a_client_that_was_opened_before_a_fork_is_refused(found: dict[str, Any]) -> None:
    said = found["forked with a client"]["error"]
    assert "the dask client was opened before this process was forked, and does not answer here" in said
