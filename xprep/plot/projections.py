"""A volume from its three sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, SPACE
from xprep.dims.channel_titles import channel_titles
from xprep.dims.channels import channel_names
from xprep.ops.project import project
from xprep.plot.library import load_matplotlib
from xprep.plot.panels import (
    are_labels,
    check_cmap,
    check_figure,
    drawable,
    extent_of,
    fewer_pixels,
    finished,
    lengths_of,
    new_figure,
    show,
    window_of,
)
from xprep.plot.scale_bars import add_scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SIDES = {"z": ("y", "x"), "x": ("y", "z"), "y": ("z", "x")}  # what is down and across, looking along a dim


def plot_projections(
    image: xr.DataArray | xr.Dataset | xr.DataTree,
    *,
    labels: bool | None = None,
    cmap: str = "gray",
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw a volume from its three sides, as maximum projections, in physical units and true aspect.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims z, y and x in any order, and ``c``, a row of pictures a channel. A Dataset has to hold one image. Of a
        DataTree (a pyramid, as `open_tree` gives it) the smallest level is drawn that has as many pixels as a picture, and
        of an image that was opened from such a store, whatever its level, that one too: only it is read.
    labels : bool, optional
        Whether values are labels, each drawn in a colour of its own, always the same; by default integers of 32 or 64
        bits and booleans are.
    cmap : str
        Colour map of what is no label image.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    Figure or SubFigure
        Seen along z (y, x), along x (y, z) at its right, and along y (z, x) beneath.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        There is no z, a dim other than c, z, y, x has more than one position, or there are several images.

    Notes
    -----
    The volume is read once, chunk by chunk; only the pictures are held, of at most 1200 pixels an axis. Greys go from
    the 0.5th to the 99.8th percentile of a channel's three pictures.
    """
    load_matplotlib()
    check_cmap(cmap)
    volume = drawable(image, "plot_projections", SPACE)
    dims = [dim for dim in (CHANNEL, *SPACE) if dim in volume.dims]
    sides = {dim: project(volume.transpose(*dims), dim, "max") for dim in SPACE}
    pictures = xr.Dataset({dim: side.variable for dim, side in sides.items()}).compute()
    as_labels = are_labels(volume, labels)
    figure = check_figure(figure) or new_figure(*_orthogonal_size(volume))
    for i, (row, name) in enumerate(_rows(figure, volume)):
        axes = _orthogonal_axes(row, volume)
        mine = pictures.isel({CHANNEL: i} if CHANNEL in volume.dims else {})
        drawn = {dim: fewer_pixels(mine[dim].transpose(*down_across).values) for dim, down_across in SIDES.items()}
        window = window_of(*drawn.values())
        for dim, picture in drawn.items():
            show(axes[dim], picture, volume, SIDES[dim], None if as_labels else window, cmap)
        axes["z"].set_title(name)
        add_scale_bar(axes["z"], volume)
    return finished(figure)


def _rows(figure: Figure | SubFigure, image: xr.DataArray) -> list[tuple[Any, str]]:
    """Return a part of the figure for every channel, and its title."""
    if CHANNEL not in image.dims:
        return [(figure, str(image.name or ""))]
    names = channel_titles(channel_names(image))
    parts = np.asarray(figure.subfigures(len(names), 1, squeeze=False)).ravel()
    return list(zip(parts, names, strict=True))


def _orthogonal_axes(figure: Figure | SubFigure, image: xr.DataArray) -> Mapping[str, Axes]:
    """Return the axes of the three sides, as large as their dims are long: one unit is one length everywhere."""
    lengths = lengths_of(image)
    depth = max(lengths["z"], 0.15 * max(lengths.values()))  # a thin stack still has room for its ticks
    grid = figure.add_gridspec(2, 2, width_ratios=[lengths["x"], depth], height_ratios=[lengths["y"], depth])
    front = figure.add_subplot(grid[0, 0])
    side = figure.add_subplot(grid[0, 1], sharey=front)
    below = figure.add_subplot(grid[1, 0], sharex=front)
    if lengths["z"] < 0.1 * max(lengths.values()):  # no room for two numbers
        middle = [float(np.mean(extent_of(image, "z")))]
        side.set_xticks(middle)
        below.set_yticks(middle)
    return {"z": front, "x": side, "y": below}


def _orthogonal_size(image: xr.DataArray) -> tuple[float, float]:
    """Return inches: 6 for the longer side of the three pictures together, and room for labels."""
    lengths = lengths_of(image)
    width, height = lengths["x"] + lengths["z"], lengths["y"] + lengths["z"]
    scale = 6 / max(width, height)
    return max(3.0, width * scale) + 1.4, (max(2.4, height * scale) + 1.0) * image.sizes.get(CHANNEL, 1)
