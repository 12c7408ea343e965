"""Mistakes in arguments: every parameter of every public function is given what it does not take, and says so by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.options import Options

IMAGE = xprep.datasets.blobs(channels=2, shape=(32, 32)).chunk()
VOLUME = xr.DataArray(np.random.default_rng(0).random((3, 8, 9)), dims=("z", "y", "x"))
PIXELS: dict[str, Any] = {"lam": [np.ones(2)], "ypix": [np.array([4, 5])], "xpix": [np.array([4, 6])]}
TABLE = xprep.RoiTable.from_pixels(**PIXELS)
FLAT = xprep.rois.flatten_roi_data(**PIXELS, zpix=[0])
CENTERS = {"zc": [0], "yc": [4], "xc": [5]}
WINDOWS = np.random.default_rng(1).random((2, 7, 7))
RECIPE = {"inputs": "none.zarr", "steps": ["to_isotropic"], "output": "out.zarr"}


class Thing:
    """An object of no use."""


VALUES: tuple[Any, ...] = (
    None, "nonsense", ["a"], {"a": 1}, 1.5, float("nan"), float("inf"), -1, 0, 1e9, b"raw", Thing(), True, np.array([1.0, 2.0]),
)  # fmt: skip


def set_options(**given: Any) -> None:
    with xprep.set_options(**given):
        pass


# How each is called where all is right. What is not given is added; stores are none, so that nothing is read or written.
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "normalize": (xprep.normalize, {"image": IMAGE}),
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
    "run": (xprep.run, {"recipe": RECIPE}),
    "status": (xprep.status, {"recipe": RECIPE}),
    "set_options": (set_options, {}),
    "RoiTable.from_pixels": (xprep.RoiTable.from_pixels, PIXELS),
    "RoiTable.masks": (TABLE.masks, {"shape": (9, 9)}),
    "RoiTable.centered_masks": (TABLE.centered_masks, {"width": 3}),
    "RoiTable.on": (TABLE.on, {"image": IMAGE}),
    "RoiTable.placed": (TABLE.placed, {"image": IMAGE}),
    "RoiTable.split_planes": (TABLE.split_planes, {}),
    "RoiTable.check_inside": (TABLE.check_inside, {"shape": {"y": 9, "x": 9}}),
    "RoiTable.centroids": (TABLE.centroids, {}),
    "get_roi_centroids": (xprep.rois.get_roi_centroids, {**PIXELS, "zpix": [0]}),
    "get_mask_volume": (xprep.rois.get_mask_volume, {"flat": FLAT, "num_rois": 1, "shape": (9, 9)}),
    "get_centered_masks": (xprep.rois.get_centered_masks, {"flat": FLAT, "centroids": CENTERS, "width": 3}),
    "get_centered_reference": (
        xprep.rois.get_centered_reference,
        {"reference": np.ones((1, 9, 9)), "centroids": CENTERS, "width": 3},
    ),
    "dot_product": (xprep.rois.dot_product, {**PIXELS, "zpix": [0], "reference": np.ones((1, 9, 9))}),
    **{
        name: (getattr(xprep.rois, name), dict.fromkeys(names, WINDOWS))
        for name, names in {
            "compute_correlation": ("masks", "references"), "phase_correlation": ("static", "moving"),
            "cross_power_spectrum": ("static", "moving"), "in_vs_out": ("masks", "references"),
            "center_surround": ("masks",), "surround_filter": ("masks", "references"),
        }.items()
    },
}  # fmt: skip
# What others say of a mistake that they meet: Python, numpy, numba, matplotlib.
FOREIGN = (
    "not supported between", "has no len()", "not iterable", "could not convert", "dictionary update", "expected str, bytes",
    "nopython", "object has no attribute", "unsupported operand", "must be real number", "cannot be interpreted",
    "Unable to allocate", "not subscriptable", "unhashable", "ufunc", "invalid literal", "is ambiguous", "unsized object",
    "too large to convert",
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parameters() -> Iterator[tuple[str, str]]:
    """Yield every parameter of every function; a new one is in the table by itself."""
    for name, (function, _) in CALLS.items():
        found = inspect.signature(function).parameters.values()
        names = [one.name for one in found if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
        for parameter in [one.name for one in fields(Options)] if name == "set_options" else names:
            yield name, parameter


@pytest.mark.parametrize(("name", "parameter"), list(parameters()))
def test_a_mistake_ends_in_a_sentence(name: str, parameter: str, here: Path) -> None:
    """Of any value, either it is taken or an error of ours says why not; nothing ends in another library's words."""
    function, right = CALLS[name]
    for value in VALUES:
        try:
            function(**{**right, parameter: value})
        except (TypeError, ValueError, KeyError, OSError) as error:
            said = str(error.args[0]) if isinstance(error, KeyError) else str(error)
            assert not any(words in said for words in FOREIGN), (value, said)
            assert len(said.split()) >= 4, (value, said)


