"""Guesses of where quantiles lie, from a few patches that the first pass puts aside.

A guess only saves passes: the exact search checks that the wanted ranks fall inside of it, and reads once more where
they do not. Patches (and not single pixels) because what is guessed may come after a blur.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.passes.quantiles import Question
from xprep.kernels.keys import key_width, to_keys
from xprep.naming import named
from xprep.types import Array

INNER = 16  # pixels along the sides of a patch that are looked at; a margin comes on top
PATCHES, FEWEST = 768, 16
SAMPLE_BYTES = 16 * 2**20
KEPT_BYTES = 2**20  # of the patches of an image that are kept for a run that goes on: fewer make a wider bracket
# Standard errors, between patches, to both sides: wrong once in thousands, and then only slower.
ERRORS = 5.0


@named("sampler")
@dataclass(frozen=True)
class Sampler:
    """Takes patches from tiles: where, depends on the tile's place only.

    Attributes
    ----------
    margin
        Pixels around a patch.
    patches
        Number for each tile; below 1, the share of the tiles that give one.
    """

    margin: int
    patches: float

    @classmethod
    def of(cls, shape: Sequence[int], itemsize: int, ntiles: int, margin: int) -> Sampler:
        """Return the sampler for an image of ``shape`` in ``ntiles`` tiles: bounded in number and in bytes."""
        size = shape[0] * (INNER + 2 * margin) ** 2 * itemsize
        return cls(margin, max(FEWEST, min(PATCHES, SAMPLE_BYTES // size)) / ntiles)

    def __call__(self, block: Array, place: BlockPlace) -> list[Array]:
        """Return copies of patches ``(c, y, x)`` of a tile ``(c, …, y, x)``."""
        random = np.random.default_rng([start for start, _ in place.output])
        side = INNER + 2 * self.margin
        planes = block.reshape(block.shape[0], -1, *block.shape[-2:])
        # Not more than a tile has pixels: to sort 768 patches of one small tile was three quarters of its time.
        number = min(int(self.patches + random.random()), max(FEWEST, planes[0].size // side**2))
        found = []
        for _ in range(number):
            plane = random.integers(planes.shape[1])
            top, left = (random.integers(max(1, n - side + 1)) for n in block.shape[-2:])
            found.append(planes[:, plane, top : top + side, left : left + side].copy())
        return found


def _stacked(patches: Sequence[Array]) -> list[Array]:
    """Return patches of one shape as one array ``(c, patch, y, x)``: a call for each patch took 0.25 ms."""
    shapes: dict[tuple[int, ...], list[Array]] = {}
    for patch in patches:
        shapes.setdefault(patch.shape, []).append(patch)
    return [np.stack(alike, axis=1) for alike in shapes.values()]


def patches_to_json(patches: Sequence[Array]) -> dict[str, Any]:
    """Return patches as JSON, no more of them than take `KEPT_BYTES`."""
    step = max(1, min(len(patches) // FEWEST, -(-sum(one.nbytes for one in patches) // KEPT_BYTES)))
    return {"patches": [[one.dtype.str, one.shape, base64.b64encode(one.tobytes()).decode()] for one in patches[::step]]}


def patches_from_json(value: Mapping[str, Any]) -> list[Array]:
    """Return what `patches_to_json` gave."""
    return [np.frombuffer(base64.b64decode(data), dtype).reshape(shape) for dtype, shape, data in value["patches"]]


@named("join-patches")
def join_patches(parts: Sequence[list[Array]]) -> list[Array]:
    """Return all patches in one list."""
    return [patch for part in parts for patch in part]


@named("guess")
@dataclass(frozen=True, eq=False)
class Guess:
    """Brackets a quantile, group by group, with what patches turn into.

    Attributes
    ----------
    question
        The quantile, one.
    values
        ``values(patches, *states)``: the pixels ``(group, patch, n)`` that patches ``(c, patch, y, x)`` become.
    groups
        How many groups there are.
    """

    question: Question
    values: Callable[..., Array]
    groups: int

    def __call__(self, patches: list[Array], *states: Any) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the lowest and the highest key of every group's bracket: all keys where there is nothing to go by."""
        top = 2 ** key_width(self.question.dtype) - 1
        low, high = np.zeros(self.groups, np.uint64), np.full(self.groups, top, np.uint64)
        seen = [self.values(alike, *states) for alike in _stacked(patches)]
        for group in range(self.groups):
            found = [self._counted(values[group]) for values in seen]
            if any(keep.any() for _, keep in found):
                low[group], high[group] = self._bracket(found, top)
        return low, high

    def _counted(self, rows: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return rows of pixels, a patch each, and which pixels count."""
        keep = ~np.isnan(rows) if rows.dtype.kind == "f" else np.ones(rows.shape, bool)
        return rows, keep & (rows != 0) if self.question.skip_zeros else keep

    def _bracket(self, found: list[tuple[Array, NDArray[np.bool_]]], top: int) -> tuple[int, int]:
        q = self.question.q[0]
        values = np.sort(np.concatenate([rows[keep] for rows, keep in found]))
        middle = values[int(q * (len(values) - 1))]
        sizes = np.concatenate([keep.sum(axis=1) for _, keep in found])
        below = np.concatenate([((rows < middle) & keep).sum(axis=1) for rows, keep in found])
        apart = np.std((below - q * sizes) * len(sizes) / len(values))
        error = ERRORS * float(apart) / np.sqrt(len(sizes)) + 2 / len(values)
        first, last = (round(at * (len(values) - 1)) for at in (q - error, q + error))
        keys = to_keys(values[[max(0, first), min(len(values) - 1, last)]])
        return (0 if first <= 0 else int(keys[0])), (top if last >= len(values) - 1 else int(keys[1]))
