"""Whether levels are what their method makes of the first: recomputed from it on small regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

import numpy as np

from xprep.dims.containers.shrinking import Shrinking, shrunk_shape
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.needs import Span
from xprep.images.checking.findings import Finding, State
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.ome_model import Multiscale
from xprep.types import METHODS, Array

SIDE = 256  # pixels of the first level that a sampled region spans along an axis
PIXELS = 2**22  # at most so many of them are read for a region


def find_grown(arrays: Sequence[ZarrReadable]) -> str:
    """Return which level is larger than the one before along an axis, as none may be; an empty text if none is."""
    for n, (fine, coarse) in enumerate(pairwise(arrays), 1):
        if any(after > first for first, after in zip(fine.shape, coarse.shape, strict=True)):
            before = f"the one before {fine.shape}"
            return f"they must go from the largest to the smallest; level {n} has the shape {coarse.shape}, {before}."
    return ""


def find_steps(image: Multiscale, arrays: Sequence[ZarrReadable]) -> list[tuple[int, ...]] | str:
    """Return the factors of every level but the first, or what is wrong with the sizes."""
    found = []
    for n, (before, level) in enumerate(zip(image.levels, image.levels[1:], strict=False)):
        ratios = [b / a for a, b in zip(before.scale, level.scale, strict=True)]
        factors = tuple(max(1, round(ratio)) for ratio in ratios)
        if any(abs(ratio - factor) > 1e-3 * factor for ratio, factor in zip(ratios, factors, strict=True)):
            return f"level {n + 1} is {_spell(ratios)} times smaller than the one before: no whole numbers."
        wanted = shrunk_shape(arrays[n].shape, factors)
        if wanted != arrays[n + 1].shape:
            return f"level {n + 1} has the shape {arrays[n + 1].shape}; blocks of {factors} give {wanted}."
        found.append(factors)
    return found


def _spell(ratios: Sequence[float]) -> str:
    return " × ".join(f"{ratio:.4g}" for ratio in ratios)


def check_placement(image: Multiscale, steps: Sequence[tuple[int, ...]]) -> str:
    """Return which level does not lie where its blocks do, or an empty text."""
    for n, factors in enumerate(steps):
        before, level = image.levels[n], image.levels[n + 1]
        wanted = [t + s * (f - 1) / 2 for t, s, f in zip(before.translation, before.scale, factors, strict=True)]
        if not np.allclose(wanted, level.translation, rtol=1e-6, atol=1e-3 * min(before.scale)):
            return f"the pixels of level {n + 1} begin at {list(level.translation)}; the centres of their blocks at {wanted}."
    return ""


def check_levels(
    image: Multiscale, arrays: Sequence[ZarrReadable], steps: Sequence[tuple[int, ...]], samples: int, where: str
) -> Finding:
    """Return whether every level, in ``samples`` regions of it, is what its method makes of the first level."""
    if not steps:
        return Finding("levels", where, "skipped", "there is one level only.")
    if image.method not in METHODS:
        said = f"by {image.method!r}, which xprep does not know" if image.method else "by a method that nobody wrote down"
        return Finding("levels", where, "skipped", f"they were made {said}.")
    chain = [Shrinking(factors, image.method) for factors in steps]
    ours = image.metadata.get("method") == "xprep"
    for n in range(1, len(arrays)):
        for region in _regions(arrays[n].shape, _total(steps[:n]), samples):
            made, stored = _recompute(arrays[0], chain[:n], region), arrays[n].read(_slices(region))
            if (off := _difference(made, stored, ours)) is not None:
                state: State = "failed" if ours else "warning"
                detail = f"level {n} is not the {image.method} of level 0 at {_slices(region)}: {off}."
                return Finding("levels", where, state, detail)
    how = "to the bit" if ours else "within rounding"
    detail = f"{len(steps)} levels are the {image.method} of level 0 in {samples} regions each, {how}."
    return Finding("levels", where, "ok", detail)


def _total(steps: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(prod(along) for along in zip(*steps, strict=True))


def _regions(shape: Sequence[int], total: Sequence[int], samples: int) -> Iterator[tuple[Span, ...]]:
    """Yield regions of a level: its first corner, its last, where blocks may not be full, and others by chance."""
    spans = [max(1, min(n, SIDE // f)) for n, f in zip(shape, total, strict=True)]
    for axis in range(len(spans) - 2):
        while spans[axis] > 1 and prod(s * f for s, f in zip(spans, total, strict=True)) > PIXELS:
            spans[axis] = -(-spans[axis] // 2)
    random = np.random.default_rng(0)
    room = [n - span for n, span in zip(shape, spans, strict=True)]
    for number in range(samples):
        first = [0 if number == 0 else free if number == 1 else int(random.integers(free + 1)) for free in room]
        yield tuple((a, a + span) for a, span in zip(first, spans, strict=True))


def _recompute(first: ZarrReadable, chain: Sequence[Shrinking], region: tuple[Span, ...]) -> Array:
    """Return ``region`` of the level that ``chain`` makes, from the pixels of the first level that it needs."""
    shapes = [first.shape]
    for step in chain:
        shapes.append(shrunk_shape(shapes[-1], step.factors))
    regions = [region]
    for step, shape in zip(reversed(chain), reversed(shapes[:-1]), strict=True):
        needs = [step.needs(axis, *span) for axis, span in enumerate(regions[-1])]
        regions.append(tuple((max(0, a), min(n, b)) for (a, b), n in zip(needs, shape, strict=True)))
    regions.reverse()
    block = first.read(_slices(regions[0]))
    for n, step in enumerate(chain):
        block = step(block, BlockPlace(regions[n], regions[n + 1], shapes[n]))
    return block


def _slices(region: tuple[Span, ...]) -> tuple[slice, ...]:
    return tuple(slice(*span) for span in region)


def _difference(made: Array, stored: Array, exact: bool) -> str | None:
    if made.dtype.kind == "f":
        same = np.isclose(made, stored, rtol=1e-6 if exact else 1e-3, atol=0 if exact else 1e-6, equal_nan=True)
    else:
        larger, smaller = np.maximum(made, stored), np.minimum(made, stored)
        same = made == stored if exact or made.dtype.kind == "b" else larger - smaller <= 1
    if same.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{int((~same).sum())} of {same.size} pixels differ, the first is {stored[at]} instead of {made[at]}"
