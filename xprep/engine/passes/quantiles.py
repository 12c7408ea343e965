"""Exact quantiles of images that do not fit in memory.

Values become unsigned integers of the same order, and the wanted ranks are found 16 bits a pass by counting: one pass
for integers of up to 16 bits, two for 32, four for 64; memory is that of the counts, whatever the number of pixels.
A guess of where a quantile lies (from a sample) saves the later passes: the first pass also collects the values
around it, and where the ranks fall among those, the other passes find nothing to do and read nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from xprep.engine.blocks.folds import Fold, both, first, second
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.graph.tasks import call, is_skipped
from xprep.engine.passes.keep import Stream
from xprep.kernels.counting import collect_keys, count_digits
from xprep.kernels.keys import from_keys, key_width
from xprep.naming import named
from xprep.options import options
from xprep.types import Array

COLLECTED_TILES = 4  # of `tile_bytes`, 64 MiB by default: what the collected values of all groups may take together
SLACK = 2  # how many times its share of that a tile may collect: values near a quantile may lie in half of an image
DIGITS = 2**16


@named("quantile-question")
@dataclass(frozen=True)
class Question:
    """Which quantiles are asked for, of values of which type, and what is left out."""

    q: tuple[float, ...]
    dtype: np.dtype[Any]
    skip_zeros: bool = False
    skipna: bool = True

    @property
    def rounds(self) -> int:
        """Number of passes without a guess."""
        return max(1, key_width(self.dtype) // 16)


@dataclass(frozen=True, eq=False)
class Near:
    """The values of one group within a guessed bracket: sorted keys, and how many lie below; None where too many."""

    keys: Array | None
    below: int


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each digit occurs under each prefix: ``(group, prefix, digit)``; NaN per group; values near a guess.

    ``room`` is how many bytes those may take, by the share of the image that was looked at, and ``most`` at the most.
    """

    digits: Array
    nan: NDArray[np.int64]
    near: tuple[Near, ...] = ()
    room: float = 0.0
    most: int = 0


@dataclass(frozen=True, eq=False)
class Search:
    """Where each wanted rank lies: ``(group, target)``; the targets are the two neighbours of every quantile.

    A search is true when it is over, so that it gates the passes which would otherwise follow.
    """

    size: NDArray[np.int64]
    nan: NDArray[np.int64]
    rank: NDArray[np.int64]
    prefix: NDArray[np.uint64]
    found: NDArray[np.bool_]

    def __bool__(self) -> bool:
        return bool(self.found.all())

    @property
    def wanted(self) -> NDArray[np.uint64]:
        """Prefixes whose digits are still to be counted; 0 where the whole key is known."""
        return np.where(self.found, np.uint64(0), self.prefix)


