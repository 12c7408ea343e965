"""What is used of Python's own weakref that is not documented."""

from __future__ import annotations

import weakref
from typing import Any

from xprep.private_api import uses


@uses(
    "weakref.finalize._registry",
    since="Python 3.4",
    loss="untidy",
    without="a traceback after every run that used Azure: adlfs 2026.8 closes its clients on an event loop that it does not have",
)
def drop_finalizers(owner: Any) -> None:
    """Let ``owner`` go without what was to be called with it at Python's end."""
    registry: dict[Any, Any] = getattr(weakref.finalize, "_registry", {})
    for finalizer, info in list(registry.items()):
        if any(argument is owner for argument in info.args or ()):
            finalizer.detach()
