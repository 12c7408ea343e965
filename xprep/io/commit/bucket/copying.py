"""Copies that a store makes by itself, many at once: the bytes stay where they are, none passes this machine.

Which can: S3 (CopyObject, in parts where an object is large), Google (rewrite), Azure (Copy Blob) through fsspec; S3 and Google
through obstore; memory. Others are not asked: fsspec's other backends fetch and send, obstore does not tell when Azure has
finished, icechunk has commits. Of those that can, each server is asked by a copy of a few bytes (`try_copy`).
"""

from __future__ import annotations

import asyncio
import errno
import importlib
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from zarr.abc.store import Store
from zarr.buffer import default_buffer_prototype
from zarr.storage import FsspecStore, MemoryStore, ObjectStore

from xprep.io.private_fsspec import copy_object
from xprep.io.private_zarr import sync
from xprep.io.store.deadlines import every, in_time
from xprep.io.store.keys import BYTES_PER_SECOND
from xprep.io.store.listing import REQUESTS
from xprep.io.store.places import Place

_FSSPEC: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
_OBSTORE: Final = frozenset({"S3Store", "GCSStore"})
# S3 copies no more in one request, and obstore makes no others.
_LARGEST: Final = 5 * 2**30
_SMALL: Final = 100 * 2**20
_AZURE_SECONDS: Final = 0.2
_TRIES: Final = 3


def split(place: Place) -> tuple[Place, str] | None:
    """Return the folder that ``place`` lies in, and its name there; None if its store makes no copies, or nothing is above."""
    if not copies(place.store):
        return None
    if place.path:
        head, _, name = place.path.rpartition("/")
        return replace(place, path=head), name
    shown = place.shown.rstrip("/").rpartition("/")[0]
    if isinstance(place.store, FsspecStore):
        head, _, name = place.store.path.rstrip("/").rpartition("/")
        return (replace(place, store=_fsspec_at(place.store, head), shown=shown), name) if head.strip("/") else None
    if isinstance(place.store, ObjectStore):
        head, _, name = str(place.store.store.prefix or "").strip("/").rpartition("/")
        return (replace(place, store=_obstore_at(place.store, head), shown=shown), name) if name else None
    return None


def copies(store: Store) -> bool:
    """Whether stores of this kind copy by themselves."""
    if isinstance(store, FsspecStore):
        named = store.fs.protocol
        return bool(_FSSPEC & ({named} if isinstance(named, str) else set(named)))
    if isinstance(store, ObjectStore):
        return type(store.store).__name__ in _OBSTORE
    return type(store) is MemoryStore


def _fsspec_at(store: FsspecStore, path: str) -> FsspecStore:
    return FsspecStore(store.fs, read_only=store.read_only, path=path, allowed_exceptions=store.allowed_exceptions)


def _obstore_at(store: ObjectStore[Any], prefix: str) -> ObjectStore[Any]:
    one = store.store
    how = {name: getattr(one, name) for name in ("config", "client_options", "retry_config", "credential_provider")}
    return ObjectStore(type(one)(prefix=prefix or None, **how), read_only=store.read_only)


def try_copy(above: Place, name: str) -> str:
    """Copy a few bytes in ``above``, under names that begin with ``name``; return why that cannot be done, "" if it can.

    Raises
    ------
    OSError
        It failed for another reason than that the server cannot or that it is not allowed: nobody knows then.
    """
    one, other = f"{name}.1", f"{name}.2"
    try:
        # More than once, as an old store is deleted on a no.
        same = any(_copied(above, one, other, n) for n in range(_TRIES))
    except PermissionError as error:
        return f"copies beside it are not allowed ({error})"
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return f"its server makes no copies ({error})"
    finally:
        with suppress(OSError):
            remove(above, one)
            remove(above, other)
    return "" if same else "its server takes requests for copies, and does not copy"


def _copied(above: Place, one: str, other: str, n: int) -> bool:
    data = f"whether this is copied, try {n}".encode()
    above.set(one, data)
    copy(above, {one: other}, {one: len(data)})
    return above.get(other) == data


def copy(above: Place, names: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    """Copy objects of ``above``: from every key of ``names``, of known size, to its value; all have arrived afterwards.

    Raises
    ------
    OSError
        One could not be copied, or not in its time; the others are given up.
    """
    with above.errors("copy in"):
        large = [name for name in names if sizes[name] > _LARGEST]
        if large and isinstance(above.store, ObjectStore):
            raise OSError(errno.EFBIG, f"{large[0]!r} has {sizes[large[0]]} bytes, and obstore copies at most {_LARGEST}")
        sync(_copy_all(above, names, sizes))


def remove(place: Place, name: str) -> None:
    """Delete one object, if it is there."""
    with place.errors("delete"):
        sync(in_time(place.store.delete(place.key(name)), name, place.deadline))


async def _copy_all(above: Place, names: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    gate = asyncio.Semaphore(REQUESTS)

    async def one(source: str, target: str) -> None:
        async with gate:
            size = sizes[source]
            await in_time(
                _copy(above.store, above.key(source), above.key(target), size), target, above.deadline + size / BYTES_PER_SECOND
            )

    await every(one(source, target) for source, target in names.items())


def _copy(store: Store, source: str, target: str, size: int) -> Awaitable[None]:
    if isinstance(store, FsspecStore):
        root = store.path.rstrip("/")
        return _copy_fsspec(store.fs, f"{root}/{source}", f"{root}/{target}", size)
    if isinstance(store, ObjectStore):
        copied: Awaitable[None] = importlib.import_module("obstore").copy_async(store.store, source, target)
        return copied
    return _copy_here(store, source, target)


async def _copy_fsspec(system: Any, source: str, target: str, size: int) -> None:
    await copy_object(system, source, target, size <= _SMALL)
    if "abfs" not in system.protocol:
        return
    # Azure may answer before it has copied, and adlfs 2026.8 does not look.
    container, blob, _ = system.split_path(target)
    client = system.service_client.get_blob_client(container, blob)
    while (status := (await client.get_blob_properties()).copy.status) == "pending":
        await asyncio.sleep(_AZURE_SECONDS)
    if status != "success":
        raise OSError(errno.EIO, f"the copy ended with {status!r}")


async def _copy_here(store: Store, source: str, target: str) -> None:
    if (buffer := await store.get(source, default_buffer_prototype())) is None:
        raise FileNotFoundError(errno.ENOENT, "there is nothing to copy", source)
    await store.set(target, buffer)
