"""Halos: how far a window reaches beyond its tile, and what of that a block carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.needs import Span
from xprep.naming import named


@named("reach")
@dataclass(frozen=True)
class Reach:
    """Need of a window that reaches ``radii[axis]`` voxels to both sides."""

    radii: tuple[int, ...]

    def __call__(self, axis: int, start: int, stop: int) -> Span:
        """Return the span of the input that the output's ``[start, stop)`` needs."""
        return start - self.radii[axis], stop + self.radii[axis]


def margins(place: BlockPlace) -> tuple[Span, ...]:
    """Return how many voxels of its neighbours a block carries, before and after it along every axis."""
    return tuple((o[0] - i[0], i[1] - o[1]) for i, o in zip(place.input, place.output, strict=True))


def reach_or_same(radii: Sequence[int], same: Callable[[int, int, int], Span]) -> Callable[[int, int, int], Span]:
    """Return the need of a window; one that reaches nowhere needs its own region only, and is fused with the read."""
    return Reach(tuple(radii)) if any(radii) else same
