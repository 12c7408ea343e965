"""URLs: which are allowed, how they are joined and compared, and how they are shown without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from unicodedata import category

from xprep.io.store.local_paths import check_text, path_of
from xprep.options import options
from xprep.redaction import is_doubtful, redact, redact_text, without_user

__all__ = [
    "BACKENDS", "FILES", "PACKED", "PROTOCOLS", "READ_ONLY", "Url", "check_backend", "check_key", "check_name", "check_output",
    "is_bucket", "join", "parse", "redact", "redact_text",
]  # fmt: skip

_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*)://")
_OWN: Final = re.compile(r"zarr\.json|scale[0-9]+")
_WINDOWS: Final = re.compile(r'[<>:"|?*]|^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)', re.IGNORECASE)
# Spelling to the one name that comparisons use.
PROTOCOLS: Final[Mapping[str, str]] = {
    "file": "file",
    "local": "file",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "http": "http",
    "https": "https",
    "memory": "memory",
}
PACKED: Final = (".zip", ".ozx", ".tar", ".gz", ".tgz", ".7z")
FILES: Final = (*PACKED, ".tif", ".tiff", ".h5", ".hdf5", ".nc", ".json", ".yaml", ".yml", ".npy", ".npz", ".png", ".jpg")
READ_ONLY: Final = frozenset({"http", "https"})
# Protocol to the module that fsspec needs and the extra which brings it.
BACKENDS: Final[Mapping[str, tuple[str, str]]] = {
    "s3": ("s3fs", "xprep[s3]"),
    "gs": ("gcsfs", "xprep[gcs]"),
    "az": ("adlfs", "xprep[azure]"),
    "http": ("aiohttp", "aiohttp"),
    "https": ("aiohttp", "aiohttp"),
}


@dataclass(frozen=True)
class Url:
    """A place whose protocol is allowed.

    Parameters
    ----------
    protocol : str
        One of the values of `PROTOCOLS`.
    path : str
        Local: the absolute path. Elsewhere: what follows ``://``, without slashes at the end.
    text : str
        The URL to open; it may carry secrets, so it is in no repr.
    """

    protocol: str
    path: str = field(repr=False)
    text: str = field(repr=False)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return self.protocol == "file"

    @property
    def shown(self) -> str:
        """What may be printed."""
        return redact(self.text)

    def __str__(self) -> str:
        return self.shown


def parse(url: str | Path, *, chained: bool | None = None) -> Url:
    """Check ``url`` and return its parts.

    Parameters
    ----------
    url : str or Path
        A local path or a URL. A `Path` is taken as it is, whatever characters it has.
    chained : bool, optional
        Whether fsspec's chains (``simplecache::s3://…``) are allowed; by default the option ``chained_urls`` says. They
        are not unless somebody asks: ``reference::`` can make a chunk of any file of this machine.

    Returns
    -------
    Url

    Raises
    ------
    ValueError
        Empty; a protocol that is not allowed; a chain that was not asked for; a query in an http URL.

    Examples
    --------
    >>> parse("s3://lab/slide.ome.zarr/").path
    'lab/slide.ome.zarr'
    """
    if isinstance(url, Path):
        return _local(url)
    if not isinstance(url, str):
        raise TypeError(f"url must be a str or a Path, or a store object of zarr; got {_told(url)}.")
    if not url.strip():
        raise ValueError("the URL is empty (''); give a folder or a URL such as 's3://bucket/image.ome.zarr'.")
    if "::" in url:
        return _chain(url, options().chained_urls if chained is None else chained)
    if not (match := _SCHEME.match(url)):
        return _local(Path(url))
    return _remote(url, match.group(1).lower())


def _told(url: Any) -> str:
    """Return what is shown of what is no URL: only of a number or None the value, as others may hold secrets."""
    return repr(url) if url is None or isinstance(url, bool | int | float) else f"a {type(url).__name__}"


def _local(path: Path) -> Url:
    absolute = path.expanduser().absolute()
    check_text(absolute)
    return Url("file", str(absolute), str(absolute))


def _chain(url: str, chained: bool) -> Url:
    if not chained:
        raise ValueError(
            f"{redact(url)} is a chained URL, which can read any file of this machine; chains are refused unless they "
            "are asked for (xprep.set_options(chained_urls=True)). A folder whose name holds '::' is given as a pathlib.Path."
        )
    return Url("chain", url.rstrip("/"), url.rstrip("/"))


def _remote(url: str, scheme: str) -> Url:
    if scheme not in PROTOCOLS:
        raise ValueError(f"{redact(url)}: the protocol {scheme!r} is not allowed; allowed are {sorted(PROTOCOLS)}.")
    protocol = PROTOCOLS[scheme]
    rest = url.split("://", 1)[1]
    if protocol == "file":
        return _local(path_of(rest))
    if protocol in READ_ONLY and "?" in rest:
        raise ValueError(f"{redact(url)}: an http URL with a query cannot be a store, as every chunk has its own URL.")
    if protocol in ("s3", "gs") and without_user(rest) != rest:
        # s3fs and gcsfs take them for the bucket's name, ask for it, and print it.
        raise ValueError(
            f"{redact(url)} was given with credentials in the URL; give them in storage_options or in the environment."
        )
    if is_doubtful(url):
        raise ValueError(
            f"{redact(url)} was given with ':', digits and then '/' and '@': a port and an '@' in the path, or a password with a "
            "slash? Write '%40' for an '@' in the path, '%2F' for a '/' in a password."
        )
    if "\0" in rest or not rest.strip("/"):
        raise ValueError(f"{redact(url)} has no bucket, host or folder.")
    return Url(protocol, rest.strip("/"), f"{scheme}://{rest}".rstrip("/"))  # fsspec knows schemes in small letters only


def check_backend(url: Url) -> None:
    """Refuse a URL whose fsspec backend is not installed, and say how to install it.

    Raises
    ------
    ImportError
        Naming the extra.
    """
    module, extra = BACKENDS.get(url.protocol, ("fsspec", "fsspec"))
    if find_spec(module) is None:
        raise ImportError(f"{url.shown} needs {module}, which is not installed: pip install '{extra}'.")


def join(url: str | Path, *parts: str) -> str:
    """Return ``url`` with ``parts`` added, one slash between.

    Raises
    ------
    ValueError
        A part that leads out of ``url``.

    Examples
    --------
    >>> join("s3://lab/slide.ome.zarr/", "scale0/image")
    's3://lab/slide.ome.zarr/scale0/image'
    """
    tail = "/".join(check_key(part) for part in parts if part)
    return f"{str(url).rstrip('/')}/{tail}" if tail else str(url)


def check_key(key: str) -> str:
    """Return ``key``, a path inside a store, without outer slashes; refuse one that leads out of it.

    Raises
    ------
    ValueError
        A backslash, NUL, an empty part, ``.`` or ``..``; too many letters.
    """
    trimmed = key.strip("/")
    if len(key) > 1024 or "\\" in key or "\0" in key or any(part in ("", ".", "..") for part in trimmed.split("/")):
        raise ValueError(f"{key[:200]!r} is not a path inside a store: no '..', '.', empty part, backslash or NUL; 1024 letters.")
    return trimmed


def check_name(name: str, argument: str = "") -> str:
    """Return ``name`` if one array, label or level can be called so; ``argument`` is where it was given.

    Raises
    ------
    ValueError
        Empty or above 255 bytes; with a slash, a control character or one that Windows has no names with, a leading dot or
        underscore pair, a dot or space at the end; a name of Zarr's, of the store's own layout, or of a device on Windows.
    """
    where = f"{argument}: " if argument else ""
    if not isinstance(name, str):
        raise ValueError(f"{where}{name!r} cannot be a name in a store, as it is a {type(name).__name__}; rename it to a text.")
    why = next((text for text, wrong in _unfit(name) if wrong), "")
    if why:
        shown = name if len(name) < 80 else f"{name[:77]}..."
        raise ValueError(f"{where}{shown!r} cannot be a name in a store: {why}. Rename it.")
    return name


def _unfit(name: str) -> Iterator[tuple[str, bool]]:
    """Yield what may be wrong with a name, and whether it is."""
    yield "it is empty", not name
    yield "no slash, backslash or control character", any(one in "/\\" or category(one) in ("Cc", "Cs") for one in name)
    yield "no leading '.' or '__'", name.startswith((".", "__"))
    yield "it is longer than 255 bytes", len(name.encode(errors="replace")) > 255
    yield "the store's own layout has that name", name == "labels" or _OWN.fullmatch(name) is not None
    yield "Windows has no such names", name[-1:] in (".", " ") or _WINDOWS.search(name) is not None


def check_output(url: str | Path) -> None:
    """Refuse to call a folder, which a store is, as files are called: other programs go by the name.

    Raises
    ------
    ValueError
        It ends in ``.zip``, ``.tif`` and the like.
    """
    name = str(url).rstrip("/").rpartition("/")[2].lower()
    if ending := next((one for one in FILES if name.endswith(one)), None):
        pack = " and pack it afterwards" if ending in PACKED else ""
        raise ValueError(f"{redact(url)} would be a folder with the name of a file; give a name that ends in .zarr{pack}.")


def is_bucket(url: str) -> bool:
    """Whether ``url`` is a whole bucket.

    Examples
    --------
    >>> is_bucket("s3://lab/"), is_bucket("s3://lab/a.zarr"), is_bucket("/data")
    (True, False, False)
    """
    protocol, _, path = url.partition("://")
    return PROTOCOLS.get(protocol) in ("s3", "gs", "az") and "/" not in path.strip("/")
