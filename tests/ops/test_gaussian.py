"""`gaussian_filter` against scipy: every mode, NaN, other axes, one sigma a channel, halos of any length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xprep
from tests.helpers.sources import counted
from tests.laws import dense
from tests.laws.operations import assert_close, assert_same_bits
from tests.laws.strategies import chunkings, images

MODES = ("reflect", "nearest", "mirror", "wrap", "constant")
RTOL = 2e-6


def volume(dims: tuple[str, ...] = ("c", "z", "y", "x"), dtype: str = "float32") -> xr.DataArray:
    sizes = {"t": 2, "c": 2, "z": 6, "y": 21, "x": 26}
    pixels = np.random.default_rng(2).normal(50, 20, [sizes[dim] for dim in dims]).clip(0, 200)
    return xr.DataArray(pixels.astype(dtype), dims=dims)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sigma", [0.4, 1, 2.5, 9])
def test_equals_scipy(mode: Any, sigma: float) -> None:
    image = volume(("y", "x"), "uint16")
    for lazy in (image, image.chunk({"y": 4, "x": 9})):
        found = xprep.gaussian_filter(lazy, sigma, mode=mode)
        assert found.dtype == np.float32
        desired = scipy.ndimage.gaussian_filter(image.values.astype(np.float64), sigma, mode=mode)
        assert_close(found.values, desired.astype(np.float32), RTOL, scale=float(image.max()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("truncate", [0, 0.5, 2, 4.3])
def test_truncate(mode: Any, truncate: float) -> None:
    image = volume(("y", "x"), "float64")
    found = xprep.gaussian_filter(image.chunk({"x": 5}), 1.7, truncate=truncate, mode=mode).values
    desired = scipy.ndimage.gaussian_filter(image.values, 1.7, mode=mode, truncate=truncate)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, desired, rtol=1e-13)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", [("c", "z", "y", "x"), ("z", "y", "x"), ("x", "z", "c", "y"), ("t", "c", "z", "y", "x")])
def test_other_axes(mode: Any, dims: tuple[str, ...]) -> None:
    image = volume(dims)
    sigma = {"z": 1.2, "y": 2, "x": 0.7}
    found = xprep.gaussian_filter(image.chunk({"z": 1, "y": 6}), sigma, mode=mode)
    desired = scipy.ndimage.gaussian_filter(image.values.astype(np.float64), [sigma.get(dim, 0) for dim in dims], mode=mode)
    assert found.dims == dims
    assert_close(found.values, desired.astype(np.float32), RTOL, scale=200)


def test_axes_that_are_not_named_are_left_alone() -> None:
    image = volume()
    along_x = xprep.gaussian_filter(image, {"x": 2}).values
    assert_close(along_x, scipy.ndimage.gaussian_filter1d(image.values.astype(np.float64), 2, axis=-1).astype("float32"), RTOL)
    along_t = xprep.gaussian_filter(volume(("t", "y", "x")), {"t": 1}).values
    assert_close(
        along_t,
        scipy.ndimage.gaussian_filter1d(volume(("t", "y", "x")).values.astype(np.float64), 1, axis=0).astype("float32"),
        RTOL,
    )


@pytest.mark.parametrize("tile_bytes", [1, 2**20])
def test_one_sigma_a_channel(tile_bytes: int) -> None:
    """Also where a tile holds some of the channels only: each must find its own."""
    image = xprep.datasets.blobs(channels=4, shape=(40, 48))
    sigmas = [0, 2, 0.8, 4]
    stored, _ = counted(image, {"c": 1, "y": 16, "x": 16})
    with xprep.set_options(tile_bytes=tile_bytes):
        found = xprep.gaussian_filter(stored, sigmas).values
    assert_same_bits(xr.DataArray(found[0]), xr.DataArray(image.values[0].astype(np.float32)))
    for i, sigma in enumerate(sigmas):
        desired = scipy.ndimage.gaussian_filter(image.values[i].astype(np.float64), sigma)
        assert_close(found[i], desired.astype(np.float32), RTOL, scale=float(image.values[i].max()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sigma", [2, {"z": 1, "y": 2, "x": 2}, {"z": 1.5}], ids=str)
@pytest.mark.parametrize("nan", ["propagate", "normalize"])
def test_nan(mode: Any, sigma: Any, nan: str) -> None:
    image = volume(("z", "y", "x"))
    image[2, 3:6, 10] = np.nan
    image[:, 0, 0] = np.nan
    image[5, 15:, 20:] = np.nan
    for lazy in (image, image.chunk({"z": 2, "y": 5, "x": 7})):
        found = xprep.gaussian_filter(lazy, sigma, mode=mode, nan=nan)
        desired = dense.gaussian_filter(image, sigma, mode=mode, nan=nan)
        assert_close(found.values, desired.values, 5e-6, scale=200)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sigma", [2, {"z": 1, "y": 2, "x": 2}], ids=str)
def test_normalize_changes_nothing_where_there_is_no_nan(mode: Any, sigma: Any) -> None:
    image = volume(("z", "y", "x"))
    plain = xprep.gaussian_filter(image, sigma, mode=mode).values
    aware = xprep.gaussian_filter(image, sigma, mode=mode, nan="normalize").values
    np.testing.assert_allclose(aware, plain, rtol=2e-6)


def test_a_nan_reaches_exactly_its_window() -> None:
    image = xr.DataArray(np.ones((41, 41), "float32"), dims=("y", "x"))
    image[20, 20] = np.nan
    lost = np.isnan(xprep.gaussian_filter(image.chunk({"y": 6, "x": 6}), 2).values)
    assert lost[12:29, 12:29].all()
    assert lost.sum() == 17 * 17
    aware = xprep.gaussian_filter(image, 2, nan="normalize").values
    np.testing.assert_allclose(aware, 1, rtol=1e-6)
    image[:] = np.nan
    assert np.isnan(xprep.gaussian_filter(image, 2, nan="normalize").values).all()


@given(data=st.data())
@settings(max_examples=40)
def test_volumes_of_any_kind(data: st.DataObject) -> None:
    """More of what is rare in the laws: z, NaN and modes together."""
    image = data.draw(images(dtypes=("float32", "uint16"), orders=(("z", "y", "x"), ("c", "z", "y", "x"))), label="image")
    sigma = data.draw(st.fixed_dictionaries({dim: st.sampled_from((0, 0.5, 1, 2)) for dim in ("z", "y", "x")}), label="sigma")
    options = {"mode": data.draw(st.sampled_from(MODES)), "nan": data.draw(st.sampled_from(("propagate", "normalize")))}
    found = xprep.gaussian_filter(image.chunk(data.draw(chunkings(image.sizes))), sigma, **options)
    scale = float(np.nanmax(np.abs(image.values.astype(float)), initial=0))
    # Normalised convolution divides by the weights that are left: at the edge of a hole they are few.
    assert_close(
        found.values,
        dense.gaussian_filter(image, sigma, **options).values,
        1e-4 if options["nan"] == "normalize" else 5e-6,
        scale=scale,
    )


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("bool", "float32"),
        ("uint8", "float32"),
        ("int64", "float32"),
        ("uint64", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        (">u2", "float32"),
        (">f8", "float64"),
    ],
)
def test_dtypes(dtype: str, result: str) -> None:
    image = volume(("y", "x"), dtype)
    found = xprep.gaussian_filter(image.chunk({"y": 8}), 1)
    assert found.dtype == np.dtype(result)
    assert found.compute().dtype == np.dtype(result)
    desired = scipy.ndimage.gaussian_filter(image.values.astype(np.float64), 1)
    assert_close(found.values, desired.astype(result), RTOL, scale=200)


def test_infinities_stay_in_their_window() -> None:
    image = xr.DataArray(np.ones((30, 30), "float32"), dims=("y", "x"))
    image[15, 15] = np.inf
    found = xprep.gaussian_filter(image, 1).values
    assert np.isposinf(found[15, 15])
    assert np.isfinite(np.delete(found, slice(11, 20), axis=0)).all()
    assert_same_bits(xr.DataArray(found), xr.DataArray(xprep.gaussian_filter(image.chunk({"y": 4, "x": 7}), 1).values))


def test_views_of_every_kind_of_memory() -> None:
    """Fortran order, negative strides, read-only: what xarray hands over after a transpose or a flip."""
    pixels = np.random.default_rng(1).normal(size=(20, 24)).astype("float32")
    desired = xprep.gaussian_filter(xr.DataArray(pixels, dims=("y", "x")), 1.5).values
    fortran = xprep.gaussian_filter(xr.DataArray(np.asfortranarray(pixels), dims=("y", "x")), 1.5).values
    flipped = xprep.gaussian_filter(xr.DataArray(pixels[::-1, ::-1], dims=("y", "x")), 1.5).values
    frozen = pixels.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(fortran, desired)
    np.testing.assert_allclose(flipped[::-1, ::-1], desired, rtol=1e-5)
    np.testing.assert_array_equal(xprep.gaussian_filter(xr.DataArray(frozen, dims=("y", "x")), 1.5).values, desired)


def test_every_chunk_is_read_once() -> None:
    image, source = counted(volume(("c", "z", "y", "x"), "uint16"), {"c": 1, "z": 1, "y": 5, "x": 5})
    with xprep.set_options(tile_bytes=400):
        xprep.gaussian_filter(image, {"z": 1, "y": 2, "x": 2}).compute()
    assert set(source.reads.values()) == {1}
    assert len(source.reads) == source.nchunks


def test_chunks_of_the_result_are_those_of_the_input() -> None:
    image = volume(("c", "z", "y", "x")).chunk({"c": 1, "z": 2, "y": (1, 13, 7), "x": 9})
    assert xprep.gaussian_filter(image, 2).chunks == image.chunks
