"""Paths of this machine, those of Windows too: out of URLs, and taken apart."""

from __future__ import annotations

import errno
import re
import tempfile
from pathlib import Path
from typing import Final

from xprep import platforms
from xprep.errors import ScratchFullError
from xprep.io.store.single_files import kind_by_name

_DRIVE: Final = re.compile(r"/?[A-Za-z]:($|[/\\])")


def path_of(rest: str) -> Path:
    r"""Return the path that a URL means by what follows ``file://``.

    On Windows ``/C:/data`` is a folder of the drive C, and what begins with a name is on that server: ``\\server\data``.
    """
    if not platforms.ON_WINDOWS:
        return Path(rest)
    if _DRIVE.match(rest):
        return Path(rest.lstrip("/"))
    return Path(rest if rest.startswith("/") else f"//{rest}")


def check_text(path: Path) -> None:
    """Refuse a path with a NUL, and one that is no text: its bytes are no UTF-8, so no JSON, URL or report can name it.

    Raises
    ------
    ValueError
        It says how to give the folder another name.
    """
    text = str(path)
    if "\0" in text:
        raise ValueError("a path cannot hold a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the path {text!r} is not UTF-8, and metadata and reports, which are, could not name it. Rename the folder, or "
            "give a link to it that has another name (ln -s)."
        ) from None


def take_apart(url: str) -> tuple[str, str]:
    """Return the folder that a URL or path lies in, and its name there; the folder of a path is absolute.

    Examples
    --------
    >>> take_apart("s3://lab/plates/E34.zarr/")
    ('s3://lab/plates', 'E34.zarr')
    """
    whole = url if "://" in url else Path(url).absolute().as_posix()
    folder, _, name = whole.rstrip("/").rpartition("/")
    return folder, name


def stem(url: str) -> str:
    """Return the name of a URL or path without ``.ome.zarr``, ``.zarr``, ``.ome.tif`` and the like.

    Examples
    --------
    >>> stem("s3://lab/E34.ome.zarr"), stem("a/G01.zarr/"), stem("a/H02"), stem("H03.ome.tif"), stem("H04.zarr.zip")
    ('E34', 'G01', 'H02', 'H03', 'H04')
    """
    name = take_apart(url)[1]
    short = name if kind_by_name(name) is None else name.rpartition(".")[0]
    return short.removesuffix(".zarr").removesuffix(".ome") or name


def temporary_folder() -> str:
    """Return the system's temporary folder.

    Raises
    ------
    ScratchFullError
        There is none that can be written to, as in a container whose root is read-only.
    """
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise ScratchFullError(
            errno.EROFS,
            f"no scratch space: {error.strerror}. Name a folder or a bucket, xprep.set_options(scratch_url=...); or do without, "
            "intermediates='recompute', which reads the source again instead.",
        ) from None
