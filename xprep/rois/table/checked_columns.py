"""From lists of pixels per ROI to flat, checked columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.arguments import check_listed
from xprep.types import Array

MAX_COORDINATE = 2**31 - 1


def check_lengths(**lists: Sequence[Any]) -> None:
    """Refuse lists per ROI that do not match, in number or ROI by ROI.

    Raises
    ------
    ValueError
        No ROIs; lists of different lengths; a ROI whose columns differ in length.
    """
    numbers = {name: len(check_listed(values, name, "a list with an entry a ROI")) for name, values in lists.items()}
    if len(set(numbers.values())) > 1:
        raise ValueError(f"every list needs one entry a ROI; got {numbers}.")
    if not any(numbers.values()):
        raise ValueError("there are no ROIs: the lists are empty.")
    shapes = [[_shape(column) for column in columns] for columns in lists.values()]
    if any(one != shapes[0] for one in shapes) or any(len(shape) != 1 for shape in shapes[0]):
        roi = next(i for i, found in enumerate(zip(*shapes, strict=True)) if len(set(found)) > 1 or len(found[0]) != 1)
        got = {name: found[roi] for name, found in zip(lists, shapes, strict=True)}
        raise ValueError(f"the pixels of ROI {roi} need one value each in every column; got shapes {got}.")


def _shape(column: Any) -> tuple[int, ...]:
    """Return the shape of what is mostly an array already: `numpy.shape` takes eight times as long to find that out."""
    return column.shape if type(column) is np.ndarray else np.shape(column)


def join_lists(lists: Sequence[Any]) -> Array:
    """Concatenate a list of arrays per ROI; numpy's promotion decides the dtype. An empty ROI has no say in it."""
    arrays = [np.asarray(values) for values in lists]
    filled = [array for array in arrays if array.size]
    return np.concatenate(filled) if filled else np.concatenate(arrays)


def starts_of(lists: Sequence[Any]) -> NDArray[np.int64]:
    """Return where each ROI starts in the joined columns, and where the last one ends."""
    starts = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(values) for values in lists], out=starts[1:])
    return starts


def whole_coordinates(values: Any, name: str) -> Array:
    """Return ``values`` as an integer array of voxel positions.

    Raises
    ------
    ValueError
        Values that are not whole numbers, negative, or beyond 2³¹ - 1.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        if array.size:
            raise ValueError(
                f"{name} must be integers, got {array.dtype}: {array.flat[0]!r}. Round coordinates first, "
                f"e.g. np.round({name}).astype(int), and drop those that are NaN."
            )
        return array.astype(np.int64)
    if array.size and (told(array).min() < 0 or told(array).max() > MAX_COORDINATE):
        raise ValueError(f"{name} must lie in 0 … {MAX_COORDINATE}; got {array.min()} to {array.max()}.")
    return array


def finite_weights(values: Any) -> Array:
    """Return ``values`` as floating weights: float32 and float64 as they are, anything else as float64.

    Raises
    ------
    ValueError
        A weight is NaN, infinite or not a number.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        first = array.flat[0] if array.size else values
        raise ValueError(f"lam must be real numbers of at most 64 bits, got {array.dtype}: {first!r}.")
    floats = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if not np.isfinite(told(floats)).all():
        bad = int((~np.isfinite(floats)).sum())
        raise ValueError(f"lam must be finite; {bad} of {floats.size} weights are NaN or infinite. Drop those pixels first.")
    return floats


def told(column: Array) -> Array:
    """Return the values of a column without repeats where it is stored as one value: all that there is to look at."""
    return column[:1] if column.ndim == 1 and column.strides == (0,) else column


def freeze(array: Array) -> Array:
    """Return ``array`` read-only; a constant column of many equal values is stored as one."""
    if array.size > 1 and array.strides != (0,) and array[0] == array[-1] and (array == array[0]).all():
        return np.broadcast_to(array[0].copy(), array.shape)
    frozen = array.view()
    frozen.flags.writeable = False
    return frozen


def own(array: Array) -> Array:
    """Return an array that nobody else can write to."""
    owned = array.copy() if array.flags.writeable else array
    owned.flags.writeable = False
    return owned


def check_starts(starts: NDArray[np.int64], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse columns of different lengths, and starts that do not cut them up.

    Raises
    ------
    ValueError
        Either.
    """
    if len(set(shapes.values())) > 1 or len(shapes["lam"]) != 1:
        raise ValueError(f"every column needs one entry a pixel; got shapes {dict(shapes)}.")
    size = shapes["lam"][0]
    if starts.ndim != 1 or starts.size == 0 or starts[0] != 0 or starts[-1] != size or (np.diff(starts) < 0).any():
        raise ValueError(f"starts must rise from 0 to the number of pixels, {size}; got {starts}.")


def unique_ids(ids: Any, count: int) -> Array:
    """Return the names of ROIs as an array.

    Raises
    ------
    ValueError
        Not one a ROI, or one that occurs twice.
    """
    names = np.asarray(ids)
    if names.shape != (count,):
        raise ValueError(f"ids need one name a ROI: there are {count} ROIs, and ids of shape {names.shape}.")
    if len(np.unique(names)) != count:
        values, times = np.unique(names, return_counts=True)
        raise ValueError(f"ids must all be different; {values[times > 1][0]!r} occurs {times.max()} times.")
    return names


def check_planar(zpix: Array, starts: NDArray[np.int64]) -> None:
    """Refuse a planar ROI with pixels in several planes.

    Raises
    ------
    ValueError
        Such a ROI.
    """
    if told(zpix).size <= 1:
        return
    steps = np.diff(zpix) != 0
    steps[starts[(starts > 0) & (starts < zpix.size)] - 1] = False
    if steps.any():
        roi = int(np.searchsorted(starts, np.flatnonzero(steps)[0], side="right") - 1)
        raise ValueError(f"a planar ROI lies in one plane, but ROI {roi} has pixels in several; use volumetric=True.")


def span_of(column: Array) -> tuple[int, int] | None:
    """Return the least and the largest value of a column, None if it has none."""
    return (int(told(column).min()), int(told(column).max())) if column.size else None
