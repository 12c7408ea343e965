"""What all campaigns share: the image, the job, and what is found when a store is looked at after a disturbance."""

from __future__ import annotations

import re
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask

import xprep
from tests.helpers.crashes import objects
from tests.helpers.servers import SECRET
from xprep.io.commit.journal import Journal, Record
from xprep.io.store.places import open_store

THREADS = 2
CHUNKS = {"y": 32, "x": 32}
TILE = 8  # chunks that one task writes, at most
SLOWEST = 60.0  # seconds that any attempt may take
EVERY = 20  # trials


@dataclass(frozen=True)
class Lab:
    """Where trials work: the image, the folder or bucket of their stores, how it is reached, what a store must become."""

    source: str
    target: Any
    options: dict[str, Any] | None
    expected: dict[str, bytes]

    def url(self, number: int | str) -> str:
        """Return where a trial writes."""
        return f"{self.target}/{number}.zarr"


@dataclass
class Outcome:
    """What happened to the trials of a campaign; ``tell`` hears of it every 20 trials."""

    tell: Callable[[str], None] | None = None
    trials: int = 0
    disturbed: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    succeeded: int = 0
    most_rewritten: int = 0
    slowest: float = 0.0
    about: str = ""  # what is done in this trial
    wrong: list[str] = field(default_factory=list)

    def end_trial(self) -> None:
        """Count a trial, and say every now and then how it goes: who is killed shall not have worked for nothing."""
        self.trials += 1
        if self.tell is not None and self.trials % EVERY == 0:
            self.tell(str(self))

    def complain(self, url: str, what: str) -> None:
        """Note that something is wrong; say so at once."""
        self.wrong.append(f"{url}: {what}{self.about and f' ({self.about})'}")
        if self.tell is not None:
            self.tell(f"WRONG: {self.wrong[-1]}")

    def note_time(self, url: str, seconds: float) -> None:
        """Note how long an attempt took."""
        self.slowest = max(self.slowest, seconds)
        if seconds > SLOWEST:
            self.complain(url, f"{seconds:.0f} s")

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


def expected_objects(folder: Path, source: Any) -> dict[str, bytes]:
    """Return what an unbroken run writes."""
    job(str(source), folder / "unbroken.zarr")
    return objects(folder / "unbroken.zarr")


def finish(lab: Lab, url: str, outcome: Outcome, overwrite: bool = False) -> None:
    """Resume without disturbance; the store must equal the unbroken one, and be all that is left."""
    try:
        job(lab.source, url, lab.options, resume=True, overwrite=overwrite)
    except Exception:  # noqa: BLE001  (it is told, and the campaign goes on)
        outcome.complain(url, f"it cannot be resumed: {traceback.format_exc()}")
        return
    found = objects(url, lab.options)
    if differ := sorted(name for name in found.keys() | lab.expected.keys() if found.get(name) != lab.expected.get(name)):
        outcome.complain(url, f"it differs from the unbroken store in {differ[:3]}")
    if lab.options is None and list(Path(url).parent.glob(f".{Path(url).name}.*")):
        outcome.complain(url, "something is left beside it")


def look_at_ruin(url: str, options: dict[str, Any] | None, outcome: Outcome) -> None:
    """A store that was left must not open, unless it was finished the moment before."""
    try:
        image = xprep.open_image(url, storage_options=options)
    except (xprep.UnfinishedStoreError, xprep.StoreFormatError, FileNotFoundError):
        return
    if not xprep.verify(url, storage_options=options).is_whole or image.shape != (2, 160, 128):
        outcome.complain(url, "it opens and is not whole")


def look_at_error(error: Exception, url: str, outcome: Outcome) -> None:
    """An error must say what and where, and no secret."""
    text = f"{error} {getattr(error, '__notes__', '')}"
    if SECRET in text:
        outcome.complain(url, "the error has the secret")
    if "s3://" not in text:
        outcome.complain(url, f"the error does not say where: {text[:200]}")
    if isinstance(error, xprep.ChunkError) and not re.search(r"c/\d|the coordinate s3:", text):
        outcome.complain(url, f"the error does not name the chunk: {text[:200]}")
    if not isinstance(error, OSError | ValueError):
        outcome.complain(url, f"{type(error).__name__} is no error of a store: {text[:200]}")


def pixels(url: str, options: dict[str, Any] | None) -> set[str]:
    """Return the names of the chunks that are there."""
    try:
        return {name for name in open_store(url, options).list_names() if "/image/c/" in name}
    except FileNotFoundError:
        return set()


def journaled(url: str, options: dict[str, Any] | None) -> set[tuple[int, int]]:
    """Return level and number of the chunks that a journal has."""
    return {(record.level, int(unit)) for record in _records(url, options) for unit in record.stored["unit"]}


def _records(url: str, options: dict[str, Any] | None) -> list[Record]:
    try:
        return Journal(open_store(url, options).child("scale0/image")).records()
    except FileNotFoundError:
        return []


def is_finished(url: str, options: dict[str, Any] | None) -> bool:
    """Whether a store says of itself that it is whole."""
    status = open_store(url, options).read_json("zarr.json") or {}
    return bool(status.get("attributes", {}).get("xprep", {}).get("status") == "finished")


def be_quiet() -> None:
    """Let no warning reach a terminal that a campaign writes to."""
    warnings.simplefilter("ignore")
