"""What a page's stores hold: the pixels of every kind of image, over HTTP, equal xprep's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import xprep
from tests.helpers.plates import write_plate
from tests.laws import dense

DICE = np.random.default_rng(7)


def made(dims: str, shape: tuple[int, ...], dtype: str, lazy: bool = False) -> xr.DataArray:
    values = DICE.integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)
    data = da.from_array(values, chunks=tuple(min(n, 100) for n in shape)) if lazy else values
    return xr.DataArray(data, dims=tuple(dims))


IMAGES = {
    "one plane": made("yx", (300, 270), "uint16"),
    "one channel": made("cyx", (1, 300, 270), "uint8"),
    "40 channels": made("cyx", (40, 260, 30), "uint16"),
    "movie": made("tyx", (5, 40, 300), "int16"),
    "stack": made("zyx", (7, 40, 300), "float32"),
    "4D, other order": made("yxct", (30, 270, 2, 3), "uint32"),
    "5D": made("tczyx", (2, 2, 3, 30, 40), "int32"),
    "a dask image of one's own": made("cyx", (2, 300, 270), "uint16", lazy=True),
    "float64": made("yx", (30, 40), "float64"),
    "float16": made("yx", (30, 40), "float16"),
    "int64": made("yx", (30, 40), "int64"),
    "uint64": made("yx", (30, 40), "uint64"),
    "bool": made("yx", (30, 40), "bool"),
    "big-endian": made("yx", (30, 40), ">u2"),
    "one pixel": made("yx", (1, 1), "uint8"),
}
SHOWN = {"float64": "float32", "float16": "float32", "int64": "float32", "bool": "uint8", ">u2": "uint16"}


@pytest.mark.parametrize("kind", IMAGES)
def test_pixels(kind: str, show: Any, read: Any) -> None:
    image = IMAGES[kind]
    page = show(image)
    wanted = image.transpose(*[dim for dim in "tczyx" if dim in image.dims]).values
    found = read(page)
    assert found.dtype == SHOWN.get(image.dtype.str if kind == "big-endian" else image.dtype.name, image.dtype.name)
    np.testing.assert_array_equal(found, wanted.astype(found.dtype))


LABELS = {
    "2**32 ids": np.array([[0, 2**32 - 1], [2**32, 2**40]], "uint64"),
    "uint32": np.array([[0, 1], [2**32 - 1, 5]], "uint32"),
    "signed": np.array([[0, 1], [2**40, 5]], "int64"),
    "mask": np.array([[True, False], [False, True]]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels(kind: str, show: Any, read: Any) -> None:
    labels = xr.DataArray(LABELS[kind], dims=("y", "x"))
    page = show(xr.DataArray(np.zeros((2, 2), "uint8"), dims=("y", "x")), labels={"cells": labels})
    found = read(page, 1)
    assert found.dtype.kind == "u"
    np.testing.assert_array_equal(found, LABELS[kind].astype(found.dtype))
    layer = state_of(page)["layers"][1]
    assert (layer["type"], layer["name"]) == ("segmentation", "cells")


def state_of(page: Any) -> dict[str, Any]:
    with urlopen(f"{page.url}page.json") as answer:
        return json.load(answer)["state"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three channels, one of them off, with labels and levels, of an odd shape, somewhere in the world."""
    url = tmp_path_factory.mktemp("store") / "slide.ome.zarr"
    image = xprep.datasets.blobs(channels=3, shape=(301, 523), seed=3)
    image = image.assign_coords(y=image.y + 10.0, x=image.x + 20.0)
    told = [("red", "FF0000", True), ("green", "00FF00", False), ("blue", "0000FF", True)]
    window = {"min": 0.0, "max": 5000.0, "start": 100.0, "end": 3000.0}
    channels = [{"label": name, "color": color, "active": active, "window": window} for name, color, active in told]
    image = image.assign_coords(c=[name for name, _, _ in told]).assign_attrs(omero={"channels": channels})
    cells = (image[0] > 500).astype("uint32").drop_vars("c")
    image.prep.to_ome_zarr(url, labels={"cells": cells}, scale_factors=(2, 2), chunks={"y": 100, "x": 130})
    return url


