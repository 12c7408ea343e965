"""Switches take booleans only, in every public function: any text is true to Python, also "no"."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.images import WriteOptions
from xprep.options import Options

IMAGE = xprep.datasets.blobs(channels=2, shape=(32, 32)).compute()
VOLUME = xr.DataArray(np.random.default_rng(0).random((3, 8, 9)), dims=("z", "y", "x"))
CELLS = (IMAGE.isel(c=0, drop=True) > IMAGE.isel(c=0).median()).astype("int32")
PIXELS: dict[str, Any] = {"lam": [np.ones(2)], "ypix": [np.array([4, 5])], "xpix": [np.array([4, 6])]}
TABLE = xprep.RoiTable.from_pixels(**PIXELS)
FLAT = xprep.rois.flatten_roi_data(**PIXELS, zpix=[0])
WINDOWS = np.random.default_rng(1).random((2, 7, 7))
STAT = [{"lam": np.ones(2), "ypix": np.array([4, 5]), "xpix": np.array([4, 6]), "overlap": np.array([True, False])}]
LISTS: dict[str, Any] = {**PIXELS, "zpix": [0]}
CENTERS = {"zc": [0], "yc": [4], "xc": [5]}
WRONG = ("no", "false", "True", 1, 0, 0.0, np.int64(1), [], np.array([True]), xr.DataArray(True))


def written(url: str, **how: Any) -> Any:
    return IMAGE.prep.to_ome_zarr(url, scale_factors=(), **{"overwrite": True, **how})


# How each function is called, with the parameter in question; `url` is a store that may be replaced.
Call = Callable[..., Any]
CALLS: dict[str, Call] = {
    "normalize": lambda url, **given: xprep.normalize(IMAGE, **given),
    "fit_normalize": lambda url, **given: xprep.fit_normalize(IMAGE, **given),
    "quantile": lambda url, **given: xprep.quantile(IMAGE, 0.5, **given),
    "subtract_background": lambda url, **given: xprep.subtract_background(IMAGE, **given),
    "rescale": lambda url, **given: xprep.rescale(IMAGE, {"y": 0.5}, **given),
    "project": lambda url, **given: xprep.project(VOLUME, "z", **given),
    "mask": lambda url, **given: xprep.mask(IMAGE, CELLS, **given),
    "traces": lambda url, **given: xprep.traces(IMAGE, TABLE, **given),
    "plot_channels": lambda url, **given: xprep.plot_channels(IMAGE, **given),
    "plot_projections": lambda url, **given: xprep.plot_projections(VOLUME, **given),
    "to_ome_zarr": written,
    "view": lambda url, **given: xprep.view(IMAGE, **{"browser": False, **given}).close() or (),
    "run": lambda url, **given: xprep.run(
        {"inputs": url, "steps": ["to_isotropic"], "output": f"{url}-out.zarr", "store": {"overwrite": True}}, **given
    ),
    "verify": lambda url, **given: written(url) and xprep.verify(url, **given).is_whole,
    "RoiTable": lambda url, **given: xprep.RoiTable(np.ones(1), [0], [4], [4], [0, 1], **given),
    "RoiTable.from_suite2p": lambda url, **given: xprep.RoiTable.from_suite2p(STAT, **given),
    "RoiTable.centroids": lambda url, **given: TABLE.centroids(**given),
    "RoiTable.masks": lambda url, **given: TABLE.masks((9, 9) if not given.get("volumetric") else (1, 9, 9), **given),
    "RoiTable.centered_masks": lambda url, **given: TABLE.centered_masks(3, **given),
    "rois.get_roi_centroid": lambda url, **given: xprep.rois.get_roi_centroid(
        **{name: column[0] for name, column in LISTS.items()}, **given
    ),
    "rois.get_roi_centroids": lambda url, **given: xprep.rois.get_roi_centroids(**LISTS, **given),
    "rois.get_mask_volume": lambda url, **given: xprep.rois.get_mask_volume(
        FLAT, 1, (9, 9) if not given.get("volumetric") else (1, 9, 9), **given
    ),
    "rois.get_centered_masks": lambda url, **given: xprep.rois.get_centered_masks(FLAT, CENTERS, width=3, num_planes=1, **given),
    "rois.get_centered_reference": lambda url, **given: xprep.rois.get_centered_reference(
        np.ones((1, 9, 9)), CENTERS, width=3, **given
    ),
    **{
        f"rois.{name}": lambda url, *, _name=name, **given: getattr(xprep.rois, _name)(
            *[WINDOWS if not given.get("volumetric") else WINDOWS[None]] * (1 if _name == "center_surround" else 2), **given
        )
        for name in (
            "compute_correlation", "cross_power_spectrum", "phase_correlation", "phase_correlation_zero", "center_surround",
            "surround_filter", "in_vs_out",
        )
    },
    "rois.dot_product": lambda url, **given: xprep.rois.dot_product(
        PIXELS["lam"], PIXELS["ypix"], PIXELS["xpix"], [np.zeros(2, int)] if given.get("volumetric") else [0], np.ones((1, 9, 9)),
        **given,
    ),
    "set_options": lambda url, **given: _options_of(**given),
    "WriteOptions": lambda url, **given: WriteOptions(
        "auto", "mean", "0.5", "dual", None, None, **{"overwrite": False, **given}
    ),
}  # fmt: skip


def _options_of(**given: Any) -> Any:
    with xprep.set_options(**given) as chosen:
        return chosen


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield all that is public and can be called, by the name that `CALLS` has for it."""
    for place, names in ((xprep, xprep.__all__), (xprep.rois, xprep.rois.__all__)):
        for name in names:
            if inspect.isfunction(one := getattr(place, name)):
                yield ("" if place is xprep else "rois.") + name, one
    yield "RoiTable", xprep.RoiTable
    for name, one in inspect.getmembers(xprep.RoiTable, lambda one: inspect.isfunction(one) or inspect.ismethod(one)):
        if not name.startswith("_"):
            yield f"RoiTable.{name}", one
    yield "set_options", Options
    yield "WriteOptions", WriteOptions


