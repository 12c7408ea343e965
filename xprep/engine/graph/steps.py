"""What an array was made by, in the words of the operation: kept with its last layer, so whatever changes it loses it."""

from __future__ import annotations

from typing import Any

import dask.array as da

from xprep.engine.graph.tasks import NamedLayer


def remember_step(array: Any, step: Any) -> None:
    """Keep ``step`` as what made ``array``; nothing is kept of an array in memory, or of another library's."""
    layer = array.dask.layers.get(array.name) if isinstance(array, da.Array) else None
    if isinstance(layer, NamedLayer):
        layer.step = step


def step_of(array: Any) -> Any:
    """Return what made ``array``, as `remember_step` was told; None where anything was done to it since."""
    return getattr(array.dask.layers.get(array.name), "step", None) if isinstance(array, da.Array) else None
