"""Images as OME-Zarr: the pixels of every version, layout, odd size and shard, and how they are shown."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from zarr.storage import MemoryStore

import xprep
from tests.helpers.crashes import objects
from tests.helpers.sources import counted
from tests.laws import dense

SIZES = {"t": 2, "c": 3, "z": 3, "y": 43, "x": 53}
FACTORS = {"yx": (2, 2), "cyx": (2, 3), "tczyx": (2, {"z": 2, "y": 2, "x": 2})}
ROADS = [
    (version, layout, shards)
    for version in ("0.4", "0.5", "0.6")
    for layout in ("dual", "flat")
    for shards in (None, {"y": 32, "x": 32})
    if not (version == "0.4" and shards)
]


def image_of(dims: str = "cyx", dtype: str = "uint16") -> xr.DataArray:
    sizes = [SIZES[dim] for dim in dims]
    pixels = (np.random.default_rng(5).lognormal(5, 1.5, sizes) - 100).clip(0, 60000).astype(dtype)
    coords: dict[str, Any] = {
        dim: (dim, 3 + {"t": 2.0, "z": 1.5, "y": 0.25, "x": 0.5}[dim] * np.arange(n), {"units": "micrometer"})
        for dim, n in zip(dims, sizes, strict=True)
        if dim != "c"
    }
    return xr.DataArray(
        pixels, dims=tuple(dims), coords=coords | ({"c": ["DAPI", "CD3", "ä/b"]} if "c" in dims else {}), name="slide"
    )


def labels_of(image: xr.DataArray) -> xr.DataArray:
    cells = np.zeros((SIZES["y"], SIZES["x"]), np.uint32)
    cells[3:20, 5:30] = 70_000
    cells[20:40, 10:50] = 3
    flat = xr.DataArray(cells, dims=("y", "x"), coords={dim: image[dim] for dim in "yx"})
    return flat.expand_dims(z=image.z) if "z" in image.dims else flat


@pytest.mark.parametrize("dims", list(FACTORS))
@pytest.mark.parametrize(("version", "layout", "shards"), ROADS)
def test_every_level_is_the_dense_one(tmp_path: Path, dims: str, version: str, layout: str, shards: Any) -> None:
    image, url = image_of(dims), tmp_path / "out.zarr"
    lazy = image.chunk({"y": 20, "x": 17})
    report = lazy.prep.to_ome_zarr(
        url, version=version, layout=layout, shards=shards, chunks={"y": 16, "x": 16}, scale_factors=FACTORS[dims],
        labels={"cells": labels_of(image)},
    )  # fmt: skip
    tree = xprep.open_tree(url)
    for n in range(3):
        level = tree[f"scale{n}/image"]
        assert level.dtype == np.uint16
        assert level.shape == report.shapes[n]
        np.testing.assert_array_equal(level, dense.pyramid(image, FACTORS[dims][:n]))
        np.testing.assert_array_equal(xprep.open_image(url, level=n), level)
        cells = tree[f"labels/cells/scale{n}/image"]
        np.testing.assert_array_equal(cells, dense.pyramid(labels_of(image), FACTORS[dims][:n], method="mode"))
        assert cells.dtype == np.uint32
    for n, levels in enumerate((image, *(image.prep.pyramid(FACTORS[dims])[f"scale{i}/image"] for i in (1, 2)))):
        for name, coord in levels.coords.items():
            np.testing.assert_array_equal(tree[f"scale{n}/image"][name], coord)
    assert list(tree["labels/cells"].children) == ["scale0", "scale1", "scale2"]


@pytest.mark.parametrize(("version", "layout"), [("0.4", "dual"), ("0.5", "dual"), ("0.6", "dual")])
def test_plain_xarray_opens_the_dual_layout(tmp_path: Path, version: str, layout: str) -> None:
    image = image_of("cyx")
    assert (image == 0).any(), "zeros, which xarray must not take for missing"
    image.prep.to_ome_zarr(tmp_path / "out.zarr", version=version, scale_factors=(2,), labels={"cells": labels_of(image)})
    tree = xr.open_datatree(tmp_path / "out.zarr", engine="zarr", chunks={})
    for n, level in enumerate((image, image.prep.pyramid((2,))["scale1/image"])):
        found = tree[f"scale{n}/image"]
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, level)
        np.testing.assert_array_equal(found.x, level.x)
        assert found.c.values.tolist() == ["DAPI", "CD3", "ä/b"]
        assert tree[f"labels/cells/scale{n}/image"].dtype == np.uint32


class CountingStore(MemoryStore):
    """Counts how often each key is written."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.writes: Counter[str] = Counter()

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        self.writes[key] += 1
        await super().set(key, value, byte_range)


