"""The operations with ROIs, in every container: what `xprep.rois` does for an image, with labels and history."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

import xarray as xr

from xprep import rois
from xprep.ops.containers import collect, images_of, map_images, spell_name
from xprep.ops.labels import attributes, spell
from xprep.ops.layout import check_image
from xprep.rois.features import centered as _centered
from xprep.rois.features import roi_features as _roi_features
from xprep.rois.masking import mask as _mask
from xprep.rois.traces import traces as _traces

P = ParamSpec("P")


def _told(operation: Callable[Concatenate[Any, P], Any]) -> Callable[Concatenate[Any, P], Any]:
    """Return ``operation`` on one image, with a line of history."""

    @wraps(operation)
    def on_image(image: xr.DataArray, *args: P.args, **kwargs: P.kwargs) -> Any:
        check_image(image, operation.__name__)
        result = operation(image, *args, **kwargs)
        first = {"rois": _spell_rois(args[0])} if args else {}
        result.attrs = attributes(image, spell(operation.__name__, {**first, **kwargs}))
        return result

    return on_image


def _spell_rois(given: Any) -> Any:
    return f"{len(given)} ROIs" if isinstance(given, rois.RoiTable) else type(given).__name__


def _per_image(operation: Callable[Concatenate[Any, P], Any]) -> Callable[Concatenate[Any, P], Any]:
    """Return ``operation`` for every container: a Dataset gives a Dataset of results, a DataTree a node per node."""
    on_image = _told(operation)

    @wraps(operation)
    def on_container(image: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        if isinstance(image, xr.DataArray):
            return on_image(image, *args, **kwargs)
        return collect(image, {name: on_image(one, *args, **kwargs) for name, one in images_of(image).items()})

    return on_container


@wraps(_mask)
def mask(image: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: D103  (the docstring is the wrapped one's)
    return map_images(lambda one: cast(xr.DataArray, _told(_mask)(one, *args, **kwargs)), image)


@wraps(_roi_features)
def roi_features(image: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: D103  (the docstring is the wrapped one's)
    on_image = _told(_roi_features)
    if isinstance(image, xr.DataArray):
        return on_image(image, *args, **kwargs)
    found = {name: on_image(one, *args, **kwargs) for name, one in images_of(image).items()}
    if isinstance(image, xr.Dataset) and len(found) == 1:
        return next(iter(found.values()))
    return xr.DataTree.from_dict({spell_name(name).replace(" ", "/"): one for name, one in found.items()})


traces = _per_image(_traces)
centered = _per_image(_centered)
