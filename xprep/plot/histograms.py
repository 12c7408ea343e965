"""Histograms of channels, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from xprep.dims.axes import arranged, check_image, layout_of
from xprep.dims.channel_titles import channel_titles
from xprep.dims.channels import channel_names
from xprep.dims.containers.apply import images_of, spell_name
from xprep.engine.passes.histograms import histogram
from xprep.engine.sources.lazy import compute_here
from xprep.plot.library import load_matplotlib
from xprep.plot.panels import finished, new_figure
from xprep.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS: Final = 128


def plot_histograms(image: Any, after: Any = None) -> Figure:
    """Draw the histogram of every channel of every image, exact, from one pass over each; and of what was made of them.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims y and x, and others; images of one container are drawn over each other.
    after : DataArray, Dataset or DataTree, optional
        What was made of it: a second column.

    Returns
    -------
    matplotlib.figure.Figure
        A row a channel; pixels (logarithmic) over values. NaN is not counted.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        There is no image, or images have other numbers of channels.

    Examples
    --------
    >>> import xprep
    >>> image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    >>> figure = xprep.plot_histograms(image, image.prep.normalize())
    >>> [panel.get_title() for panel in figure.axes]
    ['marker 1', 'marker 1, after', 'marker 2', 'marker 2, after']
    """
    load_matplotlib()
    if after is not None and not isinstance(after, xr.DataArray | xr.Dataset | xr.DataTree):
        raise TypeError(f"after must be a DataArray, a Dataset or a DataTree, or None; got a {type(after).__name__}.")
    columns = [_counted(image), *(_counted(one) for one in [after] if one is not None)]
    titles = columns[0][0][1]
    if any(len(one) != len(titles) for column in columns for _, one, _, _ in column):
        raise ValueError("images of one figure must have the same number of channels; choose some of them: image.sel(c=[…]).")
    figure = new_figure(4.5 * len(columns), 2.2 * len(titles) + 0.4)
    panels = figure.subplots(len(titles), len(columns), squeeze=False)
    for row, title in enumerate(titles):
        for panel, column, when in zip(panels[row], columns, ("", ", after"), strict=False):
            for name, _, counts, low in column:
                _draw(panel, counts[row], low, name if len(column) > 1 else "")
            panel.set_title(f"{title}{when}", fontsize=9)
            panel.set_yscale("log")
    if any(len(column) > 1 for column in columns):
        panels[0][0].legend(fontsize=7)
    finished(figure)
    return figure


def _counted(container: Any) -> list[tuple[str, tuple[str, ...], Array, Array]]:
    """Return of each image its name, titles of channels, counts by channel and bin, and the lowest value of each bin."""
    images = images_of(container)
    lazy, lows = [], []
    for image in images.values():
        check_image(image, "plot_histograms")
        counts, low = histogram(arranged(image, layout_of(image)))
        lazy.append(counts)
        lows.append(low)
    found = compute_here(*lazy)
    named = ((spell_name(name), channel_titles(channel_names(image))) for name, image in images.items())
    return [(name, titles, counts, low) for (name, titles), counts, low in zip(named, found, lows, strict=True)]


def _draw(panel: Any, counts: Array, low: Array, label: str) -> None:
    edges, heights = bars_of(counts, low)
    panel.stairs(heights, edges, label=label or None)
    panel.tick_params(labelsize=7)


def bars_of(counts: Array, low: Array) -> tuple[Array, Array]:
    """Return the edges of about 128 bars, and how many pixels each holds: whole bins, so that the counts stay exact.

    >>> bars_of(np.array([0, 3, 1, 0]), np.array([0.0, 1.0, 2.0, 3.0]))
    (array([1., 2., 3.]), array([3, 1]))
    """
    used = np.flatnonzero(counts * np.isfinite(low))
    if not len(used):
        return np.array([0.0, 1.0]), np.array([0])
    first, last = int(used[0]), int(used[-1])
    values = low[first : last + 2].astype(np.float64)
    if len(values) < last + 2 - first or not np.isfinite(values[-1]):
        values = np.append(values[: last + 1 - first], np.nextafter(values[last - first], np.inf))
    wanted = np.linspace(values[0], values[-1], BARS + 1)
    at = np.unique(np.searchsorted(values[:-1], wanted[:-1]))
    at = np.unique(np.concatenate([[0], at[at < last + 1 - first]]))
    return np.append(values[at], values[-1]), np.add.reduceat(counts[first : last + 1], at)
