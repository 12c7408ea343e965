"""Scratch space for spilled intermediates: a folder of its own, owned by a process, removed with its last user."""

from __future__ import annotations

import atexit
import errno
import math
import os
import re
import shutil
import threading
import uuid
import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from xprep.errors import ScratchFullError, StoreFormatError
from xprep.io.arrays.consolidated import write_group
from xprep.io.arrays.declarations import declare_array
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.arrays.writes import ZarrWritable, new_writable
from xprep.io.codecs.compression import RAW, Codec
from xprep.io.commit.owner import Owner
from xprep.io.store.local_paths import temporary_folder
from xprep.io.store.places import Place, open_store
from xprep.io.store.urls import join
from xprep.types import Array, Region

_PREFIX: Final = "xprep-scratch-"
_LEASE: Final = "lease.json"
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]|^_+")
# A disk that is filled to the last byte stops more than us.
SPARE_BYTES: Final = 64 * 2**20


class Scratch:
    """A folder for intermediates, removed when nobody holds it any more, at the latest when Python ends.

    Planned where a graph is built, made where it runs: by the first write, in whatever process. Copies that travel to
    workers (by pickle) read and write there and remove nothing; the process that planned it does.

    Parameters
    ----------
    place : Place
        The folder, in a store of its own.
    owner : Owner
        The process that removes it.
    """

    def __init__(self, place: Place, owner: Owner) -> None:
        self.place = place
        self.owner = owner
        self._remove: weakref.finalize[..., Any] | None = None

    @staticmethod
    def plan(url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None) -> Scratch:
        """Name a unique folder below ``url`` (None: the system's temporary folder); nothing is read or written."""
        root = temporary_folder() if url is None else url
        place = open_store(join(root, f"{_PREFIX}{uuid.uuid4().hex}"), storage_options, "r+")
        scratch = Scratch(place, Owner.here())
        scratch._remove = weakref.finalize(scratch, _remove_in_time, place, os.getpid())
        # zarr closes its event loop at exit; what is registered later runs before that, and can still reach a bucket.
        scratch._remove.atexit = False
        atexit.register(_remove_now, scratch._remove)
        return scratch

    @staticmethod
    def create(url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None) -> Scratch:
        """Plan a folder and make it.

        Raises
        ------
        ScratchFullError
            Nothing can be written there.
        """
        scratch = Scratch.plan(url, storage_options)
        scratch.make()
        return scratch

    def make(self) -> None:
        """Make the folder, with its lease; what dead processes left beside a local one is removed first.

        Raises
        ------
        ScratchFullError
            Nothing can be written there.
        """
        try:
            if (folder := self.place.folder) is not None and not folder.exists():
                if folder.parent.is_dir():
                    remove_stale(folder.parent)
                # The system's temporary folder is everybody's, the images are not.
                os.makedirs(folder, mode=0o700, exist_ok=True)
            self.place.write_json(_LEASE, self.owner.to_json())
            write_group(self.place, {"xprep": {"status": "scratch"}}, 3)
        except OSError as error:
            if self._remove is not None:
                self._remove.detach()
            raise ScratchFullError(error.errno, f"no scratch space at {self.place}: {error}. {_WAY_OUT}") from None

    def array(
        self, name: str, shape: Sequence[int], dtype: Any, unit: Sequence[int], codec: Codec = RAW
    ) -> tuple[ScratchWritable, ZarrReadable]:
        """Return an array, to be written and to be read; reading what was not written is an error. No I/O yet."""
        place = self.place.child(_NO_NAME.sub("-", name))
        made = new_writable(place, declare_array(shape, unit, dtype, codec=codec))
        return ScratchWritable(self, made), ZarrReadable(made.array, place, "error", keeper=self)

    def check_space(self, nbytes: int) -> None:
        """Refuse to begin what cannot fit.

        Raises
        ------
        ScratchFullError
            Naming the folder, what is needed and what is free.
        """
        free = _free_bytes(self.place)
        if free is not None and nbytes + SPARE_BYTES > free:
            raise _full(self.place.url, nbytes, free, SPARE_BYTES)

    def remove(self) -> None:
        """Delete the folder, if this is not a copy; calling it again does nothing."""
        if self._remove is not None:
            _remove_now(self._remove)

    @property
    def exists(self) -> bool:
        """Whether the folder is there."""
        return self.place.exists(_LEASE)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_remove": None}

    def __repr__(self) -> str:
        return f"Scratch({self.place.url!r})"


