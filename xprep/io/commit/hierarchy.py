"""What a Zarr hierarchy can hold: whether a folder is one, and what in it is somebody else's and must not be deleted with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xprep.errors import StoreExistsError, StoreFormatError
from xprep.io.commit.journal import FOLDER
from xprep.io.commit.mark import MARK
from xprep.io.json_documents import parse_json
from xprep.io.ome.groups import read_marked
from xprep.io.store.keys import is_partial
from xprep.io.store.places import Place

_METADATA: Final = ("zarr.json", ".zgroup", ".zarray")
_ATTRIBUTES: Final = (".zattrs", ".zmetadata")  # also those that a killed run wrote without the rest
# What systems leave in any folder; and the metadata that bioformats2raw keeps beside its images.
_HARMLESS: Final = re.compile(r"(\.ds_store|\._.*|thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+)?", re.IGNORECASE)
_JOURNAL: Final = rf"{re.escape(FOLDER)}/([^/]+/)*[^/]+\.(npy|json|jsonl|value|note)"
_OTHERS: Final = re.compile(rf"(.*/)?(OME/METADATA\.ome\.xml|{_JOURNAL})", re.DOTALL)
_INDEX: Final = r"(0|[1-9][0-9]*)"
_NAME: Final = "[A-Za-z0-9]+"  # of a row, a column, a field
# What is left of an array, in our layout, whose metadata are torn or gone; of a plate, below row, well and field.
_ORPHAN: Final = re.compile(
    rf"(({_NAME}/{_NAME}|{_NAME}/{_NAME}/{_NAME})/)?(labels/([^/]+/)?)?((scale[0-9]+/[^/]+|[0-9]+)/(c|(c[/.])?{_INDEX}([/.]{_INDEX})*)"
    r"|(scale[0-9]+/([^/]+/)?|[0-9]+/)?(zarr\.json|\.zgroup|\.zarray))"
)


@dataclass(frozen=True)
class _Node:
    """A group; or an array, with a pattern of the keys of its chunks."""

    chunks: re.Pattern[str] | None = None


def is_node(place: Place) -> bool:
    """Whether there is a Zarr group or array in the folder ``place``, by metadata that can be read as such."""
    return _read_node(place, "") is not None


def check_removable(place: Place) -> None:
    """Refuse to delete a store that holds what no Zarr hierarchy holds; its keys are looked at page by page.

    In a store of xprep, chunks may be there whose metadata are torn, or gone: a run was killed that emptied it.

    Raises
    ------
    StoreExistsError
        It names the first such key.
    """
    known: dict[str, _Node | None] = {"": _read_node(place, "") or _Node()}
    ours = (group := read_marked(place)) is None or MARK in group.attributes
    for names in place.list_pages():
        for name in names:
            if _is_strange(place, name, known, ours):
                raise StoreExistsError(
                    f"{place} holds {name!r}, which is no part of a Zarr store, so nothing there is deleted. Move it "
                    "elsewhere, or give another URL."
                )


def _is_strange(place: Place, name: str, known: dict[str, _Node | None], ours: bool) -> bool:
    parts = name.split("/")
    if _HARMLESS.fullmatch(parts[-1]) or is_partial(parts[-1]) or _OTHERS.fullmatch(name):
        return False
    for depth in range(len(parts)):
        above = "/".join(parts[:depth])
        if above not in known:
            known[above] = _read_node(place, above)
        node = known[above]
        if node is not None and node.chunks is not None:
            below = "/".join(parts[depth:])
            return below not in (*_METADATA, *_ATTRIBUTES) and not node.chunks.fullmatch(below)
    if node is None and ours and _ORPHAN.fullmatch(name):
        return False
    return parts[-1] not in (_ATTRIBUTES if node is None else (*_METADATA, *_ATTRIBUTES))


def _read_node(place: Place, path: str) -> _Node | None:
    """Return what the metadata at ``path`` describe; of a folder with those of both formats, what both allow."""
    found = place.get_many([f"{path}/{name}" if path else name for name in _METADATA])
    documents = [_parse(data, name) for name, data in zip(_METADATA, found, strict=True)]
    nodes = [node for node in map(_describe, _METADATA, documents) if node is not None]
    chunks = [node.chunks.pattern for node in nodes if node.chunks is not None]
    return _Node(re.compile("|".join(chunks)) if chunks else None) if nodes else None


def _parse(data: bytes | None, name: str) -> dict[str, Any]:
    try:
        return {} if data is None else parse_json(data, name)
    except StoreFormatError:
        return {}


def _describe(name: str, metadata: Mapping[str, Any]) -> _Node | None:
    if metadata.get("zarr_format") != (3 if name == "zarr.json" else 2):
        return None
    kind = metadata.get("node_type") if name == "zarr.json" else {".zgroup": "group"}.get(name, "array")
    if kind == "group":
        return _Node()
    shape = metadata.get("shape")
    if kind != "array" or not isinstance(shape, list):
        return None
    pattern = _v3_keys(metadata, len(shape)) if name == "zarr.json" else _v2_keys(metadata, len(shape))
    return None if pattern is None else _Node(re.compile(pattern))


def _v3_keys(metadata: Mapping[str, Any], ndim: int) -> str | None:
    """Return the pattern of an array's chunk keys; one that fits none where their encoding is not known."""
    encoding = metadata.get("chunk_key_encoding")
    if not isinstance(encoding, Mapping) or not {"data_type", "chunk_grid", "codecs"} <= metadata.keys():
        return None
    settings = encoding.get("configuration")
    separator = settings.get("separator") if isinstance(settings, Mapping) else None
    if encoding.get("name") == "v2":
        return _keys(ndim, separator or ".")
    if encoding.get("name") == "default":
        between = re.escape(str(separator or "/"))
        return rf"c{between}{_keys(ndim, separator or '/')}" if ndim else "c"
    return r"(?!)"


def _v2_keys(metadata: Mapping[str, Any], ndim: int) -> str | None:
    if not {"chunks", "dtype"} <= metadata.keys():
        return None
    return _keys(ndim, metadata.get("dimension_separator") or ".")


def _keys(ndim: int, separator: Any) -> str:
    return re.escape(str(separator)).join([_INDEX] * max(ndim, 1))
