"""How the channels of an image are to be shown: what ``attrs["omero"]`` says of each."""

from __future__ import annotations

from collections import Counter
from typing import Final

import xarray as xr

from xprep.dims.axes import CHANNEL
from xprep.dims.channel_titles import spell_channel
from xprep.dims.channels import channel_names
from xprep.io.ome.reading import read_appearance
from xprep.io.ome_model import Channel

DISPLAYED: Final = (0.1, 99.9)  # percentiles that are the contrast limits where nobody says others
# Where an image does not say: two that add up to white, and then such as are told apart without red and green.
PALETTES: Final = {1: ("FFFFFF",), 2: ("00FF00", "FF00FF"), 3: ("00FFFF", "FF00FF", "FFFF00")}
MANY: Final = ("0072FF", "FF9500", "00C853", "FF3DBB", "FFE600", "00E5FF", "B26BFF", "FF4B3E")


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


def colors_of(image: xr.DataArray) -> list[str]:
    """Return the colour of every channel, RRGGBB: those of ``attrs["omero"]``, unless one lacks or all are the same.

    Examples
    --------
    >>> import xprep
    >>> colors_of(xprep.datasets.blobs(channels=2, shape=(8, 8)))
    ['00FF00', 'FF00FF']
    """
    told = [channel.color for channel in wanted_channels(image) if channel is not None]
    count = image.sizes.get("c", 1)
    if len(told) == count and (count == 1 or len(set(told)) > 1):
        return told
    chosen = PALETTES.get(count, MANY)
    return [chosen[i % len(chosen)] for i in range(count)]
