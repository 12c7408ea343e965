"""A fit that is written to a file, and goes on where it was killed: statistic by statistic, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import xarray as xr

from xprep.engine.filling.checkpoint import with_checkpoints
from xprep.engine.filling.identity import lasting
from xprep.engine.graph.tasks import as_value
from xprep.engine.machine.progress import choose_listener
from xprep.engine.passes.guesses import patches_from_json, patches_to_json
from xprep.engine.running.run import run
from xprep.engine.sources.lazy import is_lazy
from xprep.engine.sources.origins import Origins, origins_of
from xprep.errors import SourceChangedError, StoreFormatError
from xprep.images.writing.source_watch import NOTE, SourceWatch
from xprep.io.commit.journal import VALUE, Journal
from xprep.io.commit.overwrite import delete_store
from xprep.io.dataset_files import check_free, write_dataset
from xprep.io.store.places import open_store
from xprep.ops.statistics import Percentiles, Statistic
from xprep.types import Listener

BESIDE: Final = ".xprep-fit"  # what is kept of an unfinished fit lies beside its file, in a folder of this ending


def save_fit(
    fitted: xr.Dataset,
    url: str | Path,
    storage_options: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    progress: Listener | bool | None = None,
) -> xr.Dataset:
    """Compute a fitted Dataset, write it to a file (`ENDINGS`), and return it.

    What is known of every image is kept beside the file until all is: the same call after a kill goes on from there, unless a
    source was changed meanwhile; then it begins anew.

    Raises
    ------
    StoreExistsError
        The file is there, and ``overwrite`` is off.
    SourceChangedError
        A source was changed while it was read.
    """
    check_free(url, storage_options, overwrite=overwrite)
    names = [name for name, one in fitted.data_vars.items() if is_lazy(one.data)]
    place = open_store(f"{str(url).rstrip('/')}{BESIDE}", storage_options if "://" in str(url) else None, "r+")
    journal, origins = Journal(place), origins_of([fitted[name].data for name in names])
    with closing(SourceWatch()) as watch:
        watch.begin([origins])
        known = _known(journal, watch, origins, str(place))
        values = _kept([as_value(fitted[name].data) for name in names], journal, known)
        results, _ = run(values, "fitting", choose_listener(progress))
        watch.check([(origins, str(place), journal)])
    done = fitted.assign({name: (fitted[name].dims, value) for name, value in zip(names, results, strict=True)})
    write_dataset(done, url, storage_options, overwrite=overwrite)
    delete_store(place)
    return done


def _known(journal: Journal, watch: SourceWatch, origins: Origins, where: str) -> dict[str, Any]:
    """Return what an earlier run left that can be gone on with, by identity; the rest is forgotten."""
    notes = journal.read()
    try:
        source = journal.load(NOTE)
        if source is not None:
            watch.resume(origins, source, where)
            return {name.removesuffix(VALUE): _value(one) for name, one in notes.values.items() if name.endswith(VALUE)}
    except (SourceChangedError, StoreFormatError):
        pass  # nothing of it counts
    journal.forget()
    watch.keep(origins, journal)
    return {}


def _value(kept: Mapping[str, Any]) -> Any:
    if "patches" in kept:
        return patches_from_json(kept)
    return Statistic.from_json(kept) if "each" in kept else Percentiles.from_json(kept)


def _kept(values: Sequence[Any], journal: Journal, known: Mapping[str, Any]) -> list[Any]:
    names = {identity for value in values for identity in lasting(value, partial=True).values()}
    return with_checkpoints(values, known, {name: [_Save(journal, f"{name}{VALUE}")] for name in names}, partial=True)


@dataclass(frozen=True)
class _Save:
    journal: Journal
    name: str

    def __call__(self, value: Any) -> None:
        self.journal.save(self.name, patches_to_json(value) if isinstance(value, list) else value.to_json())
