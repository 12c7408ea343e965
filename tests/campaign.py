"""Runs that are killed, and networks that fail, many times over: nothing may be wrong, and nothing silently lost.

Small in the test suite; large by hand: ``python -m tests.campaign --kills 150 --cluster-kills 60 --faults 1000 --seed 1``. A
trial is a run that is disturbed, looked at, and resumed; the store must then equal that of an unbroken run byte for byte.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import distributed
from zarr.storage import MemoryStore

import xprep
from tests.crashes import objects
from tests.faulty import FaultProxy, Rule
from tests.servers import SECRET, Server, moto
from xprep.io.journal import Journal, Record
from xprep.io.stores import open_store

THREADS = 2
CHUNKS = {"y": 32, "x": 32}
TILE = 8  # chunks that one task writes, at most
SLOWEST = 60.0  # seconds that any attempt may take
# What a server or network can do to one request; the rest of the pattern says to which.
FAULTS = (
    "503",
    "500",
    "reset",
    "reset_after",
    "reset_mid",
    "truncate",
    "lie",
    "404",
    "flip",
    "drop_put",
    "hang:2",
    "latency:0.3",
)
# By hand as well: a server that is silent for longer than a client waits, and than a whole run may take.
LONG_FAULTS = (*FAULTS, "hang:100")
READS, WRITES, ANY = r"^GET .*/c/", r"^PUT .*/(c/|\.xprep/)", r"^(GET|PUT|HEAD) "
FITTING = {
    "404": (READS,), "flip": (READS,), "lie": (READS,), "truncate": (READS, ANY), "reset_mid": (READS, ANY),
    "drop_put": (WRITES, r"^PUT "), "reset_after": (WRITES, r"^PUT "),
}  # fmt: skip


@dataclass
class Outcome:
    """What happened to the trials of a campaign."""

    trials: int = 0
    disturbed: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    succeeded: int = 0
    most_rewritten: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.trials} trials, {self.disturbed} disturbed, faults {dict(self.injected)} ({sum(self.injected.values())}), "
            f"succeeded anyway {self.succeeded}, errors {dict(self.errors)}, at most {self.most_rewritten} chunks to be "
            f"written again, slowest attempt {self.slowest:.1f} s, WRONG: {len(self.wrong)} {self.wrong}"
        )


def make_source(url: Any, options: dict[str, Any] | None = None, seed: int = 3) -> None:
    """Write the image that all trials read."""
    image = xprep.datasets.blobs(channels=2, shape=(160, 128), seed=seed)
    image.prep.to_ome_zarr(url, chunks={"y": 32, "x": 64}, scale_factors=(), storage_options=options)


def job(source: str, target: Any, options: dict[str, Any] | None = None, **how: Any) -> Any:
    """Do what all trials do."""
    with xprep.set_options(tile_bytes=2**14, progress="off", intermediates="recompute"), dask.config.set(num_workers=THREADS):
        image = xprep.open_image(source, storage_options=options).prep.normalize(sigma=1)
        return image.prep.to_ome_zarr(target, scale_factors=(2, 2), chunks=CHUNKS, storage_options=options, **how)


def _child(ready: Any, source: str, url: str, options: dict[str, Any] | None, overwrite: bool = False) -> None:
    warnings.simplefilter("ignore")
    job(source, MemoryStore())  # loads the kernels, which takes four times as long as the run
    ready.set()
    job(source, url, options, resume=True, overwrite=overwrite)


@contextmanager
def processes() -> Iterator[Any]:
    """Yield a context whose processes begin at once: forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.campaign"])
    yield context


def kill_trials(
    count: int,
    seed: int,
    target: Any,
    source: str,
    options: dict[str, Any] | None,
    expected: dict[str, bytes],
    seconds: float | None = None,
) -> Outcome:
    """Kill a writing process within ``seconds``, by default those of a whole run, up to three times a store; resume it.

    On this machine, a third of the runs replace a store: until the end, the old one must be there, whole.
    """
    chance, outcome = random.Random(seed), Outcome()
    if options is None:
        make_source(f"{target}/old.zarr", seed=4)
    with processes() as context:
        length = seconds or 1.1 * _duration(context, f"{target}/timed.zarr", source, options)
        while outcome.disturbed < count:
            outcome.trials += 1
            url, old = f"{target}/{outcome.trials}.zarr", False
            if options is None and chance.random() < 0.34:
                shutil.copytree(f"{target}/old.zarr", url)
                old = True
            for _ in range(chance.choice((1, 1, 2, 3))):
                before = _journaled(url, options)
                if not _killed(context, chance, length, (source, url, options, old)):
                    break
                outcome.disturbed += 1
                if old:
                    _look_at_old(url, f"{target}/old.zarr", expected, outcome)
                else:
                    _look_at_ruin(url, options, outcome)
                    _look_at_rest(url, options, before, outcome)
            _finish(source, url, options, expected, outcome, overwrite=old)
    _look_at_rewritten(outcome)
    return outcome


