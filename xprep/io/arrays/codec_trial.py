"""How the chunks of a new image will be stored: told by metadata, and tried where the codecs are not xprep's own."""

from __future__ import annotations

from math import prod
from typing import Any, Final, Literal

import numpy as np
import zarr
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from xprep.errors import StoreFormatError
from xprep.io.arrays.declarations import declare_array
from xprep.io.arrays.metadata_limits import check_array_metadata
from xprep.io.arrays.specs import ArraySpec
from xprep.io.codecs.chains import read_chain
from xprep.io.codecs.inflation import find_unbounded, flat_chain
from xprep.options import options

_KEYS: Final = ("zarr_format", "codecs", "filters", "compressor")
# Codecs that are meant to be lossy: who gives one accepts that.
_LOSSY: Final = ("bitround", "quantize", "fixedscaleoffset", "scale_offset", "astype", "cast_value", "zfpy")


def stored_as(spec: ArraySpec, zarr_format: Literal[2, 3]) -> dict[str, Any]:
    """Return the part of an array's metadata that says how its chunks are stored.

    Raises
    ------
    ValueError
        Codecs that the format has not, that do not take such pixels, or that xprep would refuse to read again.
    """
    shape = (4,) * len(spec.dims)
    metadata = declare_array(shape, shape, spec.dtype, codec=spec.codec, zarr_format=zarr_format).metadata
    if read_chain(metadata, np.dtype(spec.dtype)) is None:
        _check_readable(metadata)
        _try(spec, shape, zarr_format)
    return {key: metadata[key] for key in _KEYS if key in metadata}


def _check_readable(metadata: dict[str, Any]) -> None:
    try:
        check_array_metadata(metadata, "compression")
    except StoreFormatError as error:
        raise ValueError(str(error)) from None
    if not options().unbounded_codecs and (name := find_unbounded(metadata)):
        raise ValueError(
            f"compression: what the codec {name!r} inflates a chunk to cannot be bounded, so xprep would refuse to read what it "
            "wrote. xprep.set_options(unbounded_codecs=True) allows it, to write and to read."
        )


def _try(spec: ArraySpec, shape: tuple[int, ...], zarr_format: Literal[2, 3]) -> None:
    """Write and read a chunk in memory."""
    objects: dict[str, Buffer] = {}
    pixels = np.arange(prod(shape)).reshape(shape).astype(np.dtype(spec.dtype).newbyteorder("="))
    try:
        how: dict[str, Any] = {"shape": shape, "chunks": shape, "dtype": pixels.dtype, "zarr_format": zarr_format}
        array = zarr.create_array(MemoryStore(objects), **how, **spec.codec.options(zarr_format))
        array[...] = pixels
        found = np.asarray(array[...])
    except Exception as error:  # noqa: BLE001  (every codec has its own)
        raise ValueError(
            f"compression: its codecs cannot store chunks of {spec.dtype} ({type(error).__name__}: {error}). Give others."
        ) from None
    meant = any(name in _LOSSY or name.startswith("imagecodecs_") for name, _ in flat_chain(array.metadata.to_dict()))
    if not meant and not np.array_equal(found, pixels):
        raise ValueError(f"compression: its codecs lose pixels of {spec.dtype}, and are not made to. Give others.")
