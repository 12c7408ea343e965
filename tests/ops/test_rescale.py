"""Rescaling: the reference's stored outputs, a dense oracle, and what must not show."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests import paths
from xprep.engine.blocks.scaling import AxisCut, Stretch, stretched_cuts
from xprep.kernels.positions import SNAP, Scale, linear_taps, scaled_size, smooth_taps
from xprep.ops.rescale import rescale, to_isotropic
from xprep.options import set_options

GOLDEN = paths.GOLDEN / "clesperanto"
CASES = [case for case in json.loads((GOLDEN / "index.json").read_text()) if case["function"] == "scale"]
SPACE = ("z", "y", "x")
# What is decided otherwise than in a package.
DEVIATIONS = {
    ("single_slice_z2", "out_prototype"): "C4: an axis of length 1 is copied, the prototype blends it with zeros",
    ("mirror_x", "out_prototype"): "C6: a negative factor is an error",
    ("mirror_x", "out_native"): "C6: a negative factor is an error",
}
# Rounding of sizes: the prototype rounds halves to even, we go up; what both have is compared.
SIZES = {"up_all_1p5", "halfsizes", "halfsizes2", "i16_negative", "f64"}


def dims_of(array):
    return SPACE[-array.ndim :]


def reference_options(args):
    return {
        "order": int(args["linear_interpolation"]),
        "boundary": "constant",
        "size": "round" if args["auto_size"] else "same",
        "origin": "center" if args["centered"] and not args["auto_size"] else "corner",
    }


@pytest.mark.parametrize("package", ["out_native", "out_prototype"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
@pytest.mark.parametrize("chunks", [None, 3], ids=["numpy", "chunks3"])
def test_golden(case, package, chunks):
    stored = np.load(GOLDEN / Path(case["file"]).name)
    image = xr.DataArray(stored["in_image"], dims=dims_of(stored["in_image"]))
    factors = {dim: case["args"][f"factor_{dim}"] for dim in image.dims}
    image = image if chunks is None else image.chunk(chunks)
    if case["case"] == "mirror_x":
        with pytest.raises(ValueError, match="finite number above 0"):
            rescale(image, factors)
        return
    found = rescale(image, factors, **reference_options(case["args"])).compute()
    wanted = stored[package]
    if (case["case"], package) in DEVIATIONS:
        np.testing.assert_array_equal(found, np.repeat(image.values, 2, axis=0))
        return
    if case["case"] in SIZES and package == "out_prototype":
        assert found.shape != wanted.shape or case["case"] == "up_all_1p5" or found.shape == stored["out_native"].shape
        found = found[tuple(slice(n) for n in wanted.shape)]
        wanted = wanted[tuple(slice(n) for n in found.shape)]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(stored["in_image"])), equal_nan=True)
    if package == "out_native" and image.dtype != np.float64:
        assert found.dtype == wanted.dtype


def dense(array, factors, order, cval, centered=False, sizes=None):
    """Scipy at the positions of voxels' centres, one axis of length 1 aside."""
    sizes = sizes or [max(1, int(np.floor(n * f + 0.5 + SNAP))) for n, f in zip(array.shape, factors, strict=True)]
    lines = []
    for n, m, f in zip(array.shape, sizes, factors, strict=True):
        u = (np.arange(m) + 0.5 - m / 2 * centered) / f + n / 2 * centered - 0.5
        lines.append(np.zeros(m) if n == 1 else np.where(abs(u - np.rint(u)) < SNAP, np.rint(u), u))
    if order == 0:
        lines = [np.floor(u + 0.5 + SNAP) for u in lines]
    if cval is None:
        return ndimage.map_coordinates(array, np.meshgrid(*lines, indexing="ij"), order=order, mode="nearest")
    padded = np.pad(array, 1, constant_values=cval)
    where = np.meshgrid(*(np.clip(u + 1, 0, n + 1) for u, n in zip(lines, array.shape, strict=True)), indexing="ij")
    return ndimage.map_coordinates(padded, where, order=order, mode="nearest")


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), f=st.floats(0.02, 3), cut=st.integers(0, 40))
def test_weights_do_not_know_where_a_block_was_cut(n, f, cut):
    scale = Scale(n, scaled_size(n, f, "round"), f)
    cut = min(cut, scale.size)
    for taps in (linear_taps, smooth_taps):
        whole = taps(scale, 0, scale.size, True)
        for part, region in (
            (taps(scale, 0, cut, True), slice(0, cut)),
            (taps(scale, cut, scale.size, True), slice(cut, None)),
        ):
            np.testing.assert_array_equal(part.index, whole.index[region])
            np.testing.assert_array_equal(part.weights, whole.weights[region])
        np.testing.assert_allclose(whole.weights.sum(axis=1), 1)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "u4", "i8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("order", [0, 1])
