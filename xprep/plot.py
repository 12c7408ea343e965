"""Pictures in physical units. The only place that knows matplotlib, which is imported when something is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.ops.containers import images_of
from xprep.ops.layout import CHANNEL, PLANE, SPACE, channel_names, check_image
from xprep.ops.project import project
from xprep.ops.rescale import rescale
from xprep.ops.units import metres, spacing, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_PIXELS = 1200  # along an axis of a picture: what a screen shows, and all that is drawn
WINDOW = (0.5, 99.8)  # percentiles of a picture that are its darkest and its brightest grey
SIDES = {"z": ("y", "x"), "x": ("y", "z"), "y": ("z", "x")}  # what is down and across, looking along a dim
SYMBOLS = {1e-6: "µm", 1e-9: "nm", 1e-3: "mm", 1e-2: "cm", 1.0: "m", 1e-10: "Å"}


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
        Dims z, y and x in any order, and ``c``, a row of pictures a channel. A Dataset has to hold one image. Of a DataTree (a
        pyramid, as `open_tree` gives it) the smallest level is drawn that has as many pixels as a picture.
    labels : bool, optional
        Whether values are labels, each drawn in a colour of its own, always the same; by default integers of 32 or 64 bits
        and booleans are.
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
    ValueError
        There is no z, a dim other than c, z, y, x has more than one position, or there are several images.

    Notes
    -----
    The volume is read once, chunk by chunk; only the pictures are held, of at most 1200 pixels an axis. Greys go from the 0.5th
    to the 99.8th percentile of a channel's three pictures.
    """
    volume = _drawable(image, "plot_projections", SPACE)
    dims = [dim for dim in (CHANNEL, *SPACE) if dim in volume.dims]
    sides = {dim: project(volume.transpose(*dims), dim, "max") for dim in SPACE}
    pictures = xr.Dataset({dim: side.variable for dim, side in sides.items()}).compute()
    as_labels = _are_labels(volume, labels)
    figure = figure or _new_figure(*_orthogonal_size(volume))
    for i, (row, name) in enumerate(_rows(figure, volume)):
        axes = _orthogonal_axes(row, volume)
        mine = pictures.isel({CHANNEL: i} if CHANNEL in volume.dims else {})
        drawn = {dim: _fewer_pixels(mine[dim].transpose(*down_across).values) for dim, down_across in SIDES.items()}
        window = _window(*drawn.values())
        for dim, picture in drawn.items():
            _show(axes[dim], picture, volume, SIDES[dim], None if as_labels else window, cmap)
        axes["z"].set_title(name)
    return _finished(figure)


