"""Zarr arrays as what the engine reads from and writes to: `ZarrReadable` and `ZarrWritable`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.storage import MemoryStore

from xprep.errors import StoreFormatError
from xprep.io.arrays.chunk_errors import lost, naming, unreadable
from xprep.io.arrays.metadata import ArrayNode, find_array
from xprep.io.arrays.packing import Decoding
from xprep.io.codecs.bounded_codecs import bound_array
from xprep.io.codecs.chains import Chain, Shard, is_stored, read_chain
from xprep.io.codecs.chunk_grid import UnitGrid
from xprep.io.codecs.inflation import find_unbounded
from xprep.io.codecs.rectilinear import RaggedGrid, ragged_lengths
from xprep.io.private_zarr import sync
from xprep.io.store.deadlines import in_time
from xprep.io.store.files.stores import FileStore
from xprep.io.store.keys import BYTES_PER_SECOND, read_file_into
from xprep.io.store.places import Place
from xprep.options import options
from xprep.types import Array, Region

Missing = Literal["fill", "error"]
Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ZarrReadable:
    """A Zarr array to read from; picklable, safe to read from several threads.

    Parameters
    ----------
    array : zarr.Array
        The array.
    place : Place
        Its folder.
    missing : {"fill", "error"}
        What a chunk that is not in the store means: the fill value, as Zarr has it, or a loss.
    keeper : object
        Whatever must live as long as this: the scratch folder it lies in.
    identity : str
        What tells it from others, and from what was there before: `ArrayNode.identity`.
    decoding : Decoding, optional
        What is done with every block that was read, where numbers stand for others.
    """

    array: zarr.Array[Any] = field(repr=False)
    place: Place
    missing: Missing = "fill"
    keeper: object = field(default=None, repr=False)
    identity: str = field(default="", repr=False)
    decoding: Decoding | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # Found once, where it is opened: refused here, by the options of whoever opens it, and what travels to workers has it.
        _ = self._grid, self._unbounded, self.dtype, self.chunks

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self.array.shape)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers that are read, in this machine's order of bytes."""
        return self._stored if self.decoding is None else self.decoding.dtype

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk; the largest where they differ."""
        return tuple(self.array.chunks) if self._ragged is None else tuple(map(max, self._ragged))

    @cached_property
    def _stored(self) -> np.dtype[Any]:
        dtype = np.dtype(self.array.dtype)
        return dtype.newbyteorder("=") if dtype.kind in "iufc" else dtype

    @cached_property
    def _chain(self) -> Chain | Shard | None:
        return read_chain(self.array.metadata.to_dict(), np.dtype(self.array.dtype))

    @cached_property
    def _unbounded(self) -> str | None:
        trusted = self._chain is not None or options().unbounded_codecs
        return None if trusted else find_unbounded(self.array.metadata.to_dict())

    @cached_property
    def _ragged(self) -> Sequence[Sequence[int]] | None:
        return ragged_lengths(self.array.metadata.to_dict(), str(self.place))

    @cached_property
    def _grid(self) -> UnitGrid:
        if self._ragged is not None:
            return RaggedGrid.of(self.shape, self._ragged)
        return UnitGrid(self.shape, tuple(self.array.shards or self.array.chunks))

    @cached_property
    def _bounded(self) -> zarr.Array[Any]:
        return bound_array(self.array)

    def __getstate__(self) -> dict[str, Any]:
        # Made anew where it is read: zarr's shards go through JSON when they are pickled, which knows of no bounds.
        return {name: value for name, value in self.__dict__.items() if name != "_bounded"}

    @property
    def unit(self) -> tuple[int, ...]:
        """Shape of the stored objects: the shard, or the chunk where there are none; the largest where they differ."""
        return self._grid.unit

    @property
    def grid(self) -> UnitGrid:
        """The stored objects over the array."""
        return self._grid

    @property
    def cost(self) -> Literal["memory", "local", "remote"]:
        """What reading it again costs: nothing, decoding, or the network as well."""
        if self.place.folder is not None or (isinstance(self.place.store, FileStore) and self.place.store.source.is_local):
            return "local"
        return "memory" if isinstance(self.array.store, MemoryStore) else "remote"

    @property
    def attributes(self) -> dict[str, Any]:
        """The array's attributes."""
        return dict(self.array.attrs)

    @property
    def dims(self) -> tuple[str, ...] | None:
        """Names of the dimensions, of Zarr v3 or of xarray's v2 attribute; None where there are none."""
        if not self.shape:
            return ()
        names: Any = getattr(self.array.metadata, "dimension_names", None) or self.array.attrs.get("_ARRAY_DIMENSIONS")
        known = isinstance(names, list | tuple) and len(names) == len(self.shape) and None not in names
        return tuple(str(name) for name in names) if known else None

    def check_bounds(self) -> None:
        """Refuse an array in a codec that may inflate a small chunk to anything.

        Raises
        ------
        StoreFormatError
            It names the codec, and how to read it all the same.
        """
        if self._unbounded:
            raise StoreFormatError(
                f"{self.place}: what the codec {self._unbounded!r} inflates a chunk to cannot be bounded, so a small file could "
                "take all memory. If you trust who made it: xprep.set_options(unbounded_codecs=True)."
            )

    def read(self, region: Region) -> Array:
        """Return ``region`` as a new array.

        Raises
        ------
        ChunkError
            A chunk is corrupt or cut short, cannot be had, or (``missing="error"``) is not there.
        StoreFormatError
            See `check_bounds`.
        """
        whole = self._checked(region)
        out = np.empty(tuple(part.stop - part.start for part in whole), self._stored)
        if out.size:
            self._read_stored(whole, out)
        return out if self.decoding is None else self.decoding(out)

    def _read_stored(self, region: Region, out: Array) -> None:
        if self._chain is None:
            self._read_through_zarr(region, out)
        elif isinstance(self._chain, Shard):
            self._read_shards(self._chain, region, out)
        else:
            self._read_chunks(self._chain, region, out)

    def chunk_key(self, position: Sequence[int]) -> str:
        """Return the name of the stored object at ``position``, below the array's folder."""
        return str(self.array.metadata.encode_chunk_key(tuple(position)))

    def _checked(self, region: Region) -> Region:
        if len(region) != len(self.shape):
            raise ValueError(f"a region of {self.place} has {len(self.shape)} slices; got {len(region)}.")
        spans = [part.indices(length) for part, length in zip(region, self.shape, strict=True)]
        if any(step != 1 for _, _, step in spans):
            raise ValueError(f"a region has slices of step 1; got {region}.")
        return tuple(slice(start, max(start, stop)) for start, stop, _ in spans)

    def _read_chunks(self, chain: Chain, region: Region, out: Array) -> None:
        positions = list(self._grid.positions(region))
        if chain.is_plain and self.place.folder is not None and self._grid.covers_whole_chunks(region):
            self._read_plain(self.place.folder, positions, region, out)
            return
        for position, data in zip(positions, self._fetched(positions, out.nbytes), strict=True):
            there, here = self._grid.cut(region, position)
            with naming(self.place, self.chunk_key(position)):
                self._decode(chain, data, here, _part(out, there), position)

    def _read_plain(self, folder: Path, positions: list[tuple[int, ...]], region: Region, out: Array) -> None:
        """Read uncompressed files, as spilled intermediates are, into their place: no buffer, no copy."""
        for position in positions:
            target = _part(out, self._grid.cut(region, position)[0])
            direct = target if target.flags.c_contiguous else np.empty(target.shape, self._stored)
            with naming(self.place, self.chunk_key(position)):
                found = read_file_into(folder, self.chunk_key(position), direct.reshape(-1).view(np.uint8).data)
                if found is None:
                    direct[...] = self._fill(position)
                elif found != direct.nbytes:
                    raise ValueError(f"{found} bytes instead of {direct.nbytes}")
            if direct is not target:
                target[...] = direct

    def _decode(self, chain: Chain, data: Any, here: Region, target: Array, position: tuple[int, ...]) -> None:
        if data is None:
            target[...] = self._fill(position)
        elif target.shape == chain.shape and target.flags.c_contiguous:
            chain.decode(data, target)
        else:
            chunk = np.empty(chain.shape, self._stored)
            chain.decode(data, chunk)
            target[...] = chunk[here]

    def _read_shards(self, shard: Shard, region: Region, out: Array) -> None:
        positions = list(self._grid.positions(region))
        inner = UnitGrid(shard.shape, shard.inner.shape)
        for position in positions:
            there, here = self._grid.cut(region, position)
            with naming(self.place, self.chunk_key(position)):
                wanted = list(inner.positions(here))
                for at, data in zip(wanted, self._fetch_parts(shard, position, wanted), strict=True):
                    inside, part = inner.cut(here, at)
                    self._decode(shard.inner, data, part, _part(_part(out, there), inside), position)

    def _fetched(self, positions: Sequence[Index], nbytes: int) -> Iterator[bytes | None]:
        """Yield the bytes of chunks: files one by one, objects as many at once as fill ``nbytes``, and eight at least."""
        size = prod(self.chunks) * self._stored.itemsize
        most = 1 if self.place.folder is not None else max(8, nbytes // max(1, size))
        for first in range(0, len(positions), most):
            yield from self._fetch(positions[first : first + most])

    def _fetch(self, positions: Sequence[tuple[int, ...]]) -> list[bytes | None]:
        names = [self.chunk_key(position) for position in positions]
        try:
            return self.place.get_many(names)
        except OSError as error:
            raise unreadable(self.place, names, error) from None

    def _fetch_parts(self, shard: Shard, position: Index, wanted: Sequence[Index]) -> list[memoryview | bytes | None]:
        """Return the bytes of the chunks ``wanted`` of one shard: one request for most of it, else one per chunk."""
        if 2 * len(wanted) > prod(shard.grid):
            return self._parts_of_whole(shard, position, wanted)
        name, size = self.chunk_key(position), shard.index_nbytes
        table = self.place.get_many([name], [(-size, 0) if shard.index_at_end else (0, size)])[0]
        if table is None:
            return [None] * len(wanted)
        index = shard.read_index(table)
        stored = [at for at in wanted if is_stored(index[at], 2**63)]
        spans = [(int(index[at][0]), int(index[at].sum())) for at in stored]
        found = dict(zip(stored, self.place.get_many([name] * len(spans), spans), strict=True))
        return [found.get(at) for at in wanted]

    def _parts_of_whole(self, shard: Shard, position: Index, wanted: Sequence[Index]) -> list[memoryview | bytes | None]:
        data = self._fetch([position])[0]
        if data is None:
            return [None] * len(wanted)
        index, view = shard.split(data), memoryview(data)
        return [view[int(index[at][0]) : int(index[at].sum())] if is_stored(index[at], len(data)) else None for at in wanted]

    def _read_through_zarr(self, region: Region, out: Array) -> None:
        self.check_bounds()
        names = [self.chunk_key(position) for position in self._grid.positions(region)]
        self.place.check_links(names)
        if self.missing == "error" and (gone := self.place.missing(names)):
            raise lost(self.place, gone)
        try:
            out[...] = self._from_zarr(region, names[0], out.nbytes)
        except Exception as error:  # noqa: BLE001  (every codec has its own; the chunk is named whatever it was)
            raise unreadable(self.place, names, error) from None

    def _from_zarr(self, region: Region, name: str, nbytes: int) -> Any:
        if self.place.folder is not None:
            return self._bounded[region]
        seconds = self.place.deadline + nbytes / BYTES_PER_SECOND
        return sync(in_time(self._bounded.async_array.getitem(region), name, seconds))

    def _fill(self, position: tuple[int, ...]) -> Any:
        if self.missing == "error":
            raise lost(self.place, [self.chunk_key(position)])
        return 0 if self.array.fill_value is None else self.array.fill_value


def _part(array: Array, region: Region) -> Array:
    """Return a view of ``region``; of an array without axes itself, whose index would be a copy."""
    return array[region] if region else array


def open_array(place: Place, missing: Missing = "fill") -> ZarrReadable:
    """Open the Zarr array in the folder ``place``; its metadata are checked first.

    Raises
    ------
    StoreFormatError
        No array there, or metadata that no image has: see `check_array_metadata`.
    """
    return open_node(find_array(place), missing)


def open_node(node: ArrayNode, missing: Missing = "fill") -> ZarrReadable:
    """Return the array ``node`` to read from; nothing is asked of the store."""
    return ZarrReadable(node.array(), node.place, missing, identity=node.identity)
