"""The `.prep` accessor: a table of contents. Every signature and docstring is the operation's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from xprep import images, ops, plot
from xprep.rois import in_containers
from xprep.viewer import showing

P = ParamSpec("P")
R = TypeVar("R")


def _method(operation: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Return ``operation`` as a method: its first parameter is the accessor's own object."""

    @wraps(operation)
    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return operation(self._obj, *args, **kwargs)

    signature = inspect.signature(operation)
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = signature.replace(parameters=[me, *list(signature.parameters.values())[1:]])  # type: ignore[attr-defined]
    return cast("Callable[Concatenate[Any, P], R]", method)


class _Prep:
    """What can be done with an image, in every container."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    normalize = _method(ops.normalize)
    fit_normalize = _method(ops.fit_normalize)
    quantile = _method(ops.quantile)
    gaussian_filter = _method(ops.gaussian_filter)
    background = _method(ops.background)
    subtract_background = _method(ops.subtract_background)
    rescale = _method(ops.rescale)
    to_isotropic = _method(ops.to_isotropic)
    project = _method(ops.project)
    pyramid = _method(ops.pyramid)
    mask = _method(in_containers.mask)
    traces = _method(in_containers.traces)
    centered = _method(in_containers.centered)
    roi_features = _method(in_containers.roi_features)
    to_ome_zarr = _method(images.to_ome_zarr)
    plan = _method(ops.plan)
    plot_projections = _method(plot.plot_projections)
    plot_rois = _method(plot.plot_rois)
    plot_channels = _method(plot.plot_channels)
    plot_histograms = _method(plot.plot_histograms)
    compare = _method(plot.compare)
    view = _method(showing.view)

    def __repr__(self) -> str:
        return ops.describe(self._obj)

    def _repr_html_(self) -> str:
        return ops.describe_html(self._obj)


class ImagePrep(_Prep):
    """``DataArray.prep``: preprocessing of an image."""


class DatasetPrep(_Prep):
    """``Dataset.prep``: preprocessing of every image of a Dataset; in `normalize` they share statistics."""


class TreePrep(_Prep):
    """``DataTree.prep``: preprocessing of every image of a DataTree; in `normalize` they share statistics."""
