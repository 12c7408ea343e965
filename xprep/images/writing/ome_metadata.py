"""What the metadata of OME-Zarr say of an image: axes, levels, channels with their colours and contrast limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xprep.engine.filling.summaries import Seen
from xprep.images.appearance import wanted_label
from xprep.io.ome_model import Channel, ContrastWindow, Level, Multiscale, make_axes, spell_unit
from xprep.ops.shown_channels import DISPLAYED, channel_labels, wanted_channels
from xprep.version import version as xprep_version

COLORS = ("00FFFF", "FF00FF", "FFFF00", "FF0000", "00FF00", "0000FF", "FFFFFF")


def describe(image: xr.DataArray, levels: Sequence[Level], method: str, seen: Seen | None) -> Multiscale:
    """Return the metadata of an image at these levels; without ``seen``, of a label image."""
    units = {str(dim): spell_unit(str(image.coords[dim].attrs.get("units", ""))) for dim in image.dims if dim in image.coords}
    label = seen is None
    return Multiscale(
        axes=make_axes(tuple(map(str, image.dims)), units),
        levels=tuple(levels),
        name=str(image.name or "image"),
        channels=() if seen is None else _channels(image, seen),
        method=method if len(levels) > 1 else "",
        metadata={"method": "xprep", "version": xprep_version()},
        image_label=wanted_label(image) if label else None,
    )


def _channels(image: xr.DataArray, seen: Seen) -> tuple[Channel, ...]:
    labels = channel_labels(image)
    wanted = wanted_channels(image)
    colors = [COLORS[i % len(COLORS)] if len(labels) > 1 else "FFFFFF" for i in range(len(labels))]
    shown = [told or Channel(label, color) for told, label, color in zip(wanted, labels, colors, strict=True)]
    return tuple(replace(one, window=one.window or _window(seen, i, image.dtype)) for i, one in enumerate(shown))


def _window(seen: Seen, i: int, dtype: np.dtype[Any]) -> ContrastWindow:
    one = seen.channels[i]
    sample = one.sample
    low, high = (v if np.isfinite(v) else d for v, d in ((one.low, 0.0), (one.high, 1.0)))
    if not sample.size:
        return ContrastWindow(low, high, low, high)
    start, end = (float(v) for v in np.percentile(sample.astype(np.float64), DISPLAYED))
    return ContrastWindow(low, high, start, end if end > start else max(high, start + 1))
