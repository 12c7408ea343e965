"""Outlines of ROIs over an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.arguments import check_number
from xprep.ops.layout import PLANE
from xprep.plot.channels import plot_channels
from xprep.plot.colors import label_colors
from xprep.plot.library import load_matplotlib
from xprep.plot.panels import check_cmap, check_figure, drawable, extent_of, finished
from xprep.rois import RoiTable
from xprep.rois.given import as_table
from xprep.rois.outlines import outline_segments

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COVERED = 1 / 7  # of a picture, at most, by outlines one point wide
POINTS_AN_INCH = 72
THINNEST, FAINTEST = 0.25, 0.3
UNKNOWN = (0.6, 0.6, 0.6)  # a grey, for ROIs whose feature is NaN


def plot_rois(
    image: xr.DataArray | xr.Dataset | xr.DataTree,
    rois: Any,
    *,
    feature: Any = None,
    cmap: str = "viridis",
    linewidth: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw the outlines of ROIs over an image, in physical units, coloured by a feature.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        The reference, drawn as by `plot_channels`: a panel a channel, a stack as its maximum along z.
    rois : RoiTable or label image
        As for `xprep.traces`. All are drawn; of volumes what is seen along z.
    feature : array or DataArray, (roi,), optional
        One number per ROI, in their order, or by their ids where it has the coordinate ``roi``; grey where it is NaN.
        Without, each ROI has a colour of its own.
    cmap : str
        Colour map of the feature.
    linewidth : float, optional
        In points. By default 1, and where there are so many outlines that they would cover more than a seventh of the
        picture, thinner, and then fainter.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    Figure or SubFigure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        A ROI beyond the image, or not one number per ROI.
    KeyError
        The feature lacks a ROI's id.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> image = xr.DataArray(np.random.default_rng(0).random((32, 32)), dims=("y", "x"))
    >>> table = RoiTable.from_pixels([[1.0, 1.0]], [[5, 6]], [[8, 8]])
    >>> figure = plot_rois(image, table)
    >>> len(figure.axes[0].collections[0].get_segments())
    6
    """
    load_matplotlib()
    check_cmap(cmap)
    if linewidth is not None:
        check_number(linewidth, "linewidth", least=0)
    reference = drawable(image, "plot_rois", PLANE, finest=True)
    rois = as_table(rois, [reference.isel(z=0, drop=True) if "z" in reference.dims else reference]).on(reference, PLANE)
    rois.check_inside({"z": 2**31, **{dim: reference.sizes[dim] for dim in PLANE}})
    values = None if feature is None else feature_values(feature, rois)
    before = [] if figure is None else list(check_figure(figure).axes)
    figure = plot_channels(reference, labels=False, figure=figure)
    panels = [panel for panel in figure.axes if panel.images and panel not in before]
    for panel in panels:
        lines = _draw(panel, reference, rois, values, cmap, linewidth)
        if values is not None:
            figure.colorbar(lines, ax=panel, location="bottom", shrink=0.8, label=_title(feature))
    return finished(figure)


def feature_values(feature: Any, rois: RoiTable) -> NDArray[np.float64]:
    """Return a feature's value for every ROI of the table.

    Raises
    ------
    ValueError
        Not one number per ROI.
    KeyError
        A ROI's id is missing.
    """
    if isinstance(feature, xr.DataArray) and "roi" in feature.coords and feature.dims == ("roi",):
        feature = feature.sel(roi=rois.ids)
    try:
        values = np.asarray(feature, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"feature must be one number a ROI; got {feature!r}.") from None
    if values.shape != (len(rois),):
        raise ValueError(f"feature needs one number for each of {len(rois)} ROIs; got shape {values.shape}.")
    return values


def _title(feature: Any) -> str:
    return str(getattr(feature, "name", None) or "feature")


def _draw(
    panel: Axes, image: xr.DataArray, rois: RoiTable, values: NDArray[np.float64] | None, cmap: str, linewidth: float | None
) -> Any:
    """Add the outlines to one panel."""
    segments, owners = outline_segments(rois)
    y, x = (_physical(image, dim, segments[..., axis]) for axis, dim in enumerate(PLANE))
    width, opacity = (linewidth, 1.0) if linewidth is not None else line_style(len(segments), _points_a_pixel(panel, image))
    lines = load_matplotlib("collections").LineCollection(
        list(np.stack([x, y], axis=-1)), linewidths=width, alpha=opacity
    )
    if values is None:
        lines.set_color([tuple(color) for color in label_colors(np.arange(1, len(rois) + 1))[owners] / 255])
    else:
        lines.set_cmap(load_matplotlib().colormaps[cmap].with_extremes(bad=UNKNOWN))
        lines.set_array(np.ma.masked_invalid(values[owners]))
    return panel.add_collection(lines, autolim=False)


def line_style(sides: int, share: float) -> tuple[float, float]:
    """Return the width (points) and the opacity of outlines.

    Parameters
    ----------
    sides : int
        Sides of pixels that are drawn.
    share : float
        Of the picture that one of them covers, one point wide.

    Examples
    --------
    >>> line_style(500, 1e-4), line_style(40_000, 1e-4)
    ((1.0, 1.0), (0.25, 0.3))
    """
    covered = max(sides * share, 1e-9)
    width = min(1.0, max(THINNEST, COVERED / covered))
    return width, min(1.0, max(FAINTEST, COVERED / (covered * width)))


def _points_a_pixel(panel: Axes, image: xr.DataArray) -> float:
    """Return the share of a picture that a line of one pixel's side covers, one point wide."""
    width, height = np.asarray(panel.get_window_extent().size, float) / panel.figure.dpi * POINTS_AN_INCH
    down, across = (image.sizes[dim] for dim in PLANE)
    return float(1 / (across * height) + 1 / (down * width)) / 2


def _physical(image: xr.DataArray, dim: str, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return positions in pixels as the coordinate's."""
    first, last = extent_of(image, dim)
    return first + (positions + 0.5) * (last - first) / image.sizes[dim]