def test_dtypes(dtype, order):
    array = (np.random.default_rng(1).random((3, 6, 7)) * 5).astype(dtype)
    found = rescale(xr.DataArray(array, dims=SPACE), {"y": 1.5, "x": 0.5}, order=order)
    wanted = np.dtype(dtype) if order == 0 else np.dtype("f8") if dtype == "f8" else np.dtype("f4")
    assert found.dtype == wanted
    np.testing.assert_allclose(found.astype("f8"), dense(array.astype("f8"), (1, 1.5, 0.5), order, None), rtol=1e-6)


def test_large_labels_survive():
    labels = np.array([[2**53 + 1, 2**62 + 3], [7, 2**53 + 3]], dtype=np.int64)
    found = rescale(xr.DataArray(labels, dims=("y", "x")), {"y": 2, "x": 3}, order=0)
    np.testing.assert_array_equal(found, labels.repeat(2, 0).repeat(3, 1))


@pytest.mark.parametrize("dims", [("y", "x", "c"), ("c", "z", "y", "x"), ("x", "t", "y"), ("t", "y", "c", "x")])
def test_any_order_of_dims(dims):
    array = np.random.default_rng(2).random(tuple(range(4, 4 + len(dims))))
    image = xr.DataArray(array, dims=dims)
    found = rescale(image.chunk(2), {"y": 1.7, "x": 0.6})
    assert found.dims == dims
    wanted = dense(array, [{"y": 1.7, "x": 0.6}.get(dim, 1) for dim in dims], 1, None)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_nan_and_infinity_reach_only_what_is_made_of_them():
    line = np.array([[1, np.nan, 3, 4, np.inf, 6]], dtype="f4")
    image = xr.DataArray(line, dims=("y", "x"))
    np.testing.assert_array_equal(rescale(image, {"x": 1.0}), line)
    doubled = rescale(image, {"x": 2}).values[0]
    np.testing.assert_array_equal(np.isnan(doubled).nonzero()[0], [1, 2, 3, 4])
    np.testing.assert_array_equal(rescale(image, {"x": 1 / 3}).values, [[np.nan, np.inf]])


