"""Streaming preprocessing of microscopy images that are larger than memory.

``import xprep`` registers the accessor ``.prep`` on xarray's DataArray, Dataset and DataTree. The public names stand in
``__init__.pyi``; what they need (dask, numba, zarr, scipy) is imported when one of them is first used.
"""

from __future__ import annotations

import lazy_loader

from xprep.register import register
from xprep.version import version

__version__ = version()
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]

register()
