"""Images in the browser: stores and lazy results, tile by tile, before anything is written. Imported when it is asked for."""

from __future__ import annotations

from xprep.viewer.session import View
from xprep.viewer.showing import view

__all__ = ["View", "view"]
