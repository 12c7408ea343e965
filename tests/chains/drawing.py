"""Chains are drawn step by step: what can follow depends on the image so far, which is made in memory on the way."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.chains.model import Chain, Image, Step
from tests.chains.steps import ARITHMETIC, NAMED, SELECTIONS, TABLES, WAYS, do, operate
from tests.laws.operations import OPERATIONS
from tests.laws.strategies import chunkings

ORDERS = (
    ("c", "y", "x"),
    ("y", "x"),
    ("y", "x", "c"),
    ("c", "z", "y", "x"),
    ("t", "c", "y", "x"),
    ("z", "y", "x"),
    ("x", "c", "y"),
    ("t", "c", "z", "y", "x"),
)
SIDES = {"t": 3, "c": 4, "z": 4, "y": 23, "x": 31}
DTYPES = ("uint16", "float32", "uint8", "int16", "float64", "bool", "uint32", "int8", "float16", "int64")
KINDS = ("isel", "isel", "plane", "list", "boolean", "pointwise", "sel", "chunk", "transpose", "arithmetic")
STEPS = 5


@st.composite
def pictures(draw: st.DrawFn) -> Image:
    dims = draw(st.sampled_from(ORDERS))
    shape = tuple(draw(st.integers(1 if dim in "tcz" else 2, SIDES[dim])) for dim in dims)
    return Image(
        dims,
        shape,
        draw(st.sampled_from(DTYPES)),
        draw(st.integers(0, 2**16)),
        draw(st.sampled_from(("none", "even", "even", "falling"))),
        draw(st.sampled_from((0.0, 0.0, 0.05))),
    )


def _regular(sizes: Any) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({str(dim): st.integers(1, n) for dim, n in sizes.items()})


@st.composite
def ome_options(draw: st.DrawFn, sizes: Any, server: bool) -> dict[str, Any]:
    chunks = draw(_regular(sizes))
    version = draw(st.sampled_from(("0.5", "0.4", "0.6")))
    options: dict[str, Any] = {"version": version, "layout": draw(st.sampled_from(("dual", "flat"))), "chunks": chunks}
    if version != "0.4" and draw(st.booleans()):
        options["shards"] = {dim: n * draw(st.integers(1, 3)) for dim, n in chunks.items()}
    kinds = ("folder", "folder", "folder", "memory", "zip", *(("s3",) if server else ()))
    options["kind"] = draw(st.sampled_from(kinds))
    options["scale_factors"] = draw(st.sampled_from(((), (2,), (2, 2))))
    if options["scale_factors"]:
        options["method"] = draw(st.sampled_from(("mean", "nearest", "max", "gaussian")))
    if draw(st.booleans()):
        options["tree"] = True
    return options


@st.composite
def sources(draw: st.DrawFn, image: xr.DataArray, server: bool) -> Step:
    names = ["ome", "ome", "ome", "xarray group", "bare", "dask", "da.from_zarr", "numpy"]
    name = draw(st.sampled_from(names))
    if name == "numpy":
        return Step(name)
    if name == "dask":
        return Step(name, {"chunks": draw(chunkings(image.sizes))})
    if name == "ome":
        labels = image.dtype.kind in "iu" and "c" not in image.dims and draw(st.booleans())
        return Step(name, draw(ome_options(image.sizes, server)) | ({"label": True, "tree": False} if labels else {}))
    given = {"chunks": draw(_regular(image.sizes))}
    if name == "xarray group":
        given["zarr_format"] = draw(st.sampled_from((2, 3)))
        if image.dtype.name in ("uint8", "int8"):
            given["packed"] = draw(st.booleans())
    return Step(name, given)


def _slices(n: int) -> st.SearchStrategy[slice]:
    start = st.integers(0, max(0, n - 2))
    forward = st.tuples(start, st.sampled_from((1, 1, 2, 3))).flatmap(
        lambda at: st.integers(at[0] + 1, n).map(lambda stop: slice(at[0], stop, at[1]))
    )
    return st.one_of(forward, st.sampled_from((slice(None, None, -1), slice(None, None, -2))))


@st.composite
def selections(draw: st.DrawFn, image: xr.DataArray) -> Step:
    dims = [str(dim) for dim in image.dims]
    if not dims or 0 in image.shape:
        return Step("arithmetic", {"how": "times 2"})
    dim = draw(st.sampled_from(dims))
    n = image.sizes[dim]
    kind = draw(st.sampled_from(KINDS))
    if kind == "plane" and dim not in ("y", "x"):
        return Step("isel", {dim: draw(st.integers(-n, n - 1))})
    if kind == "list":
        return Step("isel", {dim: draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=n))})
    if kind == "boolean":
        return Step("boolean", {dim: draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))})
    if kind == "pointwise" and len(dims) > 1 and "point" not in dims and draw(st.booleans()):
        other = draw(st.sampled_from([d for d in dims if d != dim]))
        count = draw(st.integers(1, 4))
        at = {d: draw(st.lists(st.integers(0, image.sizes[d] - 1), min_size=count, max_size=count)) for d in (dim, other)}
        return Step("pointwise", at)
    if kind == "sel" and "c" in image.indexes and image.sizes["c"] and image.indexes["c"].is_unique:
        names = list(image.indexes["c"])
        one = st.sampled_from(names)
        return Step("sel", {"c": draw(st.one_of(one, st.lists(one, min_size=1, unique=True)))})
    if kind == "chunk":
        return Step("chunk", draw(chunkings(image.sizes)))
    if kind == "transpose":
        return Step("transpose", {"dims": tuple(draw(st.permutations(dims)))})
    if kind == "arithmetic":
        return Step("arithmetic", {"how": draw(st.sampled_from(sorted(ARITHMETIC)))})
    return Step("isel", {dim: draw(_slices(n))})


@st.composite
def operations(draw: st.DrawFn, image: xr.DataArray) -> Step:
    operation = draw(st.sampled_from(OPERATIONS))
    given = draw(operation.parameters(image))
    if operation.image_out and operation.name != "mask" and draw(st.integers(0, 3)) == 0:
        given = {"within": draw(st.sampled_from(("dataset", "tree", "levels"))), **given}
    return Step(operation.name, given)


@st.composite
def ways(draw: st.DrawFn, image: xr.DataArray, server: bool, cluster: bool) -> Step:
    names = [*WAYS, "ome", "ome", "ome", "to_zarr", *(("cluster",) if cluster else ())]
    name = draw(st.sampled_from(names))
    if name == "ome" and {"y", "x"} <= set(image.dims) and image.size:
        return Step("ome", draw(ome_options(image.sizes, server)))
    if name == "to_zarr":
        return Step(name, {"zarr_format": draw(st.sampled_from((2, 3))), "reader": draw(st.sampled_from(("xprep", "xarray")))})
    return Step(name if name in WAYS or name == "cluster" else "persist")


def _plain(step: Step, image: xr.DataArray) -> Any:
    """Return the image in memory after a step, as far as drawing needs it."""
    if step.name in NAMED:
        return operate(image, step.name, **step.given)
    if step.name in SELECTIONS:
        return do(step, image, None).compute()  # type: ignore[arg-type]
    if step.name == "ome":
        return image.transpose(*[dim for dim in ("t", "c", "z", "y", "x") if dim in image.dims])
    return image


@st.composite
def chains(draw: st.DrawFn, server: bool = False, cluster: bool = False) -> Chain:
    """Draw a chain; it ends where a step is refused, or the result is no image."""
    picture = draw(pictures())
    image = picture.make()
    source = draw(sources(image, server))
    image = image.drop_vars(list(image.coords)) if source.name == "bare" else image
    steps: list[Step] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for _ in range(draw(st.integers(1, STEPS))):
            kinds = [selections(image), ways(image, server, cluster)]
            if {"y", "x"} <= set(image.dims) <= set("tczyx") and image.size:
                kinds += [operations(image)] * 2
            steps.append(draw(st.one_of(kinds)))
            try:
                image = _plain(steps[-1], image)
            except Exception:  # noqa: BLE001  refused, or worse: running the chain tells
                break
            if steps[-1].name in TABLES or not isinstance(image, xr.DataArray) or image.size > 200_000:
                break
    options = {
        "tile_bytes": draw(st.sampled_from((2**20, 1, 300, 4000))),
        "intermediates": draw(st.sampled_from(("auto", "recompute", "persist", "spill"))),
    }
    return Chain(picture, source, tuple(steps), options)


def drawn(number: int, count: int, **more: bool) -> Sequence[Chain]:
    """Return up to `count` chains of a seed; without the first, which hypothesis makes as small as can be."""
    found: list[Chain] = []

    @seed(number)
    @settings(
        max_examples=count + 1, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(chains(**more))
    def collect(chain: Chain) -> None:
        found.append(chain)

    collect()
    return found[1:]
