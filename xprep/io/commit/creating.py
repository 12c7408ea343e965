"""The arrays of a level and their coordinates: created, or, in a store that is filled further, opened again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from xprep.io.arrays.consolidated import below, group_objects
from xprep.io.arrays.coordinates import Coord, encode_coord, plain
from xprep.io.arrays.declarations import NewArray, declare_array
from xprep.io.arrays.specs import ArraySpec, LevelSpec
from xprep.io.arrays.writes import ZarrWritable, new_writable
from xprep.io.commit.mark import mark_writing
from xprep.io.commit.owner import Owner
from xprep.io.store.places import Place
from xprep.io.store.urls import check_name


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
        Whether an earlier run made them: then what is not there as it would be made is written again. It is small, and a power
        cut may have left anything.
    """

    dual: bool
    zarr_format: Literal[2, 3]
    resumed: bool = False


def create_levels(base: Place, levels: Mapping[str, LevelSpec], spec: ArraySpec, how: Creation) -> tuple[ZarrWritable, ...]:
    """Create the arrays of ``levels``, at their paths below the image's group ``base``, and the coordinates beside each.

    In a bucket side by side, 16 requests at a time: first what describes arrays, then what is in them, as icechunk wants it.
    """
    arrays, coords = declare_levels(str(base), levels, spec, how)
    objects = {name: data for path, array in arrays.items() for name, data in below(path, array.objects).items()}
    for path, beside in coords.items() if how.dual else ():
        above = path.rpartition("/")[0]
        objects |= below(above, group_objects(mark_writing(Owner.here()), how.zarr_format))
        objects |= {key: data for name, its in beside.items() for key, data in below(f"{above}/{name}", its).items()}
    if how.resumed:
        found = dict(zip(objects, base.get_many(list(objects)), strict=True))
        objects = {name: data for name, data in objects.items() if found[name] != data}
    for described in (True, False):
        base.set_many({name: objects[name] for name in objects if _describes(name) is described})
    return tuple(
        replace(new_writable(base.child(path), array), coords={name: _sizes(its) for name, its in coords[path].items()})
        for path, array in arrays.items()
    )


def declare_levels(
    base: str, levels: Mapping[str, LevelSpec], spec: ArraySpec, how: Creation
) -> tuple[dict[str, NewArray], dict[str, dict[str, Mapping[str, bytes]]]]:
    """Return what is to be created, by path: arrays, and the objects of the coordinates beside each; nothing is written.

    Raises
    ------
    ValueError, TypeError
        Attributes, coordinates, names or a dtype that cannot be stored.
    """
    arrays = {path: _declared(level, spec, how) for path, level in levels.items()}
    return arrays, {path: _coords(base, path, level.coords, how) if how.dual else {} for path, level in levels.items()}


def _sizes(objects: Mapping[str, bytes]) -> dict[str, int]:
    return {name: len(data) for name, data in objects.items()}


def _declared(level: LevelSpec, spec: ArraySpec, how: Creation) -> NewArray:
    others = [check_name(name) for name in level.coords if name not in spec.dims] if how.dual else []
    if spaced := next((name for name in others if any(letter.isspace() for letter in name)), None):
        raise ValueError(
            f"the coordinate {spaced!r} cannot be stored: names of coordinates that are no dims are listed with spaces between. "
            f"Rename it, image.rename({{{spaced!r}: {'_'.join(spaced.split())!r}}}); or layout='flat' stores none."
        )
    attributes = plain(spec.attributes, "attributes") | ({"coordinates": " ".join(others)} if others else {})
    return declare_array(
        level.shape, level.chunks, spec.dtype,
        shards=level.shards, dims=spec.dims, codec=spec.codec, zarr_format=how.zarr_format, attributes=attributes,
    )  # fmt: skip


def _coords(base: str, path: str, coords: Mapping[str, Coord], how: Creation) -> dict[str, Mapping[str, bytes]]:
    """Return the objects of the coordinates in the group of the level at ``path``."""
    above = path.rpartition("/")[0]
    if "image" in coords:
        raise ValueError(
            "the coordinate 'image' cannot be stored beside the pixels, which are called so. Rename it, image.rename(image=...), "
            "or drop it, image.drop_vars('image'); layout='flat' stores no coordinates."
        )
    return {
        name: encode_coord(coord, how.zarr_format, f"{base}/{above}/{check_name(name)}") for name, coord in coords.items()
    }


def _describes(name: str) -> bool:
    return name.rpartition("/")[2] in ("zarr.json", ".zgroup", ".zarray", ".zattrs")
