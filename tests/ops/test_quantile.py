"""`quantile`: to the last bit `numpy.nanquantile` in float64, in as few reads as the type allows."""

from __future__ import annotations

import warnings
from itertools import count
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xprep
from tests.helpers.sources import counted
from tests.laws import dense
from tests.laws.operations import assert_same_bits
from tests.laws.strategies import FLOATS, INTEGERS, NUMBERS, chunkings, chunks_of
from xprep.engine.blocks.folds import Fold
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.graph.tasks import call
from xprep.engine.passes.quantiles import Question, _Narrow, quantiles

QS = st.one_of(st.floats(0, 1), st.sampled_from((0.0, 0.01, 0.25, 0.5, 0.99, 0.999, 1.0)))


def elements(dtype: np.dtype[Any], infinities: bool) -> st.SearchStrategy[Any]:
    """Any value of the type; ties are likely, and so are NaN, denormals, both zeros and the largest numbers."""
    if dtype.kind != "f":
        few = [0, 1] if dtype.kind == "b" else [0, 1, 2, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)]
        return st.one_of(st.sampled_from(few), hnp.from_dtype(dtype))
    info = np.finfo(dtype)
    few = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        float(info.smallest_subnormal),
        -float(info.smallest_subnormal),
        float(info.max) / 4,
        float("nan"),
    ]
    few += [float("inf"), float("-inf")] if infinities else []
    return st.one_of(st.sampled_from(few), hnp.from_dtype(dtype, allow_infinity=infinities, allow_nan=True))


@st.composite
def rows(draw: st.DrawFn, dtypes: tuple[str, ...] = NUMBERS, infinities: bool = False) -> xr.DataArray:
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 40)))
    return xr.DataArray(draw(hnp.arrays(dtype, shape, elements=elements(dtype, infinities))), dims=("c", "x"))


def reference(image: xr.DataArray, q: Any) -> np.ndarray:
    values = image.values.astype(np.float64)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        return np.nanquantile(values, q, axis=1, method="linear")


@given(image=rows(), q=QS, data=st.data())
@settings(max_examples=300)
def test_equals_nanquantile_to_the_last_bit(image: xr.DataArray, q: float, data: st.DataObject) -> None:
    lazy = image.chunk({"x": data.draw(chunks_of(image.sizes["x"]))})
    desired = reference(image, q)
    overflows = ~np.isfinite(desired) & ~np.isnan(image.values.astype(np.float64)).all(axis=1)
    found = xprep.quantile(lazy, q).values
    assert found.dtype == np.float64
    # Between -max and max numpy's own difference overflows; there is no right answer to the last bit.
    np.testing.assert_array_equal(found[~overflows], desired[~overflows])


@given(image=rows(FLOATS, infinities=True), q=st.lists(QS, min_size=1, max_size=3), data=st.data())
@settings(max_examples=150)
def test_infinities_run_into_themselves(image: xr.DataArray, q: list[float], data: st.DataObject) -> None:
    lazy = image.chunk({"x": data.draw(chunks_of(image.sizes["x"]))})
    found = xprep.quantile(lazy, q).values
    desired = dense.quantile(image, q).values
    np.testing.assert_array_equal(found, desired)
    for row, answers in zip(image.values.astype(np.float64), found.T, strict=True):
        left = row[~np.isnan(row)]
        if (
            left.size
            and not (np.isneginf(left).any() and np.isposinf(left).any())
            and np.abs(left[np.isfinite(left)]).max(initial=0) < 1e300
        ):
            assert not np.isnan(answers).any(), "NaN only between -inf and inf"


def test_the_rule_for_infinities_in_numbers() -> None:
    def of(*values: float, q: float) -> float:
        return float(xprep.quantile(xr.DataArray(np.array(values), dims="x"), q))

    inf = float("inf")
    assert of(1, inf, q=0.5) == inf
    assert of(-inf, 1, q=0.5) == -inf
    assert np.isnan(of(-inf, inf, q=0.5))
    assert of(-inf, inf, q=0) == -inf
    assert of(-inf, inf, q=1) == inf
    assert of(1, 2, inf, q=0.5) == 2
    assert of(inf, inf, q=0.3) == inf


