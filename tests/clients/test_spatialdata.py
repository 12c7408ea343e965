"""SpatialData objects in and out: elements beside the others, as `xprep.normalize` makes them, in memory and in a store."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.crashes import objects
from tests.helpers.sources import refuse

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sd = pytest.importorskip("spatialdata", reason="spatialdata is not installed: pip install -r tests/clients/requirements.txt")
    models = pytest.importorskip("spatialdata.models")
    transformations = pytest.importorskip("spatialdata.transformations")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]
CHANNELS = ["DAPI", "CD3", "CD8"]
NAMES = ["flat", "levels", "volume"]


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, 300, shape).astype("uint16")


def make() -> Any:
    """Return an object of three images of different shapes, one in levels, one in 3D; labels, shapes and a table beside them."""
    t = transformations
    turned = t.Affine([[1, 0.1, 3], [-0.1, 1, 4], [0, 0, 1]], ("x", "y"), ("x", "y"))
    placed = {"global": t.Scale([0.5, 0.5], ("y", "x")), "turned": turned}
    flat = models.Image2DModel.parse(pixels(3, 96, 130), dims=("c", "y", "x"), c_coords=CHANNELS, transformations=placed)
    levels = models.Image2DModel.parse(
        pixels(3, 101, 75, seed=1), dims=("c", "y", "x"), c_coords=CHANNELS, scale_factors=[2, 2],
        transformations={"global": t.Sequence([t.Scale([2.0], ("x",)), t.Translation([7.0, 5.0], ("y", "x"))])},
    )  # fmt: skip
    volume = models.Image3DModel.parse(pixels(3, 4, 40, 50, seed=2), dims=("c", "z", "y", "x"), c_coords=CHANNELS)
    cells = models.Labels2DModel.parse((pixels(96, 130) > 500).astype("uint16"), dims=("y", "x"))
    points = models.PointsModel.parse(np.random.default_rng(0).random((5, 2)))
    images = {"flat": flat, "levels": levels, "volume": volume}
    return sd.SpatialData(images=images, labels={"cells": cells}, points={"spots": points})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("objects") / "s.zarr"
    make().write(path)
    return Path(path)


@pytest.fixture
def stored(source: Path, tmp_path: Path) -> Any:
    """An object that has a store of its own."""
    shutil.copytree(source, tmp_path / "s.zarr")
    return sd.read_zarr(tmp_path / "s.zarr")


def finest(element: Any) -> xr.DataArray:
    return element if isinstance(element, xr.DataArray) else element["scale0"].to_dataset()["image"]


def kinds() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Each operation, with its parameters."""
    return {
        "normalize": (xprep.normalize, {"p": 98, "sigma": 1}),
        "gaussian_filter": (xprep.gaussian_filter, {"sigma": 1.5}),
        "subtract_background": (xprep.subtract_background, {"radius": 5.0}),
        "rescale": (xprep.rescale, {"factors": {"y": 0.5, "x": 0.25}}),
    }


def placed_at(element: Any, point: tuple[float, float], size: dict[Any, int]) -> dict[str, np.ndarray]:
    """Return where a point, as a part of the image's height and width, lies in every coordinate system."""
    at = np.array([point[1] * size["x"], point[0] * size["y"], 1.0])
    found = transformations.get_transformation(element, get_all=True)
    return {system: one.to_affine_matrix(("x", "y"), ("x", "y")) @ at for system, one in found.items()}


