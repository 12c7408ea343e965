"""The chunks that an image is stored in where nobody names others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import xarray as xr

from xprep.dims.axes import PLANE, chunks_for

CHUNK: Final = 1024  # pixels along y and x: 2 MiB of uint16, 6 ms to decode
CHUNK_BYTES: Final = 32 * 2**20
DEEP_BYTES: Final = 64 * 2**10  # of a chunk of few pixels along y and x: as a movie is stored for traces, a volume in cubes
SMALL_BYTES: Final = 256 * 2**10  # planes below are grouped
GROUP_BYTES: Final = 2**20


def default_chunk(image: xr.DataArray) -> tuple[int, ...]:
    """Return the chunk that an image is stored in by default, one length a dim: one that suits the chunks it comes in.

    Along y and x the image's own chunk, from 64 to 2048 pixels, or from 16 where the chunk is deep (64 KiB); otherwise 1024.
    Along z its own, at most 32 MiB in all; one channel, one time point. Planes (or deep chunks) below 256 KiB are grouped
    along t, then along z, to 1 MiB: a movie of 4000 frames of 64 × 64 pixels is 32 objects and not 4000.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> movie = xr.DataArray(np.zeros((500, 64, 64), "uint16"), dims=("t", "y", "x"))
    >>> default_chunk(movie), default_chunk(movie.chunk(y=32, x=32))
    ((128, 64, 64), (500, 32, 32))
    """
    sizes = {str(dim): int(n) for dim, n in image.sizes.items()}
    own = {dim: int(image.chunksizes[dim][0]) if dim in image.chunksizes else n for dim, n in sizes.items()}
    deep = bool(image.chunksizes) and prod(own.values()) * image.dtype.itemsize >= DEEP_BYTES
    least = 16 if deep else 64
    chunk = {dim: _along(dim, own[dim], n, least) for dim, n in sizes.items()}
    lead = [dim for dim in sizes if dim not in PLANE]
    while _bytes(chunk, image) > CHUNK_BYTES and max((chunk[dim] for dim in lead), default=1) > 1:
        widest = max(lead, key=lambda dim: chunk[dim])
        chunk[widest] = -(-chunk[widest] // 2)
    for dim in ("t", "z"):
        if dim in sizes and _bytes(chunk, image) < SMALL_BYTES:
            chunk[dim] = _grouped(image, chunk, own, dim)
    return tuple(max(1, chunk[dim]) for dim in sizes)


def stored_chunk(
    image: xr.DataArray, lengths: Any = None, default: Sequence[int] | None = None, name: str = "chunks"
) -> tuple[int, ...]:
    """Return the chunk that ``lengths`` mean (as `chunks_for`); the dims that they do not name keep their ``default``.

    Raises
    ------
    ValueError
        They are none.
    """
    chunk = default_chunk(image) if default is None else tuple(default)
    if lengths is None:
        return chunk
    named = dict.fromkeys(PLANE, lengths) if isinstance(lengths, int) and not isinstance(lengths, bool) else lengths
    if isinstance(named, Mapping):
        named = {**dict(zip(image.dims, chunk, strict=True)), **named}
    return chunks_for(image, named, name)


def _bytes(chunk: dict[str, int], image: xr.DataArray) -> int:
    return prod(chunk.values()) * int(image.dtype.itemsize)


def _along(dim: str, own: int, size: int, least: int) -> int:
    if dim not in PLANE:
        return own if dim == "z" else 1
    if least <= own <= 2048 or own == size <= 2048:
        return own
    return min(CHUNK, size)


def _grouped(image: xr.DataArray, chunk: dict[str, int], own: dict[str, int], dim: str) -> int:
    """Return how many planes along ``dim`` are one chunk: whole chunks of the image, or a whole part of one."""
    present = own[dim] if dim in image.chunksizes else 1
    planes_are_whole = all(chunk[name] == image.sizes[name] for name in PLANE)
    if present <= chunk[dim] and not planes_are_whole:
        return chunk[dim]
    most = max(1, min(int(image.sizes[dim]), GROUP_BYTES * chunk[dim] // max(1, _bytes(chunk, image))))
    if present <= most:
        return most if most == image.sizes[dim] else most // present * present
    part = next((n for n in range(most, most // 2, -1) if present % n == 0), most)
    return max(chunk[dim], part)
