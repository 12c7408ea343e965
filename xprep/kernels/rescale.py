"""Scaling of one block: separable linear interpolation, its low-pass variant, and the nearest voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numba import njit
from numpy.typing import NDArray

from xprep.kernels.positions import OUTSIDE, Scale, Taps, linear_taps, nearest_index, shifted, smooth_taps
from xprep.types import Array


@dataclass(frozen=True)
class Rescaling:
    """The scaling of a block: how z, y and x are scaled, and which axes of the image they are (None: not there)."""

    scales: tuple[Scale, Scale, Scale]
    axes: tuple[int | None, int | None, int | None]
    order: int
    clamp: bool
    cval: float
    smooth: bool

    def needs(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        """Return the samples along ``axis`` that the output's ``[start, stop)`` is made of, at least one."""
        if axis not in self.axes:
            return start, stop
        index = self._index(self.axes.index(axis), start, stop)
        inside = index[index >= 0]
        return (int(inside.min()), int(inside.max()) + 1) if inside.size else (0, 1)

    def __call__(self, block: Array, input: Sequence[tuple[int, int]], output: Sequence[tuple[int, int]]) -> Array:
        """Return the region ``output`` of the result from the region ``input`` of the image (spans per axis)."""
        batch = [axis for axis in range(block.ndim) if axis not in self.axes]
        space = [axis for axis in self.axes if axis is not None]
        moved = block.transpose(*batch, *space)
        lengths = [1 if axis is None else block.shape[axis] for axis in self.axes]
        volumes = moved.reshape(prod(moved.shape[: len(batch)]), *lengths)
        low = [0 if axis is None else input[axis][0] for axis in self.axes]
        spans = [(0, 1) if axis is None else output[axis] for axis in self.axes]
        scaled = self._scaled(volumes, low, spans)
        shape = (
            *moved.shape[: len(batch)],
            *(scaled.shape[1 + i] for i, axis in enumerate(self.axes) if axis is not None),
        )
        return scaled.reshape(shape).transpose(np.argsort([*batch, *space]))

    def _scaled(self, volumes: Array, low: Sequence[int], spans: Sequence[tuple[int, int]]) -> Array:
        if self.order == 0:
            return pick(volumes, [shifted(self._index(i, *span), low[i]) for i, span in enumerate(spans)], self.cval)
        return resample(volumes, [self._taps(i, *span).shifted(low[i]) for i, span in enumerate(spans)], self.cval)

    def _taps(self, place: int, start: int, stop: int) -> Taps:
        return (smooth_taps if self.smooth else linear_taps)(self.scales[place], start, stop, self.clamp)

    def _index(self, place: int, start: int, stop: int) -> NDArray[np.int64]:
        if self.order == 0:
            return nearest_index(self.scales[place], start, stop, self.clamp)
        return self._taps(place, start, stop).index


def resample(block: Array, taps: Sequence[Taps], cval: float) -> Array:
    """Return ``block`` (batch, z, y, x) at the positions of ``taps``: float32, or float64 from float64.

    Samples outside are ``cval``. No sample without weight is read, so a NaN reaches only the voxels that are made of
    it.
    """
    dtype = np.dtype(np.float64 if block.dtype == np.float64 else np.float32)
    flat, steps = _flat(_native(block))
    out = np.empty((block.shape[0], *(len(t.index) for t in taps)), dtype)
    _check(block.shape[1:], [t.index for t in taps])
    row = np.empty(block.shape[3] + 1, dtype)
    kernel = _interpolate if all(t.index.shape[1] == 2 for t in taps) else _weigh
    (iz, iy, ix), (wz, wy, wx) = (t.index for t in taps), (t.weights.astype(dtype) for t in taps)
    kernel(flat, steps, iz, wz, iy, wy, ix + 1, wx, dtype.type(cval), row, out)
    return out


def pick(block: Array, index: Sequence[NDArray[np.int64]], cval: float) -> Array:
    """Return the voxels ``index`` (z, y, x) of ``block`` (batch, z, y, x), in its dtype; ``cval`` for those outside."""
    _check(block.shape[1:], index)
    words = f"u{block.dtype.itemsize}"  # values are moved as bytes: one kernel per size, any byte order
    flat, steps = _flat(block.view(words))
    out = np.empty((block.shape[0], *map(len, index)), words)
    fill = np.array(cval).astype(block.dtype).view(words)[()]
    _pick(flat, steps, *index, fill, out)
    return out.view(block.dtype)


def _native(block: Array) -> Array:
    """Types that LLVM has: half floats, booleans and foreign byte orders are converted, the others stay as they are."""
    if block.dtype == np.bool_:
        return block.view(np.uint8)
    return (
        block.astype(np.float32)
        if block.dtype == np.float16
        else block.astype(block.dtype.newbyteorder("="), copy=False)
    )


