"""What is used of zarr-python that is not documented: its event loop, whether a zip file is open, and copies of metadata."""

from __future__ import annotations

import copy
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import zarr
from zarr.storage import StorePath, ZipStore

from xprep.private_api import part_of, uses

T = TypeVar("T")
_sync: Any = part_of("zarr.core.sync", "sync", None)
_LOST: Final = "zarr {} keeps an array's metadata in another way than xprep knows, which could not put {} in. Use an older zarr."


@uses(
    "zarr.core.sync.sync",
    since="zarr 3.0",
    loss="refused",
    without="nothing can be read or written: requests of a store's client run on zarr's own event loop",
)
def sync(doing: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on zarr's event loop, and return what it gives.

    Raises
    ------
    RuntimeError
        This zarr does not say where its loop is.
    """
    if _sync is None:
        doing.close()
        raise RuntimeError(f"zarr {zarr.__version__} lacks zarr.core.sync.sync, on which requests run. Use an older zarr.")
    done: T = _sync(doing)
    return done


@uses(
    "zarr.storage.ZipStore._is_open, _open",
    since="zarr 3.0",
    loss="slower",
    without="a zip file that was given as a store object is opened a second time",
)
def opened_zip(store: ZipStore) -> ZipStore:
    """Return a zip file opened: zarr opens it when it is first used through a group only."""
    if (is_open := getattr(store, "_is_open", None)) is None:
        return sync(ZipStore.open(store.path, mode="r"))
    if not is_open:
        sync(store._open())
    return store


@uses(
    "zarr.Array.metadata as an object whose fields are its __dict__; zarr.AsyncArray(metadata, store_path, config)",
    since="zarr 3.1",
    loss="refused",
    without="chunks in codecs that only zarr knows are neither read nor written",
)
def with_metadata(
    array: zarr.Array[Any], store_path: StorePath | None = None, config: Any = None, **fields: Any
) -> zarr.Array[Any]:
    """Return ``array`` with other metadata, in ``store_path`` if one is given; nothing is read or written.

    A copy, as the constructors differ from version to version.

    Raises
    ------
    RuntimeError
        This zarr keeps its metadata in another way.
    """
    metadata: Any = copy.copy(array.metadata)
    getattr(metadata, "__dict__", {}).update(fields)
    if any(getattr(metadata, name, None) is not value for name, value in fields.items()):
        raise RuntimeError(_LOST.format(zarr.__version__, " and ".join(fields)))
    how = array.async_array.config if config is None else config
    made: Any = zarr.AsyncArray(metadata=metadata, store_path=store_path or array.store_path, config=how)
    return zarr.Array(made)


@uses(
    "zarr.codecs.BloscCodec._tunable_attrs",
    since="zarr 3.1",
    loss="slower",
    without="in OME-Zarr 0.4, blosc shuffles as zarr shows it, and not as the dtype wants it: other sizes, the same pixels",
)
def chooses_shuffle(codec: Any) -> bool:
    """Whether a codec of blosc chooses its shuffle by the dtype."""
    return "shuffle" in getattr(codec, "_tunable_attrs", ())
