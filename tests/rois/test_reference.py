"""The nineteen functions where they differ from the reference on purpose, and what they refuse."""

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xprep import rois

FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def windows(seed, shape=(3, 9, 11), nan=0.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    masks = np.where(rng.random(shape) < 0.15, rng.normal(size=shape), 0)
    references = rng.normal(size=shape) * 10 + 3
    references[rng.random(shape) < nan] = np.nan
    return masks.astype(dtype), references.astype(dtype)


# -- surround -------------------------------------------------------------------------------------------------------


@FEW
@given(seed=st.integers(0, 999), iterations=st.integers(0, 12), volumetric=st.booleans())
def test_surround_is_dilation_by_the_cross(seed, iterations, volumetric):
    masks, _ = windows(seed, (3, 4, 8, 9) if volumetric else (3, 8, 9))
    center, surround = rois.center_surround(masks, iterations=iterations, volumetric=volumetric)
    np.testing.assert_array_equal(center, masks > 0)
    for one, wanted in zip(surround, masks > 0, strict=True):
        dilated = scipy.ndimage.binary_dilation(wanted, iterations=iterations) if iterations else wanted
        np.testing.assert_array_equal(one, dilated)


def test_no_dilation_is_not_all_of_the_window():
    masks, _ = windows(0)
    np.testing.assert_array_equal(rois.center_surround(masks, iterations=0)[1], masks > 0)


@pytest.mark.parametrize("iterations", [-1, 1.5, None, True, "7"])
@pytest.mark.parametrize("name", ["center_surround", "surround_filter", "in_vs_out"])
def test_bad_iterations(name, iterations):
    masks, references = windows(0)
    with pytest.raises(ValueError, match="iterations"):
        getattr(rois, name)(*([masks] if name == "center_surround" else [masks, references]), iterations=iterations)


def test_many_iterations_fill_every_window_that_has_a_centre():
    masks = np.zeros((2, 5, 5))
    masks[0, 0, 0] = 1
    surround = rois.center_surround(masks, iterations=10**12)[1]
    assert surround[0].all()
    assert not surround[1].any()


def test_one_window_and_no_window():
    masks, references = windows(1)
    assert rois.in_vs_out(masks[0], references[0]) == rois.in_vs_out(masks, references)[0]
    np.testing.assert_array_equal(rois.center_surround(masks[0])[1], rois.center_surround(masks)[1][0])
    for name in ("in_vs_out", "compute_correlation", "phase_correlation_zero"):
        assert getattr(rois, name)(masks[:0], references[:0]).shape == (0,)


@FEW
@given(
    seed=st.integers(0, 999),
    iterations=st.integers(0, 4),
    skipna=st.booleans(),
    surround=st.sampled_from(["filled", "annulus"]),
)
def test_in_vs_out(seed, iterations, skipna, surround):
    masks, references = windows(seed, nan=0.01)
    found = rois.in_vs_out(masks, references, iterations=iterations, skipna=skipna, surround=surround)
    around = rois.center_surround(masks, iterations=iterations)[1]
    for value, mask, reference, ring in zip(found, masks, references, around, strict=True):
        if not skipna and np.isnan(reference).any():
            assert np.isnan(value)
            continue
        inside = np.nansum(reference[mask > 0])
        outside = np.nansum(reference[ring & (mask <= 0)]) if surround == "annulus" else np.nansum(reference[ring])
        np.testing.assert_allclose(value, inside / (inside + outside) if inside + outside else 0, rtol=1e-9)


def test_the_reference_counts_the_inside_twice():
    mask, image = np.array([[[0, 1.0, 0]]]), np.array([[[0.0, 5.0, 0.0]]])
    assert rois.in_vs_out(mask, image).item() == 0.5
    assert rois.in_vs_out(mask, image, surround="annulus").item() == 1


def test_integers_infinities_and_types():
    masks, references = windows(2)
    whole = references.round().astype(np.int16)
    np.testing.assert_array_equal(rois.in_vs_out(masks, whole), rois.in_vs_out(masks, whole.astype(float)))
    assert rois.in_vs_out(masks, whole).dtype == np.float64
    assert rois.in_vs_out(masks.astype("f4"), references.astype("f4")).dtype == np.float32
    references[0, 0, 0] = np.inf
    assert np.isnan(rois.in_vs_out(masks, references)[0])
    with pytest.raises(ValueError, match="ring"):
        rois.in_vs_out(masks, references, surround="ring")


# -- correlation ----------------------------------------------------------------------------------------------------


@FEW
@given(seed=st.integers(0, 999), joint=st.booleans(), both=st.booleans(), offset=st.sampled_from([0.0, 1e4, 1e8]))
def test_correlation(seed, joint, both, offset):
    masks, references = windows(seed, nan=0.1)
    if both:
        masks = np.where(np.random.default_rng(seed).random(masks.shape) < 0.1, np.nan, masks)
    found = rois.compute_correlation(masks, references + offset, joint=joint)
    for value, a, b in zip(found, masks, references, strict=True):
        if joint:
            keep = ~np.isnan(a) & ~np.isnan(b)
            wanted = np.corrcoef(a[keep], b[keep])[0, 1] if a[keep].std() > 0 else np.nan
        else:
            products = np.nansum((a - np.nanmean(a)) * (b - np.nanmean(b)))
            spreads = np.nanstd(a) * np.nanstd(b)
            wanted = products / (~np.isnan(a)).sum() / spreads if spreads > 0 else np.nan
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, np.nan, np.inf])
def test_constant_windows_have_no_correlation(value):
    _, references = windows(3)
    assert np.isnan(rois.compute_correlation(np.full_like(references, value), references)).all()
    assert np.isnan(rois.compute_correlation(references, np.full_like(references, value), joint=True)).all()


