"""New arrays, as the objects that a store is to hold: made in memory, so that nothing is asked of the store.

zarr's own creation asks the store what is there, makes groups above the array, and sends its requests side by side: where one
fails, the others go on behind the caller's back, and may arrive in a store that was begun again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import zarr
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from xprep.io.codecs.compression import DEFAULT_CODEC, Codec
from xprep.types import Array

# Without a fill value: xarray takes v2's 0 for "missing" and makes float32 with NaN of a uint16 image.
_V2_OPTIONS: Final[Mapping[str, Any]] = {
    "zarr_format": 2, "fill_value": None, "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}},
}  # fmt: skip


@dataclass(frozen=True)
class NewArray:
    """An array that is in no store yet.

    Parameters
    ----------
    metadata : mapping
        As zarr knows them.
    objects : mapping of str to bytes
        What is to be written, by names below the array's folder: its metadata; of a small one its chunk too.
    """

    metadata: dict[str, Any]
    objects: Mapping[str, bytes]


def declare_array(
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: Any,
    *,
    shards: Sequence[int] | None = None,
    dims: Sequence[str] | None = None,
    codec: Codec = DEFAULT_CODEC,
    attributes: Mapping[str, Any] | None = None,
    zarr_format: Literal[2, 3] = 3,
) -> NewArray:
    """Return an array of pixels, without any.

    Parameters
    ----------
    shape, chunks : sequence of int
        In pixels; a chunk longer than an axis is cut to it where there are no shards.
    dtype : dtype
        Whole numbers, floats or bool.
    shards : sequence of int, optional
        Multiples of ``chunks``; v3 only.
    dims : sequence of str, optional
        Names of the dimensions.
    codec : Codec
        How chunks are stored.
    attributes : mapping, optional
        JSON.
    zarr_format : {3, 2}
        The format.

    Raises
    ------
    TypeError
        A dtype that is no number.
    ValueError
        Lengths that do not fit; shards in v2.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "buif":
        raise TypeError(f"an image holds whole numbers, floats or bool; got {kind}.")
    if zarr_format == 2 and shards is not None:
        raise ValueError("Zarr v2 has no shards; write OME-Zarr 0.5, or leave shards out.")
    layout = _layout(tuple(shape), tuple(chunks), shards)
    options = {**codec.options(zarr_format), **(_v3_options(dims) if zarr_format == 3 else _V2_OPTIONS)}
    own = {"_ARRAY_DIMENSIONS": list(dims)} if zarr_format == 2 and dims is not None else {}
    return _in_memory(None, dtype=kind.newbyteorder("="), attributes={**(attributes or {}), **own}, **layout, **options)


def declare_values(values: Array, **options: Any) -> NewArray:
    """Return an array with its ``values``, in one chunk; ``options`` are those of zarr's creation."""
    chunk = tuple(max(length, 1) for length in values.shape)
    return _in_memory(values, shape=values.shape, chunks=chunk, config={"write_empty_chunks": True}, **options)


def _in_memory(values: Array | None, **options: Any) -> NewArray:
    objects: dict[str, Buffer] = {}
    array = zarr.create_array(MemoryStore(objects), **options)
    if values is not None:
        array[...] = values
    return NewArray(array.metadata.to_dict(), {name: data.to_bytes() for name, data in objects.items()})


def _layout(shape: tuple[int, ...], chunks: tuple[int, ...], shards: Sequence[int] | None) -> dict[str, Any]:
    if len(chunks) != len(shape) or any(chunk < 1 for chunk in chunks):
        raise ValueError(f"chunks need one length of at least 1 per axis of {shape}; got {chunks}.")
    if shards is None:
        fitting = tuple(min(chunk, max(length, 1)) for chunk, length in zip(chunks, shape, strict=True))
        return {"shape": shape, "chunks": fitting}
    if len(shards) != len(shape) or any(s < 1 or s % chunk for s, chunk in zip(shards, chunks, strict=False)):
        raise ValueError(f"shards {tuple(shards)} must be multiples of the chunks {chunks}.")
    # Small levels of a pyramid: no shard needs to be longer than the axis, in whole chunks.
    whole = (max(-(-length // chunk), 1) * chunk for length, chunk in zip(shape, chunks, strict=True))
    return {"shape": shape, "chunks": chunks, "shards": tuple(map(min, zip(shards, whole, strict=True)))}


def _v3_options(dims: Sequence[str] | None) -> dict[str, Any]:
    return {"zarr_format": 3, "dimension_names": None if dims is None else tuple(dims), "fill_value": 0}
