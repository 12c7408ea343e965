"""What two things with coordinates have to do with each other: one rule wherever they meet."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection

import xprep
from xprep.rois.table.placement import PixelAxis

HEIGHT, WIDTH, STEP = 40, 50, 0.5
ROI = (slice(20, 23), slice(30, 33))  # centred at y = 10.5, x = 15.5
RIGHT = 10500 + 15.5  # its mean in an image whose pixels say where they are

Change = Callable[[xr.DataArray, xr.DataArray], tuple[xr.DataArray, xr.DataArray]]


def image_and_labels() -> tuple[xr.DataArray, xr.DataArray]:
    coords = {dim: (dim, np.arange(n) * STEP, {"units": "micrometer"}) for dim, n in (("y", HEIGHT), ("x", WIDTH))}
    plane = coords["y"][1][:, None] * 1000 + coords["x"][1]
    image = xr.DataArray(np.stack([plane, plane]), coords, ("t", "y", "x"), "image")
    labels = xr.DataArray(np.zeros((HEIGHT, WIDTH), "int32"), coords, ("y", "x"))
    labels[ROI] = 7
    return image, labels


def moved(array: xr.DataArray, by: float) -> xr.DataArray:
    return array.assign_coords(y=array.y.copy(data=array.y.values + by * STEP))


def in_unit(array: xr.DataArray, unit: str | None, times: float) -> xr.DataArray:
    attrs = {} if unit is None else {"units": unit}
    return array.assign_coords({dim: (dim, array[dim].values * times, attrs) for dim in "yx"})


def uneven(array: xr.DataArray) -> xr.DataArray:
    return array.assign_coords(y=array.y.copy(data=array.y.values + np.where(array.y.values > 15, 1, 0)))


# How an image and its labels are given; what comes out of masks, and of tables: right, or refused. Of a table that says
# where its pixels lie, more is known than of a mask that does not cover its image.
CASES: dict[str, tuple[Change, bool, bool]] = {
    "the same": (lambda i, m: (i, m), True, True),
    "labels flipped": (lambda i, m: (i, m[::-1]), True, True),
    "labels flipped twice": (lambda i, m: (i, m[::-1, ::-1]), True, True),
    "a crop of the image": (lambda i, m: (i[:, 10:, 5:45], m), True, True),
    "a crop by place": (lambda i, m: (i.sel(y=slice(8, 13), x=slice(12, 18)), m), True, True),
    "a crop of the image, flipped labels": (lambda i, m: (i[:, 10:], m[::-1]), True, True),
    "crops of one size elsewhere": (lambda i, m: (i[:, 10:], m[:30]), False, True),
    "a crop of the labels": (lambda i, m: (i, m[15:30, 20:40]), False, True),
    "a twohundredth of a pixel": (lambda i, m: (i, moved(m, 0.005)), True, True),
    "a fiftieth of a pixel": (lambda i, m: (i, moved(m, 0.02)), False, False),
    "half a pixel": (lambda i, m: (i, moved(m, -0.5)), False, False),
    "coarser labels": (lambda i, m: (i, m.coarsen(y=2, x=2).max()), False, False),
    "finer labels": (lambda i, m: (i[:, ::2, ::2], m), False, False),
    "every third pixel, which lies on the image": (lambda i, m: (i, m[1::3, 1::3]), False, False),
    "float32": (lambda i, m: (i, m.assign_coords(y=m.y.astype("f4"), x=m.x.astype("f4"))), True, True),
    "far from the origin, in float32": (
        lambda i, m: (moved(i, 10001).assign_coords(t=[0, 1]), moved(m, 10001).assign_coords(y=moved(m, 10001).y.astype("f4"))),
        True,
        True,
    ),
    "nanometres": (lambda i, m: (i, in_unit(m, "nm", 1000)), True, True),
    "an image in millimetres": (lambda i, m: (in_unit(i, "mm", 1e-3), m), True, True),
    "numbers without a unit": (lambda i, m: (i, in_unit(m, None, 1)), True, True),
    "another unit for the same numbers": (lambda i, m: (i, in_unit(m, "nm", 1)), False, False),
    "a unit that is no length": (lambda i, m: (i, in_unit(m, "pixel", 1)), False, False),
    "uneven alike": (lambda i, m: (uneven(i), uneven(m)), True, True),
    "uneven where no ROI is": (lambda i, m: (uneven(i), m), False, True),
    "labels without coordinates": (lambda i, m: (i, m.drop_vars(["y", "x"])), True, True),
    "an image without coordinates": (lambda i, m: (i.drop_vars(["y", "x"]), m), True, True),
    "labels in the other order of dims": (lambda i, m: (i, m.T), True, True),
    "an array of another shape": (lambda i, m: (i, m.drop_vars(["y", "x"])[:30]), False, False),
}


def mean_inside(masked: xr.DataArray) -> float:
    return float(masked.isel(t=0).mean())


def outlined(image: xr.DataArray, rois: Any) -> float:
    """The centre of what is drawn, as the image's own value there."""
    figure = image.isel(t=0).prep.plot_rois(rois)
    lines = [line for axes in figure.axes for line in axes.collections if isinstance(line, LineCollection)]
    x, y = np.concatenate(lines[0].get_segments()).mean(axis=0)
    return float(image.isel(t=0).interp(y=y, x=x))


