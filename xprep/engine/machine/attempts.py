"""Reading and writing, tried again where that may help: on threads and on clusters alike.

dask's own retries make a whole task anew, on the same worker as likely as not, and at once. That helps where nobody tried
before; but a bucket's client has tried for up to 50 s when it gives up (s3fs five times five), and four times that is a hang.
So tasks are never repeated by dask: one read or write is, for a moment, if it failed quickly.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from xprep.engine.machine.clients import still_wanted
from xprep.io.store.deadlines import WANTED

# A folder that is mounted again, a byte that was flipped on its way: these pass, or they do not.
PAUSES: Final = (0.05, 0.2, 0.8)
BEGUN_WITHIN_SECONDS: Final = 3.0  # what failed later than that had tries of its own
_LASTING_KINDS: Final = (FileNotFoundError, PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError, TimeoutError)
_LASTING_NAMES: Final = ("ENOENT", "EACCES", "EPERM", "EEXIST", "ENOSPC", "EDQUOT", "EROFS", "ETIMEDOUT")
_LASTING: Final = {getattr(errno, name) for name in _LASTING_NAMES if hasattr(errno, name)}  # Windows lacks some
T = TypeVar("T")


def attempt(work: Callable[..., T], *arguments: Any) -> T:
    """Return ``work(*arguments)``, which is called again, up to three times, after an error that may pass."""
    last = monotonic() + BEGUN_WITHIN_SECONDS
    with _heeding_cluster():
        for pause in PAUSES:
            try:
                return work(*arguments)
            except OSError as error:
                if not may_pass(error) or monotonic() + pause > last:
                    raise
            sleep(pause)
        return work(*arguments)


@contextmanager
def _heeding_cluster() -> Iterator[None]:
    """Let requests inside end soon once a cluster has cancelled this task, as it does when a run fails or is stopped."""
    wanted = still_wanted()
    if wanted is None:  # no task of a cluster
        yield
        return
    before = WANTED.set(wanted)
    try:
        yield
    finally:
        WANTED.reset(before)


def may_pass(error: OSError) -> bool:
    """Whether trying again may help: not if something is not there, not allowed, or full, nor if it was waited for long.

    Examples
    --------
    >>> may_pass(ConnectionResetError("by peer")), may_pass(OSError(28, "No space left on device"))
    (True, False)
    """
    return not isinstance(error, _LASTING_KINDS) and error.errno not in _LASTING