# dask/dask#12583, zarr-python#3682 and #3514: two tasks write parts of one shard, and one of them loses.
@pytest.mark.parametrize(
    "blocks",
    [
        {"y": 7, "x": 11},
        {"y": 32, "x": 32},
        {"y": 43, "x": 48},
        {"c": 1, "y": (3, 30, 10), "x": (40, 1, 12)},
        {"y": 43, "x": 1},
    ],
)
@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_every_shard_is_written_once_and_whole(blocks: dict[str, Any], method: str) -> None:
    image, store = image_of("cyx"), CountingStore()
    image.chunk(blocks).prep.to_ome_zarr(
        store, chunks={"c": 1, "y": 8, "x": 8}, shards={"c": 2, "y": 16, "x": 32}, scale_factors=(2, 3), method=method
    )
    chunks = {key: count for key, count in store.writes.items() if "/c/" in key and "image" in key}
    # 43 × 53, 22 × 27 and 8 × 9 in shards of 2 channels, 16 × 32.
    assert len(chunks) == 2 * (3 * 2 + 2 * 1 + 1)
    assert set(chunks.values()) == {1}
    levels = image.prep.pyramid((2, 3), method=method)
    for n in range(3):
        np.testing.assert_array_equal(xprep.open_image(store, level=n), levels[f"scale{n}/image"])


def test_a_crop_of_a_sharded_store_is_written_whole(tmp_path: Path) -> None:
    """xarray#10831, spatialdata#581: irregular chunks after a crop, and encodings that no longer fit."""
    image = image_of("cyx")
    image.prep.to_ome_zarr(tmp_path / "in.zarr", chunks={"y": 16, "x": 16}, shards={"y": 32, "x": 32}, scale_factors=(2,))
    crop = xprep.open_image(tmp_path / "in.zarr").isel(y=slice(5, 40), x=slice(9, 50), c=[2, 0])
    crop.prep.to_ome_zarr(tmp_path / "out.zarr", shards={"y": 32, "x": 32}, chunks={"y": 16, "x": 16}, scale_factors=(2,))
    out = xprep.open_tree(tmp_path / "out.zarr")
    wanted = image.isel(y=slice(5, 40), x=slice(9, 50), c=[2, 0])
    np.testing.assert_array_equal(out["scale0/image"], wanted)
    np.testing.assert_array_equal(out["scale1/image"], dense.pyramid(wanted, (2,)))
    np.testing.assert_array_equal(out["scale0/image"].x, wanted.x)
    assert out["scale0/image"].c.values.tolist() == ["ä/b", "DAPI"]


@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_the_source_is_read_once_for_all_levels(tmp_path: Path, method: str) -> None:
    image, source = counted(image_of("cyx"), {"c": 1, "y": 8, "x": 8})
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2, 2), method=method, chunks={"y": 16, "x": 16})
    assert source.reads_per_chunk == 1
    assert metadata_of(tmp_path / "a.zarr")["multiscales"][0]["type"] == method


@pytest.mark.parametrize("operation", ["rescale", "gaussian_filter", "to_isotropic", "subtract_background"])
@pytest.mark.parametrize("shape", [(131, 150), (256, 192)])
def test_levels_of_what_is_worked_out_tile_by_tile(tmp_path: Path, operation: str, shape: tuple[int, int]) -> None:
    """Tiles are made in the order of their pace, not in that of their places: levels are joined by place."""
    blobs = xprep.datasets.blobs(channels=2, shape=shape).assign_coords(y=np.arange(shape[0]) * 0.5, x=np.arange(shape[1]) * 0.25)
    blobs.prep.to_ome_zarr(tmp_path / "in.zarr", scale_factors=(), chunks={"y": 64, "x": 64})
    parameters: dict[str, Any] = {"rescale": {"factors": {"y": 2}}, "gaussian_filter": {"sigma": 1}}.get(operation, {})
    result = getattr(xprep.open_image(tmp_path / "in.zarr").prep, operation)(**parameters)
    with xprep.set_options(tile_bytes=2 * 64 * 64 * 4):
        result.prep.to_ome_zarr(tmp_path / "out.zarr", scale_factors=(2, 2))
    want = result.compute().prep.pyramid((2, 2))
    for level in range(3):
        got = xprep.open_image(tmp_path / "out.zarr", level=level)
        np.testing.assert_array_equal(got.values, next(iter(want[f"scale{level}"].data_vars.values())).values)


