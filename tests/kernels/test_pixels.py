"""Sums, normalisation and masks of pixels against plain numpy, as kernels and as ufuncs."""

import doctest
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from xprep import ufuncs  # not what is in it: naming a ufunc builds it, and every process of pytest collects this file
from xprep.kernels import pixels

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan, 1e-40, 1e30]


def dense_sum(values, scales, dtype):
    total = np.zeros(values.shape[1], dtype)
    for i, (row, scale) in enumerate(zip(values, scales, strict=True)):
        part = row.astype(dtype) / dtype(scale)
        total = part if i == 0 else total + part
    return total


def dense_normalize(values, threshold, thresholded, norm_sum, divisors, cap):
    """What follows the blur in `normalize`, step by step."""
    with np.errstate(all="ignore"):
        total = dense_sum(values, np.ones(len(values)), values.dtype.type)
        values = np.where(np.isnan(total), np.nan, values)
        if thresholded:
            values = np.where(total > values.dtype.type(threshold), values, np.nan)
        if norm_sum:
            share = np.zeros(values.shape[1:], values.dtype)
            for row in values:
                share += np.where(np.isnan(row), 0, row)
            values = np.where(share > 0, values / share, np.nan)
        values = values / np.asarray(divisors, values.dtype)[:, None]
        return np.where(np.isnan(values), np.nan, np.minimum(values, values.dtype.type(cap)))


def random_pixels(seed, channels, n, dtype="float32"):
    rng = np.random.default_rng(seed)
    values = rng.lognormal(0, 1, (channels, n)).astype(dtype)
    odd = rng.random(values.shape) < 0.1
    values[odd] = rng.choice(np.array(SPECIAL), odd.sum())
    return values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("working", [np.float32, np.float64])
def test_sum_of_every_dtype(dtype, working):
    rng = np.random.default_rng(0)
    values = (rng.random((3, pixels.PIECE + 9)) * 120).astype(dtype)
    scales = np.array([0.5, 3, 7])
    out = np.full(values.shape[1], -1, working)
    pixels.sum_scaled(values, scales, out)
    assert_array_equal(out, dense_sum(values, scales, working))


@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (0, 0), (1, 1)])
def test_sum_of_nothing(shape):
    out = np.full(shape[1], -1, np.float32)
    pixels.sum_scaled(np.ones(shape, np.float32), np.ones(shape[0], np.float32), out)
    assert_array_equal(out, np.full(shape[1], shape[0]))


NORMALIZE = {
    "threshold": st.sampled_from([0.5, 2.0, -np.inf, np.nan, 0.0]),
    "thresholded": st.booleans(),
    "norm_sum": st.booleans(),
    "cap": st.sampled_from([np.inf, 0.7, 0.0]),
}


@given(
    seed=st.integers(0, 999),
    channels=st.integers(1, 4),
    n=st.sampled_from([0, 1, 7, 40, pixels.PIECE - 1, pixels.PIECE + 3]),
    dtype=st.sampled_from(["float32", "float64"]),
    **NORMALIZE,
)
@settings(max_examples=150, deadline=None)
def test_normalize_equals_the_steps(seed, channels, n, dtype, threshold, thresholded, norm_sum, cap):
    values = random_pixels(seed, channels, n, dtype)
    divisors = np.linspace(0.5, 2, channels).astype(dtype)
    expected = dense_normalize(values, threshold, thresholded, norm_sum, divisors, cap)
    out = np.full_like(values, -7)
    before = values.copy()
    pixels.normalize_pixels(values, threshold, thresholded, norm_sum, divisors, cap, out)
    assert_array_equal(out, expected)
    assert_array_equal(values, before)
    pixels.normalize_pixels(values, threshold, thresholded, norm_sum, divisors, cap, values)
    assert_array_equal(values, expected)


def test_a_sum_of_minus_infinity_needs_the_flag():
    values = np.array([[-np.inf, 1.0]], np.float32)
    for thresholded, kept in ((False, -np.inf), (True, np.nan)):
        out = np.empty_like(values)
        pixels.normalize_pixels(values, -np.inf, thresholded, False, np.ones(1, np.float32), np.inf, out)
        assert_array_equal(out, [[kept, 1.0]])


def test_a_sum_of_zero_is_no_share():
    values = np.array([[1.0, 0.0, -2.0], [-1.0, 0.0, 1.0]], np.float32)
    out = np.empty_like(values)
    pixels.normalize_pixels(values, 0.0, False, True, np.ones(2, np.float32), np.inf, out)
    assert_array_equal(out, np.full((2, 3), np.nan))


def test_layouts_do_not_show():
    values = random_pixels(3, 4, 100)
    arguments = (1.0, True, True, np.ones(4, np.float32), 3.0)
    expected = dense_normalize(values, *arguments)
    wide = np.zeros((4, 300), np.float32)
    wide[:, 100:200] = values
    strided = np.repeat(values, 2, axis=1)[:, ::2]
    for variant in (wide[:, 100:200], strided, np.asfortranarray(values), values[:, ::-1].copy()[:, ::-1]):
        out = np.zeros((300, 4), np.float32).T[:, ::3]
        pixels.normalize_pixels(variant, *arguments, out)
        assert_array_equal(out, expected)
        total = np.empty(100, np.float32)
        pixels.sum_scaled(variant, np.ones(4), total)
        assert_array_equal(total, dense_sum(values, np.ones(4), np.float32))


