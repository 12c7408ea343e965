"""What is used of xarray that is not documented: what a variable holds before it is read, and the wrappers around it."""

from __future__ import annotations

from typing import Any, Final

from xprep.private_api import uses

# Wrappers that change no value; what decodes (scales, masks, dates) is not among them.
_TRANSPARENT: Final = ("ImplicitToExplicitIndexingAdapter", "CopyOnWriteArray")


@uses(
    "xarray.Variable._data",
    since="xarray 0.8",
    loss="slower",
    without="what xarray opened without dask is read whole before it is seen where it lies",
)
def unread_data(variable: Any) -> Any:
    """Return what a variable holds; `data` of what xarray has not read yet would read it."""
    return variable._data if hasattr(variable, "_data") else variable.data


@uses(
    "the names ImplicitToExplicitIndexingAdapter, CopyOnWriteArray, LazilyIndexedArray, ZarrArrayWrapper, and their .array, .key",
    since="xarray 2023.1",
    loss="slower",
    without="arrays of xarray.open_zarr are read by dask's own tasks through zarr, a chunk each",
)
def whole_below(data: Any) -> Any:
    """Return the array below xarray's wrappers, if they show all of it and as it is; else None."""
    while _is_wrapper(data):
        kind = type(data).__name__
        if kind == "ZarrArrayWrapper":
            data = data.get_array()
        elif kind in _TRANSPARENT or (kind == "LazilyIndexedArray" and all(part == slice(None) for part in data.key.tuple)):
            data = data.array
        else:
            return None
    return data


@uses(
    "ZarrArrayWrapper.get_array, and .array of every other wrapper",
    since="xarray 2023.1",
    loss="unchecked",
    without="it is not seen that an output would replace the store that xarray reads from",
)
def array_below(data: Any) -> Any:
    """Return the array below all of xarray's wrappers, whatever they do; None where that cannot be told."""
    while _is_wrapper(data):
        get = getattr(data, "get_array", None) if type(data).__name__ == "ZarrArrayWrapper" else None
        data = getattr(data, "array", None) if get is None else get()
    return data


def _is_wrapper(data: Any) -> bool:
    return type(data).__module__.startswith("xarray.")
