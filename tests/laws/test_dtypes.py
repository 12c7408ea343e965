"""Which values an operation takes: all of numpy's real numbers of at most 64 bits, in either order of bytes; others by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.doors.mistakes import CALLS

SHAPE = (2, 24, 24)
VALUES = np.random.default_rng(0).integers(1, 100, SHAPE)
LABELS = np.kron(np.arange(4).reshape(2, 2), np.ones((12, 12), int))
TABLE = xprep.RoiTable.from_labels(LABELS)
FLAT = TABLE.flat()
CENTERS = {"zc": [0] * 3, "yc": [6, 18, 18], "xc": [18, 6, 18]}
PIXELS: dict[str, Any] = {"ypix": [[4, 5]], "xpix": [[4, 6]]}

# Functions of an image (c, y, x).
IMAGES: dict[str, Callable[[xr.DataArray], Any]] = {
    "normalize": lambda image: xprep.normalize(image, sigma=1),
    "fit_normalize": lambda image: xprep.fit_normalize(image)["p"],
    "quantile": lambda image: xprep.quantile(image, 0.5),
    "gaussian_filter": lambda image: xprep.gaussian_filter(image, 1.0),
    "background": lambda image: xprep.background(image, 2.0)["background"],
    "subtract_background": lambda image: xprep.subtract_background(image, 2.0),
    "rescale": lambda image: xprep.rescale(image, {"y": 2.0}),
    "rescale, nearest": lambda image: xprep.rescale(image, {"y": 2.0}, order=0),
    "to_isotropic": lambda image: xprep.to_isotropic(image, voxel_size={"y": 1.0, "x": 2.0}),
    **{f"project, {how}": lambda image, how=how: xprep.project(image, "y", how) for how in ("max", "mean", "sum", "min", "std")},
    "pyramid": lambda image: xprep.pyramid(image, (2,))["scale1"],
    "mask, labels": lambda image: xprep.mask(image, LABELS, outside=0),
    "mask, table": lambda image: xprep.mask(image, TABLE, outside=0),
    "traces": lambda image: xprep.traces(image, TABLE),
    "traces, without NaN": lambda image: xprep.traces(image, TABLE, skipna=True),
    "centered": lambda image: xprep.centered(image, TABLE, width=3),
    "roi_features": lambda image: xprep.roi_features(image, TABLE, width=3, iterations=2),
}
# Functions that show an image, and make nothing of it: what they refuse.
SHOWN: dict[str, Callable[[xr.DataArray], Any]] = {
    "compare": lambda image: xprep.compare(image, [{"p": 99}], channel=0, crop={"y": slice(0, 8), "x": slice(0, 8)}),
    "plot_channels": xprep.plot_channels,
    "plot_histograms": lambda image: xprep.plot_histograms(image),
    "plot_projections": lambda image: xprep.plot_projections(image.rename(c="z")),
    "plot_rois": lambda image: xprep.plot_rois(image, TABLE),
    "view": lambda image: xprep.view(image, browser=False).close(),
}
# Functions of xprep.rois of an array (c, y, x): windows, planes.
ARRAYS: dict[str, Callable[[Any], Any]] = {
    "compute_correlation": lambda array: xprep.rois.compute_correlation(array, VALUES),
    "cross_power_spectrum": lambda array: xprep.rois.cross_power_spectrum(VALUES, array),
    "phase_correlation": lambda array: xprep.rois.phase_correlation(array, VALUES),
    "phase_correlation_zero": lambda array: xprep.rois.phase_correlation_zero(array, VALUES),
    "center_surround": lambda array: xprep.rois.center_surround(array, iterations=2)[1],
    "surround_filter": lambda array: xprep.rois.surround_filter(array, VALUES)[0],
    "in_vs_out": lambda array: xprep.rois.in_vs_out(VALUES > 50, array),
    "compute_correlation, references": lambda array: xprep.rois.compute_correlation(VALUES, array),
    "cross_power_spectrum, static": lambda array: xprep.rois.cross_power_spectrum(array, VALUES),
    "surround_filter, references": lambda array: xprep.rois.surround_filter(VALUES > 50, array)[1],
    "dot_product": lambda array: xprep.rois.dot_product([[1.0, 2.0]], **PIXELS, zpix=[0], reference=array),
    "get_centered_reference": lambda array: xprep.rois.get_centered_reference(array, CENTERS, width=3),
}
# Functions of weights, (n,).
WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "RoiTable": lambda lam: xprep.RoiTable(lam, [0, 0], [4, 5], [4, 6], [0, 2]).lam,
    "RoiTable.from_pixels": lambda lam: xprep.RoiTable.from_pixels([lam], **PIXELS).lam,
    "RoiTable.from_suite2p": lambda lam: xprep.RoiTable.from_suite2p([{"lam": lam, "ypix": [4, 5], "xpix": [4, 6]}]).lam,
    "dot_product, lam": lambda lam: xprep.rois.dot_product([lam], **PIXELS, zpix=[0], reference=np.ones((1, 24, 24))),
    "get_roi_centroid": lambda lam: xprep.rois.get_roi_centroid(lam=lam, ypix=[4, 5], xpix=[4, 6], zpix=0)[1],
    "get_roi_centroids": lambda lam: xprep.rois.get_roi_centroids(lam=[lam], **PIXELS, zpix=[0])[1],
    "get_mask_volume": lambda lam: xprep.rois.get_mask_volume({**FLAT, "lam_flat": np.resize(lam, 432)}, 3, (24, 24)),
    "get_centered_masks": lambda lam: xprep.rois.get_centered_masks({**FLAT, "lam_flat": np.resize(lam, 432)}, CENTERS, width=3),
}
# Loops are compiled for each (2 s), so that not all kinds are run by all functions: bytes turned around, and what has no loop.
REAL = ["?", "<f2", ">u2", ">f2", ">f4", ">f8"]
OTHERS = [order + kind for kind in ("c8", "c16", "M8[ns]", "m8[s]", "U3") for order in "<>"]
OTHERS += ["O", "S3", *(["<g", ">g", "<G", ">G"] if np.longdouble(0).itemsize > 8 else [])]
STRUCTURED = np.dtype([("a", "u1"), ("b", "f4")])
KINDS = {"numpy": np.asarray, "dask": lambda array: da.from_array(array, chunks=(1, 8, 24)[-array.ndim :])}


def made(values: Any, dtype: Any) -> Any:
    if dtype is STRUCTURED:
        return np.zeros(values.shape, STRUCTURED)
    return values.astype("i8").astype(dtype) if dtype[1:2] in ("M", "m") else values.astype(dtype)


def image_of(values: Any) -> xr.DataArray:
    return xr.DataArray(values, {"y": np.arange(24.0), "x": np.arange(24.0)}, ("c", "y", "x"))


def arrays_of(found: Any) -> list[Any]:
    if isinstance(found, xr.Dataset | xr.DataTree):
        return [np.asarray(one) for one in found.data_vars.values()]
    return [np.asarray(found)]


# Functions that are given no values of pixels or weights; in tests below are labels and what is written.
NO_VALUES = {
    "open_image", "open_tree", "statistics_of", "validate", "verify", "run", "status", "set_options", "show_versions",
        "datasets.blobs",
    "datasets.cells", "plan", "rois.broadcastable", "rois.transpose", "rois.deprecated",
    "rois.cat_planes", "rois.split_planes", "rois.flatten_roi_data",  # lists of anything, joined and cut
    "to_ome_zarr", "RoiTable.from_labels",
    # of a table, which has checked its weights
    *(f"RoiTable.{name}" for name in (
        "from_dataset", "concat", "masks", "centered_masks", "on", "placed", "inside", "split_planes", "check_inside",
        "centroids", "pixels", "pixels_of", "flat", "to_dataset",
    )),
}  # fmt: skip


def test_every_public_function_is_here() -> None:
    """Whoever adds a function says which table its values stand in."""
    have = {name.partition(",")[0] for table in (IMAGES, SHOWN, ARRAYS, WEIGHTS) for name in table}
    assert {name.removeprefix("rois.") for name in set(CALLS) - NO_VALUES} == have
    assert set(CALLS) >= NO_VALUES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*IMAGES, *ARRAYS])
def test_both_orders_of_bytes_give_the_same(name: str, kind: str) -> None:
    function = (lambda array: IMAGES[name](image_of(array))) if name in IMAGES else ARRAYS[name]
    for dtype in REAL:
        values = made(VALUES, dtype)
        found = arrays_of(function(KINDS[kind](values)))
        native = arrays_of(function(values.astype(values.dtype.newbyteorder("="))))
        for one, other in zip(found, native, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4, err_msg=dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*IMAGES, *SHOWN, *ARRAYS])
def test_what_is_no_real_number_is_refused(name: str, kind: str) -> None:
    images = {**IMAGES, **SHOWN}
    function = (lambda array: images[name](image_of(array))) if name in images else ARRAYS[name]
    for dtype in (*OTHERS, STRUCTURED):
        with pytest.raises(TypeError, match=r"works on real numbers.*is of .*Convert it first, e\.g\. image\.astype"):
            function(KINDS[kind](made(VALUES, dtype)))


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str) -> None:
    weights = np.array([1, 3])
    for dtype in REAL:
        values = weights.astype(dtype)
        native = WEIGHTS[name](values.astype(values.dtype.newbyteorder("=")))
        np.testing.assert_array_equal(WEIGHTS[name](values), native, err_msg=dtype)
    for dtype in (*OTHERS, STRUCTURED):
        with pytest.raises((TypeError, ValueError), match=r"real numbers.*(is of|got) "):
            WEIGHTS[name](made(weights, dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [*OTHERS, STRUCTURED, "<f4", ">f8", "?"], ids=str)
def test_labels_are_whole_numbers(dtype: str, kind: str) -> None:
    labels, image = KINDS[kind](made(LABELS, dtype)), image_of(VALUES)
    takers: list[Callable[[], Any]] = [
        lambda: xprep.RoiTable.from_labels(labels),
        lambda: xprep.traces(image, labels),
        lambda: xprep.centered(image, labels, width=2),
        lambda: xprep.roi_features(image, labels, width=2),
    ]
    if dtype != "?":
        takers.append(lambda: xprep.mask(image, labels))
    for taker in takers:
        with pytest.raises(ValueError, match=r"integers.* got "):
            taker()


@pytest.mark.parametrize("dtype", [*OTHERS, STRUCTURED], ids=str)
def test_nothing_else_is_written(dtype: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="to_ome_zarr works on real numbers"):
        image_of(made(VALUES, dtype)).prep.to_ome_zarr(tmp_path / "a.zarr")
    labels = xr.DataArray(made(LABELS, dtype), dims=("y", "x"))
    with pytest.raises((TypeError, ValueError), match=r"label.*(integers|whole numbers|real numbers)"):
        image_of(VALUES).prep.to_ome_zarr(tmp_path / "a.zarr", labels={"cells": labels})
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("dtype", OTHERS)
@pytest.mark.parametrize("name", xprep.ufuncs.__all__)
def test_ufuncs(name: str, dtype: str) -> None:
    """They cast as numpy's own do, and refuse what those refuse."""
    values = made(VALUES[0], dtype)
    given: dict[str, tuple[Any, ...]] = {
        "fill_mask": (values[0], [1], [1], np.zeros((2, 2))),
        "mask_pixels": (values, True, 0),
        "normalize_pixels": (values, 1.0, True, True, np.ones(24), np.inf),
        "sum_scaled": (values, np.ones(24)),
    }
    with pytest.raises(TypeError, match="ufunc"):
        getattr(xprep.ufuncs, name)(*given[name])
