"""What all pictures share: which image is drawn, where its pixels lie, how many of them, and in which greys."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.dims.axes import CHANNEL, PLANE, SPACE, check_image
from xprep.dims.containers.apply import find_images, spell_name
from xprep.dims.containers.roles import says_labels
from xprep.dims.lengths import metres
from xprep.dims.spacing import spacing
from xprep.dims.voxel_sizes import unit_of
from xprep.images.opening.coarser_levels import fitting_level
from xprep.plot.colors import label_colors
from xprep.plot.library import load_matplotlib
from xprep.switches import check_switch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_PIXELS = 1200  # along an axis of a picture: what a screen shows, and all that is drawn
WINDOW = (0.5, 99.8)  # percentiles of a picture that are its darkest and its brightest grey
SYMBOLS = {1e-6: "µm", 1e-9: "nm", 1e-3: "mm", 1e-2: "cm", 1.0: "m", 1e-10: "Å"}


def drawable(image: Any, operation: str, needed: Sequence[str], *, finest: bool = False) -> xr.DataArray:
    """Return the one image to draw, without dims of one position besides z, y, x and c.

    Of a pyramid, and of an image that was opened from one, it is the level that fits a picture, unless the ``finest`` is
    wanted, in whose pixels positions are.
    """
    found = find_images(image)
    if len(found) != 1:
        names = ", ".join(repr(spell_name(one.key)) for one in found[:3])
        raise ValueError(
            f"{operation} draws one image, and there are {len(found)} here: {names} … Choose one, e.g. data['image']."
        )
    array = found[0].array if finest else _level([one.array for one in found[0].levels])
    check_image(array, operation, needed)
    others = [dim for dim in array.dims if dim not in (CHANNEL, *SPACE)]
    if long := [dim for dim in others if array.sizes[dim] > 1]:
        raise ValueError(
            f"{operation} draws c, z, y and x; choose a position of {long[0]!r} first, e.g. image.isel({long[0]}=0)."
        )
    array = array if finest else fitting_level(array, MOST_PIXELS)
    return array.isel(dict.fromkeys(others, 0)) if others else array


def _level(levels: Sequence[xr.DataArray]) -> xr.DataArray:
    """Return the coarsest level that has a picture's pixels, or the finest."""
    enough = (level for level in reversed(levels) if max(level.sizes.get(dim, 0) for dim in PLANE) >= MOST_PIXELS)
    return next(enough, levels[0])


def are_labels(image: xr.DataArray, labels: bool | None) -> bool:
    """Whether values are labels: as was said, or by their type."""
    labels = check_switch(labels, "labels", None)
    if labels is not None:
        return labels
    return image.dtype.kind == "b" or (image.dtype.kind in "iu" and (image.dtype.itemsize >= 4 or says_labels(image.attrs)))


def show(
    panel: Axes,
    picture: NDArray[Any],
    image: xr.DataArray,
    dims: Sequence[str],
    window: tuple[float, float] | None,
    cmap: str | None,
) -> Any:
    """Draw a picture (down, across) where its coordinates say: greys in ``window``, labels without one."""
    (top, bottom), (left, right) = (extent_of(image, dim) for dim in dims)
    options: dict[str, Any] = {"extent": (left, right, bottom, top), "aspect": "equal"}
    panel.set_xlabel(_axis_label(image, dims[1]))
    panel.set_ylabel(_axis_label(image, dims[0]))
    if window is None:
        return panel.imshow(label_colors(picture), interpolation="nearest", **options)
    return panel.imshow(picture.astype(np.float32), cmap=cmap, vmin=window[0], vmax=window[1], **options)


def fewer_pixels(picture: NDArray[Any]) -> NDArray[Any]:
    """Take the maximum of blocks, as of everything behind a pixel, until a picture fits a screen."""
    for axis, length in enumerate(picture.shape):
        if length > MOST_PIXELS:
            picture = np.maximum.reduceat(picture, np.arange(0, length, ceil(length / MOST_PIXELS)), axis=axis)
    return picture


def window_of(*pictures: NDArray[Any]) -> tuple[float, float]:
    """Return the darkest and the brightest grey of what is drawn together."""
    values = np.concatenate([picture[np.isfinite(picture)] for picture in pictures])
    low, high = np.percentile(values.astype(np.float32), WINDOW) if values.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1


def extent_of(image: xr.DataArray, dim: str) -> tuple[float, float]:
    """Return the outer edges of the first and the last voxel; pixels where there is no coordinate."""
    step = _step(image, dim)
    if step is None:
        return -0.5, image.sizes[dim] - 0.5
    first = float(image.coords[dim].values[0])
    return first - step / 2, first + (image.sizes[dim] - 0.5) * step


def lengths_of(image: xr.DataArray) -> dict[str, float]:
    """Return how long an image is along its dims of space."""
    return {dim: abs(np.subtract(*extent_of(image, dim))) for dim in SPACE if dim in image.dims}


def _step(image: xr.DataArray, dim: str) -> float | None:
    try:
        return spacing(image, dim)
    except ValueError:
        return None


def length_symbol(image: xr.DataArray, dim: str) -> str | None:
    """Return the symbol of the unit of length that a dim's coordinate has; None without one, or without even steps."""
    unit = unit_of(image, dim) if _step(image, dim) is not None else None
    length = metres(unit)
    return next((symbol for size, symbol in SYMBOLS.items() if abs(length / size - 1) < 1e-9), unit) if length else None


def _axis_label(image: xr.DataArray, dim: str) -> str:
    unit = unit_of(image, dim) if _step(image, dim) is not None else "pixels"
    symbol = length_symbol(image, dim) or unit
    return f"{dim} [{symbol}]" if symbol else dim


def new_figure(width: float, height: float) -> Figure:
    """Return a new figure of so many inches."""
    figure: Figure = load_matplotlib("pyplot").figure(figsize=(width, height), layout="constrained")
    return figure


def finished(figure: Figure | SubFigure) -> Figure | SubFigure:
    """Close a figure that a notebook would show twice: as what a cell returns, and as an open figure."""
    pyplot = load_matplotlib("pyplot")
    if "inline" in pyplot.get_backend() and not hasattr(figure, "get_subplotspec"):
        pyplot.close(figure)
    return figure


def check_figure(figure: Any) -> Any:
    """Return a figure of matplotlib, or None.

    Raises
    ------
    TypeError
        It is neither.
    """
    if figure is not None and not hasattr(figure, "subplots"):
        raise TypeError(f"figure must be a figure of matplotlib, a part of one, or None; got {figure!r}.")
    return figure


def check_cmap(cmap: Any) -> None:
    """Refuse what is no colour map.

    Raises
    ------
    ValueError, TypeError
        A name that matplotlib does not know; no name.
    """
    from matplotlib import colormaps  # noqa: PLC0415  (matplotlib is optional)
    from matplotlib.colors import Colormap  # noqa: PLC0415

    if not isinstance(cmap, str | Colormap | None):
        raise TypeError(f"cmap must be a colour map of matplotlib or the name of one; got {cmap!r}.")
    if isinstance(cmap, str) and cmap not in colormaps:
        raise ValueError(f"cmap must be a colour map of matplotlib, such as 'viridis'; got {cmap!r}.")
