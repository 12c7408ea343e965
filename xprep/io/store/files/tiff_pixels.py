"""Chunks of TIFF files: through tifffile's own Zarr store; of plain bytes, straight from the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np
from zarr.buffer import default_buffer_prototype

from xprep.io.private_tifffile import where_in_file
from xprep.io.store.files.images import FileLevel
from xprep.io.store.files.tiff_versions import level_store, run
from xprep.types import Array

# Of plain bytes, chunks can be of any shape: read row by row, each of a few KiB.
_PLAIN: Final = 1024


@dataclass(frozen=True)
class Axes:
    """How the axes of a TIFF series become our dims.

    Parameters
    ----------
    letters : str
        The axes as tifffile calls them, those of one entry too.
    shape : tuple of int
        Their lengths.
    dims : str
        Of each axis its dim; ``s`` for samples, which are channels; ``-`` for one of one entry that is left out.
    """

    letters: str
    shape: tuple[int, ...]
    dims: str

    @property
    def kept(self) -> str:
        """Our dims, in our order."""
        return "".join(dim for dim in "tczyx" if dim in self.dims or (dim == "c" and "s" in self.dims))

    def lengths(self, of: Sequence[int]) -> tuple[int, ...]:
        """Return lengths along our dims; samples times channels are the channels."""
        found = {dim: 1 for dim in "tcszyx"} | {d: n for d, n in zip(self.dims, of, strict=True) if d != "-"}
        found["c"] *= found["s"]
        return tuple(found[dim] for dim in self.kept)

    def split(self, index: Sequence[int], samples: int) -> tuple[int, ...]:
        """Return the position along the file's axes of the chunk at ``index``; ``samples`` is how many chunks a channel has."""
        at = dict(zip(self.kept, index, strict=True))
        at["s"] = at.get("c", 0) % samples
        at["c"] = at.get("c", 0) // samples
        return tuple(0 if dim == "-" else at[dim] for dim in self.dims)

    def arrange(self, block: Array) -> Array:
        """Return a block of the file's axes with our dims: samples behind their channel."""
        order = [self.dims.index(dim) for dim in "tcszyx" if dim in self.dims]
        rest = [axis for axis, dim in enumerate(self.dims) if dim == "-"]
        moved = block.transpose([*rest, *order])
        return moved.reshape(self.lengths(block.shape))


@dataclass(frozen=True, eq=False)
class StoredChunks:
    """Strips or tiles, decoded by tifffile's store."""

    store: Any = field(repr=False)
    axes: Axes
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int

    def __call__(self, index: tuple[int, ...]) -> Array:
        """Return a chunk; what the file says to be empty is zero, what lies beyond its end is an error."""
        key = ".".join(map(str, self.axes.split(index, samples_of(self))))
        page, offset, nbytes = where_in_file(self.store, key)
        if page is None:
            raise OSError("the plane is not in the file, though its metadata list it")
        if offset + nbytes > page.parent.filehandle.size:
            raise OSError(f"bytes {offset} to {offset + nbytes} lie beyond the file's end: it is cut short")
        data = run(self.store.get(key, default_buffer_prototype()))
        if data is None:
            return np.zeros(self.axes.lengths(self.chunks), self.dtype)
        return self.axes.arrange(np.frombuffer(data.to_bytes(), self.dtype).reshape(self.chunks))


