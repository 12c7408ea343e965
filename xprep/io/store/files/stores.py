"""Files of other formats as stores that are only read: each process opens the file once, by its path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

import fsspec
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest

from xprep.errors import SourceChangedError
from xprep.io.store.files.bioio import open_with_bioio
from xprep.io.store.files.images import Opened
from xprep.io.store.files.tiff import open_tiff
from xprep.io.store.listing import Listed, describe_file

# Files that a process keeps open: the fields of an experiment, in a task each.
KEPT: Final = 16
# A request for less than this takes a bucket as long; tiles are of 30 to 300 KiB, and neighbours are read together.
BLOCK: Final = 2**20


@dataclass(frozen=True)
class FileSource:
    """A file, what reads it, and what it was when it was opened first.

    Parameters
    ----------
    url : str
        Its path on this machine, or its URL.
    shown : str
        The same without secrets.
    reader : {"tiff", "bioio"}
        Which reads it.
    dims : str
        What its axes are, where it does not say so.
    state : str
        Size and date, or ETag: another after a change.
    is_local : bool
        Whether it lies on this machine.
    options : mapping
        For fsspec; never shown.
    """

    url: str = field(repr=False)
    shown: str
    reader: Literal["tiff", "bioio"]
    dims: str = ""
    state: str = ""
    is_local: bool = True
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def describe(self) -> Listed:
        """Return what is known of it now."""
        return describe_file(self.url, os.stat(self.url)) if self.is_local else self._describe_remote()

    def _describe_remote(self) -> Listed:
        system, path = fsspec.url_to_fs(self.url, **self.options)
        system.invalidate_cache()
        about = system.info(path)
        tag = about.get("ETag") or about.get("etag") or about.get("md5Hash") or about.get("LastModified") or about.get("mtime")
        return Listed(self.shown, int(about["size"] or 0), b"", str(tag or ""), (), 0.0)


def state_of(found: Listed) -> str:
    """Return what tells a file from what it was before."""
    return f"{found.size} {found.state}"


@lru_cache(maxsize=KEPT)
def _open(source: FileSource) -> Opened:
    """Open a file in this process, as it was when it was opened first."""
    if state_of(source.describe()) != source.state:
        raise SourceChangedError(f"{source.shown} was changed after it had been opened: open it again.")
    if source.reader == "bioio":
        return open_with_bioio(source.url, source.shown, source.dims)
    return open_tiff(source.url if source.is_local else _open_remote(source), source.shown, source.dims)


def _open_remote(source: FileSource) -> Any:
    system, path = fsspec.url_to_fs(source.url, **source.options)
    return system.open(path, "rb", block_size=BLOCK)


class FileStore(Store):
    """A store of what is in a file; picklable, and opened by path where it arrives.

    Parameters
    ----------
    source : FileSource
        The file.
    """

    def __init__(self, source: FileSource) -> None:
        super().__init__(read_only=True)
        self.source = source

    @property
    def opened(self) -> Opened:
        """The file, opened in this process; what is wrong with it is said when it is opened first."""
        return _open(self.source)

    def listed(self) -> list[Listed]:
        """Return what is known of the file now, and of those beside it that hold some of its pixels."""
        beside = [describe_file(path, os.stat(path)) for path in self.opened.files]
        return [self.source.describe(), *beside]

    def read(self, key: str, request: ByteRequest | None = None) -> bytes | memoryview | None:
        """Return the bytes under ``key``, or a part of them; what a decoder has against them is an OSError."""
        opened = self.opened
        try:
            data = opened.read(key)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  (every decoder has its own)
            raise OSError(f"{type(error).__name__}: {error}") from None
        return data if data is None or request is None else _cut(data, request)

    def read_many(self, keys: Sequence[str], requests: Sequence[ByteRequest | None], explained: Any) -> list[Any]:
        """Return what `read` does of each; errors of a bucket are ``explained``, as they may hold secrets."""
        with nullcontext() if self.source.is_local else explained:
            return [self.read(key, request) for key, request in zip(keys, requests, strict=True)]

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return what `read` does."""
        data = await asyncio.to_thread(self.read, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(bytes(data))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return what `read` does, of each."""
        return [await self.get(key, prototype, request) for key, request in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is something under ``key``."""
        return self.opened.holds(key)

    @property
    def supports_writes(self) -> bool:
        """Nothing is written."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """Nothing is deleted."""
        return False

    @property
    def supports_listing(self) -> bool:
        """All can be listed."""
        return True

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        raise PermissionError(f"{self.source.shown} is read only.")

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        raise PermissionError(f"{self.source.shown} is read only.")

    async def list(self) -> AsyncIterator[str]:
        """Yield every key."""
        for key in self.opened.names():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield every key that begins with ``prefix``."""
        for key in self.opened.names():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below ``prefix``."""
        before = f"{prefix.rstrip('/')}/" if prefix else ""
        below = (key.removeprefix(before) for key in self.opened.names() if key.startswith(before))
        for name in dict.fromkeys(key.split("/")[0] for key in below):
            yield name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileStore) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"FileStore({self.source.shown!r})"


def _cut(data: bytes | memoryview, request: ByteRequest) -> bytes | memoryview:
    if isinstance(request, SuffixByteRequest):
        return data[-request.suffix :]
    stop = request.end if isinstance(request, RangeByteRequest) else None
    return data[request.start if isinstance(request, RangeByteRequest) else request.offset : stop]


def codec_of_file(place: Any) -> str:
    """Return how the file stores the array at ``place``, in words; nothing where that is in no such file."""
    level = place.store.opened.levels.get(place.path) if isinstance(place.store, FileStore) else None
    return "" if level is None else level.codec


def kind_of_file(place: Any) -> str:
    """Return what kind of file ``place`` is in, in words; nothing where that is no such file."""
    kinds = {"tiff": "TIFF file", "bioio": "file that bioio reads"}
    return kinds[place.store.source.reader] if isinstance(place.store, FileStore) else ""
