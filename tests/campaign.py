"""Runs that are killed, and networks that fail, many times over: nothing may be wrong, and nothing silently lost.

Small in the test suite; large by hand: ``python -m tests.campaign --kills 200 --faults 1000 --seed 1``. A trial is a run that
is disturbed, looked at, and resumed; the store must then equal that of an unbroken run byte for byte.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask

import xprep
from tests.crashes import objects
from tests.faulty import FaultProxy, Rule
from tests.servers import SECRET, Server, moto
from xprep.io.journal import Journal
from xprep.io.stores import open_store

THREADS = 2
CHUNKS = {"y": 32, "x": 32}
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
            f"succeeded anyway {self.succeeded}, errors {dict(self.errors)}, at most {self.most_rewritten} chunks written "
            f"twice, slowest attempt {self.slowest:.1f} s, WRONG: {len(self.wrong)} {self.wrong[:5]}"
        )


def make_source(url: Any, options: dict[str, Any] | None = None) -> None:
    """Write the image that all trials read: 8 tiles of 4 chunks."""
    image = xprep.datasets.blobs(channels=2, shape=(192, 128), seed=3)
    image.prep.to_ome_zarr(url, chunks={"y": 64, "x": 64}, scale_factors=(), storage_options=options)


def job(source: str, target: Any, options: dict[str, Any] | None = None, **how: Any) -> Any:
    """Do what all trials do."""
    with xprep.set_options(tile_bytes=2**15, progress="off", intermediates="recompute"), dask.config.set(num_workers=THREADS):
        image = xprep.open_image(source, storage_options=options).prep.normalize(sigma=1)
        return image.prep.to_ome_zarr(target, scale_factors=(2, 2), chunks=CHUNKS, storage_options=options, **how)


def _child(ready: Any, *arguments: Any) -> None:
    warnings.simplefilter("ignore")
    ready.set()
    job(*arguments, resume=True)


@contextmanager
def processes() -> Iterator[Any]:
    """Yield a context whose processes begin at once: forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.campaign"])
    yield context


def kill_trials(
    count: int, seed: int, target: Any, source: str, options: dict[str, Any] | None, expected: dict[str, bytes]
) -> Outcome:
    """Kill a writing process at random times, up to three times a store, and resume it."""
    chance, outcome = random.Random(seed), Outcome()
    with processes() as context:
        length = _duration(context, f"{target}/timed.zarr", source, options)
        while outcome.disturbed < count:
            outcome.trials += 1
            url = f"{target}/{outcome.trials}.zarr"
            for _ in range(chance.choice((1, 1, 2, 3))):
                before = _journaled(url, options)
                if not _killed(context, chance.uniform(0, 1.1 * length), (source, url, options)):
                    break
                outcome.disturbed += 1
                _look_at_ruin(url, options, outcome)
                outcome.most_rewritten = max(outcome.most_rewritten, _unjournaled(url, options))
                lost = before - _journaled(url, options)
                if lost:
                    outcome.wrong.append(f"{url}: {len(lost)} finished chunks were forgotten")
            _finish(source, url, options, expected, outcome)
    return outcome


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


def _killed(context: Any, seconds: float, arguments: tuple[Any, ...]) -> bool:
    ready = context.Event()
    process = context.Process(target=_child, args=(ready, *arguments))
    process.start()
    ready.wait(60)
    process.join(seconds)
    process.kill()
    process.join(60)
    return process.exitcode == -signal.SIGKILL


def _look_at_ruin(url: str, options: dict[str, Any] | None, outcome: Outcome) -> None:
    """A store that was left must not open, unless it was finished the moment before."""
    try:
        image = xprep.open_image(url, storage_options=options)
    except (xprep.UnfinishedStoreError, xprep.StoreFormatError, FileNotFoundError):
        return
    if not xprep.verify(url, storage_options=options).is_whole or image.shape != (2, 192, 128):
        outcome.wrong.append(f"{url}: it opens and is not whole")


def _pixels(url: str, options: dict[str, Any] | None) -> set[str]:
    try:
        return {name for name in open_store(url, options).list_names() if "/image/c/" in name}
    except FileNotFoundError:
        return set()