@pytest.mark.parametrize("tile_bytes", [1, 2**12])
def test_a_gaussian_pyramid_does_not_show_its_tiles(tmp_path: Path, tile_bytes: int) -> None:
    image, factors = image_of("cyx").astype("float32"), ({"y": 4, "x": 2}, 3)
    with xprep.set_options(tile_bytes=tile_bytes):
        report = image.chunk({"y": 9}).prep.to_ome_zarr(
            tmp_path / "a.zarr", scale_factors=factors, method="gaussian", chunks={"y": 5, "x": 7}
        )
    levels = image.prep.pyramid(factors, method="gaussian")
    for n in range(3):
        np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr", level=n), levels[f"scale{n}/image"])
    assert report.nbytes == sum(level["image"].nbytes for level in levels.children.values())


def test_a_gaussian_pyramid_from_a_cluster(tmp_path: Path, on_cluster: Any) -> None:
    image = image_of("cyx")
    lazy = image.chunk({"y": 16})
    for _ in range(2):  # equal tasks, whose results a cluster may still have
        lazy.prep.to_ome_zarr(tmp_path / "a.zarr", method="gaussian", scale_factors=(2, 2), overwrite=True)
        level = xprep.open_image(tmp_path / "a.zarr", level=2).compute(scheduler="threads")
        np.testing.assert_array_equal(level, image.prep.pyramid((2, 2), method="gaussian")["scale2/image"])


class StopError(RuntimeError):
    pass


class Stopper:
    """Interrupts a run after some tasks."""

    def __init__(self, after: int) -> None:
        self.left = after

    def started(self, stage: str, total: int) -> None:
        assert total > self.left, "it would finish"

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.left -= steps
        if self.left <= 0:
            raise StopError

    def finished(self, stage: str) -> None: ...


@pytest.mark.parametrize("after", [3, 14, 19])
def test_a_gaussian_pyramid_is_resumed(tmp_path: Path, after: int) -> None:
    image_of("cyx").prep.to_ome_zarr(tmp_path / "in.zarr", scale_factors=())
    image, how = (
        xprep.open_image(tmp_path / "in.zarr"),
        {"method": "gaussian", "chunks": {"y": 16, "x": 16}, "scale_factors": (2, 2)},
    )
    with xprep.set_options(tile_bytes=2048):
        image.prep.to_ome_zarr(tmp_path / "whole.zarr", **how)
        with pytest.raises(StopError):
            image.prep.to_ome_zarr(tmp_path / "broken.zarr", progress=Stopper(after), **how)
        written = objects(tmp_path / "broken.zarr")
        image.prep.to_ome_zarr(tmp_path / "broken.zarr", resume=True, **how)
    assert len(written) < len(objects(tmp_path / "whole.zarr"))
    assert objects(tmp_path / "whole.zarr") == objects(tmp_path / "broken.zarr")


def metadata_of(url: Path, path: str = "") -> dict[str, Any]:
    attributes = json.loads((url / path / "zarr.json").read_text())["attributes"]
    found: dict[str, Any] = attributes["ome"]
    return found


