"""What a store says of its objects when it lists them: sizes, ETags, times."""

from __future__ import annotations

import asyncio
import base64
import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from zarr.abc.store import Store
from zarr.storage import FsspecStore, ObjectStore

from xprep.io.private_fsspec import ask, find
from xprep.io.private_zarr import sync
from xprep.io.store.backends import is_bucket
from xprep.io.store.deadlines import every, in_time

# A listing of ten million chunks takes ten thousand requests; it has ten minutes more.
NAMES_PER_SECOND: Final = 10_000_000 / 600
# Requests in flight of one call: s3fs gains nothing beyond 16 (its pool has 10 connections by default).
REQUESTS: Final = 16
_MD5: Final = re.compile(r"[0-9a-f]{32}")
# What fsspec's backends call the time of the last change.
_TIMES: Final = ("LastModified", "last_modified", "updated", "mtime", "created")


class Listed(NamedTuple):
    """An object as a listing shows it.

    Attributes
    ----------
    name : str
        Below the folder that was listed.
    size : int
        Bytes.
    md5 : bytes
        Of its contents, where the store says so (the ETag of a single PUT to S3 is that); otherwise empty.
    state : str or int
        What is another after every change, for good: its ETag, or the time of its last change (of a file, in nanoseconds). An
        empty text where nothing is known.
    passing : tuple of int
        What is another after every change while a run lasts: on a disk also the time at which its inode changed, and which it is.
    changed : float
        When it was changed last, in seconds since 1970 by the store's clock; 0 where nothing is known.
    """

    name: str
    size: int
    md5: bytes = b""
    state: str | int = ""
    passing: tuple[int, ...] = ()
    changed: float = 0.0


class Objects(NamedTuple):
    """The objects of a folder: by name their sizes and, where the store knows them, their MD5."""

    sizes: dict[str, int]
    md5s: dict[str, bytes]


def gather_objects(listed: list[Listed]) -> Objects:
    """Return what a listing found, by name."""
    objects = Objects({}, {})
    for one in listed:
        objects.sizes[one.name] = one.size
        if one.md5:
            objects.md5s[one.name] = one.md5
    return objects


def walk_files(folder: Path, enter: Callable[[str], bool] = lambda path: True) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every file below ``folder``, by its path from there; of the folders, those for whose path ``enter`` is true."""
    below = [""]
    while below:
        here = below.pop()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(f"{folder}/{here}") as entries:
            for entry in entries:
                name = f"{here}/{entry.name}" if here else entry.name
                if entry.is_dir():
                    below += [name] if enter(name) else []
                else:
                    try:  # not `suppress`, which makes an object for each file
                        yield name, entry.stat()
                    except FileNotFoundError:
                        continue


def describe_file(name: str, found: os.stat_result) -> Listed:
    """Return what is known of a file."""
    return Listed(name, found.st_size, b"", found.st_mtime_ns, (found.st_ctime_ns, found.st_ino), found.st_ctime)


def list_objects(store: Store, prefix: str, seconds: float) -> list[Listed]:
    """Return every key that begins with ``prefix``, without it; one listing where the store gives sizes.

    ``prefix`` ends with a slash, or in the midst of a name.
    """
    if isinstance(store, FsspecStore):
        # A store object may come with a cache of listings, which hides what others wrote or deleted since.
        store.fs.invalidate_cache()
    return sync(in_time(_list(store, prefix), prefix, seconds))


def ask_each(store: Store, keys: Sequence[str], seconds: float) -> list[Listed]:
    """Return what a server of HTTP, which lists nothing, says of each of ``keys`` that is there: a request for each."""
    return [one for one in sync(_ask_each(store, keys, seconds)) if one is not None]


async def _ask_each(store: Store, keys: Sequence[str], seconds: float) -> list[Listed | None]:
    gate = asyncio.Semaphore(REQUESTS)

    async def one(key: str) -> Listed | None:
        async with gate:
            return await in_time(_ask(store, key), key, seconds)

    return await every(one(key) for key in keys)


async def _ask(store: Store, key: str) -> Listed | None:
    try:
        if isinstance(store, ObjectStore):
            info = await importlib.import_module("obstore").head_async(store.store, key)
            return _of_obstore(info, "", "HTTPStore")._replace(name=key)
        info = await ask(store.fs, f"{store.path}/{key}")  # type: ignore[attr-defined]
    except FileNotFoundError:
        return None
    time = str(info.get("Last-Modified", ""))
    # Mirrors of a server have ETags of their own.
    return Listed(key, int(info.get("size") or 0), b"", time, (), parsedate_to_datetime(time).timestamp() if time else 0.0)


async def _list(store: Store, prefix: str) -> list[Listed]:
    if isinstance(store, FsspecStore):
        return await _list_fsspec(store, prefix)
    if isinstance(store, ObjectStore):
        folder = prefix.rpartition("/")[0]  # obstore's prefixes are of whole names
        found = await importlib.import_module("obstore").list(store.store, folder or None).collect_async()
        kind = type(store.store).__name__
        return [_of_obstore(one, prefix, kind) for one in found if one["path"].startswith(prefix)]
    names = [key async for key in store.list_prefix(prefix)]
    gate = asyncio.Semaphore(REQUESTS)

    async def size(name: str) -> int:
        async with gate:
            return await store.getsize(name)

    sizes = await every(size(name) for name in names)
    return [Listed(name.removeprefix(prefix), size) for name, size in zip(names, sizes, strict=True)]


async def _list_fsspec(store: FsspecStore, prefix: str) -> list[Listed]:
    folder, _, begin = prefix.rpartition("/")
    root = "/".join(part for part in (store.path.rstrip("/"), folder) if part)
    try:
        found = await find(store.fs, root, begin if is_bucket(store) else "")
    except FileNotFoundError:
        return []
    start = f"{root.strip('/')}/{begin}"
    return [
        _of_fsspec(name.lstrip("/").removeprefix(start), info)
        for name, info in found.items()
        if name.lstrip("/").startswith(start)
    ]


def _of_fsspec(name: str, info: Mapping[str, Any]) -> Listed:
    time = next((info[key] for key in _TIMES if info.get(key)), "")
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    state = tag or str(time)
    return Listed(name, int(info["size"]), _md5(tag, str(info.get("md5Hash") or "")), state, (), _seconds(time))


def _of_obstore(info: Mapping[str, Any], prefix: str, kind: str) -> Listed:
    time, tag = info["last_modified"], str(info["e_tag"] or "").strip('"')
    # Mirrors of a server have ETags of their own; a file's is of its inode, which a copy does not keep.
    state = str(time) if kind in ("HTTPStore", "LocalStore") else tag or str(time)
    return Listed(info["path"].removeprefix(prefix), int(info["size"]), _md5(tag, ""), state, (), _seconds(time))


def _md5(tag: str, encoded: str) -> bytes:
    if _MD5.fullmatch(tag):
        return bytes.fromhex(tag)
    return base64.b64decode(encoded) if encoded else b""


def _seconds(time: Any) -> float:
    if isinstance(time, str) and time:
        with suppress(ValueError):
            return datetime.fromisoformat(time).timestamp()
    return time.timestamp() if isinstance(time, datetime) else time if isinstance(time, float) else 0.0
