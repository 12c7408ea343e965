"""How an image is shown: from a store to attributes, and back; colours, contrast limits.

In attributes they have the words of OME-Zarr: ``attrs["omero"]["channels"]`` (``label``, ``color``, ``active``,
``window``) and ``attrs["image-label"]`` (``colors``, ``properties``). Channels are found again by their label, so that
an image of some of the channels, in another order, keeps its colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import xarray as xr

from xprep.io.ome.reading import read_appearance
from xprep.io.ome.writing import write_channel, write_image_label
from xprep.io.ome_model import ImageLabel, Multiscale

ATTRIBUTES: Final = ("omero", "image-label")


def appearance_of(image: Multiscale) -> dict[str, Any]:
    """Return the attributes that say how a stored image is shown."""
    found: dict[str, Any] = {}
    if image.channels:
        found["omero"] = {"channels": [write_channel(channel) for channel in image.channels]}
    if image.image_label is not None:  # that it is there, says in a Dataset that these are labels
        written = write_image_label(image.image_label)
        found["image-label"] = {key: written[key] for key in ("colors", "properties") if key in written}
    return found


def pixel_attributes(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what is to be stored with the pixels; how they are shown, and where, is stored where OME-Zarr has it.

    ``transform`` is SpatialData's, whose objects have no form in JSON.
    """
    return {name: value for name, value in attrs.items() if name not in (*ATTRIBUTES, "transform")}


def wanted_label(image: xr.DataArray) -> ImageLabel:
    """Return how labels are to be shown."""
    return read_appearance(image.attrs)[1] or ImageLabel()
