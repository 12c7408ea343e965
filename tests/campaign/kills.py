"""Processes that are killed while they write, at random moments, and some that begin at the same one."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zarr.storage import MemoryStore

from tests.campaign.lab import (
    THREADS,
    TILE,
    Lab,
    Outcome,
    be_quiet,
    finish,
    is_finished,
    job,
    journaled,
    look_at_ruin,
    make_source,
    pixels,
)
from tests.helpers.crashes import objects


def kill_trials(
    count: int, seed: int, lab: Lab, seconds: float | None = None, tell: Callable[[str], None] | None = None
) -> Outcome:
    """Kill a writing process within ``seconds``, by default those of a whole run, up to three times a store; resume it.

    On this machine, a third of the runs replace a store: until the end, the old one must be there, whole.
    """
    chance, outcome = random.Random(seed), Outcome(tell)
    if lab.options is None:
        make_source(lab.url("old"), seed=4)
    with processes() as context:
        length = seconds or 1.1 * _duration(context, lab)
        while outcome.disturbed < count:
            url = lab.url(outcome.trials + 1)
            replaces = lab.options is None and chance.random() < 0.34
            if replaces:
                shutil.copytree(lab.url("old"), url)
            for _ in range(chance.choice((1, 1, 2, 3))):
                if not _kill_once(context, chance, length, lab, url, replaces, outcome):
                    break
            finish(lab, url, outcome, overwrite=replaces)
            outcome.end_trial()
    if outcome.most_rewritten > THREADS * TILE:
        outcome.complain(str(lab.target), f"{outcome.most_rewritten} chunks are to be written again, more than can be in flight")
    return outcome


def _kill_once(context: Any, chance: random.Random, length: float, lab: Lab, url: str, replaces: bool, outcome: Outcome) -> bool:
    """Kill a run and look at what it left; whether it was still running."""
    before, left = journaled(url, lab.options), _left(url, lab.options)
    if not _killed(context, chance, length, (lab.source, url, lab.options, replaces)):
        return False
    outcome.disturbed += 1
    if replaces:
        _look_at_old(url, lab, outcome)
    else:
        look_at_ruin(url, lab.options, outcome)
        _look_at_rest(url, lab.options, before, left, outcome)
    return True


def _look_at_old(url: str, lab: Lab, outcome: Outcome) -> None:
    """A store that is to be replaced is whole until another whole one is there; between two renames it is only beside."""
    there = objects(url)
    if there and there != objects(lab.url("old")) and there != lab.expected:
        outcome.complain(url, "neither the old store nor the new one is there")
    outcome.succeeded += there == lab.expected


def _look_at_rest(url: str, options: dict[str, Any] | None, before: set[tuple[int, int]], left: int, outcome: Outcome) -> None:
    """What was finished must stay finished; what a resumed run writes again was in flight when the process died.

    ``left`` were to be written again before: of a store that is killed twice, those of the first time may still be there.
    """
    if is_finished(url, options):
        return
    outcome.most_rewritten = max(outcome.most_rewritten, _left(url, options) - left)
    if lost := before - journaled(url, options):
        outcome.complain(url, f"{len(lost)} finished chunks were forgotten")


def _left(url: str, options: dict[str, Any] | None) -> int:
    """Return how many chunks are there, and in no journal."""
    return len(pixels(url, options)) - len(journaled(url, options))


@contextmanager
def processes() -> Iterator[Any]:
    """Yield a context whose processes begin at once: forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.campaign.kills"])
    yield context


def _child(ready: Any, source: str, url: str, options: dict[str, Any] | None, overwrite: bool = False) -> None:
    be_quiet()
    job(source, MemoryStore())  # loads the kernels, which takes four times as long as the run
    ready.set()
    job(source, url, options, resume=True, overwrite=overwrite)


def _duration(context: Any, lab: Lab) -> float:
    """Return how long an unbroken run takes, once kernels are cached."""
    for turn in range(2):
        ready = context.Event()
        process = context.Process(target=_child, args=(ready, lab.source, lab.url(f"timed{turn}"), lab.options))
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
        return len(pixels(url, options))
    found = Path(url).parent.glob(f".{Path(url).name}.*.xprep-new") if beside else [Path(url)]
    try:
        return sum(1 for folder in found for _ in folder.glob("scale*/image/c/*/*/*"))
    except FileNotFoundError:  # it was renamed, or deleted, while it was looked at
        return 0


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
    be_quiet()
    gate.wait(60)
    try:
        job(*arguments, **how)
        said.put("finished")
    except Exception as error:  # noqa: BLE001  (it is told)
        said.put(type(error).__name__)