@given(image=rows(), q=QS)
@settings(max_examples=60)
def test_zeros_of_both_signs_are_skipped(image: xr.DataArray, q: float) -> None:
    found = xprep.quantile(image, q, skip_zeros=True).values
    np.testing.assert_array_equal(found, dense.quantile(image, q, skip_zeros=True).values)


@given(image=rows(FLOATS), q=QS)
@settings(max_examples=60)
def test_without_skipna_one_nan_is_enough(image: xr.DataArray, q: float) -> None:
    found = xprep.quantile(image, q, skipna=False).values
    lost = np.isnan(image.values).any(axis=1)
    assert np.isnan(found[lost]).all()
    np.testing.assert_array_equal(found[~lost], xprep.quantile(image, q).values[~lost])


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, "bool"])
def test_many_pixels_of_every_type(dtype: str) -> None:
    """Enough pixels that every digit of the keys matters, in every round of counting."""
    random = np.random.default_rng(5)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        pixels = (random.normal(0, 1, (2, 120, 150)) * 10.0 ** random.integers(-4, 4, (2, 120, 150))).astype(kind)
    elif kind.kind == "b":
        pixels = random.random((2, 120, 150)) < 0.3
    else:
        span = np.iinfo(kind)
        pixels = random.integers(span.min, span.max, (2, 120, 150), dtype=kind, endpoint=True)
    image = xr.DataArray(pixels, dims=("c", "y", "x"))
    q = [0, 1e-4, 0.1, 0.5, 0.9, 0.9999, 1]
    desired = np.nanquantile(pixels.reshape(2, -1).astype(np.float64), q, axis=1, method="linear")
    for lazy in (image, image.chunk({"c": 1, "y": 50, "x": 37})):
        np.testing.assert_array_equal(xprep.quantile(lazy, q).values, desired)


@given(data=st.data())
@settings(max_examples=40)
def test_any_dims_are_reduced(data: st.DataObject) -> None:
    """Also those that leave one group a pixel, which are sorted block by block instead of counted."""
    dtype = data.draw(st.sampled_from(NUMBERS))
    shape = data.draw(
        st.fixed_dictionaries({"t": st.integers(1, 5), "c": st.integers(1, 3), "y": st.integers(1, 9), "x": st.integers(1, 9)})
    )
    pixels = np.random.default_rng(data.draw(st.integers(0, 99))).normal(0, 3, list(shape.values()))
    image = xr.DataArray((pixels > 0 if dtype == "bool" else np.abs(pixels)).astype(dtype), dims=list(shape))
    dim = data.draw(st.lists(st.sampled_from(list(shape)), min_size=1, unique=True))
    options = {"skip_zeros": data.draw(st.booleans())}
    found = xprep.quantile(image.chunk(data.draw(chunkings(shape))), [0.2, 0.5], dim, **options)
    desired = dense.quantile(image, [0.2, 0.5], dim, **options)
    assert found.dims == desired.dims
    np.testing.assert_array_equal(found.values, desired.values)


@pytest.mark.parametrize(("nan", "skipna"), [(False, True), (True, True), (True, False)])
def test_per_pixel_over_time_as_xarray_does(nan: bool, skipna: bool) -> None:
    pixels = np.random.default_rng(0).normal(0, 1, (7, 2, 20, 30)).astype("float32")
    if nan:
        pixels[::3, :, ::4] = np.nan
    image = xr.DataArray(pixels, dims=("t", "c", "y", "x"), coords={"t": range(7), "x": np.arange(30) * 0.5})
    found = xprep.quantile(image.chunk({"t": 2, "y": 8}), [0.1, 0.7], "t", skipna=skipna)
    desired = image.astype("float64").quantile([0.1, 0.7], "t", skipna=skipna)
    assert found.dims == desired.dims
    assert set(found.coords) == set(desired.coords)
    np.testing.assert_array_equal(found.values, desired.values)


