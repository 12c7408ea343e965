"""What differs between systems: how files are moved, and which machine this is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from time import sleep
from typing import Final

ON_WINDOWS: Final = os.name == "nt"
ON_MACOS: Final = sys.platform == "darwin"
# Between tries to move a file that somebody has open; 5 s in all, which is more than a virus scanner takes.
_PAUSES: Final = tuple(0.01 * 2**n for n in range(9))


def replace(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Move a file over another as `os.replace` does; on Windows it is tried again while somebody has one of them open."""
    if ON_WINDOWS:
        _patiently(os.replace, source, target)
    else:  # open files are moved, and an error is final
        os.replace(source, target)


def rename(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Move a folder as `os.rename` does; on Windows it is tried again while somebody has a file in it open."""
    if ON_WINDOWS:
        _patiently(os.rename, source, target)
    else:
        os.rename(source, target)


def _patiently(move: Callable[..., None], source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    for pause in _PAUSES:
        try:
            move(source, target)
            return
        except PermissionError:
            sleep(pause)
    move(source, target)


@cache
def machine_id() -> str:
    """Return what tells this machine from others where its name changes with the network (macOS); elsewhere ``""``.

    Not the hardware's own number, which is nobody's business, but a digest of it. Linux has a number of the machine, too; its
    containers share that, and have processes of their own, so there the name of the host says more.
    """
    if not ON_MACOS:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        command = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        if found := re.search(r'"IOPlatformUUID" = "([^"]+)"', told):
            return sha256(f"xprep {found[1]}".encode()).hexdigest()[:16]
    return ""
