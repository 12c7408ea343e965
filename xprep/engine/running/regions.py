"""Parts of lazy arrays, computed on the thread that asks, for somebody who may stop waiting."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import dask
import dask.array as da
from dask.local import get_sync

from xprep.io.store.deadlines import WANTED
from xprep.types import Array, Region


class UnwantedError(Exception):
    """Nobody waits any more for what is computed."""


def compute_region(array: da.Array, region: Region, wanted: Callable[[], bool]) -> Array:
    """Return ``region`` of ``array``, computed task after task on this thread, whatever scheduler or cluster is active.

    Raises
    ------
    UnwantedError
        ``wanted()`` was false before a task, or while a request hung.
    """
    return copy_context().run(_compute, array, region, wanted)


def _compute(array: da.Array, region: Region, wanted: Callable[[], bool]) -> Array:
    def check(*_: Any) -> None:
        if not wanted():
            raise UnwantedError("nobody waits for this part of the image any more")

    WANTED.set(wanted)
    check()
    try:
        (found,) = dask.compute(array[region], scheduler=get_sync, callbacks=[(None, None, check, None, None)])
    except Exception as error:
        if not wanted():
            raise UnwantedError(str(error)) from error
        raise
    return found  # type: ignore[no-any-return]
