"""Whether everything that was written to a store is in it: asked of one listing, before anybody says that it is finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from xprep.errors import UnfinishedStoreError
from xprep.io.journal import MANIFEST
from xprep.io.stores import Place
from xprep.io.writes import ZarrWritable
from xprep.types import Array


def check_pyramids(
    place: Place,
    pyramids: Mapping[str, Mapping[str, ZarrWritable]],
    dual: bool,
    zarr_format: Literal[2, 3],
    stored: Mapping[str, Sequence[Array]] | None,
    pixels: bool,
) -> None:
    """Refuse a store that lacks anything of its image (``""``) and label images, whose levels are given by their paths.

    Raises
    ------
    UnfinishedStoreError
        Naming the first object that is not there.
    """
    have, names = place.list_sizes(sum(array.about for levels in pyramids.values() for array in levels.values())), []
    for name, levels in pyramids.items():
        known = (stored or {}).get(name, [None] * len(levels))
        names += node_objects(f"labels/{name}", "group", zarr_format) if name else []
        for (path, array), objects in zip(levels.items(), known, strict=True):
            names += level_objects(path, array, dual, zarr_format)
            if pixels:
                check_units(array, have, path, objects)
    check_objects(place, have, names)


def check_units(array: ZarrWritable, have: Mapping[str, int], path: str, stored: Array | None) -> None:
    """Refuse an array, at ``path`` of a store with the objects ``have``, that lacks units, or has them in another size.

    Raises
    ------
    UnfinishedStoreError
        Naming the first.
    """
    before = f"{path}/"
    inside = {key.removeprefix(before): size for key, size in have.items() if key.startswith(before)}
    lost = array.missing_units(stored, inside)
    if not lost and stored is not None and array.place.keeps_notes and MANIFEST not in inside:
        lost = [MANIFEST]
    if lost:
        raise UnfinishedStoreError(
            f"{array.place} lacks {len(lost)} of its chunks, the first is {lost[0]!r}: they were not "
            "written, or the store lost them. It stays unfinished; run again with resume=True."
        )


def check_objects(place: Place, have: Mapping[str, int], names: Sequence[str]) -> None:
    """Refuse a store that lacks metadata or coordinates.

    Raises
    ------
    UnfinishedStoreError
        Naming the first.
    """
    if lost := [name for name in names if name not in have]:
        raise UnfinishedStoreError(
            f"{place} lacks {lost[0]!r}, which was written: the store lost it. It stays unfinished; run again with resume=True."
        )


def node_objects(path: str, kind: Literal["group", "array"], zarr_format: Literal[2, 3]) -> list[str]:
    """Return the names of a node's metadata."""
    names = ["zarr.json"] if zarr_format == 3 else [".zarray" if kind == "array" else ".zgroup", ".zattrs"]
    return [f"{path}/{name}" if path else name for name in names]


def coord_objects(path: str, ndim: int, zarr_format: Literal[2, 3]) -> list[str]:
    """Return the names of the objects of a coordinate, which is one chunk."""
    chunk = "/".join(["c", *"0" * ndim]) if zarr_format == 3 else "/".join("0" * max(ndim, 1))
    return [*node_objects(path, "array", zarr_format), f"{path}/{chunk}" if path else chunk]


def level_objects(path: str, array: ZarrWritable, dual: bool, zarr_format: Literal[2, 3]) -> Iterator[str]:
    """Yield the names of all objects of a level but its pixels: metadata, and coordinates beside it."""
    yield from node_objects(path, "array", zarr_format)
    if not dual:
        return
    above = path.rpartition("/")[0]
    yield from node_objects(above, "group", zarr_format)
    for name, ndim in array.coords.items():
        yield from coord_objects(f"{above}/{name}", ndim, zarr_format)
