"""What tifffile says in two ways: since 2026.5 a series has all its axes or those of several entries, before it had both."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any

import numpy as np
from zarr.buffer import default_buffer_prototype


def all_series(tif: Any) -> list[Any]:
    """Return the series of a file, with the axes that have one entry, too."""
    return list(tif.series(squeeze=False)) if callable(tif.series) else list(tif.series)


def all_axes(series: Any) -> tuple[str, tuple[int, ...]]:
    """Return the letters and the lengths of all axes of a series."""
    if hasattr(series, "get_axes"):
        return series.get_axes(False), tuple(series.get_shape(False))
    return series.axes, tuple(series.shape)


def level_store(series: Any, number: int) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
    """Return tifffile's Zarr store of a level, the shape of its chunks along all axes, and the dtype that they are decoded to."""
    if hasattr(series, "get_axes"):
        store = series.aszarr(level=number, squeeze=False, maxworkers=1)  # multiscales=False would be level 0
        about = _read(store, ".zarray")
        return store, tuple(about["chunks"]), np.dtype(about["dtype"])
    store = series.aszarr(level=number, maxworkers=1)
    about = _read(store, "zarr.json")
    return store, tuple(about["chunk_grid"]["configuration"]["chunk_shape"]), np.dtype(about["data_type"])


def _read(store: Any, key: str) -> Any:
    return json.loads(run(store.get(key, default_buffer_prototype())).to_bytes())


def run(doing: Coroutine[Any, Any, Any]) -> Any:
    """Run to its end what never waits: tifffile decodes in the thread that asks where it is told to use one."""
    try:
        doing.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("tifffile's store waited for something")
