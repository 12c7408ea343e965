"""Every stored result of cellector 2.0.3, from numpy, dask and xarray windows, in any chunks."""

import json
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests import paths
from xprep import rois

FOLDER = paths.GOLDEN / "cellector"
CASES = json.loads((FOLDER / "index.json").read_text())
KINDS = ("numpy", "dask", "xarray")


def load(case):
    with np.load(FOLDER / Path(case["file"]).name) as stored:
        return {name: stored[name] for name in stored}


def lists(stored):
    cuts = np.cumsum(stored["in_len"])[:-1]
    columns = {name: np.split(stored[f"in_{name}"], cuts) for name in ("lam", "ypix", "xpix")}
    columns["zpix"] = np.split(stored["in_zpix"], cuts) if "in_zpix" in stored else stored["in_plane"]
    return columns


def as_kind(array, kind, dims=None, seed=0):
    """The array as it is, or cut into ragged chunks along every axis."""
    if kind == "numpy":
        return array
    rng = np.random.default_rng(seed + array.size)
    chunks = tuple(ragged(rng, n) for n in array.shape)
    lazy = da.from_array(array, chunks=chunks)
    names = dims or ("roi", *(("z",) if array.ndim == 4 else ()), "dy", "dx")
    return lazy if kind == "dask" else xr.DataArray(lazy, dims=names)


def ragged(rng, length):
    cuts = np.unique(rng.integers(1, max(2, length), size=2)) if length > 1 else []
    edges = [0, *[int(c) for c in cuts if c < length], length]
    return tuple(np.diff(edges).tolist())


def check(found, wanted, tolerance=None, exact=False):
    """Compare as the index says; what came from lazy input must be lazy."""
    values = np.asarray(found)
    if exact:
        assert values.dtype == wanted.dtype
        np.testing.assert_array_equal(values, wanted)
    else:
        np.testing.assert_allclose(values, wanted, equal_nan=True, **tolerance)


def is_lazy(value):
    return isinstance(getattr(value, "data", value) if isinstance(value, xr.DataArray) else value, da.Array)


def windows(stored, kind, *names):
    return [as_kind(stored[f"in_{name}"], kind) for name in names or ("masks", "references")]


def run_flatten(case, stored, kind):
    columns = lists(stored)
    zpix = columns.pop("zpix") if case["args"]["zpix"] else None
    columns.pop("zpix", None)
    flat = rois.flatten_roi_data(**columns, zpix=zpix)
    wanted = {name.removeprefix("out_") for name in stored if name.startswith("out_")}
    assert set(flat) == wanted
    for name, column in flat.items():
        check(column, stored[f"out_{name}"], exact=True)


def run_centroids(case, stored, kind):
    columns = lists(stored)
    for method in case["args"]["method"]:
        for asint, name in ((True, "int"), (False, "float")):
            found = rois.get_roi_centroids(**columns, method=method, asint=asint)
            single = [
                rois.get_roi_centroid(**{k: v[i] for k, v in columns.items()}, method=method, asint=asint)
                for i in range(len(columns["lam"]))
            ]
            for axis, values, ones in zip("zyx", found, zip(*single, strict=True), strict=True):
                wanted = stored[f"out_{method}_{name}_{axis}c"]
                check(values, wanted, {"rtol": 1e-6}, exact=name == "int")
                check(np.array(ones), wanted, {"rtol": 1e-6})
                assert values.dtype == wanted.dtype


def flat_of(stored):
    columns = lists(stored)
    zpix = columns.pop("zpix")
    return rois.flatten_roi_data(**columns, zpix=zpix if isinstance(zpix, list) else None)


def run_mask_volume(case, stored, kind):
    args = case["args"]
    found = rois.get_mask_volume(flat_of(stored), args["num_rois"], args["shape"], volumetric=args["volumetric"])
    check(found, stored["out"], exact=True)
    table = rois.RoiTable.from_pixels(**lists(stored))
    check(table.masks(args["shape"]), stored["out"], exact=True)


def centers_of(stored):
    return {name: stored[f"in_{name}"] for name in ("zc", "yc", "xc")}


def run_centered_masks(case, stored, kind):
    args = case["args"]
    options = {"width": args["width"], "fill_value": float(args["fill_value"]), "volumetric": args["volumetric"]}
    found = rois.get_centered_masks(flat_of(stored), centers_of(stored), num_planes=args["num_planes"], **options)
    check(found, stored["out"], exact=True)
    table = rois.RoiTable.from_pixels(**lists(stored))
    check(table.centered_masks(num_planes=args["num_planes"], **options), stored["out"], exact=True)


