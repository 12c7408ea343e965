"""Margins of planes: what a window sees beyond its tile, and beyond the image."""

from __future__ import annotations

from typing import Literal

import numpy as np

from xprep.types import Array, Boundary

Margins = tuple[tuple[int, int], tuple[int, int]]
# numpy's names for scipy.ndimage's modes.
_PAD: dict[Boundary, Literal["symmetric", "edge", "reflect", "wrap", "constant"]] = {
    "reflect": "symmetric", "nearest": "edge", "mirror": "reflect", "wrap": "wrap", "constant": "constant",
}  # fmt: skip


def fit_margins(plane: Array, have: Margins, need: tuple[int, int], mode: Boundary) -> Array:
    """Return ``plane`` with a margin of exactly ``need`` (y, x): cut where it has more, extended by ``mode`` where less.

    ``have`` are the margins that the plane carries, ((top, bottom), (left, right)); less than is needed is only to be
    found at the image's own edge. A view where nothing is missing.
    """
    cut = tuple(
        slice(max(0, before - n), length - max(0, after - n))
        for (before, after), n, length in zip(have, need, plane.shape, strict=True)
    )
    missing = tuple((max(0, n - before), max(0, n - after)) for (before, after), n in zip(have, need, strict=True))
    plane = plane[cut]
    return plane if not any(map(any, missing)) else np.pad(plane, missing, mode=_PAD[mode])
