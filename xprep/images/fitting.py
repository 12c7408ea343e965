"""The statistics that a store was made with: kept with it, and given back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.errors import StoreFormatError
from xprep.io.dataset_files import dataset_from_json, json_of_dataset
from xprep.io.groups import read_group
from xprep.io.status import check_finished, read_mark
from xprep.io.stores import open_store
from xprep.ops.fitted import About, dataset_of

MARK: Final = "fit"  # of the root's attributes, beside "statistics"


@dataclass(frozen=True, eq=False)
class Fit:
    """The statistics of an image, lazy or computed, and what else is kept of them."""

    statistics: Mapping[str, Any] = field(default_factory=dict)
    about: About | None = None

    def computed(self, statistics: Sequence[Any]) -> Fit:
        """Return it with its statistics computed."""
        return replace(self, statistics=dict(zip(self.statistics, statistics, strict=True)))

    def values(self) -> dict[str, Any]:
        """Return the numbers by name, of every channel."""
        return {name: np.asarray(one.values).tolist() for name, one in self.statistics.items()}

    def kept(self) -> dict[str, Any]:
        """Return what a store keeps."""
        fit = {} if self.about is None else {MARK: json_of_dataset(dataset_of(self.about, self.statistics))}
        return {"statistics": self.values(), **fit}

    def notes(self) -> list[str]:
        """Return what was noticed of the statistics."""
        vague = "" if self.about is None else self.about.attrs["approximate"]
        said = [f"the statistics are approximate: {vague}."] if vague else []
        return [*said, *(note for one in self.statistics.values() for note in one.notes)]

    def left_out(self) -> int | None:
        """Return how many pixels of the image are NaN in every channel, where its own pass counted them."""
        return None
