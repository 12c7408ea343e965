"""From named dims to axes in one order, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xprep.engine.lazy import as_lazy, is_lazy
from xprep.engine.sources import arrange, pick

PLANE = ("y", "x")
SPACE = ("z", "y", "x")
CHANNEL = "c"


@dataclass(frozen=True)
class Layout:
    """The axes of an image as operations want them: the channel first, y and x last, the others between.

    ``axes[i]`` is the image's axis that comes at place i, None where the image has no such dim.
    """

    dims: tuple[str, ...]
    axes: tuple[int | None, ...]

    @property
    def back(self) -> tuple[int, ...]:
        """Place of each of the image's own axes."""
        return tuple(self.axes.index(axis) for axis in range(len(self.axes) - self.axes.count(None)))

    def size_of(self, dim: str, image: xr.DataArray) -> int:
        """Return the length of ``dim``, 1 where the image lacks it."""
        return int(image.sizes.get(dim, 1))


def layout_of(image: xr.DataArray) -> Layout:
    """Return the order ``c, others…, y, x`` for ``image``."""
    others = [str(dim) for dim in image.dims if dim not in (CHANNEL, *PLANE)]
    dims = (CHANNEL, *others, *PLANE)
    found = list(map(str, image.dims))
    return Layout(dims, tuple(found.index(dim) if dim in found else None for dim in dims))


def arranged(image: xr.DataArray, layout: Layout) -> Any:
    """Return the image's data as a lazy array in the order of ``layout``."""
    return arrange(as_lazy(image.data), layout.axes)


def check_image(image: xr.DataArray, operation: str, needed: Sequence[str] = PLANE) -> None:
    """Refuse what no operation can work on.

    Raises
    ------
    ValueError
        A needed dim is missing, or an axis is empty.
    TypeError
        The values are not numbers.
    """
    missing = [dim for dim in needed if dim not in image.dims]
    if missing:
        raise ValueError(
            f"{operation} needs the dim{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}, but the image has "
            f"{tuple(image.dims)}. Rename its dims, e.g. image.rename({{'dim_0': 'y', 'dim_1': 'x'}})."
        )
    if image.dtype.kind not in "buif":
        raise TypeError(
            f"{operation} works on real numbers; the image is of {image.dtype}. "
            f"Convert it first, e.g. image.astype('float32')" + (" or abs(image)." if image.dtype.kind == "c" else ".")
        )
    if image.size == 0:
        raise ValueError(f"{operation} got an image without pixels: {dict(image.sizes)}.")


def check_dims(names: Sequence[Any], image: xr.DataArray, argument: str) -> None:
    """Refuse dims that the image does not have.

    Raises
    ------
    ValueError
        ``names`` holds a dim which is not the image's.
    """
    unknown = [name for name in names if name not in image.dims]
    if unknown:
        raise ValueError(f"{argument} names the dim {unknown[0]!r}, but the image has {tuple(image.dims)}.")


def channel_names(image: xr.DataArray) -> tuple[Any, ...]:
    """Return the names of the channels: the coordinate's, positions where there is none, one 0 where there is no dim."""
    if CHANNEL not in image.dims:
        return (0,)
    if CHANNEL in image.coords:
        return tuple(image.coords[CHANNEL].values.tolist())
    return tuple(range(image.sizes[CHANNEL]))


def channel_positions(image: xr.DataArray, channels: Any, argument: str = "channels") -> tuple[int, ...]:
    """Return the positions of ``channels``, which are names, or positions where the channel dim has no coordinate.

    Raises
    ------
    ValueError
        The image has no channel dim.
    KeyError
        There is no such channel.
    """
    names = channel_names(image)
    if channels is None:
        return tuple(range(len(names)))
    if CHANNEL not in image.dims:
        raise ValueError(f"{argument}={channels!r} was given, but the image has no dim 'c': {tuple(image.dims)}.")
    wanted = [channels] if np.ndim(channels) == 0 else list(np.asarray(channels, dtype=object))
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise KeyError(f"{argument} names {unknown[0] if unknown else 'no channel'!r}; the image has {list(names)}.")
    return tuple(names.index(name) for name in wanted)


def chunks_for(image: xr.DataArray, chunks: Any) -> tuple[int, ...]:
    """Return one chunk length a dim from ``chunks``: a mapping by dim, one number for y and x, or a number a dim.

    Raises
    ------
    ValueError
        A dim is unknown, a length is not positive, or there are not as many lengths as dims.
    """
    lengths = {dim: _first_chunk(image, dim) for dim in image.dims}
    if isinstance(chunks, Mapping):
        check_dims(list(chunks), image, "chunks")
        lengths.update(chunks)
    elif isinstance(chunks, int):
        lengths.update({dim: chunks for dim in PLANE if dim in image.dims})
    elif len(chunks) != image.ndim:
        raise ValueError(f"chunks has {len(chunks)} lengths for the dims {tuple(image.dims)}; give one a dim, or a mapping.")
    else:
        lengths = dict(zip(image.dims, chunks, strict=True))
    bad = {dim: n for dim, n in lengths.items() if not isinstance(n, int | np.integer) or n == 0 or n < -1}
    if bad:
        raise ValueError(f"chunks must be positive whole numbers (-1 for a whole dim); got {bad}.")
    return tuple(int(image.sizes[dim] if n == -1 else min(n, image.sizes[dim])) for dim, n in lengths.items())


def _first_chunk(image: xr.DataArray, dim: Any) -> int:
    return int(image.chunksizes[dim][0]) if dim in image.chunksizes else int(image.sizes[dim])


def pick_channels(image: xr.DataArray, positions: Sequence[int]) -> xr.DataArray:
    """Return some channels of ``image``, in this order; an image that can be read again still can."""
    axis = int(image.get_axis_num(CHANNEL))
    coords = {
        name: coord.isel({CHANNEL: list(positions)}) if CHANNEL in coord.dims else coord for name, coord in image.coords.items()
    }
    data = pick(as_lazy(image.data), axis, positions) if is_lazy(image.data) else np.take(image.data, list(positions), axis=axis)
    return xr.DataArray(data, coords=coords, dims=image.dims, attrs=image.attrs).rename(image.name)