# -- spectra --------------------------------------------------------------------------------------------------------


@FEW
@given(
    seed=st.integers(0, 999),
    side=st.sampled_from([(1, 1), (2, 3), (7, 7), (8, 6), (31, 31), (70, 66)]),
    volumetric=st.booleans(),
    eps=st.sampled_from([1e6, 1.0, 1e-8]),
    relative=st.booleans(),
)
def test_phase_at_zero_is_the_mean_of_the_spectrum(seed, side, volumetric, eps, relative):
    masks, references = windows(seed, (2, 3, *side) if volumetric else (2, *side))
    axes = (-3, -2, -1) if volumetric else (-2, -1)
    cross = np.fft.fftn(masks, axes=axes) * np.fft.fftn(references, axes=axes).conj()
    added = eps * np.abs(cross).mean(axes, keepdims=True) if relative else eps
    with np.errstate(all="ignore"):
        spectrum = cross / (added + np.abs(cross))
    options = {"eps": eps, "relative": relative, "volumetric": volumetric}
    found = rois.cross_power_spectrum(masks, references, **options)
    zero = rois.phase_correlation_zero(masks, references, **options)
    solid = np.abs(cross) > 1e-9
    np.testing.assert_allclose(found[solid], spectrum[solid], rtol=1e-5, atol=1e-7)
    if solid.all():
        np.testing.assert_allclose(zero, spectrum.mean(axes).real, rtol=1e-6, atol=1e-9)
        if not relative:
            plane = rois.phase_correlation(masks, references, eps=eps, volumetric=volumetric)
            np.testing.assert_allclose(plane[(slice(None), *[0] * len(axes))], zero, rtol=1e-6, atol=1e-9)


def test_relative_eps_does_not_know_the_unit():
    masks, references = windows(4)
    one, other = (rois.phase_correlation_zero(masks, references * k, eps=0.1, relative=True) for k in (1, 1000))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    plain = [rois.phase_correlation_zero(masks, references * k, eps=0.1) for k in (1, 1000)]
    assert (np.abs(plain[0] - plain[1]) > 1e-4).any()


@pytest.mark.parametrize("name", ["cross_power_spectrum", "phase_correlation", "phase_correlation_zero"])
@pytest.mark.parametrize("eps", [-1.0, np.nan])
def test_bad_eps(name, eps):
    with pytest.raises(ValueError, match="eps"):
        getattr(rois, name)(*windows(0), eps=eps)


# -- shapes and kinds -----------------------------------------------------------------------------------------------


PAIRS = [
    "surround_filter",
    "cross_power_spectrum",
    "phase_correlation",
    "phase_correlation_zero",
    "in_vs_out",
    "compute_correlation",
]


