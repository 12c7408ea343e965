"""Two images side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xprep.dims.axes import PLANE
from xprep.plot.library import load_matplotlib
from xprep.plot.panels import MOST_PIXELS, extent_of, finished, new_figure, window_of
from xprep.plot.scale_bars import add_scale_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAN_COLOR = "#5a1020"  # a dark red: neither a grey nor a value


def plot_before_after(before: xr.DataArray, after: xr.DataArray) -> Figure:
    """Draw two images side by side, a row a channel; NaN is drawn in dark red, and a scale bar where voxels have a size.

    Parameters
    ----------
    before, after : DataArray
        With the same dims and sizes; of dims other than ``c``, ``y`` and ``x`` the middle is drawn. Large planes are
        thinned.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import xprep
    >>> from xprep.plot import plot_before_after
    >>> image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    >>> figure = plot_before_after(image, image.prep.normalize())
    >>> [panel.get_title() for panel in figure.axes][:2]
    ['marker 1, before', 'marker 1, after']
    """
    load_matplotlib()
    pairs = list(zip(_planes(before), _planes(after), strict=True))
    height, width = pairs[0][0].shape
    figure = new_figure(9, max(2.0, 4.2 * height / width) * len(pairs) + 0.4)
    axes = np.asarray(figure.subplots(len(pairs), 2, squeeze=False))
    for row, planes in zip(axes, pairs, strict=True):
        for panel, plane, state in zip(row, planes, ("before", "after"), strict=True):
            draw_with_nan(panel, plane, f"{_name(plane)}, {state}")
    finished(figure)
    return figure


def _planes(image: xr.DataArray) -> list[xr.DataArray]:
    middle = {dim: n // 2 for dim, n in image.sizes.items() if dim not in ("c", "y", "x")}
    thin = {dim: slice(None, None, -(-image.sizes[dim] // MOST_PIXELS)) for dim in ("y", "x")}
    seen = image.isel({**middle, **thin}).transpose(..., "y", "x").compute()
    return list(seen) if "c" in seen.dims else [seen]


def _name(plane: xr.DataArray) -> str:
    return str(plane.coords["c"].item()) if "c" in plane.coords else str(plane.name or "image")


def draw_with_nan(panel: Any, plane: xr.DataArray, title: str) -> None:
    """Draw a plane (y, x) in greys, NaN in dark red, where its coordinates say."""
    low, high = window_of(plane.values)
    (top, bottom), (left, right) = (extent_of(plane, dim) for dim in PLANE)
    shown = panel.imshow(
        plane.values.astype(np.float32), cmap="gray", vmin=low, vmax=high, interpolation="nearest",
        extent=(left, right, bottom, top),
    )  # fmt: skip
    shown.set_cmap(shown.get_cmap().with_extremes(bad=NAN_COLOR))
    panel.set_title(title, fontsize=9)
    panel.set_axis_off()
    panel.figure.colorbar(shown, ax=panel, fraction=0.046, pad=0.02).ax.tick_params(labelsize=7)
    add_scale_bar(panel, plane)
