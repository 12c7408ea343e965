"""What is one image, and what labels: every operation over every kind of container, compared with the image alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.containers import KINDS, STEPS, Kind, cells_of, levels_of, listed, tree_of, without_places
from tests.helpers.sources import counted
from tests.laws import dense
from tests.laws.operations import OPERATIONS, Operation, assert_matches, assert_same_bits, variables
from xprep.dims.containers.apply import find_images
from xprep.dims.containers.contents import contents_of

SPACE = {"y", "x"}
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
every_operation = pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.name != "pyramid"], ids=str)


def image_of(dims: str = "cyx", dtype: str = "uint16", seed: int = 3) -> xr.DataArray:
    sizes = {"t": 2, "c": 3, "z": 4, "y": 43, "x": 53}
    pixels = np.random.default_rng(seed).lognormal(5, 1, [sizes[dim] for dim in dims]).clip(0, 60000).astype(dtype)
    coords = {dim: (dim, 0.25 + 0.5 * np.arange(sizes[dim]), {"units": "micrometer"}) for dim in dims if dim in "zyx"}
    return xr.DataArray(pixels, coords | ({"c": ["a", "b", "d"]} if "c" in dims else {}), tuple(dims), name="image")


def found_at(container: Any, path: str) -> Any:
    """Return a node or a variable, None where there is none."""
    try:
        return container[path]
    except KeyError:
        return None


def node_of(container: Any, path: str) -> xr.Dataset:
    return container[path].to_dataset() if path else container


def result_at(operation: Operation, result: Any, path: str, name: str) -> Any:
    """Return what became of the image that stood at ``path``, as the operation gives it of an image alone; None if nothing."""
    if operation.name in ("background", "roi_features"):
        path = f"{path}/{name}".strip("/")
        if isinstance(result, xr.Dataset):  # `tests.laws.operations` makes a Dataset of backgrounds
            return result[name]
        node = found_at(result, path)
        found = None if node is None else node.to_dataset()
        return found["background"].rename(name) if found and operation.name == "background" else found
    if path and found_at(result, path) is None:
        return None
    return node_of(result, path).get(name)


@every_operation
@every_kind
def test_every_operation_in_every_container(kind: Kind, operation: Operation) -> None:
    container = kind.build(image_of().chunk({"c": 1, "y": 20, "x": 20}))
    first = node_of(container, kind.images[0][0])["image"]
    if operation.name == "to_isotropic" and "y" not in first.coords:
        with pytest.raises(ValueError, match="needs the voxel size"):
            operation.call(container, **operation.example)
        return
    result, alone = (operation.call(one, **operation.example) for one in (container, first))
    shrunk = {dim for one in variables(alone).values() for dim in one.dims} & SPACE
    if len(kind.images[0]) > 1 and shrunk:
        steps = [{dim: step[dim] for dim in shrunk} for step in STEPS]
        pyramid = alone.prep.pyramid(steps, method=kind.method) if shrunk == SPACE else None
    for paths in kind.images:
        found = [result_at(operation, result, path, "image") for path in paths]
        assert_same_bits(found[0], alone)
        if not shrunk or len(paths) == 1:
            assert found[1:] == [None] * (len(paths) - 1), "statistics and tables are those of level 0"
            continue
        for n, level in enumerate(found[1:], 1):
            want = pyramid[f"scale{n}/image"] if pyramid is not None else dense.pyramid(alone, steps[:n], method=kind.method)
            assert_matches(level, want, 0 if pyramid is not None else 1e-12)
            if pyramid is not None:
                xr.testing.assert_allclose(level.coords.to_dataset(), want.coords.to_dataset())
    check_labels(kind, operation, container, result)


def check_labels(kind: Kind, operation: Operation, before: Any, result: Any) -> None:
    """What is left of labels fits the image, and has no value that never was."""
    for path in kind.labels if operation.name not in TABLES else ():
        if found_at(result, path) is None:
            # A plane that was projected has no labels; and beside the table of level 0 there are no coarser levels.
            assert operation.name == "project" or (operation.name in ("traces", "centered") and "scale0" not in path), path
            continue
        labels, old = result[path], before[path]
        assert labels.dtype == old.dtype
        assert set(np.unique(labels)) <= set(np.unique(old)) == {0, 7, 70_000}
        if operation.name not in ("rescale", "to_isotropic"):
            xr.testing.assert_equal(labels.variable.compute(), old.variable.compute())
        elif "labels" not in path:
            image = result[path.rpartition("/")[0]]["image"] if "/" in path else result["image"]
            assert {dim: image.sizes[dim] for dim in labels.dims} == dict(labels.sizes)
            xr.testing.assert_equal(labels.x, image.x)


TABLES = ("quantile", "background", "roi_features")  # a tree of results: labels are none


@every_kind
def test_a_pyramid_of_every_container_is_made_of_level_0(kind: Kind) -> None:
    container = kind.build(image_of().chunk({"c": 1, "y": 20, "x": 20}))
    first = node_of(container, kind.images[0][0])["image"]
    found, alone = (one.prep.pyramid((3, 2), method="gaussian") for one in (container, first))
    levels = [image.levels for image in find_images(found)]
    assert len(levels) == len(kind.images)
    for one in levels:
        assert len(one) == 3
        for n, level in enumerate(one):
            assert_same_bits(level.array, alone[f"scale{n}/image"])
    labels = [one.levels for one in contents_of(found).labels]
    assert len(labels) == bool(kind.labels)
    for one in labels:
        assert [set(np.unique(level.array)) <= {0, 7, 70_000} for level in one] == [True] * 3


@every_kind
def test_every_container_is_written_as_its_images(kind: Kind, tmp_path: Path) -> None:
    """Level 0 is the image's own result to the bit, its levels are accepted, and its labels are with it."""
    source, reads = counted(image_of(), {"c": 1, "y": 20, "x": 20})
    container = kind.build(source)
    first = node_of(container, kind.images[0][0])["image"]
    alone = first.prep.gaussian_filter(1)
    out = container.prep.gaussian_filter(1).prep
    assert reads.total == 0
    out.to_ome_zarr(tmp_path / "out.zarr", chunks={"y": 32, "x": 32})
    once = len(kind.images)
    # Fields of one source may share a read.
    assert 1 <= reads.reads_per_chunk <= once, "levels are made while level 0 is written"
    urls = [tmp_path / "out.zarr"] if once == 1 else [tmp_path / "out.zarr" / path for path in written_paths(kind)]
    for url in urls:
        np.testing.assert_array_equal(xprep.open_image(url), alone)
        report = xprep.validate(url, samples=3)
        assert report.is_valid, report
        if kind.labels:
            assert set(np.unique(xprep.open_image(url, label="cells"))) == {0, 7, 70_000}
    levels = len(kind.images[0])
    if levels > 1:
        tree = xprep.open_tree(urls[0])
        pyramid = alone.prep.pyramid(STEPS, method=kind.method)
        assert tree.attrs["method"] == kind.method
        for n in range(levels):
            np.testing.assert_array_equal(tree[f"scale{n}/image"], pyramid[f"scale{n}/image"])


