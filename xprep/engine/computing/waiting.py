"""Computing on a cluster: progress is told, and nobody waits for ever where no worker works any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, Final

from dask.delayed import Delayed

from xprep.engine.computing.cluster_failures import explained
from xprep.engine.computing.cluster_watch import ClusterWatch
from xprep.engine.computing.importing import check_importable
from xprep.engine.machine.clients import outside_pool, still_wanted, working_client
from xprep.engine.machine.private_distributed import count_running
from xprep.errors import NobodyWorksError

POLL_SECONDS: Final = 0.5
FAILED: Final = ("error", "cancelled", "lost")
DRAIN_SECONDS: Final = 60.0  # what waits for a server gives up within 5 (io/store/deadlines), what computes takes its time


def compute_on_cluster(values: Sequence[Delayed], advance: Callable[[int, int], None]) -> tuple[Any, ...]:
    """Compute on the active client's cluster; in a task of that cluster, its thread is given to others meanwhile.

    Raises
    ------
    NobodyWorksError
        For some time no worker was left, or all were paused, and nothing went on: dask would wait for ever. Or workers died
        again and again, or the cluster was closed; or workers cannot import what the graph names.
    """
    if not values:
        return ()
    client = working_client()
    watch = ClusterWatch(client, list(values[0].dask), advance, still_wanted())
    with _explaining(client, watch):
        check_importable(client, values[0].dask)
        watch.begin()
        # Without retries: what may pass was tried again inside of the task (engine/machine/attempts), and anything else is final.
        futures = client.compute(list(values), optimize_graph=False, retries=0)
        with outside_pool():
            return _gathered(client, futures, watch)


def _gathered(client: Any, futures: Sequence[Any], watch: ClusterWatch) -> tuple[Any, ...]:
    try:
        while not _wait(futures, watch.pause):
            watch.look()
        results = tuple(client.gather(futures))
        watch.finish()
        return results
    except BaseException as error:
        # Not cancelled: cancelling a graph like this one breaks an assertion in the scheduler (distributed 2026.8).
        for future in futures:
            future.release()
        if not isinstance(error, NobodyWorksError):
            _finish_running(client, watch.names)
        raise


@contextmanager
def _explaining(client: Any, watch: ClusterWatch) -> Iterator[None]:
    """Raise errors that are the cluster's in words of what happened to it."""
    try:
        yield
    except Exception as error:
        if (said := explained(error, client, watch.address, watch.workers)) is None:
            raise
        raise NobodyWorksError(said) from error


def _finish_running(client: Any, names: Sequence[str]) -> None:
    """Wait for tasks that were begun: they would go on behind the caller's back, and write into a store that was given up."""
    end = monotonic() + DRAIN_SECONDS
    sleep(POLL_SECONDS)  # until workers know what they need not begin
    try:
        while monotonic() < end and any(client.run(count_running, names, on_error="ignore").values()):
            sleep(0.1)
    except Exception:  # noqa: BLE001  (a gateway may forbid it; the cluster may be gone)
        return


def _wait(futures: Iterable[Any], seconds: float) -> bool:
    """Wait a little; whether all futures are done, or one will never be."""
    end = monotonic() + seconds
    while monotonic() < end:
        if all(future.done() for future in futures) or any(future.status in FAILED for future in futures):
            return True
        sleep(0.02)
    return False
