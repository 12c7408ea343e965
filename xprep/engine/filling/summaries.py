"""What is seen of pixels while they are written: extremes and a sample of every channel, and what was stored."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xprep.engine.blocks.gather import BlockPlace
from xprep.naming import named
from xprep.types import Array

SAMPLE = 4096  # values of a channel and a tile that are looked at for the contrast limits; of an image 16 times as many
LEAST = 64  # of a tile, where there are many: a journal keeps them


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen of one channel: extremes, NaN where there was no number, and a sample of finite values.

    ``at_high`` is how many pixels have the largest value; of floats only, which may have been capped.
    """

    low: float
    high: float
    sample: Array
    at_high: int = 0


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of the pixels while they were written, by position of the channel; and how much was written.

    Of ``nbytes``, an earlier run wrote ``before``.
    """

    channels: dict[int, Look]
    nbytes: int
    units: int
    stored: Mapping[int, tuple[Array, ...]] = field(default_factory=dict)  # what `Writable.write` returned, by level
    before: int = 0

    def stored_at(self, level: int) -> Array:
        """Return all that was stored of a level."""
        return np.concatenate(self.stored[level])

    def to_json(self) -> dict[str, Any]:
        """Return what was seen of the channels as JSON."""
        return {str(position): _look_to_json(one) for position, one in self.channels.items()}


def seen_from_json(channels: Mapping[str, Any], nbytes: int, stored: Mapping[int, tuple[Array, ...]]) -> Seen:
    """Return what `Seen.to_json` gave, of one tile of an earlier run.

    Raises
    ------
    ValueError, KeyError, TypeError
        It is something else.
    """
    looks = {int(position): _look_from_json(one) for position, one in channels.items()}
    return Seen(looks, nbytes, 1, stored, nbytes)


def _look_to_json(one: Look) -> list[Any]:
    # Texts, as JSON has no NaN; and hexadecimal, so that what is read is what was seen.
    values = base64.b64encode(one.sample.tobytes()).decode()
    return [one.low.hex(), one.high.hex(), one.sample.dtype.str, values, one.at_high]


def _look_from_json(value: Sequence[Any]) -> Look:
    low, high, dtype, values, at_high = value
    sample = np.frombuffer(base64.b64decode(values), np.dtype(dtype))
    return Look(float.fromhex(low), float.fromhex(high), sample, int(at_high))


def sample_size(tiles: int) -> int:
    """Return how many values of a channel are looked at in each of so many tiles."""
    return max(LEAST, min(SAMPLE, 16 * SAMPLE // max(1, tiles)))


def look(block: Array, channel: int | None, place: BlockPlace, size: int = SAMPLE) -> Seen:
    """Return extremes and a sample of about ``size`` values of a block, per channel."""
    rows = [block] if channel is None else np.moveaxis(block, channel, 0)
    first = 0 if channel is None else place.output[channel][0]
    looks = {first + i: _look_at(row, size) for i, row in enumerate(rows)}
    return Seen(looks, block.nbytes, 1)


def _look_at(row: Array, size: int) -> Look:
    high = _extreme(np.fmax, row)
    at_high = int(np.count_nonzero(row == row.dtype.type(high))) if row.dtype.kind == "f" else 0
    return Look(_extreme(np.fmin, row), high, _sample(row, size), at_high)


def _extreme(function: Any, row: Array) -> float:
    with np.errstate(invalid="ignore"):
        found = function.reduce(row, axis=None) if row.size else np.nan
        if np.isinf(found):
            finite = row[np.isfinite(row)]
            found = function.reduce(finite, axis=None) if finite.size else np.nan
    return float(found)


def _sample(row: Array, size: int) -> Array:
    step = max(1, int(np.ceil((row.size / size) ** (1 / max(1, row.ndim)))))
    values = row[(slice(step // 2, None, step),) * row.ndim].ravel()
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values.copy()


def join_seen(parts: Sequence[Seen]) -> Seen:
    """Return what was seen of several tiles together; the samples stay bounded."""
    looks: dict[int, list[Look]] = {}
    for part in parts:
        for position, one in part.channels.items():
            looks.setdefault(position, []).append(one)
    channels = {position: _join_looks(same) for position, same in looks.items()}
    stored: dict[int, list[Array]] = {}
    for part in parts:
        for level, arrays in part.stored.items():
            stored.setdefault(level, []).extend(arrays)
    joined = {level: (np.concatenate(arrays),) for level, arrays in stored.items()}
    nbytes, units, before = (sum(getattr(part, name) for part in parts) for name in ("nbytes", "units", "before"))
    return Seen(channels, nbytes, units, joined, before)


@named("seen-together")
def together(*parts: Seen) -> Seen:
    """Return what `join_seen` does, as a task calls it."""
    return join_seen(parts)


def _join_looks(looks: Sequence[Look]) -> Look:
    low, high = float(np.fmin.reduce([one.low for one in looks])), float(np.fmax.reduce([one.high for one in looks]))
    at_high = sum(one.at_high for one in looks if one.high == high)
    return Look(low, high, _thin(np.concatenate([one.sample for one in looks])), at_high)


def _thin(values: Array) -> Array:
    return values[:: 1 + values.size // (16 * SAMPLE)]
