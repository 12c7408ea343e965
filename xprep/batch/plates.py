"""Plates that are made of plates: begun first, wells listed as they are whole, finished at the end, by this process alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from xprep.batch.inputs import Task
from xprep.batch.opening import find_absent
from xprep.batch.outcome import Outcome
from xprep.batch.recipe import Recipe
from xprep.batch.reports import Account
from xprep.engine.graph.tokens import token
from xprep.errors import StoreExistsError, StoreFormatError
from xprep.images import WriteOptions
from xprep.io.commit.collecting import (
    CollectionStore,
    begin_collection,
    finish_collection,
    withdraw_collection,
    write_listed,
)
from xprep.io.commit.collections import Attributes, list_whole, read_collection
from xprep.io.commit.collections import Collection as Images
from xprep.io.ome.groups import read_group
from xprep.io.store.local_paths import take_apart
from xprep.io.store.places import Place, open_store
from xprep.io.store.urls import redact, redact_text
from xprep.types import Listener
from xprep.version import version

WHOLE: Final = ("written", "finished before")
# While a plate is made, its root is written again when it lists a fiftieth more.
SOME: Final = 50


@dataclass(frozen=True)
class Plate:
    """A plate that is being written.

    Attributes
    ----------
    store
        Where.
    of
        What it is made of.
    how
        How its images are stored.
    listed
        Attributes of its groups, by path, as they were written last.
    """

    store: CollectionStore
    of: Images
    how: WriteOptions
    listed: Mapping[str, Attributes] = field(default_factory=dict)

    def place_of(self, task: Task) -> Place:
        """Return where the result of a task is written."""
        return self.store.place.child(task.path)

    def options_of(self, task: Task) -> WriteOptions:
        """Return how it is written: what an earlier run of the plate, or a worker that died, left of it is gone on with."""
        text = self.how.fingerprint
        return replace(self.how, resume=True, fingerprint=None if text is None else f"{text} {task.path}")


def begin_plates(
    tasks: Sequence[Task], recipe: Recipe, how: WriteOptions, listener: Listener | None = None
) -> dict[str, Plate | Exception]:
    """Begin all plates that ``tasks`` make, by URL; or return why that cannot be done: its images fail then, and no others."""
    found: dict[str, Plate | Exception] = {}
    for made, source in dict.fromkeys((task.made, task.plate) for task in tasks if task.made):
        try:
            found[made] = _begin(made, source, recipe, how, listener)
        except (ValueError, OSError, ImportError) as error:
            found[made] = error
    return found


def _begin(made: str, source: str, recipe: Recipe, how: WriteOptions, listener: Listener | None) -> Plate:
    group = read_group(open_store(source, recipe.storage_options))
    collection = None if group is None else read_collection(group)
    if collection is None:
        raise StoreFormatError(f"{redact(source)} was a plate when the run began, and no longer is one.")
    store = begin_collection(
        open_store(made, recipe.storage_options, "r+"),
        _fingerprint(source, recipe, how),
        2 if how.version == "0.4" else 3,
        resume=how.resume,
        overwrite=how.overwrite,
        listener=listener,
    )
    return Plate(store, collection, how)


def _fingerprint(source: str, recipe: Recipe, how: WriteOptions) -> str:
    """Return a text for what a plate is made of and how; not for its wells, which may come later: each field has its own."""
    steps = json.dumps([(step.name, step.parameters) for step in recipe.steps], default=str, sort_keys=True)
    stored = (how.scale_factors, how.method, how.version, how.layout, how.chunks, how.shards, str(how.compression), how.checksum)
    shared = (recipe.statistics, [redact(one.text()) for one in recipe.fit])
    return token("plate", redact("/".join(take_apart(source))), steps, shared, stored, how.fingerprint, version())


def list_wells(
    plates: Mapping[str, Plate | Exception], account: Account, ended: bool = False
) -> dict[str, Plate | Exception]:
    """List the wells that are whole by now; a plate that another run took over is an error from now on.

    Until all has ``ended``, only wells all of whose fields were tried, and some at a time where many are listed: a root of
    thousands of wells would else be written thousands of times.
    """
    found = dict(plates)
    for made, plate in plates.items():
        if isinstance(plate, Plate):
            found[made] = _listed(plate, _whole(made, plate, account, ended), ended)
    return found


def _pairs(account: Account) -> Iterator[tuple[Task, Outcome]]:
    return zip(account.tasks, account.outcomes, strict=False)


def _whole(made: str, plate: Plate, account: Account, ended: bool) -> set[str]:
    """Return the paths of images that are whole; before the end, of wells none of whose fields is left."""
    whole = {task.path for task, one in _pairs(account) if task.made == made and one.state in WHOLE}
    left = {task.path for task in account.tasks[len(account.outcomes) :] if task.made == made} if not ended else set()
    open_wells = {entry.name for entry in plate.of.images if entry.path in left}
    return {entry.path for entry in plate.of.images if entry.path in whole and entry.name not in open_wells}


def _listed(plate: Plate, whole: Collection[str], ended: bool) -> Plate | Exception:
    documents = list_whole(plate.of, whole, plate.how.version) if whole else {}
    changed = {path: one for path, one in documents.items() if plate.listed.get(path) != one}
    if not changed or (not ended and len(changed) <= len(plate.listed) // SOME):
        return plate
    try:
        write_listed(plate.store, changed)
    except (ValueError, OSError) as error:
        return error
    return replace(plate, listed={**plate.listed, **documents})


def finish_plates(plates: Mapping[str, Plate | Exception], account: Account, listener: Listener | None = None) -> None:
    """Finish every plate; where that cannot be done, no image of it counts as written."""
    for made, plate in plates.items():
        try:
            if isinstance(plate, Exception):
                raise plate
            lacking = [task for task, one in _pairs(account) if task.made == made and one.state not in WHOLE]
            absent = find_absent(lacking, account.recipe.storage_options)
            _finish(plate, lacking, [task for task in lacking if task not in absent], listener)
        except (ValueError, OSError, ImportError) as error:
            reason, kind = redact_text(str(error), account.recipe.secrets), type(error).__name__
            account.outcomes[:] = [
                replace(one, state="failed", reason=reason, error=kind) if task.made == made and one.state in WHOLE else one
                for task, one in _pairs(account)
            ]


def _finish(plate: Plate, lacking: Sequence[Task], failing: Sequence[Task], listener: Listener | None) -> None:
    """Finish a plate as far as it is whole: what is not there, or failed, is ``lacking`` and not listed.

    One that is to replace another does so only where nothing failed: else the old one would be lost for a part of the new.

    Raises
    ------
    StoreExistsError
        That, or another run took the plate over.
    UnfinishedStoreError, OSError
        As of `finish_collection`.
    """
    target, place = plate.store.claim.target, plate.store.place
    if not plate.listed:
        withdraw_collection(plate.store)
    elif failing and plate.store.claim.is_beside:
        raise StoreExistsError(
            f"{target} stays as it was: {len(failing)} of the images that were to replace it failed. The "
            f"others are whole in {place}; the same command with overwrite=True and resume=True goes on from there, or write to "
            "another URL."
        )
    else:
        about = {"version": version(), "left_out": [task.path for task in lacking]}
        finish_collection(plate.store, plate.listed, about, listener)