def test_labels_say_what_they_are_and_keep_their_colours(tmp_path: Path) -> None:
    image = image_of("cyx")
    shown = {"colors": [{"label-value": 3, "rgba": [255, 0, 0, 128]}], "properties": [{"label-value": 3, "area": 5.5}]}
    cells = labels_of(image).assign_attrs({"image-label": shown})
    image.prep.to_ome_zarr(tmp_path / "a.zarr", labels={"cells": cells}, scale_factors=(2,))
    written = metadata_of(tmp_path / "a.zarr", "labels/cells")
    assert written["image-label"] == {"source": {"image": "../../"}, **shown}
    assert len(written["multiscales"][0]["datasets"]) == 2
    assert written["multiscales"][0]["type"] == "mode"
    opened = xprep.open_image(tmp_path / "a.zarr", label="cells")
    assert opened.attrs["image-label"] == shown
    image.prep.to_ome_zarr(tmp_path / "b.zarr", labels={"again": opened}, scale_factors=(2,))
    assert metadata_of(tmp_path / "b.zarr", "labels/again")["image-label"]["colors"] == shown["colors"]


def test_colours_and_windows_are_kept_until_pixels_change(tmp_path: Path) -> None:
    window = {"min": 0.0, "max": 65535.0, "start": 10.0, "end": 900.0}
    channels = [
        {"label": "CD3", "color": "12AB34", "active": False, "window": window},
        {"label": "DAPI", "color": "0000FF", "active": True},
    ]
    image = image_of("cyx").assign_attrs(omero={"channels": channels})
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2,))
    first = {one["label"]: one for one in metadata_of(tmp_path / "a.zarr")["omero"]["channels"]}
    assert list(first) == ["DAPI", "CD3", "ä/b"]
    assert (first["CD3"]["color"], first["CD3"]["window"], first["CD3"]["active"]) == ("12AB34", window, False)
    assert first["DAPI"]["color"] == "0000FF"
    assert first["DAPI"]["window"]["min"] == float(image.sel(c="DAPI").min())
    assert first["ä/b"]["color"] == "FFFF00"

    opened = xprep.open_image(tmp_path / "a.zarr", level=1).isel(c=[1])
    assert {one["label"]: one["color"] for one in opened.attrs["omero"]["channels"]}["CD3"] == "12AB34"
    opened.prep.to_ome_zarr(tmp_path / "b.zarr", scale_factors=())
    assert metadata_of(tmp_path / "b.zarr")["omero"]["channels"] == [first["CD3"]]
    opened.isel(c=0).prep.to_ome_zarr(tmp_path / "one.zarr", scale_factors=())
    assert metadata_of(tmp_path / "one.zarr")["omero"]["channels"][0]["label"] == "CD3"

    blurred = opened.prep.gaussian_filter(1)
    blurred.prep.to_ome_zarr(tmp_path / "c.zarr", scale_factors=())
    (after,) = metadata_of(tmp_path / "c.zarr")["omero"]["channels"]
    assert (after["color"], after["active"]) == ("12AB34", False)
    assert after["window"]["max"] == float(blurred.max()) != 65535, "limits of other values would be wrong"
    assert "omero" not in json.loads((tmp_path / "c.zarr/scale0/image/zarr.json").read_text())["attributes"]


def test_one_plane_keeps_its_voxel_size(tmp_path: Path) -> None:
    image = image_of("tczyx").isel(z=[2], t=[1])
    image.z.attrs["spacing"] = 1.5
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2,))
    again = xprep.open_image(tmp_path / "a.zarr")
    again.prep.to_ome_zarr(tmp_path / "b.zarr", layout="flat", scale_factors=(2,))
    steps = metadata_of(tmp_path / "b.zarr")["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert steps[0]["scale"] == [1.0, 1.0, 1.5, 0.25, 0.5]
    assert steps[1]["translation"] == [5.0, 0.0, 6.0, 3.0, 3.0]
    assert xprep.open_image(tmp_path / "b.zarr").z.attrs["spacing"] == 1.5


@pytest.mark.parametrize(
    ("level", "wanted"),
    [
        (0, 0), (-1, 3), (np.int64(2), 2), ({"x": 0.5}, 0), ({"x": 0.9}, 0), ({"x": 1.0}, 1), ({"x": 3.9}, 2), ({"x": 1e9}, 3),
        ({"y": 0.1}, 0), ({"x": 2, "y": 0.5}, 1), ({"x": "2000 nm"}, 2), ({"x": "0.1 nm"}, 0), ({"y": "1 um"}, 2),
    ],
)  # fmt: skip
def test_a_level_by_its_number_or_by_the_pixel_size_wanted(tmp_path: Path, level: Any, wanted: int) -> None:
    image = image_of("yx")
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2, 2, 2))
    assert xprep.open_image(tmp_path / "a.zarr", level=level).shape == image.prep.pyramid((2, 2, 2))[f"scale{wanted}/image"].shape


