"""Scaling of one block: separable linear interpolation, its low-pass variant, and the nearest voxel.

Positions follow pyclesperanto's centre convention: output voxel ``i`` looks at ``u = (i + 1/2) / f`` of the input, whose
sample ``k`` has its centre at ``k + 1/2``. They are worked out from indices of the whole image, in float64, so a block
gets the same weights wherever it was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, prod

import numpy as np
from numba import njit
from numpy.typing import NDArray

from xprep.types import Array, Floats

# Positions this near to a sample are that sample: 0.5 / (1/3) is 1.5 in no arithmetic but the reader's, and a weight of
# 2e-16 would drag a neighbour's NaN in.
SNAP = 1e-9
OUTSIDE = -1


@dataclass(frozen=True)
class Scale:
    """How one axis is scaled: ``length`` samples to ``size`` of them, by ``factor``, about ``origin``."""

    length: int
    size: int
    factor: float
    centered: bool = False

    def positions(self, start: int, stop: int) -> Floats:
        """Return where output voxels ``[start, stop)`` have their centres, in the input's sample numbers."""
        index = np.arange(start, stop, dtype=np.float64) + 0.5
        if self.centered:
            return (index - self.size / 2) / self.factor + self.length / 2 - 0.5
        return index / self.factor - 0.5

    @property
    def copies(self) -> bool:
        """Whether output voxel i is input voxel i: factor 1, or an axis of length 1, which has nothing between samples."""
        return (self.factor == 1 and self.size == self.length) or self.length == 1


def scaled_size(length: int, factor: float, size: str) -> int:
    """Return how many voxels an axis gets: ``"round"`` to the nearest (a half goes up), ``"ceil"``, or the ``"same"``.

    >>> scaled_size(396, 0.202, "round"), scaled_size(3, 0.5, "round"), scaled_size(10, 0.25, "ceil"), scaled_size(2, 0.01, "round")
    (80, 2, 3, 1)
    """
    if size == "same":
        return length
    exact = length * factor
    return max(1, floor(exact + 0.5 + SNAP) if size == "round" else ceil(exact - SNAP))


@dataclass(frozen=True)
class Taps:
    """For every output voxel of an axis, the ``weights`` (voxel, tap) of the samples ``index`` (voxel, tap)."""

    index: NDArray[np.int64]
    weights: Floats

    def shifted(self, low: int) -> Taps:
        """Return the taps counted from sample ``low``."""
        return Taps(_shifted(self.index, low), self.weights)


def linear_taps(scale: Scale, start: int, stop: int, clamp: bool) -> Taps:
    """Return two samples and their weights for each of the output voxels ``[start, stop)``.

    A voxel that lies on a sample gets that sample twice with weight one half: exact, and nothing else is touched.
    """
    if scale.copies:
        return _copies(scale, start, stop)
    position = _snapped(scale.positions(start, stop))
    first = np.floor(position)
    part = position - first
    index = first.astype(np.int64)[:, None] + np.array([0, 1])
    index[:, 1] -= part == 0
    weights = np.stack([1 - part, part], axis=1)
    index = _bounded(index, scale.length, clamp)
    weights[index[:, 0] == index[:, 1]] = 0.5
    return Taps(index, weights)


def smooth_taps(scale: Scale, start: int, stop: int, clamp: bool) -> Taps:
    """Return the samples under a triangle as wide as the output voxel, ``1 / f`` to each side, and its weights.

    This is linear interpolation with its kernel stretched by ``1 / f``, as Pillow, torch and jax do it when they
    shrink: all samples count, and at ``f = 1`` it is plain interpolation again.
    """
    if scale.copies or scale.factor >= 1:
        return linear_taps(scale, start, stop, clamp)
    position = _snapped(scale.positions(start, stop))
    reach = 1 / scale.factor
    index = np.ceil(position - reach).astype(np.int64)[:, None] + np.arange(int(2 * reach) + 2)
    weights = np.maximum(0.0, 1 - np.abs(index - position[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(np.where(weights > 0, _bounded(index, scale.length, clamp), OUTSIDE), weights)


def nearest_index(scale: Scale, start: int, stop: int, clamp: bool) -> NDArray[np.int64]:
    """Return the sample whose voxel holds the centre of each of the output voxels ``[start, stop)``."""
    if scale.copies:
        return _copies(scale, start, stop).index[:, 0]
    index = np.floor(_snapped(scale.positions(start, stop) + 0.5)).astype(np.int64)
    return _bounded(index, scale.length, clamp)


@dataclass(frozen=True)
class Rescaling:
    """The scaling of one block: how z, y and x are scaled, and at which axes of the image they are (None: not there)."""

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
        """Return the region ``output`` of the result, from the region ``input`` of the image; spans per axis of the image."""
        batch = [axis for axis in range(block.ndim) if axis not in self.axes]
        space = [axis for axis in self.axes if axis is not None]
        moved = block.transpose(*batch, *space)
        lengths = [1 if axis is None else block.shape[axis] for axis in self.axes]
        volumes = moved.reshape(prod(moved.shape[: len(batch)]), *lengths)
        low = [0 if axis is None else input[axis][0] for axis in self.axes]
        spans = [(0, 1) if axis is None else output[axis] for axis in self.axes]
        scaled = self._scaled(volumes, low, spans)
        shape = (*moved.shape[: len(batch)], *(scaled.shape[1 + i] for i, axis in enumerate(self.axes) if axis is not None))
        return scaled.reshape(shape).transpose(np.argsort([*batch, *space]))

    def _scaled(self, volumes: Array, low: Sequence[int], spans: Sequence[tuple[int, int]]) -> Array:
        if self.order == 0:
            return pick(volumes, [_shifted(self._index(i, *span), low[i]) for i, span in enumerate(spans)], self.cval)
        return resample(volumes, [self._taps(i, *span).shifted(low[i]) for i, span in enumerate(spans)], self.cval)

    def _taps(self, place: int, start: int, stop: int) -> Taps:
        return (smooth_taps if self.smooth else linear_taps)(self.scales[place], start, stop, self.clamp)

    def _index(self, place: int, start: int, stop: int) -> NDArray[np.int64]:
        if self.order == 0:
            return nearest_index(self.scales[place], start, stop, self.clamp)
        return self._taps(place, start, stop).index


def _shifted(index: NDArray[np.int64], low: int) -> NDArray[np.int64]:
    return np.where(index >= 0, index - low, OUTSIDE)


def _copies(scale: Scale, start: int, stop: int) -> Taps:
    index = np.minimum(np.arange(start, stop), scale.length - 1)
    return Taps(np.repeat(index[:, None], 2, axis=1), np.full((stop - start, 2), 0.5))


def _snapped(position: Floats) -> Floats:
    near = np.rint(position)
    return np.where(np.abs(position - near) < SNAP, near, position)


def _bounded(index: NDArray[np.int64], length: int, clamp: bool) -> NDArray[np.int64]:
    if clamp:
        return np.clip(index, 0, length - 1)
    return np.where((index >= 0) & (index < length), index, OUTSIDE)


def resample(block: Array, taps: Sequence[Taps], cval: float) -> Array:
    """Return ``block`` (batch, z, y, x) at the positions of ``taps``: float32, or float64 from float64.

    Samples outside are ``cval``. No sample without weight is read, so a NaN reaches only the voxels that are made of it.
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
    """Return the voxels ``index`` (of z, y and x) of ``block`` (batch, z, y, x), in its dtype; ``cval`` for those outside."""
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