def written_paths(kind: Kind) -> list[str]:
    return [f"{paths[0].removesuffix('scale0').strip('/')}/image" for paths in kind.images]


# Which siblings are levels


def two(first: xr.DataArray, second: xr.DataArray, names: Sequence[str] = ("scale0", "scale1"), **attrs: Any) -> xr.DataTree:
    return tree_of([first, second], names, **attrs)


IMAGE = image_of()
FINE, COARSE, _ = levels_of(IMAGE)
APART = IMAGE.assign_coords(x=IMAGE.x + 30)
ARE_LEVELS: dict[str, tuple[Callable[[], xr.DataTree], int]] = {
    "scale0 and scale1 of one extent": (lambda: two(FINE, COARSE), 1),
    "shifted by less than a coarse voxel": (lambda: two(FINE, COARSE.assign_coords(x=COARSE.x - 0.9)), 1),
    "downwards": (lambda: two(FINE[:, ::-1], COARSE[:, ::-1]), 1),
    "without coordinates": (lambda: two(*without_places([FINE, COARSE])), 1),
    "scale1 and scale2": (lambda: two(FINE, COARSE, ("scale1", "scale2")), 1),
    "only one": (lambda: tree_of([FINE], ["scale0"]), 1),
    "0 and 1 with metadata": (lambda: two(FINE, COARSE, ("0", "1"), multiscales=listed("0", "1")), 1),
    "paths of variables": (lambda: two(FINE, COARSE, ("0", "1"), ome={"multiscales": listed("0/image", "1/image")}), 1),
    "metadata and a level that is gone": (lambda: two(FINE, COARSE, ("0", "1"), multiscales=listed("0", "1", "2")), 1),
    "metadata of one extent that is not told": (
        lambda: two(FINE, COARSE.assign_coords(x=COARSE.x * 100), multiscales=listed("scale0", "scale1")),
        1,
    ),
    "other names": (lambda: two(FINE, COARSE, ("fine", "coarse")), 2),
    "0 and 1 without metadata": (lambda: two(FINE, COARSE, ("0", "1")), 2),
    "another extent": (lambda: two(FINE, APART), 2),
    "shifted by two coarse voxels": (lambda: two(FINE, COARSE.assign_coords(x=COARSE.x + 2.0)), 2),
    "a crop": (lambda: two(FINE, FINE[:, :20]), 2),
    "the same size": (lambda: two(FINE, FINE + 1), 2),
    "coarse before fine": (lambda: two(COARSE, FINE), 2),
    "other sizes without coordinates": (lambda: two(*without_places([FINE, FINE[:, :20]])), 2),
    "metadata that name nothing": (lambda: two(FINE, APART, multiscales=[{"datasets": [{"path": "x"}, 3]}, "y", {}]), 2),
    "metadata of another kind": (lambda: two(FINE, APART, multiscales="none"), 2),
}


