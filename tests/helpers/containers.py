"""Containers of an image as tools make them: in levels, as fields of view, with labels beside or below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

STEPS = ({"y": 2, "x": 2}, {"y": 2, "x": 2})


@dataclass(frozen=True)
class Kind:
    """One kind of container.

    Attributes
    ----------
    name
        Of the kind.
    build
        ``build(image)``: the container.
    images
        Paths of the nodes of each image's levels, finest first; ("",) of a Dataset.
    variable
        Name of the image there; "" is the image's own.
    labels
        Paths and names of what are labels.
    method
        How levels are made anew.
    """

    name: str
    build: Callable[[xr.DataArray], Any]
    images: Sequence[Sequence[str]]
    variable: str = "image"
    labels: Sequence[str] = ()
    method: str = "mean"

    def __str__(self) -> str:
        return self.name


def cells_of(image: xr.DataArray) -> xr.DataArray:
    """Return labels 0, 7 and 70000 along y and x of an image, which say that they are labels."""
    values = np.zeros((image.sizes["y"], image.sizes["x"]), np.uint32)
    values[3:20, 5:30], values[22:37, 10:45] = 70_000, 7
    coords = {dim: image.coords[dim] for dim in ("y", "x") if dim in image.coords}
    return xr.DataArray(values, coords, ("y", "x"), attrs={"image-label": {}})


def without_places(levels: Sequence[xr.DataArray]) -> list[xr.DataArray]:
    """Return levels without coordinates in space, as readers of OME-Zarr's arrays give them."""
    return [level.drop_vars(["y", "x"]) for level in levels]


def levels_of(image: xr.DataArray, method: str = "max") -> list[xr.DataArray]:
    """Return an image and its levels, which are not those that are to be made anew."""
    tree = image.prep.pyramid(STEPS, method=method)
    return [tree[f"scale{n}/image"].rename("image") for n in range(3)]


def trimmed(image: xr.DataArray) -> list[xr.DataArray]:
    """Return levels as SpatialData makes them: what does not fill a block is dropped, and pixels are a little wider."""
    levels = []
    for n in range(3):
        height, width = (image.sizes[dim] // 2**n for dim in ("y", "x"))
        level = image[..., :: 2**n, :: 2**n][..., :height, :width].drop_vars(["y", "x"])
        ends = {dim: image.sizes[dim] / size for dim, size in (("y", height), ("x", width))}
        level = level.assign_coords({dim: step * (np.arange(level.sizes[dim]) + 0.5) for dim, step in ends.items()})
        levels.append(level.rename("image").assign_attrs(transform={"global": f"level {n}"}))
    return levels


def tree_of(levels: Sequence[xr.DataArray], names: Sequence[str] = ("scale0", "scale1", "scale2"), **attrs: Any) -> xr.DataTree:
    """Return a DataTree with a node a level."""
    tree = xr.DataTree.from_dict({name: level.to_dataset(name="image") for name, level in zip(names, levels, strict=True)})
    tree.attrs.update(attrs)
    return tree


def listed(*paths: str, **said: Any) -> list[dict[str, Any]]:
    """Return ``multiscales`` with these levels."""
    return [{"datasets": [{"path": path} for path in paths], **said}]


def _opened_by_xarray(image: xr.DataArray) -> xr.DataTree:
    paths = [f"scale{n}/image" for n in range(3)]
    return tree_of(levels_of(image), ome={"version": "0.5", "multiscales": listed(*paths, type="nearest")})


def _with_labels(image: xr.DataArray) -> xr.DataTree:
    cells = cells_of(image).drop_attrs(deep=False).prep.pyramid(STEPS, method="mode")
    tree = {f"scale{n}": level.to_dataset(name="image") for n, level in enumerate(levels_of(image))}
    below = {f"labels/cells/scale{n}": cells[f"scale{n}"].to_dataset() for n in range(3)}
    return xr.DataTree.from_dict(tree | below)


def _plate(image: xr.DataArray) -> xr.DataTree:
    wells, levels = ("A/1", "B/2"), list(enumerate(levels_of(image)))
    return xr.DataTree.from_dict({f"{well}/scale{n}": level.to_dataset(name="image") for well in wells for n, level in levels})


def _fields(image: xr.DataArray) -> xr.DataTree:
    return xr.DataTree.from_dict({field: image.to_dataset(name="image") for field in ("a", "b/c")})


def _beside(image: xr.DataArray) -> xr.Dataset:
    return xr.Dataset({"image": image, "cells": cells_of(image), "areas": ("cell", [3.0, 4.0])}, attrs={"slide": 7})


SCALES = ("scale0", "scale1", "scale2")
KINDS = (
    Kind("levels by their extent", lambda image: tree_of(levels_of(image)), [SCALES]),
    Kind("levels without coordinates", lambda image: tree_of(without_places(levels_of(image))), [SCALES]),
    Kind("pyramid()", lambda image: image.rename("image").prep.pyramid(STEPS, method="gaussian"), [SCALES], method="gaussian"),
    Kind("opened by xarray", _opened_by_xarray, [SCALES], method="nearest"),
    Kind(
        "s0, s1, s2 with metadata",
        lambda image: tree_of(
            without_places(levels_of(image)), ("s0", "s1", "s2"), multiscales=listed("s0", "s1", "s2", type="itkwasm_gaussian")
        ),
        [("s0", "s1", "s2")],
        method="gaussian",
    ),
    Kind("spatialdata", lambda image: tree_of(trimmed(image)), [SCALES]),
    Kind(
        "levels of a Dataset",
        lambda image: _beside(image).prep.pyramid(STEPS, method="mean"),
        [SCALES],
        labels=[f"{scale}/cells" for scale in SCALES],
    ),
    Kind("labels below levels", _with_labels, [SCALES], labels=[f"labels/cells/{scale}/image" for scale in SCALES]),
    Kind("a plate", _plate, [[f"{well}/{scale}" for scale in SCALES] for well in ("A/1", "B/2")]),
    Kind("fields of view", _fields, [["a"], ["b/c"]]),
    Kind("labels beside", lambda image: _beside(image), [[""]], labels=["cells"]),
    Kind(
        "labels beside, in a tree",
        lambda image: xr.DataTree.from_dict({"site": _beside(image)}),
        [["site"]],
        labels=["site/cells"],
    ),
)