def quantiles(
    streams: Sequence[Stream],
    question: Question,
    groups: int,
    passes: Iterator[int],
    guess: Delayed | None = None,
    *,
    aside: Fold | None = None,
    lost: list[Delayed] | None = None,
    label: str = "count",
) -> tuple[Delayed, list[Delayed]]:
    """Return the quantiles of all pixels of ``streams`` together, lazily: float64 ``(q, group)``; and what was put aside of each.

    Parameters
    ----------
    streams
        Images whose blocks are ``(group, ...)`` arrays of ``question.dtype``.
    question, groups
        What is asked, of how many groups.
    passes
        Numbers for the passes over the images.
    guess
        A lazy pair of key arrays ``(low, high)``, one entry a group: where the quantiles probably lie.
    aside
        Another fold over the blocks of the first pass.
    lost
        A list that gets the numbers of NaN of every stream, lazily: ``(group,)``.
    label
        What plans and dashboards call the passes.
    """
    most, counts = COLLECTED_TILES * options().tile_bytes, 4 * DIGITS * groups
    count = Fold(_CountDigits(question, 0, most // len(streams)), join_counts, counts, 0 if guess is None else (SLACK + 1) * most)
    number = next(passes)
    states = [] if guess is None else [guess]
    how = count if aside is None else both(count, aside)
    parts = [stream.fold(how, *states, number=number, label=label) for stream in streams]
    kept = [] if aside is None else [call(second, part, label="aside") for part in parts]
    parts = parts if aside is None else [call(first, part, label="counts") for part in parts]
    if lost is not None:
        lost += [call(_nan_counts, part, label="lost") for part in parts]
    search = call(_Narrow(question, 0), *parts, label="narrow")
    for step in range(1, question.rounds):
        how, number = Fold(_CountDigits(question, step), join_counts, counts * 2 * len(question.q)), next(passes)
        parts = [stream.fold(how, search, number=number, unless=search, label=label) for stream in streams]
        search = call(_Narrow(question, step), search, *parts, label="narrow")
    return call(_Answer(question), search, label="quantile"), kept


@named("quantile-nan-counts")
def _nan_counts(counts: Counts) -> NDArray[np.int64]:
    return counts.nan


@named("quantile-count")
@dataclass(frozen=True)
class _CountDigits:
    question: Question
    step: int
    most: int = 0  # bytes that values near a guess may take

    def __call__(self, block: Array, place: BlockPlace, *states: Any) -> Counts:
        values = block.reshape(block.shape[0], -1)
        if self.step:
            return self._count(values, states[0].wanted)
        counts = self._count(values, np.zeros((len(values), 1), np.uint64))
        if not states:
            return counts
        # By its share: with 64 MiB for each tile 200 MiB waited where all values are equal, and none was used.
        share = prod(stop - start for start, stop in place.output) / max(1, prod(place.shape))
        room = min(float(self.most), SLACK * share * self.most)
        return replace(counts, near=self._near(values, room, *states[0]), room=room, most=self.most)

    def _count(self, values: Array, prefixes: NDArray[np.uint64]) -> Counts:
        shift = key_width(self.question.dtype) - 16 * (self.step + 1)
        order = np.sort(prefixes, axis=1)
        return Counts(*count_digits(values, order, max(0, shift), skip_zeros=self.question.skip_zeros))

    def _near(self, values: Array, nbytes: float, low: Array, high: Array) -> tuple[Near, ...]:
        room = int(nbytes) // (len(values) * max(1, self.question.dtype.itemsize))
        found = []
        for row, a, b in zip(values, low, high, strict=True):
            bracket = collect_keys(row, int(a), int(b), room, skip_zeros=self.question.skip_zeros)
            found.append(Near(bracket.keys if len(bracket.keys) == bracket.inside else None, bracket.below))
        return tuple(found)


@named("quantile-join-counts")
def join_counts(parts: Sequence[Counts]) -> Counts:
    """Return the counts of several blocks together."""
    # Half the memory as long as no count can overflow; 16 summaries wait for each other on their way up the tree.
    small = sum(int(part.digits.max(initial=0)) for part in parts) < 2**32
    digits: Array = parts[0].digits.astype(np.uint32 if small else np.int64)
    for part in parts[1:]:
        np.add(digits, part.digits, out=digits, casting="unsafe")
    most = max(part.most for part in parts)
    room = min(float(most), sum(part.room for part in parts))
    near = tuple(_join_near(group, room / max(1, len(digits))) for group in zip(*(part.near for part in parts), strict=True))
    return Counts(digits, np.sum([part.nan for part in parts], axis=0), near, room, most)


def _join_near(parts: Sequence[Near], room: float) -> Near:
    below = sum(part.below for part in parts)
    arrays = [part.keys for part in parts if part.keys is not None]
    if len(arrays) < len(parts) or sum(keys.nbytes for keys in arrays) > room:
        return Near(None, below)
    keys = np.concatenate(arrays)
    keys.sort()
    return Near(keys, below)


@named("quantile-narrow")
@dataclass(frozen=True)
class _Narrow:
    question: Question
    step: int

    def __call__(self, *values: Any) -> Search:
        if self.step and is_skipped(values[1:]):
            return values[0]  # type: ignore[no-any-return]
        if self.step == 0:
            counts = join_counts(values)
            return self._near(self._narrow(self._start(counts), counts), counts)
        return self._narrow(values[0], join_counts(values[1:]))

    def _start(self, counts: Counts) -> Search:
        size = counts.digits[:, 0].sum(axis=-1, dtype=np.int64)
        low = np.floor(_virtual(size, self.question.q)).astype(np.int64)
        rank = np.clip(np.concatenate([low, low + 1], axis=1), 0, np.maximum(size - 1, 0)[:, None])
        return Search(size, counts.nan, rank, np.zeros(rank.shape, np.uint64), np.zeros(rank.shape, bool) | (size == 0)[:, None])

    def _narrow(self, search: Search, counts: Counts) -> Search:
        rank, prefix = search.rank.copy(), search.prefix.copy()
        last = self.step == self.question.rounds - 1
        for group, row in enumerate(search.wanted):
            slots = np.searchsorted(np.sort(row), row) if self.step else np.zeros(len(row), int)
            for target in np.flatnonzero(~search.found[group]):
                upto = np.cumsum(counts.digits[group, slots[target]], dtype=np.int64)
                digit = int(np.searchsorted(upto, rank[group, target], side="right"))
                rank[group, target] -= upto[digit] - int(counts.digits[group, slots[target], digit])
                prefix[group, target] = (int(row[target]) << 16) | digit
        return replace(search, rank=rank, prefix=prefix, found=search.found | last)

    def _near(self, search: Search, counts: Counts) -> Search:
        """Look the ranks up among the collected values; what is not there is left to the next pass."""
        if not counts.near or bool(search):
            return search
        wanted = self._start(counts).rank
        prefix, found = search.prefix.copy(), search.found.copy()
        for group, near in enumerate(counts.near):
            at = wanted[group] - near.below
            inside = (at >= 0) & (at < (0 if near.keys is None else len(near.keys))) & ~found[group]
            if near.keys is not None and inside.all():
                prefix[group], found[group] = near.keys[at], True
        return replace(search, prefix=prefix, found=found)


def _virtual(size: NDArray[np.int64], q: Sequence[float]) -> NDArray[np.float64]:
    """Return the position of every quantile among the sorted values, numpy's linear rule: ``(group, q)``."""
    return np.asarray(np.maximum(size - 1, 0)[:, None] * np.asarray(q, float)[None, :], np.float64)


@named("quantile-answer")
@dataclass(frozen=True)
class _Answer:
    question: Question

    def __call__(self, search: Search) -> NDArray[np.float64]:
        values = from_keys(search.prefix, self.question.dtype).astype(np.float64)
        low, high = np.split(values, 2, axis=1)
        virtual = _virtual(search.size, self.question.q)
        answer = interpolate(low, high, virtual - np.floor(virtual))
        lost = search.size == 0 if self.question.skipna else (search.size == 0) | (search.nan > 0)
        return np.where(lost[:, None], np.nan, answer).T


def interpolate(low: Array, high: Array, t: Array) -> NDArray[np.float64]:
    """Return the value a share ``t`` of the way from ``low`` to ``high``, rounded as numpy's quantile rounds it.

    Where one end is infinite and ``t`` is not 0, the result is that infinity (numpy: NaN); between −inf and inf, NaN.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        step = high - low
        value = np.where(t >= 0.5, high - step * (1 - t), low + step * t)
        value = np.where(np.isinf(low), low, np.where(np.isinf(high), high, value))
        value = np.where((low == -np.inf) & (high == np.inf), np.nan, value)
    return np.where(t == 0, low, np.where(low == high, low, value))
