"""Hypothesis strategies: images of every dtype and order of dims, and the ways to cut them into chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import strategies as st

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")
NUMBERS = ("bool", *INTEGERS, *FLOATS)
# Orders of dims: the usual ones, the channel last, y and x apart, x before y, and images that lack c.
ORDERS = (
    ("c", "y", "x"),
    ("y", "x"),
    ("y", "x", "c"),
    ("x", "c", "y"),
    ("c", "z", "y", "x"),
    ("t", "c", "y", "x"),
    ("z", "y", "c", "x"),
)
SIDES = {"t": 3, "c": 4, "z": 4, "y": 13, "x": 17}  # longest axis of each dim: a blur of sigma 2 reaches 8


@st.composite
def images(
    draw: st.DrawFn,
    *,
    dtypes: Sequence[str] = NUMBERS,
    orders: Sequence[tuple[str, ...]] = ORDERS,
    sides: Mapping[str, int] = SIDES,
    nan: bool = True,
    coords: bool = True,
) -> xr.DataArray:
    """Draw an image in memory: pixels of a seed, with zeros, ties and (in floats) NaN and negatives among them."""
    dims = draw(st.sampled_from(orders))
    shape = tuple(draw(st.integers(1, sides[dim])) for dim in dims)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = draw(st.sampled_from((_spread, _few_values, _bright_spots)))(random, shape, dtype)
    pixels[random.random(shape) < draw(st.sampled_from((0.0, 0.2)))] = 0
    if nan and dtype.kind == "f":
        pixels[random.random(shape) < draw(st.sampled_from((0.0, 0.0, 0.02, 0.5)))] = np.nan
    given = {dim: _coordinate(dim, n) for dim, n in zip(dims, shape, strict=True)} if coords and draw(st.booleans()) else {}
    return xr.DataArray(pixels, dims=dims, coords=given, name=draw(st.sampled_from((None, "image"))), attrs={"lens": "40x"})


def _spread(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind == "b":
        return random.random(shape) < 0.5
    if dtype.kind == "f":
        return random.normal(0.3, 1.0, shape).astype(dtype)
    span = np.iinfo(dtype)
    return random.integers(span.min, span.max, shape, dtype=dtype, endpoint=True)


def _few_values(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    return random.integers(0, 4, shape).astype(dtype)


def _bright_spots(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    return np.minimum(random.lognormal(1.0, 1.0, shape), 100).astype(dtype)


def _coordinate(dim: str, length: int) -> Any:
    if dim == "c":
        return np.array([f"marker {i}" for i in range(length)], dtype=object)
    return (dim, 10 + 0.5 * np.arange(length), {"units": "micrometer"})


def chunks_of(length: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw the chunks of an axis: whole, of 1, regular, or ragged."""
    regular = st.integers(1, max(1, length)).map(
        lambda size: (size,) * (length // size) + ((length % size,) if length % size else ())
    )
    cuts = st.sets(st.integers(1, max(1, length - 1)), max_size=4)
    ragged = cuts.map(lambda at: tuple(int(n) for n in np.diff([0, *sorted(a for a in at if a < length), length])))
    return st.one_of(st.just((length,)), st.just((1,) * length), regular, ragged)


def chunkings(sizes: Mapping[Any, int]) -> st.SearchStrategy[dict[Any, tuple[int, ...]]]:
    """Draw chunks for every dim of an image of ``sizes``."""
    return st.fixed_dictionaries({dim: chunks_of(length) for dim, length in sizes.items()})
