"""What is given as ROIs: a table, or a label image that is read for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.alignment import SPACE, picked_along
from xprep.dims.spacing import is_even
from xprep.engine.sources.lazy import is_lazy
from xprep.rois.table.from_labels import label_data
from xprep.rois.table.roi_table import RoiTable


def as_table(rois: Any, images: Sequence[xr.DataArray]) -> RoiTable:
    """Return the table of what was given as ROIs of ``images``: itself, or that of a label image, which is read now, once.

    Raises
    ------
    TypeError
        Neither.
    ValueError
        Labels that are not labels, or do not fit the images.
    """
    if isinstance(rois, RoiTable):
        return rois
    if not (isinstance(rois, xr.DataArray | np.ndarray) or is_lazy(rois)):
        raise TypeError(
            f"rois must be a RoiTable or a label image; got {type(rois).__name__}. RoiTable.from_pixels makes a table of lists "
            "of pixels, RoiTable.from_suite2p of suite2p's ROIs."
        )
    data = label_data(rois)
    dims = SPACE[-data.ndim :]
    labels = rois if isinstance(rois, xr.DataArray) else xr.DataArray(rois, dims=dims)
    for image in images:
        labels = _fitted(labels, image)
    return RoiTable.from_labels(labels)


def _fitted(labels: xr.DataArray, image: xr.DataArray) -> xr.DataArray:
    """Return labels that fit an image, or that lie where the table will say.

    Raises
    ------
    ValueError
        Another number of pixels where no coordinates say which belong together; a plane beside several.
    """
    if "z" not in labels.dims and image.sizes.get("z", 1) > 1 and not {"z"} <= set(labels.coords) & set(image.coords):
        raise ValueError(
            f"the labels are of one plane, and the image has {image.sizes['z']} along 'z': which of them is it? Select it, "
            "image.isel(z=…), or say which the labels are of: labels.assign_coords(z=…), a number of the image's z."
        )
    for dim in [dim for dim in labels.dims if dim in image.dims]:
        if dim in labels.coords and dim in image.coords and is_even(labels.coords[dim].values):
            continue  # the table will say where they lie
        if picked_along(labels, image, dim, "the label image") is None and dim in labels.coords:
            labels = labels.drop_vars([dim])  # uneven, and the image's own
    return labels


def table_on(image: xr.DataArray, rois: Any) -> RoiTable:
    """Return the table of what was given as ROIs, whose positions are pixels of ``image``, all inside.

    Raises
    ------
    TypeError, ValueError
        As `as_table`, `RoiTable.on` and `RoiTable.check_inside`.
    """
    table = as_table(rois, [image]).on(image)
    table.check_inside({dim: image.sizes[dim] for dim in SPACE if dim in image.dims})
    return table
