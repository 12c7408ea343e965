"""Running on dask.distributed: a cluster that is there, or one of processes on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import dask
from dask.system import CPU_COUNT

from xprep.extras import load
from xprep.redaction import raise_alone, redact, redact_text

SETTINGS: Final = {
    # A worker that dies twice within 15 s, dask's own value, is given up with its nanny: 2 of 2 runs hung for ever.
    "distributed.deploy.lost-worker-timeout": "1h",
    # The other method, p2p, killed workers of 700 MiB on a rechunk that this one did in 607.
    "array.rechunk.method": "tasks",
}
CONNECT_SECONDS: Final = 30
# Ctrl-C in a terminal goes to the workers too: they would die with their tasks, and a page of tracebacks each. And when they end,
# aiohttp complains, by asyncio, of every session that s3fs leaves to the end of the process.
_QUIET: Final = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
"""


@contextmanager
def connect(address: str | None = None, workers: int | None = None) -> Iterator[Any]:
    """Run what is computed inside on a cluster; without an address and workers, on this process's threads.

    Parameters
    ----------
    address : str, optional
        Of a scheduler, ``tcp://host:8786``. By default that of ``DASK_SCHEDULER_ADDRESS``, if it is set and ``workers``
        is not.
    workers : int, optional
        Start so many processes here instead, and stop them at the end.

    Yields
    ------
    distributed.Client or None
        None means threads.

    Raises
    ------
    ValueError
        Both are given, or fewer than one worker.
    ImportError
        dask.distributed is not installed.
    OSError
        Nobody answers at the address.
    """
    if address and workers is not None:
        both = f"{redact(address)!r} and {workers}"
        raise ValueError(f"give the address of a scheduler or a number of workers, not both; got {both}.")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more; got {workers}.")
    address = address or (dask.config.get("scheduler-address", None) if workers is None else None)
    if address is None and workers is None:
        yield None
        return
    distributed = load("distributed", "distributed", "a cluster", "dask.distributed")
    with dask.config.set(SETTINGS):
        start = _local(distributed, workers) if workers else _remote(distributed, str(address))
        with start as client:
            yield client


@contextmanager
def _local(distributed: Any, workers: int) -> Iterator[Any]:
    threads = max(1, CPU_COUNT // workers)  # what a container may use, not what the machine has
    cluster = distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        dashboard_address="localhost:0",
        silence_logs=logging.CRITICAL,  # workers log each error of a task with its traceback; it is raised here as well
        preload=[*dask.config.get("distributed.worker.preload", []), _QUIET],
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


@contextmanager
def _remote(distributed: Any, address: str) -> Iterator[Any]:
    try:
        distributed.comm.get_address_host(address)  # of an unknown scheme a client would stay the current one, and never work
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        shown, why = redact(address), redact_text(str(error), address)
        if isinstance(error, OSError):
            raise_alone(OSError(f"no dask scheduler answers at {shown} within {CONNECT_SECONDS} s: {why}"))
        raise_alone(ValueError(f"{shown} is no address of a dask scheduler, such as tcp://host:8786: {why}"))
    with client:
        yield client
