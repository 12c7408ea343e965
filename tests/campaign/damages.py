"""Half-done stores of which any one file is flipped or cut."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.campaign.changes import KillAt, Killed
from tests.campaign.lab import Lab, Outcome, job
from tests.helpers.crashes import objects
from xprep.errors import StoreExistsError, StoreFormatError


def damage_trials(count: int, seed: int, lab: Lab, folder: Path, tell: Callable[[str], None] | None = None) -> Outcome:
    """Damage one file of a half-done store a trial; resumed it is whole, or it is refused with a way out that works."""
    chance, outcome = random.Random(seed), Outcome(tell)
    halves = [_half(lab, folder / f"half{n}.zarr", 50 + 8 * n) for n in range(6)]
    for number in range(count):
        url = folder / "damaged.zarr"
        shutil.rmtree(url, ignore_errors=True)
        shutil.copytree(chance.choice(halves), url)
        path = chance.choice(sorted(path for path in url.rglob("*") if path.is_file()))
        data = path.read_bytes()
        outcome.about = f"trial {number}, {path.relative_to(url)}, "
        path.write_bytes(_damaged(data, chance, outcome))
        outcome.disturbed += 1
        _judge(lab, url, outcome)
        outcome.end_trial()
    return outcome


def _half(lab: Lab, url: Path, tasks: int) -> Path:
    try:
        job(lab.source, url, progress=KillAt(tasks))
    except Killed:
        return url
    raise RuntimeError(f"a run has fewer than {tasks} tasks")


def _damaged(data: bytes, chance: random.Random, outcome: Outcome) -> bytes:
    """Return ``data`` cut, emptied, or with one bit flipped."""
    kind = chance.choice(("cut", "emptied", "flipped", "flipped")) if data else "emptied"
    outcome.about += kind
    outcome.injected[kind] += 1
    if kind != "flipped":
        return data[: chance.randrange(len(data)) if kind == "cut" else 0]
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _judge(lab: Lab, url: Path, outcome: Outcome) -> None:
    try:
        job(lab.source, url, resume=True)
        outcome.succeeded += 1
    except (StoreFormatError, StoreExistsError) as error:
        outcome.errors[type(error).__name__] += 1
        if f"delete {url}, and run again" not in str(error):
            outcome.complain(str(url), f"no way out is named: {error}")
        shutil.rmtree(url)
        job(lab.source, url)
    except Exception as error:  # noqa: BLE001  (it is told)
        outcome.complain(str(url), f"{error!r}")
        return
    found = objects(url)
    if differ := sorted(name for name in found.keys() | lab.expected.keys() if found.get(name) != lab.expected.get(name)):
        outcome.complain(str(url), f"it differs from the unbroken store in {differ[:3]}")