@pytest.mark.parametrize("name", ["normalize", "gaussian_filter", "subtract_background", "rescale"])
@pytest.mark.parametrize("backed", [False, True])
def test_elements_are_what_the_operation_makes(stored: Any, name: str, backed: bool) -> None:
    operation, parameters = kinds()[name]
    sdata = stored if backed else sd.SpatialData(images=dict(stored.images), labels=dict(stored.labels))
    inputs, outputs = NAMES[:2], ["a", "b"]
    with dask.config.set({} if backed else {"scheduler": refuse}):
        assert getattr(xprep.spatialdata, name)(sdata, inputs, outputs, **parameters) is sdata
    fields = xr.DataTree.from_dict({one: finest(sdata.images[one]).to_dataset(name="image") for one in inputs})
    wanted = operation(fields, **parameters)
    for before, after in zip(inputs, outputs, strict=True):
        element = sdata.images[after]
        models.get_model(element)().validate(element)
        np.testing.assert_allclose(finest(element).values, wanted[before]["image"].values, rtol=1e-6)
        assert finest(element).c.values.tolist() == CHANNELS
        sizes = [dict(finest(sdata.images[one]).sizes) for one in (before, after)]
        for point in ((0.0, 0.0), (1.0, 0.25)):
            one, other = (placed_at(sdata.images[n], point, size) for n, size in zip((before, after), sizes, strict=True))
            assert one.keys() == other.keys()
            edge = 3.0 if name == "rescale" else 1e-9  # sizes are whole numbers
            assert all(np.allclose(one[system], other[system], atol=edge) for system in one)
    assert isinstance(sdata.images["b"], xr.DataTree)
    assert len(sdata.images["b"].children) == 3
    assert set(sdata.coordinate_systems) == {"global", "turned"}


def test_a_store_reads_back_as_it_was_left(stored: Any) -> None:
    before = {key: one for key, one in objects(stored.path).items() if not key.startswith("images/") and key != "zarr.json"}
    xprep.spatialdata.normalize(stored, NAMES[:2], ["a", "b"], sigma=1)
    again = sd.read_zarr(stored.path)
    assert sorted(again.images) == sorted([*NAMES, "a", "b"])
    for name in ("a", "b"):
        xr.testing.assert_identical(finest(again.images[name]).drop_attrs(), finest(stored.images[name]).drop_attrs())
        one, other = (transformations.get_transformation(each.images[name], get_all=True) for each in (again, stored))
        assert one == other
    assert transformations.get_transformation(again.images["a"], get_all=True) == transformations.get_transformation(
        again.images["flat"], get_all=True
    )
    level = again.images["b"]["scale1"].to_dataset()["image"]
    anew = xprep.normalize(
        xr.DataTree.from_dict({n: finest(stored.images[n]).to_dataset(name="image") for n in NAMES[:2]}), sigma=1
    )["levels"]["image"].prep.pyramid((2,))
    np.testing.assert_allclose(level.values, anew["scale1"]["image"].values, rtol=1e-6)
    assert {key: one for key, one in objects(stored.path).items() if key in before} == before, "the rest is not touched"
    assert xprep.validate(f"{stored.path}/images/b").is_valid
    assert xprep.verify(f"{stored.path}/images/b").is_whole
    again.write(Path(stored.path).with_name("copy.zarr"))
    assert sorted(sd.read_zarr(Path(stored.path).with_name("copy.zarr")).images) == sorted(again.images)


def test_a_volume(stored: Any) -> None:
    xprep.spatialdata.normalize(stored, "volume", "v", sigma=1)
    np.testing.assert_allclose(stored.images["v"].values, stored.images["volume"].prep.normalize(sigma=1).values, rtol=1e-6)
    models.Image3DModel().validate(stored.images["v"])
    xprep.spatialdata.rescale(stored, "volume", "thin", {"z": 0.5})
    step = transformations.get_transformation(stored.images["thin"]).to_affine_matrix(("z", "y", "x"), ("z", "y", "x"))
    np.testing.assert_allclose(step, np.diag([2.0, 1, 1, 1]))


@pytest.mark.parametrize("scale_factors", [[], [2], [{"y": 2, "x": 3}, 2]])
@pytest.mark.parametrize("name", NAMES[:2])
def test_levels_that_are_asked_for(stored: Any, name: str, scale_factors: list[Any]) -> None:
    xprep.spatialdata.gaussian_filter(stored, name, "a", 1, scale_factors=scale_factors)
    element = stored.images["a"]
    assert isinstance(element, xr.DataTree) == bool(scale_factors)
    if scale_factors:
        wanted = finest(element).drop_attrs().prep.pyramid(scale_factors)
        for n in range(len(scale_factors) + 1):
            np.testing.assert_allclose(element[f"scale{n}"]["image"].values, wanted[f"scale{n}"]["image"].values, rtol=1e-6)


