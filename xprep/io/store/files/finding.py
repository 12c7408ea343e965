"""Where a URL leads to a file instead of a folder: a zip of a Zarr store, a TIFF, what bioio reads; or nothing that is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple
from zipfile import BadZipFile, ZipFile

import fsspec
from zarr.abc.store import Store
from zarr.storage import ZipStore

from xprep.errors import StoreFormatError
from xprep.io.store import urls
from xprep.io.store.advice import refuse
from xprep.io.store.files.stores import FileSource, FileStore, state_of
from xprep.io.store.single_files import METADATA, check_no_metadata, kind_by_name, kind_of_file, refuse_file


class FoundFile(NamedTuple):
    """A file that is read as a store, the path in it, its URL without secrets, and these."""

    store: Store
    path: str
    shown: str
    secrets: Mapping[str, Any]


# What stands at the end of a URL behind a file: the number of a series, of a level.
_DEEPEST: Final = 4


def find_file(where: urls.Url, options: Mapping[str, Any], dims: str) -> FoundFile | None:
    """Return the file that a URL is, or leads into (``scan.lif/2`` is a series of it); None if it leads to no file.

    Raises
    ------
    StoreFormatError
        It is a file of a kind that is not read, or not from there.
    ImportError
        What reads it is not installed.
    """
    return _on_disk(where, dims) if where.is_local else _elsewhere(where, options, dims)


def _on_disk(where: urls.Url, dims: str) -> FoundFile | None:
    path, inside = where.path.rstrip("/") or "/", list[str]()
    while not os.path.exists(path) and len(inside) < _DEEPEST:
        path, _, name = path.rpartition("/")
        inside.insert(0, name)
    if not os.path.isfile(path):
        return None
    check_no_metadata(Path(path))
    kind = kind_of_file(Path(path))
    shown = where.shown.rstrip("/").removesuffix("/".join(inside)).rstrip("/")
    if kind.reader == "zip":
        return _zip(path, "/".join(inside), shown)
    if not kind.reader:
        refuse_file(path, kind)
    source = FileSource(path, shown, kind.reader, dims)
    return FoundFile(_opened(source), "/".join(inside), shown, {})


def _opened(source: FileSource) -> FileStore:
    store = FileStore(replace(source, state=state_of(source.describe())))
    store.opened.holds("")
    return store


def _zip(path: str, inside: str, shown: str) -> FoundFile:
    """Return a zip file, and in it the store: at its root (RFC-9), or in its one folder."""
    try:
        with ZipFile(path) as file:
            names = file.namelist()
    except BadZipFile as error:
        raise StoreFormatError(f"{shown} cannot be read as a zip file: {error}. It is damaged, or cut short.") from None
    roots = {name.partition("/")[0] for name in names}
    folder = next(iter(roots)) if len(roots) == 1 else ""
    if not any(f"{folder}/{name}".lstrip("/") in names for name in METADATA):
        if not roots.intersection(METADATA):
            raise StoreFormatError(f"{shown} is a zip file, with no Zarr store at its root or in one folder there.")
        folder = ""
    return FoundFile(ZipStore(path, mode="r"), "/".join(part for part in (folder, inside) if part), shown, {})


def _elsewhere(where: urls.Url, options: Mapping[str, Any], dims: str) -> FoundFile | None:
    """Return a file in a bucket or on the web: known by its name, as asking for each would cost a request."""
    text, inside = where.text.rstrip("/"), list[str]()
    while (kind := kind_by_name(text.partition("?")[0])) is None and len(inside) < 2:
        text, _, name = text.rpartition("/")
        inside.insert(0, name)
    if kind is None:
        return None
    shown = urls.redact(text)
    source = FileSource(text, shown, "tiff", dims, is_local=False, options=dict(options))
    try:
        system, path = fsspec.url_to_fs(text, **options)
        if not system.isfile(path):
            return None  # a folder that is called so
        if kind.reader != "tiff":
            raise StoreFormatError(f"{shown} has the name of {kind.name}, which is read from this machine only: copy it here.")
        store = _opened(source)
    except (StoreFormatError, ImportError, ValueError):
        raise
    except Exception as error:  # noqa: BLE001  (any backend, any error; none may carry a secret)
        refuse(error, f"cannot open {shown}", {**options, "url": where.text})
    return FoundFile(store, "/".join(inside), shown, {**options, "url": where.text})