def samples_of(read: StoredChunks | PlainChunks) -> int:
    """Return how many chunks the samples of one channel lie in."""
    lengths = zip(read.axes.dims, read.axes.shape, read.chunks, strict=True)
    return next((-(-length // chunk) for dim, length, chunk in lengths if dim == "s"), 1)


@dataclass(frozen=True, eq=False)
class PlainChunks:
    """Pixels that lie in the file as they are, page by page: any part of a page can be read by itself."""

    pages: Any = field(repr=False)
    axes: Axes
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    page: tuple[int, ...]  # lengths of a page's axes, the last ones
    path: str

    def __call__(self, index: tuple[int, ...]) -> Array:
        """Return a chunk, cut at the image's edge."""
        at = [i * c for i, c in zip(self.axes.split(index, samples_of(self)), self.chunks, strict=True)]
        stops = [min(start + c, n) for start, c, n in zip(at, self.chunks, self.axes.shape, strict=True)]
        whole = len(self.axes.shape) - len(self.page)
        offset = self._offset(at[:whole])
        found = _read_part(self.path, offset, self.page, at[whole:], stops[whole:], self.dtype)
        return self.axes.arrange(found.reshape([1] * whole + [b - a for a, b in zip(at[whole:], stops[whole:], strict=True)]))

    def _offset(self, at: Sequence[int]) -> int:
        lengths = self.axes.shape[: len(at)]
        number = int(np.ravel_multi_index(tuple(at), lengths)) if at else 0
        if self.pages.dataoffset is not None:
            return int(self.pages.dataoffset) + number * prod(self.page) * self.dtype.itemsize
        page = self.pages[number]
        if page is None:
            raise OSError("the plane is not in the file, though its metadata list it")
        return int(page.dataoffsets[0])


def _read_part(
    path: str, offset: int, shape: Sequence[int], starts: Sequence[int], stops: Sequence[int], dtype: np.dtype[Any]
) -> Array:
    """Return a part of an array of plain bytes: as many runs as lie apart, each read at once."""
    out = np.empty([b - a for a, b in zip(starts, stops, strict=True)], dtype)
    # The run: the last axes that are whole, and the one before.
    inner = len(shape) - 1
    while inner > 0 and starts[inner] == 0 and stops[inner] == shape[inner]:
        inner -= 1
    steps = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    first = starts[inner] * steps[inner]
    size = (stops[inner] - starts[inner]) * steps[inner] * dtype.itemsize
    target = out.reshape(-1).view(np.uint8).data
    outer = product(*(range(a, b) for a, b in zip(starts[:inner], stops[:inner], strict=True)))
    with open(path, "rb", buffering=0) as file:  # of its own: threads read at the same time
        for number, position in enumerate(outer):
            file.seek(offset + (first + sum(i * step for i, step in zip(position, steps, strict=False))) * dtype.itemsize)
            if file.readinto(target[number * size : (number + 1) * size]) != size:
                raise OSError("the file ends before its pixels do: it is cut short")
    return out


def open_level(series: Any, number: int, axes: Axes, path: str | None) -> FileLevel:
    """Return one resolution of a series.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        The series.
    number : int
        Of the resolution.
    axes : Axes
        Its axes; the lengths are those of this resolution.
    path : str, optional
        Of the file, if it lies on this machine.
    """
    level = series.levels[number]
    plain = _plain_chunks(level, axes, path)
    if plain is not None:
        return FileLevel(axes.lengths(axes.shape), axes.lengths(plain.chunks), plain.dtype, plain, "TIFF, uncompressed")
    store, chunks, dtype = level_store(series, number)
    read = StoredChunks(store, axes, chunks, dtype, prod(chunks) * dtype.itemsize)
    return FileLevel(axes.lengths(axes.shape), axes.lengths(chunks), dtype, read, _name(level.keyframe))


def _name(page: Any) -> str:
    """Return how a page is stored, in words."""
    kind = str(getattr(page.compression, "name", page.compression)).lower().replace("_", " ")
    coded = "uncompressed" if kind == "none" else f"{kind}, predictor" if page.predictor > 1 else kind
    return f"TIFF, {coded}, in {'tiles' if page.is_tiled else 'strips'}"


def _plain_chunks(level: Any, axes: Axes, path: str | None) -> PlainChunks | None:
    """Return how to read pixels that are stored as they are, one after the other; None where they are not."""
    frame = level.keyframe
    if path is None or frame.is_tiled or not frame.is_memmappable or level.transform is not None or level.is_multifile:
        return None
    dtype = np.dtype(frame.dtype).newbyteorder(frame.parent.byteorder)
    count, size = 0, 1
    while size < frame.size and count < len(axes.shape):
        count += 1
        size *= axes.shape[-count]
    if size != frame.size:
        return None
    if level.dataoffset is None and len(frame.dataoffsets) > 1:  # strips that lie apart, in some page
        return None
    page = axes.shape[len(axes.shape) - count :]
    inner = axes.dims[len(axes.shape) - count :]
    together = inner.endswith("s")  # the samples of a pixel lie side by side
    chunk = [min(n, _PLAIN) if dim in "yx" else n if dim == "s" and together else 1 for dim, n in zip(inner, page, strict=True)]
    return PlainChunks(level, axes, (1,) * (len(axes.shape) - count) + tuple(chunk), dtype, page, path)