def _flat(block: Array) -> tuple[Array, tuple[int, ...]]:
    """Return a block as one line of memory and its steps, so that rows cut from a bigger block need no copy.

    The compiler only vectorises rows that it knows to be contiguous, and a slice of a block does not tell.
    """
    size = block.dtype.itemsize
    steps = tuple(step // size for step in block.strides)
    if steps[-1] != 1 or any(step < 0 or step % size for step in block.strides):
        block = np.ascontiguousarray(block)
        steps = tuple(step // size for step in block.strides)
    length = 1 + sum((n - 1) * step for n, step in zip(block.shape, steps, strict=True)) if block.size else 0
    return np.lib.stride_tricks.as_strided(block, (length,), (size,), writeable=False), steps


def _check(shape: tuple[int, ...], indices: Sequence[NDArray[np.int64]]) -> None:
    for length, index in zip(shape, indices, strict=True):
        if index.size and (index.min() < OUTSIDE or index.max() >= length):
            raise ValueError(f"samples {index.min()} to {index.max()} are asked of an axis of {length}.")


@njit(nogil=True, cache=True)
def _blend_row(flat, steps, b, iz, wz, iy, wy, cval, row):
    cast = row.dtype.type
    width = row.size
    z0, z1 = b * steps[0] + iz[0] * steps[1], b * steps[0] + iz[1] * steps[1]
    y0, y1 = iy[0] * steps[2], iy[1] * steps[2]
    if iz[0] < 0 or iz[1] < 0 or iy[0] < 0 or iy[1] < 0:
        _blend_border(flat, (z0, z1), (y0, y1), iz, wz, iy, wy, cval, row)
    elif iz[0] == iz[1] and iy[0] == iy[1]:
        for x in range(width):
            row[x] = cast(flat[z0 + y0 + x])
    elif iz[0] == iz[1]:
        for x in range(width):
            row[x] = wy[0] * cast(flat[z0 + y0 + x]) + wy[1] * cast(flat[z0 + y1 + x])
    elif iy[0] == iy[1]:
        for x in range(width):
            row[x] = wz[0] * cast(flat[z0 + y0 + x]) + wz[1] * cast(flat[z1 + y0 + x])
    else:
        for x in range(width):
            near = wz[0] * cast(flat[z0 + y0 + x]) + wz[1] * cast(flat[z1 + y0 + x])
            far = wz[0] * cast(flat[z0 + y1 + x]) + wz[1] * cast(flat[z1 + y1 + x])
            row[x] = wy[0] * near + wy[1] * far


@njit(nogil=True, cache=True)
def _blend_border(flat, z, y, iz, wz, iy, wy, cval, row):
    cast = row.dtype.type
    for x in range(row.size):
        total = cast(0)
        for j in range(2):
            column = cast(0)
            for i in range(2):
                column += wz[i] * (cval if iz[i] < 0 or iy[j] < 0 else cast(flat[z[i] + y[j] + x]))
            total += wy[j] * column
        row[x] = total


@njit(nogil=True, cache=True)
def _interpolate(flat, steps, iz, wz, iy, wy, ix, wx, cval, row, out):
    # A row at a time: up to four input rows are blended (z, then y) into a row that stays in the first cache, and x is
    # gathered from it. Sample 0 of the row is `cval`, the image begins at 1.
    row[0] = cval
    for b in range(out.shape[0]):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                _blend_row(flat, steps, b, iz[z], wz[z], iy[y], wy[y], cval, row[1:])
                target = out[b, z, y]
                for x in range(target.size):
                    target[x] = wx[x, 0] * row[ix[x, 0]] + wx[x, 1] * row[ix[x, 1]]


@njit(nogil=True, cache=True)
def _weigh(flat, steps, iz, wz, iy, wy, ix, wx, cval, row, out):
    # As `_interpolate`, for any number of taps. Shrinking by 1/f reads each voxel twice an axis, so blending z and y
    # together, without the image-sized temporary of a pass per axis, costs 4 reads of the input.
    cast = row.dtype.type
    row[0] = cval
    for b in range(out.shape[0]):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                row[1:] = 0
                for i in range(iz.shape[1]):
                    for j in range(iy.shape[1]):
                        weight = wz[z, i] * wy[y, j]
                        if weight == 0:
                            continue
                        if iz[z, i] < 0 or iy[y, j] < 0:
                            row[1:] += weight * cval
                            continue
                        start = b * steps[0] + iz[z, i] * steps[1] + iy[y, j] * steps[2] - 1
                        for x in range(1, row.size):
                            row[x] += weight * cast(flat[start + x])
                target = out[b, z, y]
                for x in range(target.size):
                    total = cast(0)
                    for k in range(ix.shape[1]):
                        if wx[x, k] != 0:
                            total += wx[x, k] * row[ix[x, k]]
                    target[x] = total


@njit(nogil=True, cache=True)
def _pick(flat, steps, iz, iy, ix, fill, out):
    for b in range(out.shape[0]):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                target = out[b, z, y]
                if iz[z] < 0 or iy[y] < 0:
                    target[:] = fill
                    continue
                start = b * steps[0] + iz[z] * steps[1] + iy[y] * steps[2]
                for x in range(target.size):
                    target[x] = fill if ix[x] < 0 else flat[start + ix[x]]