@pytest.mark.parametrize("row", ARE_LEVELS.values(), ids=ARE_LEVELS)
def test_which_siblings_are_levels(row: tuple[Callable[[], xr.DataTree], int]) -> None:
    build, count = row
    assert len(find_images(build())) == count
    nested = xr.DataTree.from_dict({"/plate": xr.Dataset(), "/other/site": IMAGE.to_dataset(name="image")})
    nested["plate/well"] = build()
    assert len(find_images(nested)) == count + 1
    assert len(find_images(nested["plate/well"])) == count, "a node is a container too"


def test_a_crop_that_leaves_a_level_without_pixels() -> None:
    """Levels are made anew: what is there shows enough."""
    for levels in ([FINE, COARSE], [one.drop_vars(["y", "x"]) for one in (FINE, COARSE)]):
        cropped = two(levels[0][:, :1, :5], levels[1][:, :0, :2])
        made = cropped.prep.gaussian_filter(1)
        assert_same_bits(made["scale0/image"], levels[0][:, :1, :5].prep.gaussian_filter(1))
        assert made["scale1/image"].sizes["y"] == 1


NO_LEVELS = {
    "channels": (FINE, COARSE[:2], r"level 1 has 2 positions along 'c', and the level before 3"),
    "dims": (FINE, COARSE[0], r"level 1 has the dims \('y', 'x'\), the level before \('c', 'y', 'x'\)"),
    "one and a half": (
        FINE,
        FINE.prep.rescale({"y": 2 / 3, "x": 2 / 3}).astype("uint16"),
        r"no whole number of times fewer",
    ),
}


@pytest.mark.parametrize("row", NO_LEVELS.values(), ids=NO_LEVELS)
def test_levels_that_cannot_be_made_anew_are_refused(row: tuple[xr.DataArray, xr.DataArray, str]) -> None:
    fine, coarse, text = row
    tree = two(fine, coarse)
    with pytest.raises(ValueError, match=text):
        tree.prep.gaussian_filter(1)
    assert_same_bits(tree.prep.quantile(0.5)["scale0/image"], fine.prep.quantile(0.5))


def test_levels_in_time_and_depth() -> None:
    movie = image_of("tcyx")
    tree = movie.prep.pyramid(({"t": 2, "y": 2, "x": 2},), method="mean")
    found = tree.prep.gaussian_filter(1)
    want = movie.prep.gaussian_filter(1).prep.pyramid(({"t": 2, "y": 2, "x": 2},))
    assert_same_bits(found["scale1/image"], want["scale1/image"])
    dated = movie.assign_coords(t=np.array(["2026-01-01", "2026-01-02"], "M8[ns]")).prep.pyramid(({"t": 2, "y": 2, "x": 2},))
    assert_same_bits(dated.prep.gaussian_filter(1)["scale1/image"], want["scale1/image"])
    stack = image_of("czyx")
    tree = stack.prep.pyramid(({"z": 2, "y": 2, "x": 2}, {"y": 2, "x": 2}))
    assert_same_bits(tree.prep.project("z")["scale2/image"], stack.prep.project("z").prep.pyramid((2, 2))["scale2/image"])
    side = tree.prep.project("y")["scale2/image"]
    assert dict(side.sizes) == {"c": 3, "z": 2, "x": 14}


