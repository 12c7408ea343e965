"""The blur of one plane against scipy, and against itself under every tiling."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from xprep.kernels import blur as module
from xprep.kernels.blur import blur_plane, blur_plane_nan, gaussian_half

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]


def pad(plane, half_y, half_x, mode="symmetric"):
    return np.pad(plane, ((half_y.size - 1,) * 2, (half_x.size - 1,) * 2), mode)


def run(plane, half_y, half_x, divisor=1.0, dtype="float32", kernel=blur_plane):
    out = np.full(plane.shape, -7, dtype)
    kernel(pad(plane, half_y, half_x), half_y, half_x, divisor, out)
    return out


def full(half):
    return np.concatenate([half[:0:-1], half])


def dense(plane, half_y, half_x):
    """Correlate in float64 with scipy."""
    rows = ndi.correlate1d(plane.astype(np.float64), full(half_y), axis=0, mode="reflect")
    return ndi.correlate1d(rows, full(half_x), axis=1, mode="reflect")


def dense_nan(plane, half_y, half_x):
    known = np.isfinite(plane)
    total = dense(np.where(known, plane, 0), half_y, half_x)
    weight = dense(known, half_y, half_x)
    reach = ndi.maximum_filter(known, (2 * half_y.size - 1, 2 * half_x.size - 1), mode="reflect")
    return np.where(reach, total / np.where(reach, weight, 1), np.nan)


@pytest.mark.parametrize("sigma", [0, 0.1, 0.124, 0.125, 0.3, 0.5, 1, 1.5, 2, 2.7, 3.3, 10, 50])
@pytest.mark.parametrize("truncate", [2.5, 4.0])
def test_gaussian_half_is_scipys(sigma, truncate):
    half = gaussian_half(sigma, truncate)
    radius = int(truncate * sigma + 0.5)
    impulse = np.zeros(2 * radius + 3)
    impulse[radius + 1] = 1
    expected = impulse if sigma == 0 else ndi.gaussian_filter1d(impulse, sigma, truncate=truncate, mode="constant")
    assert half.dtype == np.float64
    assert_allclose(half, expected[radius + 1 : 2 * radius + 2], rtol=1e-14)
    assert full(half).sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("sigma", [-1, np.nan, np.inf])
def test_gaussian_half_refuses(sigma):
    with pytest.raises(ValueError, match="sigma must be"):
        gaussian_half(sigma)
    with pytest.raises(ValueError, match="truncate must be"):
        gaussian_half(1.0, sigma)


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1, 1.3, 2, 2.4, 3, 7, 50])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_scipy(sigma, dtype):
    plane = np.random.default_rng(1).lognormal(6, 1.5, (40, 57)).astype(np.uint16)
    half = gaussian_half(sigma)
    assert_allclose(run(plane, half, half, dtype=dtype), dense(plane, half, half), rtol=2e-6 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("radius_y", [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 20, 21])
def test_every_radius_with_any_symmetric_taps(radius_y):
    rng = np.random.default_rng(radius_y)
    plane = rng.normal(size=(25, 31))
    for radius_x in (0, 1, 6, 8, 11):
        half_y, half_x = rng.normal(size=radius_y + 1), rng.normal(size=radius_x + 1)
        assert_allclose(run(plane, half_y, half_x, dtype="float64"), dense(plane, half_y, half_x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype):
    rng = np.random.default_rng(2)
    plane = (rng.random((19, 23)) * 200).astype(dtype)
    if dtype == "bool":
        plane = rng.random((19, 23)) > 0.5
    half_y, half_x = gaussian_half(1), gaussian_half(2)
    for out_dtype in ("float32", "float64"):
        expected = dense(plane.astype(out_dtype) / np.dtype(out_dtype).type(3), half_y, half_x)
        assert_allclose(run(plane, half_y, half_x, 3.0, out_dtype), expected, rtol=1e-5, atol=1e-5)
        one = np.ones(1)
        assert_array_equal(run(plane, one, one, dtype=out_dtype), plane.astype(out_dtype))
        assert_array_equal(run(plane, one, one, 3.0, out_dtype), plane.astype(out_dtype) / np.dtype(out_dtype).type(3))


def test_layouts_and_byte_orders_do_not_show():
    half = gaussian_half(2)
    padded = pad(np.random.default_rng(3).random((30, 41)).astype(np.float32), half, half)
    expected, out = np.empty((30, 41), np.float32), np.empty((30, 41), np.float32)
    blur_plane(padded, half, half, 2.0, expected)
    wide = np.zeros((92, 120), np.float32)
    wide[::2, ::2][:46, :57] = padded
    for variant in (
        np.asfortranarray(padded),
        wide[::2, ::2][:46, :57],
        padded[::-1].copy()[::-1],
        padded.astype(">f4"),
    ):
        variant.flags.writeable = False
        out[:] = -1
        blur_plane(variant, half, half, 2.0, out)
        assert_array_equal(out, expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), sigma=st.sampled_from([0.3, 1, 1.4, 2, 2.6, 5]), dtype=st.sampled_from(["float32", "float64"]))
def test_tiles_give_the_same_bits(data, sigma, dtype):
    half_y, half_x = gaussian_half(sigma), gaussian_half(sigma * 0.8)
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 90))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    padded = rng.lognormal(3, 2, (height + 2 * half_y.size - 2, width + 2 * half_x.size - 2)).astype(dtype)
    whole = np.empty((height, width), dtype)
    blur_plane(padded, half_y, half_x, 1.7, whole)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    h, w = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    tile = np.empty((h, w), dtype)
    blur_plane(padded[top : top + h + 2 * half_y.size - 2, left : left + w + 2 * half_x.size - 2], half_y, half_x, 1.7, tile)
    assert_array_equal(tile, whole[top : top + h, left : left + w])


@pytest.mark.parametrize("kernel", [blur_plane, blur_plane_nan])
def test_planes_wider_than_a_strip_give_the_same_bits(kernel):
    half = gaussian_half(2)
    plane = np.random.default_rng(4).random((5, 2 * module.STRIP + 37)).astype(np.float32)
    plane[2, module.STRIP - 3] = np.nan
    whole = run(plane, half, half, kernel=kernel)
    padded = pad(plane, half, half)
    for left in (1, 7, module.STRIP - 20, module.STRIP, 2 * module.STRIP + 1):
        tile = np.empty((5, 36), np.float32)
        kernel(padded[:, left : left + 36 + 2 * half.size - 2], half, half, 1.0, tile)
        assert_array_equal(tile, whole[:, left : left + 36])


def test_mirrored_input_gives_mirrored_bits():
    half = gaussian_half(3)
    plane = np.random.default_rng(5).lognormal(3, 2, (30, 33)).astype(np.float32)
    assert_array_equal(run(plane[::-1, ::-1], half, half), run(plane, half, half)[::-1, ::-1])


@pytest.mark.parametrize("sigma", [0.5, 1, 2, 3])
def test_nan_reaches_exactly_its_square(sigma):
    half = gaussian_half(sigma)
    plane = np.random.default_rng(6).random((41, 43)).astype(np.float32)
    plane[20, 21] = np.nan
    expected = np.zeros(plane.shape, bool)
    expected[20 - half.size + 1 : 20 + half.size, 21 - half.size + 1 : 21 + half.size] = True
    assert_array_equal(np.isnan(run(plane, half, half)), expected)
    assert_array_equal(np.isnan(ndi.gaussian_filter(plane, sigma)), expected)


@pytest.mark.parametrize("kernel", [blur_plane, blur_plane_nan])
@pytest.mark.parametrize("truncate", [4.0, 16.0])
def test_infinities_reach_what_scipy_says(kernel, truncate):
    """The outermost taps of truncate 16 vanish in float32, but infinity must not become NaN by them."""
    half = gaussian_half(1, truncate)
    plane = np.ones((40, 40), np.float32)
    plane[10, 10], plane[30, 30] = np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        expected = dense(plane, half, half)
    assert_allclose(run(plane, half, half, kernel=kernel), expected, rtol=1e-5)


def test_division_follows_ieee():
    plane = np.array([[0.0, 1.0, -1.0, np.nan]], np.float32)
    one = np.ones(1)
    assert_array_equal(run(plane, one, one, 0.0), [[np.nan, np.inf, -np.inf, np.nan]])
    assert_array_equal(run(plane, one, one, np.nan), np.full((1, 4), np.nan))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    share=st.sampled_from([0.02, 0.5, 0.98, 1.0]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_nan_aware_equals_normalised_convolution(seed, share, dtype):
    rng = np.random.default_rng(seed)
    half_y, half_x = gaussian_half(rng.uniform(0, 2)), gaussian_half(rng.uniform(0, 3))
    plane = rng.lognormal(3, 1, (21, 26)).astype(dtype)
    plane[rng.random(plane.shape) < share] = np.nan
    result = run(plane, half_y, half_x, 2.0, dtype, blur_plane_nan)
    assert_allclose(result, dense_nan(plane / 2, half_y, half_x), rtol=1e-5 if dtype == "float32" else 1e-12)


def test_nan_aware_keeps_a_constant_and_integers():
    half = gaussian_half(2)
    plane = np.full((30, 30), 8, np.float32)
    plane[5:9, 5:9] = np.nan
    assert_allclose(run(plane, half, half, kernel=blur_plane_nan), 8, rtol=1e-6)
    counts = np.random.default_rng(7).integers(0, 99, (30, 30))
    assert_array_equal(run(counts, half, half, kernel=blur_plane_nan), run(counts, half, half))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 1)])
def test_tiny_planes(shape):
    half = gaussian_half(2)
    plane = np.ones((shape[0] + 16, shape[1] + 16), np.float32)
    for kernel in (blur_plane, blur_plane_nan):
        out = np.zeros(shape, np.float32)
        kernel(plane, half, half, 1.0, out)
        assert_allclose(out, np.ones(shape), rtol=1e-6)


@pytest.mark.parametrize(
    ("padded", "half", "out", "message"),
    [
        (np.zeros((9, 9)), np.ones(1), np.zeros((9, 8), np.float32), "needs a padded plane"),
        (np.zeros((9, 9)), np.ones(2), np.zeros((9, 9), np.float32), "needs a padded plane"),
        (np.zeros((9, 9)), np.ones(1), np.zeros((9, 9), np.int32), "out must be"),
        (np.zeros((9, 9)), np.ones(1), np.zeros((9, 18), np.float32)[:, ::2], "out must be"),
        (np.zeros((9, 9)), np.ones(0), np.zeros((9, 9), np.float32), "taps must be"),
    ],
)
def test_shapes_are_checked_before_compiled_code(padded, half, out, message):
    for kernel in (blur_plane, blur_plane_nan):
        with pytest.raises(ValueError, match=message):
            kernel(padded, half, half, 1.0, out)


FIRST_CALLS = """
import pathlib, threading, numpy as np
from xprep.kernels import blur, compiling
compiling.PACKAGED = pathlib.Path("none")  # where this test's folder is not, and the loops of other tests are
half = blur.gaussian_half(1)
outs = [np.zeros((8, 8), np.float32) for _ in range(4)]
barrier = threading.Barrier(4)
def work(out):
    barrier.wait()
    blur.blur_plane(np.ones((16, 16), np.uint16), half, half, 1.0, out)
threads = [threading.Thread(target=work, args=(out,)) for out in outs]
[t.start() for t in threads]; [t.join() for t in threads]
assert all(np.allclose(out, 1) for out in outs)
stats = blur._blur.stats
assert sum(stats.cache_hits.values()) == {hits} and sum(stats.cache_misses.values()) == {misses}, stats
"""


def test_first_calls_from_threads_and_the_disk_cache(tmp_path):
    """Four threads meet in the first call; a second process compiles nothing."""
    env = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(p for p in sys.path if p)}
    for hits, misses in ((0, 1), (1, 0)):
        code = FIRST_CALLS.replace("{hits}", str(hits)).replace("{misses}", str(misses))
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_threads_give_the_same_bits():
    half = gaussian_half(2)
    planes = [np.random.default_rng(seed).random((60, 70)).astype(np.float32) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda plane: run(plane, half, half), planes))
    for plane, result in zip(planes, results, strict=True):
        assert_array_equal(result, run(plane, half, half))