def _look_at_old(url: str, old: str, expected: dict[str, bytes], outcome: Outcome) -> None:
    """A store that is to be replaced is whole until another whole one is there; between two renames it is only beside."""
    there = objects(url)
    if there and there != objects(old) and there != expected:
        outcome.wrong.append(f"{url}: neither the old store nor the new one is there")
    outcome.succeeded += there == expected


def _look_at_rest(url: str, options: dict[str, Any] | None, before: set[tuple[int, int]], outcome: Outcome) -> None:
    """What was finished must stay finished; what a resumed run writes again was in flight when the process died."""
    if _is_finished(url, options):
        return
    known = _journaled(url, options)
    outcome.most_rewritten = max(outcome.most_rewritten, len(_pixels(url, options)) - len(known))
    if lost := before - known:
        outcome.wrong.append(f"{url}: {len(lost)} finished chunks were forgotten")


def _look_at_rewritten(outcome: Outcome) -> None:
    if outcome.most_rewritten > THREADS * TILE:
        outcome.wrong.append(f"{outcome.most_rewritten} chunks are to be written again; {THREADS * TILE} can be in flight")


def _duration(context: Any, url: str, source: str, options: dict[str, Any] | None) -> float:
    """Return how long an unbroken run takes, once kernels are cached."""
    for turn in range(2):
        ready = context.Event()
        process = context.Process(target=_child, args=(ready, source, f"{url}{turn}", options))
        process.start()
        ready.wait(60)
        start = time.monotonic()
        process.join(120)
    return time.monotonic() - start


def _killed(context: Any, chance: random.Random, length: float, arguments: tuple[Any, ...]) -> bool:
    """Kill a run at a random time, or (two of three) when it has written a random number of chunks more."""
    seconds, more, pause = chance.uniform(0, length), chance.randrange(56), chance.uniform(0, 0.02)
    by_time = chance.random() < 0.33
    before = _count(*arguments[1:])
    ready = context.Event()
    process = context.Process(target=_child, args=(ready, *arguments))
    process.start()
    ready.wait(60)
    if by_time:
        process.join(seconds)
    else:
        while process.is_alive() and _count(*arguments[1:]) <= before + more:
            process.join(0.001)
        process.join(pause)
    process.kill()
    process.join(60)
    return process.exitcode == -signal.SIGKILL


def _count(url: str, options: dict[str, Any] | None, beside: bool) -> int:
    """Return how many chunks there are: of the store, or of what shall replace it."""
    if options is not None:
        return len(_pixels(url, options))
    found = Path(url).parent.glob(f".{Path(url).name}.*.xprep-new") if beside else [Path(url)]
    return sum(1 for folder in found for _ in folder.glob("scale*/image/c/*/*/*"))


def _look_at_ruin(url: str, options: dict[str, Any] | None, outcome: Outcome) -> None:
    """A store that was left must not open, unless it was finished the moment before."""
    try:
        image = xprep.open_image(url, storage_options=options)
    except (xprep.UnfinishedStoreError, xprep.StoreFormatError, FileNotFoundError):
        return
    if not xprep.verify(url, storage_options=options).is_whole or image.shape != (2, 160, 128):
        outcome.wrong.append(f"{url}: it opens and is not whole")


def _pixels(url: str, options: dict[str, Any] | None) -> set[str]:
    try:
        return {name for name in open_store(url, options).list_names() if "/image/c/" in name}
    except FileNotFoundError:
        return set()


def _records(url: str, options: dict[str, Any] | None) -> list[Record]:
    try:
        return Journal(open_store(url, options).child("scale0/image")).records()
    except FileNotFoundError:
        return []


def _journaled(url: str, options: dict[str, Any] | None) -> set[tuple[int, int]]:
    """Return level and number of the chunks that a journal has."""
    return {(record.level, int(unit)) for record in _records(url, options) for unit in record.stored["unit"]}


def _is_finished(url: str, options: dict[str, Any] | None) -> bool:
    status = open_store(url, options).read_json("zarr.json") or {}
    return bool(status.get("attributes", {}).get("xprep", {}).get("status") == "finished")