def run_centered_reference(case, stored, kind):
    args = case["args"]
    options = {"width": args["width"], "fill_value": float(args["fill_value"]), "volumetric": args["volumetric"]}
    reference = as_kind(stored["in_reference"], kind, ("z", "y", "x"))
    found = rois.get_centered_reference(reference, centers_of(stored), **options)
    assert is_lazy(found) == (kind != "numpy")
    check(found, stored["out"], exact=True)


def run_center_surround(case, stored, kind):
    (masks,) = windows(stored, kind, "masks")
    for iterations in steps_of(case):
        if iterations < 1:  # the reference fills the window; here 0 is no dilation
            check(rois.center_surround(masks, iterations=0)[1], stored["out_center"], exact=True)
            continue
        center, surround = rois.center_surround(masks, iterations=iterations, volumetric=case["args"].get("volumetric", False))
        assert is_lazy(center) == is_lazy(surround) == (kind != "numpy")
        check(center, stored["out_center"], exact=True)
        check(surround, stored.get(f"out_surround_{iterations}", stored.get("out_surround")), exact=True)


def steps_of(case):
    steps = case["args"]["iterations"]
    return steps if isinstance(steps, list) else [steps]


def run_surround_filter(case, stored, kind):
    masks, references = windows(stored, kind)
    for iterations in steps_of(case):
        found = rois.surround_filter(masks, references, iterations=iterations, volumetric=case["args"]["volumetric"])
        for values, name in zip(found, ("masks", "references"), strict=True):
            check(values, stored[f"out_{name}_{iterations}"], exact=True)


def run_cross_power(case, stored, kind):
    args = case["args"]
    if "in_static" in stored:
        first, second = (as_kind(stored[f"in_{n}"], kind, d) for n, d in zip(("static", "moving"), DIMS_AB, strict=True))
        found = rois.cross_power_spectrum(first, second, eps=args["eps"])
        wanted = stored["out"]
        if kind == "xarray":  # by names: (a, dy, dx) with (b, dy, dx)
            found = rois.cross_power_spectrum(first.isel(one=0), second, eps=args["eps"]).transpose("a", "b", ...)
        check(found, wanted, {"rtol": 1e-10, "atol": 1e-12})
        return
    masks, references = windows(stored, kind)
    for eps in args["eps"]:
        found = rois.cross_power_spectrum(masks, references, eps=eps, volumetric=args["volumetric"])
        tolerance = {"rtol": 2e-4, "atol": 1e-9} if eps > 1 else {"rtol": 0, "atol": 5e-5}
        wanted = stored[f"out_eps{eps:.0e}"]
        assert found.dtype == wanted.dtype
        check(found, wanted, tolerance)


DIMS_AB = (("a", "one", "dy", "dx"), ("b", "dy", "dx"))


def run_phase_correlation(case, stored, kind):
    names = ("static", "moving") if "in_static" in stored else ("masks", "references")
    pair = [as_kind(stored[f"in_{n}"], kind, ("dy", "dx") if n in ("static", "moving") else None) for n in names]
    found = rois.phase_correlation(*pair, eps=case["args"]["eps"])
    assert found.dtype == stored["out"].dtype
    check(found, stored["out"], {"rtol": 0, "atol": 5e-6})


def run_phase_zero(case, stored, kind):
    masks, references = windows(stored, kind)
    for eps in case["args"]["eps"]:
        found = rois.phase_correlation_zero(masks, references, eps=eps, volumetric=case["args"]["volumetric"])
        tolerance = {"rtol": 1e-4, "atol": 1e-9} if eps > 1 else {"rtol": 0, "atol": 5e-6}
        check(found, stored[f"out_eps{eps:.0e}"], tolerance)


def run_in_vs_out(case, stored, kind):
    masks, references = windows(stored, kind)
    for iterations in steps_of(case):
        # The reference's 0 fills the window: as many steps as it is large do the same here.
        iterations_here = sum(masks.shape[1:]) if iterations < 1 else iterations
        volumetric = case["args"].get("volumetric", False)
        found = rois.in_vs_out(masks, references, iterations=iterations_here, volumetric=volumetric)
        wanted = stored.get(f"out_{iterations}", stored.get("out_in_vs_out"))
        assert found.dtype == wanted.dtype
        check(found, wanted, {"rtol": 1e-5, "atol": 0})


