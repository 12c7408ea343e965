"""The local mean: smlmlp's stored outputs, scipy, the noise it leaves, and what must not show."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from tests import paths
from xprep.kernels.background import mean_taps
from xprep.ops.background import background, subtract_background

GOLDEN = paths.GOLDEN / "smlmlp"
CASES = [case for case in json.loads((GOLDEN / "index.json").read_text()) if case["function"] == "bkgd_spatial_mean"]


@pytest.mark.parametrize("chunks", [None, {"t": 1, "y": 5, "x": 4}], ids=["numpy", "chunks"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_golden(case, chunks):
    stored = np.load(GOLDEN / Path(case["file"]).name)
    radii = case["args"]["channels_mean_radii_pix"]
    start = case["args"].get("noise_corrections", [1.0] * 9)
    for i in range(len(stored["out_noise_corrections"])):
        image = xr.DataArray(stored[f"in_{i}"], dims=("t", "y", "x"))
        found = background(image if chunks is None else image.chunk(chunks), radii[i] if np.ndim(radii) == 2 else radii).compute()
        wanted, known = stored[f"out_{i}"], found.background.notnull().values
        if case["case"] == "nan":
            # S5: taps of weight zero are not read, so fewer pixels are lost.
            known &= ~np.isnan(wanted)
            assert found.background.isnull().sum() < np.isnan(wanted).sum()
            assert not (found.background.isnull().values & ~np.isnan(wanted)).any()
        np.testing.assert_array_equal(known, np.isfinite(wanted))
        np.testing.assert_allclose(found.background.values[known], wanted[known], rtol=2e-6, atol=1e-6 * np.nanmax(np.abs(image)))
        assert found.background.dtype == np.float32
        np.testing.assert_allclose(found.correction_kernel_y, _padded(stored[f"out_ky_{i}"], found.sizes["tap"]), atol=1e-7)
        np.testing.assert_allclose(found.correction_kernel_x, _padded(stored[f"out_kx_{i}"], found.sizes["tap"]), atol=1e-7)
        np.testing.assert_allclose(found.noise_correction * start[i], stored["out_noise_corrections"][i], rtol=1e-6)
        np.testing.assert_array_equal(found.sigma, stored["out_sigmas"][i])


def _padded(taps, width):
    return np.pad(taps, (width - taps.size) // 2)


def test_golden_kernels():
    stored = np.load(GOLDEN / "kernels.npz")
    ends = np.cumsum(stored["out_len"])
    for sigma, end, length in zip(stored["in_sigma"], ends, stored["out_len"], strict=True):
        np.testing.assert_allclose(mean_taps(sigma), stored["out"][end - length : end], rtol=1e-6, atol=1e-7)


def dense(array, radius_y, radius_x):
    """Scipy, along the last two axes, edges repeated."""
    found = array.astype(np.float64)
    for axis, radius in ((-2, radius_y), (-1, radius_x)):
        found = ndimage.correlate1d(found, mean_taps(radius / 2).astype(np.float64), axis=axis, mode="nearest")
    return found


def test_subtracting_is_image_minus_background():
    image = xr.DataArray(np.random.default_rng(1).integers(0, 4000, (3, 30, 31), dtype="u2"), dims=("t", "y", "x"))
    mean = background(image, 5).background
    left = subtract_background(image, 5)
    np.testing.assert_array_equal(left, image.astype("f4") - mean)
    np.testing.assert_array_equal(subtract_background(image, 5, clip=True), left.clip(min=0))
    assert left.min() < 0


@pytest.mark.parametrize("radii", [(7.0, 7.0), (3.0, 10.0), (1.0, 1.0)])
def test_gains_against_monte_carlo(radii):
    """Each factor is the gain of what its docstring says, to 3 standard errors of 4 million pixels."""
    noise = xr.DataArray(np.random.default_rng(2).normal(size=(16, 512, 512)), dims=("t", "y", "x"))
    found = background(noise, radii, dtype="float64")
    inner = {"y": slice(20, -20), "x": slice(20, -20)}
    gain = float((noise - found.background).isel(inner).std())
    np.testing.assert_allclose(gain, float(found.noise_gain), rtol=2e-3)
    parts = noise.values
    for axis, name in ((1, "correction_kernel_y"), (2, "correction_kernel_x")):
        parts = ndimage.correlate1d(parts, found[name].values.astype("f8"), axis=axis)
    np.testing.assert_allclose(parts[:, 20:-20, 20:-20].std(), float(found.noise_correction), rtol=2e-3)


def test_factors_of_radius_7():
    found = background(xr.DataArray(np.zeros((9, 9)), dims=("y", "x")))
    assert round(float(found.noise_correction), 7) == 0.8526806
    weights = mean_taps(3.5).astype("f8")
    assert float(found.noise_gain) == pytest.approx(sqrt(1 - 2 * weights[10] ** 2 + (weights**2).sum() ** 2))
    assert round(float(found.noise_gain), 4) == 0.9902


def test_nan():
    frame = np.random.default_rng(3).random((40, 40)).astype("f4")
    frame[20, 21] = np.nan
    image = xr.DataArray(frame, dims=("y", "x"))
    lost = background(image, 4).background.isnull()
    reach = int(2.5758 * 2)
    assert (lost.sum(), bool(lost[20 - reach, 21 + reach])) == ((2 * reach + 1) ** 2, True)
    aware = background(image, 4, nan="normalize").background
    known = np.where(np.isnan(frame), 0, frame), (~np.isnan(frame)).astype("f4")
    np.testing.assert_allclose(aware, dense(known[0], 4, 4) / dense(known[1], 4, 4), rtol=1e-5)
    left = subtract_background(image.chunk(y=11, x=7), 4, nan="normalize").compute()
    np.testing.assert_array_equal(np.isnan(left), np.isnan(frame))


def channels_image(names=("red", "green", "blue")):
    array = np.random.default_rng(4).random((len(names), 20, 22)).astype("f4")
    return xr.DataArray(
        array, dims=("c", "y", "x"), coords={"c": list(names), "x": ("x", np.arange(22) * 0.1, {"units": "micrometer"})}
    )


@pytest.mark.parametrize(
    ("given_radius", "wanted"),
    [
        (4, [(4, 4)] * 3),
        (np.float32(4), [(4, 4)] * 3),
        ((4, 6), [(4, 6)] * 3),
        ({"y": 4, "x": 6}, [(4, 6)] * 3),
        ([2, 3, 4], [(2, 2), (3, 3), (4, 4)]),
        ([(2, 3), 3, (4, 5)], [(2, 3), (3, 3), (4, 5)]),
        (np.array([[2, 3], [3, 3], [4, 5]]), [(2, 3), (3, 3), (4, 5)]),
        ({"red": 2, "green": (3, 5), "blue": {"y": 1, "x": 2}}, [(2, 2), (3, 5), (1, 2)]),
    ],
)
def test_forms_of_radius(given_radius, wanted):
    found = background(channels_image(), given_radius)
    np.testing.assert_array_equal(found.sigma * 2, wanted)
    assert found.sigma.dims == ("c", "axis")
    assert found.noise_gain.dims == ("c",)
    assert found.c.values.tolist() == ["red", "green", "blue"]
    for i, pair in enumerate(wanted):
        np.testing.assert_allclose(found.background[i], dense(channels_image().values[i], *pair), rtol=1e-5)


def test_two_numbers_are_y_and_x_even_of_two_channels():
    """S2: the reference's own example fails here."""
    np.testing.assert_array_equal(background(channels_image(("a", "b")), (6, 10)).sigma, [[3, 5], [3, 5]])
    np.testing.assert_array_equal(background(channels_image(("a", "b")), [(6, 6), (8, 10)]).sigma, [[3, 3], [4, 5]])
    np.testing.assert_array_equal(background(channels_image(("y", "x")), {"y": 6, "x": 10}).sigma, [[3, 3], [5, 5]])