@pytest.mark.parametrize("name", PAIRS)
def test_windows_are_broadcast_in_every_kind(name):
    """Masks (roi, dy, dx) with references (roi, t, dy, dx): by position, or by name where there are names."""
    rng = np.random.default_rng(5)
    masks, references = rng.normal(size=(4, 7, 6)), rng.normal(size=(4, 3, 7, 6))
    function = getattr(rois, name)
    dense = function(masks[:, None], references)
    lazy = function(da.from_array(masks[:, None], chunks=(2, 1, 3, 4)), da.from_array(references, chunks=(3, 2, 4, 5)))
    named = [xr.DataArray(masks, dims=("roi", "dy", "dx")), xr.DataArray(references, dims=("roi", "t", "dy", "dx"))]
    by_name = function(*named)
    by_name_lazy = function(named[0].chunk(roi=2, dx=3), named[1].chunk(t=2, dy=3))
    turned = function(named[0].transpose("dx", "roi", "dy"), named[1].transpose("dy", "t", "dx", "roi"))
    for found in (lazy, by_name, by_name_lazy, turned):
        for one, wanted in zip(*(v if isinstance(v, tuple) else (v,) for v in (found, dense)), strict=True):
            values = one.transpose("roi", "t", *[d for d in ("dy", "dx") if d in one.dims]) if hasattr(one, "dims") else one
            np.testing.assert_allclose(np.asarray(values), wanted, rtol=1e-9, equal_nan=True)
            assert values.dtype == wanted.dtype
            assert values.shape == wanted.shape


@pytest.mark.parametrize("name", PAIRS)
def test_windows_of_different_sizes(name):
    masks, references = windows(0)
    with pytest.raises(ValueError, match="one size"):
        getattr(rois, name)(masks, references[..., :-1])
    with pytest.raises(ValueError, match="axes"):
        getattr(rois, name)(masks[0, 0], references[0, 0])
    with pytest.raises(ValueError, match="broadcast"):
        getattr(rois, name)(np.concatenate([masks, masks]), references)


# -- lists ----------------------------------------------------------------------------------------------------------

FLAT = rois.flatten_roi_data([[1.0, 2.0], [3.0]], [[1, 1], [0]], [[2, 2], [0]], [[0, 0], [1]])


def test_of_a_pixel_listed_twice_the_last_wins():
    assert rois.get_mask_volume(FLAT, 2, (3, 3))[0, 1, 2] == 2
    assert rois.get_mask_volume(FLAT, 2, (2, 3, 3), volumetric=True)[0, 0, 1, 2] == 2
    assert rois.get_centered_masks(FLAT, {"yc": [1, 0], "xc": [2, 0]}, width=0).tolist() == [[[2]], [[3]]]


@pytest.mark.parametrize(
    ("changes", "shape", "text"),
    [
        ({}, (1, 3), "ypix_flat must lie in 0 … 0"),
        ({}, (3, 2), "xpix_flat must lie in 0 … 1"),
        ({"ypix_flat": np.array([-1, 1, 0])}, (3, 3), "-1"),
        ({"roi_idx": np.array([0, 0, 2])}, (3, 3), "roi_idx"),
        ({"ypix_flat": np.array([1, 1])}, (3, 3), "3 integers"),
        ({"ypix_flat": np.array([1.0, 1, 0])}, (3, 3), "float64"),
        ({}, (2, 3, 3), "2 lengths"),
    ],
)
def test_bad_mask_volumes(changes, shape, text):
    with pytest.raises(ValueError, match=text):
        rois.get_mask_volume({**FLAT, **changes}, 2, shape)


@pytest.mark.parametrize(
    ("centers", "options", "text"),
    [
        ({"yc": [1], "xc": [2]}, {}, "centroids for 1 ROIs"),
        ({"yc": [1.0, 0], "xc": [2, 0]}, {}, "integers"),
        ({"yc": [1, 0], "xc": [2]}, {}, "one entry a ROI"),
        ({"yc": [1, 0], "xc": [2, 0]}, {"width": -1}, "width"),
        ({"yc": [1, 0], "xc": [2, 0]}, {"volumetric": True}, "num_planes"),
        ({"yc": [1, 0], "xc": [2, 0]}, {"volumetric": True, "num_planes": 1}, "1 planes"),
    ],
)
def test_bad_windows(centers, options, text):
    with pytest.raises(ValueError, match=text):
        rois.get_centered_masks(FLAT, centers, **options)


def test_missing_entries():
    with pytest.raises(KeyError, match="xc"):
        rois.get_centered_masks(FLAT, {"yc": [0, 0]})
    with pytest.raises(KeyError, match="zpix_flat"):
        rois.get_mask_volume({k: v for k, v in FLAT.items() if k != "zpix_flat"}, 2, (2, 3, 3), volumetric=True)
    with pytest.raises(KeyError, match="zc"):
        rois.get_centered_reference(np.zeros((1, 4, 4)), {"yc": [0], "xc": [0]})


