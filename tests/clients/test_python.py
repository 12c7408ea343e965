"""Clients in Python that nobody here wrote read what xprep writes: every level, every pixel, and the labels.

Each is skipped where it is not installed; ``tests/clients/requirements.txt`` installs them all.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import xprep
from tests.clients.stores import ROADS, Road, Stored

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]
NOT_INSTALLED = "{} is not installed: pip install -r tests/clients/requirements.txt"


def client(name: str) -> Any:
    return pytest.importorskip(name, reason=NOT_INSTALLED.format(name))


@pytest.fixture(scope="module", params=ROADS, ids=str)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    road: Road = request.param
    return road.write(tmp_path_factory.mktemp("client") / f"{road}.ome.zarr")


def assert_levels(found: Any, wanted: Any) -> None:
    found = list(found)
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted, strict=True):
        values = np.asarray(have)
        assert values.dtype == want.dtype
        np.testing.assert_array_equal(values, want)


def test_zarr_python(stored: Stored) -> None:
    group = zarr.open_group(stored.url, mode="r")
    assert_levels((group[stored.path(n)][...] for n in range(3)), stored.levels)


def test_ome_zarr_models(stored: Stored) -> None:
    models = client("ome_zarr_models")
    if stored.version == "0.6" and not hasattr(models, "v06"):
        pytest.skip("this ome-zarr-models does not know 0.6; that of Python 3.12 does")
    if stored.labels and stored.layout == "dual":
        pytest.skip("it looks levels of labels up as members of the label's group (KeyError: 'scale0/image'); the docs say so")
    image = models.open_ome_zarr(zarr.open_group(stored.url, mode="r"))
    assert image.ome_zarr_version == stored.version
    done = subprocess.run([Path(sys.executable).with_name("ome-zarr-models"), "validate", stored.url], check=False)
    assert done.returncode == 0


def test_yaozarrs(stored: Stored) -> None:
    yaozarrs = client("yaozarrs")
    if stored.version == "0.6":
        pytest.skip("yaozarrs does not know 0.6")
    group = yaozarrs.validate_zarr_store(str(stored.url))
    assert group.ome_version() == stored.version


def test_ngff_zarr(stored: Stored) -> None:
    ngff_zarr = client("ngff_zarr")
    multiscales = ngff_zarr.from_ngff_zarr(str(stored.url), validate=True)
    assert_levels((image.data for image in multiscales.images), stored.levels)
    for n, image in enumerate(multiscales.images):
        level = xprep.open_image(stored.url, level=n)
        for dim in "zyx":
            if dim in image.dims:
                assert image.translation[dim] == pytest.approx(float(level[dim][0]))
                assert image.scale[dim] == pytest.approx(float(level[dim][1] - level[dim][0]))


def test_ome_zarr(stored: Stored) -> None:
    client("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = list(Reader(parse_url(str(stored.url)))())
    assert_levels((level.compute() for level in nodes[0].data), stored.levels)
    labels = [node for node in nodes if node.zarr.basename() == "cells"]
    if stored.labels:
        assert_levels((level.compute() for level in labels[0].data), stored.labels)


def test_tensorstore(stored: Stored) -> None:
    tensorstore = client("tensorstore")
    driver = "zarr" if stored.version == "0.4" else "zarr3"

    def read(path: str) -> np.ndarray:
        where = {"driver": driver, "kvstore": {"driver": "file", "path": f"{stored.url}/{path}/"}}
        return np.asarray(tensorstore.open(where, open=True).result().read().result())

    assert_levels((read(stored.path(n)) for n in range(3)), stored.levels)
    if stored.labels:
        assert_levels((read(f"labels/cells/{stored.path(n)}") for n in range(3)), stored.labels)


def test_plain_xarray(stored: Stored) -> None:
    if stored.layout == "flat":
        pytest.skip("levels of one group have one dim 'y' each and differ in size: xarray cannot open the flat layout")
    tree = xr.open_datatree(stored.url, engine="zarr", chunks={})
    assert_levels((tree[f"scale{n}/image"] for n in range(3)), stored.levels)
    if stored.labels:
        assert_levels((tree[f"labels/cells/scale{n}/image"] for n in range(3)), stored.labels)
    if "c" in stored.dims:
        assert tree["scale1/image"].c.values.tolist() == stored.image.c.values.tolist()
    np.testing.assert_allclose(tree["scale0/image"].x, stored.image.x)


def test_napari_reader(stored: Stored) -> None:
    client("napari_ome_zarr")
    from napari_ome_zarr import napari_get_reader

    read = napari_get_reader(str(stored.url))
    assert read is not None
    layers = read(str(stored.url))
    images = [layer for layer in layers if layer[2] == "image"]
    labels = [layer for layer in layers if layer[2] == "labels"]
    names = [layer[1]["name"] for layer in images]
    if "c" in stored.dims:
        assert names == ["slide: DAPI", "slide: CD3", "slide: ä/b"]
    axis = stored.dims.index("c") if "c" in stored.dims else None
    for i, layer in enumerate(images):
        wanted = stored.levels if axis is None else [level.take(i, axis) for level in stored.levels]
        assert_levels((level.compute() for level in layer[0]), wanted)
    assert [layer[1]["name"] for layer in labels] == ["cells"] * bool(stored.labels)
    if labels:
        assert_levels((level.compute() for level in labels[0][0]), stored.labels)
        shared = [dim for dim in stored.dims if dim in "zyx"]
        assert labels[0][1]["scale"][-len(shared) :] == images[0][1]["scale"][-len(shared) :]


@pytest.mark.parametrize("lazy", [False, True])
def test_spatialdata_elements_come_in(tmp_path: Path, lazy: bool) -> None:
    """An image element is a DataArray, or a DataTree of scales; both are images of xprep."""
    client("spatialdata")
    from spatialdata.models import Image2DModel, Labels2DModel

    from tests.images.test_pyramids import image_of, labels_of

    image = image_of("cyx").drop_vars(["y", "x"]).drop_attrs()
    image = image.chunk({"y": 16}) if lazy else image
    single = Image2DModel.parse(image, c_coords=["DAPI", "CD3", "x"])
    wanted = image.prep.gaussian_filter(1)
    np.testing.assert_array_equal(single.prep.gaussian_filter(1), wanted)
    single.prep.to_ome_zarr(tmp_path / "single.zarr", scale_factors=(2,))
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "single.zarr"), image)
    assert xprep.open_image(tmp_path / "single.zarr").c.values.tolist() == ["DAPI", "CD3", "x"]

    labels = Labels2DModel.parse(labels_of(image_of("cyx")).drop_vars(["y", "x"]))
    image.prep.to_ome_zarr(tmp_path / "labels.zarr", labels={"cells": labels}, scale_factors=(2,))
    assert xprep.validate(tmp_path / "labels.zarr").is_valid
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "labels.zarr", label="cells"), labels)


@pytest.mark.parametrize("layout", ["dual", "flat"])
def test_a_multiscale_element_of_spatialdata_comes_in_with_its_levels(tmp_path: Path, layout: str) -> None:
    """From a SpatialData that was stored and read again; its levels drop a last row or column that is not full."""
    client("spatialdata")
    from spatialdata import SpatialData, read_zarr
    from spatialdata.models import Image2DModel

    from tests.images.test_pyramids import image_of

    image = image_of("cyx").drop_vars(["y", "x"]).drop_attrs()
    element = Image2DModel.parse(image, c_coords=["DAPI", "CD3", "x"], scale_factors=[2, 2])
    SpatialData(images={"slide": element}).write(tmp_path / "s.zarr")
    stored = read_zarr(tmp_path / "s.zarr")["slide"]
    np.testing.assert_array_equal(stored.prep.gaussian_filter(1)["scale0/image"], image.prep.gaussian_filter(1))
    stored.prep.to_ome_zarr(tmp_path / "a.zarr", layout=layout)
    for n in range(3):
        level = xprep.open_image(tmp_path / "a.zarr", level=n)
        np.testing.assert_array_equal(level, stored[f"scale{n}/image"])
        np.testing.assert_allclose(level.x, stored[f"scale{n}/image"].x)
    assert level.c.values.tolist() == ["DAPI", "CD3", "x"]
    assert xprep.validate(tmp_path / "a.zarr").is_valid


def test_the_code_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client("spatialdata")
    from tests.house.test_docs import PAGE, blocks

    monkeypatch.chdir(tmp_path)
    page = PAGE.parent / "spatialdata.md"  # of the image that PAGE makes
    exec(compile("".join([*blocks(), *blocks(page)]), str(page), "exec"), {})
    assert xprep.open_image(tmp_path / "normalized.ome.zarr").dtype == np.float32