def test_samples_that_are_hit_are_hit_alone():
    """Rounding errors of (i + 1/2) / f must not call in a NaN from next door."""
    for every in (3, 5, 7, 9, 11, 49):
        line = np.full((1, every * 60), np.nan)
        line[0, every // 2 :: every] = np.arange(60)
        np.testing.assert_array_equal(rescale(xr.DataArray(line, dims=("y", "x")), {"x": 1 / every})[0], np.arange(60))


def test_enlarged_constant_is_constant_and_the_reference_darkens_its_rim():
    image = xr.DataArray(np.full((4, 5), 100, "u2"), dims=("y", "x"))
    np.testing.assert_allclose(rescale(image, {"y": 2.3, "x": 3.1}), 100, rtol=2e-7)
    rim = rescale(image, {"y": 2, "x": 2}, boundary="constant")
    assert float(rim[0, 0]) == 56.25
    assert float(rim[4, 5]) == 100


class Counting:
    """An array-like that tells which voxels were read."""

    def __init__(self, shape):
        self.shape, self.dtype, self.ndim = shape, np.dtype("u2"), len(shape)
        self.regions = []

    def __getitem__(self, index):
        self.regions.append(index)
        return np.ones([len(range(n)[s]) for n, s in zip(self.shape, index, strict=True)], self.dtype)


@pytest.mark.parametrize("f", [0.01, 0.3, 0.5, 1, 1.3, 100])
def test_an_output_chunk_reads_only_the_input_it_needs(f):
    source = Counting((2, 6400, 64))
    image = xr.DataArray(da.from_array(source, chunks=(1, 64, 64), asarray=False, meta=np.empty((0, 0, 0), "u2")), dims=SPACE)
    with set_options(tile_bytes=2**16):
        scaled = rescale(image, {"y": f})
    edges = np.cumsum([0, *scaled.data.chunks[1]])
    for i in (0, len(edges) // 2, len(edges) - 2):
        source.regions.clear()
        scaled.data.blocks[0, i].compute(scheduler="synchronous")
        positions = np.clip((np.arange(edges[i], edges[i + 1]) + 0.5) / f - 0.5, 0, 6399)
        needed = {int(k) // 64 for p in positions for k in (np.floor(p + SNAP), np.ceil(p - SNAP))}
        assert {region[1].start // 64 for region in source.regions} >= needed
        # An edge of a neighbour on either side at most (`xprep.engine.blocks.scaling` says why).
        assert max(needed) - min(needed) + 1 <= len(source.regions) <= max(needed) - min(needed) + 3
        assert len(source.regions) * 64 * 64 * 2 <= 2**16 + 2 * 64 * 64 * 2


def test_every_chunk_is_read_once_and_lazily():
    source = Counting((4, 200, 200))
    image = xr.DataArray(da.from_array(source, chunks=(2, 50, 50), asarray=False, meta=np.empty((0, 0, 0), "u2")), dims=SPACE)
    with dask.config.set(scheduler=_refuse):
        scaled = rescale(image, {"z": 1.5, "y": 0.7, "x": 0.7}, anti_alias=True)
        to_isotropic(image, voxel_size={"z": 1, "y": 0.2, "x": 0.2})
    scaled.compute(scheduler="synchronous")
    assert len(source.regions) == image.data.npartitions


def _refuse(*_args, **_kwargs):
    raise AssertionError("building computed something")


def test_blocks_stay_small():
    image = xr.DataArray(da.zeros((64, 40960, 40960), chunks=(16, 512, 512), dtype="u2"), dims=SPACE)
    for f in (0.01, 0.3, 1.3, 2, 7.3):
        found = rescale(image, {"y": f, "x": f})
        _, rows, columns = found.data.chunksize
        assert 16 * (rows / f + 2) * (columns / f + 2) * 2 <= 34 * 2**20, f
        assert 16 * rows * columns * 4 <= 8 * 16 * 2**20, f
        assert len(set(found.data.chunks[1][:-1])) == 1, "Zarr wants regular chunks"


def test_tutorial_sizes():
    stack = xr.DataArray(da.zeros((86, 396, 393), dtype="u2"), dims=SPACE)
    voxels = {"z": 1, "y": 0.202, "x": 0.202}
    assert to_isotropic(stack, zoom=1, voxel_size=voxels).shape == (86, 80, 79)
    assert to_isotropic(stack, zoom=2, voxel_size=voxels).shape == (172, 160, 159)
    placed = stack.assign_coords({dim: np.arange(n) * voxels[dim] for dim, n in stack.sizes.items()})
    assert to_isotropic(placed, zoom=1).shape == (86, 80, 79)
    assert rescale(stack, voxels).shape == (86, 80, 79)


def placed_image():
    coords = {
        "y": ("y", 10 + np.arange(8) * 0.5, {"units": "micrometer"}),
        "x": ("x", np.arange(6) * 0.25, {"units": "micrometer"}),
        "row": ("y", np.arange(8) ** 2.0),
        "name": ("x", list("abcdef")),
        "grid": (("y", "x"), np.ones((8, 6))),
        "c": ["red", "green"],
        "time": 3.0,
    }
    return xr.DataArray(
        np.random.default_rng(3).random((2, 8, 6)),
        dims=("c", "y", "x"),
        coords=coords,
        name="cells",
        attrs={"stain": "DAPI", "ome": {"multiscales": [], "omero": {"channels": []}}},
    )


def test_coordinates_follow():
    found = rescale(placed_image(), {"y": 2, "x": 0.5})
    np.testing.assert_allclose(found.y, 10 + (np.arange(16) - 0.5) * 0.25)
    np.testing.assert_allclose(found.x, 0.125 + np.arange(3) * 0.5)
    assert found.y.attrs == {"units": "micrometer"}
    assert (found.name, found.attrs["stain"], found.attrs["ome"]) == ("cells", "DAPI", {"omero": {"channels": []}})
    assert "rescale(" in found.attrs["history"]
    assert found.c.values.tolist() == ["red", "green"]
    assert float(found.time) == 3
    assert "name" not in found.coords
    assert "grid" not in found.coords
    assert found.row.values[:4].tolist() == [-0.25, 0.25, 0.75, 1.75]
    unchanged = rescale(placed_image(), {"x": 2})
    assert unchanged.row.equals(placed_image().row)


def test_a_straight_line_stays_on_its_coordinates():
    image = placed_image().copy(data=np.broadcast_to((10 + np.arange(8) * 0.5)[:, None], (2, 8, 6)).copy())
    for size, origin in (("round", "corner"), ("ceil", "center"), ("same", "center"), ("same", "corner")):
        found = rescale(image, {"y": 1.7, "x": 1.2}, size=size, origin=origin)
        inside = (found.y >= image.y[0]) & (found.y <= image.y[-1])
        np.testing.assert_allclose(found.isel(c=0, x=0)[inside.values], found.y[inside.values])
        assert origin == "corner" or abs(float(found.y.mean()) - float(image.y.mean())) < 1e-12


def test_isotropic_voxels_are_cubes_in_the_coordinates_unit():
    image = placed_image()
    found = to_isotropic(image, zoom=4)
    np.testing.assert_allclose(np.diff(found.y), 0.25)
    np.testing.assert_allclose(np.diff(found.x), 0.25)
    mixed = image.assign_coords(x=("x", np.arange(6) * 250.0, {"units": "nm"}))
    assert to_isotropic(mixed, zoom=1 / 250).shape == (2, 16, 6)
    units = to_isotropic(image.drop_vars(["y", "x"]), voxel_size={"y": "0.5 um", "x": "250 nm"}, zoom=1 / 125)
    assert units.shape == (2, 32, 12)
    np.testing.assert_allclose(np.diff(units.x), 125)


# (z, y, x) of 2 × 0.5 × 0.25 µm, told in several units; what is asked for, and how many voxels there are of 4, 8 and 6.
EDGES = {
    "nothing is lost": ({}, {}, (32, 16, 6)),
    "a number": ({}, {"size": 0.5}, (16, 8, 3)),
    "a unit": ({}, {"size": "500 nm"}, (16, 8, 3)),
    "millimetres": ({"units": "millimeter", "scale": 1e-3}, {}, (32, 16, 6)),
    "a number of millimetres": ({"units": "mm", "scale": 1e-3}, {"size": 0.0005}, (16, 8, 3)),
    "micrometres of millimetres": ({"units": "millimeter", "scale": 1e-3}, {"size": "0.5 um"}, (16, 8, 3)),
    "metres": ({"units": "m", "scale": 1e-6}, {"size": "0.5 um"}, (16, 8, 3)),
    "no unit": ({"units": None}, {"size": 0.5}, (16, 8, 3)),
    "the zoom of the reference": ({}, {"zoom": 2}, (16, 8, 3)),
    "a voxel size of its own": ({}, {"size": 0.5, "voxel_size": {"z": "1 um"}}, (8, 8, 3)),
    "the finest of those given": ({}, {"voxel_size": {"x": 0.5}}, (16, 8, 6)),
    "coarser, averaged": ({}, {"size": 2, "anti_alias": True}, (4, 2, 1)),
}


def anisotropic(units="micrometer", scale=1.0):
    sizes = {"z": (4, 2.0), "y": (8, 0.5), "x": (6, 0.25)}
    attrs = {} if units is None else {"units": units}
    coords = {dim: (dim, np.arange(n) * step * scale, attrs) for dim, (n, step) in sizes.items()}
    return xr.DataArray(np.random.default_rng(0).integers(0, 60000, (4, 8, 6)).astype("u2"), coords, SPACE, "image")


@pytest.mark.parametrize("kind", ["array", "dataset", "tree", "lazy"])
@pytest.mark.parametrize(("placed", "asked", "shape"), EDGES.values(), ids=EDGES)
def test_edges_of_new_voxels(placed, asked, shape, kind):
    image = anisotropic(**placed)
    made = {
        "array": lambda: image.prep.to_isotropic(**asked),
        "lazy": lambda: to_isotropic(image.chunk(3), **asked).compute(),
        "dataset": lambda: image.to_dataset().assign(cells=image.isel(z=0, drop=True) > 9).prep.to_isotropic(**asked)["image"],
        "tree": lambda: xr.DataTree.from_dict({"a": image.to_dataset()}).prep.to_isotropic(**asked)["a/image"],
    }[kind]()
    assert made.shape == shape
    scale, steps = placed.get("scale", 1.0), [np.diff(made[dim]) for dim in SPACE if made.sizes[dim] > 1]
    if "voxel_size" not in asked:  # what was said to be wrong in the coordinates stays there
        edge = asked.get("size", 1 / asked["zoom"] if "zoom" in asked else 0.25 * scale)
        edge = 0.5 * scale if isinstance(edge, str) else edge
        for step in steps:
            np.testing.assert_allclose(step, edge, rtol=1e-9)


WRONG_EDGES = {
    "both": ({"size": 1, "zoom": 1}, ValueError, "give one of them"),
    "nothing": ({"size": 0}, ValueError, "size is the edge"),
    "negative": ({"size": "-1 um"}, ValueError, "size is the edge"),
    "no length": ({"size": "ceil"}, ValueError, "size got 'ceil', which is no length"),
    "no number": ({"size": True}, ValueError, "size is the edge"),
    "infinite": ({"zoom": np.inf}, ValueError, "zoom must be"),
    "no dtype": ({"dtype": "text"}, TypeError, "dtype must be a type of numbers"),
    "complex": ({"dtype": "complex64"}, TypeError, "dtype must be a type of integers or of floats"),
    "a value that is none": ({"dtype": "u2", "boundary": "constant", "cval": np.nan}, ValueError, "not a value of dtype"),
}


@pytest.mark.parametrize(("asked", "kind", "text"), WRONG_EDGES.values(), ids=WRONG_EDGES)
def test_edges_that_are_none(asked, kind, text):
    with pytest.raises(kind, match=text):
        to_isotropic(anisotropic(), **asked)


def test_lengths_need_a_unit_on_both_sides():
    with pytest.raises(ValueError, match=r"size='1 um' has a unit.*have none.*attrs\['units'\]"):
        to_isotropic(anisotropic(units=None), "1 um")
    with pytest.raises(ValueError, match="'pixel', which is no length"):
        to_isotropic(anisotropic(units="pixel"), "1 um")
    mixed = anisotropic().assign_coords(z=("z", np.arange(4.0), {"units": "second"}))
    with pytest.raises(ValueError, match="'z' is in 'second', others in 'micrometer'"):
        to_isotropic(mixed)


def test_integers_are_rounded_and_held():
    stack = anisotropic().assign_attrs(history="before")
    wide = to_isotropic(stack.astype("u4") * 60000, dtype="uint32", order=1)  # float32 has not these digits
    exact = to_isotropic(stack.astype("f8") * 60000)
    np.testing.assert_array_equal(wide, np.rint(exact.values).astype("u4"))
    np.testing.assert_array_equal(to_isotropic(stack, dtype="i1"), np.rint(to_isotropic(stack).values).clip(-128, 127))
    assert to_isotropic(stack, dtype="float16").dtype == np.float16
    with pytest.raises(TypeError, match="may hold NaN"):
        to_isotropic(stack.astype("f4"), dtype="uint16")


def test_what_lies_far_beyond_is_the_edge():
    """A voxel all of whose samples lie beyond the image is the edge's value, and not 0."""
    line = xr.DataArray(np.arange(1.0, 9.0)[None], dims=("y", "x"))
    for origin, beyond in (("corner", slice(3, None)), ("center", slice(0, 2))):
        found = rescale(line, {"x": 0.3}, size="same", origin=origin, anti_alias=True)
        np.testing.assert_allclose(found.isel(x=beyond), 8 if origin == "corner" else 1, rtol=1e-15)


def test_lazy_coordinates_are_interpolated_and_not_computed():
    image = placed_image().assign_coords(dose=("y", da.from_array(np.arange(8.0) ** 2, chunks=3)))
    with dask.config.set(scheduler=_refuse):
        lazy = rescale(image, {"y": 0.5, "x": 0.5})
        level = image.chunk().prep.pyramid((2,))["scale1/image"]
    ready = rescale(image.compute(), {"y": 0.5, "x": 0.5})
    assert lazy.dose.chunks is not None
    np.testing.assert_array_equal(lazy.dose, ready.dose)
    np.testing.assert_array_equal(level.dose, ready.dose)


def test_voxel_size_from_ome_metadata():
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]}]
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in SPACE]
    image = xr.DataArray(np.zeros((4, 8, 8), "u1"), dims=SPACE, attrs={"multiscales": [{"axes": axes, "datasets": levels}]})
    found = to_isotropic(image, 1)
    assert found.shape == (8, 4, 4)
    assert "multiscales" not in found.attrs


