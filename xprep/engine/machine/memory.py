"""How much memory there is for intermediates."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import dask
import psutil
from dask.system import CPU_COUNT

from xprep.engine.machine.clients import answering_client, computes_alone
from xprep.engine.machine.control_groups import group_room
from xprep.options import options

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

# A worker with what it imports and compiles, before the first block and after the last: 263–278 MiB measured.
WORKER_BYTES = 270 * 2**20
SHARE = 0.5  # of what is free; the rest is for blocks in flight, codecs and the user's own arrays


def memory_limit() -> int:
    """Return how many bytes intermediates may occupy: the option, or half of what is free."""
    chosen = options().memory_limit
    if chosen is not None:
        return chosen
    of_cluster = cluster_memory()
    return int(SHARE * (free_memory() if of_cluster is None else of_cluster))


def free_memory() -> int:
    """Return the bytes that this process could still take, of the machine or of its control group."""
    found = [size for size in (_available(), group_room()) if size is not None]
    return min(found) if found else 4 * 2**30


def cluster_memory() -> int | None:
    """Return what the workers of the active client have, besides what each takes itself; None where none has a limit."""
    client = answering_client()
    if client is None:
        return None
    limits = [int(worker["memory_limit"] or 0) for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
    return sum(max(0, limit - WORKER_BYTES) for limit in limits) if any(limits) else None


def worker_threads() -> int:
    """Return how many threads will work: those of the active client's workers, or of this machine."""
    if computes_alone():
        return 1
    client = answering_client()
    if client is not None:
        return sum(client.nthreads().values()) or 1
    return local_threads()


def local_threads() -> int:
    """Return how many threads of this process dask would work with."""
    return int(dask.config.get("num_workers", None) or CPU_COUNT)


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes; 0 where the system does not tell.

    Linux counts it anew for a program that was just started; ``ru_maxrss`` would go on from the parent's.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    size = psutil.Process().memory_info().peak_wset if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(size)


def _available() -> int | None:
    with suppress(OSError, RuntimeError, psutil.Error):  # a container may hide /proc
        return int(psutil.virtual_memory().available)
    return None