def test_radius_with_a_unit():
    image = channels_image().assign_coords(y=("y", np.arange(20) * 0.2, {"units": "micrometer"}))
    np.testing.assert_array_equal(background(image, "0.8 um").sigma[0], [2, 4])
    np.testing.assert_array_equal(background(image, {"y": "800 nm", "x": 4}).sigma[0], [2, 2])
    with pytest.raises(ValueError, match="radius needs the voxel size along 'y'"):
        background(channels_image(), "0.8 um")


@pytest.mark.parametrize(
    "bad",
    [0, -1, np.nan, np.inf, True, None, (1, 2, 3, 4), [], {"y": 3}, {"red": 3}, ((1, 2, 3), 1, 1), "wide", (0, 3)],
)
def test_bad_radius(bad):
    with pytest.raises(ValueError, match="radius"):
        background(channels_image(), bad)


def test_bad_input():
    image = channels_image()
    with pytest.raises(KeyError, match="violet"):
        background(image, {"violet": 3})
    with pytest.raises(ValueError, match="nan must be one of"):
        background(image, nan="ignore")
    with pytest.raises(ValueError, match="dtype must be"):
        background(image, dtype="uint8")
    with pytest.raises(ValueError, match="needs the dim 'x'"):
        subtract_background(image.isel(x=0))
    with pytest.raises(TypeError, match="real numbers"):
        background(image.astype("complex64"))


def test_labels_are_kept_and_nothing_is_computed():
    image = channels_image().chunk(y=7).assign_attrs(stain="x").rename("cells")
    with dask.config.set(scheduler=_refuse):
        found, left = background(image), subtract_background(image)
    assert found.background.chunks == image.chunks
    assert left.chunks == image.chunks
    assert (left.name, left.attrs["stain"]) == ("cells", "x")
    assert "subtract_background()" in left.attrs["history"]
    xr.testing.assert_equal(left.x, image.x)
    assert left.x.attrs == {"units": "micrometer"}


def _refuse(*_args, **_kwargs):
    raise AssertionError("building computed something")


def test_dataset_and_tree():
    data = xr.Dataset({"a": channels_image(), "b": channels_image() * 2, "labels": (("y", "x"), np.ones((20, 22), int))})
    found = background(data, 3)
    assert sorted(found.children) == ["a", "b"]
    xr.testing.assert_equal(found["b"].to_dataset().background, background(data.b, 3).background)
    tree = xr.DataTree.from_dict({"/one": data[["a"]], "/two": data[["b"]].isel(y=slice(9))})
    xr.testing.assert_equal(background(tree, 3)["two/b/background"], background(data.b.isel(y=slice(9)), 3).background)
    left = subtract_background(data, 3)
    assert list(left.data_vars) == ["a", "b", "labels"]
    xr.testing.assert_equal(left.labels, data.labels)