def test_factors_with_units_are_voxel_sizes():
    found = rescale(placed_image(), {"y": "0.25 um", "x": "500 nm"})
    assert found.shape == (2, 16, 3)


def test_labels_of_a_dataset_follow_their_image():
    labels = np.arange(48, dtype="u4").reshape(8, 6)
    data = xr.Dataset(
        {"image": placed_image(), "labels": (("y", "x"), labels), "areas": ("cell", [1.0, 2.0])}, attrs={"sample": 7}
    )
    found = rescale(data, {"y": 2, "x": 2})
    np.testing.assert_array_equal(found.labels, labels.repeat(2, 0).repeat(2, 1))
    assert found.labels.dtype == np.uint32
    assert list(found.data_vars) == ["image", "labels", "areas"]
    assert found.attrs == {"sample": 7}
    same = rescale(data, {"y": 2, "x": 2}, size="same")
    assert not same.image.isnull().any()
    tree = xr.DataTree.from_dict({"/a": data, "/b": data.isel(y=slice(0, 4))})
    both = to_isotropic(tree, zoom=4)
    assert both["a/image"].shape == (2, 16, 6)
    assert both["b/labels"].shape == (8, 6)
    xr.testing.assert_identical(
        data,
        xr.Dataset(
            {"image": placed_image(), "labels": (("y", "x"), labels), "areas": ("cell", [1.0, 2.0])},
            attrs={"sample": 7},
        ),
    )