def stored(image: xr.DataArray, labels: xr.DataArray, folder: Path) -> float:
    image.prep.to_ome_zarr(folder / "a.zarr", labels={"cells": labels}, scale_factors=())
    found = xprep.open_image(folder / "a.zarr", label="cells")
    return float(xprep.open_image(folder / "a.zarr").isel(t=0).where(found == 7).mean())


Meeting = Callable[[xr.DataArray, xr.DataArray], float]
MASKS: dict[str, Meeting] = {
    "mask by labels": lambda i, m: mean_inside(i.prep.mask(m)),
    "mask by a boolean": lambda i, m: mean_inside(i.prep.mask(m == 7)),
    "mask, lazily": lambda i, m: mean_inside(i.chunk(y=7).prep.mask(m.chunk(9))),
    "mask of a Dataset": lambda i, m: mean_inside(i.to_dataset().prep.mask(m)["image"]),
    "mask over t": lambda i, m: mean_inside(i.prep.mask(m.expand_dims(t=2))),
}
TABLES: dict[str, Meeting] = {
    "mask by a table": lambda i, m: mean_inside(i.prep.mask(xprep.RoiTable.from_labels(m))),
    "traces": lambda i, m: float(i.prep.traces(xprep.RoiTable.from_labels(m))[0, 0]),
    "traces of labels": lambda i, m: float(xprep.traces(i, m)[0, 0]),
    "traces, lazily": lambda i, m: float(i.chunk(y=7, x=11).prep.traces(m.chunk(9))[0, 0]),
    "traces of a tree": lambda i, m: float(xr.DataTree.from_dict({"a": i.to_dataset()}).prep.traces(m)["a/image"][0, 0]),
    "centered": lambda i, m: float(i.prep.centered(m, width=0)[0, 0, 0, 0]),
    "roi_features": lambda i, m: float(i.prep.roi_features(m, width=3).dot_product[0, 0]) / 3,
    "plot_rois": outlined,
    "from disk": lambda i, m: float(i.prep.traces(_through_a_dataset(xprep.RoiTable.from_labels(m)))[0, 0]),
}


def _through_a_dataset(table: xprep.RoiTable) -> xprep.RoiTable:
    return xprep.RoiTable.from_dataset(table.to_dataset())


def compare(meeting: Meeting, case: tuple[Change, bool, bool], works: bool) -> None:
    change = case[0]
    image, labels = change(*image_and_labels())
    if not works:
        with pytest.raises(ValueError, match=r"along '[yx]'|not evenly spaced|\d+ pixels along|do not fit|masks? .*match"):
            meeting(image, labels)
        return
    assert meeting(image, labels) == pytest.approx(RIGHT, rel=1e-6)


