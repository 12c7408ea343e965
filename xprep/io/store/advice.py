"""The way out of what stores and their backends refuse."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from zarr.abc.store import Store

from xprep.io.store import backends, forbidden, urls
from xprep.redaction import raise_alone

# The numbers of errors that come without: the engine asks them whether trying again may help.
_ERRNOS: Final = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES, TimeoutError: errno.ETIMEDOUT}


def advise(kind: type[OSError], error: BaseException) -> str:
    """Return the end of a message about ``error``, which is said as an error of ``kind``.

    Examples
    --------
    >>> advise(FileNotFoundError, FileNotFoundError("s3://lab"))
    '. Does the bucket or folder exist?'
    """
    if getattr(error, "errno", None) == errno.EROFS:
        return ". What lies there is for reading only; write to another folder."
    if kind is FileNotFoundError:
        return ". Does the bucket or folder exist?"
    if kind is PermissionError and getattr(error, "filename", None) is not None:  # the system's word about a file
        return ". Have its owner allow it, or give another folder."
    if kind is PermissionError:
        return (
            ". Are the credentials right, do they allow this, and is the clock of this machine right? It may be the URL too: who "
            "has no right to list is refused what is not there."
        )
    return ""


def is_foreign(error: BaseException) -> bool:
    """Whether an error is a store's or its backend's, which says neither what failed nor how to go on."""
    # botocore's and google's errors ("no credentials", "bucket not found") derive from Exception alone.
    ours = ("builtins", "xprep", "asyncio", "zarr", "numcodecs")
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] not in ours


def explain(error: BaseException, what: str, secrets: Mapping[str, Any] | None = None) -> OSError:
    """Return an OSError of ``error``'s kind which says ``what`` failed and why, without secrets."""
    kinds = (FileNotFoundError, PermissionError, FileExistsError, TimeoutError, ConnectionError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), OSError)
    if "redential" in f"{type(error).__name__} {error}" or forbidden.is_refused(error):
        kind = PermissionError
    said = str(error).partition("\n\nDebug source:")[0]  # obstore's errors end in twenty lines of its own structures
    reason = urls.redact_text(f"{type(error).__name__}: {said}", secrets)
    explained = kind(f"{what}: {reason}{advise(kind, error)}")
    explained.errno = getattr(error, "errno", None) or _ERRNOS.get(kind)
    return explained


def refuse(error: BaseException, what: str, secrets: Mapping[str, Any] | None = None) -> NoReturn:
    """Raise what `explain` makes of ``error``."""
    raise_alone(explain(error, what, secrets))


class Explained:
    """A context in which errors of ``store`` and of its backend say ``what`` failed, without secrets."""

    def __init__(self, store: Store, what: Callable[[], str], secrets: Mapping[str, Any]) -> None:
        self._store, self._what, self._secrets = store, what, secrets

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not is_foreign(error):
            return
        explained = explain(error, self._what(), self._secrets)
        if isinstance(explained, PermissionError):
            backends.forget_client(self._store)
        raise_alone(explained)
