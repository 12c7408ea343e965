"""Ordinary mistakes in arguments: how each public function is called, and what each of its parameters does not take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import numpy as np
import xarray as xr

import xprep

IMAGE = xprep.datasets.blobs(channels=2, shape=(32, 32)).chunk()
VOLUME = xr.DataArray(np.random.default_rng(0).random((3, 8, 9)), dims=("z", "y", "x"))
PIXELS: dict[str, Any] = {"lam": [np.ones(2)], "ypix": [np.array([4, 5])], "xpix": [np.array([4, 6])]}
LISTS: dict[str, Any] = {**PIXELS, "zpix": [0]}
ONE: dict[str, Any] = {name: column[0] for name, column in LISTS.items()}
TABLE = xprep.RoiTable.from_pixels(**PIXELS)
STAT = [{"lam": np.ones(2), "ypix": np.array([4, 5]), "xpix": np.array([4, 6]), "overlap": np.array([True, False])}]
FLAT = xprep.rois.flatten_roi_data(**LISTS)
CENTERS = {"zc": [0], "yc": [4], "xc": [5]}
WINDOWS = np.random.default_rng(1).random((2, 7, 7))
RECIPE = {"inputs": "none.zarr", "steps": ["to_isotropic"], "output": "out.zarr"}
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Told:
    """A wrong value of which a message says something else than its ``repr``: the words that must occur."""

    value: Any
    words: str


def spellings(value: Any) -> set[str]:
    """Return what a message may say of a wrong value: itself, what is in it, how many there are."""
    found = {repr(value), str(value) or repr(value)}
    if isinstance(value, int | float) and not isinstance(value, bool):
        found.add(f"{value:g}")
    if isinstance(value, list | tuple | dict):
        found.add(f" {len(value)} ")
        found.update(*[spellings(one) for one in value], *[spellings(one) for one in getattr(value, "values", list)()])
    return found


def set_options(**given: Any) -> None:
    with xprep.set_options(**given):
        pass


@wraps(xprep.view)
def view_and_close(*arguments: Any, **given: Any) -> None:
    """Show a page, and end it."""
    xprep.view(*arguments, **given).close()


# How each is called where all is right. What is not given is added; stores are none, so that nothing is read or written.
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "normalize": (xprep.normalize, {"image": IMAGE}),
    "fit_normalize": (xprep.fit_normalize, {"images": IMAGE}),
    "statistics_of": (xprep.statistics_of, {"url": "none.zarr"}),
    "quantile": (xprep.quantile, {"image": IMAGE, "q": 0.5}),
    "gaussian_filter": (xprep.gaussian_filter, {"image": IMAGE, "sigma": 1}),
    "background": (xprep.background, {"image": IMAGE}),
    "subtract_background": (xprep.subtract_background, {"image": IMAGE}),
    "rescale": (xprep.rescale, {"image": IMAGE, "factors": {"y": 0.5}}),
    "to_isotropic": (xprep.to_isotropic, {"image": IMAGE, "voxel_size": {"y": 1, "x": 2}}),
    "project": (xprep.project, {"image": IMAGE, "dim": "y"}),
    "pyramid": (xprep.pyramid, {"image": IMAGE}),
    "traces": (xprep.traces, {"image": IMAGE, "rois": TABLE}),
    "centered": (xprep.centered, {"image": IMAGE, "rois": TABLE, "width": 3}),
    "roi_features": (xprep.roi_features, {"image": IMAGE, "rois": TABLE, "width": 3}),
    "mask": (xprep.mask, {"image": IMAGE, "rois": TABLE}),
    "plan": (xprep.plan, {"image": IMAGE}),
    "to_ome_zarr": (xprep.to_ome_zarr, {"image": IMAGE, "url": "/nowhere/a.zip"}),
    "open_image": (xprep.open_image, {"url": "none.zarr"}),
    "open_tree": (xprep.open_tree, {"url": "none.zarr"}),
    "validate": (xprep.validate, {"url": "none.zarr"}),
    "verify": (xprep.verify, {"url": "none.zarr"}),
    "run": (xprep.run, {"recipe": RECIPE}),
    "status": (xprep.status, {"recipe": RECIPE}),
    "set_options": (set_options, {}),
    "show_versions": (xprep.show_versions, {}),
    "view": (view_and_close, {"image": IMAGE, "browser": False}),
    "plot_channels": (xprep.plot_channels, {"image": IMAGE}),
    "plot_histograms": (xprep.plot_histograms, {"image": IMAGE}),
    "compare": (xprep.compare, {"image": IMAGE, "parameters": [{"sigma": 0}]}),
    "plot_projections": (xprep.plot_projections, {"image": VOLUME}),
    "plot_rois": (xprep.plot_rois, {"image": IMAGE, "rois": TABLE}),
    "datasets.blobs": (xprep.datasets.blobs, {"shape": (9, 9)}),
    "datasets.cells": (xprep.datasets.cells, {}),
    "RoiTable": (
        xprep.RoiTable, {"lam": np.ones(1), "zpix": [0], "ypix": [4], "xpix": [4], "starts": [0, 1]},
    ),
    "RoiTable.from_pixels": (xprep.RoiTable.from_pixels, PIXELS),
    "RoiTable.from_labels": (xprep.RoiTable.from_labels, {"labels": np.eye(4, dtype=int)}),
    "RoiTable.from_suite2p": (xprep.RoiTable.from_suite2p, {"stat": STAT}),
    "RoiTable.from_dataset": (xprep.RoiTable.from_dataset, {"dataset": TABLE.to_dataset()}),
    "RoiTable.concat": (xprep.RoiTable.concat, {"tables": [TABLE]}),
    "RoiTable.masks": (TABLE.masks, {"shape": (9, 9)}),
    "RoiTable.centered_masks": (TABLE.centered_masks, {"width": 3}),
    "RoiTable.on": (TABLE.on, {"image": IMAGE}),
    "RoiTable.placed": (TABLE.placed, {"image": IMAGE}),
    "RoiTable.inside": (TABLE.inside, {"image": IMAGE}),
    "RoiTable.split_planes": (TABLE.split_planes, {}),
    "RoiTable.check_inside": (TABLE.check_inside, {"shape": {"y": 9, "x": 9}}),
    "RoiTable.centroids": (TABLE.centroids, {}),
    "RoiTable.pixels": (TABLE.pixels, {}),
    "RoiTable.pixels_of": (TABLE.pixels_of, {"chosen": np.array([0])}),
    "RoiTable.flat": (TABLE.flat, {}),
    "RoiTable.to_dataset": (TABLE.to_dataset, {}),
    "rois.get_roi_centroid": (xprep.rois.get_roi_centroid, ONE),
    "rois.get_roi_centroids": (xprep.rois.get_roi_centroids, LISTS),
    "rois.flatten_roi_data": (xprep.rois.flatten_roi_data, LISTS),
    "rois.get_mask_volume": (xprep.rois.get_mask_volume, {"flat": FLAT, "num_rois": 1, "shape": (9, 9)}),
    "rois.get_centered_masks": (xprep.rois.get_centered_masks, {"flat": FLAT, "centroids": CENTERS, "width": 3}),
    "rois.get_centered_reference": (
        xprep.rois.get_centered_reference, {"reference": np.ones((1, 9, 9)), "centroids": CENTERS, "width": 3},
    ),
    "rois.dot_product": (xprep.rois.dot_product, {**LISTS, "reference": np.ones((1, 9, 9))}),
    "rois.broadcastable": (xprep.rois.broadcastable, {"x": np.ones(2), "y": np.ones(2)}),
    "rois.cat_planes": (xprep.rois.cat_planes, {"planes": [np.ones(2)]}),
    "rois.split_planes": (xprep.rois.split_planes, {"array": np.ones(2), "plane_idx": [0, 1]}),
    "rois.transpose": (xprep.rois.transpose, {"sequences": [[1, 2], [3, 4]]}),
    "rois.deprecated": (xprep.rois.deprecated, {"reason": "it is old"}),
    **{
        f"rois.{name}": (getattr(xprep.rois, name), dict.fromkeys(names, WINDOWS))
        for name, names in {
            "compute_correlation": ("masks", "references"), "phase_correlation": ("static", "moving"),
            "phase_correlation_zero": ("masks", "references"), "cross_power_spectrum": ("static", "moving"),
            "in_vs_out": ("masks", "references"), "center_surround": ("masks",), "surround_filter": ("masks", "references"),
        }.items()
    },
}  # fmt: skip

SWITCH: Final = ("no", "true", 1, None)
SWITCH_OR_NONE: Final = ("no", "true", 1)
NO_IMAGE: Final = (Told(np.ones((3, 4)), "ndarray"), Told("a.zarr", "a.zarr|str"), Told(None, "NoneType|None"))
OPTIONS: Final = (Told("key=hush", "a str"), Told(["hush"], "a list"), Told(7, "a int|an int"))
CHUNKS: Final = (32.0, True, 0, "big", {"w": 3}, {"y": 0}, (1, 2), [1, [4, 4], 4])
CMAP: Final = ("nonsense", 5)
RADIUS: Final = (-1, 1e9, NAN, "7 parsnips", [1, 2, 3], None, True)
NAN_RULE: Final = ("skip", None, True)
DTYPE: Final = ("uint8", "float33", 5, Told(np.complex64, "complex64"))
WIDTH: Final = (-1, 1.5, "3", None, True, 10**30)
EPS: Final = (-1.0, NAN, "1e6", None, True)
ITERATIONS: Final = (-1, 1.5, "7", None, True)
WINDOW: Final = (Told("abc", "<U3"), Told(None, "object"), Told(np.ones(3), r"\(3,\)"))
LIST: Final = (None, 1.5, Told("abc", "abc"))
RECIPE_VALUES: Final = (None, 5, Told("none.yaml", "none.yaml"), Told({}, "inputs"), Told([RECIPE], "list"))
PROGRESS: Final = ("yes", 1, [True])
SERIES: Final = (1.5, True, ["a"])
DIMS: Final = (5, True, ["y", "x"], "yx y", "yy", "zx", "abc")
URL: Final = (Told("", "empty"), 5, None, Told("ftp://lab/a.zarr", "ftp"), Told(["a.zarr"], "a list"))
CENTROIDS: Final = (None, 5, Told({"yc": [4]}, "xc|zc"))

# What a parameter does not take. The message names the parameter and the value; a wrong file, image or array by its type.
WRONG: dict[str, dict[str, tuple[Any, ...]]] = {
    "normalize": {
        "image": NO_IMAGE, "p": (101, -1, NAN, "99", True, [99, 98], 0.99), "p_sum": (101, INF, "5", False),
        "p_post": (100.5, 0.999, "none", [99.9]), "sigma": (-1, NAN, 1e9, "wide", [1, 2, 3], True, {"CD8": 1}),
        "norm_sum": SWITCH, "cap_max": (NAN, "1", True, [1]), "channels": (["CD8"], "CD8", Told([], "no channel"), [7], 1.5),
        "dtype": DTYPE, "chunks": CHUNKS, "pool": ("median", 1, None), "empty": ("zero", True, None),
        "intermediates": ("disk", True, ["spill"]),
        "statistics": (5, [1], True, "none.json", Told("fit.csv", "fit.csv"), Told(xr.Dataset(), "xprep_statistics")),
    },
    "statistics_of": {"url": URL, "storage_options": OPTIONS},
    "quantile": {
        "image": NO_IMAGE, "q": ("a", None, 99, -0.1, NAN, Told([[0.5]], r"\(1, 1\)"), True), "dim": ("time", 0, ["y", 5]),
        "method": ("tdigest", None), "skip_zeros": SWITCH, "skipna": SWITCH,
    },
    "gaussian_filter": {
        "image": NO_IMAGE, "sigma": (None, -1, NAN, 1e9, "wide", {"z": 1}, {"c": 1}, [1, 2, 3], True),
        "truncate": (-1, NAN, 1e9, "4", None, True), "mode": ("edge", None, 0), "nan": NAN_RULE,
    },
    "background": {"image": NO_IMAGE, "radius": RADIUS, "dtype": DTYPE, "nan": NAN_RULE},
    "subtract_background": {"image": NO_IMAGE, "radius": RADIUS, "clip": SWITCH, "dtype": DTYPE, "nan": NAN_RULE},
    "rescale": {
        "image": NO_IMAGE, "factors": (0.5, {"y": 0}, {"y": -1}, {"y": NAN}, {"z": 2}, {"y": "2 pounds"}, {"y": True},
        {"y": 1e-9}, {"y": 1e-320}, {"y": 1e9}, {"y": 1e300},
        {"c": 2}, None), "order": (3, None, "1", True), "boundary": ("wrap", None), "cval": ("black", None, True),
        "size": ("floor", 5, None), "origin": ("middle", None), "anti_alias": SWITCH,
    },
    "to_isotropic": {
        "image": NO_IMAGE, "size": (0, -1, NAN, "0.5 pounds", [1], True), "zoom": (0, -1, NAN, "2", True),
        "voxel_size": ("0.5 um", [1, 2], {"y": 0}, {"w": 1}, 0.5), "dtype": ("float33", 5, Told(np.complex64, "complex64")),
        "order": (3, None), "boundary": ("wrap",), "cval": ("black",), "origin": ("middle",), "anti_alias": SWITCH,
    },
    "project": {
        "image": NO_IMAGE, "dim": (None, 1, "z", ["y", 1], ""), "how": ("median", None, 3), "skipna": SWITCH_OR_NONE,
    },
    "pyramid": {
        "image": NO_IMAGE, "scale_factors": (2, "all", (0,), (1.5,), ({"z": 2},), (True,), None, ("2",)),
        "method": ("median", None, 1),
    },
    "traces": {
        "image": NO_IMAGE, "rois": (Told([1, 2], "list"), Told(None, "NoneType|None"), Told("cells", "str|cells")),
        "how": (["mean"], "median", None), "skipna": SWITCH,
    },
    "centered": {
        "image": NO_IMAGE, "rois": (Told([1, 2], "list"), Told("cells", "str|cells")), "width": WIDTH, "fill_value": ("0", None,
        True),
    },
    "roi_features": {
        "image": NO_IMAGE, "rois": (Told([1, 2], "list"), Told("cells", "str|cells")), "width": WIDTH, "iterations": ITERATIONS,
        "eps": EPS, "surround": ("ring", None, True), "window": ("hannn", Told([["a"]], "window"), Told(5, r"\(\)"),
        Told(np.ones(3), r"\(3,\)")),
    },
    "mask": {
        "image": NO_IMAGE, "rois": (Told([1, 2], r"\(2,\)"), "cells"), "outside": ("black", 1 + 1j, None),
        "invert": SWITCH,
    },
    "plan": {"image": NO_IMAGE, "chunks": CHUNKS, "shards": ("auto", 32.0, True, (1, 2), {"w": 3}, {"y": 0})},
    "to_ome_zarr": {
        "image": NO_IMAGE, "url": (*URL, Told("a.zip", "a.zip"), Told("a.tif", "a.tif"), Told("http://lab/a.zarr",
        "http://lab/a.zarr")),
        "scale_factors": (2, "all", (0,), (1.5,), ({"z": 2},), (True,), ("2",)), "method": ("median", None),
        "version": ("0.3", 0.5, None), "layout": ("nested", None), "chunks": CHUNKS,
        "shards": ("auto", 32.0, True, (1, 2), {"w": 3}, {"y": 0}),
        "labels": ([1], "cells", 5, Told({"a": np.ones((32, 32), int)}, "'a' is a ndarray"), Told({1: IMAGE}, "1"),
                   Told({"../x": IMAGE[0]}, r"\.\./x")),
        "overwrite": SWITCH, "resume": SWITCH, "storage_options": OPTIONS, "progress": PROGRESS, "compute": SWITCH,
        "fingerprint": (5, True, ["a"], ""), "compression": (5, True, "lz4", "zstd:99", ["zstd:3", 5], {"name": "fast"}, 1.5),
        "checksum": ("yes", 5, ["a"]),
    },
    "open_image": {
        "url": URL, "level": ("one", 1.5, None, True, {"y": 0}, {"x": -1.0}, {"x": [1]}), "label": (5, ["a"], True),
        "coordinate_system": (5, ["a"], True), "chunks": (32.0, True, 0, {"y": 0}), "storage_options": OPTIONS,
        "series": SERIES, "dims": DIMS,
    },
    "open_tree": {
        "url": URL, "coordinate_system": (5, ["a"], True), "chunks": (32.0, True, 0, {"y": 0}), "storage_options": OPTIONS,
        "series": SERIES, "dims": DIMS,
    },
    "validate": {"url": URL, "samples": (-1, 1.5, "4", None, True), "storage_options": OPTIONS},
    "verify": {"url": URL, "storage_options": OPTIONS, "progress": PROGRESS},
    "run": {
        "recipe": RECIPE_VALUES, "resume": SWITCH, "overwrite": SWITCH_OR_NONE, "progress": PROGRESS,
        "report": (5, True, Told("no/such/folder/r.json", "no/such/folder"), ["r.json"]),
    },
    "status": {"recipe": RECIPE_VALUES},
    "set_options": {
        "intermediates": ("disk", True, None), "memory_limit": (0, -1, NAN, 1.5, True, "4 parsecs", [1]),
        "scratch_url": (5, True, ["/tmp"], ""), "scratch_options": OPTIONS, "tile_bytes": (0, -1, True, None, "16 pixels"),
        "history": SWITCH, "timestamps": SWITCH, "progress": ("loud", True, None), "chained_urls": SWITCH,
        "outside_links": SWITCH,
        "unbounded_codecs": SWITCH, "deadline": (0, -1, NAN, INF, "50", None, True),
        "patience": (0, -1, NAN, INF, "45", None, True),
    },
    "show_versions": {},
    "view": {
        "image": NO_IMAGE, "labels": ([1], "cells", 5, Told({"a": np.ones((32, 32), int)}, "ndarray"), Told({1: IMAGE}, "1")),
        "side_by_side": SWITCH, "port": (-1, 65536, "80", 1.5, None, True), "browser": SWITCH_OR_NONE,
        "memory": (0, -1, "much", None, True, 1.5), "series": SERIES, "dims": DIMS, "storage_options": OPTIONS,
    },
    "plot_histograms": {"image": NO_IMAGE, "after": (Told(np.ones((3, 4)), "ndarray"), Told("a.zarr", "a.zarr|str"))},
    "compare": {
        "image": NO_IMAGE, "parameters": (99, "p", [99], {"p": 99}, None, Told([], "parameters is empty")),
        "channel": ("CD8", 7, 1.5), "crop": ({"w": 3}, {"y": 3}, {"y": slice(0, 9, 2)}, {"y": slice(90, 99)}, 5, "y"),
        "seed": (-1, 0.5, "0", None, True),
    },
    "plot_channels": {
        "image": NO_IMAGE, "merge": SWITCH, "labels": SWITCH_OR_NONE, "cmap": CMAP, "figure": (5, "figure")
    },
    "plot_projections": {"image": NO_IMAGE, "labels": SWITCH_OR_NONE, "cmap": CMAP, "figure": (5, "figure")},
    "plot_rois": {
        "image": NO_IMAGE, "rois": (Told([1, 2], "list"), Told("cells", "str|cells")), "feature": ("area", Told(5, r"\(\)"),
        Told([1, 2, 3], "3")),
        "cmap": CMAP, "linewidth": (-1, "thick", NAN), "figure": (5, "figure"),
    },
    "datasets.blobs": {
        "channels": (0, -1, 1.5, "2", None, True), "shape": ((0, 9), 9, "yx", (1.5, 2), (9,), None), "seed": (-1, 1.5, "0", True),
        "density": (-1, NAN, "0.1", None, 2), "pixel": (0, -1, NAN, "0.5 um", None),
    },
    "datasets.cells": {},
    "RoiTable": {
        "lam": (Told([NAN], "NaN"), ["a"], [1, 2], None), "zpix": ([-1], [0.5], ["a"], None),
        "ypix": ([-1], [0.5], ["a"], None), "xpix": ([-1], [0.5], ["a"], None), "starts": ([0, 2], [1], [], None, [0.5, 1],
        ["a"]),
        "ids": ([1, 2], Told(5, "5"), [[1]]), "volumetric": SWITCH, "placement": ("here", [1], {"y": 5}, {"w": 1}),
    },
    "RoiTable.from_pixels": {
        "lam": LIST, "ypix": (*LIST, Told([[-1, 5]], "-1"), Told([[1]], "1|2")), "xpix": (*LIST, Told([[0.5, 1]], "0.5")),
        "zpix": (1.5, "abc", Told([-1], "-1")), "ids": ([1, 2], 5, "ab"),
    },
    "RoiTable.from_labels": {"labels": (Told(np.eye(3), "float64"), Told("cells", "cells|str|<U5"), None, Told(np.ones(3, int),
        "1|3"))},
    "RoiTable.from_suite2p": {
        "stat": (Told(None, "NoneType"), Told(5, "int"), Told([1], "int"), Told([{"lam": np.ones(2)}], "ypix")), "plane": (-1,
        1.5, "0", True), "exclude_overlap": SWITCH,
    },
    "RoiTable.from_dataset": {"dataset": (None, 5, Told({"a": 1}, "dict|'a'"), Told(xr.Dataset(), "lam"))},
    "RoiTable.concat": {"tables": (None, 5, [], [1], "ab")},
    "RoiTable.masks": {"shape": (9, "yx", (9,), (9, -1), (9, 1.5), None, (9, True)), "volumetric": SWITCH_OR_NONE},
    "RoiTable.centered_masks": {
        "width": WIDTH, "fill_value": ("0", None, True), "volumetric": SWITCH_OR_NONE, "num_planes": (0, -1, 1.5, "2", True),
    },
    "RoiTable.on": {"image": NO_IMAGE, "dims": (5, None, ("y", "w"), (1, 2))},
    "RoiTable.placed": {"image": NO_IMAGE[:2]},
    "RoiTable.inside": {"image": NO_IMAGE},
    "RoiTable.split_planes": {"num_planes": (0, -1, 1.5, "2", True)},
    "RoiTable.check_inside": {"shape": ((9, 9), None, {"y": -1, "x": 9}, {"y": "9", "x": 9}), "what": (5, None)},
    "RoiTable.centroids": {"method": ("mean", None, 1), "asint": SWITCH},
    "RoiTable.pixels": {"first": (-1, 1.5, "0", None, 5), "last": (-1, 1.5, "1", 5)},
    "RoiTable.pixels_of": {"chosen": (Told([5], "5"), Told([-1], "-1"), Told("a", "a"), Told(None, "None"), Told([0.5], "0.5"))},
    "RoiTable.flat": {},
    "RoiTable.to_dataset": {},
    "rois.get_roi_centroid": {
        "lam": (Told(None, r"\(\)"), Told("ab", r"\(\)"), Told([1], r"\(1,\)")), "zpix": (None, "ab", -1),
        "ypix": (Told(None, r"\(\)"), Told("ab", r"\(\)"), [-1, 2]),
        "xpix": (Told(None, r"\(\)"), Told("ab", r"\(\)"), [0.5, 2]), "method": ("mean", None), "asint": SWITCH,
    },
    "rois.get_roi_centroids": {
        "lam": LIST, "zpix": (None, 1.5, "abc"), "ypix": LIST, "xpix": LIST, "method": ("mean", None), "asint": SWITCH,
    },
    "rois.flatten_roi_data": {"lam": LIST, "ypix": LIST, "xpix": LIST, "zpix": (1.5, "abc", [1, 2])},
    "rois.get_mask_volume": {
        "flat": (None, 5, Told({"lam_flat": [1]}, "ypix")), "num_rois": (-1, "1", 1.5, None, True),
        "shape": (9, None, (9, -1), (9, 1.5), "yx"), "volumetric": SWITCH,
    },
    "rois.get_centered_masks": {
        "flat": (None, 5, Told({"lam_flat": [1]}, "ypix")), "centroids": CENTROIDS, "width": WIDTH, "fill_value": ("0", None,
        True),
        "num_planes": (0, -1, 1.5, "2", True), "volumetric": SWITCH,
    },
    "rois.get_centered_reference": {
        "reference": WINDOW, "centroids": CENTROIDS, "width": WIDTH, "fill_value": ("0", None, True), "volumetric": SWITCH,
    },
    "rois.dot_product": {
        "lam": LIST, "ypix": LIST, "xpix": LIST, "zpix": (None, 1.5, "abc"), "reference": WINDOW, "volumetric": SWITCH,
        "skipna": SWITCH,
    },
    "rois.broadcastable": {"x": (), "y": ()},  # anything has a shape
    "rois.cat_planes": {"planes": (None, 5, "ab", [1, 2])},
    "rois.split_planes": {
        "array": (Told(None, "None"), Told(5, "5")), "plane_idx": (Told(None, "None"), [0], Told([0.5, 1], "0.5"), Told([-1, 0],
        "-1")),
        "num_planes": (0, -1, 1.5, "2", True),
    },
    "rois.transpose": {"sequences": (None, 5, Told([[1, 2], [3]], "2, 1|1, 2"), "ab")},
    "rois.deprecated": {"reason": (None, 5), "version": (5, True)},
    "rois.compute_correlation": {"masks": WINDOW, "references": WINDOW, "volumetric": SWITCH, "joint": SWITCH},
    "rois.phase_correlation": {"static": WINDOW, "moving": WINDOW, "eps": EPS, "volumetric": SWITCH},
    "rois.phase_correlation_zero": {
        "masks": WINDOW, "references": WINDOW, "eps": EPS, "volumetric": SWITCH, "relative": SWITCH,
    },
    "rois.cross_power_spectrum": {"static": WINDOW, "moving": WINDOW, "eps": EPS, "volumetric": SWITCH, "relative": SWITCH},
    "rois.in_vs_out": {
        "masks": WINDOW, "references": WINDOW, "iterations": ITERATIONS, "volumetric": SWITCH, "surround": ("ring", None, True),
        "skipna": SWITCH,
    },
    "rois.center_surround": {"masks": WINDOW, "iterations": ITERATIONS, "volumetric": SWITCH},
    "rois.surround_filter": {"masks": WINDOW, "references": WINDOW, "iterations": ITERATIONS, "volumetric": SWITCH},
}  # fmt: skip
# What is fitted is what is normalised with.
WRONG["fit_normalize"] = {"images": NO_IMAGE} | {
    key: values for key, values in WRONG["normalize"].items() if key not in ("image", "chunks", "statistics")
} | {"sample": (0, 1.5, -0.1, NAN, "1%", True, [0.5], 0.001), "seed": (-1, 0.5, "0", None, True)}
ROWS: Final = [(name, key, value) for name, keys in WRONG.items() for key, values in keys.items() for value in values]
