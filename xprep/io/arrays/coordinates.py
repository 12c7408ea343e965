"""Coordinates: small arrays beside the pixels, written so that plain xarray takes them for what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, Literal

import numcodecs
import numpy as np
import zarr
from zarr.abc.buffer import Buffer
from zarr.buffer import default_buffer_prototype
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.errors import NodeTypeValidationError
from zarr.storage import MemoryStore

from xprep.errors import ChunkError, StoreFormatError
from xprep.io.arrays.declarations import declare_values
from xprep.io.arrays.metadata import ArrayNode, find_array
from xprep.io.arrays.reads import Missing
from xprep.io.codecs.chunk_grid import UnitGrid
from xprep.io.codecs.inflation import COORDINATE_BYTES, check_inflation
from xprep.io.codecs.rectilinear import ragged_lengths
from xprep.io.json_documents import encode_json, parse_json
from xprep.io.store.advice import explain
from xprep.io.store.places import Place
from xprep.types import Array

# A coordinate is read whole, at once: as many bytes as it may inflate to, a value no longer than a long name, a file each chunk.
MAX_COORDINATE: Final = COORDINATE_BYTES
MAX_ITEM: Final = 2**16
MAX_CHUNKS: Final = 2**17


@dataclass(frozen=True, eq=False)
class Coord:
    """A coordinate: names of its dims, values, attributes; as xarray's ``(dims, data, attrs)``."""

    dims: tuple[str, ...]
    values: Array
    attributes: Mapping[str, Any] = field(default_factory=dict)


def encode_coord(coord: Coord, zarr_format: Literal[2, 3], where: str) -> Mapping[str, bytes]:
    """Return the objects of ``coord``, an array that errors call ``where``, by their names in its folder.

    Raises
    ------
    TypeError
        A dtype that has no form in Zarr: objects other than strings, complex numbers.
    """
    values, extra = _storable(coord, where)
    attributes = {**plain(coord.attributes, where), **extra}
    text = values.dtype == object
    how = {"dtype": str if text else values.dtype, "attributes": attributes}
    # With checksums, as pixels have them: zstd alone decodes a flipped bit to another place.
    if zarr_format == 3:
        return declare_values(
            values, **how, zarr_format=3, dimension_names=coord.dims, compressors=(ZstdCodec(level=0), Crc32cCodec())
        ).objects
    attributes["_ARRAY_DIMENSIONS"] = list(coord.dims)
    # Without a fill value, or xarray takes v2's for "missing" and a coordinate 0 for NaN.
    fill = {} if text else {"fill_value": None}
    keys = {"name": "v2", "configuration": {"separator": "/"}}
    zstd = numcodecs.Zstd(level=0, checksum=True)
    made = declare_values(values, **how, **fill, zarr_format=2, chunk_key_encoding=keys, compressors=zstd).objects
    return {**made, ".zarray": _without_checksum(made[".zarray"], where)}


def _without_checksum(metadata: bytes, where: str) -> bytes:
    """Return v2 metadata that do not say that zstd has a checksum: libzstd looks at it all the same; not all readers know it."""
    found = parse_json(metadata, where)
    del found["compressor"]["checksum"]
    return encode_json(found)


def _storable(coord: Coord, where: str) -> tuple[Array, dict[str, Any]]:
    values = np.asarray(coord.values)
    if values.dtype.kind == "M":
        since = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
        return values.astype("datetime64[ns]").astype(np.int64), since
    if values.dtype.kind == "m":
        # The unit alone is a duration to nobody since xarray 2026; with the type it is, to older ones too.
        return values.astype("timedelta64[ns]").astype(np.int64), {"dtype": "timedelta64[ns]", "units": "nanoseconds"}
    if values.dtype.kind in "OTU":
        if any(not isinstance(value, str) for value in values.astype(object).flat):
            raise TypeError(f"the coordinate {where} holds objects which are not strings.")
        # Variable length: Zarr v3's fixed-length strings are zarr-python's own and no other reader knows them.
        return values.astype(object), {}
    if values.dtype.kind not in "buif":
        raise TypeError(f"the coordinate {where} is {values.dtype}; numbers, strings, dates and bool can be written.")
    return values, {}


def read_coord(place: Place, missing: Missing = "fill") -> Coord:
    """Return the array in the folder ``place``, read whole, as `read_coords` does."""
    return read_coords(place, {"": find_array(place)}, missing)[""]