def plot_channels(
    image: xr.DataArray | xr.Dataset | xr.DataTree,
    *,
    labels: bool | None = None,
    cmap: str = "gray",
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw every channel of an image beside the others, in physical units and true aspect, with its scale of values.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims y and x, and ``c``; a stack is projected along z (maximum). Otherwise as for `plot_projections`.
    labels, cmap, figure
        As for `plot_projections`.

    Returns
    -------
    Figure or SubFigure
        A panel a channel, named by the coordinate of ``c``.

    Raises
    ------
    ValueError
        A dim other than c, z, y, x has more than one position, or there are several images.

    Notes
    -----
    An image of more than 1200 pixels an axis is shrunk first, averaging (labels: by nearest pixel), and read once, chunk by chunk.
    """
    stack = _drawable(image, "plot_channels", PLANE)
    as_labels = _are_labels(stack, labels)
    flat = project(stack, "z", "max") if "z" in stack.dims else stack
    pictures = _shrunk(flat, as_labels).compute()
    names = channel_names(stack) if CHANNEL in stack.dims else (stack.name or "",)
    columns = ceil(sqrt(len(names)))
    figure = figure or _new_figure(*_panel_size(flat, columns, ceil(len(names) / columns)))
    panels = figure.subplots(ceil(len(names) / columns), columns, squeeze=False, sharex=True, sharey=True).ravel()
    for i, name in enumerate(names):
        picture = (pictures.isel({CHANNEL: i}) if CHANNEL in stack.dims else pictures).transpose(*PLANE).values
        drawn = _show(panels[i], picture, flat, PLANE, None if as_labels else _window(picture), cmap)
        panels[i].set_title(str(name))
        panels[i].tick_params(labelbottom=True, labelleft=True)
        if not as_labels:
            figure.colorbar(drawn, ax=panels[i], shrink=0.8, label=str(stack.attrs.get("units", "")))
    for panel in panels[len(names) :]:
        panel.remove()
    return _finished(figure)


def label_colors(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a colour for every label: black for 0, and otherwise one that depends on nothing but the label.

    Parameters
    ----------
    labels : integers or booleans, any shape

    Returns
    -------
    uint8, the same shape and an axis for red, green and blue
        Neighbouring labels lie far apart: the hue goes on by the golden angle, and brightness and saturation take turns.

    Examples
    --------
    >>> label_colors(np.array([0, 1, 2, 1])).tolist()
    [[0, 0, 0], [128, 77, 255], [195, 217, 33], [128, 77, 255]]
    """
    from matplotlib.colors import hsv_to_rgb  # noqa: PLC0415  (matplotlib is optional)

    found, where = np.unique(labels, return_inverse=True)
    number = found.astype(np.float64)
    hue = (number * 0.6180339887498949 + 0.08) % 1
    saturation = np.array([0.85, 0.7, 0.55])[(number % 3).astype(int)]
    value = np.array([1.0, 0.85])[(number // 3 % 2).astype(int)]
    colors = np.rint(255 * hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))).astype(np.uint8)
    colors[found == 0] = 0
    return colors[where.reshape(labels.shape)]  # type: ignore[no-any-return]


def _drawable(image: Any, operation: str, needed: Sequence[str]) -> xr.DataArray:
    """Return the one image to draw, without dims of one position besides z, y, x and c."""
    every = images_of(image)
    found = [array for (node, _), array in every.items() if "labels" not in node.split("/")] or list(every.values())
    if isinstance(image, xr.DataTree):
        found = _level(found)
    if len(found) != 1:
        raise ValueError(f"{operation} draws one image, and there are {len(found)} here. Choose one, e.g. data['image'].")
    array = found[0]
    check_image(array, operation, needed)
    others = [dim for dim in array.dims if dim not in (CHANNEL, *SPACE)]
    if long := [dim for dim in others if array.sizes[dim] > 1]:
        raise ValueError(f"{operation} draws c, z, y and x; choose a position of {long[0]!r} first, e.g. image.isel({long[0]}=0).")
    return array.isel(dict.fromkeys(others, 0))


def _level(images: Sequence[xr.DataArray]) -> list[xr.DataArray]:
    """Return the smallest level that has a picture's pixels, or the largest; all images where these are no levels of one."""
    if len({(image.name, image.dims) for image in images}) > 1:
        return list(images)
    by_size = sorted(images, key=lambda image: image.size)
    return [next((image for image in by_size if max(image.sizes[dim] for dim in PLANE) >= MOST_PIXELS), by_size[-1])]


def _shrunk(image: xr.DataArray, as_labels: bool) -> xr.DataArray:
    factors = {dim: MOST_PIXELS / image.sizes[dim] for dim in PLANE if image.sizes[dim] > MOST_PIXELS}
    if not factors:
        return image
    return rescale(image, factors, order=0) if as_labels else rescale(image, factors, anti_alias=True)


def _are_labels(image: xr.DataArray, labels: bool | None) -> bool:
    if labels is not None:
        return labels
    return image.dtype.kind == "b" or (image.dtype.kind in "iu" and image.dtype.itemsize >= 4)


def _show(
    panel: Axes, picture: NDArray[Any], image: xr.DataArray, dims: Sequence[str], window: tuple[float, float] | None, cmap: str
) -> Any:
    """Draw a picture (down, across) at the place that the coordinates give it: greys in ``window``, labels without one."""
    (top, bottom), (left, right) = (_extent(image, dim) for dim in dims)
    options: dict[str, Any] = {"extent": (left, right, bottom, top), "aspect": "equal"}
    panel.set_xlabel(_axis_label(image, dims[1]))
    panel.set_ylabel(_axis_label(image, dims[0]))
    if window is None:
        return panel.imshow(label_colors(picture), interpolation="nearest", **options)
    return panel.imshow(picture.astype(np.float32), cmap=cmap, vmin=window[0], vmax=window[1], **options)


def _fewer_pixels(picture: NDArray[Any]) -> NDArray[Any]:
    """Take the maximum of blocks, as of everything behind a pixel, until a picture fits a screen."""
    for axis, length in enumerate(picture.shape):
        if length > MOST_PIXELS:
            picture = np.maximum.reduceat(picture, np.arange(0, length, ceil(length / MOST_PIXELS)), axis=axis)
    return picture


def _window(*pictures: NDArray[Any]) -> tuple[float, float]:
    values = np.concatenate([picture[np.isfinite(picture)] for picture in pictures])
    low, high = np.percentile(values.astype(np.float32), WINDOW) if values.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1


def _extent(image: xr.DataArray, dim: str) -> tuple[float, float]:
    """Return the outer edges of the first and the last voxel; pixels where there is no coordinate."""
    step = _step(image, dim)
    if step is None:
        return -0.5, image.sizes[dim] - 0.5
    first = float(image.coords[dim].values[0])
    return first - step / 2, first + (image.sizes[dim] - 0.5) * step


def _step(image: xr.DataArray, dim: str) -> float | None:
    try:
        return spacing(image, dim)
    except ValueError:
        return None


def _axis_label(image: xr.DataArray, dim: str) -> str:
    unit = unit_of(image, dim) if _step(image, dim) is not None else "pixels"
    length = metres(unit)
    symbol = next((symbol for size, symbol in SYMBOLS.items() if length and abs(length / size - 1) < 1e-9), unit)
    return f"{dim} [{symbol}]" if symbol else dim


def _rows(figure: Figure | SubFigure, image: xr.DataArray) -> list[tuple[Any, str]]:
    """Return a part of the figure for every channel, and its title."""
    if CHANNEL not in image.dims:
        return [(figure, str(image.name or ""))]
    names = channel_names(image)
    return list(zip(np.atleast_1d(figure.subfigures(len(names), 1)), map(str, names), strict=True))


def _orthogonal_axes(figure: Figure | SubFigure, image: xr.DataArray) -> Mapping[str, Axes]:
    """Return the axes of the three sides, as wide and high as their dims are long: one unit is one length everywhere."""
    lengths = _lengths(image)
    depth = max(lengths["z"], 0.15 * max(lengths.values()))  # a thin stack still has room for its ticks
    grid = figure.add_gridspec(2, 2, width_ratios=[lengths["x"], depth], height_ratios=[lengths["y"], depth])
    front = figure.add_subplot(grid[0, 0])
    side = figure.add_subplot(grid[0, 1], sharey=front)
    below = figure.add_subplot(grid[1, 0], sharex=front)
    if lengths["z"] < 0.1 * max(lengths.values()):  # no room for two numbers
        middle = [float(np.mean(_extent(image, "z")))]
        side.set_xticks(middle)
        below.set_yticks(middle)
    return {"z": front, "x": side, "y": below}


def _lengths(image: xr.DataArray) -> dict[str, float]:
    return {dim: abs(np.subtract(*_extent(image, dim))) for dim in SPACE if dim in image.dims}


def _orthogonal_size(image: xr.DataArray) -> tuple[float, float]:
    """Return inches: 6 for the longer side of the three pictures together, and room for labels."""
    lengths = _lengths(image)
    width, height = lengths["x"] + lengths["z"], lengths["y"] + lengths["z"]
    scale = 6 / max(width, height)
    return max(3.0, width * scale) + 1.4, (max(2.4, height * scale) + 1.0) * image.sizes.get(CHANNEL, 1)


def _panel_size(image: xr.DataArray, columns: int, rows: int) -> tuple[float, float]:
    lengths = _lengths(image)
    aspect = min(3.0, max(1 / 3, lengths["y"] / lengths["x"]))
    width = 12 / max(3, columns)
    return columns * (width + 0.9), rows * (width * aspect + 0.8)


def _new_figure(width: float, height: float) -> Figure:
    from matplotlib import pyplot  # noqa: PLC0415  (matplotlib is optional)

    return pyplot.figure(figsize=(width, height), layout="constrained")


def _finished(figure: Figure | SubFigure) -> Figure | SubFigure:
    """A notebook shows what a cell returns, and every open figure besides: not the same one twice."""
    from matplotlib import get_backend, pyplot  # noqa: PLC0415  (matplotlib is optional)

    if "inline" in get_backend() and not hasattr(figure, "get_subplotspec"):
        pyplot.close(figure)  # type: ignore[arg-type]
    return figure
