"""Types that more than one layer speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Region: TypeAlias = tuple[slice, ...]
Chunks: TypeAlias = tuple[tuple[int, ...], ...]
Intermediates = Literal["auto", "recompute", "persist", "spill"]
INTERMEDIATES: tuple[str, ...] = get_args(Intermediates)
METHODS = ("mean", "max", "nearest", "mode", "gaussian")  # by which levels of a pyramid are made
Boundary = Literal["reflect", "nearest", "mirror", "wrap", "constant"]
Sigma: TypeAlias = float | str | Sequence[float | str] | Mapping[Any, float | str]


class WrittenName(str):
    """What somebody wrote for a channel where all is text (a command line, a recipe): the name, whatever it looks like.

    ``488`` is the channel of that name, if there is one; otherwise the position.
    """

    __slots__ = ()


class Readable(Protocol):
    """What can give a part of itself as numpy: a Zarr array, a spilled intermediate, an array in memory.

    Implementations are picklable, safe to read from several threads, and hold no pixels unless they are the memory.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the smallest part which is read whole (a shard's inner chunk, a chunk)."""

    def read(self, region: Region) -> Array:
        """Return ``region`` (one slice of step 1 per axis) as a new array; raises `ChunkError` on a bad chunk."""


class Writable(Protocol):
    """What can be filled part by part: a Zarr array that io created."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""

    @property
    def unit(self) -> tuple[int, ...]:
        """Shape of the unit of writing: the shard, or the chunk where there are none."""

    def write(self, region: Region, block: Array) -> Any:
        """Write ``block`` to ``region``, which covers whole units (the array's edge aside); return what was stored."""


class Listener(Protocol):
    """Who wants to know how a run goes. The engine announces; bars, logs and tests listen."""

    def started(self, stage: str, total: int) -> None:
        """Hear that ``stage`` begins, and has ``total`` steps."""

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        """Hear that ``steps`` more steps are done, which moved ``nbytes``."""

    def finished(self, stage: str) -> None:
        """Hear that ``stage`` is over."""