def _finish(
    source: str,
    url: str,
    options: dict[str, Any] | None,
    expected: dict[str, bytes],
    outcome: Outcome,
    overwrite: bool = False,
) -> None:
    """Resume without disturbance; the store must equal the unbroken one, and be all that is left."""
    job(source, url, options, resume=True, overwrite=overwrite)
    if found := _difference(objects(url, options), expected):
        outcome.wrong.append(f"{url}: it differs from the unbroken store in {found[:3]}")
    if options is None and list(Path(url).parent.glob(f".{Path(url).name}.*")):
        outcome.wrong.append(f"{url}: something is left beside it")


def cluster_trials(
    count: int, seed: int, target: Any, source: str, options: dict[str, Any] | None, expected: dict[str, bytes]
) -> Outcome:
    """Kill workers, or the nannies that would start them again, while they work for a run, which is to go on."""
    chance, outcome = random.Random(seed), Outcome()
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as found,
        Nannies(found.scheduler_address) as nannies,
        distributed.Client(found) as client,
    ):
        for turn in range(2):
            client.wait_for_workers(THREADS)
            start = time.monotonic()
            job(source, f"{target}/timed{turn}.zarr", options)
        length = time.monotonic() - start
        while sum(outcome.injected.values()) < count:
            outcome.trials += 1
            client.wait_for_workers(THREADS, timeout=60)
            url = f"{target}/{outcome.trials}.zarr"
            _kill_in_cluster(chance, client, nannies, length, (source, url, options), expected, outcome)
    return outcome


def _kill_in_cluster(
    chance: random.Random,
    client: Any,
    nannies: Nannies,
    length: float,
    arguments: tuple[Any, ...],
    expected: dict[str, bytes],
    outcome: Outcome,
) -> None:
    pids, kinds = _workers(client), [chance.choice(("worker", "nanny")) for _ in range(chance.choice((1, 1, 2)))]

    def kill() -> None:
        for kind, pid in zip(kinds, pids.values(), strict=False):
            nannies.kill(kind, pid)
            outcome.injected[kind] += 1

    timer, start, error = threading.Timer(chance.uniform(0, length), kill), time.monotonic(), None
    timer.start()
    try:
        job(*arguments)
    except Exception as caught:  # noqa: BLE001  (whatever it is, it is looked at)
        error = caught
    seconds = time.monotonic() - start
    outcome.disturbed += not timer.is_alive()
    timer.join()
    outcome.slowest = max(outcome.slowest, seconds)
    if seconds > SLOWEST:
        outcome.wrong.append(f"{arguments[1]}: {seconds:.0f} s")
    outcome.succeeded += error is None
    if error is not None:
        outcome.errors[type(error).__name__] += 1
        _look_at_ruin(*arguments[1:], outcome)
        client.wait_for_workers(THREADS, timeout=60)
    _finish(*arguments, expected, outcome)


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
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONWARNINGS": "ignore"}
        self._running.append(subprocess.Popen(self._command, **quiet, env=environment))

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


def race(count: int, source: str, url: str, options: dict[str, Any] | None = None, **how: Any) -> list[str]:
    """Begin runs on one output at the same moment, in processes of their own; return what became of each."""
    with processes() as context:
        gate, said = context.Barrier(count), context.Queue()
        runs = [context.Process(target=_racer, args=(gate, said, (source, url, options), how)) for _ in range(count)]
        for one in runs:
            one.start()
        found = [said.get(timeout=60) for _ in runs]
        for one in runs:
            one.join(60)
    return sorted(found)


