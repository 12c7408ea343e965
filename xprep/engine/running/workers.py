"""What a cluster's processes must have before anything is sent to them: this package, in this version, and some memory."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dask

from xprep.engine.machine.clients import check_scheduler, working_client
from xprep.engine.machine.memory import WORKER_BYTES
from xprep.engine.running.plan import Estimate, estimate
from xprep.errors import NobodyWorksError
from xprep.sizes import format_bytes
from xprep.version import version

WAY_OUT: Final = "Give workers more memory, or fewer threads, or smaller tiles (xprep.set_options(tile_bytes=…))"
SHOWN: Final = 3  # addresses; a cluster has hundreds
# A worker that cannot unpickle what it shall run answers with an Exception of the error's repr.
LACKING: Final = ("ModuleNotFoundError", "ImportError", "AttributeError")


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


def workers_of(client: Any) -> list[Any]:
    """Return what the scheduler knows of its workers."""
    return list(client.scheduler_info(n_workers=-1).get("workers", {}).values())


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


def differing(client: Any) -> str:
    """Return which processes of the cluster lack this package or have another version of it; an empty text if none does."""
    try:
        found = client.run(version, on_error="return")
    except Exception:  # noqa: BLE001  (a gateway may forbid to ask; what runs then says what it lacks)
        return ""
    try:
        found |= {f"the scheduler at {client.scheduler.address}": client.run_on_scheduler(version)}
    except ImportError as error:
        found |= {f"the scheduler at {client.scheduler.address}": error}
    except Exception:  # noqa: BLE001  (as above)
        pass
    return _said(found)


def _said(found: Mapping[str, Any]) -> str:
    places = defaultdict[str, list[str]](list)
    for address, answer in found.items():
        if isinstance(answer, Exception) and any(kind in repr(answer) for kind in LACKING):
            places[f"cannot import it ({answer})"].append(address)
        elif isinstance(answer, str) and answer != version():
            places[f"has xprep {answer}"].append(address)
    if not places:
        return ""
    lacks = "; ".join(f"{_some(addresses)} {what}" for what, addresses in places.items())
    return (
        f"the cluster needs xprep {version()}, as this process has it: {lacks}. Install the same version for the scheduler and "
        "all workers"
    )


def _some(addresses: list[str]) -> str:
    more = f" and {len(addresses) - SHOWN} more" if len(addresses) > SHOWN else ""
    return ", ".join(addresses[:SHOWN]) + more