class ScratchWritable:
    """An array in scratch space; the first write makes it, and a full disk says so, and says the way out.

    Parameters
    ----------
    scratch : Scratch
        Its folder, which lives as long as this.
    inner : ZarrWritable
        The array.
    """

    def __init__(self, scratch: Scratch, inner: ZarrWritable) -> None:
        self.scratch, self.inner = scratch, inner
        self.shape, self.dtype, self.unit = inner.shape, inner.dtype, inner.unit
        self._made = False

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "xprep.scratch-array", self.inner.place.url

    def write(self, region: Region, block: Array) -> None:
        """Write ``block`` to ``region``, which covers whole units.

        Raises
        ------
        ScratchFullError
            The disk is full, or has less room than the array needs.
        """
        try:
            if not self._made:
                self._make()
            self.inner.write(region, block)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, ScratchFullError):
                raise
            raise _full(self.inner.place.url, block.nbytes, _free_bytes(self.inner.place)) from None

    def _make(self) -> None:
        # Two workers may both do this: what they write is equal, and each object is written whole.
        if not self.inner.place.exists("zarr.json"):
            if not self.scratch.exists:
                self.scratch.make()
            self.scratch.check_space(math.prod(self.shape) * self.dtype.itemsize)
            self.inner.place.write_json("zarr.json", self.inner.array.metadata.to_dict())
        self._made = True

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": False}


_WAY_OUT: Final = (
    "Name another folder or bucket with xprep.set_options(scratch_url=...); or need none, with intermediates='recompute' and "
    "with chunks that suit the source's (the default ones)."
)


def check_room(nbytes: int, url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None) -> None:
    """Refuse to begin what needs more scratch than is free below ``url`` (None: the system's temporary folder).

    Raises
    ------
    ScratchFullError
        Naming the folder, what is needed and what is free; a bucket's room is not known.
    """
    root = open_store(temporary_folder() if url is None else url, storage_options)
    Scratch(root, Owner.here()).check_space(nbytes)


def _full(url: str, needed: int, free: int | None, spare: int = 0) -> ScratchFullError:
    left = "no room" if free is None else f"{free // 2**20:,} MiB free"
    reserve = f", of which {spare // 2**20} MiB are left to others" if spare else ""
    return ScratchFullError(errno.ENOSPC, f"{url} needs {-(-needed // 2**20):,} MiB and has {left}{reserve}. {_WAY_OUT}")


def _free_bytes(place: Place) -> int | None:
    if (folder := place.folder) is None:
        return None
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _remove_now(finalizer: weakref.finalize[..., Any]) -> None:
    if (held := finalizer.detach()) is not None:
        _delete(*held[2])


def _remove_in_time(place: Place, pid: int) -> None:
    """Delete the folder of a scratch that was dropped, wherever Python noticed that.

    It may have noticed in the thread of zarr's event loop, where waiting for a bucket would wait for ever: so a folder
    in a bucket is deleted by a thread of its own, for which Python waits before it ends.
    """
    if place.folder is not None:
        _delete(place, pid)
    else:
        remover = threading.Thread(target=_delete, args=(place, pid), name="xprep-scratch-removal", daemon=False)
        remover.start()


def _delete(place: Place, pid: int) -> None:
    # A forked child inherits the finalizer of a folder that is its parent's.
    if os.getpid() != pid:
        return
    if (folder := place.folder) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        place.delete()
    except (OSError, RuntimeError) as error:
        warnings.warn(f"the scratch folder {place} could not be removed: {error}", ResourceWarning, stacklevel=2)


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
        """Delete it, also that of another process."""
        _delete(self.place, os.getpid())


def find_scratch(url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None) -> list[Leftover]:
    """Return the scratch folders below ``url`` (None: the system's temporary folder)."""
    root = temporary_folder() if url is None else url
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
