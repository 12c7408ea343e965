"""What a run must keep apart: the stores that it writes from one another, and from all that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from xprep.engine.sources.foreign_graphs import places_below
from xprep.images.writing.outputs import Output
from xprep.io.ome.groups import read_group
from xprep.io.private_xarray import unread_data
from xprep.io.store.locations import Location, describe_overlap, locate, overlaps
from xprep.io.store.places import Place, open_store


def check_outputs(outputs: Sequence[Output]) -> None:
    """Refuse outputs that lie in each other or in what is read; first of all, as what asks an image for its data may read it."""
    arrays = [array for one in outputs for array in one.arrays]
    check_apart(arrays, [one.url for one in outputs], outputs[0].options.storage_options)


def check_apart(images: Sequence[xr.DataArray], urls: Sequence[Any], storage_options: Mapping[str, Any] | None) -> None:
    """Refuse outputs that are, hold or lie in one another, or a store that any of ``images`` is read from.

    A store is what was opened, so that nothing is written among an image's levels either; of a SpatialData object it is the
    element.

    Raises
    ------
    ValueError
        It names both.
    """
    outputs = [locate(open_store(url, storage_options, "r+")) for url in urls]
    for one, other in overlaps(outputs, outputs):
        relation = describe_overlap(one, other)
        raise ValueError(f"the outputs {one.shown} and {other.shown} {relation}. Give each a place of its own.")
    read = {(place.shown, id(place.store), place.path): place for image in images for place in _places_of(image)}
    stores = {key[:2]: locate(replace(place, path="")) for key, place in read.items()}
    for output, source in overlaps(outputs, list(stores.values())):
        for key, place in read.items():
            if stores[key[:2]] is source and not _is_other_element(output, place):
                raise ValueError(
                    f"the output {output.shown} and the input {source.shown} lie in each other: the input would be lost. Give "
                    "another URL."
                )


def _places_of(image: xr.DataArray) -> list[Place]:
    """Return where the arrays lie that an image is read from."""
    return places_below(unread_data(image.variable))


def _is_other_element(output: Location, place: Place) -> bool:
    """Whether an output is another element of the SpatialData object in which the array at ``place`` lies."""
    element = "/".join(place.path.split("/")[:2])
    root = read_group(replace(place, path=""))
    if root is None or "spatialdata_attrs" not in root.attributes or root.is_image or "/" not in element:
        return False
    source = locate(replace(place, path=element))
    return not output.lies_in(source) and not source.lies_in(output)
