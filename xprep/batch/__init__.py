"""Many images by one recipe: each with its own outcome. Each name is imported when it is first used."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
