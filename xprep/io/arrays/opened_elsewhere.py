"""Zarr arrays that another library opened, as what the engine reads from."""

from __future__ import annotations

from typing import Any

import zarr
from zarr.storage import FsspecStore, LocalStore

from xprep.io.arrays.reads import ZarrReadable
from xprep.io.codecs.inflation import find_unbounded
from xprep.io.private_fsspec import below_wrapper
from xprep.io.private_xarray import array_below, whole_below
from xprep.io.store.places import Place
from xprep.io.store.urls import redact_text


def readable_of(data: Any) -> ZarrReadable | None:
    """Return how to read a Zarr array that zarr or xarray opened; None of anything else, and of a part of one."""
    array = whole_below(data)
    if not isinstance(array, zarr.Array) or array.dtype.kind not in "biuf":
        return None
    metadata: Any = array.metadata.to_dict()
    if metadata.get("chunk_grid", {}).get("name", "regular") != "regular":  # chunks of different lengths have no one shape
        return None
    if find_unbounded(metadata):  # who opened it reads it
        return None
    return ZarrReadable(array, _place_of(array))


def place_below(data: Any) -> Place | None:
    """Return where the Zarr array lies that ``data`` reads, through all of xarray's wrappers; None of anything else."""
    array = array_below(data)
    return _place_of(array) if isinstance(array, zarr.Array) else None


def _place_of(array: zarr.Array[Any]) -> Place:
    store: Any = array.store
    secrets = {}
    if isinstance(store, FsspecStore):
        # dask opens folders through fsspec; files are read directly here.
        system = below_wrapper(store.fs)
        secrets = dict(getattr(system, "storage_options", {}))
        if "file" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)):
            store = LocalStore(store.path, read_only=True)
    return Place(store, array.path, redact_text(str(store), secrets), secrets)
