"""Who computes: dask's own rules, asked before anything is begun, and what follows for a task that computes in its turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from multiprocessing.pool import Pool, ThreadPool
from typing import Any, Final

import dask
import dask.multiprocessing
import dask.threaded
from dask.base import get_scheduler

from xprep.engine.machine.private_dask import forget_pools
from xprep.engine.machine.private_distributed import is_forked, is_wanted
from xprep.extras import loaded

CLUSTER: Final = ("dask.distributed", "distributed")  # the names that dask gives to the current client
FALLBACK: Final = "admin.async-client-fallback"  # of dask: what computes where the client is asynchronous
_WAYS: Final = "Open another one, or compute here: dask.config.set(scheduler='threads')"
_ASYNCHRONOUS: Final = (
    "the dask client is asynchronous and this is its event loop, which would wait for itself for ever. Compute in a thread: "
    "await asyncio.to_thread(image.prep.to_ome_zarr, url); or not on the cluster: dask.config.set(scheduler='threads')."
)


if hasattr(os, "register_at_fork"):  # Windows forks nothing
    os.register_at_fork(after_in_child=forget_pools)

_ALONE: ContextVar[bool] = ContextVar("xprep_computes_alone", default=False)


@contextmanager
def computing_alone() -> Iterator[None]:
    """Compute on one thread of this process, whatever dask's settings and clients say: many small runs are at it at once."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def computes_alone() -> bool:
    """Whether this is within `computing_alone`."""
    return _ALONE.get()


def chosen_scheduler() -> Any:
    """Return dask's setting ``scheduler``: a name in lower case, a function, an executor, a client, or None."""
    chosen = "threads" if _ALONE.get() else dask.config.get("scheduler", None) or None
    return chosen.lower() if isinstance(chosen, str) else chosen


def active_client() -> Any:
    """Return the distributed client that computes, or None where this process does; never imports distributed.

    As dask chooses: what its setting ``scheduler`` names (a client, or anything else), then the client of the task that this
    is a part of, then the current one.
    """
    distributed, chosen = loaded("distributed"), chosen_scheduler()
    if distributed is None:
        return None
    for one in (chosen, getattr(chosen, "__self__", None)):  # client.get is the older way to name one
        if isinstance(one, distributed.Client):
            return one
    if chosen and chosen not in CLUSTER:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


def answering_client() -> Any:
    """Return the client that computes, if it can be asked something from here; else None."""
    client = active_client()
    return None if client is None or client.asynchronous or client.status != "running" or is_forked(client) else client


def working_client() -> Any:
    """Return the client that computes, as `active_client`.

    Raises
    ------
    RuntimeError
        It is asynchronous, and this is its event loop; or it was closed, or opened before a fork.
    """
    client = active_client()
    if client is None:
        return None
    if client.asynchronous:
        if dask.config.get(FALLBACK, None):
            return None
        raise RuntimeError(_ASYNCHRONOUS)
    if client.status in ("closed", "closing"):
        raise RuntimeError(f"the dask client is closed. {_WAYS}.")
    if is_forked(client):
        raise RuntimeError(
            f"the dask client was opened before this process was forked, and does not answer here. {_WAYS}; or start "
            "processes by multiprocessing.get_context('spawn')."
        )
    return client


def check_scheduler() -> None:
    """Refuse a choice of dask's settings that nothing can be computed with, before anything is begun.

    Raises
    ------
    RuntimeError
        An asynchronous client in its own event loop, one that was closed, or none where the settings name the cluster.
    ValueError
        A scheduler that dask does not know.
    """
    if working_client() is None and (chosen := chosen_scheduler()):
        if chosen in CLUSTER and active_client() is not None:
            chosen = dask.config.get(FALLBACK)
        get_scheduler(scheduler=chosen)


def computes_elsewhere() -> bool:
    """Whether tasks run in other processes, which have copies of what is in the memory of this one."""
    if active_client() is not None:
        return True
    chosen, pool = chosen_scheduler(), None if _ALONE.get() else dask.config.get("pool", None)
    if isinstance(chosen, Executor):
        return isinstance(chosen, ProcessPoolExecutor)
    get = get_scheduler(scheduler=chosen) if chosen else dask.threaded.get
    if get is dask.multiprocessing.get:
        return True
    return get is dask.threaded.get and (isinstance(pool, ProcessPoolExecutor) or is_pool_of_processes(pool))


def is_pool_of_processes(pool: Any) -> bool:
    """Whether ``pool`` is one of multiprocessing's, of processes; its pools of threads are derived from those."""
    return isinstance(pool, Pool) and not isinstance(pool, ThreadPool)


@contextmanager
def outside_pool() -> Iterator[None]:
    """Give the thread of a cluster's task to others while this one waits for them, as dask's own `Client.get` does.

    Otherwise tasks that compute wait for ever as soon as they hold all threads.
    """
    if task_key() is None:
        yield
        return
    with loaded("distributed").worker_client():
        yield


def task_key() -> Any:
    """Return the key of the cluster's task that this thread is at, or None."""
    distributed = loaded("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker().get_current_task()
    except (ValueError, KeyError):  # no worker's thread; one that is at no task
        return None


def still_wanted() -> Callable[[], bool] | None:
    """Return whom to ask whether the cluster's task that this thread is at is still wanted; None where there is no task."""
    key = task_key()
    return None if key is None else partial(is_wanted, loaded("distributed").get_worker(), key)
