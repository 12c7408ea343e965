"""What is to be created: the levels of an image, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xprep.io.arrays.coordinates import Coord
from xprep.io.codecs.compression import DEFAULT_CODEC, Codec


@dataclass(frozen=True)
class LevelSpec:
    """One level to be created.

    Parameters
    ----------
    shape, chunks : tuple of int
        In pixels.
    shards : tuple of int, optional
        Multiples of the chunks.
    coords : mapping of str to Coord
        Written in the dual layout only.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    coords: Mapping[str, Coord] = field(default_factory=dict)


@dataclass(frozen=True)
class ArraySpec:
    """What the levels of an image have in common.

    Parameters
    ----------
    dims : tuple of str
        Names of the dimensions.
    dtype : str or numpy.dtype
        Of the pixels.
    codec : Codec
        How chunks are stored.
    attributes : mapping
        Of every level's array (``units``, ``long_name``, ``history``).
    """

    dims: tuple[str, ...]
    dtype: Any
    codec: Codec = DEFAULT_CODEC
    attributes: Mapping[str, Any] = field(default_factory=dict)
