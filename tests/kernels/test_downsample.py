"""Shrinking against a window-by-window reduction in exact arithmetic."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from xprep.kernels import means
from xprep.kernels.downsample import shrink

INTEGERS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


def mean(window):
    if window.dtype.kind == "f":
        return np.float64(sum(window.ravel().tolist())) / window.size
    return round(Fraction(sum(int(value) for value in window.ravel()), window.size))


def mode(window):
    values, counts = np.unique(window, return_counts=True)
    return values[counts.argmax()]


def centre(window):
    return window[tuple((size - 1) // 2 for size in window.shape)]


REDUCTIONS = {"mean": mean, "max": np.max, "nearest": centre, "mode": mode}


def dense(block, factors, method):
    shape = [-(-size // factor) for size, factor in zip(block.shape, factors, strict=True)]
    out = np.empty(shape, block.dtype)
    for at in itertools.product(*map(range, shape)):
        window = block[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))]
        out[at] = REDUCTIONS[method](window)
    return out


def values_of(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return arrays(dtype, shape)
    if dtype.kind == "f":
        width = 8 * dtype.itemsize
        odd = st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan])
        limit = float(np.finfo(dtype).max) / 1024
        return arrays(dtype, shape, elements=st.one_of(odd, st.floats(-limit, limit, width=width)))
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    edges = st.sampled_from([low, low + 1, 0, 1, 2, 3, high - 1, high])
    return arrays(dtype, shape, elements=st.one_of(edges, st.integers(low, high)))


CASES = [(dtype, method) for dtype in INTEGERS + FLOATS for method in REDUCTIONS if method != "mode" or dtype in INTEGERS]


@pytest.mark.parametrize(("dtype", "method"), CASES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_equals_the_windows(dtype, method, data):
    axes = data.draw(st.integers(1, 4))
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * axes))
    factors = data.draw(st.tuples(*[st.sampled_from([1, 2, 2, 3, 5])] * axes))
    block = data.draw(values_of(dtype, shape))
    result = shrink(block, factors, method)
    assert result.dtype == block.dtype
    assert_array_equal(result, dense(block, factors, method))


@pytest.mark.parametrize(("dtype", "method"), CASES)
@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2), (1, 4, 3), (3, 1, 2)])
def test_larger_blocks_with_odd_edges(dtype, method, factors):
    rng = np.random.default_rng(0)
    block = (rng.integers(0, 4, (3, 13, 39)) * 31).astype(dtype)
    assert_array_equal(shrink(block, factors, method), dense(block, factors, method))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
def test_the_fast_path_agrees_with_the_generic_one(dtype):
    """2 x 2 goes from two rows to one; the same windows of a transposed block of three axes do not."""
    rng = np.random.default_rng(1)
    block = (rng.random((31, 45)) * 100).astype(dtype)
    fast = shrink(block, (2, 2))
    generic = shrink(np.ascontiguousarray(block.T)[:, :, None], (2, 2, 1))[:, :, 0].T
    assert_array_equal(fast, generic)


@pytest.mark.parametrize("dtype", INTEGERS[1:])
def test_means_of_extremes_are_exact(dtype):
    info = np.iinfo(dtype)
    for value in (info.min, info.max):
        for factors in ((2, 2), (3, 4)):
            assert_array_equal(
                shrink(np.full((5, 9), value, dtype), factors),
                np.full((-(-5 // factors[0]), -(-9 // factors[1])), value),
            )
    assert shrink(np.array([[info.max, info.max - 1]], dtype), (1, 2))[0, 0] == (info.max - 1 if info.max % 2 else info.max)


def test_very_large_windows_stay_exact(monkeypatch):
    block = np.random.default_rng(2).integers(0, 2**32, (20, 30), dtype=np.uint32)
    expected = shrink(block, (16, 16))
    monkeypatch.setattr(means, "EXACT", 1)
    assert_array_equal(shrink(block, (16, 16)), expected)
    for small in (block > 2**31, (block % 256).astype(np.uint8), (block % 256 - 128).astype(np.int8)):
        assert_array_equal(shrink(small, (20, 30)), dense(small, (20, 30), "mean"))


def test_half_to_even():
    block = np.array([[0, 0, 1, 1, 2, 2], [1, 1, 2, 2, 3, 3]], np.int16)
    assert shrink(block, (2, 2)).tolist() == [[0, 2, 2]]
    assert shrink(-block, (2, 2)).tolist() == [[0, -2, -2]]
    assert shrink(np.array([True, False]), (2,)).tolist() == [False]


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_mode_is_a_value_of_its_window(data):
    block = data.draw(arrays(np.uint32, (7, 11), elements=st.integers(0, 3)))
    factors = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 12)))
    assert_array_equal(shrink(block, factors, "mode"), dense(block, factors, "mode"))


def test_layouts_do_not_show():
    block = np.random.default_rng(3).integers(0, 900, (6, 9, 13)).astype(np.uint16)
    for method in REDUCTIONS:
        expected = dense(block, (1, 2, 3), method)
        wide = np.zeros((6, 18, 26), np.uint16)
        wide[:, ::2, ::2] = block
        for variant in (np.asfortranarray(block), wide[:, ::2, ::2], block.astype(">u2"), block[::-1].copy()[::-1]):
            variant.flags.writeable = False
            assert_array_equal(shrink(variant, (1, 2, 3), method), expected)


def test_many_axes_and_none_shrunk():
    block = np.arange(2 * 3 * 2 * 2 * 2 * 5 * 4).reshape(2, 3, 2, 2, 2, 5, 4)
    factors = (1, 1, 1, 2, 2, 2, 3)
    assert_array_equal(shrink(block, factors), dense(block, factors, "mean"))
    with pytest.raises(ValueError, match="only the last 5 axes"):
        shrink(block, (1, 2, 1, 1, 1, 2, 2))
    for method in REDUCTIONS:
        same = shrink(block, (1,) * 7, method)
        assert_array_equal(same, block)
        assert not np.shares_memory(same, block)


@pytest.mark.parametrize("method", REDUCTIONS)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_empty_blocks(method, shape):
    assert shrink(np.zeros(shape, np.uint8), (2, 2), method).shape == tuple(-(-size // 2) for size in shape)


@pytest.mark.parametrize("factors", [(2,), (2, 0), (2, -1), (2, 1.5), (1, 2, 2)])
def test_bad_factors(factors):
    with pytest.raises(ValueError, match="factors must be 2"):
        shrink(np.zeros((4, 4)), factors)


def test_bad_methods_and_types():
    with pytest.raises(ValueError, match="method must be one of"):
        shrink(np.zeros((4, 4)), (2, 2), "median")
    with pytest.raises(TypeError, match="for labels"):
        shrink(np.zeros((4, 4)), (2, 2), "mode")
    with pytest.raises(TypeError, match="complex128"):
        shrink(np.zeros((4, 4), complex), (2, 2))


@pytest.mark.parametrize("method", REDUCTIONS)
def test_factors_beyond_the_axis(method):
    block = np.random.default_rng(4).integers(0, 5, (3, 7)).astype(np.int32)
    assert_array_equal(shrink(block, (10**9, 10**12), method), dense(block, (3, 7), method))
