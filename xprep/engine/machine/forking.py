"""A forked child has this process's pools of threads and clients, and none of the threads that work for them."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any

import dask.threaded


def _forget_pools() -> None:
    """Let dask make new pools: it would wait for the threads of the old ones for ever, as soon as both processes compute."""
    dask.threaded.default_pool = None
    dask.threaded.pools.clear()
    dask.threaded.pools_lock = Lock()  # another thread may have held it


if hasattr(os, "register_at_fork"):  # Windows forks nothing
    os.register_at_fork(after_in_child=_forget_pools)


def is_forked(client: Any) -> bool:
    """Whether a distributed client was opened before this process was forked: the thread that answers it is not here."""
    runner = getattr(client, "_loop_runner", None)
    thread = getattr(getattr(runner, "_loop_thread", None), "_thread", None)  # None where the loop is the caller's own
    return thread is not None and not thread.is_alive()
