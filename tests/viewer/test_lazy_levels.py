"""Lazy results at coarse levels: the same steps on the source's levels, with what is in pixels scaled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.viewer import resolutions
from xprep.viewer.replaying import resolutions_of

Step = Callable[[xr.DataArray], xr.DataArray]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("levels") / "slide.ome.zarr"
    image = xprep.datasets.blobs(channels=3, shape=(400, 520), seed=5)
    image.prep.to_ome_zarr(url, scale_factors=(2, 2), chunks={"y": 128, "x": 128})
    return url


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("levels") / "stack.ome.zarr"
    voxels = {"z": 0.5 * np.arange(6), "y": 0.2 * np.arange(64), "x": 0.2 * np.arange(80)}
    coords = {dim: (dim, values, {"units": "micrometer"}) for dim, values in voxels.items()}
    values = np.random.default_rng(1).integers(0, 900, (6, 64, 80), "uint16")
    image = xr.DataArray(values, dims=("z", "y", "x"), coords=coords)
    image.prep.to_ome_zarr(url, scale_factors=(2, {"z": 2, "y": 2, "x": 2}))
    return url


FLAT: dict[str, tuple[Step, Callable[[xr.DataArray, int], xr.DataArray]]] = {
    "gaussian": (lambda i: i.prep.gaussian_filter(4), lambda i, f: i.prep.gaussian_filter(4 / f)),
    "gaussian by dim": (
        lambda i: i.prep.gaussian_filter({"y": 4, "x": 2}, mode="nearest"),
        lambda i, f: i.prep.gaussian_filter({"y": 4 / f, "x": 2 / f}, mode="nearest"),
    ),
    "gaussian by channel": (
        lambda i: i.prep.gaussian_filter([4, 2, 0]),
        lambda i, f: i.prep.gaussian_filter([4 / f, 2 / f, 0]),
    ),
    "gaussian in micrometres": (
        lambda i: i.prep.gaussian_filter("2 um"),
        lambda i, f: i.prep.gaussian_filter("2 um"),
    ),
    "background": (
        lambda i: i.prep.subtract_background(8, clip=True),
        lambda i, f: i.prep.subtract_background(8 / f, clip=True),
    ),
    "background by dim": (
        lambda i: i.prep.subtract_background((8, 12)),
        lambda i, f: i.prep.subtract_background((8 / f, 12 / f)),
    ),
    "rescale": (
        lambda i: i.prep.rescale({"y": 0.5, "x": 0.75}),
        lambda i, f: i.prep.rescale({"y": 0.5, "x": 0.75}),
    ),
    "rescale to a voxel": (
        lambda i: i.prep.rescale({"y": "1 um", "x": "1 um"}, order=0),
        lambda i, f: i.prep.rescale({"y": 0.5, "x": 0.5}, order=0),
    ),
    "isotropic": (
        lambda i: i.prep.to_isotropic("1 um", anti_alias=True),
        lambda i, f: i.prep.rescale({"y": 0.5, "x": 0.5}, anti_alias=True),
    ),
    "project": (lambda i: i.prep.project("c"), lambda i, f: i.prep.project("c")),
    "chain": (
        lambda i: i.prep.subtract_background(8).prep.gaussian_filter(2).prep.rescale({"x": 0.5}),
        lambda i, f: i.prep.subtract_background(8 / f).prep.gaussian_filter(2 / f).prep.rescale({"x": 0.5}),
    ),
    "channels, then a step": (
        lambda i: i.isel(c=[2, 0]).prep.gaussian_filter(4),
        lambda i, f: i.isel(c=[2, 0]).prep.gaussian_filter(4 / f),
    ),
    "one channel by name": (
        lambda i: i.sel(c="marker 2").prep.gaussian_filter(4),
        lambda i, f: i.sel(c="marker 2").prep.gaussian_filter(4 / f),
    ),
    "chunked anew when opened": (lambda i: i.prep.gaussian_filter(4), lambda i, f: i.prep.gaussian_filter(4 / f)),
}


@pytest.mark.parametrize("kind", FLAT)
def test_levels(kind: str, store: Path) -> None:
    step, expected = FLAT[kind]
    chunks = {"y": 100, "x": 90} if "chunked" in kind else None
    image = step(xprep.open_image(store, chunks=chunks))
    found = resolutions_of(image)
    assert found.remarks == ()
    assert len(found.levels) == 3
    np.testing.assert_array_equal(found.levels[0].values, image.values)
    for level in (1, 2):
        wanted = expected(xprep.open_image(store, level=level), 2**level)
        np.testing.assert_allclose(found.levels[level].values, wanted.values, rtol=1e-6)
        for dim in ("y", "x"):
            np.testing.assert_allclose(found.levels[level][dim].values, wanted[dim].values)


VOLUMES: dict[str, tuple[Step, Callable[[xr.DataArray, float, float], xr.DataArray]]] = {
    "gaussian": (
        lambda i: i.prep.gaussian_filter({"z": 1, "y": 4, "x": 4}),
        lambda i, z, f: i.prep.gaussian_filter({"z": 1 / z, "y": 4 / f, "x": 4 / f}),
    ),
    "project": (lambda i: i.prep.project("z"), lambda i, z, f: i.prep.project("z")),
    "isotropic": (lambda i: i.prep.to_isotropic(), lambda i, z, f: i.prep.rescale({"z": 2.5, "y": 1, "x": 1})),
    "planes": (
        lambda i: i.isel(z=slice(2, 5)).prep.project("z", how="mean"),
        lambda i, z, f: i.isel(z=slice(int(2 // z), -int(-5 // z))).prep.project("z", how="mean"),
    ),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_levels_of_stacks(kind: str, stack: Path) -> None:
    step, expected = VOLUMES[kind]
    image = step(xprep.open_image(stack))
    found = resolutions_of(image)
    np.testing.assert_array_equal(found.levels[0].values, image.values)
    for level, z, f in ((1, 1, 2), (2, 2, 4)):
        wanted = expected(xprep.open_image(stack, level=level), z, f)
        np.testing.assert_allclose(found.levels[level].values, wanted.values, rtol=1e-6)


def test_normalize_is_fitted_to_a_coarse_level(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xprep.viewer import replaying

    monkeypatch.setattr(replaying, "ENOUGH", 200 * 260)
    image = xprep.open_image(store)
    found = resolutions_of(image.prep.normalize(sigma=4, channels=["marker 3", "marker 1"]), "slide")
    (remark,) = found.remarks
    assert "approximate" in remark
    assert "level 1 (200 × 260 pixels)" in remark
    coarse = xprep.open_image(store, level=1)
    fitted = coarse.prep.fit_normalize(sigma=2, channels=["marker 3", "marker 1"]).compute()
    np.testing.assert_array_equal(found.levels[1].values, coarse.prep.normalize(statistics=fitted).values)
    given = json.loads(fitted.attrs["parameters"])
    whole = fitted.assign_attrs(parameters=json.dumps({**given, "sigma": 4.0}), voxel_size="{}")
    np.testing.assert_array_equal(found.levels[0].values, image.prep.normalize(statistics=whole).values)


def test_a_small_image_is_exact(store: Path) -> None:
    image = xprep.open_image(store).prep.normalize(sigma=2)
    found = resolutions_of(image)
    assert found.remarks == ()
    np.testing.assert_array_equal(found.levels[0].values, image.values)


def test_fitted_statistics_are_kept(store: Path) -> None:
    image = xprep.open_image(store)
    fitted = image.prep.fit_normalize(sigma=2).compute()
    found = resolutions_of(image.prep.normalize(statistics=fitted))
    assert found.remarks == ()
    np.testing.assert_array_equal(found.levels[0].values, image.prep.normalize(sigma=2).values)
    coarse = xprep.open_image(store, level=2)
    scaled = fitted.assign_attrs(
        parameters=json.dumps({**json.loads(fitted.attrs["parameters"]), "sigma": 0.5}), voxel_size="{}"
    )
    np.testing.assert_array_equal(found.levels[2].values, coarse.prep.normalize(statistics=scaled).values)


def test_fields_share_statistics(store: Path) -> None:
    image = xprep.open_image(store)
    tree = xr.DataTree.from_dict({"/a": xr.Dataset({"image": image}), "/b": xr.Dataset({"image": image * 3})})
    results = tree.prep.normalize(sigma=1)
    found = resolutions_of(results["/a/image"])
    np.testing.assert_allclose(found.levels[0].values, results["/a/image"].values, rtol=1e-6)


FROM_FULL: dict[str, Step] = {
    "arithmetic": lambda i: i * 2,
    "arithmetic after a step": lambda i: i.prep.gaussian_filter(1) + 1,
    "rechunked after a step": lambda i: i.prep.gaussian_filter(1).chunk({"y": 50}),
    "a dask function": lambda i: i.copy(data=i.data.map_blocks(np.sqrt, dtype="float64")),
    "masked": lambda i: i.prep.mask(xr.DataArray(np.ones((400, 520), bool), dims=("y", "x"))),
}


@pytest.mark.parametrize("kind", FROM_FULL)
def test_other_chains_are_shown_from_the_full_resolution(kind: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolutions, "BLOCKS", (64, 128))
    monkeypatch.setattr(resolutions, "FITS", 128)
    image = FROM_FULL[kind](xprep.open_image(store))
    found = resolutions_of(image, "slide")
    (remark,) = found.remarks
    assert "slide: shown from its full resolution" in remark
    np.testing.assert_allclose(found.levels[1].values, image.prep.pyramid((2,))["scale1/image"].values, rtol=1e-6)


def test_levels_of_ones_own_end_where_they_take_long() -> None:
    image = xr.DataArray(da.zeros((40_000, 40_000), chunks=2000, dtype="uint8"), dims=("y", "x"))
    found = resolutions_of(image)
    assert max(found.levels[-1].shape) == 40_000 // resolutions.MOST_SHRUNK


def test_nothing_is_computed_for_levels(store: Path) -> None:
    import dask

    from tests.helpers.sources import refuse

    with dask.config.set(scheduler=refuse):
        found = resolutions_of(xprep.open_image(store).prep.gaussian_filter(2).prep.rescale({"y": 0.5}))
    assert len(found.levels) == 3


def test_crops_have_the_levels_of_their_source(store: Path) -> None:
    image = xprep.open_image(store).isel(y=slice(101, 300), x=slice(40, 45))
    whole = xprep.open_image(store, level=2)
    coarse = resolutions_of(image).levels[2]
    np.testing.assert_array_equal(coarse.values, whole.values[:, 25:75, 10:12])
    np.testing.assert_allclose(coarse.y.values, whole.y.values[25:75])
