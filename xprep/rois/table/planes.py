"""Small helpers of the reference that lists of planes go through."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import chain
from typing import Any, ParamSpec, TypeVar

import numpy as np

from xprep.arguments import check_listed, check_text, check_whole
from xprep.types import Array

P = ParamSpec("P")
R = TypeVar("R")


def broadcastable(x: Any, y: Any) -> bool:
    """Return whether the shapes of two arrays can be broadcast, by numpy's rule.

    Parameters
    ----------
    x, y
        Anything with a shape, or that numpy makes an array of (the reference takes arrays only).

    Examples
    --------
    >>> import numpy as np
    >>> broadcastable(np.zeros((2, 3)), np.zeros(3)), broadcastable(np.zeros((2, 3)), np.zeros(2))
    (True, False)
    """
    pairs = zip(reversed(np.shape(x)), reversed(np.shape(y)), strict=False)
    return all(a == b or 1 in (a, b) for a, b in pairs)


def deprecated(reason: str, version: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as deprecated: every call warns (`DeprecationWarning`) with ``reason``.

    Parameters
    ----------
    reason
        What to use instead.
    version
        The version that will not have the function any more, if that is known.

    Examples
    --------
    >>> import warnings
    >>> @deprecated("use new", version="2.0")
    ... def old():
    ...     return 1
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     value = old()
    >>> print(caught[0].message)
    old is deprecated.
    use new
    It will be removed in version 2.0.
    """
    check_text(reason, "reason")
    if version is not None:
        check_text(version, "version", ", or None")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        text = f"{function.__name__} is deprecated.\n{reason}"
        if version is not None:
            text += f"\nIt will be removed in version {version}."

        @wraps(function)
        def warn_and_call(*args: P.args, **kwargs: P.kwargs) -> R:
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return function(*args, **kwargs)

        return warn_and_call

    return decorate


def transpose(sequences: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return a list per position from a list per item.

    The reference gives a lazy ``map`` and cuts to the shortest item in silence; here it is a list, and items of
    different lengths are an error.

    Raises
    ------
    ValueError
        The items are not of one length.

    Examples
    --------
    >>> transpose([(1, 2), (3, 4), (5, 6)])
    [[1, 3, 5], [2, 4, 6]]
    """
    listed = check_listed(sequences, "sequences", "a list of lists")
    lengths = [len(check_listed(item, "sequences", "a list of lists")) for item in listed]
    if len(set(lengths)) > 1:
        raise ValueError(f"sequences must be of one length each; got the lengths {lengths}.")
    return [list(position) for position in zip(*sequences, strict=True)]


def cat_planes(planes: Sequence[Any]) -> Any:
    """Join what was split by planes: arrays along their first axis, other sequences to one flat list.

    Parameters
    ----------
    planes
        An array or a sequence per plane. No planes give an empty list (the reference raises).

    Raises
    ------
    ValueError
        Arrays differ in their other axes.

    Examples
    --------
    >>> cat_planes([[1, 2], (3,)])
    [1, 2, 3]
    """
    for plane in check_listed(planes, "planes", "a list with an array or a list a plane"):
        check_listed(plane, "planes", "a list with an array or a list a plane")
    if len(planes) and all(isinstance(plane, np.ndarray) for plane in planes):
        return np.concatenate(list(planes), axis=0)
    return list(chain.from_iterable(planes))


def split_planes(array: Any, plane_idx: Any, *, num_planes: int | None = None) -> list[Array]:
    """Split items by the plane that each lies in.

    Parameters
    ----------
    array : array, (item, …)
        What is split, along its first axis.
    plane_idx : array of int, (item,)
        The plane of every item.
    num_planes
        How many planes there are. By default the highest that occurs and those before it, as in the reference; then
        last planes without items are lost.

    Returns
    -------
    list of arrays
        One per plane, empty where a plane has no items.

    Raises
    ------
    ValueError
        Lengths differ, a plane is negative, not whole, or beyond ``num_planes``; no items, and no ``num_planes``.

    Examples
    --------
    >>> import numpy as np
    >>> [plane.tolist() for plane in split_planes(np.array([5, 6, 7]), np.array([2, 0, 2]), num_planes=4)]
    [[6], [], [5, 7], []]
    """
    items, planes = np.asarray(array), np.asarray(plane_idx)
    if items.ndim == 0:
        raise TypeError(f"array must be an array of items; got {array!r}.")
    if planes.ndim != 1 or len(items) != planes.size:
        raise ValueError(f"plane_idx needs one plane an item; there are {len(items)} items, and got {plane_idx!r}.")
    if planes.size == 0 and num_planes is None:
        raise ValueError("there are no items to count planes by; give num_planes.")
    count = count_planes(planes, num_planes)
    return [items[planes == plane] for plane in range(count)]


def count_planes(planes: Array, num_planes: int | None) -> int:
    """Return the number of planes, checked against those that occur."""
    if planes.size and (planes.dtype.kind not in "iu" or planes.min() < 0):
        raise ValueError(f"plane_idx must be whole numbers from 0; got {planes.dtype} from {planes.min()} to {planes.max()}.")
    highest = int(planes.max()) if planes.size else -1
    if num_planes is None:
        return highest + 1
    num_planes = check_whole(num_planes, "num_planes", 0, 10**6, ", or None")
    if num_planes <= highest:
        raise ValueError(f"there are items in plane {highest}, but num_planes={num_planes}; it must be {highest + 1} or more.")
    return num_planes
