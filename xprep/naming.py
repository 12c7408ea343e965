"""Names that functions and parameters have in tokens: they stay when a module or a class is moved or renamed.

Keys of graphs and the fingerprints of stores are made of what an operation does. Where Python's own name of a class went in
(module and all), a resumed run would take a moved module for another command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

ATTRIBUTE: Final = "_xprep_token"


def named(name: str, number: int = 1) -> Callable[[T], T]:
    """Give a function or a dataclass the name that stands for it in tokens.

    Parameters
    ----------
    name
        Of one thing in the whole package, for good.
    number
        To be raised when it computes other pixels of the same input and parameters: runs that were begun before are then
        not resumed.
    """

    def give(made: T) -> T:
        stays = (f"xprep.{name}", number)
        setattr(made, ATTRIBUTE, stays)
        if not isinstance(made, type):
            # dask asks a function for this where it names a task by it.
            made.__dask_tokenize__ = lambda: stays  # type: ignore[attr-defined]
        return made

    return give
