"""Listings that are read while they arrive: of a bucket of millions of keys, a page is in memory."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from zarr.abc.store import Store
from zarr.storage import FsspecStore

from xprep.io.private_fsspec import pages
from xprep.io.private_zarr import sync
from xprep.io.store.deadlines import in_time

PAGE: Final = 1000  # keys that S3 tells in one answer


def walk_pages(folder: Path) -> Iterator[Sequence[str]]:
    """Yield the paths of all files below ``folder``, a folder at a time; links to folders are files, and not followed."""
    for here, folders, names in os.walk(folder, onerror=_fail):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        above = os.path.relpath(here, folder).replace(os.sep, "/")
        yield [name if above == "." else f"{above}/{name}" for name in sorted([*names, *links])]


def _fail(error: OSError) -> None:
    raise error


def list_keys(store: Store, prefix: str, seconds: float) -> Iterator[Sequence[str]]:
    """Yield the keys of ``store`` that begin with ``prefix``, without it, some at a time; each page has so many seconds."""
    pages = _pages(store, prefix)
    try:
        while names := sync(in_time(anext(pages, None), "a listing", seconds)):
            yield names
    finally:
        sync(pages.aclose())


def guarded(pages: Iterator[Sequence[str]], guard: Callable[[], AbstractContextManager[None]]) -> Iterator[Sequence[str]]:
    """Yield ``pages``, each of which is waited for inside of ``guard()``; what is done with it is not."""
    while True:
        with guard():
            names = next(pages, None)
        if names is None:
            return
        yield names


async def _pages(store: Store, prefix: str) -> AsyncGenerator[Sequence[str], None]:
    names: list[str] = []
    async for key in _keys(store, prefix):
        names.append(key.removeprefix(prefix))
        if len(names) == PAGE:
            yield names
            names = []
    yield names


async def _keys(store: Store, prefix: str) -> AsyncIterator[str]:
    listing = pages(store.fs) if isinstance(store, FsspecStore) else None
    if not isinstance(store, FsspecStore) or listing is None:
        async for key in store.list_prefix(prefix):
            yield key
        return
    # s3fs: its `find`, which zarr calls, keeps all keys of a bucket at once.
    root = store.path.rstrip("/") + "/"
    whole = root + prefix
    bucket, below, _ = store.fs.split_path(whole)
    # Older s3fs (2025.5) drops the slash at the end: "a.zarr" is also what "a.zarr2" begins with.
    below = f"{below.rstrip('/')}/" if below and whole.endswith("/") else below
    async for found in listing(bucket, delimiter="", prefix=below):
        yield found["name"].removeprefix(root)
