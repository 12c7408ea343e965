"""Running graphs on threads and clusters, watching them, and what a run would cost."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
