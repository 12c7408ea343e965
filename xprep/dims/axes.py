"""From named dims to axes in one order, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.arguments import check_listed
from xprep.dims.labelled import ByLabel, labelled
from xprep.dims.names import CHANNEL, PLANE, SPACE, check_named
from xprep.dims.values import check_real
from xprep.engine.sources.lazy import as_lazy, check_known
from xprep.engine.sources.readable import arrange

__all__ = [
    "CHANNEL", "PLANE", "SPACE", "Layout", "arranged", "check_chunks", "check_dims", "check_image", "chunks_for", "layout_of",
]  # fmt: skip


_CHUNKS: Final = "a number of pixels, a mapping by dim, or a number a dim"


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
    """Refuse what no operation can work on. Every operation looks at every image with this, first of all.

    Raises
    ------
    ValueError
        A needed dim is missing, a dim has another tool's name, the length of an axis is not known, or an axis is empty.
    TypeError
        The values are not real numbers of at most 64 bits.
    """
    check_named(image, operation, needed)
    check_known(image.data, operation)
    check_real(image.dtype, operation)
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


def chunks_for(image: xr.DataArray, chunks: Any, name: str = "chunks") -> tuple[int, ...]:
    """Return one chunk length a dim from ``chunks``: a mapping by dim, one number for y and x, or a number a dim.

    ``name`` is the argument that errors speak of.

    Raises
    ------
    ValueError
        A dim is unknown, a length is not positive, or there are not as many lengths as dims.
    """
    lengths = {dim: _first_chunk(image, dim) for dim in image.dims}
    given = labelled(chunks, name, "dim")
    if isinstance(given, ByLabel):
        check_dims(given.labels, image, name)
        lengths.update(given.mapping(name))
    elif isinstance(given, int) and not isinstance(given, bool):
        lengths.update({dim: given for dim in PLANE if dim in image.dims})
    elif len(check_listed(chunks, name, _CHUNKS)) != image.ndim:
        raise ValueError(f"{name} has {len(chunks)} lengths for the dims {tuple(image.dims)}; give one a dim, or a mapping.")
    else:
        lengths = dict(zip(image.dims, chunks, strict=True))
    if bad := {dim: n for dim, n in lengths.items() if not _is_chunk(n)}:
        raise ValueError(f"{name} must be positive whole numbers (-1 for a whole dim); got {bad}.")
    return tuple(int(image.sizes[dim] if n == -1 else min(n, image.sizes[dim])) for dim, n in lengths.items())


def check_chunks(chunks: Any, name: str = "chunks") -> None:
    """Refuse what are chunks of no image; what depends on the image is for `chunks_for`.

    Raises
    ------
    TypeError, ValueError
        It names the argument and the value.
    """
    given = labelled(chunks, name, "dim")
    if given is None or (isinstance(given, int) and _is_chunk(given)):
        return
    lengths = list(given.mapping(name).values()) if isinstance(given, ByLabel) else [chunks]
    if not isinstance(given, int | ByLabel) or isinstance(given, bool):
        lengths = list(check_listed(chunks, name, _CHUNKS))
    if not all(map(_is_chunk, lengths)):
        raise ValueError(f"{name} must be positive whole numbers (-1 for a whole dim); got {chunks!r}.")


def _is_chunk(length: Any) -> bool:
    return not isinstance(length, bool) and isinstance(length, int | np.integer) and bool(length > 0 or length == -1)


def _first_chunk(image: xr.DataArray, dim: Any) -> int:
    return int(image.chunksizes[dim][0]) if dim in image.chunksizes else int(image.sizes[dim])
