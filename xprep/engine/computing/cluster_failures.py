"""What happened to a cluster, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xprep.engine.computing.cluster_processes import WAY_OUT, differing
from xprep.engine.machine.private_distributed import cluster_errors
from xprep.errors import NobodyWorksError
from xprep.sizes import format_bytes


def nobody(workers: int, patience: float) -> str:
    """Return what to say where nobody has worked for ``patience`` seconds."""
    if not workers:
        return (
            f"no worker has been left for {patience:.0f} s. Were they killed for their memory, or by their batch system? "
            f"{WAY_OUT}."
        )
    return (
        f"all {workers} workers have been paused for {patience:.0f} s: their memory is full, and so may be the disk that they "
        f"spill to. {WAY_OUT}, or a larger disk."
    )


def died(count: int, workers: Sequence[Any]) -> str:
    """Return what to say of workers that died at ``count`` tasks; ``workers`` are those that were last seen."""
    limits = [int(worker["memory_limit"] or 0) for worker in workers]
    have = f"Workers have {format_bytes(min(limits))} of memory. " if any(limits) else ""
    return (
        f"workers died while they were at tasks of this run ({count} times); killed for their memory, more likely than not. "
        f"{have}{WAY_OUT}."
    )


def explained(error: Exception, client: Any, address: str, workers: Sequence[Any]) -> str | None:
    """Return what happened to the cluster at ``address`` whose ``workers`` were last seen so; None of any other error."""
    if isinstance(error, NobodyWorksError):
        return None
    cancelled, killed = cluster_errors()
    if client.status != "running" or isinstance(error, cancelled):
        why = getattr(error, "reason", None) or f"the client is {client.status}"
        return f"the cluster at {address} was closed or restarted, or lost its scheduler, while this ran ({why})."
    if isinstance(error, killed):
        return f"{died(error.allowed_failures + 1, workers)} The last of them was at {error.task!r}."
    return differing(client) or None