def switches() -> list[tuple[str, str, str]]:
    """Return every parameter whose annotation has a bool: function, parameter, annotation."""
    return [
        (name, parameter, str(one.annotation))
        for name, function in public()
        for parameter, one in inspect.signature(function).parameters.items()
        if "bool" in str(one.annotation).replace("bool_", "")
    ]


FOUND = switches()
IDS = [f"{name}-{parameter}" for name, parameter, _ in FOUND]


@pytest.fixture
def url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    path = str(tmp_path / "a.zarr")
    if any(f"[{name}-" in request.node.name for name in ("to_ome_zarr", "run")) or "progress" in request.node.name:
        written(path)
    return path


def test_every_switch_is_found() -> None:
    """The table is that of the signatures: whoever adds a switch adds a way to call it."""
    assert len(FOUND) >= 40
    assert {name for name, _, _ in FOUND} == set(CALLS)


@pytest.mark.parametrize(("name", "parameter", "annotation"), FOUND, ids=IDS)
def test_what_is_no_boolean_is_refused(name: str, parameter: str, annotation: str, url: str) -> None:
    wrong = WRONG if "None" in annotation else (*WRONG, None)
    for value in wrong:
        with pytest.raises(TypeError, match=f"{parameter} must be True or False"):
            CALLS[name](url, **{parameter: value})


@pytest.mark.parametrize(("name", "parameter", "annotation"), FOUND, ids=IDS)
def test_numpy_has_booleans_too(name: str, parameter: str, annotation: str, url: str) -> None:
    for value in (True, False, *([None] if "None" in annotation else [])):
        if name.startswith(("plot", "to_ome", "run", "verify")) or value is None:
            with xprep.set_options(progress="off"):
                CALLS[name](url, **{parameter: value if value is None else np.bool_(value), **_needed(name, parameter)})
            continue
        one, other = (CALLS[name](url, **{parameter: kind(value)}) for kind in (bool, np.bool_))
        for a, b in zip(_arrays(one), _arrays(other), strict=True):
            np.testing.assert_array_equal(a, b)


def _needed(name: str, parameter: str) -> dict[str, Any]:
    return {"resume": True} if (name, parameter) == ("to_ome_zarr", "overwrite") else {}


def _arrays(found: Any) -> list[Any]:
    if isinstance(found, xprep.RoiTable):
        return [found.lam, found.volumetric]
    if isinstance(found, Options):
        return [repr(found)]
    if isinstance(found, WriteOptions):
        return list(astuple(found))
    if isinstance(found, xr.Dataset):
        return [one.values for one in found.data_vars.values()]
    return list(found) if isinstance(found, tuple) else [found]


# Options that are no switches, and what they do not take.
OTHERS: dict[str, tuple[Any, ...]] = {
    "memory_limit": (float("nan"), float("inf"), True, 0, -1, 1.5, "16 parsecs", [1]),
    "tile_bytes": (float("nan"), True, 0, 1.5, None, "one"),
    "deadline": (float("nan"), float("inf"), True, 0, None, "50"),
    "patience": (float("nan"), float("inf"), True, 0, None, "45"),
    "scratch_url": (5, True, ["/tmp"]),
    "scratch_options": ("key=1", 5),
    "intermediates": (True, None, "some"),
    "progress": (True, None, "yes"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_values_of_options(name: str) -> None:
    for value in OTHERS[name]:
        with pytest.raises((ValueError, TypeError), match=name):
            xprep.set_options(**{name: value})
    assert set(OTHERS) | {parameter for one, parameter, _ in FOUND if one == "set_options"} == set(Options.__dataclass_fields__)


def test_progress_is_a_switch_or_a_listener(url: str) -> None:
    class Half:
        def started(self, stage: str, total: int) -> None:
            """Hear only that."""

    for value in (Half(), Half, "bar", 1):
        with pytest.raises(TypeError, match="or an object with the methods started, advanced and finished"):
            written(url, progress=value)
