"""Arguments that many functions take: numbers, mappings, sequences; anything else is refused with its name and its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def check_number(value: Any, name: str, least: float = -np.inf) -> float:
    """Return a number, which may be infinite but not NaN unless any is allowed.

    Raises
    ------
    TypeError
        It is no number.
    ValueError
        It is less than ``least``, or NaN where there is one.

    Examples
    --------
    >>> check_number("1", "eps", least=0)
    Traceback (most recent call last):
    TypeError: eps must be a number of 0 or more; got '1'.
    """
    wanted = "a number" if least == -np.inf else f"a number of {least:g} or more"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be {wanted}; got {value!r}.")
    if least > -np.inf and not value >= least:
        raise ValueError(f"{name} must be {wanted}; got {value!r}.")
    return float(value)


def check_whole(value: Any, name: str, least: int = 0, most: int | None = None, also: str = "") -> int:
    """Return a whole number from ``least`` to ``most`` (or any above); ``also`` says what else may be given instead.

    Raises
    ------
    TypeError
        It is no whole number.
    ValueError
        It is less, or more.

    Examples
    --------
    >>> check_whole(0, "num_planes", 1, also=", or None")
    Traceback (most recent call last):
    ValueError: num_planes must be a whole number, 1 or more, or None; got 0.
    """
    span = f", {least} or more" if most is None else f" from {least} to {most}"
    wanted = f"{name} must be a whole number{span}{also}; got {value!r}."
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(wanted)
    if not least <= value <= (value if most is None else most):
        raise ValueError(wanted)
    return int(value)


def check_text(value: Any, name: str, also: str = "") -> str:
    """Return a text; ``also`` says what else may be given instead.

    Raises
    ------
    TypeError
        It is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text{also}; got {value!r}.")
    return value


def check_mapping(value: Any, name: str, example: str, *, secret: bool = False) -> Mapping[Any, Any]:
    """Return a mapping, an empty one for None. Of a ``secret`` only the type is told.

    Raises
    ------
    TypeError
        It is something else.

    Examples
    --------
    >>> check_mapping("key=1", "storage_options", "{'anon': True}", secret=True)
    Traceback (most recent call last):
    TypeError: storage_options must be a mapping such as {'anon': True}, or None; got a str.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        got = f"a {type(value).__name__}" if secret else repr(value)
        raise TypeError(f"{name} must be a mapping such as {example}, or None; got {got}.")
    return value


def check_listed(value: Any, name: str, what: str) -> Any:
    """Return what has a length and entries.

    Raises
    ------
    TypeError
        It is a number, None or another object without; or a text or a mapping, whose entries are letters and keys.
    """
    single = isinstance(value, str | bytes | Mapping) or getattr(value, "shape", None) == ()
    if single or not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be {what}; got {value!r}.")
    return value


def check_dim_names(value: Any, name: str) -> tuple[Any, ...]:
    """Return one dim, or several, as a tuple.

    Raises
    ------
    TypeError
        Neither a text nor a sequence of such.
    """
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(one, str) for one in names):
        raise TypeError(f"{name} must be the name of a dim, or several of them; got {value!r}.")
    return tuple(names)


def check_shape(value: Any, name: str = "shape") -> tuple[int, ...]:
    """Return the lengths of axes in space.

    Raises
    ------
    TypeError
        No sequence, or not of whole numbers.
    ValueError
        A length is below 0, or above what an array can have.
    """
    listed = check_listed(value, name, "the lengths (y, x) or (z, y, x)")
    return tuple(check_whole(length, f"{name}[{n}]") for n, length in enumerate(listed))
