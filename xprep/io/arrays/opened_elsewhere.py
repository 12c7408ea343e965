"""Zarr arrays that another library opened, as what the engine reads from."""

from __future__ import annotations

from typing import Any, Final

import zarr
from zarr.storage import FsspecStore, LocalStore

from xprep.io.arrays.reads import ZarrReadable
from xprep.io.codecs.inflation import find_unbounded
from xprep.io.store.places import Place
from xprep.io.store.urls import redact_text

# xarray's wrappers that change no value; what decodes (scales, masks, dates) is not among them.
TRANSPARENT: Final = ("ImplicitToExplicitIndexingAdapter", "CopyOnWriteArray")


def readable_of(data: Any) -> ZarrReadable | None:
    """Return how to read a Zarr array that zarr or xarray opened; None of anything else, and of a part of one."""
    array = _zarr_below(data)
    if array is None or array.dtype.kind not in "biuf":
        return None
    metadata: Any = array.metadata.to_dict()
    if metadata.get("chunk_grid", {}).get("name", "regular") != "regular":  # chunks of different lengths have no one shape
        return None
    if find_unbounded(metadata):  # who opened it reads it
        return None
    return ZarrReadable(array, _place_of(array))


def _zarr_below(data: Any) -> zarr.Array[Any] | None:
    """Return the array below xarray's wrappers, if they show all of it and as it is."""
    while type(data).__module__.startswith("xarray."):
        kind = type(data).__name__
        if kind == "ZarrArrayWrapper":
            data = data.get_array()
        elif kind in TRANSPARENT or (kind == "LazilyIndexedArray" and all(part == slice(None) for part in data.key.tuple)):
            data = data.array
        else:
            return None
    return data if isinstance(data, zarr.Array) else None


def place_below(data: Any) -> Place | None:
    """Return where the Zarr array lies that ``data`` reads, through all of xarray's wrappers; None of anything else."""
    while type(data).__module__.startswith("xarray."):
        data = data.get_array() if type(data).__name__ == "ZarrArrayWrapper" else getattr(data, "array", None)
    return _place_of(data) if isinstance(data, zarr.Array) else None


def _place_of(array: zarr.Array[Any]) -> Place:
    store: Any = array.store
    secrets = {}
    if isinstance(store, FsspecStore):
        # dask opens folders through fsspec, in a wrapper that makes its calls asynchronous; files are read directly here.
        system = getattr(store.fs, "sync_fs", store.fs)
        secrets = dict(getattr(system, "storage_options", {}))
        if "file" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)):
            store = LocalStore(store.path, read_only=True)
    return Place(store, array.path, redact_text(str(store), secrets), secrets)
