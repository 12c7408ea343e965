"""What a cluster's processes must have before anything is sent to them: this package, in this version, and some memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import dask

from xprep.engine.computing.cluster_processes import WAY_OUT, differing, workers_of
from xprep.engine.machine.clients import check_scheduler, working_client
from xprep.engine.machine.memory import WORKER_BYTES
from xprep.engine.running.plan import Estimate, estimate
from xprep.errors import NobodyWorksError
from xprep.sizes import format_bytes


def check_machinery(arrays: Sequence[Any]) -> None:
    """Refuse to compute ``arrays`` with what dask's settings name, if that cannot do it; before anything is begun.

    Raises
    ------
    RuntimeError
        An asynchronous client in its own event loop, or one that was closed; no client where one is named; a scheduler or
        workers without this package or with another version of it.
    ValueError
        A scheduler that dask does not know.
    NobodyWorksError
        No worker has memory enough.
    """
    check_scheduler()
    client = working_client()
    if client is None:
        return
    if wrong := differing(client):
        raise RuntimeError(f"{wrong}; nothing was begun.")
    if workers := workers_of(client):
        _check_memory(workers, estimate(arrays, 1))


def _check_memory(workers: Sequence[Any], found: Estimate) -> None:
    limits = [int(worker["memory_limit"] or 0) for worker in workers]
    if not all(limits):
        return
    needed, largest = WORKER_BYTES + found.per_thread, max(limits)
    if needed > _fraction("terminate", 0.95) * largest:
        raise NobodyWorksError(
            f"workers have {format_bytes(largest)} of memory, and this needs {format_bytes(needed / 0.95)} of each at least: "
            f"{format_bytes(WORKER_BYTES)} for the program, {format_bytes(found.per_thread)} for the tiles of one thread. "
            f"{WAY_OUT}; nothing was begun."
        )
    shared = (found.persisted + found.front) // len(workers)
    full = WORKER_BYTES + shared + max(int(worker["nthreads"]) for worker in workers) * found.per_thread
    if full > _fraction("pause", 0.8) * min(limits):
        warnings.warn(
            f"workers have {format_bytes(min(limits))} of memory, and about {format_bytes(full / 0.8)} each would be needed to "
            f"work without pauses. {WAY_OUT}.",
            UserWarning,
            stacklevel=2,
        )


def _fraction(name: str, default: float) -> float:
    """Return at which share of its limit a worker pauses, or is ended; by this process's copy of the setting."""
    return float(dask.config.get(f"distributed.worker.memory.{name}", default) or 1)
