"""The arrays of a level and their coordinates: created, or, in a store that is filled further, opened again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from zarr.errors import ContainsArrayError

from xprep.io.complete import coord_objects
from xprep.io.consolidate import write_group
from xprep.io.coords import Coord, plain, write_coord
from xprep.io.owner import Owner
from xprep.io.room import delete_store
from xprep.io.specs import ArraySpec, LevelSpec
from xprep.io.status import mark_writing
from xprep.io.stores import Place
from xprep.io.urls import check_name
from xprep.io.writes import ZarrWritable, create_array, reopen_array


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


def create_level(base: Place, path: str, level: LevelSpec, spec: ArraySpec, how: Creation) -> ZarrWritable:
    """Create the array of a level at ``path`` below the image's group ``base``, and its coordinates beside it."""
    coords = dict(level.coords) if how.dual else {}
    if how.dual:
        _create_group(base.child(path.rpartition("/")[0]), coords, how)
    ndims = {name: np.ndim(coord.values) for name, coord in coords.items()}
    if how.resumed and base.child(path).exists("zarr.json" if how.zarr_format == 3 else ".zarray"):
        return replace(reopen_array(base.child(path)), coords=ndims)
    others = [name for name in coords if name not in spec.dims]
    attributes = plain(spec.attributes, "attributes") | ({"coordinates": " ".join(others)} if others else {})
    try:
        array = create_array(
            base.child(path), level.shape, level.chunks, spec.dtype,
            shards=level.shards, dims=spec.dims, codec=spec.codec, zarr_format=how.zarr_format, attributes=attributes,
        )  # fmt: skip
    except ContainsArrayError:
        if not how.resumed:
            raise
        array = reopen_array(base.child(path))  # a request that the earlier run gave up arrived late: its array is the same
    return replace(array, coords=ndims)


def _create_group(place: Place, coords: dict[str, Coord], how: Creation) -> None:
    if not how.resumed:
        write_group(place, mark_writing(Owner.here()), how.zarr_format)
    for name, coord in coords.items():
        _create_coord(place.child(check_name(name)), coord, how)


def _create_coord(place: Place, coord: Coord, how: Creation) -> None:
    if how.resumed:
        if not place.missing(coord_objects("", np.ndim(coord.values), how.zarr_format)):
            return
        delete_store(place)
    # A request that an earlier run gave up may still arrive.
    write_coord(place, coord, how.zarr_format, overwrite=how.resumed)
