"""Keys of a store, many in one call: as files where the store is a folder, through zarr's event loop elsewhere.

Files are read and written in the thread that asks: zarr-python's local store sends each to a pool and back, which costs
0.3 ms a key and makes two readers wait for one loop.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.buffer import default_buffer_prototype
from zarr.storage import FsspecStore

from xprep import platforms
from xprep.errors import StoreFormatError
from xprep.io.private_fsspec import create_object
from xprep.io.private_zarr import sync
from xprep.io.store.deadlines import every, in_time
from xprep.io.store.forbidden import is_refused
from xprep.io.store.listing import REQUESTS

# What is written has a second more for every MiB, as slow lines are no fault.
BYTES_PER_SECOND: Final = 2**20
DELETED_PER_SECOND: Final = 100.0  # where each is a request of its own

_PARTIAL: Final = re.compile(r"\.[0-9a-f]{32}\.partial$")


def make_request(start: int, stop: int) -> ByteRequest:
    """Return the request for bytes ``start`` to ``stop``, or for the last ``-start``."""
    return SuffixByteRequest(-start) if start < 0 else RangeByteRequest(start, stop)


def check_links(root: str, paths: Sequence[str]) -> None:
    """Refuse paths below ``root`` that symbolic links lead out of it.

    Raises
    ------
    StoreFormatError
        It names the link and where it leads.
    """
    for path in paths:
        here = root
        for part in path[len(root) :].strip("/").split("/"):
            here = f"{here}/{part}"
            if os.path.islink(here) and not Path(os.path.realpath(here)).is_relative_to(os.path.realpath(root)):
                raise StoreFormatError(
                    f"{here} is a link out of the store, to {os.path.realpath(here)}. If you trust who made it: "
                    "xprep.set_options(outside_links=True)."
                )


def read_file(folder: Path, name: str, request: ByteRequest | None) -> bytes | None:
    """Return the bytes of a file, or the part asked for; None where there is no such file."""
    try:
        with open(f"{folder}/{name}", "rb") as file:
            if isinstance(request, RangeByteRequest):
                file.seek(request.start)
                return file.read(request.end - request.start)
            if isinstance(request, SuffixByteRequest):
                file.seek(-min(request.suffix, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return file.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def read_file_into(folder: Path, name: str, out: memoryview) -> int | None:
    """Fill ``out`` from a file; return how many bytes there were, one more than fit at most; None without a file."""
    try:
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            at = 0
            while at < out.nbytes and (count := file.readinto(out[at:])):
                at += count
            return at + len(file.read(1))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def write_files(folder: Path, objects: Mapping[str, bytes], lasting: bool) -> None:
    """Write files below ``folder`` by `write_file`; what is ``lasting`` is there after a power cut, with its name."""
    for name, data in objects.items():
        write_file(f"{folder}/{name}", data, lasting)
    for above in {os.path.dirname(f"{folder}/{name}") for name in objects} if lasting else ():
        sync_folder(above)


def write_file(path: str, data: bytes, lasting: bool = False) -> None:
    """Write a file beside its place and rename it, so that no reader ever sees half of it.

    What is ``lasting`` is on the disk then, with the folders that it lies in; for its name see `sync_folder`.
    """
    partial = f"{path}.{token_hex(16)}.partial"
    try:
        try:
            _write_new(partial, data, lasting)
        except FileNotFoundError:
            make_folders(os.path.dirname(path), lasting)
            _write_new(partial, data, lasting)
        platforms.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise


def create_file(path: str, data: bytes) -> None:
    """Write a file, at once and whole, if there is none of its name; of several who do so at once, one succeeds."""
    partial = f"{path}.{token_hex(16)}.partial"
    write_file(partial, data, lasting=True)
    try:
        os.link(partial, path)
        sync_folder(os.path.dirname(path))
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not os.path.exists(path):
            platforms.replace(partial, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)


def make_folders(path: str, lasting: bool) -> None:
    """Make a folder and those above it; where they are to be ``lasting``, each is noted on the disk in the one above."""
    above = os.path.dirname(path)
    if lasting and above != path and not os.path.isdir(above):
        make_folders(above, lasting)
    os.makedirs(path, exist_ok=True)
    if lasting:
        sync_folder(above)


def sync_folder(path: str) -> None:
    """Let the names in a folder be on the disk; where folders cannot be opened (Windows), the system sees to it."""
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _write_new(path: str, data: bytes, lasting: bool) -> None:
    with open(path, "wb", buffering=0) as file:
        view = memoryview(data)
        while view.nbytes:
            view = view[file.write(view) :]
        if lasting:
            os.fsync(file.fileno())


# Every key has ``seconds``, whatever its backend tries: a server that never answers keeps s3fs busy for six minutes (five tries
# of five tries of 15 s).


def fetch(store: Store, keys: Sequence[str], requests: Sequence[ByteRequest | None], seconds: float) -> list[bytes | None]:
    """Return the bytes of every key, or the parts asked for; None where there is nothing."""
    return sync(_fetch(store, keys, requests, seconds))  # type: ignore[arg-type]  # errors are raised


def fetch_allowed(store: Store, keys: Sequence[str], seconds: float) -> list[bytes | Exception | None]:
    """Return the bytes of every key, None where there is nothing, and the error where the server refuses to say (403)."""
    return sync(_fetch(store, keys, [None] * len(keys), seconds, is_refused))


def put(store: Store, objects: Mapping[str, bytes], seconds: float) -> None:
    """Write every object under its key."""
    sync(_put(store, objects, seconds))


def create(store: Store, key: str, data: bytes, seconds: float) -> None:
    """Write an object if there is none of its key; of several who do so at once one succeeds, where the store can tell."""
    sync(in_time(_create(store, key, data), key, seconds + len(data) / BYTES_PER_SECOND))


def delete(store: Store, path: str | None, seconds: float | None) -> None:
    """Delete what lies below ``path``, or all that is in ``store``; in so many seconds, as long as it takes without."""
    doing = store.clear() if path is None else store.delete_dir(path)
    sync(doing if seconds is None else in_time(doing, path or "the store", seconds))


def is_partial(name: str) -> bool:
    """Whether a file is what a process that was killed in `write_file` or `create_file`, or in zarr's own, left."""
    return _PARTIAL.search(name) is not None


