"""The doors: images come in from stores, and go out to them."""

from __future__ import annotations

from xprep.images.reading import open_image, open_tree
from xprep.images.report import Report
from xprep.images.writing import to_ome_zarr

__all__ = ["Report", "open_image", "open_tree", "to_ome_zarr"]