@pytest.mark.parametrize("meeting", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_masks_lie_where_they_say(case: tuple[Change, bool, bool], meeting: Meeting) -> None:
    compare(meeting, case, case[1])


BY_POSITION = {"an array of another shape"}  # a table of pixel numbers has no shape
UNEVEN = {"uneven alike"}  # a table has an origin and a pixel size


# What is uneven is drawn by pixels: there is no place to compare.
PAIRS = [(case, meeting) for case in CASES for meeting in TABLES if "uneven" not in case or meeting != "plot_rois"]


@pytest.mark.parametrize(("case", "meeting"), PAIRS)
def test_tables_lie_where_they_say(case: str, meeting: str) -> None:
    of_labels = meeting in ("traces of labels", "traces, lazily", "traces of a tree", "centered", "roi_features", "plot_rois")
    works = CASES[case][2]
    works = works or (case in BY_POSITION and not of_labels)
    works = works and (case not in UNEVEN or of_labels)
    compare(TABLES[meeting], CASES[case], works)


@pytest.mark.parametrize("case", [name for name, (_, masks, _) in CASES.items() if "uneven" not in name])
def test_labels_of_a_store_lie_where_they_say(case: str, tmp_path: Path) -> None:
    change, works, _ = CASES[case]
    compare(lambda i, m: stored(i, m, tmp_path), (change, works, works), works)
    assert works or list(tmp_path.iterdir()) == []


# Names: masks over channels, windows over ROIs


def channels() -> xr.DataArray:
    return xr.DataArray(np.ones((3, 4, 5)), {"c": ["A", "B", "C"]}, ("c", "y", "x"))


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["A", "B", "C"], "C"),
        (["C", "B", "A"], "C"),
        (["D", "C", "A", "B"], "C"),
        (None, "C"),
        (["A", "B", "D"], KeyError),
        (["A", "A", "C"], KeyError),
        (["A", "C", "C", "B"], ValueError),
    ],
)
def test_channels_go_by_name(names: list[str] | None, kept: Any) -> None:
    image = channels()
    mask = xr.DataArray(np.zeros((len(names or "ABC"), 4, 5), bool), dims=("c", "y", "x"))
    mask = mask if names is None else mask.assign_coords(c=names)
    mask[(names or ["A", "B", "C"]).index("C") if names is None or "C" in names else 0] = True
    if not isinstance(kept, str):
        with pytest.raises(kept, match="'c'"):
            image.prep.mask(mask)
        return
    found = image.prep.mask(mask).notnull().all(("y", "x"))
    assert found.c[found.values].values.tolist() == [kept]


def test_doubled_channels_in_the_same_order_are_the_same() -> None:
    image = channels().assign_coords(c=["DAPI", "DAPI", "GFP"])
    mask = xr.DataArray(np.array([0, 1, 0], bool), {"c": image.c}, ("c",))
    assert image.prep.mask(mask).notnull().all(("y", "x")).values.tolist() == [False, True, False]


@pytest.mark.parametrize("times", [np.arange(4) * 0.1, np.datetime64("2026-01-01", "ns") + np.arange(4) * np.timedelta64(1, "s")])
def test_frames_go_by_time(times: np.ndarray) -> None:
    movie = xr.DataArray(np.ones((4, 2, 2)), {"t": times}, ("t", "y", "x"))
    lit = xr.DataArray(np.arange(4) == 2, {"t": times}, ("t",))
    assert movie.isel(t=[0, 2]).prep.mask(lit[::-1]).notnull().all(("y", "x")).values.tolist() == [False, True]
    with pytest.raises(ValueError, match="does not lie on the image: along 't'"):
        movie.prep.mask(lit[:2])
    with pytest.raises(ValueError, match=r"does not lie|do not compare"):
        movie.prep.mask(lit.assign_coords(t=np.arange(4) * 7.0))


def test_windows_go_by_roi() -> None:
    image, labels = image_and_labels()
    labels[2:5, 2:5] = 3
    table = xprep.RoiTable.from_labels(labels)
    masks, windows = table.centered_masks(3), image.prep.centered(table, width=3)
    right = xprep.rois.compute_correlation(masks, windows)
    shuffled = xprep.rois.compute_correlation(masks, windows.isel(roi=[1, 0]))
    xr.testing.assert_allclose(shuffled, right)
    with pytest.raises(ValueError, match="along 'roi'"):
        xprep.rois.compute_correlation(masks, windows.isel(roi=[1]))


# The table itself


def test_a_table_keeps_where_it_lies(tmp_path: Path) -> None:
    _, labels = image_and_labels()
    labels[2:5, 2:5] = 3
    labels = labels[:, ::-1].assign_coords(z=3.5)
    table = xprep.RoiTable.from_labels(labels)
    placement = {
        "z": PixelAxis(3.5, None),
        "y": PixelAxis(0, 0.5, "micrometer"),
        "x": PixelAxis(24.5, -0.5, "micrometer"),
    }
    table.to_dataset().to_netcdf(tmp_path / "t.nc", engine="scipy")
    table.to_dataset().to_zarr(tmp_path / "t.zarr", consolidated=False)
    with xr.open_dataset(tmp_path / "t.nc", engine="scipy") as found:
        from_netcdf = xprep.RoiTable.from_dataset(found)
    from_zarr = xprep.RoiTable.from_dataset(xr.open_zarr(tmp_path / "t.zarr", consolidated=False))
    kept = [table, table[:1], table[[1]], next(iter(table)), *table.split_planes(), pickle.loads(pickle.dumps(table))]  # noqa: S301
    kept += [from_netcdf, from_zarr, xprep.RoiTable.concat([table[:1], table[1:]])]
    assert [dict(one.placement) for one in kept] == [placement] * len(kept)
    assert table.fingerprint == from_zarr.fingerprint != table.placed(None).fingerprint
    assert table.masks((HEIGHT, WIDTH)).x.values[:2].tolist() == [24.5, 24.0]
    with pytest.raises(TypeError, match="PixelAxis"):
        xprep.RoiTable(*table.columns, table.starts, placement={"y": 0.5})
    with pytest.raises(ValueError, match="the dim 'c'"):
        xprep.RoiTable(*table.columns, table.starts, placement={"c": PixelAxis(0, 1)})
    with pytest.raises(ValueError, match="must be finite"):
        PixelAxis(0, 0)