def smooth_matrix(n, f):
    """Row by row: a triangle of half-width 1/f around u, folded back onto the edge samples, sum 1."""
    matrix = np.zeros((max(1, int(np.floor(n * f + 0.5))), n))
    for i, row in enumerate(matrix):
        k = np.arange(-2 * n - 200, 3 * n + 200)
        weight = np.maximum(0, 1 - abs(k + 0.5 - (i + 0.5) / f) * min(f, 1))
        np.add.at(row, np.clip(k, 0, n - 1), weight / weight.sum())
    return matrix


@pytest.mark.parametrize("f", [(1, 0.3, 0.5), (0.4, 1.6, 0.07), (0.02, 0.9, 1)])
def test_anti_alias_is_linear_interpolation_with_a_wider_kernel(f):
    array = np.random.default_rng(4).random((6, 20, 33))
    image = xr.DataArray(array, dims=SPACE)
    wanted = np.einsum("zyx,az,by,cx->abc", array, *(smooth_matrix(n, g) for n, g in zip(array.shape, f, strict=True)))
    factors = dict(zip(SPACE, f, strict=True))
    found = rescale(image, factors, anti_alias=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    np.testing.assert_array_equal(rescale(image.chunk(z=2, y=7, x=5), factors, anti_alias=True), found)


def test_anti_alias_leaves_enlarging_alone():
    image = placed_image()
    xr.testing.assert_equal(rescale(image, {"y": 1.3, "x": 2}, anti_alias=True), rescale(image, {"y": 1.3, "x": 2}))


def test_what_it_costs_not_to_use_anti_alias():
    noise = xr.DataArray(np.random.default_rng(5).normal(size=(64, 20000)).astype("f4"), dims=("y", "x"))
    kept = [float(rescale(noise, {"x": 0.2}, anti_alias=smooth).std()) for smooth in (False, True)]
    np.testing.assert_allclose(kept, [1.0, 0.365], atol=0.01)
    stripes = xr.DataArray(np.cos(2 * np.pi * np.arange(20000) / 5.5)[None], dims=("y", "x"))
    alias = [
        float(rescale(stripes, {"x": 0.2}, anti_alias=smooth).isel(x=slice(10, -10)).std() * 2**0.5) for smooth in (False, True)
    ]
    np.testing.assert_allclose(alias, [1.0, 0.008], atol=0.01)


@pytest.mark.parametrize("bad", [0, -1, np.nan, np.inf, True, None, "wide"])
def test_bad_factors(bad):
    with pytest.raises(ValueError, match="factors"):
        rescale(placed_image(), {"y": bad})


def test_bad_input(monkeypatch):
    image = placed_image()
    with pytest.raises(TypeError, match="mapping"):
        rescale(image, 2)
    with pytest.raises(ValueError, match="factors names the dim 'w', but the image has"):
        rescale(image, {"w": 2})
    with pytest.raises(ValueError, match="only dims of space"):
        rescale(image, {"c": 2})
    with pytest.raises(ValueError, match="order must be one of 0, 1"):
        rescale(image, {"y": 2}, order=3)
    with pytest.raises(ValueError, match="order=0 never blends"):
        rescale(image, {"y": 2}, order=0, anti_alias=True)
    with pytest.raises(ValueError, match="not a value of uint8"):
        rescale(image.astype("u1"), {"y": 2}, order=0, boundary="constant", cval=-1)
    with pytest.raises(ValueError, match=r"voxel size along 'y'.*assign_coords"):
        to_isotropic(image.drop_vars(["y", "x"]))
    with pytest.raises(ValueError, match="zoom must be"):
        to_isotropic(image, zoom=0)
    with pytest.raises(ValueError, match="voxel_size of 'y'"):
        to_isotropic(image, voxel_size={"y": -1})
    with pytest.raises(ValueError, match="not evenly spaced"):
        to_isotropic(image.assign_coords(y=np.arange(8) ** 2.0))
    with pytest.raises(TypeError, match="no option 'sharp'"):
        to_isotropic(image, sharp=True)
    with pytest.raises(ValueError, match=r"'y', but the image has|needs the dim 'y'"):
        rescale(image.isel(y=0), {"x": 2})
    with pytest.raises(ValueError, match=r"makes 8e\+07 voxels of 8, more than 8388608"):
        rescale(image.chunk(), {"y": 1e7, "x": 1e7})
    with pytest.raises(ValueError, match="of memory are free"):
        rescale(image, {"y": 1e6, "x": 1e5})


def test_a_factor_of_a_dim_that_is_not_there_is_refused_of_images_and_not_of_what_is_beside_them():
    image = placed_image()
    for container in (image, image.to_dataset(name="i"), xr.DataTree.from_dict({"/a": image.to_dataset(name="i")})):
        with pytest.raises(ValueError, match=r"factors names the dim 'z', but the image has \('c', 'y', 'x'\)"):
            rescale(container, {"z": 2, "y": 0.5})
    stack = image.expand_dims(z=[0.0, 1.0]).to_dataset(name="i")
    found = rescale(stack.assign(depth=("z", [1.0, 2.0]), cells=(("y", "x"), np.ones((8, 6), int))), {"z": 2, "y": 0.5})
    assert [dict(found[name].sizes) for name in ("i", "depth", "cells")] == [
        {"z": 4, "c": 2, "y": 4, "x": 6},
        {"z": 4},
        {"y": 4, "x": 6},
    ]


def test_chunks_are_merged_while_their_input_fits_and_split_where_they_grow():
    image = da.zeros((4000, 4000), chunks=(100, 100), dtype="u2")
    for tile_bytes in (2**25, 2**23, 2**19, 2**10):
        with set_options(tile_bytes=tile_bytes):
            rows, columns = stretched_cuts(image, dict.fromkeys((0, 1), Stretch(40, 0.01)), 4)
        needed = min(4000, rows.chunk * 100) * min(4000, columns.chunk * 100) * 2
        assert needed <= max(tile_bytes, 100 * 100 * 2)
        assert needed > tile_bytes / 8 or tile_bytes == 2**25
    assert stretched_cuts(image, {0: Stretch(5200, 1.3), 1: Stretch(8000, 2)}, 4) == [AxisCut(130), AxisCut(200)]
    assert stretched_cuts(image, {0: Stretch(2800, 0.7)}, 4) == [AxisCut(70), AxisCut(100)]
    (rows, columns) = stretched_cuts(image, dict.fromkeys((0, 1), Stretch(400000, 100)), 4)
    assert rows.chunk * columns.chunk * 4 <= 8 * 16 * 2**20
    assert 10000 % rows.chunk == 10000 % columns.chunk == 0


class Live:
    """Counts the blocks of a source that are alive."""

    def __init__(self):
        self.now, self.most = set(), 0

    def __call__(self, block_info=None):
        array = np.zeros([b - a for a, b in block_info[None]["array-location"]], "u2")
        self.now.add(id(array))
        weakref.finalize(array, self.now.discard, id(array))
        self.most = max(self.most, len(self.now))
        return array


@pytest.mark.parametrize("f", [(1.3, 1.3, 1.3), (2, 2, 2), (0.7, 0.7, 0.7), (1.3, 0.3, 0.5), (3, 1, 0.9), (1.3, 1.33, 1.33)])
def test_blocks_do_not_pile_up(f):
    """A few layers of 16 blocks are alive, however high the stack."""
    most = []
    for layers in (16, 48):
        live = Live()
        chunks = ((10,) * layers, (20,) * 4, (20,) * 4)
        blocks = da.map_blocks(live, chunks=chunks, dtype="u2", meta=np.empty((0, 0, 0), "u2"))
        scaled = rescale(xr.DataArray(blocks, dims=SPACE), dict(zip(SPACE, f, strict=True)))
        da.store(scaled.data, Sink(), lock=False, scheduler="synchronous")
        most.append(live.most)
    assert most[1] <= most[0] + 16, most
    assert most[1] <= 8 * 16, most


def test_blocks_of_many_channels_are_cut_along_the_dims_that_have_a_length():
    """A z of one plane is as long as it was, and shrinking y and x are not; still it is they that can be cut."""
    image = xr.DataArray(da.zeros((300, 1, 64, 64), chunks=-1, dtype="u2"), dims=("c", "z", "y", "x"))
    with set_options(tile_bytes=2**16):
        assert rescale(image, {"y": 0.9, "x": 0.9}).data.chunksize == (300, 1, 15, 29)


def test_blocks_do_not_pile_up_where_one_becomes_several():
    """Chunks that would grow beyond what is held at once (`tile_bytes`): layers of four, 64 of them."""
    live = Live()
    blocks = da.map_blocks(live, chunks=((10,) * 64, (20,) * 2, (20,) * 2), dtype="u2", meta=np.empty((0, 0, 0), "u2"))
    with set_options(tile_bytes=4000):
        scaled = rescale(xr.DataArray(blocks, dims=SPACE), dict.fromkeys(SPACE, 2))
    assert scaled.data.npartitions > 2 * blocks.npartitions
    da.store(scaled.data, Sink(), lock=False, scheduler="synchronous")
    assert live.most <= 24, "20 of 256; were their input put together first, it would be 36, and more in a higher stack"


class Sink:
    def __setitem__(self, region, block):
        pass


def bead_widths(volume):
    """Standard deviations of a bead along its axes, in voxels, from its moments."""
    weights = volume / volume.sum()
    places = np.indices(volume.shape)
    centres = [(weights * p).sum() for p in places]
    return [float(np.sqrt((weights * (p - c) ** 2).sum())) for p, c in zip(places, centres, strict=True)]


@pytest.mark.parametrize("zoom", [2.0, 8.0])
def test_a_round_bead_of_flat_voxels_becomes_round(zoom):
    voxel = {"z": 0.5, "y": 0.125, "x": 0.1}
    lines = {dim: (np.arange(-6, 6, size), {"units": "micrometer"}) for dim, size in voxel.items()}
    z, y, x = np.meshgrid(*(line for line, _ in lines.values()), indexing="ij")
    bead = xr.DataArray(
        1e4 * np.exp(-(z**2 + y**2 + x**2) / 2),
        dims=SPACE,
        coords={dim: (dim, line, attrs) for dim, (line, attrs) in lines.items()},
    )
    flat = bead_widths(bead.values)
    assert flat[2] > 4 * flat[0]
    round_ = bead_widths(to_isotropic(bead.chunk(z=5, y=30, x=50), zoom=zoom, anti_alias=True).values)
    np.testing.assert_allclose(round_, zoom, atol=0.2)


def test_a_bead_that_optics_made_long_stays_as_long():
    """As `Bead_Image1_crop.tif` has them: 0.125 x 0.0225 x 0.0225 um, sigmas of 0.30 along z and 0.09 um along x.

    Scaling makes voxels cubes and leaves lengths alone: the file's two beads are 0.296, 0.100, 0.090 and 0.352, 0.120, 0.109 um
    wide along z, y, x before, and 0.299, 0.100, 0.090 and 0.355, 0.119, 0.108 after; 3.3 times as long as wide, which is what a
    point looks like through a lens (0.70 um of half-maximum width along z, 0.21 across), not a matter of voxels.
    """
    voxel, sigma = np.array([0.125, 0.0225, 0.0225]), np.array([0.30, 0.10, 0.09])
    lines = [(np.arange(n) - n // 2) * size for n, size in zip((21, 61, 61), voxel, strict=True)]
    z, y, x = (line / width for line, width in zip(np.meshgrid(*lines, indexing="ij"), sigma, strict=True))
    coords = {dim: (dim, line, {"units": "micrometer"}) for dim, line in zip(SPACE, lines, strict=True)}
    bead = xr.DataArray(np.exp(-(z**2 + y**2 + x**2) / 2), dims=SPACE, coords=coords)
    before = bead_widths(bead.values) * voxel
    after = np.array(bead_widths(to_isotropic(bead.chunk(z=5, y=30, x=50), zoom=1 / 0.0225).values)) * 0.0225
    np.testing.assert_allclose(before, sigma, rtol=0.02)
    np.testing.assert_allclose(after, before, atol=0.0225 / 4)  # within a quarter of a voxel


def test_blocks_that_drift_need_an_edge_of_both_neighbours_everywhere():
    """Uneven patterns are what dask's ordering of tasks fails on (`xprep.engine.blocks.scaling`)."""
    source = Counting((1, 1, 160))
    blocks = da.from_array(source, chunks=(1, 1, 16), asarray=False, meta=np.empty((0, 0, 0), "u2"))
    with set_options(tile_bytes=32):
        scaled = rescale(xr.DataArray(blocks, dims=SPACE), {"x": 0.99})
    counts = []
    for i in range(scaled.data.numblocks[2]):
        source.regions.clear()
        scaled.data.blocks[0, 0, i].compute(scheduler="synchronous")
        counts.append(len(source.regions))
    assert counts == [2, *[3] * (len(counts) - 2), 2]
