"""Going on with a run that was interrupted: what it was a run of, which tiles and statistics it left."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
import xarray as xr

from xprep.engine.filling.checkpoint import Save, lasting_of, with_checkpoints
from xprep.engine.filling.identity import identity_of
from xprep.engine.filling.ledger import Ledger, Past, Spans
from xprep.engine.filling.summaries import Seen, seen_from_json
from xprep.engine.graph.tokens import token
from xprep.images.writing.leftovers import KeptTiles
from xprep.images.writing.specification import WriteOptions
from xprep.io.arrays.specs import LevelSpec
from xprep.io.arrays.writes import ZarrWritable
from xprep.io.commit.claimed import Claim, check_owned
from xprep.io.commit.image_store import ImageStore
from xprep.io.commit.journal import VALUE, Journal, Record
from xprep.ops.statistics import Statistic
from xprep.options import options as current_options
from xprep.types import Array, Region
from xprep.version import version

CHECK_SECONDS = 10  # between two looks whether the store is still this run's
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", re.MULTILINE)


def fingerprint_of(
    image: xr.DataArray,
    levels: Sequence[LevelSpec],
    labels: Mapping[str, xr.DataArray],
    options: WriteOptions,
    stored: Sequence[Mapping[str, Any]],
) -> str | None:
    """Return a text for what a run computes and how it is stored: equal for equal runs, in any process.

    Of the sources, the operations with their parameters, labels, coordinates, shapes, chunks, codecs (how each pyramid is
    ``stored``) and versions. None where the
    origin of the pixels is not known, and of a pyramid with levels of its own.
    """
    if options.given is not None:
        return None
    if options.fingerprint is not None:
        pixels: list[str | None] = [options.fingerprint]
    else:
        pixels = [identity_of(one.data) for one in (image, *labels.values())]
    if None in pixels:
        return None
    shapes = [(level.shape, level.chunks, level.shards) for level in levels]
    how = (options.scale_factors, options.method, options.version, options.layout, options.chunks, options.shards)
    about = [_about(one) for one in (image, *labels.values())]
    made_by = (version(), current_options().tile_bytes)
    said = () if options.element is None else (vars(options.element),)
    return token(pixels, shapes, how, about, sorted(labels), json.dumps(stored, sort_keys=True), made_by, *said)


def _about(image: xr.DataArray) -> Any:
    coords = [(str(name), c.dims, np.asarray(c.values), _attributes(c)) for name, c in image.coords.items()]
    coords.sort(key=lambda one: one[0])
    return image.dims, image.shape, str(image.dtype), str(image.name), coords, _attributes(image)


def _attributes(array: xr.DataArray) -> dict[str, str]:
    """Return attributes as texts, histories without their times; numpy's own text of an array depends on how it is to print."""
    return {
        str(name): _STAMP.sub("", value) if isinstance(value, str) else token(value) for name, value in array.attrs.items()
    }


def no_fingerprint() -> ValueError:
    """Return the error for a run that cannot be told from another."""
    return ValueError(
        "resume=True: it cannot be known whether this image is the one that was being written: dask gave a part of it a random "
        "name. Open its source with xprep.open_image; or give the same fingerprint='…', a text that stands for these "
        "pixels and parameters, in the first run and in this one."
    )


@dataclass(eq=False)
class Note:
    """Notes every tile in the journal, and stops a run whose store another took over; called in tasks."""

    claim: Claim
    journal: Journal
    _next: float = field(default=0.0, repr=False)

    def __call__(self, level: int, region: Spans, stored: Array, seen: Seen | None) -> None:
        """Keep what was stored and seen of a tile."""
        lasting = monotonic() > self._next
        if lasting:
            check_owned(self.claim)
            self._next = monotonic() + CHECK_SECONDS
        self.journal.add(Record(level, region, stored, None if seen is None else seen.to_json()), lasting)


@dataclass(frozen=True, eq=False)
class Read:
    """Reads what was written."""

    levels: Sequence[ZarrWritable]

    def __call__(self, level: int, region: Region) -> Array:
        """Return the pixels of a region."""
        return self.levels[level].readable("error").read(region)


def ledger_of(store: ImageStore, levels: Sequence[ZarrWritable], kept: KeptTiles) -> Ledger:
    """Return the ledger of one pyramid: of a resumed run, with all tiles that an earlier one left whole."""
    past = {(record.level, record.region): _past(record, levels) for record in kept.records}
    return Ledger(past, Note(store.claim, Journal(levels[0].place)), Read(levels))


def _past(record: Record, levels: Sequence[ZarrWritable]) -> Past:
    if record.level or record.about is None:
        return Past(record.stored)
    size = levels[0].dtype.itemsize
    nbytes = int(np.prod([stop - start for start, stop in record.region], dtype=np.int64)) * size
    return Past(record.stored, seen_from_json(record.about, nbytes, {0: (record.stored,)}))


@dataclass(frozen=True)
class _SaveStatistic:
    journal: Journal
    name: str

    def __call__(self, value: Statistic) -> None:
        self.journal.save(self.name, value.to_json())


def checkpointed(jobs: Sequence[tuple[ImageStore, KeptTiles, Sequence[Any]]]) -> list[Any]:
    """Return the lazy values of all stores, whose statistics are those that were kept, or are kept when they are made."""
    values = [value for _, _, mine in jobs for value in mine]
    if not values:
        return []
    known: dict[str, Statistic] = {}
    saves: dict[str, list[Save]] = {}
    for store, kept, mine in jobs:
        journal = Journal(store.levels[0].place)
        for identity in sorted(set(lasting_of(mine).values())):
            name = f"{identity}{VALUE}"
            if name in kept.values:
                known[identity] = Statistic.from_json(kept.values[name])
            else:
                saves.setdefault(identity, []).append(_SaveStatistic(journal, name))
    return with_checkpoints(values, known, saves)
