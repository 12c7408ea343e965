"""A store that failed before its first chunk is taken back: what was not there is not there, what was to be replaced stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from xprep.io.commit.image_store import ImageStore
from xprep.io.commit.journal import FOLDER, VALUE
from xprep.io.commit.lock import is_mine
from xprep.io.commit.overwrite import delete_store

_METADATA = ("zarr.json", ".zarray", ".zattrs")


@contextmanager
def withdrawn_on_error(store: ImageStore) -> Iterator[None]:
    """Take ``store`` back where what is done in this context fails, before anything was written that a resumed run could use."""
    try:
        yield
    except BaseException:
        withdraw(store)
        raise


def withdraw(store: ImageStore) -> bool:
    """Delete a store of this run that has no chunk yet, and no statistics; return whether that was done.

    A resumed one is what an earlier run left, and stays.
    """
    with suppress(OSError, ValueError):
        if not store.resumed and is_mine(store.place, store.claim.run) and not _has_results(store):
            delete_store(store.place)
            return True
    return False


def _has_results(store: ImageStore) -> bool:
    """Whether a chunk of any level is there, or statistics, which may have taken hours."""
    arrays = [array for levels in store.pyramids.values() for array in levels]
    begins = tuple(f"{array.place.path.removeprefix(store.place.path).lstrip('/')}/" for array in arrays)
    for names in store.place.list_pages():
        for name in names:
            below = next((name.removeprefix(begin) for begin in begins if name.startswith(begin)), None)
            if below is None or below in _METADATA:
                continue
            if not below.startswith(f"{FOLDER}/") or below.endswith(VALUE):
                return True
    return False
