"""Channels beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE
from xprep.dims.channel_titles import channel_titles
from xprep.dims.channels import channel_names
from xprep.ops.project import project
from xprep.ops.rescale import rescale
from xprep.ops.shown_channels import colors_of
from xprep.plot.library import load_matplotlib
from xprep.plot.merging import merged
from xprep.plot.panels import (
    MOST_PIXELS,
    are_labels,
    check_cmap,
    check_figure,
    drawable,
    finished,
    lengths_of,
    new_figure,
    show,
    window_of,
)
from xprep.plot.scale_bars import add_scale_bar
from xprep.switches import check_switch

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


def plot_channels(
    image: xr.DataArray | xr.Dataset | xr.DataTree,
    *,
    merge: bool = False,
    labels: bool | None = None,
    cmap: str = "gray",
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw every channel of an image beside the others, in physical units and true aspect, with its scale of values.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims y and x, and ``c``; a stack is projected along z (maximum). Otherwise as for `plot_projections`.
    merge : bool
        One picture of all channels over each other, each in its colour: that of ``attrs["omero"]``, where OME-Zarr keeps it;
        otherwise green and magenta, or cyan, magenta and yellow, or one of eight. Each channel has its own scale.
    labels, cmap, figure
        As for `plot_projections`.

    Returns
    -------
    Figure or SubFigure
        A panel a channel, named by the coordinate of ``c``; or one panel, and the names in their colours.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        A dim other than c, z, y, x has more than one position, or there are several images; a merge of labels, or of an
        image without channels.

    Notes
    -----
    An image of more than 1200 pixels an axis is shrunk first, averaging (labels: by nearest pixel), and read once,
    chunk by chunk.
    """
    load_matplotlib()
    check_cmap(cmap)
    stack = drawable(image, "plot_channels", PLANE)
    as_labels = are_labels(stack, labels)
    if check_switch(merge, "merge") and (as_labels or CHANNEL not in stack.dims):
        raise ValueError(f"merge needs channels that are no labels; the image has {tuple(stack.dims)}, {stack.dtype}.")
    flat = project(stack, "z", "max") if "z" in stack.dims else stack
    pictures = _shrunk(flat, as_labels).compute()
    names = channel_titles(channel_names(stack)) if CHANNEL in stack.dims else (str(stack.name or ""),)
    if merge:
        return _merged(pictures, flat, names, check_figure(figure))
    columns = ceil(sqrt(len(names)))
    figure = check_figure(figure) or new_figure(*_panel_size(flat, columns, ceil(len(names) / columns)))
    panels = figure.subplots(ceil(len(names) / columns), columns, squeeze=False, sharex=True, sharey=True).ravel()
    for i, name in enumerate(names):
        picture = (pictures.isel({CHANNEL: i}) if CHANNEL in stack.dims else pictures).transpose(*PLANE).values
        drawn = show(panels[i], picture, flat, PLANE, None if as_labels else window_of(picture), cmap)
        panels[i].set_title(name)
        panels[i].tick_params(labelbottom=True, labelleft=True)
        add_scale_bar(panels[i], flat)
        if not as_labels:
            figure.colorbar(drawn, ax=panels[i], shrink=0.8, label=str(stack.attrs.get("units", "")))
    for panel in panels[len(names) :]:
        panel.remove()
    return finished(figure)


def _merged(pictures: xr.DataArray, image: xr.DataArray, names: Sequence[str], figure: Any) -> Figure | SubFigure:
    """Draw all channels over each other, and their names beside them."""
    figure = figure or new_figure(*_panel_size(image, 1, 1))
    panel = figure.subplots()
    colors = colors_of(image)
    planes = pictures.transpose(CHANNEL, *PLANE).values
    show(panel, merged(planes, colors), image, PLANE, (0, 1), None)
    swatch = load_matplotlib("patches").Patch
    handles = [swatch(color=f"#{color}", label=name) for name, color in zip(names, colors, strict=True)]
    panel.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), facecolor="0.25", labelcolor="white")
    add_scale_bar(panel, image)
    return finished(figure)


def _shrunk(image: xr.DataArray, as_labels: bool) -> xr.DataArray:
    factors = {dim: MOST_PIXELS / image.sizes[dim] for dim in PLANE if image.sizes[dim] > MOST_PIXELS}
    if not factors:
        return image
    return rescale(image, factors, order=0) if as_labels else rescale(image, factors, anti_alias=True)


def _panel_size(image: xr.DataArray, columns: int, rows: int) -> tuple[float, float]:
    lengths = lengths_of(image)
    aspect = min(3.0, max(1 / 3, lengths["y"] / lengths["x"]))
    width = 12 / max(3, columns)
    return columns * (width + 0.9), rows * (width * aspect + 0.8)
