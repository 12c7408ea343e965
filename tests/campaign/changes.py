"""Sources of which chunks are replaced at random moments, while they are read and before a run goes on."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import xprep
from tests.campaign.lab import Outcome, job
from xprep.errors import SourceChangedError
from xprep.io.store.places import Place, open_store

SHAPE, CHUNK, SHARD = (2, 160, 128), (1, 32, 64), (1, 64, 128)
KINDS = ("in place", "renamed", "in place, time set back", "renamed, time set back")


class Killed(Exception):
    """Ends a run where it is."""


class KillAt:
    """Ends a run when some of its tasks are done."""

    def __init__(self, tasks: int) -> None:
        self.left = tasks

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Killed

    def finished(self, stage: str) -> None: ...


@dataclass(frozen=True)
class Bench:
    """A source, where it lies, what it is made of, and what else its chunks may become: uncompressed, so of one size."""

    place: Place
    options: dict[str, Any] | None
    good: Mapping[str, bytes]
    other: Mapping[str, bytes]

    @staticmethod
    def at(url: str, options: dict[str, Any] | None, shards: bool) -> Bench:
        """Make a source at ``url``."""
        found = []
        for seed in (1, 2):
            stored: dict[str, Any] = {}
            values = np.random.default_rng(seed).integers(1, 4000, SHAPE).astype(np.uint16)
            how: dict[str, Any] = {"chunks": CHUNK, "shards": SHARD if shards else None, "compressors": None}
            array = zarr.create_array(
                zarr.storage.MemoryStore(stored), shape=SHAPE, dtype="uint16", dimension_names=("c", "y", "x"), **how
            )
            array[...] = values
            found.append({name: data.to_bytes() for name, data in stored.items()})
        return Bench(open_store(url, options, "r+"), options, found[0], {k: v for k, v in found[1].items() if k != "zarr.json"})

    def restore(self) -> None:
        """Make it what it was."""
        self.place.set_many(self.good)

    def change(self, names: list[str], kind: str) -> None:
        """Replace chunks; a bucket has one way to do so."""
        for name in names:
            if self.place.folder is None:
                self.place.set(name, self.other[name])
            else:
                _replace(self.place.folder / name, self.other[name], kind)


def _replace(path: Path, data: bytes, kind: str) -> None:
    stamp = path.stat()
    to = path if kind.startswith("in place") else path.with_name("new")
    with open(to, "r+b" if to.exists() else "wb") as file:
        file.write(data)
    if to != path:
        to.replace(path)
    if kind.endswith("set back"):
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def change_trials(
    count: int, seed: int, benches: list[Bench], folder: Path, tell: Callable[[str], None] | None = None
) -> Outcome:
    """Change a source once a trial: a third between a kill and the run that goes on, where dates are not set back."""
    chance, outcome = random.Random(seed), Outcome(tell)
    for number in range(count):
        bench = chance.choice(benches)
        bench.restore()
        names = sorted(bench.other)
        some = chance.sample(names, chance.choice((1, 1, max(1, len(names) // 3), len(names))))
        between = chance.random() < 0.34
        kind = chance.choice(KINDS[:2] if between else KINDS)
        outcome.about = f"trial {number}, {bench.place.url}, {len(some)} of {len(names)} {kind}{', between' if between else ''}"
        url = folder / f"{number}.zarr"
        changed = _between(bench, some, kind, url, chance) if between else _while(bench, some, kind, url, chance)
        _judge(bench, url, folder / f"{number}-after.zarr", changed, outcome)
        outcome.end_trial()
    return outcome


def _while(bench: Bench, names: list[str], kind: str, url: Path, chance: random.Random) -> Exception | None:
    timer = threading.Timer(chance.uniform(0, 0.7), bench.change, (names, kind))
    timer.start()
    found = _run(bench, url)
    timer.join()
    return found


def _between(bench: Bench, names: list[str], kind: str, url: Path, chance: random.Random) -> Exception | None:
    _run(bench, url, progress=KillAt(chance.randrange(10, 90)))
    bench.change(names, kind)
    return _run(bench, url, resume=True)


def _run(bench: Bench, url: Path, **how: Any) -> Exception | None:
    """Return how a run ended."""
    try:
        job(bench.place.url.removeprefix("file://"), url, bench.options, **how)
    except (OSError, ValueError, Killed) as error:
        return error
    return None


def _judge(bench: Bench, url: Path, after: Path, error: Exception | None, outcome: Outcome) -> None:
    """A finished store is of what its source was, or is; one that is not finished is refused, and made anew as is said."""
    outcome.disturbed += 1
    if error is None:
        outcome.succeeded += 1
        _run(bench, after)
        now = xprep.open_image(after).values
        found = xprep.open_image(url).values
        bench.restore()
        _run(bench, after, overwrite=True)
        if not np.array_equal(found, now) and not np.array_equal(found, xprep.open_image(after).values):
            outcome.complain(str(url), "it is finished, and of two sources")
        return
    outcome.errors[type(error).__name__] += 1
    if isinstance(error, SourceChangedError):
        again = _run(bench, url, resume=True)
        if not isinstance(again, SourceChangedError):
            outcome.complain(str(url), f"it was refused once, and then {again!r}")
        if _run(bench, url, overwrite=True) is not None or not xprep.verify(url).is_whole:
            outcome.complain(str(url), "the way out does not work")
    elif not isinstance(error, xprep.ChunkError):
        outcome.complain(str(url), f"{error!r}")
