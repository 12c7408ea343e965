"""A short text about an image, for the accessor's repr."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import xarray as xr

from xprep.dims.axes import CHANNEL, SPACE
from xprep.dims.channel_titles import spell_channel
from xprep.dims.channels import channel_names
from xprep.dims.containers.apply import find_images, spell_name
from xprep.dims.containers.contents import LocatedImage
from xprep.dims.lengths import told_unit
from xprep.dims.spacing import spacing
from xprep.sizes import format_bytes
from xprep.texts import html_table


def describe(container: Any) -> str:
    """Return sizes, type, chunks, spacing and channels of every image, and what it is to read it once."""
    try:
        images = find_images(container)
    except ValueError as error:
        return f"<xprep: {error}>"
    return "\n".join("\n".join([f"<xprep: {_title(one)}", *_lines(one.array)]) + ">" for one in images)


def describe_html(container: Any) -> str:
    """Return `describe` as tables."""
    try:
        images = find_images(container)
    except ValueError as error:
        return html_table(f"xprep: {error}", [])
    return "".join(html_table(f"xprep: {_title(one)}", _rows(one.array)) for one in images)


def _title(found: LocatedImage) -> str:
    image, levels = found.array, len(found.levels)
    sizes = ", ".join(f"{dim} {n}" for dim, n in image.sizes.items())
    return f"{spell_name(found.key) or 'image'} ({sizes}) {image.dtype}" + (f" in {levels} levels" if levels > 1 else "")


def _lines(image: xr.DataArray) -> Iterator[str]:
    return (f"  {name:10}{text}" for name, text in _rows(image))


def _rows(image: xr.DataArray) -> Iterator[tuple[str, str]]:
    if image.chunks:
        yield "chunks", ", ".join(f"{dim} {lengths[0]}" for dim, lengths in image.chunksizes.items())
    if steps := list(filter(None, (_spacing(image, dim) for dim in SPACE if dim in image.coords))):
        yield "spacing", ", ".join(steps)
    if CHANNEL in image.dims:
        names = list(map(spell_channel, channel_names(image)))
        yield "channels", ", ".join(names[:8]) + (f", … ({len(names)})" if len(names) > 8 else "")
    size = format_bytes(image.nbytes)
    yield ("a pass", f"reads {size}") if image.chunks else ("size", f"{size} in memory")


def _spacing(image: xr.DataArray, dim: str) -> str:
    try:
        step = spacing(image, dim)
    except ValueError:
        return f"{dim} uneven"
    return "" if step is None else f"{dim} {step:.4g} {told_unit(image.coords[dim]) or 'pixel'}"
