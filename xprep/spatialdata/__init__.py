"""SpatialData objects: an operation of one or several of their images, which become elements of the same object."""

from __future__ import annotations

from xprep.spatialdata.operations import gaussian_filter, normalize, rescale, subtract_background

__all__ = ["gaussian_filter", "normalize", "rescale", "subtract_background"]