def test_tables_of_crops_are_joined_on_one_grid() -> None:
    image, labels = image_and_labels()
    labels[2:5, 2:5] = 3
    parts = [xprep.RoiTable.from_labels(labels[10:]), xprep.RoiTable.from_labels(labels[:10, 1:])]
    whole = xprep.RoiTable.concat(parts)
    assert image.prep.traces(whole)[0].values.tolist() == [RIGHT, 1501.5]
    for wrong in (parts[1].placed(None), xprep.RoiTable.from_labels(moved(labels, 0.3))):
        with pytest.raises(ValueError, match=r"not lie on one grid along '[yx]'.*placed"):
            xprep.RoiTable.concat([parts[0], wrong])


def test_rois_that_leave_a_crop_are_refused_and_can_be_left_out() -> None:
    image, labels = image_and_labels()
    labels[2:5, 2:5] = 3
    table, crop = xprep.RoiTable.from_labels(labels), image.isel(y=slice(4, 40))
    with pytest.raises(ValueError, match=r"1 of 2 ROIs reach beyond .*the first are 3\. .*table\.inside\(image\)"):
        crop.prep.traces(table)
    assert table.inside(crop).tolist() == [False, True]
    assert table.inside(image.drop_vars(["y", "x"]).isel(x=slice(0, 20))).tolist() == [True, False]
    assert float(crop.prep.traces(table[table.inside(crop)])[0, 0]) == RIGHT


def test_pixels_of_lists_are_placed_by_hand() -> None:
    image, labels = image_and_labels()
    y, x = np.nonzero(labels.values)
    table = xprep.RoiTable.from_pixels([np.ones(y.size)], [y], [x])
    crop = image.isel(y=slice(10, 40))
    assert float(crop.prep.traces(table)[0, 0]) == RIGHT + 5000  # by position: of the crop
    assert float(crop.prep.traces(table.placed(image))[0, 0]) == RIGHT
    assert float(crop.prep.traces(table.placed(image).placed(None))[0, 0]) == RIGHT + 5000


def volume() -> xr.DataArray:
    image, _ = image_and_labels()
    stack = image.isel(t=0, drop=True).expand_dims(z=4).assign_coords(z=np.arange(4) * 2.0)
    return stack + 1e6 * xr.DataArray(range(4), dims="z")


def test_a_plane_that_was_selected_lies_in_its_stack() -> None:
    _, labels = image_and_labels()
    stack = volume()
    cells = labels.expand_dims(z=4).assign_coords(z=stack.z).copy()
    cells[:2] = 0
    plane = xprep.RoiTable.from_labels(cells.isel(z=2))
    assert float(stack.prep.traces(plane)[0]) == RIGHT + 2e6
    assert float(stack.prep.traces(cells.isel(z=3))[0]) == RIGHT + 3e6
    assert float(stack.isel(z=slice(None, None, -1)).prep.traces(plane)[0]) == RIGHT + 2e6
    assert float(stack.isel(z=1).prep.traces(plane)[0]) == RIGHT + 1e6  # one plane measures another, if that is what is given
    volumes = xprep.RoiTable.from_labels(cells)
    assert float(stack.isel(z=slice(2, 4)).prep.traces(volumes)[0]) == RIGHT + 2.5e6
    with pytest.raises(ValueError, match="reach beyond the image"):
        stack.isel(z=2).prep.traces(volumes)
    with pytest.raises(ValueError, match=r"of one plane, and the image has 4 along 'z'.*image\.isel\(z=…\)"):
        stack.prep.traces(labels)


def test_labels_are_read_once_for_all_images_and_when_called() -> None:
    image, labels = image_and_labels()
    reads: list[int] = []

    def counted(block: np.ndarray) -> np.ndarray:
        reads.append(1)
        return block

    data = labels.chunk(y=20, x=50).data.map_blocks(counted, dtype=labels.dtype, meta=np.empty((0, 0), "i4"))
    lazy = labels.copy(data=data)
    both = xr.Dataset({"a": image, "b": image + 1})
    found = both.prep.traces(lazy)
    assert len(reads) == 2
    np.testing.assert_allclose([found.a[0, 0], found.b[0, 0]], [RIGHT, RIGHT + 1])