def _journaled(url: str, options: dict[str, Any] | None) -> set[tuple[int, int]]:
    """Return level and number of the chunks that a journal has."""
    try:
        records = Journal(open_store(url, options).child("scale0/image")).records()
    except FileNotFoundError:
        return set()
    return {(record.level, int(unit)) for record in records for unit in record.stored["unit"]}


def _unjournaled(url: str, options: dict[str, Any] | None) -> int:
    """Return how many chunks are there that a resumed run will write again."""
    status = open_store(url, options).read_json("zarr.json") or {}
    if status.get("attributes", {}).get("xprep", {}).get("status") == "finished":
        return 0
    return max(0, len(_pixels(url, options)) - len(_journaled(url, options)))


def _finish(source: str, url: str, options: dict[str, Any] | None, expected: dict[str, bytes], outcome: Outcome) -> None:
    """Resume without disturbance; the store must equal the unbroken one."""
    job(source, url, options, resume=True)
    if objects(url, options) != expected:
        outcome.wrong.append(f"{url}: it differs from the unbroken store")


def fault_trials(count: int, seed: int, server: Server, expected: dict[str, bytes]) -> Outcome:
    """Disturb requests until ``count`` faults were injected."""
    chance, outcome = random.Random(seed), Outcome()
    port = int(server.endpoint.rpartition(":")[2])
    with FaultProxy(port, seed) as proxy:
        bucket = server.new_bucket()
        source, direct = f"{bucket}/source.zarr", server.storage_options()
        through = {**direct, "client_kwargs": {**direct["client_kwargs"], "endpoint_url": proxy.endpoint}}
        make_source(source, direct)
        while sum(proxy.injected.values()) < count:
            outcome.trials += 1
            _disturb(chance, proxy, outcome, source, f"{bucket}/{outcome.trials}.zarr", through, expected)
            outcome.injected = Counter(proxy.injected)
    return outcome


def _disturb(
    chance: random.Random,
    proxy: FaultProxy,
    outcome: Outcome,
    source: str,
    url: str,
    options: dict[str, Any],
    expected: dict[str, bytes],
) -> None:
    before = sum(proxy.injected.values())
    proxy.set(*(_rule(chance) for _ in range(chance.choice((1, 1, 2, 3)))))
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


def _rule(chance: random.Random) -> Rule:
    fault = chance.choice(FAULTS)
    match = chance.choice(FITTING.get(fault.partition(":")[0], (READS, WRITES, ANY)))
    if chance.random() < 0.5:
        return Rule(match, fault, times=chance.choice((1, 2, 5)), skip=chance.randrange(40))
    # Of the slow ones only a few: the trials would take hours.
    return Rule(match, fault, p=chance.choice((0.02, 0.1, 0.3)), times=5 if ":" in fault else 40)


def _look_at_error(error: Exception, url: str, outcome: Outcome) -> None:
    """An error must say what and where, and no secret."""
    text = f"{error} {getattr(error, '__notes__', '')}"
    if SECRET in text:
        outcome.wrong.append(f"{url}: the error has the secret")
    if "s3://" not in text and "zarr" not in text:
        outcome.wrong.append(f"{url}: the error does not say where: {text[:200]}")
    if not isinstance(error, OSError | ValueError):
        outcome.wrong.append(f"{url}: {type(error).__name__} is no error of a store: {text[:200]}")


def expected_objects(folder: Path, source: Any) -> dict[str, bytes]:
    """Return what an unbroken run writes."""
    job(str(source), folder / "unbroken.zarr")
    return objects(folder / "unbroken.zarr")


def main() -> int:
    """Run large campaigns and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    found: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as name, moto() as server:
        folder = Path(name)
        make_source(folder / "source.zarr")
        expected = expected_objects(folder, folder / "source.zarr")
        source, bucket = str(folder / "source.zarr"), server.new_bucket()
        if given.kills:
            half = given.kills // 2
            found["kills, local"] = kill_trials(half, given.seed, folder, source, None, expected)
            found["kills, S3"] = kill_trials(given.kills - half, given.seed, bucket, source, server.storage_options(), expected)
        if given.faults:
            found["faults"] = fault_trials(given.faults, given.seed, server, expected)
    for title, outcome in found.items():
        sys.stdout.write(f"{title}: {outcome}\n")
    sys.stdout.write(json.dumps({title: len(one.wrong) for title, one in found.items()}) + "\n")
    return 1 if any(one.wrong for one in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
