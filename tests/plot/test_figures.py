"""Pictures: where they lie, how large they are, which colours labels have."""

from __future__ import annotations

import subprocess
import sys

import dask.array as da
import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import xprep
import xprep.plot.channels
import xprep.plot.panels
from xprep.errors import ChunkError
from xprep.io.arrays.reads import ZarrReadable
from xprep.plot import label_colors, plot_channels, plot_projections, plot_rois
from xprep.rois import RoiTable


@pytest.fixture(autouse=True)
def _no_screen():
    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


def volume(dims=("z", "y", "x"), **sizes):
    sizes = {"c": 2, "z": 5, "y": 8, "x": 12} | sizes
    steps = {"z": 1.0, "y": 0.2, "x": 0.2}
    coords = {d: (d, 3 + np.arange(sizes[d]) * steps[d], {"units": "micrometer"}) for d in dims if d in steps}
    array = np.random.default_rng(0).random([sizes[d] for d in dims])
    return xr.DataArray(array, dims=dims, coords=coords, name="cells")


def pictures_of(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


@pytest.mark.parametrize("chunks", [None, 3])
@pytest.mark.parametrize("dims", [("z", "y", "x"), ("x", "z", "y")])
def test_three_sides_in_true_aspect(dims, chunks):
    image = volume(dims)
    figure = plot_projections(image if chunks is None else image.chunk(chunks))
    front, side, below = pictures_of(figure)
    # Voxels' outer edges, in micrometres: left, right, bottom, top, y downwards.
    np.testing.assert_allclose(front.get_extent(), [2.9, 5.3, 4.5, 2.9])
    np.testing.assert_allclose(side.get_extent(), [2.5, 7.5, 4.5, 2.9])
    np.testing.assert_allclose(below.get_extent(), [2.9, 5.3, 7.5, 2.5])
    upright = image.transpose("z", "y", "x")
    np.testing.assert_allclose(front.get_array(), upright.max("z"), rtol=1e-6)
    np.testing.assert_allclose(side.get_array(), upright.max("x").transpose("y", "z"), rtol=1e-6)
    np.testing.assert_allclose(below.get_array(), upright.max("y"), rtol=1e-6)
    assert [axes.get_aspect() for axes in figure.axes] == [1, 1, 1]
    assert [axes.get_xlabel() for axes in figure.axes] == ["x [µm]", "z [µm]", "x [µm]"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["y [µm]", "y [µm]", "z [µm]"]
    assert len({picture.get_clim() for picture in (front, side, below)}) == 1
    figure.canvas.draw()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    per_unit = [boxes[0].width / 2.4, boxes[0].height / 1.6, boxes[1].width / 5, boxes[2].height / 5]
    np.testing.assert_allclose(per_unit, per_unit[0], rtol=0.02)


def test_a_row_a_channel():
    figure = plot_projections(volume(("y", "c", "x", "z")).assign_coords(c=["red", "green"]))
    assert len(pictures_of(figure)) == 6
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["red", "green"]


def test_channels_have_names_scales_and_units():
    image = volume(("c", "y", "x")).assign_coords(c=["red", "green"]).assign_attrs(units="counts")
    figure = plot_channels(image)
    panels = [axes for axes in figure.axes if axes.images]
    assert [panel.get_title() for panel in panels] == ["red", "green"]
    assert [axes.get_ylabel() for axes in figure.axes if not axes.images] == ["counts", "counts"]
    for panel, picture in zip(panels, image, strict=True):
        np.testing.assert_allclose(panel.images[0].get_array(), picture, rtol=1e-6)
        np.testing.assert_allclose(panel.images[0].get_clim(), np.percentile(picture, [0.5, 99.8]), rtol=1e-6)


def test_a_stack_is_projected_and_pixels_are_called_pixels():
    image = volume().drop_vars(["z", "y", "x"])
    (picture,) = pictures_of(figure := plot_channels(image))
    np.testing.assert_allclose(picture.get_array(), image.max("z"), rtol=1e-6)
    assert list(picture.get_extent()) == [-0.5, 11.5, 7.5, -0.5]
    assert figure.axes[0].get_xlabel() == "x [pixels]"


def test_large_images_are_shrunk_before_they_are_drawn():
    flat = xr.DataArray(da.ones((3000, 5000), chunks=1000, dtype="u2"), dims=("y", "x"))
    (picture,) = pictures_of(plot_channels(flat))
    assert picture.get_array().shape == (1200, 1200)
    assert list(picture.get_extent()) == [-0.5, 4999.5, 2999.5, -0.5]
    spot = np.zeros((2, 4000, 30), "u2")
    spot[1, 3777, 7] = 9
    front = pictures_of(plot_projections(xr.DataArray(spot, dims=("z", "y", "x"))))[0]
    assert front.get_array().shape == (1000, 30)
    assert front.get_array().max() == 9


def test_a_pyramid_gives_the_level_that_fits_a_picture():
    levels = {
        f"/scale{i}": xr.Dataset({"image": xr.DataArray(np.full((1, n, n), i, "f4"), dims=("c", "y", "x"))})
        for i, n in enumerate((3000, 1500, 750))
    }
    labels = {"/labels/cells/scale0": xr.Dataset({"cells": (("y", "x"), np.ones((3000, 3000), "u4"))})}
    (picture,) = pictures_of(plot_channels(xr.DataTree.from_dict(levels | labels)))
    np.testing.assert_allclose(picture.get_array(), 1, rtol=1e-6)
    del levels["/scale0"], levels["/scale1"]
    (picture,) = pictures_of(plot_channels(xr.DataTree.from_dict(levels)))
    assert picture.get_array().shape == (750, 750)


def test_labels_keep_their_colours():
    labels = np.random.default_rng(1).integers(0, 500, (40, 50))
    colors = label_colors(labels)
    np.testing.assert_array_equal(colors, np.concatenate([label_colors(labels[:7]), label_colors(labels[7:])]))
    assert (colors[labels == 0] == 0).all()
    assert len(np.unique(label_colors(np.arange(1, 200)), axis=0)) == 199
    near = label_colors(np.arange(1, 200)).astype(float)
    assert np.linalg.norm(np.diff(near, axis=0), axis=1).min() > 90
    assert near.max(axis=1).min() > 200
    (picture,) = pictures_of(plot_channels(xr.DataArray(labels.astype("u4"), dims=("y", "x"))))
    np.testing.assert_array_equal(picture.get_array(), colors)
    (picture,) = pictures_of(plot_channels(xr.DataArray(labels.astype("u2"), dims=("y", "x"))))
    assert picture.get_array().ndim == 2
    assert label_colors(np.array([False, True])).shape == (2, 3)


def test_thin_stacks_constants_and_nan_are_drawn():
    thin = xr.DataArray(np.full((2, 90, 80), np.nan, "f4"), dims=("z", "y", "x"))
    thin[:, 3, 4] = 5
    figure = plot_projections(thin)
    figure.canvas.draw()
    assert [len(axes.get_xticks()) for axes in figure.axes][1] == 1
    plot_channels(xr.DataArray(np.zeros((4, 5)), dims=("y", "x"))).canvas.draw()
    plot_channels(xr.DataArray(np.full((4, 5), np.nan), dims=("y", "x"))).canvas.draw()


def test_a_figure_of_ones_own():
    figure = Figure()
    assert plot_channels(volume(), figure=figure) is figure
    left, right = Figure().subfigures(1, 2)
    assert plot_projections(volume(), figure=left) is left
    assert plot_channels(volume(), figure=right) is right
    assert pyplot.get_fignums() == []


def test_bad_input():
    with pytest.raises(ValueError, match="needs the dim 'z'"):
        plot_projections(volume(("y", "x")))
    with pytest.raises(ValueError, match=r"choose a position of 't' first, e.g. image.isel\(t=0\)"):
        plot_channels(volume(("t", "y", "x"), t=3))
    with pytest.raises(ValueError, match="draws one image, and there are 2 here"):
        plot_channels(xr.Dataset({"a": volume(), "b": volume()}))
    assert plot_channels(volume(("t", "y", "x"), t=1)).axes


def test_importing_does_not_import_matplotlib():
    code = "import sys, xprep.plot; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert xprep.plot.panels.MOST_PIXELS == 1200


@pytest.fixture
def reads(monkeypatch):
    """The paths of the arrays that are read from stores, in order."""
    paths, read = [], ZarrReadable.read

    def counting(self, region):
        paths.append(self.place.path)
        return read(self, region)

    monkeypatch.setattr(ZarrReadable, "read", counting)
    for module in (xprep.plot.panels, xprep.plot.channels):
        monkeypatch.setattr(module, "MOST_PIXELS", 50)
    return paths


@pytest.fixture
def stored(tmp_path):
    image = volume(("c", "z", "y", "x"), y=210, x=160)
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(2, 2, 2), chunks={"y": 32, "x": 32})
    return tmp_path / "a.zarr"


@pytest.mark.parametrize("how", ["xprep", "xarray"])
def test_an_image_opened_at_its_finest_level_is_drawn_from_the_fitting_one(stored, reads, how):
    image = xprep.open_image(stored) if how == "xprep" else xr.open_zarr(stored, group="scale0", consolidated=False).image
    fitting = xprep.open_image(stored, level=2)
    assert fitting.shape[2:] == (53, 40)
    for plot in (plot_projections, plot_channels):
        figure = plot(image)
        assert set(reads) == {"scale2/image"}, "nothing of the 16 times as many pixels of level 0"
        for one, other in zip(pictures_of(figure), pictures_of(plot(fitting)), strict=True):
            np.testing.assert_allclose(one.get_array(), other.get_array(), rtol=1e-6)
            np.testing.assert_allclose(one.get_extent(), other.get_extent())
        reads.clear()


@pytest.mark.parametrize("how", ["xprep", "xarray"])
@pytest.mark.usefixtures("reads")
def test_a_lost_chunk_is_not_drawn_black(stored, how):
    """A finished store has every chunk: one that is not there was lost, also of a level that only a picture reads."""
    next(path for path in (stored / "scale2" / "image" / "c").rglob("*") if path.is_file()).unlink()
    image = xprep.open_image(stored) if how == "xprep" else xr.open_zarr(stored, group="scale0", consolidated=False).image
    for plot in (plot_projections, plot_channels):
        with pytest.raises(ChunkError, match="not in the store"):
            plot(image)


def test_levels_are_of_the_whole_unchanged_image_only(stored, reads):
    image = xprep.open_image(stored)
    for changed in (image + 1, image.isel(y=slice(0, 200)), image.isel(c=[1, 0])):
        plot_channels(changed)
        assert set(reads) == {"scale0/image"}
        reads.clear()
    plot_channels(xprep.open_image(stored, level=3))
    assert set(reads) == {"scale3/image"}


def outlines_of(figure):
    return [line.get_segments() for axes in figure.axes for line in axes.collections if isinstance(line, LineCollection)]


def test_rois_lie_where_they_are_over_a_coarser_level(stored, reads):
    table = RoiTable.from_pixels([[1.0] * 4], [[100, 100, 101, 101]], [[60, 61, 60, 61]])
    wanted = plot_rois(xprep.open_image(stored).isel(y=slice(0, 209)), table)
    reads.clear()
    for image in (xprep.open_image(stored), xprep.open_tree(stored)):
        figure = plot_rois(image, table)
        assert set(reads) == {"scale2/image"}
        for one, other in zip(outlines_of(figure), outlines_of(wanted), strict=True):
            np.testing.assert_allclose(one, other)
        reads.clear()
