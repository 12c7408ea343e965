"""What is stored about arrays: their metadata, of many in one round of requests, and what tells one state from another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import zarr
from zarr.abc.store import Store
from zarr.storage import StorePath

from xprep.errors import StoreFormatError
from xprep.io.arrays.metadata_limits import check_array_metadata
from xprep.io.codecs.rectilinear import allowed
from xprep.io.json_documents import parse_json
from xprep.io.json_nodes import brief
from xprep.io.store.files.stores import FileStore
from xprep.io.store.places import Place


@dataclass(frozen=True)
class ArrayNode:
    """An array as a store describes it.

    Parameters
    ----------
    place : Place
        Its folder.
    metadata : dict
        Its JSON, with the attributes.
    identity : str
        A text that changes when the array is written anew: of its URL, its metadata, and their date. In a bucket there is no
        date that every store gives; there, an array that is written again with the same metadata has the same identity.
    """

    place: Place
    metadata: dict[str, Any] = field(repr=False)
    identity: str = ""

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """The format."""
        return 2 if self.metadata.get("zarr_format") == 2 else 3

    def array(self, store: Store | None = None) -> zarr.Array[Any]:
        """Return zarr's array, in ``store`` if one is given: its metadata are checked, nothing is asked of a store.

        Raises
        ------
        StoreFormatError
            Metadata that no image has, see `check_array_metadata`; or that zarr does not know.
        """
        check_array_metadata(self.metadata, self.place.url)
        where = StorePath(self.place.store, self.place.path) if store is None else StorePath(store)
        try:
            with allowed(self.metadata, self.place.url):
                return zarr.Array.from_dict(where, self.metadata)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
            # of hostile metadata too: a fill value that its dtype has not, a codec told a text instead of a number
            raise StoreFormatError(f"{self.place} is not a Zarr array that can be opened: {brief(error, 600)}") from None


def find_arrays(place: Place, names: Sequence[str], zarr_format: Literal[2, 3] | None = None) -> dict[str, ArrayNode]:
    """Return the arrays among ``names`` below ``place``; one round of requests a format, of both where it is not known.

    Raises
    ------
    StoreFormatError
        Metadata that are no JSON object, too large or nested too deeply.
    """
    found: dict[str, ArrayNode] = {}
    if zarr_format in (3, None):
        found |= _read(place, names, ["zarr.json"])
    if zarr_format in (2, None) and (rest := [name for name in names if name not in found]):
        found |= _read(place, rest, [".zarray", ".zattrs"])
    return {name: node for name, node in found.items() if node.metadata.get("node_type", "array") == "array"}


def find_array(place: Place) -> ArrayNode:
    """Return the array in the folder ``place``.

    Raises
    ------
    StoreFormatError
        There is none.
    FileNotFoundError
        There is nothing at all.
    """
    if (node := find_arrays(place, [""]).get("")) is not None:
        return node
    if (other := place.read_json("zarr.json")) is not None:
        raise StoreFormatError(f"{place} is a Zarr {other.get('node_type')}, not an array.")
    check_something(place)
    raise StoreFormatError(f"{place} holds no Zarr array (no zarr.json, no .zarray).")


def check_something(place: Place) -> None:
    """Say so where there is nothing at all, before it is said of what is there that it is no store.

    Raises
    ------
    FileNotFoundError
        There is nothing.
    """
    try:
        found = place.list_folder()
    except OSError:
        return  # http lists nothing
    if not found:
        raise FileNotFoundError(f"there is nothing at {place}: no such store, folder or bucket.")


def _read(place: Place, names: Sequence[str], files: Sequence[str]) -> dict[str, ArrayNode]:
    """Return what ``names`` are whose first of ``files`` is there; attributes may be the second."""
    keys = [f"{name}/{file}" if name else file for name in names for file in files]
    found = place.get_metadata(keys)
    nodes: dict[str, ArrayNode] = {}
    for i, name in enumerate(names):
        first, *others = found[i * len(files) : (i + 1) * len(files)]
        if first is None:
            continue
        below = place.child(name)
        metadata = parse_json(first, f"{below.url}/{files[0]}")
        for file, data in zip(files[1:], others, strict=True):
            metadata["attributes"] = {} if data is None else parse_json(data, f"{below.url}/{file}")
        nodes[name] = ArrayNode(below, metadata, _identify(below, files[0], first))
    return nodes


def _identify(place: Place, file: str, data: bytes) -> str:
    digest = blake2b(place.url.encode(), digest_size=16)
    digest.update(data)
    if isinstance(place.store, FileStore):
        digest.update(place.store.source.state.encode())
    if (folder := place.folder) is not None:
        with suppress(FileNotFoundError):
            digest.update(str((folder / file).stat().st_mtime_ns).encode())
    return digest.hexdigest()
