"""Rows of `tests.laws.operations` for what is done with ROIs: their table is made from a seed, to fit any image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import strategies as st

import xprep
from tests.laws import dense_rois
from tests.laws.dense_rois import Roi
from xprep.dims.containers.apply import images_of


def make_rois(container: Any, seed: int, planar: bool = True) -> list[Roi]:
    """ROIs inside every image of a container: overlapping, at borders, with doubled pixels, empty, weights of any sign."""
    images = images_of(container).values()
    depth, height, width = (min(image.sizes.get(dim, 1) for image in images) for dim in ("z", "y", "x"))
    random = np.random.default_rng(seed)
    found = []
    for count in random.choice([0, 1, 2, 7, 20], random.integers(1, 6)):
        y = np.clip(random.integers(0, height) + random.integers(-3, 4, count), 0, height - 1)
        x = np.clip(random.integers(0, width) + random.integers(-3, 4, count), 0, width - 1)
        z = np.full(count, random.integers(0, depth)) if planar else random.integers(0, depth, count)
        found.append((random.choice([-1, 0, 0.5, 1, 2, 3], count), z, y, x))
    return found


def make_table(rois: list[Roi], planar: bool = True) -> xprep.RoiTable:
    lam, z, y, x = (list(column) for column in zip(*rois, strict=True))
    planes = [int(p[0]) if p.size else 0 for p in z] if planar else z
    return xprep.RoiTable.from_pixels(lam, y, x, planes, ids=np.arange(len(lam)) * 3 + 5)


def with_table(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``operation`` with a table of the ``seed`` instead of one that is given."""

    def call(image: Any, *, seed: int, planar: bool = True, **options: Any) -> Any:
        return operation(image, make_table(make_rois(image, seed, planar), planar), **options)

    return call


def with_lists(oracle: Callable[..., Any]) -> Callable[..., Any]:
    """Return the oracle of the same ROIs."""

    def call(image: xr.DataArray, *, seed: int, planar: bool = True, **options: Any) -> Any:
        return oracle(image, make_rois(image, seed, planar), **options)

    return call


def mask_by(image: Any, *, seed: int, rois: str = "table", outside: float = np.nan, invert: bool = False) -> Any:
    """`xprep.mask` by a table, a label image or a boolean mask."""
    found = make_rois(image, seed)
    if rois == "table":
        return xprep.mask(image, make_table(found), outside=outside, invert=invert)
    space = [dim for dim in ("z", "y", "x") if dim in image.dims]
    labels = np.zeros((image.sizes.get("z", 1), image.sizes["y"], image.sizes["x"]), np.uint8)
    for _, z, y, x in found:
        labels[z, y, x] = 9
    made = xr.DataArray(labels if "z" in space else labels[0], dims=space)
    made = made > 0 if rois == "boolean" else made
    return xprep.mask(image, made.chunk(2) if rois == "lazy" else made, outside=outside, invert=invert)


def mask_oracle(
    image: xr.DataArray, *, seed: int, rois: str = "table", outside: float = np.nan, invert: bool = False
) -> xr.DataArray:
    return dense_rois.mask(image, make_rois(image, seed), outside, invert)


def parameters(
    options: dict[str, st.SearchStrategy[Any]], image: xr.DataArray, *, volumes: bool = False
) -> st.SearchStrategy[dict[str, Any]]:
    more = {"planar": st.booleans()} if volumes and "z" in image.dims else {}
    return st.fixed_dictionaries({"seed": st.integers(0, 2**32 - 1)}, optional=options | more)


MASK = partial(
    parameters,
    {
        "rois": st.sampled_from(("table", "labels", "lazy", "boolean")),
        "outside": st.sampled_from((np.nan, 0, 7, -1, 0.5)),
        "invert": st.booleans(),
    },
)
TRACES = partial(
    parameters,
    {"how": st.sampled_from(("weighted_mean", "mean", "sum", "dot")), "skipna": st.booleans()},
    volumes=True,
)
CENTERED = partial(parameters, {"width": st.integers(0, 6), "fill_value": st.sampled_from((0.0, np.nan, -1.5))})
FEATURES = partial(
    parameters,
    {
        "width": st.integers(1, 6),
        "iterations": st.integers(0, 5),
        "eps": st.sampled_from((1e6, 1.0)),
        "surround": st.sampled_from(("filled", "annulus")),
    },
)