def run_empty_centre(case, stored, kind):
    run_center_surround(case, stored, kind)
    run_in_vs_out(case, stored, kind)


def run_dot(case, stored, kind):
    reference = as_kind(stored["in_reference"], kind, ("z", "y", "x"))
    columns = lists(stored)
    found = rois.dot_product(**columns, reference=reference, volumetric=case["args"]["volumetric"])
    assert is_lazy(found) == (kind != "numpy")
    assert found.dtype == stored["out"].dtype
    check(found, stored["out"], {"rtol": 1e-5, "atol": 0})


def run_correlation(case, stored, kind):
    for suffix, name in (("", "plain"), ("_filtered", "filtered")):
        pair = windows(stored, kind, f"masks{suffix}", f"references{suffix}")
        found = rois.compute_correlation(*pair, volumetric=case["args"]["volumetric"])
        check(found, stored[f"out_{name}"], {"rtol": 2e-5, "atol": 1e-6})


def run_broadcastable(case, stored, kind):
    for x, y, wanted in zip(stored["in_x_shapes"], stored["in_y_shapes"], stored["out"], strict=True):
        assert rois.broadcastable(np.empty(x[x >= 0]), np.empty(y[y >= 0])) == wanted


def run_split_planes(case, stored, kind):
    found = rois.split_planes(stored["in_array"], stored["in_plane_idx"])
    check(np.array([len(part) for part in found]), stored["out_len"], exact=True)
    check(rois.cat_planes(found), stored["out"], exact=True)


def run_cat_planes(case, stored, kind):
    check(rois.cat_planes([stored["in_0"], stored["in_1"], stored["in_2"]]), stored["out"], exact=True)
    half = stored["out_list"].size // 2
    parts = [stored["out_list"][:half].tolist(), tuple(stored["out_list"][half:].tolist())]
    check(np.array(rois.cat_planes(parts)), stored["out_list"], exact=True)


def run_transpose(case, stored, kind):
    check(np.array(rois.transpose(stored["in_"].tolist())), stored["out"], exact=True)


def run_deprecated(case, stored, kind):
    args = case["args"]
    for name, reason, version, wanted in zip(
        args["function_names"], args["reasons"], args["versions"], stored["out_messages"], strict=True
    ):
        function = eval(f"lambda: '{name}'")
        function.__name__ = name
        with pytest.warns(DeprecationWarning, match=reason) as caught:
            assert rois.deprecated(reason, version)(function)() == name
        assert str(caught[0].message) == wanted
        assert caught[0].filename == __file__


RUNS = {
    "flatten_roi_data": run_flatten,
    "get_roi_centroid / get_roi_centroids": run_centroids,
    "get_mask_volume": run_mask_volume,
    "get_centered_masks": run_centered_masks,
    "get_centered_reference": run_centered_reference,
    "center_surround": run_center_surround,
    "center_surround / in_vs_out": run_empty_centre,
    "surround_filter": run_surround_filter,
    "cross_power_spectrum": run_cross_power,
    "phase_correlation": run_phase_correlation,
    "phase_correlation_zero": run_phase_zero,
    "in_vs_out": run_in_vs_out,
    "dot_product": run_dot,
    "compute_correlation": run_correlation,
    "broadcastable": run_broadcastable,
    "split_planes": run_split_planes,
    "cat_planes": run_cat_planes,
    "transpose": run_transpose,
    "deprecated": run_deprecated,
}
# What takes lists of pixels, and not arrays that could be lazy.
LISTS = {
    "flatten_roi_data", "get_roi_centroid / get_roi_centroids", "get_mask_volume", "get_centered_masks", "transpose",
    "split_planes", "cat_planes", "broadcastable", "deprecated",
}  # fmt: skip


def test_every_case_is_here():
    assert len(CASES) == 109
    assert {case["function"] for case in CASES} == set(RUNS)


PAIRS = [(case, kind) for case in CASES for kind in (KINDS[:1] if case["function"] in LISTS else KINDS)]


@pytest.mark.parametrize(("case", "kind"), PAIRS, ids=lambda value: value if isinstance(value, str) else value["case"])
def test_equals_cellector(case, kind):
    with dask.config.set(scheduler="sync"):  # chunks of one pixel: threads would only wait for each other
        RUNS[case["function"]](case, load(case), kind)
