"""The statistics of an experiment, from those of its images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xprep.dims.channel_titles import channel_titles
from xprep.errors import EmptyChannelWarning, PaddedImageWarning, PercentileWarning
from xprep.naming import named
from xprep.ops.padding import padding_message
from xprep.types import Array


@named("statistic")
@dataclass(frozen=True, eq=False)
class Statistic:
    """A statistic of an experiment, computed: ``(channel,)``, of every image ``(image, channel)``, and what to say of it."""

    values: Array
    each: Array
    notes: tuple[str, ...]
    left_out: Array | None = None  # pixels of every image that the result leaves out, where the pass counts them
    interval: Array | None = None  # (channel, bound): where the values of the whole image lie, of those of a sample

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, to the last bit."""
        more = {name: _to_json(one) for name in ("left_out", "interval") if (one := getattr(self, name)) is not None}
        return {"values": _to_json(self.values), "each": _to_json(self.each), "notes": list(self.notes), **more}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Statistic:
        """Return what `to_json` gave."""
        more = {name: _from_json(value[name]) for name in ("left_out", "interval") if name in value}
        return Statistic(_from_json(value["values"]), _from_json(value["each"]), tuple(map(str, value["notes"])), **more)


@dataclass(frozen=True, eq=False)
class Percentiles:
    """The percentiles ``(1, channel)`` of one image, or of several together; of each, what else its pass has seen.

    Attributes
    ----------
    values
        Percentiles.
    padded
        Whether the edges (`NAN_EDGES`) of an image are NaN; nothing where nobody looked.
    lost
        Pixels that are NaN in every channel; nothing where nobody counted.
    """

    values: Array
    padded: tuple[bool, ...] = ()
    lost: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, to the last bit."""
        return {"values": _to_json(self.values), "padded": list(self.padded), "lost": list(self.lost)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Percentiles:
        """Return what `to_json` gave."""
        return Percentiles(_from_json(value["values"]), tuple(map(bool, value["padded"])), tuple(map(int, value["lost"])))


@named("collect-percentiles")
@dataclass(frozen=True)
class Collect:
    """Puts together what one pass found: percentiles, edges of so many images, and then the numbers of NaN by channel."""

    edges: int

    def __call__(self, values: Array, *more: Array) -> Percentiles:
        """Return it."""
        edges, nan = more[: self.edges], more[self.edges :]
        # A pixel that is left out is NaN in every channel.
        return Percentiles(values, tuple(bool(one.any()) for one in edges), tuple(int(one.min()) for one in nan))


@named("pooled-mean")
@dataclass(frozen=True)
class Mean:
    """The mean over images of a percentile, per channel, by the rules for channels that are empty.

    Attributes
    ----------
    name
        ``p``, ``p_sum`` or ``p_post``.
    images, channels
        Names, for the warnings.
    dtype
        Working type: percentiles are rounded to it before the mean, as the reference does.
    skip_empty
        Leave NaN (empty channels) out of the mean; where all are, 1 (0 for the threshold ``p_sum``).
    filled
        Names of the images whose edges were looked at; None of those that nobody filled up.
    """

    name: str
    images: tuple[str, ...]
    channels: tuple[Any, ...]
    dtype: np.dtype[Any]
    skip_empty: bool
    filled: tuple[str | None, ...] = ()

    def __call__(self, *found: Percentiles) -> Statistic:
        """Return the statistic of the percentiles of every image; warns."""
        each = np.stack([one.values[0] for one in found]).astype(self.dtype)
        edges = [wrong for one in found for wrong in one.padded]
        padded = [name for name, wrong in zip(self.filled, edges, strict=True) if name is not None and wrong]
        complaints = [*((padding_message(name), PaddedImageWarning) for name in padded), *self.complaints(each)]
        for message, category in complaints:
            warnings.warn(message, category, stacklevel=2)
        lost = [count for one in found for count in one.lost]
        left_out = np.array(lost, np.float64) if lost else None
        return Statistic(self._mean(each), each, tuple(message for message, _ in complaints), left_out)

    def _mean(self, each: Array) -> Array:
        if not self.skip_empty:
            return np.asarray(each.mean(axis=0), self.dtype)
        size = (~np.isnan(each)).sum(axis=0)
        total = np.nansum(each, axis=0, dtype=self.dtype)
        missing = 0.0 if self.name == "p_sum" else 1.0
        return np.where(size > 0, total / np.maximum(size, 1).astype(self.dtype), missing).astype(self.dtype)

    def complaints(self, each: Array) -> list[tuple[str, type[Warning]]]:
        """Return what is wrong with the percentiles ``(image, channel)``, in words."""
        found: list[tuple[str, type[Warning]]] = []
        for image, row in zip(self.images, each, strict=True):
            where = f" of {image}" if image else ""
            empty = _names(self.channels, np.isnan(row))
            if empty and self.name == "p":
                found.append(
                    (f"no pixel but zeros and NaN in channel {empty}{where}: it is not normalised.", EmptyChannelWarning)
                )
            wrong = _names(self.channels, row <= 0)
            if wrong and self.name != "p_sum":
                found.append(
                    (f"{self.name} of channel {wrong}{where} is not positive: dividing by it flips signs.", PercentileWarning)
                )
        return found


def _to_json(values: Array) -> dict[str, Any]:
    # Hexadecimal: JSON has no NaN, and what is read must be what was computed.
    return {"dtype": values.dtype.str, "shape": list(values.shape), "values": [float(v).hex() for v in values.ravel()]}


def _from_json(value: Mapping[str, Any]) -> Array:
    numbers = [float.fromhex(text) for text in value["values"]]
    return np.array(numbers, np.dtype(value["dtype"])).reshape(value["shape"])


def _names(channels: Sequence[Any], which: Array) -> str:
    several = len(set(channels)) < len(channels)
    titles = channel_titles(channels) if several else map(repr, channels)
    return ", ".join(title for title, wrong in zip(titles, which, strict=True) if wrong)
