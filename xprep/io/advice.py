"""The way out of what stores and their backends refuse."""

from __future__ import annotations

import errno


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
