"""Switches: what is on or off, and nothing else; any text is true to Python, also "no"."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np

T = TypeVar("T")


@overload
def check_switch(value: bool, name: str) -> bool: ...
@overload
def check_switch(value: bool | None, name: str, unset: T) -> bool | T: ...


def check_switch(value: Any, name: str, unset: Any = ...) -> Any:
    """Return a switch as Python's bool; ``unset`` for None where that may be given.

    Raises
    ------
    TypeError
        It is neither Python's nor numpy's bool: a text, a number, None.

    Examples
    --------
    >>> check_switch(True, "overwrite"), check_switch(None, "skipna", None)
    (True, None)
    >>> check_switch("no", "overwrite")
    Traceback (most recent call last):
    TypeError: overwrite must be True or False; got 'no'.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if value is None and unset is not ...:
        return unset
    also = "" if unset is ... else ", or None"
    raise TypeError(f"{name} must be True or False{also}; got {value!r}.")
