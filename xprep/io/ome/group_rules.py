"""What OME-Zarr 0.4, 0.5 and 0.6 demand of a group's metadata, as a table: every MUST that one JSON document can break."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from xprep.io.json_nodes import brief, is_number
from xprep.io.ome import rules
from xprep.io.ome.rules import Doubt, Rule, find_broken, find_repeated
from xprep.io.ome.space_rules import find_broken_scene, find_broken_space
from xprep.io.ome_model import VERSIONS, Version

NEEDED: Final = True
_SINCE_05: Final[tuple[Version, ...]] = ("0.5", "0.6")
_SINCE_06: Final[tuple[Version, ...]] = ("0.6",)
_BEFORE_06: Final[tuple[Version, ...]] = ("0.4", "0.5")
_ALPHANUMERIC: Final = rules.matching("[A-Za-z0-9]+")
_VERSION: Final = rules.one_of("0.4")
_BYTE: Final = "four whole numbers from 0 to 255"

# By the key of a group's metadata that they are about.
_RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "multiscales": (
        Rule("multiscales", rules.is_objects, "a list of at least one object"),
        Rule("multiscales[]/version", _VERSION, "'0.4', as the version of OME-Zarr is", versions=("0.4",)),
        Rule("multiscales[]/name", rules.is_text, "a text"),
        Rule("multiscales[]/datasets", rules.is_objects, "a list of at least one object", NEEDED),
        Rule("multiscales[]/datasets[]/path", rules.is_name, "a text", NEEDED),
    ),
    "omero": (
        Rule("omero", rules.is_object, "an object"),
        Rule("omero/channels", rules.is_list, "a list of objects", NEEDED),
        Rule("omero/channels[]", rules.is_object, "an object"),
        Rule("omero/channels[]/label", rules.is_text, "a text"),
        Rule("omero/channels[]/family", rules.is_text, "a text"),
        Rule("omero/channels[]/active", rules.is_flag, "true or false"),
        Rule("omero/channels[]/color", rules.matching("[0-9A-Fa-f]{6}"), "a text of six hexadecimal digits", NEEDED),
        Rule("omero/channels[]/window", rules.is_object, "an object", NEEDED),
        *(Rule(f"omero/channels[]/window/{end}", is_number, "a number", NEEDED) for end in ("min", "max", "start", "end")),
    ),
    "labels": (
        Rule("labels", rules.is_list, "a list of the paths of label images"),
        Rule("labels[]", rules.is_name, "a text, the path of a label image"),
    ),
    "image-label": (
        Rule("image-label", rules.is_object, "an object"),
        Rule("image-label/version", _VERSION, "'0.4', as the version of OME-Zarr is", versions=("0.4",)),
        Rule("image-label/version", rules.is_text, "a text", versions=("0.5",)),
        Rule("image-label/colors", rules.is_objects, "a list of at least one object"),
        Rule("image-label/colors[]/label-value", rules.is_whole, "a whole number", NEEDED),
        Rule("image-label/colors[]/rgba", lambda rgba: _is_rgba(rgba), _BYTE),
        Rule("image-label/properties", rules.is_objects, "a list of at least one object"),
        Rule("image-label/properties[]/label-value", rules.is_whole, "a whole number", NEEDED),
        Rule("image-label/source", rules.is_object, "an object"),
        Rule("image-label/source/image", rules.is_text, "a text, a relative path"),
    ),
    "plate": (
        Rule("plate", rules.is_object, "an object"),
        Rule("plate/version", _VERSION, "'0.4', as the version of OME-Zarr is", versions=("0.4",)),
        Rule("plate/version", rules.is_text, "a text", versions=("0.5",)),
        Rule("plate/name", rules.is_text, "a text"),
        Rule("plate/field_count", rules.is_positive_whole, "a whole number of at least 1"),
        Rule("plate/acquisitions", rules.is_list, "a list of objects"),
        Rule("plate/acquisitions[]", rules.is_object, "an object"),
        Rule("plate/acquisitions[]/id", rules.is_natural, "a whole number of at least 0", NEEDED),
        Rule("plate/acquisitions[]/name", rules.is_text, "a text"),
        Rule("plate/acquisitions[]/description", rules.is_text, "a text"),
        Rule("plate/acquisitions[]/maximumfieldcount", rules.is_positive_whole, "a whole number of at least 1"),
        Rule("plate/acquisitions[]/starttime", rules.is_natural, "whole seconds since 1970"),
        Rule("plate/acquisitions[]/endtime", rules.is_natural, "whole seconds since 1970"),
        Rule("plate/columns", rules.is_objects, "a list of at least one object", NEEDED),
        Rule("plate/columns[]/name", _ALPHANUMERIC, "a text of letters and digits", NEEDED),
        Rule("plate/rows", rules.is_objects, "a list of at least one object", NEEDED),
        Rule("plate/rows[]/name", _ALPHANUMERIC, "a text of letters and digits", NEEDED),
        Rule("plate/wells", rules.is_objects, "a list of at least one object", NEEDED),
        Rule("plate/wells[]/path", rules.matching("[A-Za-z0-9]+/[A-Za-z0-9]+"), "names of a row and a column, as A/1", NEEDED),
        Rule("plate/wells[]/rowIndex", rules.is_natural, "a whole number, an index into the rows", NEEDED),
        Rule("plate/wells[]/columnIndex", rules.is_natural, "a whole number, an index into the columns", NEEDED),
    ),
    "well": (
        Rule("well", rules.is_object, "an object"),
        Rule("well/version", _VERSION, "'0.4', as the version of OME-Zarr is", versions=("0.4",)),
        Rule("well/version", rules.is_text, "a text", versions=("0.5",)),
        Rule("well/images", rules.is_objects, "a list of at least one object", NEEDED),
        Rule("well/images[]/path", _ALPHANUMERIC, "a text of letters and digits", NEEDED, _BEFORE_06),
        Rule(
            "well/images[]/path", rules.matching(r"(?!__)(?!\.+$)[A-Za-z0-9_.-]+"),
            "a name of letters, digits, '-', '_' and '.', that is not dots only and does not begin with '__'", NEEDED, _SINCE_06,
        ),
        Rule("well/images[]/acquisition", rules.is_whole, "a whole number, the id of an acquisition"),
    ),
    "bioformats2raw.layout": (Rule("bioformats2raw.layout", rules.one_of(3, 3.0), "3"),),
    "series": (
        Rule("series", rules.is_list, "a list of the paths of images"),
        Rule("series[]", rules.is_name, "a text, the path of an image"),
    ),
    "scene": (),
}  # fmt: skip
# What may stand in a list once only.
_ONCE: Final = (
    "multiscales[]/datasets[]/path",
    "labels[]",
    "image-label/colors[]/label-value",
    "image-label/properties[]/label-value",
    "plate/acquisitions[]/id",
    "plate/columns[]/name",
    "plate/rows[]/name",
    "plate/wells[]/path",
    "well/images[]/path",
    "series[]",
)
KEYS: Final = tuple(_RULES)


def find_version(attributes: Mapping[str, Any]) -> tuple[str, Version] | None:
    """Return the version that a group's attributes say, and the one whose rules hold for it; None for one that is not known.

    Up to 0.4 each entry says it, or none does.

    Examples
    --------
    >>> find_version({"ome": {"version": "0.6rc0", "plate": {}}}), find_version({"plate": {}})
    (('0.6rc0', '0.6'), ('0.4', '0.4'))
    """
    ome = attributes.get("ome")
    if isinstance(ome, Mapping):
        said = ome.get("version", "0.5")  # that it must say one is a rule
    else:
        multiscales = attributes.get("multiscales")
        entries = multiscales if isinstance(multiscales, list) else [attributes.get(key) for key in KEYS]
        said = next((one["version"] for one in entries if isinstance(one, Mapping) and "version" in one), "0.4")
    known = next((one for one in VERSIONS if isinstance(said, str) and said.startswith(one)), None)
    return None if known is None else (said, known)


def find_faults(attributes: Mapping[str, Any], zarr_format: int, version: Version) -> Iterator[str]:
    """Yield what in a group's attributes breaks the rules of OME-Zarr ``version``, a sentence each.

    Examples
    --------
    >>> list(find_faults({"ome": {"version": "0.5", "well": {"images": [{"path": "a b"}]}}}, 3, "0.5"))
    ["well.images[0].path must be a text of letters and digits; got 'a b'."]
    """
    ome = attributes.get("ome")
    if version == "0.4":
        document = attributes
        if zarr_format != 2:
            yield "OME-Zarr 0.4 lies in Zarr v2; from 0.5 on, metadata lie in the object 'ome' of a Zarr v3 group."
    else:
        document = ome if isinstance(ome, Mapping) else {}
        if zarr_format != 3:
            yield f"OME-Zarr {version} lies in Zarr v3; this is a Zarr v2 group."
        if not isinstance(document.get("version"), str):
            yield f"ome.version must be a text, the version of OME-Zarr; got {brief(document.get('version'))}."
    for key in KEYS:
        if key in document:
            yield from find_broken(_RULES[key], document, "", version)
    for path in _ONCE:
        yield from find_repeated(document, path, "")
    yield from _find_misplaced_wells(document.get("plate"), version)
    yield from find_broken_space(document, version)
    if "scene" in document:
        yield from find_broken_scene(document["scene"], version)


def _is_rgba(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(rules.is_natural(one) and one <= 255 for one in value)


def _find_misplaced_wells(plate: Any, version: Version) -> Iterator[str]:
    """Yield wells whose indices and path are not of one row and column."""
    if not isinstance(plate, Mapping) or not all(rules.is_objects(plate.get(key)) for key in ("rows", "columns", "wells")):
        return
    rows, columns = ([one.get("name") for one in plate[key]] for key in ("rows", "columns"))
    for i, well in enumerate(plate["wells"]):
        row, column, path = (well.get(key) for key in ("rowIndex", "columnIndex", "path"))
        if not rules.is_natural(row) or not rules.is_natural(column) or not rules.is_text(path):
            continue
        if row >= len(rows) or column >= len(columns):
            yield f"plate.wells[{i}] has the indices ({row}, {column}); there are {len(rows)} rows and {len(columns)} columns."
            continue
        names = (str(rows[int(row)]), str(columns[int(column)]))
        if path != "/".join(names):
            text = f"plate.wells[{i}].path must be {brief('/'.join(names))}, as its indices say; got {brief(path)}."
            # The suites of 0.4 and 0.6 have the column first in plates that they call valid; 0.5's calls that invalid.
            yield Doubt(text) if version != "0.5" and path == "/".join(reversed(names)) else text
