"""What a server refuses to say (403): of what is not there too, where nobody may list, as in most public buckets."""

from __future__ import annotations

from pathlib import PurePosixPath

from xprep.io.store.single_files import METADATA


def is_refused(error: BaseException) -> bool:
    """Whether a server answered 403, as the backends say it: fsspec's, the clouds' own libraries, aiohttp, obstore."""
    if type(error).__name__ == "GenericError":  # obstore's, of a listing: it knows the number as text only
        return "status code: 403" in str(error)
    codes = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    return isinstance(error, PermissionError) or type(error).__name__ == "PermissionDeniedError" or 403 in codes


def keys_beside(path: str) -> list[str]:
    """Return the keys of all metadata that may be in the folder ``path`` of a store and in those above it.

    >>> keys_beside("scale0")[0], keys_beside("scale0")[-1]
    ('scale0/zarr.json', '.zmetadata')
    """
    folders = [path, *(str(parent) for parent in PurePosixPath(path).parents)] if path else ["."]
    return [name if folder == "." else f"{folder}/{name}" for folder in folders for name in METADATA]
