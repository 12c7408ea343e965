"""Metadata of groups, written by hand: the root's, with everyone's below it, in one object and last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from xprep.errors import UnfinishedStoreError
from xprep.io.json_documents import encode_json
from xprep.io.store.places import Place

_NONE: Mapping[str, Any] = {"kind": "inline", "must_understand": False, "metadata": {}}


def write_group(place: Place, attributes: Mapping[str, Any], zarr_format: Literal[2, 3]) -> None:
    """Write the metadata of the group in the folder ``place``."""
    for name, data in group_objects(attributes, zarr_format).items():
        place.set(name, data)


def group_objects(attributes: Mapping[str, Any], zarr_format: Literal[2, 3]) -> dict[str, bytes]:
    """Return the metadata of a group, by the names of the objects; attributes come last."""
    if zarr_format == 3:
        return {"zarr.json": encode_json({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})}
    return {".zgroup": encode_json({"zarr_format": 2}), ".zattrs": encode_json(attributes)}


def below(path: str, objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return objects by their names as seen from ``path``'s upper end.

    Examples
    --------
    >>> below("scale0/image", {"zarr.json": b"{}"})
    {'scale0/image/zarr.json': b'{}'}
    """
    return {f"{path}/{name}": data for name, data in objects.items()}


def write_root(place: Place, attributes: Mapping[str, Any], zarr_format: Literal[2, 3], paths: Sequence[str]) -> None:
    """Write the root's metadata with those of all ``paths`` consolidated: one read opens the tree.

    In v3 this is one object, so a store is unfinished before it and finished after it. In v2 there are two, and the
    attributes, which hold the status, come last.
    """
    if zarr_format == 2:
        place.write_json(".zmetadata", _consolidate_v2(place, attributes, paths))
        write_group(place, attributes, 2)
        return
    metadata = {path: _with_none(node) for path, node in zip(paths, _load(place, paths, "zarr.json"), strict=True)}
    inline = {"kind": "inline", "must_understand": False, "metadata": metadata}
    root = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes), "consolidated_metadata": inline}
    place.write_json("zarr.json", root)


def _with_none(node: dict[str, Any]) -> dict[str, Any]:
    return {**node, "consolidated_metadata": dict(_NONE)} if node["node_type"] == "group" else node


def _consolidate_v2(place: Place, attributes: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": dict(attributes)}
    for name in (".zgroup", ".zarray", ".zattrs"):
        found = place.get_many([f"{path}/{name}" for path in paths])
        metadata |= {f"{path}/{name}": json.loads(data) for path, data in zip(paths, found, strict=True) if data}
    for path in paths:
        _check_written(place, f"{path}/.zattrs", metadata.get(f"{path}/.zattrs"))
    return {"zarr_consolidated_format": 1, "metadata": metadata}


def _load(place: Place, paths: Sequence[str], name: str) -> list[dict[str, Any]]:
    found = place.get_many([f"{path}/{name}" for path in paths])
    nodes = [json.loads(data or b"null") for data in found]
    for path, node in zip(paths, nodes, strict=True):
        _check_written(place, f"{path}/{name}", None if node is None else node.get("attributes", {}))
    return nodes


def _check_written(place: Place, name: str, attributes: Mapping[str, Any] | None) -> None:
    """Refuse metadata that are not those that were written last, which a store said that it had written."""
    # Any mark: only the root is marked as finished, and that comes last.
    if attributes is None or "xprep" in attributes:
        raise UnfinishedStoreError(f"{place} lost {name}, which was written; run again with resume=True.")