def test_the_examples_of_the_ufuncs():
    """Not collected with the other doctests: see pyproject.toml."""
    assert doctest.testmod(ufuncs, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS) == (0, 8)


def test_ufuncs_are_ufuncs_and_are_pickled_by_name():
    assert {"mask_pixels", "normalize_pixels", "sum_scaled"} <= set(dir(ufuncs))
    for name in ufuncs.__all__:
        ufunc = getattr(ufuncs, name)
        assert isinstance(ufunc, np.ufunc)
        assert pickle.loads(pickle.dumps(ufunc)) is ufunc  # noqa: S301
    with pytest.raises(AttributeError, match="it has"):
        ufuncs.nothing  # noqa: B018


def test_import_compiles_nothing_and_a_pickle_is_enough():
    """What a dask worker does: unpickle a ufunc that its process has not seen."""
    code = (
        "import sys, pickle, xprep.ufuncs as u, numpy as np\n"
        "assert 'sum_scaled' not in vars(u)\n"
        "from xprep.kernels import pixels\n"
        "assert not pixels.sum_scaled.signatures\n"
        f"f = pickle.loads({pickle.dumps(ufuncs.sum_scaled)!r})\n"
        "assert f(np.ones((2, 3), 'u2'), np.ones(2, 'f4')).tolist() == [2, 2, 2]\n"
    )
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("dtype", "scale", "result"),
    [
        ("bool", "f4", "f4"),
        ("uint8", "f4", "f4"),
        ("int16", "f4", "f4"),
        ("uint16", "f4", "f4"),
        ("int32", "f4", "f8"),
        ("uint64", "f4", "f8"),
        ("float32", "f4", "f4"),
        ("float32", "f8", "f8"),
        ("float64", "f4", "f8"),
    ],
)
def test_dtypes_of_sum_scaled(dtype, scale, result):
    total = ufuncs.sum_scaled(np.ones((2, 5, 3, 4), dtype), np.ones(3, scale))
    assert total.dtype == result
    assert_array_equal(total, np.full((2, 5, 4), 3))


def image(seed=0, shape=(3, 6, 8)):
    values = np.random.default_rng(seed).lognormal(1, 1, shape).astype(np.float32)
    values[1, 2, 3], values[:, 4, 4] = np.nan, 0
    return xr.DataArray(values, dims=("c", "y", "x"))


@pytest.mark.parametrize("chunks", [None, {"c": -1, "y": 2, "x": 3}])
def test_through_apply_ufunc(chunks):
    source = image()
    scales = xr.DataArray(np.array([1, 2, 3], np.float32), dims="c")
    lazy = source if chunks is None else source.chunk(chunks | {"x": -1})
    options = {"dask": "parallelized", "output_dtypes": [np.float32]}
    total = xr.apply_ufunc(
        ufuncs.sum_scaled, lazy, scales, input_core_dims=[["c", "x"], ["c"]], output_core_dims=[["x"]], **options
    )
    flat = source.values.reshape(3, -1)
    assert_array_equal(total.values.ravel(), dense_sum(flat, scales.values, np.float32))
    result = xr.apply_ufunc(
        ufuncs.normalize_pixels,
        lazy,
        np.float32(4),
        True,
        True,
        scales,
        np.float32(0.4),
        input_core_dims=[["c", "x"], [], [], [], ["c"], []],
        output_core_dims=[["c", "x"]],
        **options,
    ).transpose("c", "y", "x")
    assert result.dtype == np.float32
    expected = dense_normalize(flat, 4, True, True, scales.values, 0.4)
    assert_array_equal(result.values.reshape(3, -1), expected)


def test_ufunc_out_may_be_the_input_and_nothing_warns():
    values = random_pixels(5, 3, 500)
    values[np.isinf(values)] = 1
    expected = dense_normalize(values, 1, True, True, np.ones(3), 0.5)
    assert np.isnan(expected).any()
    result = ufuncs.normalize_pixels(values, 1, True, True, np.ones(3, np.float32), 0.5, out=values)
    assert result is values
    assert_array_equal(values, expected)
    for flags in ((False, True), (True, False), (False, False)):
        ufuncs.normalize_pixels(values, np.nan, *flags, np.ones(3, np.float32), np.inf)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mask_keeps_the_dtype(dtype):
    values = np.arange(-3, 4).astype(dtype)
    keep = np.arange(7) % 2 == 0
    for outside in (False if dtype == "bool" else 0, values[:1]):
        result = ufuncs.mask_pixels(values, keep, outside)
        assert result.dtype == values.dtype
        assert_array_equal(result, np.where(keep, values, outside))


def test_mask_of_integers_by_nan_widens():
    result = ufuncs.mask_pixels(np.array([1, 2], np.uint16), [True, False], np.nan)
    assert result.dtype.kind == "f"
    assert_array_equal(result, [1, np.nan])
    assert ufuncs.mask_pixels(np.array([1, 2], np.float32), [True, False], np.nan).dtype == np.float32


def test_mask_through_xarray_and_dask():
    source = image()
    keep = xr.DataArray(np.random.default_rng(1).random((6, 8)) > 0.5, dims=("y", "x"))
    expected = source.where(keep, -1)
    for array in (source, source.chunk({"y": 2})):
        result = xr.apply_ufunc(ufuncs.mask_pixels, array, keep, -1, dask="parallelized", output_dtypes=[np.float32])
        assert_allclose(result.transpose("c", "y", "x").values, expected.values, rtol=0)
