"""Errors about chunks: each names the chunk, the array's URL without secrets, and what went wrong."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from xprep.errors import ChunkError
from xprep.io.store.advice import explain
from xprep.io.store.places import Place


@contextmanager
def naming(place: Place, chunk: str) -> Iterator[None]:
    """Let what goes wrong inside name ``chunk`` of the array in ``place``."""
    try:
        yield
    except ChunkError:
        raise
    except Exception as error:  # noqa: BLE001  (every codec has its own; the chunk is named whatever it was)
        raise unreadable(place, [chunk], error) from None


def unreadable(place: Place, chunks: Sequence[str], error: BaseException) -> ChunkError:
    """Return the error that ``chunks`` cannot be read, because of ``error``."""
    explained = explain(error, f"{_list(chunks)} of {place} cannot be read", place.secrets)
    return _numbered(str(explained), explained.errno)


def lost(place: Place, chunks: Sequence[str]) -> ChunkError:
    """Return the error that ``chunks`` are not there where nothing may be missing."""
    text = (
        f"{_list(chunks)} of {place}: not in the store, or incomplete. Zarr would give the fill value; the "
        "store was written complete, so this is a loss. Write it again, or restore it from a copy."
    )
    return _numbered(text, errno.ENOENT)


def _numbered(text: str, number: int | None) -> ChunkError:
    # The engine asks the number whether trying again may help.
    error = ChunkError(text)
    error.errno = number
    return error


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return f"chunk{'s' * (len(names) > 1)} {shown}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
