"""Workers, and the nannies that would start them again, that are killed while they work for a run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import distributed

from tests.campaign.lab import THREADS, Lab, Outcome, finish, job, look_at_ruin


def cluster_trials(count: int, seed: int, lab: Lab, tell: Callable[[str], None] | None = None) -> Outcome:
    """Kill workers, or the nannies that would start them again, while they work for a run, which is to go on."""
    chance, outcome = random.Random(seed), Outcome(tell)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as found,
        Nannies(found.scheduler_address) as nannies,
        distributed.Client(found) as client,
    ):
        for turn in range(2):
            client.wait_for_workers(THREADS)
            start = time.monotonic()
            job(lab.source, lab.url(f"timed{turn}"), lab.options)
        length = time.monotonic() - start
        while sum(outcome.injected.values()) < count:
            client.wait_for_workers(THREADS, timeout=60)
            _kill_in_cluster(chance, client, nannies, length, lab, outcome)
            outcome.end_trial()
    return outcome


def _kill_in_cluster(chance: random.Random, client: Any, nannies: Nannies, length: float, lab: Lab, outcome: Outcome) -> None:
    url = lab.url(outcome.trials + 1)
    pids, kinds = _workers(client), [chance.choice(("worker", "nanny")) for _ in range(chance.choice((1, 1, 2)))]

    def kill() -> None:
        for kind, pid in zip(kinds, pids.values(), strict=False):
            nannies.kill(kind, pid)
            outcome.injected[kind] += 1

    timer, start, error = threading.Timer(chance.uniform(0, length), kill), time.monotonic(), None
    timer.start()
    try:
        job(lab.source, url, lab.options)
    except Exception as caught:  # noqa: BLE001  (whatever it is, it is looked at)
        error = caught
    outcome.note_time(url, time.monotonic() - start)
    outcome.disturbed += not timer.is_alive()
    timer.join()
    outcome.succeeded += error is None
    if error is not None:
        outcome.errors[type(error).__name__] += 1
        look_at_ruin(url, lab.options, outcome)
        client.wait_for_workers(THREADS, timeout=60)
    finish(lab, url, outcome)


def _workers(client: Any) -> dict[str, int]:
    """Return the processes of the workers, once the scheduler knows who was killed."""
    for _ in range(20):
        client.wait_for_workers(THREADS, timeout=60)
        with suppress(OSError):
            return dict(client.run(os.getpid))
        time.sleep(0.5)
    raise RuntimeError("the cluster does not come back")


class Nannies:
    """`dask worker` processes, as a batch system starts them: each a nanny with one worker; a dead one is replaced."""

    def __init__(self, scheduler: str) -> None:
        self._command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-dashboard"]
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Nannies:
        for _ in range(THREADS):
            self.start()
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self) -> None:
        """Start one more."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "ignore"}
        self._running.append(subprocess.Popen(self._command, **quiet, env=environment))

    def fill_up(self) -> None:
        """Start as many as are missing: of those that a test killed, or that ended."""
        self._running = [process for process in self._running if process.poll() is None]
        while len(self._running) < THREADS:
            self.start()

    def kill_all(self) -> None:
        """Kill all nannies, and their workers with them."""
        while self._running:
            nanny = self._running.pop()
            nanny.kill()
            nanny.wait()

    def kill(self, kind: str, worker: int) -> None:
        """Kill the process ``worker``, or the nanny that started it, and start another nanny in the place of that."""
        if kind == "worker":
            os.kill(worker, signal.SIGKILL)
            return
        above = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        nanny = next(process for process in self._running if process.pid == above)
        nanny.kill()
        nanny.wait()
        self._running.remove(nanny)
        self.start()
