"""What is done with ROIs, for images in every container: `xprep.rois`' functions, with a line of history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import xarray as xr

from xprep.dims.axes import check_image
from xprep.dims.containers.apply import images_of, map_images
from xprep.dims.containers.levels import join_path
from xprep.dims.provenance import attributes, spell
from xprep.engine.sources.lazy import check_known
from xprep.rois.images import features, masking
from xprep.rois.images import traces as summing
from xprep.rois.images.as_table import as_table

P = ParamSpec("P")
R = TypeVar("R", xr.DataArray, xr.Dataset)


def _of_images(function: Callable[P, R], *, table: bool = True, unitless: bool = False, tree: bool = False) -> Callable[P, R]:
    """Return ``function`` for DataArrays, Datasets and DataTrees, whose results say how they were made.

    What goes by a ``table`` takes a label image too, which is read once for all images; it gives no images. What gives a
    Dataset for an image (``tree``) gives a DataTree, with a node an image, for several.
    """

    @wraps(function)
    def operation(image: Any, rois: Any, **options: Any) -> Any:
        makes = None if _keeps_whole_numbers(options) else function.__name__
        images = images_of(image, makes)
        for array in images.values():
            check_image(array, function.__name__)
        labelled = isinstance(rois, xr.DataArray)
        check_known(rois.data if labelled else rois, function.__name__, "rois.data" if labelled else "rois")
        if not table and isinstance(dtype := getattr(rois, "dtype", None), np.dtype):
            masking.check_mask(dtype)
        found = as_table(rois, list(images.values())) if table else rois
        step = spell(function.__name__, {"rois": rois, **options})

        def one(array: xr.DataArray) -> Any:
            result = cast(Callable[..., Any], function)(array, found, **options)
            result.attrs = attributes(array, step, unitless=unitless, is_image=not table)
            return result

        if isinstance(image, xr.DataArray):
            return one(image)
        if tree:
            return xr.DataTree.from_dict({join_path(*name): one(array) for name, array in images.items()})
        return map_images(one, image, makes)

    return cast(Callable[P, R], operation)


def _keeps_whole_numbers(options: Mapping[str, Any]) -> bool:
    """Whether pixels stay what they are: inside a mask, with a whole number outside."""
    outside = options.get("outside", np.nan)
    return isinstance(outside, int | float | np.number) and float(outside).is_integer()


mask = _of_images(masking.mask, table=False)
traces = _of_images(summing.traces)
centered = _of_images(features.centered)
roi_features = _of_images(features.roi_features, unitless=True, tree=True)
