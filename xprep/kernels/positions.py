"""Where the voxels of a scaled axis look, and with which weights.

Positions follow pyclesperanto's centre convention: output voxel ``i`` looks at ``u = (i + 1/2) / f`` of the input,
where sample ``k`` has its centre at ``k + 1/2``. They are worked out from indices of the whole image, in float64, so a
block gets the same weights wherever it was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from xprep.naming import named
from xprep.types import Floats

# Positions this near to a sample are that sample: 0.5 / (1/3) is 1.5 in no arithmetic but the reader's, and a weight of
# 2e-16 would drag a neighbour's NaN in.
SNAP = 1e-9
OUTSIDE = -1


@named("position-scale")
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
        """Whether voxels are copied: by factor 1, or along an axis of length 1, which has nothing between samples."""
        return (self.factor == 1 and self.size == self.length) or self.length == 1


def scaled_size(length: int, factor: float, size: str) -> int:
    """Return how many voxels an axis gets: ``"round"`` to the nearest (a half goes up), ``"ceil"``, or the ``"same"``.

    >>> [scaled_size(396, 0.202, "round"), scaled_size(3, 0.5, "round"), scaled_size(10, 0.25, "ceil")]
    [80, 2, 3]
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
        return Taps(shifted(self.index, low), self.weights)


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
    if clamp:
        index, weights = _at_edges(index, weights, scale.length)
    return Taps(np.where(weights > 0, _bounded(index, scale.length, clamp), OUTSIDE), weights)


def _at_edges(index: NDArray[np.int64], weights: Floats, length: int) -> tuple[NDArray[np.int64], Floats]:
    """Return taps of which the edges have the weights of what lies beyond: added here, in float64.

    Two hundred of them on one voxel, added in float32 as they are used, were off by 3e-6 of the largest value. A voxel
    that lies beyond with all its taps gets the edge as its first.
    """
    bounded, columns = np.clip(index, 0, length - 1), np.arange(index.shape[1])
    for beyond, edge in ((index < 0, 0), (index >= length, length - 1)):
        more = np.where(beyond, weights, 0.0).sum(axis=1, keepdims=True)
        at = np.argmax(bounded == edge, axis=1)[:, None]  # taps rise: the first that is clipped to the edge, or is it
        weights = np.where(beyond, 0.0, weights) + np.where(columns == at, more, 0.0)
    return bounded, weights


def nearest_index(scale: Scale, start: int, stop: int, clamp: bool) -> NDArray[np.int64]:
    """Return the sample whose voxel holds the centre of each of the output voxels ``[start, stop)``."""
    if scale.copies:
        return _copies(scale, start, stop).index[:, 0]
    index = np.floor(_snapped(scale.positions(start, stop) + 0.5)).astype(np.int64)
    return _bounded(index, scale.length, clamp)


def shifted(index: NDArray[np.int64], low: int) -> NDArray[np.int64]:
    """Return samples counted from ``low``; what is outside stays so."""
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