def test_labels_of_projected_dims_are_left_out() -> None:
    stack = image_of("czyx")
    cells = cells_of(stack).expand_dims(z=stack.z)
    tree = stack.prep.pyramid((2,))
    tree["labels/cells"] = cells.prep.pyramid((2,), method="mode")
    assert set(tree.prep.project("z").children) == {"scale0", "scale1"}
    assert set(tree.prep.gaussian_filter(1).children) == {"scale0", "scale1", "labels"}
    both = xr.Dataset({"image": stack, "cells": cells, "flat": cells[0], "table": ("row", [1])})
    assert list(both.prep.project("z").data_vars) == ["image", "flat", "table"]


def test_what_metadata_say_of_levels_stays_true() -> None:
    tree = KINDS[3].build(image_of())
    scales = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
    for entry in tree.attrs["ome"]["multiscales"][0]["datasets"]:
        entry["coordinateTransformations"] = scales
    kept = tree.prep.gaussian_filter(1).attrs["ome"]["multiscales"][0]
    assert kept["datasets"][1]["coordinateTransformations"] == scales
    moved = tree.prep.rescale({"x": 0.5}).attrs["ome"]["multiscales"][0]
    assert moved == {"datasets": [{"path": f"scale{n}/image"} for n in range(3)], "type": "nearest"}


def test_the_transform_of_a_level_is_its_own() -> None:
    even = image_of().isel(y=slice(40), x=slice(48)).drop_vars(["y", "x"])
    levels = [
        even[:, :: 2**n, :: 2**n].assign_attrs(transform={"global": f"level {n}"}).rename("image") for n in range(3)
    ]
    found = tree_of(levels).prep.gaussian_filter(1)
    assert [found[f"scale{n}/image"].attrs["transform"]["global"] for n in range(3)] == ["level 0", "level 1", "level 2"]
    assert "transform" not in tree_of(levels).prep.rescale({"x": 0.5})["scale1/image"].attrs
    assert "transform" not in levels[0].prep.pyramid((2,))["scale1/image"].attrs


def test_pictures_and_plans_of_levels() -> None:
    pytest.importorskip("matplotlib")
    image = image_of("yx").chunk({"y": 20})
    tree = image.prep.pyramid((2, 2))
    assert tree.prep.gaussian_filter(1).prep.plan().bytes_read == image.prep.gaussian_filter(1).prep.plan().bytes_read
    assert "in 3 levels" in repr(tree.prep)
    assert len(tree.prep.gaussian_filter(1).prep.plot_channels().axes[0].images) == 1
    with pytest.raises(ValueError, match=r"draws one image, and there are 2 here: '/scale0 image', '/scale1 image'"):
        two(IMAGE, APART).prep.plot_channels()


def test_nodes_named_as_levels_that_are_none_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'scale0', 'scale1' of '/' are no levels of one image.*other names"):
        two(FINE, FINE + 1).prep.to_ome_zarr(tmp_path / "out.zarr")
    assert list(tmp_path.iterdir()) == []


# What a variable of a Dataset is


def beside(image: xr.DataArray, other: Any) -> list[tuple[str, Any]]:
    """A Dataset of two, and a DataTree with it at a node."""
    dataset = xr.Dataset({"image": image, "other": other})
    return [("", dataset), ("site", xr.DataTree.from_dict({"site": dataset}))]


