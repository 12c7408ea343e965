"""Groups that hold images (plates, wells, series of one file): what they say, and what they say of those images that are there.

A plate that is made of another has its name, rows, columns and acquisitions, and lists the wells and fields that are whole.
"""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from xprep.io.groups import Entry, Group, list_images, read_groups
from xprep.io.ome import Version
from xprep.io.ome_read import find_ome
from xprep.io.ome_rules import KEYS
from xprep.io.ome_write import wrap
from xprep.io.status import MARK

SERIES: Final = "bioformats2raw.layout"
# What is not kept of a group's attributes: OME-Zarr's own, which are written anew, and whose store it was.
_OWN: Final = frozenset({"ome", MARK, SERIES, "series", *KEYS})

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Collection:
    """A group that holds images.

    Parameters
    ----------
    kind : {"plate", "well", "series"}
        Which of OME-Zarr's.
    ome : mapping
        What it says as OME-Zarr: of a plate ``plate``, of a well ``well``.
    others : mapping
        Its other attributes.
    wells : mapping of str to mapping
        Of a plate the attributes of its wells, by path; only of those that are there.
    images : tuple of Entry
        All that it lists, whether they are there or not.
    """

    kind: Literal["plate", "well", "series"]
    ome: Attributes
    others: Attributes
    wells: Mapping[str, Attributes]
    images: tuple[Entry, ...]


def read_collection(group: Group) -> Collection | None:
    """Return what ``group`` is if it holds images, and None if it is an image or something else, as a SpatialData object is.

    Raises
    ------
    StoreFormatError
        Metadata that are wrong, or paths that lead out of the group.
    """
    entries = () if group.is_image else tuple(list_images(group))
    if not entries or entries[0].kind == "element":
        return None
    ome = find_ome(group.attributes)
    kind: Any = next((key for key in ("plate", "well") if ome.get(key) is not None), "series")
    wells: dict[str, Attributes] = {}
    if kind == "plate":
        names = list(dict.fromkeys(entry.name for entry in entries))
        found = zip(names, read_groups(group.place, names), strict=True)
        wells = {name: one.attributes for name, one in found if one is not None and "well" in find_ome(one.attributes)}
    return Collection(kind, {kind: ome.get(kind)}, _others(group.attributes), wells, entries)


def _others(attributes: Attributes) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key not in _OWN}


def list_whole(collection: Collection, whole: Names[str], version: Version) -> dict[str, Attributes]:
    """Return the attributes of all groups of a collection, by path, in which the images at the paths ``whole`` are listed.

    Wells of which none is whole are left out; of a plate the root comes last.
    """
    if collection.kind == "series":
        listed = [entry.path for entry in collection.images if entry.path in whole]
        return {"OME": wrap({"series": listed}, version), "": {**collection.others, **wrap({SERIES: 3}, version)}}
    if collection.kind == "well":
        return {"": {**collection.others, **_well(collection.ome["well"], whole, "", version)}}
    there = {entry.name for entry in collection.images if entry.path in whole}
    wells = {
        path: {**_others(attributes), **_well(find_ome(attributes)["well"], whole, f"{path}/", version)}
        for path, attributes in collection.wells.items()
        if path in there
    }
    rows = dict.fromkeys(path.rpartition("/")[0] for path in wells if "/" in path)
    plate = completed(collection.ome["plate"])
    plate["wells"] = [well for well in plate["wells"] if well["path"] in wells]
    return {**{row: {} for row in rows}, **wells, "": {**collection.others, **_wrapped("plate", plate, version)}}


def _well(well: Attributes, whole: Names[str], before: str, version: Version) -> dict[str, Any]:
    images = [image for image in well["images"] if f"{before}{image['path']}" in whole]
    return _wrapped("well", {**well, "images": images}, version)


def _wrapped(key: str, value: Attributes, version: Version) -> dict[str, Any]:
    """Return a plate or a well as ``version`` has it: 0.4 says so inside."""
    inside = {"version": version} if version == "0.4" else {}
    return wrap({key: {**{name: one for name, one in value.items() if name != "version"}, **inside}}, version)


def completed(plate: Attributes) -> dict[str, Any]:
    """Return a plate with the rows, columns and indices that drafts of OME-Zarr left out: those of its wells' paths.

    Examples
    --------
    >>> found = completed({"wells": [{"path": "B/2"}, {"path": "B/10"}]})
    >>> found["columns"], found["wells"][1]
    ([{'name': '2'}, {'name': '10'}], {'path': 'B/10', 'rowIndex': 0, 'columnIndex': 1})
    """
    paths = [well["path"].split("/") for well in plate["wells"]]
    rows, columns = (_names(plate.get(key), paths, n) for n, key in enumerate(("rows", "columns")))
    wells = [_placed(well, rows, columns) for well in plate["wells"]]
    named = {"rows": [{"name": name} for name in rows], "columns": [{"name": name} for name in columns]}
    return {**named, **{key: value for key, value in plate.items() if value or key not in named}, "wells": wells}


def _placed(well: Attributes, rows: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """Return a well that says where it stands: as it does already, or as its path does."""
    row, _, column = well["path"].partition("/")
    found = {"rowIndex": (row, rows), "columnIndex": (column, columns)}
    return {**well, **{key: names.index(name) for key, (name, names) in found.items() if key not in well and name in names}}


def _names(given: Any, paths: Sequence[Sequence[str]], n: int) -> list[str]:
    if given:
        return [str(one.get("name")) for one in given]
    return sorted({path[n] for path in paths if len(path) > n}, key=lambda name: (len(name), name))
