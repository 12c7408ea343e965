"""Which operation made an image, of what and with which parameters: who shows it at a coarse level makes it anew there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import xarray as xr

from xprep.dims.containers.contents import Name
from xprep.dims.containers.levels import nodes_of
from xprep.engine.graph.steps import remember_step, step_of
from xprep.io.private_xarray import unread_data

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class OperationStep:
    """One call of an operation, and which of its results this is.

    Attributes
    ----------
    operation
        Its name.
    container
        What it was called with: a DataArray, Dataset or DataTree.
    key
        Node and name of the image there.
    arguments
        All its parameters but the first, by name, with their defaults.
    """

    operation: str
    container: Any
    key: Name
    arguments: Mapping[str, Any]


def recorded(operation: F) -> F:
    """Return an operation whose lazy results remember how they were made (`recorded_step`)."""
    signature = inspect.signature(operation)

    @wraps(operation)
    def applied(*args: Any, **kwargs: Any) -> Any:
        result = operation(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        (_, container), *given = bound.arguments.items()
        before = {getattr(data, "name", None) for _, data in _arrays(container)}
        for key, data in _arrays(result):
            if getattr(data, "name", None) not in before:
                remember_step(data, OperationStep(operation.__name__, container, key, dict(given)))
        return result

    return applied  # type: ignore[return-value]


def recorded_step(image: xr.DataArray) -> OperationStep | None:
    """Return the call that made ``image``; None where it was not recorded, or anything was done to the pixels since."""
    found = step_of(unread_data(image.variable))
    return found if isinstance(found, OperationStep) else None


def _arrays(container: Any) -> Iterator[tuple[Name, Any]]:
    """Yield what holds the pixels, by node and name; nothing is read."""
    if isinstance(container, xr.DataArray):
        yield ("", container.name), unread_data(container.variable)
    elif isinstance(container, xr.Dataset):
        yield from ((("", name), unread_data(one.variable)) for name, one in container.data_vars.items())
    elif isinstance(container, xr.DataTree):
        for path, node in nodes_of(container).items():
            yield from (((path, name), unread_data(one.variable)) for name, one in node.data_vars.items())