@pytest.mark.parametrize("dim", [..., ("y", "x", "c"), "c", "y"])
def test_dims_and_coordinates_are_those_of_xarray(dim: Any) -> None:
    image = xprep.datasets.blobs(channels=2, shape=(12, 16)).rename("slide")
    for q in (0.5, [0.5], [0.1, 0.9]):
        found, desired = xprep.quantile(image, q, dim), image.quantile(q, dim)
        assert found.dims == desired.dims
        assert found.name == desired.name
        assert set(found.coords) == set(desired.coords)
        np.testing.assert_allclose(found.values, desired.values)


READS = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 1,
    "int16": 1,
    "float16": 1,
    "uint32": 2,
    "int32": 2,
    "float32": 2,
    "uint64": 4,
    "int64": 4,
    "float64": 4,
}


@pytest.mark.parametrize(("dtype", "reads"), READS.items())
@pytest.mark.parametrize("chunks", [{"c": 1, "y": 32, "x": 32}, {"c": 2, "y": 50, "x": 64}])
def test_reads_per_chunk(dtype: str, reads: int, chunks: dict[str, int]) -> None:
    pixels = np.random.default_rng(1).normal(100, 40, (2, 100, 128)).clip(0, 200)
    image, source = counted(xr.DataArray(pixels.astype(dtype), dims=("c", "y", "x")), chunks)
    with xprep.set_options(intermediates="recompute"):
        result = xprep.quantile(image, [0.01, 0.5, 0.99])
        assert source.total == 0
        result.compute()
    assert source.reads_per_chunk <= reads
    assert max(source.reads.values()) <= reads
    if reads == 1:
        assert len(source.reads) == source.nchunks


def test_reads_per_chunk_of_a_quantile_per_pixel() -> None:
    pixels = np.random.default_rng(1).integers(0, 9, (6, 40, 48)).astype("float64")
    image, source = counted(xr.DataArray(pixels, dims=("t", "y", "x")), {"t": 2, "y": 16, "x": 16})
    xprep.quantile(image, 0.5, "t").compute()
    assert set(source.reads.values()) == {1}


def test_what_is_kept_is_read_once(tmp_path: Any) -> None:
    image, source = counted(
        xr.DataArray(np.random.default_rng(1).normal(size=(2, 64, 64)), dims=("c", "y", "x")), {"y": 16, "x": 16}
    )
    found = {}
    for placement in ("persist", "spill"):
        source.reads.clear()
        with xprep.set_options(intermediates=placement, scratch_url=str(tmp_path)):
            found[placement] = xprep.quantile(image, 0.3).compute()
        assert set(source.reads.values()) == {1}, placement
    assert_same_bits(found["persist"], found["spill"])


def test_engines(scheduler: str) -> None:
    pixels = np.random.default_rng(3).lognormal(3, 1, (2, 80, 90)).astype("float32")
    image = xr.DataArray(pixels, dims=("c", "y", "x")).chunk({"y": 31, "x": 40})
    desired = np.nanquantile(pixels.reshape(2, -1).astype("float64"), [0.5, 0.999], axis=1)
    np.testing.assert_array_equal(xprep.quantile(image, [0.5, 0.999]).values, desired)


class Asked:
    """A stream that nothing is read from; keeps the folds that are asked of it."""

    def __init__(self) -> None:
        self.folds: list[Fold] = []

    def fold(self, how: Fold, *_states: Any, **_about: Any) -> Any:
        self.folds.append(how)
        return call(list, label="nothing")


@pytest.mark.parametrize("q", [(0.5,), (0.1, 0.5, 0.9)])
@pytest.mark.parametrize("dtype", ["int16", "float32", "int64"])
def test_counts_take_what_plans_say_of_them(dtype: str, q: tuple[float, ...]) -> None:
    block = np.random.default_rng(0).integers(0, 100, (2, 9, 9)).astype(dtype)
    place = BlockPlace(((0, 2), (0, 9), (0, 9)), ((0, 2), (0, 9), (0, 9)), block.shape)
    question, stream = Question(q, np.dtype(dtype)), Asked()
    quantiles([stream], question, len(block), count())  # type: ignore[list-item]
    assert len(stream.folds) == question.rounds
    search: Any = None
    for step, how in enumerate(stream.folds):
        counts = how.join([how.summarize(block, place, *([search] if step else []))])
        assert counts.digits.nbytes == how.summary
        search = _Narrow(question, step)(*([search] if step else []), counts)
    assert bool(search)