def _forget_listings(store: Store) -> None:
    # A store object may come with a cache of listings, which hides what others wrote or deleted since.
    if isinstance(store, FsspecStore):
        store.fs.invalidate_cache()


def exist(store: Store, keys: Sequence[str], seconds: float) -> list[bool]:
    """Return whether there is something under every key."""
    return sync(_exist(store, keys, seconds))


def collect(store: Store, begin: Callable[[], AsyncIterator[str]], seconds: float) -> list[str]:
    """Return what a listing of ``store`` yields; it is begun on zarr's event loop, as obstore wants it."""
    _forget_listings(store)
    return sync(in_time(_collect(begin), "a listing", seconds))


async def _fetch(
    store: Store,
    keys: Sequence[str],
    requests: Sequence[ByteRequest | None],
    seconds: float,
    gives: Callable[[Exception], bool] = lambda _: False,
) -> list[bytes | Exception | None]:
    gate, prototype = asyncio.Semaphore(REQUESTS), default_buffer_prototype()

    async def one(key: str, request: ByteRequest | None) -> bytes | Exception | None:
        try:
            async with gate:
                buffer = await in_time(_get(store, key, prototype, request), key, seconds)
        except Exception as error:
            if gives(error):
                return error
            raise
        return None if buffer is None else buffer.to_bytes()

    return await every(one(key, request) for key, request in zip(keys, requests, strict=True))


async def _get(store: Store, key: str, prototype: BufferPrototype, request: ByteRequest | None) -> Buffer | None:
    if isinstance(request, SuffixByteRequest) and isinstance(store, FsspecStore) and "abfs" in store.fs.protocol:
        # Azure has no suffix ranges, and adlfs 2026.8 passes a negative offset on: the server refuses it.
        try:
            size = await store.getsize(key)
        except FileNotFoundError:
            return None
        request = RangeByteRequest(max(0, size - request.suffix), size)
    return await store.get(key, prototype, request)


async def _put(store: Store, objects: Mapping[str, bytes], seconds: float) -> None:
    gate, buffer = asyncio.Semaphore(REQUESTS), default_buffer_prototype().buffer

    async def one(key: str, data: bytes) -> None:
        async with gate:
            await in_time(store.set(key, buffer.from_bytes(data)), key, seconds + len(data) / BYTES_PER_SECOND)

    await every(one(key, data) for key, data in objects.items())


async def _create(store: Store, key: str, data: bytes) -> None:
    if not isinstance(store, FsspecStore):
        await store.set_if_not_exists(key, default_buffer_prototype().buffer.from_bytes(data))
        return
    # zarr's own way asks first and writes then; s3fs has conditional writes, other backends may have.
    try:
        await create_object(store.fs, f"{store.path}/{key}", data)
    except Exception:  # noqa: BLE001  (also a second try of a write that had arrived is told that there is something)
        if not await store.exists(key):
            await store.set(key, default_buffer_prototype().buffer.from_bytes(data))


async def _exist(store: Store, keys: Sequence[str], seconds: float) -> list[bool]:
    gate = asyncio.Semaphore(REQUESTS)

    async def one(key: str) -> bool:
        async with gate:
            return await in_time(store.exists(key), key, seconds)

    return await every(one(key) for key in keys)


async def _collect(begin: Callable[[], AsyncIterator[str]]) -> list[str]:
    return [name async for name in begin()]