def read_coords(place: Place, nodes: Mapping[str, ArrayNode], missing: Missing = "fill") -> dict[str, Coord]:
    """Return arrays below ``place``, read whole, in one round of requests; strings as objects, dates not decoded.

    Each chunk is fetched once and looked at before it is decoded. Zarr gives fill values for a chunk that is missing, and to ask
    afterwards whether it was does not tell: a server that lost it for a moment has it again.

    Raises
    ------
    StoreFormatError
        An array that is too large for a coordinate, or cannot be one.
    ChunkError
        It cannot be read, or (``missing="error"``) its chunk is not there.
    """
    kept: dict[str, dict[str, Buffer]] = {name: {} for name in nodes}
    arrays = {name: _small(node, kept[name]) for name, node in nodes.items()}
    keys = [(name, key) for name, array in arrays.items() for key in _chunk_keys(array, nodes[name])]
    for (name, key), data in zip(keys, _fetched(place, nodes, keys), strict=True):
        if data is not None:
            kept[name][key] = default_buffer_prototype().buffer.from_bytes(data)
        elif missing == "error":
            raise ChunkError(
                f"chunk {key!r} of the coordinate {nodes[name].place}: not in the store, which was written complete."
            )
    return {name: _decoded(nodes[name], array, kept[name]) for name, array in arrays.items()}


def _small(node: ArrayNode, objects: dict[str, Buffer]) -> zarr.Array[Any]:
    """Return a coordinate's array, over ``objects`` in memory."""
    array = node.array(MemoryStore(objects))
    nbytes, chunks = prod(array.shape) * array.dtype.itemsize, prod(-(-n // max(1, m)) for n, m in _units(array, node))
    if nbytes > MAX_COORDINATE or chunks > MAX_CHUNKS or array.dtype.itemsize > MAX_ITEM:
        raise StoreFormatError(
            f"{node.place} of shape {list(array.shape)}, {array.dtype}, in {chunks} chunks is too large to be a coordinate: "
            f"at most {MAX_COORDINATE} bytes, {MAX_ITEM} a value, in {MAX_CHUNKS} chunks."
        )
    return array


def _units(array: zarr.Array[Any], node: ArrayNode) -> list[tuple[int, int]]:
    """Return the length of every axis, and that of a chunk along it; 1 where they differ."""
    ragged = ragged_lengths(node.metadata, str(node.place)) is not None
    unit = (1,) * len(array.shape) if ragged else array.shards or array.chunks
    return list(zip(array.shape, unit, strict=True))


def _chunk_keys(array: zarr.Array[Any], node: ArrayNode) -> list[str]:
    ragged = ragged_lengths(node.metadata, str(node.place))
    unit = () if ragged is not None else array.shards or array.chunks
    counts = UnitGrid(array.shape, tuple(max(1, n) for n in unit)).lengths if ragged is None else tuple(map(len, ragged))
    return [array.metadata.encode_chunk_key(at) for at in np.ndindex(*counts)]


def _fetched(place: Place, nodes: Mapping[str, ArrayNode], keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
    names = [f"{name}/{key}" if name else key for name, key in keys]
    try:
        return place.get_many(names)
    except OSError as error:
        raise ChunkError(f"cannot read coordinates of {place}, one of the chunks {', '.join(names[:4])}: {error}") from None


def _decoded(node: ArrayNode, array: zarr.Array[Any], objects: Mapping[str, Buffer]) -> Coord:
    try:
        for data in objects.values():
            check_inflation(node.metadata, data.to_bytes())
        values = np.asarray(array[...])
    except (ValueError, TypeError, KeyError, NodeTypeValidationError) as error:
        raise StoreFormatError(f"{node.place} cannot be read as a coordinate: {error}") from None
    except ChunkError:
        raise
    except Exception as error:  # noqa: BLE001  (codecs have errors of their own)
        raise ChunkError(str(explain(error, f"cannot read the coordinate {node.place}", node.place.secrets))) from None
    attributes = dict(array.attrs)
    named: Any = getattr(array.metadata, "dimension_names", None) or attributes.pop("_ARRAY_DIMENSIONS", None)
    dims = tuple(str(name) for name in named) if isinstance(named, list | tuple) and len(named) == values.ndim else ()
    return Coord(dims, values.astype(object) if values.dtype.kind in "TU" else values, attributes)


def plain(value: Any, where: str = "an attribute") -> Any:
    """Return ``value`` as what JSON knows: numpy's numbers and arrays become Python's, infinities and NaN become text.

    Raises
    ------
    TypeError
        Something that has no form in JSON.

    Examples
    --------
    >>> plain({"a": np.float32(1.5), "b": (1, np.inf)})
    {'a': 1.5, 'b': [1, 'inf']}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), where)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item, where) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}, which JSON cannot hold; make it a text or a number.")
