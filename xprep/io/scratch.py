"""Scratch space for spilled intermediates: a folder of its own, owned by a process, removed with its last user."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from xprep.errors import ScratchFullError, StoreFormatError
from xprep.io.arrays import ZarrReadable
from xprep.io.consolidate import write_group
from xprep.io.owner import Owner
from xprep.io.stores import Place, open_store
from xprep.io.urls import check_name, join
from xprep.io.writes import RAW, Codec, ZarrWritable, create_array
from xprep.types import Array, Region

_PREFIX: Final = "xprep-scratch-"
_LEASE: Final = "lease.json"
# A disk that is filled to the last byte stops more than us.
SPARE_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, eq=False)
class ScratchWritable:
    """A Zarr array in scratch space; a full disk says so, and says the way out."""

    inner: ZarrWritable
    scratch_url: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return self.inner.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.inner.dtype

    @property
    def unit(self) -> tuple[int, ...]:
        """Shape of the unit of writing."""
        return self.inner.unit

    def write(self, region: Region, block: Array) -> None:
        """Write ``block`` to ``region``, which covers whole units.

        Raises
        ------
        ScratchFullError
            The disk is full.
        """
        try:
            self.inner.write(region, block)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _full(self.scratch_url, block.nbytes, _free_bytes(self.inner.place)) from None


class Scratch:
    """A folder for intermediates, removed when nobody holds it any more, at the latest when Python ends.

    Copies that travel to workers (by pickle) read and write there and remove nothing.

    Parameters
    ----------
    place : Place
        The folder, in a store of its own.
    storage_options : mapping
        That opened it.
    """

    def __init__(self, place: Place, storage_options: Mapping[str, Any] | None = None) -> None:
        self.place = place
        self._storage_options = dict(storage_options or {})
        self._finalizer: weakref.finalize[..., Any] | None = None

    @staticmethod
    def create(url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None) -> Scratch:
        """Make a folder of a unique name below ``url`` (None: the system's temporary folder).

        What dead processes left in a local folder is removed first.

        Raises
        ------
        ScratchFullError
            Nothing can be written there.
        """
        root = tempfile.gettempdir() if url is None else url
        if open_store(root, storage_options).folder is not None:
            remove_stale(root)
        place = open_store(join(root, f"{_PREFIX}{uuid.uuid4().hex}"), storage_options, "r+")
        scratch = Scratch(place, storage_options)
        try:
            if (folder := place.folder) is not None:
                os.makedirs(folder, mode=0o700)  # the system's temporary folder is everybody's, the images are not
            place.write_json(_LEASE, Owner.here().to_json())
            write_group(place, {"xprep": {"status": "scratch"}}, 3)
        except OSError as error:
            raise ScratchFullError(f"no scratch space at {place}: {error}. {_WAY_OUT}") from None
        scratch._finalizer = weakref.finalize(scratch, _remove, place, os.getpid())
        # zarr closes its event loop at exit; what is registered later runs before that, and can still reach a bucket.
        scratch._finalizer.atexit = False
        atexit.register(scratch._finalizer)
        return scratch

    def array(
        self, name: str, shape: Sequence[int], dtype: Any, unit: Sequence[int], codec: Codec = RAW
    ) -> tuple[ScratchWritable, ZarrReadable]:
        """Create an array and return it to be written and to be read; reading what was not written is an error.

        Raises
        ------
        ScratchFullError
            The folder has less free space than the array needs.
        """
        self.check_space(int(np.prod([int(n) for n in shape])) * np.dtype(dtype).itemsize)
        array = create_array(self.place.child(check_name(name)), shape, unit, dtype, codec=codec)
        return ScratchWritable(array, self.place.url), array.readable("error")

    def check_space(self, nbytes: int) -> None:
        """Refuse to begin what cannot fit.

        Raises
        ------
        ScratchFullError
            Naming the folder, what is needed and what is free.
        """
        free = _free_bytes(self.place)
        if free is not None and nbytes + SPARE_BYTES > free:
            raise _full(self.place.url, nbytes, free)

    def remove(self) -> None:
        """Delete the folder, if this is not a copy; calling it again does nothing."""
        if self._finalizer is not None:
            self._finalizer()
            atexit.unregister(self._finalizer)

    @property
    def exists(self) -> bool:
        """Whether the folder is there."""
        return self.place.exists(_LEASE)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_finalizer": None}

    def __repr__(self) -> str:
        return f"Scratch({self.place.url!r})"


_WAY_OUT: Final = (
    "Name another folder or bucket with xprep.set_options(scratch_url=...), or spill nothing with "
    "intermediates='recompute'."
)


def _full(url: str, needed: int, free: int | None) -> ScratchFullError:
    left = "no room" if free is None else f"{free / 2**20:,.0f} MiB free"
    return ScratchFullError(errno.ENOSPC, f"{url} needs {needed / 2**20:,.0f} MiB and has {left}. {_WAY_OUT}")


def _free_bytes(place: Place) -> int | None:
    if (folder := place.folder) is None:
        return None
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _remove(place: Place, pid: int) -> None:
    # A forked child inherits the finalizer of a folder that is its parent's.
    if os.getpid() != pid:
        return
    if (folder := place.folder) is not None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        place.delete()


@dataclass(frozen=True)
class Leftover:
    """A scratch folder that was found: where, whose, and whether that process still runs (None: nobody can tell)."""

    url: str
    owner: Owner | None
    place: Place = field(repr=False)

    @property
    def is_alive(self) -> bool | None:
        """Whether its owner still runs."""
        return None if self.owner is None else self.owner.is_alive

    @property
    def age_seconds(self) -> float | None:
        """Since it was made."""
        return None if self.owner is None else self.owner.age_seconds

    def remove(self) -> None:
        """Delete it, whoever owns it."""
        _remove(self.place, os.getpid())


def find_scratch(
    url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None
) -> list[Leftover]:
    """Return the scratch folders below ``url`` (None: the system's temporary folder)."""
    root = tempfile.gettempdir() if url is None else url
    listing = open_store(root, storage_options)
    names = [name.rstrip("/") for name in listing.list_folder() if name.startswith(_PREFIX)]
    return [_leftover(join(root, name), storage_options) for name in names]


def _leftover(url: str, storage_options: Mapping[str, Any] | None) -> Leftover:
    place = open_store(url, storage_options, "r+")
    try:
        owner = Owner.from_json(place.read_json(_LEASE))
    except (StoreFormatError, PermissionError):
        owner = None
    return Leftover(place.url, owner, place)


def remove_stale(url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None) -> list[Leftover]:
    """Remove the scratch folders below ``url`` whose process is dead, on this host; return them."""
    dead = [left for left in find_scratch(url, storage_options) if left.is_alive is False]
    for left in dead:
        left.remove()
    return dead
