"""What is particular to single kinds of stores: how zarr's own objects are named as URLs, and what a backend does wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from zarr.abc.store import Store
from zarr.storage import FsspecStore, MemoryStore, ObjectStore, StorePath, ZipStore

from xprep.io.private_zarr import opened_zip
from xprep.io.store.urls import redact, redact_text
from xprep.version import version_of

# obstore's classes, which are not imported: by name, to where they are.
_OBSTORE: Final[Mapping[str, Callable[[Any], str]]] = {
    "S3Store": lambda store: f"s3://{store.config['bucket']}",
    "GCSStore": lambda store: f"gs://{store.config['bucket']}",
    "AzureStore": lambda store: f"az://{store.config['container_name']}",
    "LocalStore": lambda store: "",  # its prefix is the folder
    "HTTPStore": lambda store: redact(store.url),
}


def take_store(given: Any) -> tuple[Store, str] | None:
    """Return the store, and the path in it, that an object of zarr's or obstore's is; None of anything else."""
    if isinstance(given, StorePath):
        return given.store, given.path
    if type(given).__module__.partition(".")[0] == "obstore" and type(given).__name__ in (*_OBSTORE, "MemoryStore"):
        return ObjectStore(given), ""
    return (given, "") if isinstance(given, Store) else None


def opened(store: Store) -> Store:
    """Return ``store``, a zip file opened."""
    return opened_zip(store) if isinstance(store, ZipStore) else store


def name_store(store: Store) -> str:
    """Return where ``store`` is, as a URL if it has one, without secrets.

    Stores in memory, and sessions of icechunk that can be written, hold what no other has, so their name holds their
    object's number: two of them never pass for one.

    Examples
    --------
    >>> from zarr.storage import LocalStore
    >>> name_store(LocalStore("/data/slide.zarr"))
    'file:///data/slide.zarr'
    """
    if isinstance(store, FsspecStore):
        return redact(store.fs.unstrip_protocol(store.path))
    if isinstance(store, ObjectStore):
        return _name_obstore(store.store)
    if is_icechunk(store):
        return _name_icechunk(store)
    return redact_text(" ".join(str(store).split()))


def check_rewritable(store: Store, shown: str) -> None:
    """Refuse a store that is for reading only, or in which nothing can be written twice: a zip file.

    Raises
    ------
    ValueError
        It is one; or it is of an icechunk that takes no notes beside the pixels.
    """
    if store.read_only:
        raise ValueError(f"the store object {shown} is for reading only; make it with read_only=False to write to it.")
    if is_icechunk(store) and (found := version_of("icechunk")).partition(".")[0] in ("0", "1"):
        raise ValueError(
            f"{shown} is of icechunk {found}, which takes no names but Zarr's own; writing needs icechunk 2.0 or newer, and that "
            "Python 3.12 or newer. Write to a folder or a bucket, or use a newer Python."
        )
    if isinstance(store, ZipStore):
        raise ValueError(
            f"{shown} is a zip file, where nothing can be replaced or deleted, so no run could be finished or gone on with. "
            "Write to a folder, and zip that: shutil.make_archive(name, 'zip', folder)."
        )


def is_icechunk(store: Store) -> bool:
    """Whether ``store`` is icechunk's: it takes no keys but those of Zarr, and keeps its own account of what is complete."""
    return type(store).__module__.partition(".")[0] == "icechunk"


def is_bucket(store: Store) -> bool:
    """Whether ``store`` is in a bucket of S3, Google or Azure."""
    if isinstance(store, ObjectStore):
        return type(store.store).__name__ in ("S3Store", "GCSStore", "AzureStore")
    named = store.fs.protocol if isinstance(store, FsspecStore) else ()
    return bool({"s3", "gs", "az", "abfs"} & ({named} if isinstance(named, str) else set(named)))


def is_in_memory(store: Store) -> bool:
    """Whether what is written to ``store`` stays in this process: another that writes there writes to a copy."""
    if isinstance(store, FsspecStore):
        return "memory" in store.fs.protocol
    if isinstance(store, ObjectStore):
        return type(store.store).__name__ == "MemoryStore"
    return isinstance(store, MemoryStore) or (is_icechunk(store) and not store.read_only)


def _name_obstore(store: Any) -> str:
    kind = type(store).__name__
    if kind not in _OBSTORE:
        return f"{kind}://{id(store)}"
    root, prefix = _OBSTORE[kind](store), str(getattr(store, "prefix", None) or "").rstrip("/")
    return f"{root.rstrip('/')}/{prefix.lstrip('/')}".rstrip("/") if root else prefix


def _name_icechunk(store: Any) -> str:
    session = store.session
    name = f"icechunk://{session.branch or session.snapshot_id}"
    return name if store.read_only else f"{name}/{id(store)}"


def forget_client(store: Store) -> None:
    """Have the next store of this kind opened with a new client: fsspec keeps clients, also those with wrong credentials.

    Credentials that are set afterwards, in the same notebook, would otherwise not be used.
    """
    if isinstance(store, FsspecStore):
        type(store.fs).clear_instance_cache()
