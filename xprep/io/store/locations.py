"""Where places really are, whatever they are called: whether two are one, or one lies in the other.

On this machine the file system decides: links are followed, and of every folder that exists its number counts, so that bind
mounts and names in another case are one where the system takes them for one. Elsewhere the normal form of the URL counts:
``s3`` and ``s3a`` are one, so are an endpoint's ways to be written, and an ``http`` URL of an object in a bucket.
Names that differ by Unicode form or percent-encoding only are one everywhere, as other programs take them for one.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from zarr.abc.store import Store
from zarr.storage import FsspecStore, ObjectStore, ZipStore

from xprep.io.private_fsspec import endpoint_of
from xprep.io.store.backends import is_in_memory
from xprep.io.store.files.stores import FileStore
from xprep.io.store.places import Place, open_store
from xprep.io.store.urls import READ_ONLY, parse

Server = tuple[str, int]
_PORTS: Final = {"http": 80, "https": 443}
_DEFAULT_SERVERS: Final = {"s3": "https://amazonaws.com", "gs": "https://storage.googleapis.com"}
_LOOPBACK: Final = frozenset({"localhost", "0.0.0.0", "::1", "::"})


@dataclass(frozen=True)
class Location:
    """A place by all its names.

    Parameters
    ----------
    shown : str
        What may be printed.
    own : frozenset
        Its names.
    above : frozenset
        Its names, and those of all folders that it lies in.
    server : tuple of str and int, optional
        Host and port; None on this machine, or where they are not known.
    """

    shown: str
    own: frozenset[Hashable] = field(repr=False)
    above: frozenset[Hashable] = field(repr=False)
    server: Server | None = None

    def lies_in(self, other: Location) -> bool:
        """Whether it is ``other``, or lies below it."""
        return not self.above.isdisjoint(other.own) and _is_same_server(self.server, other.server)


def locate(place: str | Path | Store | Place, storage_options: Mapping[str, Any] | None = None) -> Location:
    """Return where a place is; nothing is asked of a bucket.

    Raises
    ------
    ValueError
        A URL that is not allowed.
    ImportError
        Its backend is not installed.

    Examples
    --------
    >>> locate("/data/x/../a.zarr/").lies_in(locate("file:///data/a.zarr"))
    True
    >>> locate("/data/a.zarr2").lies_in(locate("/data/a.zarr"))
    False
    """
    if isinstance(place, str | Path) and (url := parse(place, chained=True)).is_local:
        return _on_disk(url.path, url.shown)  # a file, too, which is no store
    here = open_store(place, storage_options)
    if isinstance(here.store, ZipStore):
        return _on_disk(str(here.store.path), here.url)
    if isinstance(here.store, FileStore) and here.store.source.is_local:
        return _on_disk(here.store.source.url, here.url)
    if here.folder is not None:
        return _on_disk(str(here.folder), here.url)
    try:
        where = parse(here.url.rpartition("::")[2])
    except ValueError:  # a store object that is no URL's
        return _named([("object", here.shown), *here.path.split("/")], here.url)
    if where.is_local:
        return _on_disk(where.path, here.url)
    parts = _parts(where.path)
    if is_in_memory(here.store):
        return _named(["memory", *parts], here.url)
    if where.protocol in READ_ONLY:
        return _on_web(where.text, here.url)
    bucket = parts[0].partition("@")[0]  # abfs://container@account/…
    return _named(["bucket", bucket, *parts[1:]], here.url, _server_of(here.store, where.protocol))


def overlaps(ones: Sequence[Location], others: Sequence[Location]) -> Iterator[tuple[Location, Location]]:
    """Yield the pairs of ``ones`` and ``others`` of which one lies in the other, in a time that grows as their number."""
    for inner, outer, turned in ((ones, others, False), (others, ones, True)):
        named: dict[Hashable, list[Location]] = {}
        for location in outer:
            for name in location.own:
                named.setdefault(name, []).append(location)
        for location in inner:
            for found in {id(one): one for name in location.above for one in named.get(name, ())}.values():
                if found is not location and location.lies_in(found):
                    yield (found, location) if turned else (location, found)


def describe_overlap(one: Location, other: Location) -> str:
    """Return how two places overlap, as an error says it of them: of ``one`` and ``other``, in this order."""
    if one.lies_in(other):
        return "are one place" if other.lies_in(one) else "lie in each other: the first in the second"
    return "lie in each other: the second in the first"


def _named(parts: Sequence[Hashable], shown: str, server: Server | None = None) -> Location:
    names = [tuple(parts[:count]) for count in range(2, len(parts) + 1)] or [tuple(parts)]
    return Location(shown, frozenset(names[-1:]), frozenset(names), server)


def _parts(path: str) -> list[str]:
    """Return the names in a path as they are compared: no ``//``, ``.``, ``..``, no percent-encoding, one Unicode form."""
    parts: list[str] = []
    for part in map(_comparable, path.split("/")):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts or [""]