def test_channels_and_types(stored: Any) -> None:
    xprep.spatialdata.normalize(stored, "flat", "a", channels=["CD8", "DAPI"], sigma=[1, 0], cast_dtype=np.float64, p_sum=None)
    assert stored.images["a"].dtype == "float64"
    assert stored.images["a"].c.values.tolist() == ["CD8", "DAPI"]
    how: dict[str, Any] = {"norm_sum": False, "chunks": (1, 32, 32), "persist_intermediate": False}
    xprep.spatialdata.normalize(stored, "flat", "b", channels="CD3", **how)
    assert stored.images["b"].c.values.tolist() == ["CD3"]
    assert stored.images["b"].data.chunksize == (1, 32, 32)


# How the image waits between two passes, the limit of memory, whether it is kept in memory then.
KEPT: list[tuple[dict[str, Any], int, bool]] = [
    ({}, 2**40, True),
    ({}, 1, False),
    ({"persist_intermediate": True}, 1, False),
    ({"persist_intermediate": True, "intermediates": "persist"}, 1, True),
    ({"persist_intermediate": True, "intermediates": "recompute"}, 2**40, False),
    ({"persist_intermediate": False}, 2**40, False),
    ({"persist_intermediate": False, "intermediates": "spill"}, 2**40, False),
]


@pytest.mark.parametrize(("how", "limit", "kept"), KEPT)
def test_what_is_kept_between_passes_fits_in_the_limit(stored: Any, how: dict[str, Any], limit: int, kept: bool) -> None:
    """Memory grows with the image up to the limit, or where that was asked for by name."""
    sdata = sd.SpatialData(images={"flat": sd.SpatialData(images=dict(stored.images)).images["flat"]})
    with xprep.set_options(memory_limit=limit):
        xprep.spatialdata.normalize(sdata, "flat", "a", sigma=1, **how)
        assert bool(finest(sdata.images["a"]).prep.plan().persisted) == kept


def test_channels_without_names(tmp_path: Path) -> None:
    sdata = sd.SpatialData(images={"a": models.Image2DModel.parse(pixels(3, 40, 50), dims=("c", "y", "x"))})
    sdata.write(tmp_path / "n.zarr")
    xprep.spatialdata.normalize(sdata, "a", "b", channels=[2, 0], sigma=1)
    assert sdata.images["b"].c.values.tolist() == [2, 0]
    wanted = sdata.images["a"].sel(c=[2, 0]).prep.normalize(sigma=1)
    np.testing.assert_allclose(sdata.images["b"].values, wanted.values, rtol=1e-6)


# What is refused, by what, and how it is said; before anything is written.
REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"image_name": "cells"}, ValueError, "'cells' is no image: it is one of the object's labels"),
    ({"image_name": "spots"}, ValueError, "'spots' is no image: it is one of the object's points"),
    ({"image_name": "nothing"}, KeyError, "there is no image 'nothing'; the object has 'flat', 'levels', 'volume'"),
    ({"output_image_name": "flat"}, ValueError, "output_image_name has 'flat', which is read"),
    ({"output_image_name": "flat", "overwrite": True}, ValueError, "which is read"),
    ({"output_image_name": "levels"}, xprep.StoreExistsError, "overwrite=True replaces it"),
    ({"output_image_name": "cells", "overwrite": True}, ValueError, "name of one of the object's labels"),
    ({"output_image_name": "a/b"}, ValueError, "a name that no element can have"),
    ({"output_image_name": "FLAT"}, ValueError, "a name that no element can have"),
    ({"output_image_name": ["a", "b"]}, ValueError, "a name for each of image_name: 1; got 2"),
    ({"image_name": ["flat", "flat"], "output_image_name": ["a", "b"]}, ValueError, "image_name has 'flat' twice"),
    ({"image_name": ["flat", "levels"], "output_image_name": ["a", "a"]}, ValueError, "output_image_name has 'a' twice"),
    ({"image_name": 3}, TypeError, "image_name must be the name of an element"),
    ({"overwrite": "no"}, TypeError, "overwrite must be True or False"),
    ({"persist_intermediate": "no"}, TypeError, "persist_intermediate must be True or False"),
    ({"persist_intermediate": False, "intermediates": "persist"}, ValueError, "writes to scratch, and intermediates='persist'"),
    ({"p": 120}, ValueError, "between 0 and 100"),
    ({"sdata": "s.zarr"}, TypeError, "sdata must be a SpatialData object"),
]


