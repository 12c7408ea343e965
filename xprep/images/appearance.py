"""How an image is shown: from a store to attributes, and back; colours, contrast limits.

In attributes they have the words of OME-Zarr: ``attrs["omero"]["channels"]`` (``label``, ``color``, ``active``,
``window``) and ``attrs["image-label"]`` (``colors``, ``properties``). Channels are found again by their label, so that
an image of some of the channels, in another order, keeps its colours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import xarray as xr

from xprep.dims.channels import channel_names, spell_channel
from xprep.io.ome import Channel, ImageLabel, Multiscale
from xprep.io.ome_read import read_appearance
from xprep.io.ome_write import write_channel, write_image_label
from xprep.ops.layout import CHANNEL

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


def channel_labels(image: xr.DataArray) -> list[str]:
    """Return the names of the channels as a viewer shows them; one that was selected still has its own."""
    if CHANNEL in image.coords:
        return list(map(spell_channel, channel_names(image)))
    return [f"channel {i}" for i in range(image.sizes.get(CHANNEL, 1))]


def wanted_channels(image: xr.DataArray) -> list[Channel | None]:
    """Return how each channel is to be shown, None where the image does not say.

    Of several channels of one label the k-th is shown as the k-th there. Where some of them were selected and they are not all
    shown alike, nothing says which these are.
    """
    channels, _ = read_appearance(image.attrs)
    labels = channel_labels(image)
    called: dict[str, list[Channel]] = {}
    for channel in channels:
        called.setdefault(channel.label, []).append(channel)
    counts, seen, found = Counter(labels), Counter[str](), list[Channel | None]()
    for label in labels:
        told = called.get(label, [])
        if told == told[:1] * len(told):
            found.append(told[0] if told else None)
        else:
            found.append(told[seen[label]] if len(told) == counts[label] else None)
        seen[label] += 1
    return found


def wanted_label(image: xr.DataArray) -> ImageLabel:
    """Return how labels are to be shown."""
    return read_appearance(image.attrs)[1] or ImageLabel()