# Rows: a call, and the words that must occur: the argument, the value.
MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("normalize", {"chunks": 32.0}, r"chunks must be .*got 32\.0"),
    ("normalize", {"sigma": 1e9}, r"sigma=1e\+09 .* at most 10000000"),
    ("gaussian_filter", {"sigma": 1e9}, r"sigma=1e\+09"),
    ("gaussian_filter", {"truncate": 1e9}, r"truncate=1e\+09"),
    ("gaussian_filter", {"sigma": "wide"}, r"sigma.*'wide'"),
    ("background", {"radius": 1e9}, r"radius must be .* at most 1e\+06.*got 1000000000\.0"),
    ("background", {"radius": -1}, r"radius must be .*got -1"),
    ("subtract_background", {"radius": None}, r"radius must be .*got None"),
    ("rescale", {"cval": "black"}, r"cval must be a number; got 'black'"),
    ("rescale", {"factors": 0.5}, "factors"),
    ("rescale", {"order": 3}, "order must be one of.*got 3"),
    ("to_isotropic", {"voxel_size": "0.5 um"}, r"voxel_size must be a mapping.*got '0\.5 um'"),
    ("to_isotropic", {"voxel_size": [1, 2]}, r"voxel_size must be a mapping.*got \[1, 2\]"),
    ("project", {"dim": None}, "dim must be the name of a dim.*got None"),
    ("project", {"dim": 1}, "dim must be the name of a dim.*got 1"),
    ("project", {"how": "median"}, "how must be one of.*got 'median'"),
    ("quantile", {"q": "a"}, r"q must be a number.*got 'a'"),
    ("quantile", {"dim": 0}, "dim must be the name of a dim.*got 0"),
    ("mask", {"outside": "black"}, "outside must be a number; got 'black'"),
    ("mask", {"outside": 1 + 1j}, r"outside must be a number; got \(1\+1j\)"),
    ("mask", {"rois": "cells"}, "rois|mask"),
    ("traces", {"rois": [1, 2]}, "rois must be a RoiTable or a label image; got list"),
    ("traces", {"how": ["mean"]}, r"how must be .*got \['mean'\]"),
    ("centered", {"fill_value": "0"}, "fill_value must be a number; got '0'"),
    ("centered", {"width": 1.5}, r"width .*got 1\.5"),
    ("centered", {"width": 10**30}, r"width .*got 10{30}"),
    ("roi_features", {"eps": None}, "eps must be a number of 0 or more; got None"),
    ("roi_features", {"eps": -1.0}, r"eps must be a number of 0 or more; got -1\.0"),
    ("roi_features", {"window": "hannn"}, "window must be a name.*got 'hannn'"),
    ("roi_features", {"window": [["a"]]}, "window must be a name or an array of weights"),
    ("to_ome_zarr", {"url": "a.zarr", "labels": [1]}, r"labels must be a mapping.*got \[1\]"),
    ("to_ome_zarr", {"url": "a.zarr", "labels": {"a": np.ones((32, 32), int)}}, "labels must be DataArrays.*'a' is a ndarray"),
    ("to_ome_zarr", {"url": "a.zarr", "labels": {1: IMAGE}}, "1 cannot be a name in a store"),
    ("to_ome_zarr", {"url": "a.zarr", "progress": "yes"}, "progress must be .*'yes'"),
    ("to_ome_zarr", {"url": "a.zarr", "chunks": 32.0}, r"chunks must be .*got 32\.0"),
    ("to_ome_zarr", {"url": "a.zarr", "chunks": True}, "chunks must be .*got True"),
    ("to_ome_zarr", {"url": "a.zarr", "chunks": {"y": True}}, "chunks must be positive whole.*'y': True"),
    ("to_ome_zarr", {"url": "a.zarr", "shards": "auto"}, "^shards must be .*got 'auto'"),
    ("to_ome_zarr", {"url": "a.zarr", "shards": 32.0}, r"^shards must be .*got 32\.0"),
    ("to_ome_zarr", {"url": "a.zarr", "shards": True}, "^shards must be .*got True"),
    ("to_ome_zarr", {"url": "a.zarr", "shards": (1, 2)}, "^shards has 2 lengths"),
    ("to_ome_zarr", {"url": "a.zarr", "shards": {"w": 3}}, "^shards names the dim 'w'"),
    ("to_ome_zarr", {"url": "a.zarr", "shards": {"y": 0}}, "^shards must be positive whole.*'y': 0"),
    ("plan", {"shards": "auto"}, "^shards must be .*got 'auto'"),
    ("to_ome_zarr", {"url": "a.zarr", "storage_options": "key=hush"}, "storage_options must be a mapping.*got a str"),
    ("to_ome_zarr", {"url": "a.zarr", "fingerprint": 5}, "fingerprint must be a text or None; got 5"),
    ("open_image", {"storage_options": ["a"]}, "storage_options must be a mapping.*got a list"),
    ("run", {"recipe": None}, "recipe must be .*got a NoneType"),
    ("status", {"recipe": 5}, "recipe must be .*got a int: 5"),
    ("set_options", {"memory_limit": "4 parsecs"}, "memory_limit.*'4 parsecs'"),
    ("set_options", {"deadline": "5"}, "deadline must be .*got '5'"),
    ("RoiTable.masks", {"shape": 9}, "shape must be the lengths.*got 9"),
    ("RoiTable.placed", {"image": "a"}, "image must be a DataArray; got 'a'"),
    ("RoiTable.split_planes", {"num_planes": "2"}, "num_planes must be a whole number.*got '2'"),
    ("RoiTable.check_inside", {"shape": (9, 9)}, r"shape must be a mapping.*got \(9, 9\)"),
    ("RoiTable.from_pixels", {"lam": None}, "lam must be a list.*got None"),
    ("get_mask_volume", {"flat": None}, "flat columns lack|flat must be"),
    ("get_mask_volume", {"num_rois": "1"}, "num_rois must be a whole number.*got '1'"),
    ("get_centered_masks", {"centroids": 5}, "centroids must be a mapping.*got 5"),
    ("dot_product", {"lam": 1.5}, r"lam must be a list.*got 1\.5"),
]


IDS = [f"{name} {list(wrong)[-1]} {n}" for n, (name, wrong, _) in enumerate(MISTAKES)]


@pytest.mark.parametrize(("name", "wrong", "words"), MISTAKES, ids=IDS)
def test_the_sentence_names_the_argument_and_the_value(name: str, wrong: dict[str, Any], words: str, here: Path) -> None:
    function, right = CALLS[name]
    with pytest.raises((TypeError, ValueError, KeyError), match=words) as caught:
        function(**{**right, **wrong})
    assert "hush" not in str(caught.value)
    assert not list(here.iterdir())