@pytest.mark.parametrize(("changes", "kind", "says"), REFUSED, ids=[says[:40] for _, _, says in REFUSED])
@pytest.mark.parametrize("backed", [False, True])
def test_refused_by_name(stored: Any, changes: dict[str, Any], kind: type[Exception], says: str, backed: bool) -> None:
    parts = {kind: dict(getattr(stored, kind)) for kind in ("images", "labels", "points")}
    sdata = stored if backed else sd.SpatialData(**parts)
    before = objects(stored.path)
    with pytest.raises(kind, match=says):
        xprep.spatialdata.normalize(**{"sdata": sdata, "image_name": "flat", "output_image_name": "a", **changes})
    assert objects(stored.path) == before
    assert sorted(sdata.images) == sorted(NAMES)


@pytest.mark.parametrize("backed", [False, True])
def test_overwriting(stored: Any, backed: bool) -> None:
    sdata = stored if backed else sd.SpatialData(images=dict(stored.images))
    xprep.spatialdata.gaussian_filter(sdata, "flat", "a", 1)
    first = sdata.images["a"].values
    xprep.spatialdata.gaussian_filter(sdata, "flat", "a", 3, overwrite=True)
    assert not np.array_equal(sdata.images["a"].values, first)
    xprep.spatialdata.gaussian_filter(sdata, "flat", "levels", 1, overwrite=True)
    np.testing.assert_array_equal(sdata.images["levels"].values, first)
    if backed:
        np.testing.assert_array_equal(sd.read_zarr(sdata.path).images["levels"].values, first)


def _killed(path: str, writes: int) -> None:
    """Normalise in a process of its own, and kill it when it has written some objects."""
    from xprep.io.store.places import Place

    left, write = iter(range(writes)), Place.set_many

    def mortal(place: Place, *arguments: Any, **more: Any) -> None:
        write(place, *arguments, **more)
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    Place.set_many = mortal  # type: ignore[method-assign]
    with xprep.set_options(tile_bytes=2**14, progress="off"):
        xprep.spatialdata.normalize(sd.read_zarr(path), NAMES[:2], ["a", "b"], sigma=1, chunks=32)


def test_killed_at_any_moment_the_object_reads_and_the_call_goes_on(stored: Any) -> None:
    context, kills = multiprocessing.get_context("spawn"), 0
    for writes in (3, 20, 45, 10_000):
        process = context.Process(target=_killed, args=(str(stored.path), writes))
        process.start()
        process.join(300)
        kills += process.exitcode == -signal.SIGKILL
        again = sd.read_zarr(stored.path)
        assert set(NAMES) <= set(again.images) <= {*NAMES, "a", "b"}
        for name in set(again.images) - set(NAMES):
            assert xprep.verify(f"{stored.path}/images/{name}").is_whole
    assert kills >= 2
    assert process.exitcode == 0
    assert sorted(again.images) == sorted([*NAMES, "a", "b"])
    assert not [name for name in os.listdir(Path(stored.path) / "images") if name.startswith(".")]


def test_harpys_call_and_ours(stored: Any) -> None:
    harpy = pytest.importorskip("harpy", reason="harpy is not installed: pip install harpy-analysis (Python 3.12)")
    how = {"channels": ["CD3", "DAPI"], "p": 99, "p_sum": 5, "p_post": 99.9, "sigma": 1, "norm_sum": True, "cap_max": 1.5}
    names = NAMES[:2]
    theirs = harpy.im.pixel_clustering_preprocess(
        sd.SpatialData(images={n: finest(stored.images[n]) for n in names}), names, ["a", "b"], **how
    )
    ours = xprep.spatialdata.normalize(
        sd.SpatialData(images={n: finest(stored.images[n]) for n in names}), names, ["a", "b"], **how
    )
    for name in ("a", "b"):
        one, other = theirs.images[name], ours.images[name]
        assert one.dims == other.dims
        assert one.c.values.tolist() == other.c.values.tolist()
        # Their percentiles are those of a t-digest.
        close = np.isclose(one.values, other.values, rtol=0.02, atol=0.02, equal_nan=True)
        assert close.mean() > 0.99
        assert transformations.get_transformation(one, get_all=True) == transformations.get_transformation(other, get_all=True)
