"""The installed version."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


@cache
def version() -> str:
    """Return the version of xprep that is installed, or ``"unknown"`` where it runs from a bare folder."""
    try:
        return installed("xprep")
    except PackageNotFoundError:
        return "unknown"
