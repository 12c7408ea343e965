"""Stores: opened by URL, path or as Zarr's own objects; their keys read and written with errors that can be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from xprep.arguments import check_mapping
from xprep.io.json_documents import encode_json, parse_json
from xprep.io.private_weakref import drop_finalizers
from xprep.io.store import backends, forbidden, keys, listing, paging, urls
from xprep.io.store.advice import Explained, refuse
from xprep.io.store.files.finding import find_file
from xprep.io.store.files.stores import FileStore
from xprep.io.store.local_paths import check_text
from xprep.options import options

Mode = Literal["r", "r+"]
MANY: Final = 10_000_000  # names in the largest stores
# A cached listing hides what another process wrote or deleted; adlfs lost whole datasets by it.
_FRESH: Final = {"use_listings_cache": False}
# By default s3fs asks for the size of every object before it reads it, to read 50 MiB at a time: chunks are
# smaller, and a request to a bucket takes 10 to 100 ms.
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {"s3": {**_FRESH, "max_concurrency": 1}, "gs": _FRESH, "az": _FRESH}


@dataclass(frozen=True)
class Place:
    """A folder in a store: where keys are read and written.

    Parameters
    ----------
    store : zarr.abc.store.Store
        Any Zarr store.
    path : str
        Path of the folder inside of the store; ``""`` is its root.
    shown : str
        URL of the store's root without secrets: what errors and provenance say.
    secrets : mapping
        The options that opened it: removed from messages of other libraries, never shown.
    outside_links : bool
        Whether symbolic links in it may lead out of it.
    deadline : float
        Seconds that a request may take.
    reads_only : bool
        Whether it was opened to be read: only then may a refused request mean that there is nothing, see `get_metadata`.
    """

    store: Store = field(repr=False)
    path: str = ""
    shown: str = ""
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    outside_links: bool = field(default_factory=lambda: options().outside_links, repr=False)
    deadline: float = field(default_factory=lambda: options().deadline, repr=False)
    reads_only: bool = field(default=False, repr=False)

    @property
    def url(self) -> str:
        """URL of this folder, without secrets."""
        return f"{self.shown.rstrip('/')}/{self.path}" if self.path else self.shown

    @cached_property
    def folder(self) -> Path | None:  # asked for several times an object: pathlib took a tenth of a copy of tiny chunks
        """The folder on this machine, or None where the store is elsewhere."""
        return self.store.root / self.path if type(self.store) is LocalStore else None

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @property
    def is_bucket(self) -> bool:
        """Whether it is a whole bucket, which may hold what nobody here knows of."""
        return urls.is_bucket(self.url)

    @property
    def keeps_notes(self) -> bool:
        """Whether it takes keys that are not Zarr's: a journal. icechunk does not; its commits are all or nothing."""
        return not backends.is_icechunk(self.store)

    @property
    def lists_md5(self) -> bool:
        """Whether listings may tell the MD5 of objects: those of buckets."""
        return self.folder is None and backends.is_bucket(self.store)

    def child(self, path: str) -> Place:
        """Return the folder ``path`` below this one."""
        below = urls.check_key(path) if path else ""
        joined = "/".join(part for part in (self.path, below) if part)
        return replace(self, path=joined)

    @property
    def parent(self) -> Place:
        """The folder above this one, with all that this one was opened with; of the store's root the root."""
        return replace(self, path=self.path.rpartition("/")[0])

    def key(self, name: str) -> str:
        """Return the store's key of ``name`` in this folder."""
        return f"{self.path}/{name}" if self.path else name

    def get(self, name: str) -> bytes | None:
        """Return the bytes of ``name``, None if there are none."""
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str], ranges: Sequence[tuple[int, int]] | None = None) -> list[bytes | None]:
        """Return the bytes of every name (of each a range of bytes: start and stop, or ``(-n, 0)``, the last n)."""
        requests = [None] * len(names) if ranges is None else [keys.make_request(*pair) for pair in ranges]
        if (folder := self.folder) is not None:
            self.check_links(names)
            return [keys.read_file(folder, name, request) for name, request in zip(names, requests, strict=True)]
        if isinstance(self.store, FileStore):
            return self.store.read_many([self.key(name) for name in names], requests, self.errors("read"))
        with self.errors("read"):
            return keys.fetch(self.store, [self.key(name) for name in names], requests, self.deadline)

    def get_metadata(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the bytes of metadata, None where there are none.

        Without the right to list, a bucket answers 403 for what is not there. In a store that is only read, and of which anything
        beside or above is readable at the same time, that is taken for nothing; whether a place is free is never decided by it.
        """
        if self.folder is not None or not self.reads_only or isinstance(self.store, FileStore):
            return self.get_many(names)
        with self.errors("read"):
            found = keys.fetch_allowed(self.store, [self.key(name) for name in names], self.deadline)
            refused = [one for one in found if isinstance(one, Exception)]
            if refused and not any(isinstance(one, bytes) for one in found):
                beside = keys.fetch_allowed(self.store, forbidden.keys_beside(self.path), self.deadline)
                if not any(isinstance(one, bytes) for one in beside):
                    raise refused[0]
        return [None if isinstance(one, Exception) else one for one in found]

    def check_links(self, names: Sequence[str]) -> None:
        """Refuse symbolic links that lead out of a store on this machine: its pixels could be any file's."""
        if (folder := self.folder) is not None and not self.outside_links:
            keys.check_links(str(self.store.root), [f"{folder}/{name}" for name in names])  # type: ignore[attr-defined]

    def set(self, name: str, data: bytes) -> None:
        """Write ``data`` to ``name``, at once and whole, and so that it is there after a power cut."""
        self.set_many({name: data}, lasting=True)

    @property
    def at_once(self) -> int:
        """How many objects are worth writing in one call: a bucket takes 16 at a time, a folder one after the other."""
        return 16 if self.folder is None else 1

    def set_many(self, objects: Mapping[str, bytes], lasting: bool = False) -> None:
        """Write every object under its name, each at once and whole; what is ``lasting`` is there after a power cut as well."""
        with self.errors("write"):
            if (folder := self.folder) is not None:
                keys.write_files(folder, objects, lasting)
            else:
                keys.put(self.store, {self.key(name): data for name, data in objects.items()}, self.deadline)

    def create(self, name: str, data: bytes) -> None:
        """Write ``data`` to ``name``, at once and whole, if there is nothing yet."""
        with self.errors("write"):
            if (folder := self.folder) is not None:
                keys.create_file(f"{folder}/{name}", data)
            else:
                keys.create(self.store, self.key(name), data, self.deadline)

    def exists(self, name: str) -> bool:
        """Whether there is something under ``name``."""
        return not self.missing([name])

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return the names under which there is nothing."""
        wanted = list(names)
        if (folder := self.folder) is not None:
            return [name for name in wanted if not os.path.isfile(f"{folder}/{name}")]
        with self.errors("read"):
            found = keys.exist(self.store, [self.key(name) for name in wanted], self.deadline)
        return [name for name, there in zip(wanted, found, strict=True) if not there]

    def list_names(self, about: int = MANY) -> list[str]:
        """Return every name below this folder, sorted; asks the store once, and waits as long as ``about`` names may take."""
        prefix = f"{self.path}/" if self.path else ""
        with self.errors("list"):
            found = keys.collect(self.store, lambda: self.store.list_prefix(prefix), self._listing(about))
        return sorted(key.removeprefix(prefix) for key in found)

    def list_objects(self, about: int = MANY) -> listing.Objects:
        """Return the names of everything below this folder, and how many bytes each has; ``about`` as for `list_names`."""
        prefix = f"{self.path}/" if self.path else ""
        with self.errors("list"):
            if (folder := self.folder) is not None:
                return listing.Objects({name: found.st_size for name, found in listing.walk_files(folder)}, {})
            return listing.gather_objects(listing.list_objects(self.store, prefix, self._listing(about)))

    def list_sizes(self, about: int = MANY) -> dict[str, int]:
        """Return the sizes that `list_objects` gives."""
        return self.list_objects(about).sizes

    def list_pages(self) -> Iterator[Sequence[str]]:
        """Yield every name below this folder, in no order, some at a time: of millions in a bucket, none has to be kept."""
        prefix, folder = f"{self.path}/" if self.path else "", self.folder
        pages = paging.walk_pages(folder) if folder is not None else paging.list_keys(self.store, prefix, self.deadline)
        return paging.guarded(pages, lambda: self.errors("list"))

    def _listing(self, about: int) -> float:
        return self.deadline + about / listing.NAMES_PER_SECOND

    def list_folder(self) -> list[str]:
        """Return the names directly in this folder, files and folders, sorted."""
        with self.errors("list"):
            found = keys.collect(self.store, lambda: self.store.list_dir(self.path), self.deadline)
            return sorted({name for name in found if name})

    def delete(self) -> None:
        """Delete everything below this folder; a bucket itself stays."""
        seconds = None if self.folder is not None else self.deadline + len(self.list_names()) / keys.DELETED_PER_SECOND
        # zarr's own way to empty a store of fsspec, and not a whole bucket, stops at the first key that is gone already.
        whole = not self.path and (self.is_bucket or not isinstance(self.store, FsspecStore))
        with self.errors("delete"):
            keys.delete(self.store, None if whole else self.path, seconds)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return the JSON object ``name``, as `parse_json` checks it; None if there is none."""
        return None if (data := self.get_metadata([name])[0]) is None else parse_json(data, f"{self.url}/{name}")

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write ``value`` as JSON; NaN and infinities, which JSON has not, are refused."""
        self.set(name, encode_json(value))

    def errors(self, action: str) -> Explained:
        """Return a context in which errors of the store say ``action`` and this URL, without secrets."""
        return Explained(self.store, lambda: f"cannot {action} {self.url}", self.secrets)

    def __str__(self) -> str:
        return self.url


def open_store(
    url: str | Path | Store | Place, storage_options: Mapping[str, Any] | None = None, mode: Mode = "r", *, dims: str = ""
) -> Place:
    """Return the root of a store; nothing is read, created or checked there, unless it is a file of another format.

    Parameters
    ----------
    url : str, Path, zarr store or Place
        Where; a store object of zarr (of obstore, icechunk, …) is taken as it is.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint. Kept in memory only.
    mode : {"r", "r+"}
        Whether it is written to.
    dims : str
        What the axes of a file are, where it does not say so.

    Raises
    ------
    ValueError
        A URL that is not allowed (`xprep.io.store.urls.parse`), writing to http or to a store object that is for reading, or to a
        zip file; ``storage_options`` for a store object. A file that is no store (StoreFormatError).
    ImportError
        Its backend is not installed.
    """
    given = dict(check_mapping(storage_options, "storage_options", "{'anon': True}", secret=True))
    if isinstance(url, Place):
        return url
    if (taken := backends.take_store(url)) is not None:
        return _open_object(*taken, storage_options, mode)
    where = urls.parse(url)  # type: ignore[arg-type]  # a store was taken above
    if mode != "r" and where.protocol in urls.READ_ONLY:
        raise ValueError(f"{where.shown}: http is for reading only; write to a folder or a bucket.")
    urls.check_backend(where)
    if mode == "r" and (found := find_file(where, given, dims)) is not None:
        return Place(backends.opened(found.store), *found[1:], reads_only=True)
    if where.is_local:
        return _open_folder(where.path, where.shown, mode)
    secrets = {**given, "url": where.text}
    return Place(_open_remote(where, given, mode), shown=where.shown, secrets=secrets, reads_only=mode == "r")


def _open_object(store: Store, path: str, storage_options: Mapping[str, Any] | None, mode: Mode) -> Place:
    shown = backends.name_store(store)
    if storage_options:
        raise ValueError(f"storage_options go with a URL; the store object {shown} was made with its own.")
    if mode != "r":
        backends.check_rewritable(store, shown)
    place = Place(backends.opened(store), urls.check_key(path) if path else "", shown, reads_only=mode == "r")
    if place.folder is not None:
        check_text(place.folder)
    return place if mode == "r" or place.folder is None else _open_folder(str(place.folder), place.url, mode)


def _open_folder(path: str, shown: str, mode: Mode) -> Place:
    # What is written to a link goes to where it leads: renamed, the link would be replaced, and what it led to be left.
    return Place(LocalStore(path if mode == "r" else os.path.realpath(path), read_only=mode == "r"), shown=shown)


def _open_remote(where: urls.Url, given: dict[str, Any], mode: Mode) -> Store:
    defaults = _DEFAULTS.get(where.protocol, {})
    try:
        store = FsspecStore.from_url(where.text, storage_options={**defaults, **given}, read_only=mode == "r")
        if where.protocol == "az":
            drop_finalizers(store.fs)
        return store
    except Exception as error:  # noqa: BLE001  (any backend, any error; none may carry a secret)
        refuse(error, f"cannot open {where.shown}", {**given, "url": where.text})
