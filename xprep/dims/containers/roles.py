"""What the variables of a Dataset are: images, labels, or something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE

IMAGE_LABEL = "image-label"  # OME-Zarr's word for what labels say of themselves; that it is there, says that they are labels
REAL = "buifc"  # kinds of numbers; complex ones are refused by name


@dataclass(frozen=True)
class Roles:
    """What the variables of a Dataset are, by name.

    Attributes
    ----------
    images
        The images.
    labels
        Those that say that they are labels.
    doubtful
        Those of the images that may be labels, and do not say it.
    """

    images: tuple[Any, ...] = ()
    labels: tuple[Any, ...] = ()
    doubtful: tuple[Any, ...] = ()


def says_labels(attributes: Mapping[Any, Any]) -> bool:
    """Whether attributes, of a variable or of a group of OME-Zarr, say that these are labels."""
    ome = attributes.get("ome")
    return IMAGE_LABEL in attributes or (isinstance(ome, Mapping) and IMAGE_LABEL in ome)


def roles_of(dataset: xr.Dataset, all_labels: bool = False) -> Roles:
    """Return what the variables of ``dataset`` are, by what they say and, where they say nothing, by dims and type.

    Images and labels have y and x. Whole numbers with the attribute ``image-label`` (and in a group that has it,
    ``all_labels``) are labels. Of the others, those with channels are the images, if there are any. Without channels,
    booleans beside numbers are masks, and whole numbers beside another image may be either: they are images, and doubtful.
    """
    planes = {name: array for name, array in dataset.data_vars.items() if set(PLANE) <= set(array.dims)}
    labels = tuple(
        name for name, array in planes.items() if array.dtype.kind in "ui" and (all_labels or says_labels(array.attrs))
    )
    others = [name for name in planes if name not in labels and not (all_labels and planes[name].dtype.kind == "b")]
    if channelled := tuple(name for name in others if CHANNEL in planes[name].dims):
        return Roles(channelled, labels)
    images = _of_kind(planes, _of_kind(planes, others, REAL), REAL.replace("b", ""))
    doubtful = tuple(name for name in images if planes[name].dtype.kind in "ui") if len(images) > 1 else ()
    return Roles(tuple(images), labels, doubtful)


def _of_kind(planes: Mapping[Any, xr.DataArray], names: list[Any], kinds: str) -> list[Any]:
    """Return the names of those whose type is of some kinds; of all where there are none."""
    return [name for name in names if planes[name].dtype.kind in kinds] or names
