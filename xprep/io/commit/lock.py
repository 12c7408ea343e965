"""One writer a store: two runs never look and begin at once, and the one that comes second is told.

1. `hold`: on a local disk the folder above is locked while a run looks at what is there and begins, and again while it puts its
   store in place. Where nothing can be locked (a bucket, NFS), the next two steps do it alone;
2. `begin`: the mark of the run is written only if nothing is there, which disks and buckets with conditional writes guarantee;
3. `is_mine`: every few seconds, and before it finishes, a run reads the mark again, and stops if it is another's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Literal

from filelock import FileLock, Timeout

from xprep.errors import StoreExistsError, UnfinishedStoreError
from xprep.io.arrays.consolidated import group_objects
from xprep.io.commit.mark import describe_owner, read_mark, read_status
from xprep.io.ome.groups import read_group
from xprep.io.store.places import Place

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

# A run holds the folder for the milliseconds in which it looks and begins, or moves its store into place; longer only
# while it deletes what a dead one left.
PATIENCE_SECONDS: Final = 30.0
LOCK: Final = ".xprep.lock"


@contextmanager
def hold(target: Place) -> Iterator[None]:
    """Hold the folder that ``target`` lies in, on this machine: whoever else does so waits.

    The system lets go of it when a process dies. In a bucket, and on file systems without locks, nothing is held; what
    remains there is `begin`, and that every run looks now and then whether the store is still its own.

    Raises
    ------
    StoreExistsError
        Another run has held it for `PATIENCE_SECONDS`.
    OSError
        The folder is not there and cannot be made.
    """
    if target.folder is None:
        yield
        return
    above = target.folder.parent
    with target.errors("write"):
        above.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with suppress(PermissionError):  # written to and not listed: no lock then
            held.enter_context(_lock_file(above, target) if fcntl is None else _lock_folder(above, target))
        yield


@contextmanager
def _lock_folder(folder: Path, target: Place) -> Iterator[None]:
    file = os.open(folder, os.O_RDONLY)
    try:
        _wait(file, target)
        yield
    finally:
        os.close(file)


@contextmanager
def _lock_file(folder: Path, target: Place) -> Iterator[None]:
    # Windows locks no folders, so there a file in it, which is gone when nobody holds it.
    lock = FileLock(folder / LOCK, timeout=PATIENCE_SECONDS)
    try:
        lock.acquire(poll_interval=0.01)
    except Timeout:
        raise _busy(target) from None
    try:
        yield
    finally:
        lock.release()


def _busy(target: Place) -> StoreExistsError:
    return StoreExistsError(
        f"{target}: another run has held this folder, to begin or to finish, for {PATIENCE_SECONDS:.0f} s; try again."
    )


def _wait(file: int, target: Place) -> None:
    end = monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if monotonic() > end:
                raise _busy(target) from None
        except OSError:  # NFS locks no folders
            return
        sleep(0.01)


def begin(place: Place, mark: Mapping[str, Any], zarr_format: Literal[2, 3], run: str) -> None:
    """Write the ``mark`` of ``run`` into the empty folder ``place``; of two runs that do so at once, one succeeds.

    Local disks see to it; so do buckets with conditional writes (S3's, not every server's that speaks S3).

    Raises
    ------
    StoreExistsError
        The other was first.
    UnfinishedStoreError
        The store lost the mark, or it was deleted at once.
    """
    objects = group_objects(mark, zarr_format)
    name, data = objects.popitem()  # of v2 the attributes, which say whose it is
    place.create(name, data)
    place.set_many(objects, lasting=True)
    if (group := read_group(place)) is None:
        raise UnfinishedStoreError(f"{place} lost {name}, which was written; run again.")
    if read_mark(group).get("run") != run:
        raise StoreExistsError(
            f"{place}: {describe_owner(group)}; it began at the same moment. Two writers would destroy each other's work."
        )


def is_mine(place: Place, run: str) -> bool:
    """Whether the store at ``place`` is still being written by the run ``run``."""
    group = read_group(place)
    return group is not None and read_status(group) == "writing" and read_mark(group).get("run") == run


def state_of(target: Place) -> str | None:
    """Return a text that changes when the store at ``target`` is replaced; None where there is none."""
    for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray"):
        if target.folder is None:
            if (data := target.get(name)) is not None:
                return f"{name}-{sha256(data).hexdigest()[:16]}"
            continue
        with suppress(OSError):
            found = (target.folder / name).stat()
            return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
    return None
