"""matplotlib, imported when something is drawn; where it is missing, the extra that brings it is named."""

from __future__ import annotations

from typing import Any

from xprep.extras import load


def load_matplotlib(part: str = "") -> Any:
    """Return matplotlib or a module of it; what draws calls it before it computes anything.

    Raises
    ------
    ImportError
        It is not installed.
    """
    return load(f"matplotlib.{part}" if part else "matplotlib", "plot", "a picture")
