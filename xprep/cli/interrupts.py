"""Ctrl-C: once, what is in flight is finished; twice, the program ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from xprep.cli.failures import INTERRUPTED

ONCE: Final = "interrupted: what is in flight is being finished. Ctrl-C again stops at once."
TWICE: Final = "stopped. What was not finished says so; the same command with --resume (xprep resume RECIPE) goes on."


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first Ctrl-C inside end the run in good order, and the second at once, whatever still hangs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = 0

    def handle(*_: Any) -> None:
        nonlocal pressed
        pressed += 1
        # By the system's own means: the signal may have come in the midst of writing to the same stream.
        os.write(2, f"\n{ONCE if pressed == 1 else TWICE}\n".encode())
        if pressed > 1:
            os._exit(INTERRUPTED)  # threads that wait for a server would be waited for, and nothing is left to be tidied
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Let Ctrl-C end what is inside, and nothing else; also where a shell has told its jobs (``&``) to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)
