"""Scaling of one block: separable linear interpolation, its low-pass variant, and the nearest voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.compiling import compiled
from xprep.kernels.positions import OUTSIDE, Scale, Taps, linear_taps, nearest_index, shifted, smooth_taps
from xprep.naming import named
from xprep.types import Array


@named("rescaling")
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

    Samples outside are ``cval``. A sample without weight is not read: a NaN reaches only the voxels made of it.
    """
    dtype = np.dtype(np.float64 if block.dtype == np.float64 else np.float32)
    flat, steps = _flat(_native(block))
    out = np.empty((block.shape[0], *(len(t.index) for t in taps)), dtype)
    _check(block.shape[1:], [t.index for t in taps])
    row = np.empty(block.shape[3] + 1, dtype)
    (iz, iy, ix), (wz, wy, wx) = (t.index for t in taps), (t.weights.astype(dtype) for t in taps)
    # By tap, so that each is one line; unsigned, because care for negative indices keeps a loop from vectorising.
    columns, wx = (ix.T + 1).astype(np.uint32, order="C"), np.ascontiguousarray(wx.T)
    if all(t.index.shape[1] == 2 for t in taps):
        _interpolate(flat, steps, iz, wz, iy, wy, columns, wx, _even_step(columns), dtype.type(cval), row, out)
    else:
        _weigh(flat, steps, iz, wz, iy, wy, columns, wx, dtype.type(cval), row, out)
    return out


def _even_step(index: NDArray[np.uint32]) -> int:
    """Return the step of two taps that go on evenly by 1 or 2 (no scaling, and halves), otherwise 0."""
    first, second = index.astype(np.int64)
    for step in (1, 2):
        if first.size and (np.diff(first) == step).all() and (second - first == second[0] - first[0]).all():
            return step
    return 0


def pick(block: Array, index: Sequence[NDArray[np.int64]], cval: float) -> Array:
    """Return the voxels ``index`` (z, y, x) of ``block`` (batch, z, y, x), in its dtype; ``cval`` for those outside."""
    _check(block.shape[1:], index)
    words = f"u{block.dtype.itemsize}"  # values are moved as bytes: one kernel per size, any byte order
    flat, steps = _flat(block.view(words))
    out = np.empty((block.shape[0], *map(len, index)), words)
    fill = np.array(cval).astype(block.dtype).view(words)[()]
    _pick(flat, steps, block.shape[3], *index, fill, out)
    return out.view(block.dtype)


def _native(block: Array) -> Array:
    """Types that LLVM has: half floats, booleans and foreign byte orders are converted, the others stay as they are."""
    if block.dtype == np.bool_:
        return block.view(np.uint8)
    return block.astype(np.float32) if block.dtype == np.float16 else block.astype(block.dtype.newbyteorder("="), copy=False)


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


# In all of these, rows are slices that are indexed from 0: with an offset in the index the compiler cannot exclude
# negative ones, and the loop stays scalar (4 ns a voxel against 0.07).


@compiled()
def _blend_row(flat, steps, b, iz, wz, iy, wy, cval, row):
    cast = row.dtype.type
    width = row.size
    if iz[0] < 0 or iz[1] < 0 or iy[0] < 0 or iy[1] < 0:
        _blend_border(flat, steps, b, iz, wz, iy, wy, cval, row)
        return
    z0, z1 = b * steps[0] + iz[0] * steps[1], b * steps[0] + iz[1] * steps[1]
    y0, y1 = iy[0] * steps[2], iy[1] * steps[2]
    a00, a01 = flat[z0 + y0 : z0 + y0 + width], flat[z0 + y1 : z0 + y1 + width]
    a10, a11 = flat[z1 + y0 : z1 + y0 + width], flat[z1 + y1 : z1 + y1 + width]
    if iz[0] == iz[1] and iy[0] == iy[1]:
        for x in range(width):
            row[x] = cast(a00[x])
    elif iz[0] == iz[1]:
        for x in range(width):
            row[x] = wy[0] * cast(a00[x]) + wy[1] * cast(a01[x])
    elif iy[0] == iy[1]:
        for x in range(width):
            row[x] = wz[0] * cast(a00[x]) + wz[1] * cast(a10[x])
    else:
        for x in range(width):
            near = wz[0] * cast(a00[x]) + wz[1] * cast(a10[x])
            far = wz[0] * cast(a01[x]) + wz[1] * cast(a11[x])
            row[x] = wy[0] * near + wy[1] * far


@compiled()
def _blend_border(flat, steps, b, iz, wz, iy, wy, cval, row):
    cast = row.dtype.type
    for x in range(row.size):
        total = cast(0)
        for j in range(2):
            column = cast(0)
            for i in range(2):
                inside = iz[i] >= 0 and iy[j] >= 0
                value = cast(flat[b * steps[0] + iz[i] * steps[1] + iy[j] * steps[2] + x]) if inside else cval
                column += wz[i] * value
            total += wy[j] * column
        row[x] = total


@compiled()
def _take_row(row, ix, wx, step, target):
    i0, i1, w0, w1 = ix[0], ix[1], wx[0], wx[1]
    size = target.size
    if step == 1:
        a, b = row[i0[0] : i0[0] + size], row[i1[0] : i1[0] + size]
        for x in range(size):
            target[x] = w0[x] * a[x] + w1[x] * b[x]
    elif step == 2:
        a, b = row[i0[0] : i0[0] + 2 * size - 1], row[i1[0] : i1[0] + 2 * size - 1]
        for x in range(size):
            target[x] = w0[x] * a[2 * x] + w1[x] * b[2 * x]
    else:
        for x in range(size):
            target[x] = w0[x] * row[i0[x]] + w1[x] * row[i1[x]]


@compiled()
def _interpolate(flat, steps, iz, wz, iy, wy, ix, wx, step, cval, row, out):
    # A row at a time: up to four input rows are blended (z, then y) into a row that stays in the first cache, and x is
    # gathered from it. Sample 0 of the row is `cval`, the image begins at 1.
    row[0] = cval
    for b in range(out.shape[0]):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                _blend_row(flat, steps, b, iz[z], wz[z], iy[y], wy[y], cval, row[1:])
                _take_row(row, ix, wx, step, out[b, z, y])


@compiled()
def _add_row(source, weight, row):
    cast = row.dtype.type
    for x in range(row.size):
        row[x] += weight * cast(source[x])


@compiled()
def _weigh(flat, steps, iz, wz, iy, wy, ix, wx, cval, row, out):
    # As `_interpolate`, for any number of taps. Shrinking by 1/f reads each voxel twice an axis, so blending z and y
    # together, without the image-sized temporary of a pass per axis, costs 4 reads of the input.
    width = row.size - 1
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
                            for x in range(1, row.size):
                                row[x] += weight * cval
                            continue
                        start = b * steps[0] + iz[z, i] * steps[1] + iy[y, j] * steps[2]
                        _add_row(flat[start : start + width], weight, row[1:])
                target = out[b, z, y]
                target[:] = 0
                for k in range(ix.shape[0]):
                    for x in range(target.size):
                        if wx[k, x] != 0:
                            target[x] += wx[k, x] * row[ix[k, x]]


@compiled()
def _pick(flat, steps, width, iz, iy, ix, fill, out):
    for b in range(out.shape[0]):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                target = out[b, z, y]
                if iz[z] < 0 or iy[y] < 0:
                    target[:] = fill
                    continue
                start = b * steps[0] + iz[z] * steps[1] + iy[y] * steps[2]
                source = flat[start : start + width]
                for x in range(target.size):
                    target[x] = fill if ix[x] < 0 else source[ix[x]]
