"""The units of an array, chunks or shards: which of them a region touches, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from xprep.types import Region


@dataclass(frozen=True)
class UnitGrid:
    """A regular grid of units over an array."""

    shape: tuple[int, ...]
    unit: tuple[int, ...]

    def positions(self, region: Region) -> Iterator[tuple[int, ...]]:
        """Yield the units that ``region`` touches."""
        spans = (
            range(part.start // size, -(-part.stop // size)) if part.stop > part.start else range(0)
            for part, size in zip(region, self.unit, strict=True)
        )
        return product(*spans)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many units lie along each axis."""
        return tuple(-(-length // size) for length, size in zip(self.shape, self.unit, strict=True))

    def number(self, position: Sequence[int]) -> int:
        """Return the number of the unit at ``position``, counted in C order."""
        found = 0
        for length, at in zip(self.lengths, position, strict=True):
            found = found * length + at
        return found

    def position(self, number: int) -> tuple[int, ...]:
        """Return where the unit ``number`` is."""
        found = []
        for length in reversed(self.lengths):
            number, at = divmod(number, length)
            found.append(at)
        return tuple(reversed(found))

    def cut(self, region: Region, position: tuple[int, ...]) -> tuple[Region, Region]:
        """Return where the unit at ``position`` lies in ``region``, and which part of the unit that is."""
        there, here = [], []
        for part, size, at in zip(region, self.unit, position, strict=True):
            start, stop = max(part.start, at * size), min(part.stop, (at + 1) * size)
            there.append(slice(start - part.start, stop - part.start))
            here.append(slice(start - at * size, stop - at * size))
        return tuple(there), tuple(here)

    def covers_whole_chunks(self, region: Region) -> bool:
        """Whether ``region`` is made of units that are whole even at the array's edge."""
        return all(part.start % size == 0 and part.stop % size == 0 for part, size in zip(region, self.unit, strict=True))

    def covers_whole_units(self, region: Region) -> bool:
        """Whether ``region`` begins and ends at borders of units, or at the array's edge."""
        return all(
            part.start % size == 0 and (part.stop % size == 0 or part.stop == length)
            for part, size, length in zip(region, self.unit, self.shape, strict=True)
        )