def test_crops_far_outside_are_filled_on_every_side():
    image = np.ones((1, 5, 5))
    for far in (-100, 100, -3, 7):
        for place in ({"yc": [far], "xc": [2]}, {"yc": [2], "xc": [far]}):
            found = rois.get_centered_reference(image, {"zc": [0], **place}, width=1, fill_value=-1)
            assert (found == -1).all()
    with pytest.raises(ValueError, match="1 planes"):
        rois.get_centered_reference(image, {"zc": [-1], "yc": [0], "xc": [0]})
    with pytest.raises(ValueError, match="plane, y, x"):
        rois.get_centered_reference(image[0], {"zc": [0], "yc": [0], "xc": [0]})


def test_dot_product_refuses_and_does_not_overflow():
    image = np.full((1, 4, 4), 200, np.uint16)
    assert rois.dot_product([np.array([200, 200], np.uint8)], [[0, 1]], [[0, 1]], [0], image).item() == pytest.approx(
        (200 * 200 * 2) / np.hypot(200, 200)
    )
    assert rois.dot_product([], [], [], [], image).shape == (0,)
    assert np.isnan(rois.dot_product([[0.0]], [[0]], [[0]], [0], image)).all()
    for lists in (([[1.0]], [[4]], [[0]], [0]), ([[1.0]], [[0]], [[0]], [1]), ([[1.0]], [[-1]], [[0]], [0])):
        with pytest.raises(ValueError, match=r"reach|-1"):
            rois.dot_product(*lists, image)
    with pytest.raises(ValueError, match="volumetric"):
        rois.dot_product([[1.0]], [[0]], [[0]], [0], image, volumetric=True)
    with pytest.raises(ValueError, match="every list"):
        rois.dot_product([], [[0]], [], [], image)
    hole = np.array([[[1.0, np.nan]]])
    assert np.isnan(rois.dot_product([[3.0, 4.0]], [[0, 0]], [[0, 1]], [0], hole)).all()
    assert rois.dot_product([[3.0, 4.0]], [[0, 0]], [[0, 1]], [0], hole, skipna=True).item() == 1


def test_centroids_by_keyword_only():
    with pytest.raises(TypeError):
        rois.get_roi_centroids([[1.0]], [0], [[0]], [[0]])
    with pytest.raises(ValueError, match="one entry a ROI"):
        rois.get_roi_centroids(lam=[[1.0]], zpix=[0, 1], ypix=[[0]], xpix=[[0]])
    with pytest.raises(ValueError, match="no ROIs"):
        rois.get_roi_centroids(lam=[], zpix=[], ypix=[], xpix=[])


def test_small_helpers_refuse():
    with pytest.raises(ValueError, match="lengths"):
        rois.transpose([(1, 2), (3,)])
    assert rois.transpose([]) == []
    assert rois.cat_planes([]) == []
    assert rois.broadcastable([1, 2], 3)
    for planes, options, text in (
        (np.array([0, -1]), {}, "whole numbers"),
        (np.array([0.0, 1.0]), {}, "whole numbers"),
        (np.array([0]), {}, "one plane an item"),
        (np.array([0, 3]), {"num_planes": 3}, "num_planes=3"),
    ):
        with pytest.raises(ValueError, match=text):
            rois.split_planes(np.arange(2), planes, **options)
    with pytest.raises(ValueError, match="num_planes"):
        rois.split_planes(np.empty(0), np.empty(0, int))
    assert [p.tolist() for p in rois.split_planes(np.empty(0), np.empty(0, int), num_planes=2)] == [[], []]


def test_fill_as_ufunc():
    """The gufunc writes padded lists of pixels, many ROIs at once, and leaves out what is outside."""
    from xprep.ufuncs import fill_mask as fill

    assert isinstance(fill, np.ufunc)
    assert fill.signature == "(n),(n),(n),(y,x)->(y,x)"
    lam = np.array([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
    y, x = np.array([[0, 1, 1], [2, -1, 9]]), np.array([[0, 1, 1], [0, -1, 9]])
    found = fill(lam, y, x, np.full((3, 2), -1.0))
    assert found.tolist() == [[[1, -1], [-1, 3], [-1, -1]], [[-1, -1], [-1, -1], [4, -1]]]