@pytest.mark.parametrize(
    "level", [4, -5, 1.0, "0", True, {}, {"c": 1}, {"x": 0}, {"x": -1}, {"x": "2 furlong"}, {"x": float("nan")}]
)
def test_levels_that_are_none(tmp_path: Path, level: Any) -> None:
    image_of("yx").prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2, 2, 2))
    with pytest.raises(ValueError, match="level"):
        xprep.open_image(tmp_path / "a.zarr", level=level)


@pytest.mark.parametrize("method", ["mean", "max", "gaussian"])
def test_a_lazy_pyramid_is_written_with_its_levels_and_its_source_read_once(tmp_path: Path, method: str) -> None:
    image, source = counted(image_of("cyx"), {"c": 1, "y": 8, "x": 8})
    tree = image.prep.pyramid((2, {"y": 3}), method=method)
    report = tree.prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 16, "x": 16})
    assert source.reads_per_chunk == 1
    assert report.shapes == ((3, 43, 53), (3, 22, 27), (3, 8, 27))
    image_of("cyx").prep.to_ome_zarr(tmp_path / "b.zarr", scale_factors=(2, {"y": 3}), method=method, chunks={"y": 16, "x": 16})
    for n in range(3):
        np.testing.assert_array_equal(
            xprep.open_image(tmp_path / "a.zarr", level=n), xprep.open_image(tmp_path / "b.zarr", level=n)
        )
    assert metadata_of(tmp_path / "a.zarr")["multiscales"][0]["type"] == method
    assert xprep.open_image(tmp_path / "a.zarr").name == "slide"
    assert xprep.validate(tmp_path / "a.zarr").is_valid


def test_a_stored_pyramid_is_written_as_it_is(tmp_path: Path) -> None:
    image = image_of("cyx")
    image.prep.to_ome_zarr(
        tmp_path / "a.zarr", scale_factors=(2, 3), method="max", labels={"cells": labels_of(image)}, layout="flat"
    )
    tree = xprep.open_tree(tmp_path / "a.zarr")
    assert tree.attrs["method"] == "max"
    tree.prep.to_ome_zarr(tmp_path / "b.zarr", version="0.4", chunks={"y": 16, "x": 16})
    again = xprep.open_tree(tmp_path / "b.zarr")
    for n in range(3):
        for path in (f"scale{n}/image", f"labels/cells/scale{n}/image"):
            np.testing.assert_array_equal(again[path], tree[path])
            np.testing.assert_allclose(again[path].x, tree[path].x)
    assert again.attrs["method"] == "max"
    assert xprep.validate(tmp_path / "b.zarr").is_valid
    tree.prep.to_ome_zarr(tmp_path / "c.zarr", scale_factors=(4,))
    assert xprep.open_image(tmp_path / "c.zarr", level=1).shape == (3, 11, 14)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_plain_xarray_opened_goes_in(tmp_path: Path, version: str) -> None:
    image = image_of("tczyx")
    how: dict[str, Any] = {"scale_factors": (2, 2), "labels": {"cells": labels_of(image)}, "version": version}
    image.prep.to_ome_zarr(tmp_path / "a.zarr", **how)
    tree = xr.open_datatree(tmp_path / "a.zarr", engine="zarr", chunks={})
    np.testing.assert_array_equal(tree["scale0/image"].prep.project("z"), image.max("z"))
    tree.prep.to_ome_zarr(tmp_path / "b.zarr")
    again, first = xprep.open_tree(tmp_path / "b.zarr"), xprep.open_tree(tmp_path / "a.zarr")
    for path in [f"{where}scale{n}/image" for where in ("", "labels/cells/") for n in range(3)]:
        np.testing.assert_array_equal(again[path], first[path])
        for dim in first[path].coords:
            np.testing.assert_array_equal(again[path][dim], first[path][dim])
            assert again[path][dim].attrs == first[path][dim].attrs


