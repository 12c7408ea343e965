"""What chains do with an image: selections and arithmetic of xarray, operations, ways to compute."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle
import dask
import numpy as np
import xarray as xr

from tests.chains.model import Step
from tests.chains.places import PLACES, Lab
from tests.laws.operations import OPERATIONS, Operation

NAMED: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
TABLES = ("traces", "centered", "roi_features", "quantile")  # results that are no image


def select(image: xr.DataArray, **index: Any) -> xr.DataArray:
    return image.isel(index)


def pointwise(image: xr.DataArray, **index: Any) -> xr.DataArray:
    return image.isel({dim: xr.DataArray(np.array(at, int), dims="point") for dim, at in index.items()})


def boolean(image: xr.DataArray, **index: Any) -> xr.DataArray:
    return image.isel({dim: np.array(keep, bool) for dim, keep in index.items()})


def by_name(image: xr.DataArray, c: Any) -> xr.DataArray:
    return image.sel(c=c)


def rechunk(image: xr.DataArray, **chunks: Any) -> xr.DataArray:
    return image.chunk(chunks)


def transpose(image: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    return image.transpose(*dims)


ARITHMETIC: Mapping[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "times 2": lambda image: image * 2,
    "plus half": lambda image: image + 0.5,
    "float32": lambda image: image.astype("float32"),
    "where": lambda image: image.where(image > 3),
    "filled": lambda image: image.fillna(0),
    "minus its first row": lambda image: image - image.isel(y=0, drop=True),
    "above": lambda image: image > 4,
    "rolled": lambda image: image.roll(x=2, roll_coords=False),
    "twice": lambda image: xr.concat([image, image], "y", join="override"),
    "without places": lambda image: image.drop_vars([dim for dim in ("z", "y", "x") if dim in image.coords]),
    "without coordinates": lambda image: image.reset_coords(drop=True).drop_vars(list(image.coords), errors="ignore"),
    "renamed": lambda image: image.rename("slide"),
    "labelled": lambda image: image.assign_coords(stage=3.5),
}


def arithmetic(image: xr.DataArray, how: str) -> xr.DataArray:
    return ARITHMETIC[how](image)


SELECTIONS: Mapping[str, Callable[..., xr.DataArray]] = {
    "isel": select,
    "pointwise": pointwise,
    "boolean": boolean,
    "sel": by_name,
    "chunk": rechunk,
    "transpose": transpose,
    "arithmetic": arithmetic,
}


def operate(image: xr.DataArray, name: str, within: str = "", **given: Any) -> Any:
    """Do an operation, on the image or on a Dataset or DataTree that holds it."""
    call = NAMED[name].call
    if not within:
        return call(image, **given)
    held = image.to_dataset(name="image")
    if within == "dataset":
        return call(held, **given)["image"].rename(image.name)
    if within == "levels":
        levels = image.rename("image").prep.pyramid((2,), method="nearest")
        return call(levels, **given)["scale0/image"].rename(image.name)
    return call(xr.DataTree.from_dict({"site": held}), **given)["site/image"].rename(image.name)


def _on(scheduler: str) -> Callable[..., xr.DataArray]:
    def compute(image: xr.DataArray) -> xr.DataArray:
        with dask.config.set(scheduler=scheduler):
            return image.compute()

    return compute


def _persisted(image: xr.DataArray) -> xr.DataArray:
    return image.persist()


def _pickled(image: xr.DataArray) -> xr.DataArray:
    return pickle.loads(pickle.dumps(image))  # noqa: S301


def _cloudpickled(image: xr.DataArray) -> xr.DataArray:
    return pickle.loads(cloudpickle.dumps(image))  # noqa: S301


def _copied(image: xr.DataArray) -> xr.DataArray:
    return image.copy(deep=True)


WAYS: Mapping[str, Callable[..., xr.DataArray]] = {
    "threads": _on("threads"),
    "synchronous": _on("sync"),
    "persist": _persisted,
    "pickle": _pickled,
    "cloudpickle": _cloudpickled,
    "deep copy": _copied,
}


def on_cluster(image: xr.DataArray, here: Lab) -> xr.DataArray:
    if here.client is None:
        return image.compute()
    with here.client.as_current():
        return image.compute(scheduler=here.client.get)


def do(step: Step, image: xr.DataArray, here: Lab) -> xr.DataArray:
    """Do a step with xprep."""
    if step.name in NAMED:
        return operate(image, step.name, **step.given)
    if step.name in SELECTIONS:
        return SELECTIONS[step.name](image, **step.given)
    if step.name in PLACES:
        return PLACES[step.name](image, here, **step.given)
    return on_cluster(image, here) if step.name == "cluster" else WAYS[step.name](image)