def test_a_store_is_shown_as_it_says(store: Path, show: Any, read: Callable[..., np.ndarray]) -> None:
    page = show(store)
    image, cells = xprep.open_image(store), xprep.open_image(store, label="cells")
    for level in range(3):
        np.testing.assert_array_equal(read(page, 0, level), xprep.open_image(store, level=level).values)
        np.testing.assert_array_equal(read(page, 1, level), xprep.open_image(store, level=level, label="cells").values)
    *channels, labels = state_of(page)["layers"]
    assert [layer["visible"] for layer in channels] == [True, False, True]
    assert [layer["shaderControls"]["color"] for layer in channels] == ["#ff0000", "#00ff00", "#0000ff"]
    assert channels[0]["shaderControls"]["normalized"] == {"range": [100.0, 3000.0], "window": [0.0, 5000.0]}
    assert [layer["localPosition"] for layer in channels] == [[0], [1], [2]]
    assert {layer["blend"] for layer in channels} == {"additive"}
    assert labels["type"] == "segmentation"
    assert cells.shape == image.shape[1:]


def test_metadata_are_those_of_an_ome_zarr(store: Path, show: Any) -> None:
    """xprep itself opens the virtual store, and finds the pixels where the real one has them."""
    page = show(store)
    for level in range(3):
        found, wanted = (xprep.open_image(url, level=level) for url in (f"{page.url}images/0", store))
        assert list(found.c.values) == ["red", "green", "blue"]
        for dim in ("y", "x"):
            np.testing.assert_allclose(found[dim].values, wanted[dim].values)
            assert found[dim].attrs["units"] == "micrometer"
    attrs = zarr.open_group(f"{page.url}images/0", mode="r").attrs.asdict()
    assert attrs["ome"]["version"] == "0.5"
    assert zarr.open_array(f"{page.url}images/0/0", mode="r").chunks == (1, 256, 256)


def test_images_without_levels_get_some(show: Any, read: Any) -> None:
    image = made("cyx", (2, 1100, 700), "uint16")
    page = show(image)
    for level in (1, 2):
        np.testing.assert_array_equal(read(page, 0, level), dense.pyramid(image, (2,) * level).values)
    labels = (image[0] > 100).astype("uint32")
    page = show(image, labels={"cells": labels})
    np.testing.assert_array_equal(read(page, 1, 2), dense.pyramid(labels, (2, 2), method="mode").values)


def test_a_field_of_a_plate(tmp_path: Path, show: Any, read: Any) -> None:
    url = tmp_path / "plate.zarr"
    write_plate(url)
    field = next(path for path in sorted(url.glob("*/*/*")) if path.is_dir() and path.name.isdigit())
    np.testing.assert_array_equal(read(show(field)), xprep.open_image(field).values)


def test_containers(store: Path, show: Any) -> None:
    """All images of a Dataset or a DataTree are shown, each once, and labels over them."""
    tree = xprep.open_tree(store)
    layers = state_of(show(tree))["layers"]
    assert [layer["type"] for layer in layers] == ["image"] * 3 + ["segmentation"]
    both = xr.Dataset({"before": IMAGES["one channel"], "after": IMAGES["one channel"] + 1})
    layers = state_of(show(both))["layers"]
    assert [(layer["name"], layer["visible"]) for layer in layers] == [("before", True), ("after", False)]
    beside = state_of(show(both, side_by_side=True))
    assert [panel["layers"] for panel in beside["layout"]["children"]] == [["before"], ["after"]]
    assert all(layer["visible"] for layer in beside["layers"])


def test_nan_is_transparent(show: Any) -> None:
    image = xr.DataArray(np.array([[np.nan, 1.0], [2.0, 3.0]], "float32"), dims=("y", "x"))
    (layer,) = state_of(show(image))["layers"]
    assert "isnan" in layer["shader"]
    assert layer["shaderControls"]["normalized"]["window"] == [1.0, 3.0]
