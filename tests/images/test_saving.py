"""What is no image saves with netCDF and Zarr: it carries no display settings, and no attributes that have parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep

TABLE = xprep.RoiTable.from_pixels([[1.0, 1.0], [2.0]], ypix=[[3, 4], [9]], xpix=[[5, 5], [9]], ids=["a", "b"])
RESULTS: dict[str, Callable[[Any], Any]] = {
    "traces": lambda image: image.prep.traces(TABLE),
    "traces of labels": lambda image: image.prep.traces(np.eye(16, dtype=int)),
    "centered": lambda image: image.prep.centered(TABLE, width=3),
    "roi_features": lambda image: image.prep.roi_features(TABLE, width=3),
    "quantile": lambda image: image.prep.quantile([0.1, 0.9]),
    "quantile over t": lambda image: image.prep.quantile(0.5, "t"),
    "background": lambda image: image.prep.background(3),
    "project, to a line": lambda image: image.prep.project("y", "mean"),
    "project, to a number": lambda image: image.prep.project(("t", "c", "y", "x"), "std"),
}
TABLES: dict[str, Callable[[], Any]] = {
    "table": TABLE.to_dataset,
    "centroids": TABLE.centroids,
    "masks": lambda: TABLE.masks((16, 16)),
    "centered_masks": lambda: TABLE.centered_masks(2),
}
ATTRS = {
    "omero": {"channels": [{"label": "GCaMP", "color": "00FF00"}]},
    "multiscales": [{"axes": []}],
    "microscope": {"name": "a", "lens": np.float64(1.4)},
    "calibrated": True,
    "operator": None,
    "laser": [488, 561],
    "filters": ["a", "b"],
    "exposure": np.float32(0.5),
    "stage": np.arange(3),
    "empty": [],
    "comment": "text",
}


@pytest.fixture
def movie(tmp_path: Path) -> xr.DataArray:
    values = np.random.default_rng(0).integers(1, 99, (1, 4, 16, 16)).astype("uint16")
    coords = {"c": ["GCaMP"], "y": ("y", np.arange(16) * 0.5, {"units": "micrometer"})}
    xr.DataArray(values, coords, ("c", "t", "y", "x"), "movie").prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    opened = xprep.open_image(tmp_path / "a.zarr")
    assert "omero" in opened.attrs
    return opened.assign_attrs(ATTRS)


def saved(result: Any, folder: Path) -> None:
    """Write a result both ways and compare what comes back."""
    result = result.rename("F") if isinstance(result, xr.DataArray) else result
    assert not isinstance(result, xr.DataTree)
    result.to_netcdf(folder / "r.nc", engine="scipy")
    result.to_zarr(folder / "r.zarr", consolidated=False)
    opened = xr.open_dataset(folder / "r.nc", engine="scipy"), xr.open_zarr(folder / "r.zarr", consolidated=False)
    for found in opened:
        with found:
            xr.testing.assert_equal(found["F"] if isinstance(result, xr.DataArray) else found, result)


@pytest.mark.parametrize("kind", ["DataArray", "Dataset", "DataTree"])
@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_results_that_are_no_images(movie: xr.DataArray, result: Callable[[Any], Any], kind: str, tmp_path: Path) -> None:
    if kind == "DataArray":
        found = [result(movie)]
    elif kind == "Dataset":
        made = result(movie.to_dataset(name="m"))
        found = [node.to_dataset() for node in made.subtree] if isinstance(made, xr.DataTree) else [made]
    else:
        found = [node.to_dataset() for node in result(xr.DataTree.from_dict({"a": movie.to_dataset(name="m")})).subtree]
    for n, one in enumerate(found):
        (tmp_path / str(n)).mkdir()
        saved(one, tmp_path / str(n))
    arrays = [one for one in found if isinstance(one, xr.DataArray)]
    arrays += [array for one in found if isinstance(one, xr.Dataset) for array in (one, *one.data_vars.values())]
    for array in arrays:
        assert not {"omero", "multiscales", "image-label"} & set(array.attrs)


def test_other_attributes_are_kept(movie: xr.DataArray) -> None:
    kept = movie.prep.traces(TABLE).attrs
    assert kept["comment"] == "text"
    assert kept["laser"].tolist() == [488, 561]
    assert kept["microscope"] == '{"name": "a", "lens": 1.4}'
    assert (kept["calibrated"], kept["operator"], kept["empty"]) == ("true", "null", "[]")
    assert movie.prep.gaussian_filter(1).attrs["omero"]["channels"][0]["color"] == "00FF00"  # an image keeps its colours
    assert movie.prep.project("t").attrs["microscope"] == ATTRS["microscope"]


@pytest.mark.parametrize("result", TABLES.values(), ids=TABLES)
def test_what_a_table_gives(result: Callable[[], Any], tmp_path: Path) -> None:
    saved(result(), tmp_path)
