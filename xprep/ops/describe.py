"""A short text about an image, for the accessor's repr."""

from __future__ import annotations

from typing import Any

import xarray as xr

from xprep.dims.channels import channel_names, spell_channel
from xprep.dims.lengths import told_unit
from xprep.dims.spacing import spacing
from xprep.ops.containers import find_images, spell_name
from xprep.ops.layout import CHANNEL


def describe(container: Any) -> str:
    """Return sizes, type, chunks, spacing and channels of every image."""
    try:
        images = find_images(container)
    except ValueError as error:
        return f"<xprep: {error}>"
    return "\n".join(_describe(spell_name(one.key), one.array, len(one.levels)) for one in images)


def _describe(name: str, image: xr.DataArray, levels: int) -> str:
    sizes = ", ".join(f"{dim} {n}" for dim, n in image.sizes.items())
    lines = [f"<xprep: {name or 'image'} ({sizes}) {image.dtype}" + (f" in {levels} levels" if levels > 1 else "")]
    if image.chunks:
        lines.append("chunks " + ", ".join(f"{dim} {lengths[0]}" for dim, lengths in image.chunksizes.items()))
    if spacing := [_spacing(image, dim) for dim in ("z", "y", "x") if dim in image.coords]:
        lines.append("spacing " + ", ".join(filter(None, spacing)))
    if CHANNEL in image.dims:
        names = list(map(spell_channel, channel_names(image)))
        lines.append("channels " + ", ".join(names[:8]) + (f", … ({len(names)})" if len(names) > 8 else ""))
    return "; ".join(lines) + ">"


def _spacing(image: xr.DataArray, dim: str) -> str:
    try:
        step = spacing(image, dim)
    except ValueError:
        return f"{dim} uneven"
    return "" if step is None else f"{dim} {step:.4g} {told_unit(image.coords[dim]) or 'pixel'}"
