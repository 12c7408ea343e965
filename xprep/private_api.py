"""Parts of other libraries that these do not promise to keep: each use says since when it is there, and what is lost without.

They stand in one module per library (``private_dask``, ``private_zarr``, …), as functions with `uses`; the tests take each
away, and look at what is then done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE: Final = "_xprep_uses"
Loss = Literal["refused", "slower", "unchecked", "untidy"]


class Absent:
    """Stands for a class that a library has no more: nothing is an instance of it."""


@dataclass(frozen=True)
class PrivateUse:
    """What a function uses of another library.

    Attributes
    ----------
    names
        Of the parts, with their module.
    since
        The first version that has them all.
    loss
        What becomes of a call where one is gone: it is refused by name, does the same in more time or memory, does not refuse
        what it should, or leaves something behind. Never other pixels.
    without
        The same in words.
    """

    names: str
    since: str
    loss: Loss
    without: str


def uses(names: str, *, since: str, loss: Loss, without: str) -> Callable[[F], F]:
    """Note at a function what it uses that may go away."""

    def give(function: F) -> F:
        setattr(function, ATTRIBUTE, PrivateUse(names, since, loss, without))
        return function

    return give


def part_of(module: str, name: str, default: Any = Absent) -> Any:
    """Return what ``module`` calls ``name``; ``default`` where there is no such module or name."""
    try:
        return getattr(import_module(module), name, default)
    except ImportError:
        return default
