"""Outlines, the picture of them, and ROI operations in every container."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.rois.table.outlines import outline_segments

mpl.use("Agg")


def space(height, width, step=0.5):
    return {dim: (dim, 10 + np.arange(n) * step, {"units": "micrometer"}) for dim, n in (("y", height), ("x", width))}


def image_and_table():
    labels = np.zeros((20, 30), int)
    labels[2:5, 3:9], labels[10:12, 25:30], labels[15, 0] = 4, 9, 11
    image = xr.DataArray(np.random.default_rng(0).random((2, 20, 30)), dims=("c", "y", "x"), coords=space(20, 30))
    return image, xprep.RoiTable.from_labels(labels)


def test_outlines_are_the_sides_between_inside_and_outside():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (12, 13))
    table = xprep.RoiTable.from_labels(labels)
    segments, rois = outline_segments(table)
    for number, label in enumerate(table.ids):
        inside = np.pad(labels == label, 1)
        mine = {tuple(map(tuple, one.tolist())) for one in segments[rois == number]}
        wanted = set()
        for y, x in zip(*np.nonzero(np.diff(inside.astype(int), axis=0)), strict=True):
            wanted.add(((y - 0.5, x - 1.5), (y - 0.5, x - 0.5)))
        for y, x in zip(*np.nonzero(np.diff(inside.astype(int), axis=1)), strict=True):
            wanted.add(((y - 1.5, x - 0.5), (y - 0.5, x - 0.5)))
        assert mine == wanted
        assert (rois == number).sum() == len(wanted)


def test_the_picture_is_in_physical_units_and_coloured_by_the_feature():
    from matplotlib import pyplot

    image, table = image_and_table()
    feature = xr.DataArray([3.0, np.nan, 1.0], dims="roi", coords={"roi": [11, 4, 9]}, name="size")
    figure = image.prep.plot_rois(table, feature=feature)
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2
    (lines,) = panels[0].collections
    values = lines.get_array()
    ends = np.array(lines.get_segments())[np.ma.getmaskarray(values)]  # those of label 4, whose feature is NaN
    assert ends[..., 0].min() == 10 + (3 - 0.5) * 0.5
    assert ends[..., 1].max() == 10 + (4 + 0.5) * 0.5
    assert len(ends) == 2 * (3 + 6)
    assert sorted(set(values.compressed().tolist())) == [1, 3]
    pyplot.close(figure)
    plain = image.isel(c=0).prep.plot_rois(table)
    assert len({tuple(color) for color in plain.axes[0].collections[0].get_colors()}) == 3
    pyplot.close(plain)


def test_pictures_that_cannot_be():
    image, table = image_and_table()
    with pytest.raises(ValueError, match="3 ROIs"):
        image.prep.plot_rois(table, feature=[1.0, 2.0])
    with pytest.raises(ValueError, match="x = 29"):
        image.isel(x=slice(20)).prep.plot_rois(table)
    with pytest.raises(KeyError):
        image.prep.plot_rois(table, feature=xr.DataArray([1.0], dims="roi", coords={"roi": [4]}))


@pytest.mark.parametrize("name", ["mask", "traces", "centered", "roi_features"])
def test_every_container_and_a_line_of_history(name):
    image, table = image_and_table()
    image = image.assign_attrs(history="made by a test", valid_max=1.0)
    labels = xr.DataArray(np.zeros((20, 30), int), dims=("y", "x"))
    one = getattr(image.prep, name)(table)
    assert one.attrs["history"].splitlines()[0] == "made by a test"
    assert f"{name}(rois=<xprep.RoiTable 3 ROIs" in one.attrs["history"].splitlines()[1]
    assert "valid_max" not in one.attrs
    xr.testing.assert_equal(getattr(xprep, name)(image, table), one)
    dataset = getattr(xr.Dataset({"image": image, "labels": labels}).prep, name)(table)
    tree = xr.DataTree.from_dict({"a": xr.Dataset({"image": image}), "b": xr.Dataset({"image": image + 1})})
    nodes = getattr(tree.prep, name)(table)
    if name == "roi_features":
        xr.testing.assert_equal(dataset["image"].to_dataset(), one)
        xr.testing.assert_equal(nodes["a/image"].to_dataset(), one)
    else:
        np.testing.assert_array_equal(dataset["image"], one)
        assert "labels" in dataset
        np.testing.assert_array_equal(nodes["a/image"], one)
    assert np.isfinite(one.to_array() if name == "roi_features" else one).any()
