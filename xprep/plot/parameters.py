"""One crop under several parameters of `normalize`, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Final

import xarray as xr

from xprep.arguments import check_mapping
from xprep.dims.axes import CHANNEL, PLANE
from xprep.dims.channel_titles import channel_titles
from xprep.dims.channels import channel_names, channel_positions
from xprep.dims.parameters import plane_sigmas, working_dtype
from xprep.ops.fit import check_seed, fit_normalize
from xprep.ops.fit_sampling import few_chunks
from xprep.ops.normalize import normalize
from xprep.plot.comparison import draw_with_nan
from xprep.plot.library import load_matplotlib
from xprep.plot.panels import drawable, finished, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHUNKS: Final = 30  # that statistics are taken of, where the image has more
SIDE: Final = 512


def compare(
    image: xr.DataArray | xr.Dataset | xr.DataTree,
    parameters: Sequence[Mapping[str, Any]],
    *,
    channel: Any = None,
    crop: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Figure:
    """Draw one crop of a channel, as it is and under several parameters of `normalize`: to choose them before an hour's run.

    Only the tiles of the crop are read, and 30 chunks of the image, drawn over all of it, for the statistics. So these are
    approximate, and the title says so; an image of fewer chunks is read whole.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        One image, with dims y and x, and c and z.
    parameters : sequence of mappings
        Of each picture the arguments of `normalize`: ``[{"p": 99}, {"p": 99.9, "sigma": 1}]``. With ``statistics``, these
        count, and no chunk is read for others.
    channel : optional
        Name or position of the channel; by default the first that is normalised.
    crop : mapping, optional
        Slices of pixels along y and x, a whole number for z: ``{"y": slice(0, 512), "x": slice(0, 512), "z": 3}``. By default
        512 × 512 pixels in the middle, of the middle plane.
    seed : int
        Of the random draw.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for the image, and one for each entry of ``parameters``. Pixels that are left out (NaN) are dark red.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        There are no parameters, or several images; a crop of an unknown dim, or of nothing.
    KeyError
        An unknown channel.
    TypeError
        Parameters that `normalize` does not have.

    Examples
    --------
    >>> import xprep
    >>> image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    >>> figure = image.prep.compare([{"sigma": 0}, {"sigma": 2, "p_sum": 20}], channel="marker 2")
    >>> [panel.get_title() for panel in figure.axes][:3]
    ['marker 2', 'sigma=0', 'sigma=2, p_sum=20']
    """
    load_matplotlib()
    sets, seed = _checked(parameters), check_seed(seed)
    one = drawable(image, "compare", PLANE, finest=True)
    place = _crop(one, crop)
    position = 0 if channel is None else channel_positions(one, [channel], "channel")[0]
    title = channel_titles(channel_names(one))[position] if CHANNEL in one.dims else str(one.name or "image")
    plain = one.isel({CHANNEL: position}) if CHANNEL in one.dims else one
    results = [_normalized(one, given, seed, place) for given in sets]
    pictures = [plain.isel(place), *(_channel(result, title, channel) for result, _ in results)]
    about = "; ".join(dict.fromkeys(text for _, text in results if text))
    return _drawn([picture.transpose(*PLANE).compute() for picture in pictures], [title, *map(_spelled, sets)], about)


def _checked(parameters: Any) -> list[dict[str, Any]]:
    listed = isinstance(parameters, list | tuple)
    if not listed or not all(isinstance(one, Mapping) for one in parameters):
        raise TypeError(f"parameters must be a list of mappings, such as [{{'p': 99}}, {{'p': 99.9}}]; got {parameters!r}.")
    if not parameters:
        raise ValueError("parameters is empty; give what `normalize` is to be called with, e.g. [{'p': 99}, {'p': 99.9}].")
    return [dict(one) for one in parameters]


def _crop(image: xr.DataArray, crop: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(check_mapping(crop, "crop", "{'y': slice(0, 512), 'x': slice(0, 512)}"))
    if unknown := [dim for dim in given if dim not in image.dims or dim == CHANNEL]:
        raise ValueError(f"crop names {unknown[0]!r}, which is not one of z, y and x of the image: it has {tuple(image.dims)}.")
    found: dict[str, Any] = {}
    for dim in (str(dim) for dim in image.dims if dim != CHANNEL):
        middle = image.sizes[dim] // 2
        own = slice(max(0, middle - SIDE // 2), middle + SIDE // 2) if dim in PLANE else middle
        found[dim] = given.get(dim, own)
        if isinstance(found[dim], slice) and found[dim].step not in (None, 1):
            raise ValueError(f"crop[{dim!r}] must be a slice without steps; got {found[dim]!r}.")
        if isinstance(found[dim], slice) is not (dim in PLANE):
            raise ValueError(f"crop[{dim!r}] must be a {'slice' if dim in PLANE else 'whole number'}; got {found[dim]!r}.")
        if dim in PLANE and not range(*found[dim].indices(image.sizes[dim])):
            raise ValueError(f"crop[{dim!r}]={found[dim]!r} holds no pixel of the {image.sizes[dim]} along {dim}.")
    return found


def _normalized(
    image: xr.DataArray, given: Mapping[str, Any], seed: int, place: Mapping[str, Any]
) -> tuple[xr.DataArray, str]:
    """Return the lazy result at a place, and what its statistics were taken of."""
    if given.get("statistics") is not None:
        return normalize(image, **given).isel(place), ""
    fit = {name: value for name, value in given.items() if name not in ("chunks", "statistics")}
    some = few_chunks(image, working_dtype(fit.get("dtype", "float32"), image.dtype), CHUNKS, seed)
    fitted = fit_normalize(image if some is None else some, **fit)
    how = {name: given[name] for name in ("chunks", "intermediates") if name in given}
    part, inner = _surrounded(image, _largest(fitted, image), place)
    text = "" if some is None else f"statistics of {CHUNKS} chunks (seed {seed})"
    return normalize(part, statistics=fitted, **how).isel(inner), text


def _largest(fitted: xr.Dataset, image: xr.DataArray) -> float:
    """Return the largest sigma of a fit, in pixels of an image."""
    sigma = json.loads(fitted.attrs["parameters"])["sigma"]
    each = sigma if isinstance(sigma, list) else [sigma]
    return max(plane_sigmas(one or 0, image)["y"] for one in each)


def _surrounded(image: xr.DataArray, sigma: float, place: Mapping[str, Any]) -> tuple[xr.DataArray, dict[str, Any]]:
    """Return the part of an image that a blur at a place reaches to, and where the place is in it."""
    reach = ceil(4 * sigma) + 1
    outer: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for dim, one in place.items():
        if isinstance(one, slice):
            start, stop, _ = one.indices(image.sizes[dim])
            first = max(0, start - reach)
            outer[dim], inner[dim] = slice(first, stop + reach), slice(start - first, stop - first)
        else:
            outer[dim] = one
    return image.isel(outer), inner


def _channel(result: xr.DataArray, title: str, channel: Any) -> xr.DataArray:
    if CHANNEL not in result.dims:
        return result
    titles = channel_titles(channel_names(result))
    if channel is not None and title not in titles:
        raise KeyError(f"channel={channel!r} is not among the channels {list(titles)} that are normalised.")
    return result.isel({CHANNEL: titles.index(title) if title in titles else 0})


def _spelled(given: Mapping[str, Any]) -> str:
    shown = {name: "…" if name == "statistics" and not isinstance(value, str) else value for name, value in given.items()}
    return ", ".join(f"{name}={value!r}" for name, value in shown.items()) or "the defaults"


def _drawn(pictures: Sequence[xr.DataArray], titles: Sequence[str], about: str) -> Figure:
    height, width = pictures[0].shape
    figure = new_figure(4.5 * len(pictures), max(2.0, 4.0 * height / width) + 0.6)
    for panel, picture, title in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures, titles, strict=True):
        draw_with_nan(panel, picture, title)
    if about:
        figure.suptitle(about, fontsize=8)
    finished(figure)
    return figure
