"""The statistics that a store was made with: kept with it, and given back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.engine.blocks.deliver import made_of
from xprep.engine.filling.summaries import Seen
from xprep.engine.graph.tasks import noted_below
from xprep.errors import StoreFormatError
from xprep.io.arrays.metadata import check_something
from xprep.io.commit.mark import check_finished, read_mark
from xprep.io.dataset_files import dataset_from_json, json_of_dataset
from xprep.io.ome.groups import read_group
from xprep.io.store.places import open_store
from xprep.ops.fitted import STATISTICS, About, kept_of
from xprep.ops.methods import describe_normalization

MARK: Final = "fit"  # of the root's attributes, beside "statistics"


@dataclass(frozen=True, eq=False)
class Fit:
    """The statistics of an image, lazy or computed, and what else is kept of them."""

    statistics: Mapping[str, Any] = field(default_factory=dict)
    about: About | None = None
    is_last: bool = False  # whether nothing was done behind the step that they belong to

    def computed(self, statistics: Sequence[Any]) -> Fit:
        """Return it with its statistics computed."""
        return replace(self, statistics=dict(zip(self.statistics, statistics, strict=True)))

    def values(self) -> dict[str, Any]:
        """Return the numbers by name, of every channel."""
        return {name: np.asarray(one.values).tolist() for name, one in self.statistics.items()}

    def kept(self) -> dict[str, Any]:
        """Return what a store keeps."""
        fit = {} if self.about is None else {MARK: json_of_dataset(kept_of(self.about, self.statistics))}
        return {"statistics": self.values(), **fit}

    def notes(self) -> list[str]:
        """Return what was noticed of the statistics."""
        vague = "" if self.about is None else self.about.attrs["approximate"]
        said = [f"the statistics are approximate: {vague}."] if vague else []
        return [*said, *(note for one in self.statistics.values() for note in one.notes)]

    def left_out(self) -> int | None:
        """Return how many pixels of the image are NaN in every channel, where its own pass counted them."""
        counts = getattr(self.statistics.get("p_post"), "left_out", None)
        if counts is None or self.about is None or self.about.index is None:
            return None
        return int(counts[self.about.index])

    def capped(self, names: Sequence[str], seen: Seen) -> dict[str, int] | None:
        """Return how many pixels of each channel, by its title, have the value of the cap; None without one."""
        cap = None if self.about is None or not self.is_last else json.loads(self.about.attrs["parameters"])["cap_max"]
        if cap is None:
            return None
        looks = [seen.channels[position] for position in range(len(names))]
        highest = np.dtype(self.about.dtype).type(cap) if self.about is not None else cap
        return {name: one.at_high if one.high == highest else 0 for name, one in zip(names, looks, strict=True)}

    def methods(self, capped: Mapping[str, int] | None) -> str:
        """Return what was done as a paragraph for a paper; an empty text without statistics."""
        if self.about is None:
            return ""
        lost = self.left_out()
        share = None if lost is None or self.about.index is None else lost / self.about.pixels[self.about.index]
        return describe_normalization(self.about.attrs, len(self.about.images), share, capped or {})


def fit_of(data: Any) -> Fit:
    """Return the statistics that pixels are made with: by the last step, or by one before; None of several."""
    made = made_of(data)
    if made is not None and made.statistics:
        return Fit(made.statistics, made.about, is_last=True)
    noted = noted_below(data)
    abouts = {id(note.about): note.about for note, _ in noted}
    if len(abouts) != 1:
        return Fit()
    order = sorted(noted, key=lambda one: STATISTICS.index(one[0].name))
    return Fit({note.name: value for note, value in order}, next(iter(abouts.values())))


def statistics_of(url: str | Path | Any, *, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Return the statistics that a store was made with, so that another image joins its experiment.

    Parameters
    ----------
    url : str, Path or zarr store
        An image that was normalised, lazily, and written by `to_ome_zarr`, a recipe or the command.
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Dataset
        As `fit_normalize` gives it, in memory, for ``normalize(statistics=…)``. Of fields of view that shared their
        statistics, each store has all; of more than 4096 numbers a statistic (images times channels), what they share, and
        its own image's.

    Raises
    ------
    StoreFormatError
        There is no Zarr group, or it was not made with statistics.
    UnfinishedStoreError
        It is not finished.
    FileNotFoundError
        There is nothing.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/field 1.ome.zarr"
    >>> image, another = (xprep.datasets.blobs(channels=2, shape=(64, 64), seed=seed).chunk() for seed in (1, 2))
    >>> report = image.prep.normalize(sigma=1).prep.to_ome_zarr(url)
    >>> joined = another.prep.normalize(statistics=xprep.statistics_of(url))
    """
    place = open_store(url, storage_options)
    group = read_group(place)
    if group is None:
        check_something(place)
        raise StoreFormatError(f"{place} is no Zarr group; give the store of an image that was normalised.")
    check_finished(group)
    found = read_mark(group).get(MARK)
    if not isinstance(found, Mapping):
        raise StoreFormatError(
            f"{place} keeps no statistics: it was not normalised, or with several different ones, or is a level or a folder of "
            "such a store. An image in memory forgets them: give it chunks, image.chunk(), or take image.prep.fit_normalize()."
        )
    return dataset_from_json(found, f"{place} (its statistics)")
