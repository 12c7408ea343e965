"""Texts that stand for values: equal for equal ones, in any process, wherever a class or a function was moved to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from dask.base import tokenize

from xprep.naming import ATTRIBUTE


def token(*parts: Any) -> str:
    """Return a text for ``parts``.

    Warns
    -----
    RuntimeWarning
        A class or a function of this package has no name of its own (`xprep.naming.named`): it goes by Python's.
    """
    return str(tokenize(_plain(parts)))


def _plain(value: Any) -> Any:
    """Return ``value`` with the names of our own classes and functions in place of what Python calls them."""
    if isinstance(value, str):
        return str(value)  # a name that a command line gave is the name
    if isinstance(value, tuple | list):
        return type(value).__name__, [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return "mapping", [(_plain(key), _plain(one)) for key, one in value.items()]
    if isinstance(value, partial):
        return "partial", _plain(value.func), _plain(value.args), _plain(value.keywords)
    if isinstance(value, MethodType):
        return "method", value.__func__.__name__, _plain(value.__self__)
    name = getattr(value, ATTRIBUTE, None)
    if name is not None and is_dataclass(value) and not isinstance(value, type):
        return name, [(field.name, _plain(getattr(value, field.name))) for field in fields(value)]
    if name is None and _is_ours(value) and not hasattr(value, "__dask_tokenize__"):
        warnings.warn(f"{value!r} has no name that stays when it is moved: xprep.naming.named.", RuntimeWarning, stacklevel=2)
    return value if name is None else name


def _is_ours(value: Any) -> bool:
    named = value if isinstance(value, type | FunctionType) else type(value)
    return str(named.__module__).partition(".")[0] == "xprep"
