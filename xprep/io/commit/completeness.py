"""Whether everything that was written to a store is in it: asked of one listing, before anybody says that it is finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from xprep.errors import UnfinishedStoreError
from xprep.io.arrays.writes import ZarrWritable
from xprep.io.commit.journal import MANIFEST
from xprep.io.commit.object_checks import find_replaced
from xprep.io.store.listing import Objects
from xprep.io.store.places import Place
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
    have = place.list_objects(sum(array.about for levels in pyramids.values() for array in levels.values()))
    names: dict[str, int | None] = {}
    for name, levels in pyramids.items():
        known = (stored or {}).get(name, [None] * len(levels))
        names |= dict.fromkeys(node_objects(f"labels/{name}", "group", zarr_format) if name else [])
        for (path, array), objects in zip(levels.items(), known, strict=True):
            names |= level_objects(path, array, dual, zarr_format)
            if pixels:
                check_units(array, have, path, objects)
    check_objects(place, have.sizes, names)


def check_units(array: ZarrWritable, have: Objects, path: str, stored: Array | None) -> None:
    """Refuse an array, at ``path`` of a store with the objects ``have``, that lacks units, or has others than were written.

    Raises
    ------
    UnfinishedStoreError
        Naming the first.
    """
    before = f"{path}/"
    inside = {key.removeprefix(before): size for key, size in have.sizes.items() if key.startswith(before)}
    lost = array.missing_units(stored, inside)
    if not lost and stored is not None and have.md5s:
        md5s = {key.removeprefix(before): md5 for key, md5 in have.md5s.items() if key.startswith(before)}
        if replaced := find_replaced(array, stored, md5s):
            raise UnfinishedStoreError(
                f"{array.place}: {len(replaced)} of its chunks are not those that were written, the first is {replaced[0]!r}: "
                "another program wrote them, or the store changed them. It stays unfinished; run again with resume=True."
            )
    if not lost and stored is not None and array.place.keeps_notes and MANIFEST not in inside:
        lost = [MANIFEST]
    if lost:
        raise UnfinishedStoreError(
            f"{array.place} lacks {len(lost)} of its chunks, the first is {lost[0]!r}: they were not "
            "written, or the store lost them. It stays unfinished; run again with resume=True."
        )


def check_objects(place: Place, have: Mapping[str, int], names: Mapping[str, int | None]) -> None:
    """Refuse a store that lacks metadata or coordinates, or has them in another size, or empty where that is not known.

    Raises
    ------
    UnfinishedStoreError
        Naming the first.
    """
    lost = [name for name, size in names.items() if not have.get(name) or size not in (None, have[name])]
    if lost:
        raise UnfinishedStoreError(
            f"{place} lacks {lost[0]!r}, or a part of it, which was written: the store lost it. It stays unfinished; run again "
            "with resume=True."
        )


def node_objects(path: str, kind: Literal["group", "array"], zarr_format: Literal[2, 3]) -> list[str]:
    """Return the names of a node's metadata."""
    names = ["zarr.json"] if zarr_format == 3 else [".zarray" if kind == "array" else ".zgroup", ".zattrs"]
    return [f"{path}/{name}" if path else name for name in names]


def level_objects(path: str, array: ZarrWritable, dual: bool, zarr_format: Literal[2, 3]) -> dict[str, int | None]:
    """Return the names of all objects of a level but its pixels, with sizes where known: metadata, coordinates beside it."""
    above = path.rpartition("/")[0]
    nodes = [*node_objects(path, "array", zarr_format), *(node_objects(above, "group", zarr_format) if dual else [])]
    coords = {f"{above}/{name}/{key}": size for name, inside in array.coords.items() for key, size in inside.items()}
    return {**dict.fromkeys(nodes), **coords}
