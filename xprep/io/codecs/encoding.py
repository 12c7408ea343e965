"""Chunks to bytes through zarr-python: those in codecs that `xprep.io.codecs.chains` has no chain for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import zarr
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore, StorePath

from xprep.io.private_zarr import with_metadata
from xprep.types import Array


@dataclass(frozen=True, eq=False)
class ZarrEncoder:
    """What zarr-python makes of the units of an array.

    Parameters
    ----------
    array : zarr.Array
        The array.
    """

    array: zarr.Array[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a unit: the shard, or the chunk where there are none."""
        return tuple(self.array.shards or self.array.chunks)

    def encode(self, block: Array) -> bytes:
        """Return ``block``, of a unit's shape, as bytes."""
        objects: dict[str, Buffer] = {}
        config = replace(self.array.async_array.config, write_empty_chunks=True)
        with_metadata(self.array, StorePath(MemoryStore(objects)), config, shape=self.shape)[...] = block
        (data,) = objects.values()
        return data.to_bytes()
