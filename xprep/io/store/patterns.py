"""Patterns of URLs: which stores there are."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from typing import Any

import fsspec

from xprep.io.store import urls
from xprep.io.store.advice import refuse


def has_pattern(url: str) -> bool:
    """Whether ``url`` is a pattern of URLs.

    Examples
    --------
    >>> has_pattern("s3://lab/*.zarr"), has_pattern("s3://lab/a.zarr")
    (True, False)
    """
    return any(letter in url for letter in "*?")


def find_urls(pattern: str, storage_options: Mapping[str, Any] | None = None) -> list[str]:
    """Return the URLs that fit ``pattern`` (``*``, ``?``, ``**``), sorted.

    Raises
    ------
    ValueError
        A URL that is not allowed, or http, where nothing can be listed.
    OSError
        The folder or bucket cannot be listed.
    """
    where = urls.parse(pattern)
    if where.protocol in urls.READ_ONLY:
        raise ValueError(f"{where.shown}: nothing can be listed over http; give every URL.")
    if where.is_local:
        return sorted(glob.glob(where.path.replace("[", "[[]"), recursive=True))
    urls.check_backend(where)
    options = {"use_listings_cache": False, **(storage_options or {})} if where.protocol in ("s3", "gs", "az") else {}
    try:
        system, path = fsspec.url_to_fs(where.text, **{**(storage_options or {}), **options})
        return sorted(system.unstrip_protocol(found) for found in system.glob(path))
    except Exception as error:  # noqa: BLE001  (any backend, any error; none may carry a secret)
        refuse(error, f"cannot list {where.shown}", storage_options)