PLANE = image_of("yx")
CELLS = cells_of(PLANE)
BESIDE: dict[str, tuple[xr.DataArray, xr.DataArray, str]] = {
    "labels that say so": (PLANE, CELLS, "labels"),
    "labels that say so, beside floats": (PLANE.astype("float32"), CELLS, "labels"),
    "labels of the image's own type": (PLANE, CELLS.astype("uint16"), "labels"),
    "labels with channels": (IMAGE, CELLS.expand_dims(c=IMAGE.c).transpose("c", "y", "x"), "labels"),
    "a mask": (PLANE, CELLS > 0, "labels"),
    "whole numbers beside channels": (IMAGE, CELLS.drop_attrs(), "labels"),
    "a table": (PLANE, xr.DataArray([1.5, 2.5], dims="row"), "labels"),
    "names of pixels": (PLANE, xr.DataArray(np.full((43, 53), "x"), dims=("y", "x")), "labels"),
    "whole numbers beside whole numbers": (PLANE, CELLS.drop_attrs(), "doubtful"),
    "whole numbers of the same type": (PLANE, PLANE + 1, "doubtful"),
    "whole numbers beside floats": (PLANE.astype("float32"), CELLS.drop_attrs(), "doubtful"),
    "a movie and its mask": (image_of("tyx"), CELLS.astype("uint8").drop_attrs(), "doubtful"),
    "floats beside floats": (PLANE.astype("float32"), PLANE + 0.5, "images"),
    "channels beside channels": (IMAGE, IMAGE + 1, "images"),
    "masks only": (PLANE > 100, CELLS > 0, "images"),
}
DONE: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "normalize": (lambda i: i.prep.normalize(sigma=1), True),
    "gaussian_filter": (lambda i: i.prep.gaussian_filter(1), True),
    "subtract_background": (lambda i: i.prep.subtract_background(3), True),
    "rescale": (lambda i: i.prep.rescale({"y": 0.7, "x": 0.7}), True),
    "rescale by order 0": (lambda i: i.prep.rescale({"y": 0.7, "x": 1.7}, order=0), False),
    "rescale to the same size": (lambda i: i.prep.rescale({"y": 0.7}, size="same", order=0), False),
    "to_isotropic": (lambda i: i.prep.to_isotropic(1.0, voxel_size={"y": 0.7, "x": 0.7}), True),
    "mean": (lambda i: i.prep.project("x", "mean"), True),
    "max": (lambda i: i.prep.project("x"), False),
    "mask": (lambda i: i.prep.mask(CELLS), True),
    "mask by 0": (lambda i: i.prep.mask(CELLS, outside=0), False),
    "traces": (lambda i: i.prep.traces(TABLE), True),
    "centered": (lambda i: i.prep.centered(TABLE, width=3), True),
    "quantile": (lambda i: i.prep.quantile(0.3), True),
}
TABLE = xprep.RoiTable.from_labels(CELLS.values)


@pytest.mark.parametrize("done", DONE, ids=str)
@pytest.mark.parametrize("row", BESIDE, ids=str)
@pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")
def test_what_lies_beside_an_image(row: str, done: str) -> None:
    image, other, what = BESIDE[row]
    operation, makes = DONE[done]
    turn = list(BESIDE).index(row) + list(DONE).index(done)  # every other pair in a tree: half the time
    path, container = beside(image, other)[turn % 2]
    if what == "doubtful" and makes:
        with pytest.raises(ValueError, match=r"may be labels: .*'other'.*attrs\['image-label'\] = \{\}"):
            operation(container)
        return
    found = node_of(operation(container), path)
    shared = done == "normalize" and what == "images"
    if not shared:
        assert_same_bits(found["image"], operation(image))
    if what != "labels" and not shared:
        assert_same_bits(found["other"], operation(other))
    if what == "labels" and "other" in found:
        check_beside(found, other)


def check_beside(found: xr.Dataset, before: xr.DataArray) -> None:
    after = found["other"]
    assert after.dtype == before.dtype
    assert set(np.unique(after)) <= set(np.unique(before))
    assert {dim: found.sizes[dim] for dim in after.dims} == dict(after.sizes)


def test_labels_alone_are_never_blended(tmp_path: Path) -> None:
    for labels in (xr.Dataset({"cells": CELLS}), xr.DataTree.from_dict({"labels/cells": xr.Dataset({"cells": CELLS})})):
        at = "" if isinstance(labels, xr.Dataset) else "labels/cells"
        assert set(np.unique(node_of(labels.prep.rescale({"y": 0.7, "x": 0.7}), at)["cells"])) == {0, 7, 70_000}
        with pytest.raises(ValueError, match=r"no image here: 'cells'.* are labels.*gaussian_filter makes new values"):
            labels.prep.gaussian_filter(1)
        labels.prep.to_ome_zarr(tmp_path / f"{at}.zarr", scale_factors=(2, 2))
        assert set(np.unique(xprep.open_image(tmp_path / f"{at}.zarr", level=2))) == {0, 7, 70_000}
        assert set(np.unique(labels.prep.pyramid((2,))[f"{at}/scale1/cells".strip("/")])) == {0, 7, 70_000}


