"""The installed version, and those of what xprep stands on."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

PACKAGES = (
    "xprep", "numpy", "scipy", "numba", "xarray", "zarr", "numcodecs", "dask", "distributed", "fsspec", "s3fs", "gcsfs",
    "adlfs", "matplotlib", "rich", "typer",
)  # fmt: skip


@cache
def version() -> str:
    """Return the version of xprep that is installed, or ``"unknown"`` where it runs from a bare folder."""
    return _installed("xprep") or "unknown"


def version_of(package: str) -> str:
    """Return the version of a package that is installed, ``""`` of one that is not."""
    return _installed(package) or ""


def _installed(package: str) -> str | None:
    try:
        return installed(package)
    except PackageNotFoundError:
        return None


def show_versions() -> str:
    """Return what an issue should say: versions of Python, the system, and the packages that matter, one a line.

    Examples
    --------
    >>> import xprep
    >>> "numpy" in xprep.show_versions()
    True
    """
    lines = {"python": sys.version.split()[0], "system": platform.platform()}
    lines |= {package: _installed(package) or "-" for package in PACKAGES}
    return "\n".join(f"{name:12} {value}" for name, value in lines.items())
