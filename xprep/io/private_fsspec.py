"""What is used of fsspec's filesystems beside their documented calls: requests as coroutines, and what single ones can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xprep.private_api import uses


@uses(
    "AsyncFileSystem._info (HTTPFileSystem)",
    since="fsspec 2021.4",
    loss="refused",
    without="objects behind HTTP cannot be asked for their times: what is read from there is not watched for changes",
)
async def ask(system: Any, path: str) -> Mapping[str, Any]:
    """Return what a server says of one object."""
    _check(system, "_info")
    found: Mapping[str, Any] = await system._info(path)
    return found


@uses(
    "AsyncFileSystem._find",
    since="fsspec 2021.4",
    loss="refused",
    without="no bucket can be listed with sizes and ETags, so none is written to",
)
async def find(system: Any, root: str, prefix: str = "") -> Mapping[str, Mapping[str, Any]]:
    """Return all objects below ``root``, by name, of those whose names begin with ``prefix``: one listing."""
    _check(system, "_find")
    some = {"prefix": prefix} if prefix else {}
    found: Mapping[str, Mapping[str, Any]] = await system._find(root, detail=True, withdirs=False, **some)
    return found


@uses(
    "S3FileSystem._iterdir",
    since="s3fs 2023.1",
    loss="slower",
    without="all keys of a bucket's folder are in memory at once while it is listed (s3fs keeps about 1 KiB of each)",
)
def pages(system: Any) -> Any:
    """Return what lists a bucket page by page, ``(bucket, delimiter=, prefix=)``; None where the backend cannot."""
    return getattr(system, "_iterdir", None)


@uses(
    "AsyncFileSystem._pipe_file(mode='create')",
    since="fsspec 2024.12, s3fs 2024.12",
    loss="unchecked",
    without="of two runs that claim one store in the same moment, both may think that they have it; what was finished is checked",
)
async def create_object(system: Any, path: str, data: bytes) -> None:
    """Write an object if there is none of its name.

    Raises
    ------
    Exception
        There is one, or the backend cannot tell.
    """
    await system._pipe_file(path, data, mode="create")


@uses(
    "AsyncFileSystem._cp_file, S3FileSystem._copy_basic",
    since="fsspec 2021.4, s3fs 2021.4",
    loss="slower",
    without="to copy a small object takes two requests instead of one (_copy_basic); nothing in a bucket is replaced (_cp_file)",
)
async def copy_object(system: Any, source: str, target: str, small: bool) -> None:
    """Copy an object; a ``small`` one in one request: s3fs asks for the size first, to copy what is large in parts."""
    _check(system, "_cp_file")
    copy_one = getattr(system, "_copy_basic", system._cp_file) if small else system._cp_file
    await copy_one(source, target)


@uses(
    "GCSFileSystem._endpoint",
    since="gcsfs 2021.4",
    loss="unchecked",
    without="buckets of Google at an endpoint of their own are taken for Google's: two of one name are one place, and refused",
)
def endpoint_of(system: Any) -> str | None:
    """Return where a filesystem's server is; None where it does not say."""
    given = getattr(system, "client_kwargs", None) or {}
    found = getattr(system, "endpoint_url", None) or given.get("endpoint_url") or getattr(system, "_endpoint", None)
    return str(found) if found else None


@uses(
    "fsspec.implementations.asyn_wrapper.AsyncFileSystemWrapper.sync_fs",
    since="fsspec 2024.12",
    loss="slower",
    without="files that dask opened through fsspec are read through it",
)
def below_wrapper(system: Any) -> Any:
    """Return the filesystem inside of the wrapper that makes its calls asynchronous; any other as it is."""
    return getattr(system, "sync_fs", system)


def _check(system: Any, name: str) -> None:
    if not hasattr(system, name):
        raise OSError(f"{type(system).__name__} of this version has no {name}, which xprep needs. Use an older one.")