def test_wide_whole_numbers_in_levels_are_not_blended() -> None:
    """Label elements of SpatialData do not say that they are labels."""
    tree = tree_of(levels_of(CELLS.drop_attrs(), "nearest"))
    found = tree.prep.rescale({"y": 0.7, "x": 0.7}, order=0)
    assert set(np.unique(found["scale2/image"])) <= {0, 7, 70_000}
    assert found.attrs["method"] == "mode"
    assert found["scale2/image"].dtype == np.uint32


def test_labels_of_a_store_say_that_they_are(tmp_path: Path) -> None:
    PLANE.prep.to_ome_zarr(tmp_path / "a.zarr", labels={"cells": CELLS.drop_attrs()})
    cells = xprep.open_image(tmp_path / "a.zarr", label="cells")
    both = xr.Dataset({"image": xprep.open_image(tmp_path / "a.zarr"), "cells": cells})
    np.testing.assert_array_equal(both.prep.gaussian_filter(1)["cells"], CELLS)
    both.prep.to_ome_zarr(tmp_path / "b.zarr")
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "b.zarr", label="cells"), CELLS)
    with pytest.raises(ValueError, match=r"to_ome_zarr.*may be labels"):
        xr.Dataset({"image": PLANE, "cells": CELLS.drop_attrs()}).prep.to_ome_zarr(tmp_path / "c.zarr")
    assert not (tmp_path / "c.zarr").exists()


def test_labels_below_lie_on_their_image() -> None:
    """Labels without coordinates are scaled by the voxels of their image."""
    tree = IMAGE.prep.pyramid((2,))
    tree["labels/cells"] = CELLS.drop_vars(["y", "x"]).prep.pyramid((2,), method="mode")
    found = tree.prep.to_isotropic("1 um")
    for n in range(2):
        image, cells = found[f"scale{n}/image"], found[f"labels/cells/scale{n}/image"]
        assert cells.shape == image.shape[1:]
        xr.testing.assert_allclose(cells.x.drop_vars("x"), image.x.drop_vars("x"))
    assert set(np.unique(found["labels/cells/scale1/image"])) <= {0, 7, 70_000}


# Fields of view of different shapes in one Dataset


def placed(size: int, at: int, dtype: str = "uint16") -> xr.DataArray:
    image = image_of()[:, :size, :size].astype(dtype)
    return image.assign_coords(y=at + np.arange(float(size)), x=at + np.arange(float(size)))


PADDED = {
    "smaller": ((40, 0), (30, 0), ["b"]),
    "elsewhere": ((30, 0), (30, 20), ["a", "b"]),
    "by one row": ((40, 0), (39, 0), ["b"]),
    "the same": ((40, 0), (40, 0), []),
}


@pytest.mark.parametrize("options", [{}, {"pool": "exact"}, {"p": None}])
@pytest.mark.parametrize("row", PADDED.values(), ids=PADDED)
def test_images_that_a_dataset_filled_up_are_named(row: Any, options: dict[str, Any], tmp_path: Path) -> None:
    first, second, named = row
    dataset = xr.Dataset({"a": placed(*first, "float32"), "b": placed(*second, "float32")}).chunk({"y": 11, "x": 17})
    for container in (dataset, xr.DataTree.from_dict({"site": dataset}))[: 1 + (not options)]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            container.prep.normalize(sigma=1, **options).compute()
        told = [str(one.message) for one in caught if one.category is xprep.PaddedImageWarning]
        assert len(told) == len(named)
        assert all(f"{name} are NaN throughout" in text and "DataTree" in text for name, text in zip(named, told, strict=True))
    if options:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reports = dataset.prep.normalize(sigma=1).prep.to_ome_zarr(tmp_path / "out")
    for report in reports.values():
        assert sum("DataTree" in note for note in report.notes) == len(named)


def test_looking_for_padding_reads_nothing_more() -> None:
    one, first = counted(placed(40, 0, "float32"), {"y": 10, "x": 10})
    two_, second = counted(placed(40, 0, "float32"), {"y": 10, "x": 10})
    how: dict[str, Any] = {"sigma": 1, "intermediates": "recompute"}
    xr.Dataset({"a": one, "b": two_}).prep.normalize(**how).compute()
    alone, source = counted(placed(40, 0, "float32"), {"y": 10, "x": 10})
    alone.prep.normalize(**how).compute()
    assert first.reads_per_chunk == second.reads_per_chunk == source.reads_per_chunk
