"""A plate of 96 wells of four small fields, two of which are not there, whose run is killed at moments spread over all of it."""

from __future__ import annotations

import os
import random
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xprep
from tests.campaign.kills import processes
from tests.campaign.lab import Outcome, be_quiet
from tests.helpers.crashes import objects
from tests.helpers.plates import fields_of, write_plate
from xprep.io.store.places import Place

WELLS = [f"{row}/{column}" for row in "ABCDEFGH" for column in range(1, 13)]
ABSENT = ("C/7/2", "F/11/0")


def plate_kill_trials(count: int, seed: int, folder: Path, tell: Callable[[str], None] | None = None) -> Outcome:
    """Kill one run over the plate ``count`` times, each at its own number of written objects; what is listed is always whole."""
    folder.mkdir()
    source, target = write_plate(folder / "p.zarr", WELLS, 4, ABSENT, alike=True), folder / "o.zarr"
    chance, outcome, known = random.Random(seed), Outcome(tell), set[str]()
    writes = _written_by(source, folder / "unbroken.zarr")
    with processes() as context:
        while outcome.disturbed < count:
            left = round(writes / (count + 1) * chance.uniform(0.5, 1.3))
            process = context.Process(target=_run, args=(source, target, left))
            process.start()
            process.join()
            outcome.end_trial()
            if process.exitcode != -signal.SIGKILL:
                outcome.complain(str(target), f"the run ended with {process.exitcode}, after {outcome.disturbed} kills")
                break
            outcome.disturbed += 1
            _look_at_plate(target, known, outcome)
    _finish(source, target, outcome)
    if (found := objects(target)) != (expected := objects(folder / "unbroken.zarr")):
        differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        outcome.complain(str(target), f"it differs from the unbroken plate in {differ[:3]}")
    if list(folder.glob(".*")):
        outcome.complain(str(target), "something is left beside it")
    return outcome


def _run(source: Path, target: Path, left: int | None = None) -> Any:
    """Run a recipe over the plate, and kill this process when it has written ``left`` times."""
    be_quiet()
    write, done = Place.set_many, [0]

    def counted(place: Place, *arguments: Any, **more: Any) -> None:
        write(place, *arguments, **more)
        done[0] += 1
        if done[0] == left:
            os.kill(os.getpid(), signal.SIGKILL)

    Place.set_many = counted  # type: ignore[method-assign]
    try:
        recipe = {"inputs": [str(source)], "steps": [{"normalize": {"sigma": 1}}], "output": str(target), "statistics": "well"}
        return xprep.run(recipe, progress=False, resume=True), done[0]
    finally:
        Place.set_many = write  # type: ignore[method-assign]


def _written_by(source: Path, target: Path) -> int:
    """Return how often an unbroken run writes."""
    _, writes = _run(source, target)
    return int(writes)


def _look_at_plate(target: Path, known: set[str], outcome: Outcome) -> None:
    """What other programs find listed is whole, what is not there is not listed, and xprep does not open the rest as a plate."""
    if not (target / "zarr.json").exists():
        return
    listed = fields_of(target)
    for path in set(listed) - known:
        if not xprep.verify(target / path).is_whole:
            outcome.complain(str(target), f"{path} is listed and not whole")
    if gone := [path for path in ABSENT if path in listed] + sorted(known - set(listed)):
        outcome.complain(str(target), f"{gone} should not be listed, or was and is not any more")
    known.update(listed)
    try:
        xprep.open_tree(target)
    except xprep.UnfinishedStoreError:
        return
    outcome.complain(str(target), "it opens, and is not finished")


def _finish(source: Path, target: Path, outcome: Outcome) -> None:
    try:
        report, _ = _run(source, target)
    except Exception:  # noqa: BLE001  (it is told)
        outcome.complain(str(target), f"it cannot be resumed: {traceback.format_exc()}")
        return
    states = [one.state for one in report.outcomes]
    outcome.succeeded += states.count("finished before")
    if states.count("failed") != len(ABSENT) or len(fields_of(target)) != 4 * len(WELLS) - len(ABSENT):
        outcome.complain(str(target), f"the end has {states.count('failed')} failures and lists {len(fields_of(target))} fields")
