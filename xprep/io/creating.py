"""The arrays of a level and their coordinates: created, or, in a store that is filled further, opened again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from xprep.io.complete import node_objects
from xprep.io.consolidate import below, group_objects
from xprep.io.coords import Coord, encode_coord, plain
from xprep.io.declare import NewArray, declare_array
from xprep.io.owner import Owner
from xprep.io.specs import ArraySpec, LevelSpec
from xprep.io.status import mark_writing
from xprep.io.stores import Place
from xprep.io.urls import check_name
from xprep.io.writes import ZarrWritable, new_writable, reopen_array


@dataclass(frozen=True)
class Creation:
    """How levels are created.

    Parameters
    ----------
    dual : bool
        Whether each level is a group with its coordinates.
    zarr_format : {2, 3}
        The format.
    resumed : bool
        Whether an earlier run made them: then only what is not there is created.
    """

    dual: bool
    zarr_format: Literal[2, 3]
    resumed: bool = False


def create_levels(base: Place, levels: Mapping[str, LevelSpec], spec: ArraySpec, how: Creation) -> tuple[ZarrWritable, ...]:
    """Create the arrays of ``levels``, at their paths below the image's group ``base``, and the coordinates beside each.

    In a bucket side by side, 16 requests at a time: first what describes arrays, then what is in them, as icechunk wants it.
    """
    arrays = {path: _declared(level, spec, how) for path, level in levels.items()}
    objects = {name: data for path, array in arrays.items() for name, data in below(path, array.objects).items()}
    for path, level in levels.items() if how.dual else ():
        objects |= _group(base, path.rpartition("/")[0], level.coords, how)
    there = set(objects) - set(base.missing(objects)) if how.resumed else set()
    for described in (True, False):
        base.set_many({name: objects[name] for name in objects if name not in there and _describes(name) is described})
    made = []
    for path, array in arrays.items():
        begun = node_objects(path, "array", how.zarr_format)[0] in there
        writable = reopen_array(base.child(path)) if begun else new_writable(base.child(path), array)
        made.append(replace(writable, coords=_ndims(levels[path], how)))
    return tuple(made)


def _ndims(level: LevelSpec, how: Creation) -> dict[str, int]:
    return {name: np.ndim(coord.values) for name, coord in level.coords.items()} if how.dual else {}


def _declared(level: LevelSpec, spec: ArraySpec, how: Creation) -> NewArray:
    others = [name for name in level.coords if name not in spec.dims] if how.dual else []
    attributes = plain(spec.attributes, "attributes") | ({"coordinates": " ".join(others)} if others else {})
    return declare_array(
        level.shape, level.chunks, spec.dtype,
        shards=level.shards, dims=spec.dims, codec=spec.codec, zarr_format=how.zarr_format, attributes=attributes,
    )  # fmt: skip


def _group(base: Place, path: str, coords: Mapping[str, Coord], how: Creation) -> dict[str, bytes]:
    """Return the objects of a level's group and of the coordinates in it."""
    objects = below(path, group_objects(mark_writing(Owner.here()), how.zarr_format))
    for name, coord in coords.items():
        place = f"{path}/{check_name(name)}"
        objects |= below(place, encode_coord(coord, how.zarr_format, f"{base}/{place}"))
    return objects


def _describes(name: str) -> bool:
    return name.rpartition("/")[2] in ("zarr.json", ".zgroup", ".zarray", ".zattrs")
