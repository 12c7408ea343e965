"""Groups of a store: their attributes, and which images, labels and series they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from xprep.errors import StoreFormatError
from xprep.io.json_documents import parse_json
from xprep.io.json_nodes import Node
from xprep.io.ome.reading import find_ome, is_image, read_multiscale
from xprep.io.ome_model import Multiscale
from xprep.io.store.places import Place
from xprep.io.store.urls import check_key

# Each is opened, or asked for, when an image or a plate is: what lists more is an attack or a mistake.
MAX_LABELS: Final = 1000
MAX_WELLS: Final = 10_000


@dataclass(frozen=True)
class Group:
    """A Zarr group: where it is, its attributes and its format."""

    place: Place
    attributes: Mapping[str, Any]
    zarr_format: Literal[2, 3]

    @property
    def is_image(self) -> bool:
        """Whether it says to be an OME-Zarr image."""
        return is_image(self.attributes)


@dataclass(frozen=True)
class Entry:
    """An image that a group lists: its path, what it is a part of, and the name found there (a well's, a series', an element's).

    It may not be there; of a well that is not there, the path is the well's.
    """

    path: str
    kind: Literal["image", "series", "field", "element"]
    name: str = ""


def read_group(place: Place) -> Group | None:
    """Return the group in the folder ``place``, None if there is none (an array, or nothing).

    Raises
    ------
    StoreFormatError
        Its metadata are no JSON object, too large or nested too deeply.
    """
    return read_groups(place, [""])[0]


def read_groups(place: Place, paths: Sequence[str]) -> list[Group | None]:
    """Return the groups at ``paths`` below ``place``; one round of requests for Zarr v3, one more for v2."""
    places = [place.child(path) for path in paths]
    found: list[Group | None] = [
        _group_v3(below, data) for below, data in zip(places, _load(place, paths, "zarr.json"), strict=True)
    ]
    if all(group is not None for group in found):
        return found
    marks, attributes = _load(place, paths, ".zgroup"), _load(place, paths, ".zattrs")
    for i, below in enumerate(places):
        if found[i] is None and marks[i] is not None:
            found[i] = Group(below, _object(attributes[i], f"{below}/.zattrs"), 2)
    return found


def read_marked(place: Place) -> Group | None:
    """Return the group at ``place``, also one of which a killed run wrote the attributes only; None where these are torn."""
    try:
        if (group := read_group(place)) is None and (attributes := place.read_json(".zattrs")) is not None:
            return Group(place, attributes, 2)
    except StoreFormatError:
        return None
    return group


def _load(place: Place, paths: Sequence[str], name: str) -> list[bytes | None]:
    return place.get_metadata([f"{path}/{name}" if path else name for path in paths])


def _object(data: bytes | None, where: str) -> Mapping[str, Any]:
    return {} if data is None else parse_json(data, where)


def _group_v3(place: Place, data: bytes | None) -> Group | None:
    metadata = _object(data, f"{place}/zarr.json")
    if metadata.get("node_type") != "group":
        return None
    attributes = metadata.get("attributes") or {}
    if not isinstance(attributes, Mapping):
        raise StoreFormatError(f"{place}/zarr.json: attributes must be an object.")
    return Group(place, attributes, 3)


def read_image(group: Group, index: int = 0, system: str | None = None) -> Multiscale:
    """Return the image that ``group`` is, placed in the coordinate ``system``; see `read_multiscale`.

    Raises
    ------
    KeyError
        There is no such system.
    StoreFormatError
        It is none, or its metadata are wrong.
    """
    if not group.is_image:
        raise StoreFormatError(f"{group.place} is a Zarr group without OME-Zarr metadata (no multiscales).")
    return read_multiscale(group.attributes, str(group.place), index, system)


def list_labels(group: Group) -> list[str]:
    """Return the names of an image's labels."""
    labels = read_group(group.place.child("labels"))
    return [] if labels is None else list_paths(labels, "labels")


def list_paths(group: Group, key: str) -> list[str]:
    """Return the paths that a group lists under ``key``.

    Raises
    ------
    StoreFormatError
        It is no list, or too long (`MAX_LABELS`), names one twice, or leads out of the group.
    """
    listed = Node(find_ome(group.attributes), str(group.place)).at(key)
    paths = [] if listed.value is None else [_path(item) for item in listed.items(0, MAX_LABELS)]
    if len(set(paths)) != len(paths):
        listed.refuse("names one path twice.")
    return paths


def is_spatialdata(attributes: Mapping[str, Any]) -> bool:
    """Whether a group is a SpatialData object, and not an element of one: its tables and points go with it."""
    elements = ("encoding-type", "multiscales", "ome", "image-label")
    return "spatialdata_attrs" in attributes and not any(name in attributes for name in elements)


def list_images(group: Group) -> list[Entry]:
    """Return the images that a group holds: itself, the fields of a plate or well, series, image elements of SpatialData.

    Raises
    ------
    StoreFormatError
        Metadata that are wrong, or paths that lead out of the group.
    """
    ome = Node(find_ome(group.attributes), str(group.place))
    if group.is_image:
        return [Entry("", "image", read_image(group).name)]
    if ome.at("plate").value is not None:
        return _list_plate(group.place, ome.at("plate"))
    if ome.at("well").value is not None:
        return _list_well(ome.at("well"), "")
    if "bioformats2raw.layout" in ome.value:
        return _list_series(group.place)
    return [Entry(path, "element", path.partition("/")[2]) for path in list_elements(group, "images")]


def list_held(group: Group) -> list[Entry]:
    """Return the images that lie in ``group``, as in a plate, a well, a store of several series; none where it is one itself."""
    entries = list_images(group)
    return entries if len(entries) > 1 or (entries and entries[0].path) else []


def list_elements(group: Group, *kinds: str) -> list[str]:
    """Return the paths of the elements of some ``kinds`` that a SpatialData object has; another group has none."""
    holders = [read_group(group.place.child(kind)) for kind in kinds] if is_spatialdata(group.attributes) else []
    found = zip(kinds, holders, strict=False)
    return [f"{kind}/{name}" for kind, holder in found if holder is not None for name in list_members(holder)]


def list_members(group: Group) -> list[str]:
    """Return the names of what lies in ``group``: by a listing; by consolidated metadata where there is none (http, rights)."""
    try:
        names = group.place.list_folder()
    except OSError:
        if not (names := _consolidated(group)):
            raise
    return [name for name in names if not name.startswith(".") and name != "zarr.json"]


def _consolidated(group: Group) -> list[str]:
    name = "zarr.json" if group.zarr_format == 3 else ".zmetadata"
    found: Any = parse_json(data, str(group.place)) if (data := group.place.get_metadata([name])[0]) is not None else {}
    found = found.get("consolidated_metadata") if group.zarr_format == 3 else found
    keys = found.get("metadata") if isinstance(found, Mapping) else None
    return sorted({key.split("/")[0] for key in keys if key}) if isinstance(keys, Mapping) else []


def _path(node: Node) -> str:
    try:
        return check_key(node.text())
    except StoreFormatError:
        raise
    except ValueError as error:
        node.refuse(str(error))


def _list_plate(place: Place, plate: Node) -> list[Entry]:
    wells = [_path(well.at("path")) for well in plate.at("wells").items(0, MAX_WELLS)]
    fields: list[Entry] = []
    for path, group in zip(wells, read_groups(place, wells), strict=True):
        try:
            fields += _list_well(Node(find_ome({} if group is None else group.attributes), f"{place}/{path}").at("well"), path)
        except StoreFormatError:  # not there, or no well: whoever opens it is told, and the others are images all the same
            fields.append(Entry(path, "field", path))
    return fields


def _list_well(well: Node, path: str) -> list[Entry]:
    images = [_path(image.at("path")) for image in well.at("images").items(0)]
    return [Entry(f"{path}/{image}" if path else image, "field", path) for image in images]


def _list_series(place: Place) -> list[Entry]:
    listing = read_group(place.child("OME"))
    series = Node(find_ome(listing.attributes), str(listing.place)).at("series") if listing is not None else None
    if series is not None and series.value is not None:
        return [Entry(_path(item), "series", _path(item)) for item in series.items(0)]
    # Without the list, bioformats2raw's rule: consecutive numbers from 0.
    found: list[Entry] = []
    while (group := read_group(place.child(str(len(found))))) is not None and group.is_image:
        found.append(Entry(str(len(found)), "series", str(len(found))))
    return found