def _comparable(name: str) -> str:
    return normalize("NFC", unquote(name))


def _on_disk(path: str, shown: str) -> Location:
    real = Path(os.path.realpath(path))
    names: list[Hashable] = []
    known: tuple[Any, ...] = ()
    tail: list[str] = []
    folds = False
    for here in (*reversed(real.parents), real):
        if not tail and (found := _number(here)) is not None:
            known = ("file", *found)
        else:
            folds = folds or (not tail and _folds_case(here.parent))
            tail.append(_comparable(here.name).casefold() if folds else _comparable(here.name))
        names += [(*known, *tail), ("path", *map(_comparable, here.parts))]
    return Location(shown, frozenset(names[-2:]), frozenset(names))


def _number(path: Path) -> tuple[int, int] | None:
    """Return what a file system calls a file or folder; None of what is not there, or has no number."""
    with suppress(OSError):
        found = os.stat(path)
        return (found.st_dev, found.st_ino) if found.st_ino else None
    return None


def check_apart(names: Sequence[str], url: str | Path, what: str) -> None:
    """Refuse ``names`` below ``url`` that would be one folder there: of two Unicode forms, or, where it is so, of two cases.

    Raises
    ------
    ValueError
        It names both.
    """
    where = parse(url, chained=True)
    folds = where.is_local and _folds_case(_nearest(Path(where.path)))
    seen: dict[str, str] = {}
    for name in names:
        form = normalize("NFC", name)
        if (other := seen.setdefault(form.casefold() if folds else form, name)) != name:
            raise ValueError(
                f"the {what} {other!r} and {name!r} would be one folder at {where.shown}, as names there do not differ by "
                f"{'case' if folds else 'their Unicode form'}. Rename one."
            )


def _nearest(path: Path) -> Path:
    """Return the innermost folder above ``path`` that is there."""
    return next(here for here in path.parents if here.exists() or here == here.parent)


def _folds_case(folder: Path) -> bool:
    """Whether names in ``folder`` are one in any case: asked of the names above it, which are there."""
    device = _number(folder)
    for here in (folder, *folder.parents):
        number = _number(here)
        if number is None or device is None or number[0] != device[0]:
            break
        if here.name.swapcase() != here.name:
            return _number(here.with_name(here.name.swapcase())) == number
    return sys.platform in ("win32", "darwin")


def _on_web(url: str, shown: str) -> Location:
    """Return where an http URL is: by its path, and as the object in a bucket that it may be."""
    parts, host = _parts(urlsplit(url).path), urlsplit(url).hostname or ""
    spellings = [parts, [host.partition(".")[0], *parts]]
    names = [[("bucket", *spelling[:count]) for count in range(1, len(spelling) + 1)] for spelling in spellings]
    return Location(shown, frozenset(one[-1] for one in names), frozenset(name for one in names for name in one), _server(url))


def _server_of(store: Store, protocol: str) -> Server | None:
    """Return host and port of a bucket's server; None where the backend does not say."""
    endpoint: Any = None
    if isinstance(store, ObjectStore):
        config = getattr(store.store, "config", None) or {}
        endpoint = config.get("endpoint") or config.get("aws_endpoint")
    elif isinstance(store, FsspecStore):
        endpoint = endpoint_of(store.fs)
    if not endpoint:
        names = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",)}.get(protocol, ())
        endpoint = next((os.environ[name] for name in names if os.environ.get(name)), _DEFAULT_SERVERS.get(protocol))
    return _server(str(endpoint)) if endpoint else None


def _server(url: str) -> Server:
    """Return host and port of a URL: the host in lower case, all names of this machine as one, the scheme's usual port."""
    found = urlsplit(url if "://" in url else f"//{url}")
    host = (found.hostname or "").rstrip(".")
    if host in _LOOPBACK or host.startswith("127."):
        host = "localhost"
    if host.endswith(".amazonaws.com"):
        host = "amazonaws.com"
    return host, found.port or _PORTS.get(found.scheme, 443)


def _is_same_server(one: Server | None, other: Server | None) -> bool:
    """Whether two servers are one, as far as is known: by name, as a bucket's own host, or by address."""
    if one is None or other is None or one == other:
        return True
    if one[1] != other[1]:
        return False
    if one[0].endswith(f".{other[0]}") or other[0].endswith(f".{one[0]}"):
        return True
    return not _addresses(one).isdisjoint(_addresses(other))


def _addresses(server: Server) -> set[Any]:
    with suppress(OSError):
        return {found[4][0] for found in socket.getaddrinfo(*server, type=socket.SOCK_STREAM)}
    return set()
