"""Where windows lie: their centers, and their half-width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xprep.arguments import check_whole
from xprep.kernels.rois import weighted_means

if TYPE_CHECKING:
    from xprep.rois.table.ragged_columns import RaggedPixels

NOWHERE = -(2**40)  # the center of a ROI without one: its window touches no image, however large
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Centers:
    """Centers of windows; z is the plane, and does not count where windows hold all planes."""

    z: Ints
    y: Ints
    x: Ints

    def __len__(self) -> int:
        return self.y.size

    def between(self, first: int, last: int) -> Centers:
        """Return the centers ``first`` to ``last`` (exclusive)."""
        return Centers(self.z[first:last], self.y[first:last], self.x[first:last])

    def of(self, chosen: Ints) -> Centers:
        """Return the ``chosen`` centers, in that order."""
        return Centers(self.z[chosen], self.y[chosen], self.x[chosen])


def centers_of(table: RaggedPixels) -> Centers:
    """Return the truncated centroids of a table; a ROI without one is `NOWHERE`."""
    means = weighted_means(table.lam, (table.ypix, table.xpix), table.starts)
    found = np.isfinite(means).all(axis=0) & (np.abs(means) < -NOWHERE).all(axis=0)
    y, x = (np.where(found, np.trunc(np.where(found, axis, 0)), NOWHERE).astype(np.int64) for axis in means)
    return Centers(table.planes, y, x)


def check_width(width: Any) -> int:
    """Return ``width`` as an int.

    Raises
    ------
    ValueError
        Not a whole number of pixels, or negative.
    """
    return check_whole(width, "width, the half-width of windows,", 0, 2**20 - 1)


def centroid_columns(centroids: Mapping[str, Any], names: Sequence[str]) -> list[Ints]:
    """Return the wanted entries of a mapping of centroids as int64 arrays of one length.

    Raises
    ------
    KeyError
        An entry is missing.
    ValueError
        Entries are not integers, or differ in length.
    """
    if not isinstance(centroids, Mapping):
        raise TypeError(f"centroids must be a mapping such as {{'yc': [4], 'xc': [5]}}; got {centroids!r}.")
    missing = [name for name in names if name not in centroids]
    if missing:
        raise KeyError(f"centroids need the entries {list(names)}; {missing} are missing from {sorted(centroids)}.")
    columns = [np.atleast_1d(np.asarray(centroids[name])) for name in names]
    for name, column in zip(names, columns, strict=True):
        if column.size and column.dtype.kind not in "iu":
            raise ValueError(f"centroids must be integers, {name} is {column.dtype}; use asint=True, or truncate them.")
    if len({column.shape for column in columns}) > 1:
        raise ValueError(f"centroids need one entry a ROI each; got {[column.size for column in columns]} for {list(names)}.")
    return [column.astype(np.int64) for column in columns]