def _racer(gate: Any, said: Any, arguments: tuple[Any, ...], how: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")
    gate.wait(60)
    try:
        job(*arguments, **how)
        said.put("finished")
    except Exception as error:  # noqa: BLE001  (it is told)
        said.put(type(error).__name__)


def _difference(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def fault_trials(count: int, seed: int, server: Server, faults: Sequence[str] = FAULTS, patient: bool = False) -> Outcome:
    """Disturb requests until ``count`` faults were injected; ``patient``: half of the clients have botocore's own retries."""
    chance, outcome = random.Random(seed), Outcome()
    port = int(server.endpoint.rpartition(":")[2])
    with FaultProxy(port, seed) as proxy:
        bucket = server.new_bucket()
        source, direct = f"{bucket}/source.zarr", server.storage_options()
        make_source(source, direct)
        job(source, f"{bucket}/unbroken.zarr", direct)
        expected = objects(f"{bucket}/unbroken.zarr", direct)
        while sum(proxy.injected.values()) < count:
            outcome.trials += 1
            through = behind_proxy(direct, proxy, quick=not patient or chance.random() < 0.5)
            proxy.set(*(_rule(chance, faults) for _ in range(chance.choice((1, 1, 2, 3)))))
            _disturb(proxy, outcome, source, f"{bucket}/{outcome.trials}.zarr", through, expected)
            outcome.injected = Counter(proxy.injected)
    return outcome


def behind_proxy(direct: dict[str, Any], proxy: FaultProxy, quick: bool = True) -> dict[str, Any]:
    """Return options that lead through the proxy; ``quick``: s3fs tries five times, and not botocore five times each."""
    found = {**direct, "client_kwargs": {**direct["client_kwargs"], "endpoint_url": proxy.endpoint}}
    if quick:
        found["config_kwargs"] = {**direct.get("config_kwargs", {}), "retries": {"max_attempts": 1}}
    return found


def _disturb(
    proxy: FaultProxy,
    outcome: Outcome,
    source: str,
    url: str,
    options: dict[str, Any],
    expected: dict[str, bytes],
) -> None:
    before = sum(proxy.injected.values())
    start, error = time.monotonic(), None
    try:
        job(source, url, options, resume=True)
    except Exception as caught:  # noqa: BLE001  (whatever it is, it is looked at)
        error = caught
    seconds = time.monotonic() - start
    proxy.set()
    outcome.slowest = max(outcome.slowest, seconds)
    outcome.disturbed += sum(proxy.injected.values()) > before
    if seconds > SLOWEST:
        outcome.wrong.append(f"{url}: {seconds:.0f} s")
    if error is None:
        outcome.succeeded += 1
        if objects(url, options) != expected:
            outcome.wrong.append(f"{url}: it succeeded and differs from the unbroken store")
        return
    outcome.errors[type(error).__name__] += 1
    _look_at_error(error, url, outcome)
    _look_at_ruin(url, options, outcome)
    _finish(source, url, options, expected, outcome)


def _rule(chance: random.Random, faults: Sequence[str]) -> Rule:
    fault = chance.choice(faults)
    match = chance.choice(FITTING.get(fault.partition(":")[0], (READS, WRITES, ANY)))
    if chance.random() < 0.5:
        return Rule(match, fault, times=chance.choice((1, 2, 5)), skip=chance.randrange(40))
    # Of the slow ones only a few: the trials would take hours.
    times = {"hang:100": 1}.get(fault, 5 if ":" in fault else 40)
    return Rule(match, fault, p=chance.choice((0.02, 0.1, 0.3)), times=times)


def _look_at_error(error: Exception, url: str, outcome: Outcome) -> None:
    """An error must say what and where, and no secret."""
    text = f"{error} {getattr(error, '__notes__', '')}"
    if SECRET in text:
        outcome.wrong.append(f"{url}: the error has the secret")
    if "s3://" not in text:
        outcome.wrong.append(f"{url}: the error does not say where: {text[:200]}")
    if isinstance(error, xprep.ChunkError) and not re.search(r"c/\d|the coordinate s3:", text):
        outcome.wrong.append(f"{url}: the error does not name the chunk: {text[:200]}")
    if not isinstance(error, OSError | ValueError):
        outcome.wrong.append(f"{url}: {type(error).__name__} is no error of a store: {text[:200]}")


def expected_objects(folder: Path, source: Any) -> dict[str, bytes]:
    """Return what an unbroken run writes."""
    job(str(source), folder / "unbroken.zarr")
    return objects(folder / "unbroken.zarr")


def main() -> int:
    """Run large campaigns and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=150, help="of processes, half of them writing to a bucket")
    parser.add_argument("--cluster-kills", type=int, default=60, help="of workers and nannies, a third writing to a bucket")
    parser.add_argument("--faults", type=int, default=1000, help="of HTTP")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    wrong = 0
    with tempfile.TemporaryDirectory() as name, moto() as server:
        for title, outcome in _campaigns(given, Path(name), server):
            wrong += len(outcome.wrong)
            sys.stdout.write(f"{title}: {outcome}\n")
            sys.stdout.flush()
    return 1 if wrong else 0


def _campaigns(given: Any, folder: Path, server: Server) -> Iterator[tuple[str, Outcome]]:
    source, options = str(folder / "source.zarr"), server.storage_options()
    make_source(source)
    expected, seed = expected_objects(folder, source), given.seed
    for title, trials, count, part in (
        ("kills of processes", kill_trials, given.kills, 2),
        ("kills in a cluster", cluster_trials, given.cluster_kills, 3),
    ):
        if there := count // part:
            yield f"{title}, local", trials(count - there, seed, folder / title, source, None, expected)
            yield f"{title}, S3", trials(there, seed, server.new_bucket(), source, options, expected)
    if given.faults:
        yield "faults", fault_trials(given.faults, seed, server, LONG_FAULTS, patient=True)


if __name__ == "__main__":
    sys.exit(main())
