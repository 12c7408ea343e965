"""What is evenly spaced: one answer for blurs in micrometres, stores, pyramids, ROIs and pictures.

Positions are evenly spaced if none lies further from the straight line through the first and the last than `TOLERANCE`
of a step and what the rounding of their dtype explains; never further than `MOST` of a step. Float64 numbers that
float32 holds exactly are taken for float32's: that is what stages write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.types import Array, Floats

TOLERANCE = 0.01  # of a pixel: how well positions are even, and how well two that should agree do
MOST = 0.25  # of a pixel: what rounding makes of positions at most, before nobody knows which pixel they are


@dataclass(frozen=True)
class Line:
    """Positions that are even: the first, and the distance to the next, which is negative where they fall."""

    first: float
    step: float

    def at(self, index: Array) -> Floats:
        """Return the positions of pixels."""
        return self.first + self.step * np.asarray(index, np.float64)


def is_number(dtype: np.dtype[Any]) -> bool:
    """Whether a coordinate says where something lies: numbers, dates and durations do, names and booleans do not."""
    return dtype.kind in "iufmM"


def positions_of(values: Array) -> Floats:
    """Return numbers as float64, and dates and durations as nanoseconds (since 1970); of none, NaN."""
    if values.dtype.kind in "mM":
        whole = values.astype(f"{values.dtype.kind}8[ns]")
        return np.where(np.isnat(whole), np.nan, whole.astype(np.int64).astype(np.float64))
    return values.astype(np.float64)


def rounding_of(values: Array) -> float:
    """Return how far positions may be off because their dtype cannot say them better: two roundings of the largest.

    >>> round(rounding_of(np.float32([0, 2000])), 6), rounding_of(np.arange(3))
    (0.000477, 0.0)
    """
    if values.dtype.kind in "mM":
        return 2 * float(np.spacing(np.nanmax(np.abs(positions_of(values)), initial=0.0)))
    if values.dtype.kind != "f" or not values.size:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
    dtype = np.float32 if values.dtype.itemsize > 4 and np.array_equal(narrow, values) else values.dtype
    return float(2 * np.finfo(dtype).eps * np.nanmax(np.abs(values.astype(np.float64)), initial=0.0))


def slack(values: Array, step: float) -> float:
    """Return how far a position may be from where a grid of this ``step`` has it, in the unit of both."""
    return min(TOLERANCE * abs(step) + rounding_of(values), MOST * abs(step))


def line_of(values: Array) -> Line | None:
    """Return the line that positions lie on, or None where they are not even; two different ones always are.

    Examples
    --------
    >>> line_of(np.float32(2000) + np.float32(0.1) * np.arange(5, dtype="float32"))
    Line(first=2000.0, step=0.1)
    >>> line_of(np.array([0.0, 1.0, 3.0])) is None
    True
    """
    if values.ndim != 1 or values.size < 2 or not is_number(values.dtype):
        return None
    positions = positions_of(values)
    first, step = float(positions[0]), float(positions[-1] - positions[0]) / (positions.size - 1)
    if not np.isfinite(step) or step == 0:
        return None
    off = np.abs(positions - first - step * np.arange(positions.size)).max()
    if not off <= slack(values, step):  # NaN is no distance either
        return None
    return Line(first, _roundest(step, rounding_of(values) / (positions.size - 1)))


def _roundest(step: float, doubt: float) -> float:
    """Return the number of fewest digits within what rounding leaves in doubt: 0.1, not 0.10000123; sizes are made of it."""
    doubt = max(doubt, 5e-13 * abs(step))
    return next(found for digits in range(1, 18) if abs((found := float(f"{step:.{digits}g}")) - step) <= doubt)


def is_even(values: Array) -> bool:
    """Whether positions are evenly spaced; one or two are."""
    return len(values) < 2 or line_of(values) is not None


def step_of(values: Array) -> float:
    """Return the mean step, even or not."""
    positions = positions_of(values)
    return float(positions[-1] - positions[0]) / (positions.size - 1)


def spacing(image: xr.DataArray | xr.Dataset, dim: str) -> float | None:
    """Return the step of ``dim``'s coordinate, or None where there is no coordinate of numbers that tells it.

    A single voxel's is the coordinate's attribute ``spacing``, which the writer reads too.

    Raises
    ------
    ValueError
        The coordinate is not evenly spaced: there is no one voxel size.
    """
    if dim not in image.coords or image.coords[dim].dtype.kind not in "iuf":
        return None
    coord = image.coords[dim]
    if coord.size == 1:
        told = coord.attrs.get("spacing")
        return None if told is None else float(told)
    line = line_of(coord.values)
    if line is None:
        raise ValueError(
            f"the coordinate of {dim!r} is not evenly spaced: {tell_steps(coord.values)}. "
            f"There is no one voxel size; interpolate the image to even steps first, or give voxel_size or pixels."
        )
    return line.step


def tell_steps(values: Array) -> str:
    """Return the least and the largest step in words, and whether it is the dtype that cannot say them."""
    steps = np.diff(positions_of(values))
    told = f"its steps go from {np.nanmin(steps):g} to {np.nanmax(steps):g}" if np.isfinite(steps).any() else "it is NaN"
    rounding = rounding_of(values) / 2
    if values.dtype.kind == "f" and rounding > (MOST / 4) * abs(step_of(values)) > 0:
        told += f", and {values.dtype} tells numbers there apart by {rounding:.2g} only"
    return told


def nearest(positions: Floats, wanted: Floats) -> NDArray[np.int64]:
    """Return which of ``positions``, in any order, is nearest to each that is wanted."""
    order = np.argsort(positions, kind="stable")
    sorted_ = positions[order]
    after = np.clip(np.searchsorted(sorted_, wanted), 1, max(1, sorted_.size - 1))
    before = after - 1
    after = np.minimum(after, sorted_.size - 1)
    closer = np.abs(sorted_[before] - wanted) <= np.abs(sorted_[after] - wanted)
    return order[np.where(closer, before, after)].astype(np.int64)