def test_levels_of_others_are_kept_to_the_pixel(tmp_path: Path) -> None:
    """Levels that drop what does not fill a block, as xarray's coarsen does."""
    image = image_of("yx").astype("float32")
    small = image.coarsen(y=2, x=2, boundary="trim").mean()
    tree = xr.DataTree.from_dict({"scale0": image.to_dataset(name="image"), "scale1": small.to_dataset(name="image")})
    tree.prep.to_ome_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr", level=1), small)
    np.testing.assert_allclose(xprep.open_image(tmp_path / "a.zarr", level=1).x, small.x)


def test_levels_lie_where_they_say(tmp_path: Path) -> None:
    """Resized to a floored size, as ome-zarr does: a pixel of the next level is 53 / 26 pixels wide, not 2."""
    image = image_of("yx")
    width = 53 / 26 * 0.5
    x = 3 - 0.25 + width * (np.arange(26) + 0.5)
    small = image[::2, :52:2].assign_coords(x=("x", x, image.x.attrs))
    bare = image[::4, ::4].drop_vars(["y", "x"])[:10, :12]
    tree = xr.DataTree.from_dict({f"scale{n}": one.to_dataset(name="image") for n, one in enumerate([image, small, bare])})
    tree.prep.to_ome_zarr(tmp_path / "a.zarr", layout="flat")
    first, second, third = metadata_of(tmp_path / "a.zarr")["multiscales"][0]["datasets"]
    assert first["coordinateTransformations"][0]["scale"] == [0.25, 0.5]
    assert second["coordinateTransformations"][0]["scale"] == pytest.approx([0.5, width])
    assert second["coordinateTransformations"][1]["translation"] == pytest.approx([3.0, x[0]])
    assert third["coordinateTransformations"][0]["scale"] == [1.0, 2.0]
    np.testing.assert_allclose(xprep.open_image(tmp_path / "a.zarr", level=1).x, x)


def test_an_eager_pyramid_is_written(tmp_path: Path) -> None:
    tree = image_of("zyx").prep.pyramid((2, {"z": 2, "x": 2}), method="max")
    tree.prep.to_ome_zarr(tmp_path / "a.zarr", version="0.6")
    again = xprep.open_tree(tmp_path / "a.zarr")
    for n in range(3):
        np.testing.assert_array_equal(again[f"scale{n}/image"], tree[f"scale{n}/image"])
        np.testing.assert_allclose(again[f"scale{n}/image"].z, tree[f"scale{n}/image"].z)


def test_levels_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    image = image_of("yx")
    tree = image.prep.pyramid((2,))
    fine, coarse = (tree[f"scale{n}"].to_dataset() for n in range(2))
    elsewhere = coarse.assign_coords(x=coarse.x - 3)
    for first, second, text in (
        (fine, coarse.astype("uint8"), "differ in size only"),
        (coarse, fine, "longer than the level before along 'y': 43 and 22"),
        (fine, elsewhere, r"reaches from -0\.25 to 26\.75 along 'x', the level before from 2\.75 to 29\.25"),
        (fine, coarse.assign_coords(y=coarse.y**2), "not evenly spaced"),
        (fine, coarse.isel(y=slice(0, 0)), "level 1 has no pixels"),
        (fine.drop_vars(["y", "x"]), coarse.drop_vars(["y", "x"]).isel(y=slice(0, 0)), "level 1 has no pixels"),
    ):
        with pytest.raises(ValueError, match=text):
            xr.DataTree.from_dict({"scale0": first, "scale1": second}).prep.to_ome_zarr(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="resume=True: levels that are given"):
        tree.prep.to_ome_zarr(tmp_path / "a.zarr", resume=True)
    assert list(tmp_path.iterdir()) == []


def test_no_level_and_no_label_may_come_from_the_store_that_is_written(tmp_path: Path) -> None:
    image = image_of("yx")
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2,), labels={"cells": labels_of(image)})
    stored = xprep.open_tree(tmp_path / "a.zarr")
    stored["scale0"] = image.to_dataset(name="image")
    with pytest.raises(ValueError, match="lie in each other"):
        stored.prep.to_ome_zarr(tmp_path / "a.zarr", overwrite=True)
    with pytest.raises(ValueError, match="lie in each other"):
        image.prep.to_ome_zarr(
            tmp_path / "a.zarr", overwrite=True, labels={"cells": xprep.open_image(tmp_path / "a.zarr", label="cells")}
        )
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr"), image)
