"""Images as the page has them: axes in the order of OME-Zarr, tiles, channels with colours and contrast limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE, check_image
from xprep.dims.names import check_no_other_dims
from xprep.dims.spacing import line_of
from xprep.engine.running.regions import compute_region
from xprep.engine.sources.lazy import as_lazy
from xprep.io.ome_model import Axis, Channel, ContrastWindow, Level, Multiscale, make_axes
from xprep.ops.shown_channels import channel_labels, colors_of, wanted_channels
from xprep.types import Array, Region
from xprep.viewer.display import display_dtype, displayed, window_of_values
from xprep.viewer.resolutions import TILE, Resolutions
from xprep.viewer.units import shown_unit

ORDER: Final = ("t", "c", "z", "y", "x")
BLOCK_BYTES: Final = 32 * 2**20  # of a block, all channels together; one of a tile's edge may be larger
LOOKED_AT: Final = 2**22  # values that contrast limits are taken of, at most
MANY_CHANNELS: Final = 4  # of more, where nobody says which are shown at first, these are


@dataclass(frozen=True, eq=False)
class ShownLevel:
    """One resolution: lazy pixels in the order of OME-Zarr, cut in blocks of whole tiles with all channels."""

    data: Any
    dims: tuple[str, ...]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(map(int, self.data.shape))

    @property
    def tile(self) -> tuple[int, ...]:
        """Shape of a chunk of the virtual store."""
        return tuple(TILE if dim in PLANE else 1 for dim in self.dims)

    @cached_property
    def block(self) -> tuple[int, ...]:
        """Shape of what is computed at once: the chunks as they are, in whole tiles, as far as there is room."""
        wanted = {dim: max(chunks) for dim, chunks in zip(self.dims, self.data.chunks, strict=True)}
        edge = min(1024, -(-max(wanted[dim] for dim in PLANE) // TILE) * TILE)
        found = {"t": 1, "c": self.data.shape[self.dims.index("c")] if "c" in self.dims else 1, "z": wanted.get("z", 1)}
        room = BLOCK_BYTES // (found["c"] * max(self.dtype.itemsize, self.data.dtype.itemsize))
        found["z"] = max(1, min(found["z"], room // TILE**2))
        while edge > TILE and edge * edge * found["z"] > room:
            edge //= 2
        edge = max(TILE, edge // TILE * TILE)
        return tuple(edge if dim in PLANE else found[dim] for dim in self.dims)

    def region(self, block: Sequence[int]) -> Region:
        """Return where a block lies, by its index."""
        starts = [i * n for i, n in zip(block, self.block, strict=True)]
        return tuple(slice(a, min(a + n, length)) for a, n, length in zip(starts, self.block, self.shape, strict=True))

    def compute(self, region: Region, wanted: Any) -> Array:
        """Return a region as it is shown."""
        return displayed(compute_region(self.data, region, wanted), self.dtype)


@dataclass(frozen=True, eq=False)
class ShownImage:
    """One image, or label image, of the page.

    Attributes
    ----------
    name
        As the page calls it.
    levels
        Finest first.
    description
        The metadata of OME-Zarr: axes, levels, channels.
    remarks
        What the page says of it.
    is_label
        Whether it lies over the images.
    """

    name: str
    levels: tuple[ShownLevel, ...]
    description: Multiscale
    remarks: tuple[str, ...] = field(default=())
    is_label: bool = False

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return self.levels[0].dims


def shown_image(image: xr.DataArray, name: str, found: Resolutions, *, is_label: bool = False) -> ShownImage:
    """Return ``image`` as the page has it, at the resolutions ``found``.

    Raises
    ------
    ValueError
        Dims that no page shows.
    """
    dims = tuple(dim for dim in ORDER if dim in image.dims)
    dtype = display_dtype(image.dtype, is_label=is_label)
    levels = tuple(ShownLevel(as_lazy(one.transpose(*dims).data), dims, dtype) for one in found.levels)
    axes, units = _axes(image, dims)
    places = tuple(_placed(image, found, n, dims, units) for n in range(len(levels)))
    channels, remarks = ((), ()) if is_label else _channels(image, levels, name)
    description = Multiscale(axes=axes, levels=places, name=name, channels=channels)
    return ShownImage(name, levels, description, (*found.remarks, *remarks), is_label)


def check_shown(image: xr.DataArray, operation: str, *, is_label: bool = False) -> None:
    """Refuse what no page shows, before anything is computed.

    Raises
    ------
    ValueError, TypeError
        y or x is missing, other dims than t, c, z, y, x; values that are not real numbers, labels that are not whole.
    """
    check_image(image, operation)
    check_no_other_dims(image, operation)
    if is_label and image.dtype.kind not in "uib":
        raise TypeError(f"labels must be whole numbers; {str(image.name)!r} has {image.dtype}.")
    if is_label and CHANNEL in image.dims:
        raise ValueError(f"labels lie over all channels and have no dim 'c'; {str(image.name)!r} has {image.dims}.")


def _axes(image: xr.DataArray, dims: Sequence[str]) -> tuple[tuple[Axis, ...], dict[str, float]]:
    """Return the axes, in units that the page knows, and by what its coordinates are multiplied to be in them."""
    said = {dim: str(image.coords[dim].attrs.get("units", "")) for dim in dims if dim in image.coords}
    known = {dim: shown_unit(dim, unit) for dim, unit in said.items()}
    return make_axes(tuple(dims), {dim: unit for dim, (unit, _) in known.items()}), {dim: by for dim, (_, by) in known.items()}


def _placed(image: xr.DataArray, found: Resolutions, level: int, dims: Sequence[str], units: dict[str, float]) -> Level:
    """Return where the pixels of a level lie, by the coordinates of ``image`` itself."""
    factors = found.factors(level)
    scale, translation = [], []
    for dim in dims:
        step, first = _line(image, dim)
        factor, shift = factors.get(dim, 1.0), _shift(found.levels[0], found.levels[level], dim)
        scale.append(step * factor * units.get(dim, 1.0))
        translation.append((first + step * shift) * units.get(dim, 1.0))
    return Level(str(level), tuple(scale), tuple(translation))


def _line(image: xr.DataArray, dim: str) -> tuple[float, float]:
    """Return the step, never negative, and the first position along a dim; in pixels where no numbers say it evenly."""
    if dim == CHANNEL or dim not in image.coords or image.coords[dim].dtype.kind not in "iuf":
        return 1.0, 0.0
    coord = image.coords[dim]
    if coord.size == 1:
        return abs(float(coord.attrs.get("spacing", 1.0))) or 1.0, float(coord.values[0])
    line = line_of(coord.values)
    return (1.0, 0.0) if line is None else (abs(line.step), line.first)


def _shift(fine: xr.DataArray, coarse: xr.DataArray, dim: str) -> float:
    """Return where the first pixel of a coarse level lies, in pixels of the finest after its first."""
    line = line_of(fine.coords[dim].values) if dim in fine.coords else None
    if line is None or dim not in coarse.coords or fine is coarse:
        return 0.0
    return float((coarse.coords[dim].values[0] - line.first) / line.step)


def _channels(image: xr.DataArray, levels: Sequence[ShownLevel], name: str) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """Return how channels are shown: as the image says, and otherwise by the pixels of the coarsest level."""
    told, labels, colors = wanted_channels(image), channel_labels(image), colors_of(image)
    count, says = len(labels), any(one is not None for one in told)
    remarks: tuple[str, ...] = ()
    values: Array | None = None
    if any(one is None or one.window is None for one in told):
        try:
            values = _sample(levels[-1])
        except Exception as error:  # noqa: BLE001  (whatever a store or a graph raises; the tile will raise it once more)
            remarks = (f"{name}: contrast limits are not known, because pixels could not be read: {error}",)
    found = []
    for n in range(count):
        one = told[n]
        window = None if one is None else one.window
        is_shown = one.active if one is not None else says or count <= MANY_CHANNELS or n < MANY_CHANNELS
        found.append(Channel(labels[n], colors[n], window or _window(values, n, levels[0]), is_shown))
    return tuple(found), remarks


def _window(values: Array | None, n: int, level: ShownLevel) -> ContrastWindow:
    """Return contrast limits of a channel by ``values``, whose first axis are the channels; of none, those of the type."""
    found = None if values is None else window_of_values(values[n])
    if found is not None:
        return found
    high = float(np.iinfo(level.dtype).max) if level.dtype.kind in "iu" else 1.0
    return ContrastWindow(0.0, high, 0.0, high)


def _sample(level: ShownLevel) -> Array:
    """Return pixels of the middle of a level, at most `LOOKED_AT` unless one tile has more: channels, and their pixels."""
    count = level.shape[level.dims.index(CHANNEL)] if CHANNEL in level.dims else 1
    edge = max(TILE, int((LOOKED_AT / count) ** 0.5))
    region = []
    for dim, length in zip(level.dims, level.shape, strict=True):
        size = count if dim == CHANNEL else min(length, edge if dim in PLANE else 1)
        start = (length - size) // 2
        region.append(slice(start, start + size))
    found = level.compute(tuple(region), lambda: True)
    if CHANNEL not in level.dims:
        return found.reshape(1, -1)
    moved = np.moveaxis(found, level.dims.index(CHANNEL), 0)
    return moved.reshape(count, prod(moved.shape[1:]))
