"""The table: its door, its conversions, label images, lazy masks."""

import pickle
import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xprep.options import options, set_options
from xprep.rois import RoiTable

FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def some_table(volumetric=False, seed=0, count=5, lam=np.float32):
    """Overlapping ROIs of 0 … 7 pixels, some of them doubled."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 8, count)
    y, x = ([rng.integers(0, 20, n) for n in sizes] for _ in range(2))
    z = [rng.integers(0, 3, n) for n in sizes] if volumetric else rng.integers(0, 3, count)
    return RoiTable.from_pixels([rng.normal(size=n).astype(lam) for n in sizes], y, x, z)


def assert_same(one, two):
    for name in ("lam", "zpix", "ypix", "xpix", "starts", "ids"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.volumetric == two.volumetric
    assert one.fingerprint == two.fingerprint


# -- the door -------------------------------------------------------------------------------------------------------

GOOD = {"lam": [[1.0, 2.0], [3.0]], "ypix": [[1, 2], [3]], "xpix": [[4, 5], [6]]}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lam": [[1.0, 2.0]]}, "one entry a ROI"),
        ({"lam": [[1.0], [3.0]]}, "ROI 0"),
        ({"ypix": [[1, 2], [3, 4]]}, "ROI 1"),
        ({"ypix": [[[1, 2]], [3]]}, "ROI 0"),
        ({"ypix": [[1.0, 2.0], [3.0]]}, "integers"),
        ({"xpix": [[1, np.nan], [3]]}, "integers"),
        ({"xpix": [[1, -1], [3]]}, "-1"),
        ({"xpix": [[1, 2**31], [3]]}, "2147483648"),
        ({"lam": [[1.0, np.nan], [3.0]]}, "finite"),
        ({"lam": [[1.0, np.inf], [3.0]]}, "finite"),
        ({"lam": [["a", "b"], ["c"]]}, "real"),
        ({"zpix": [0]}, "one entry a ROI"),
        ({"zpix": [0.5, 1.0]}, "integers"),
        ({"zpix": [[0, 1], [2, 3]]}, "ROI 1"),
        ({"ids": [1, 1]}, "different"),
        ({"ids": [1, 2, 3]}, "one name a ROI"),
        ({"lam": [], "ypix": [], "xpix": []}, "no ROIs"),
    ],
)
def test_what_is_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        RoiTable.from_pixels(**{**GOOD, **changes})


def test_columns_given_directly_are_checked():
    good = {
        "lam": np.ones(3),
        "zpix": np.zeros(3, int),
        "ypix": np.arange(3),
        "xpix": np.arange(3),
        "starts": [0, 2, 3],
    }
    assert len(RoiTable(**good)) == 2
    for starts in ([0, 2], [0, 3, 2], [1, 3], [0, 2, 4], []):
        with pytest.raises(ValueError, match="starts"):
            RoiTable(**{**good, "starts": np.array(starts, int)})
    with pytest.raises(ValueError, match="planar ROI"):
        RoiTable(**{**good, "zpix": np.array([0, 1, 1])})
    assert RoiTable(**{**good, "zpix": np.array([0, 0, 1])}).planes.tolist() == [0, 1]
    with pytest.raises(ValueError, match="one entry a pixel"):
        RoiTable(**{**good, "lam": np.ones(2)})


def test_immutable():
    lam, y = np.ones(2), np.array([1, 2])
    table = RoiTable.from_pixels([lam], [y], [y])
    y[:] = 9
    assert table.ypix.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        table.ypix[0] = 3
    with pytest.raises(AttributeError):
        table.lam = lam
    own = np.ones(2)
    direct = RoiTable(own, np.zeros(2, int), y, y, np.array([0, 2]))
    own[:] = 5
    assert direct.lam.tolist() == [1, 1]


@pytest.mark.parametrize("volumetric", [False, True])
def test_a_pickle_is_checked_and_frozen_again(volumetric):
    table = some_table(volumetric)
    copy = pickle.loads(pickle.dumps(table))  # noqa: S301
    assert_same(copy, table)
    assert not copy.ypix.flags.writeable
    assert dask.base.tokenize(copy) == dask.base.tokenize(table) != dask.base.tokenize(table[1:])


def test_slices():
    table = some_table(count=6)
    assert len(table[2]) == 1
    assert table[2].ids.tolist() == [2]
    assert table[-1].ids.tolist() == [5]
    assert table[1:4].ids.tolist() == [1, 2, 3]
    assert table[[4, 0]].ids.tolist() == [4, 0]
    assert table[np.arange(6) % 2 == 0].ids.tolist() == [0, 2, 4]
    assert table[[]].ids.size == 0
    assert [one.ids[0] for one in table] == list(range(6))
    assert_same(RoiTable.concat(list(table)), table)
    with pytest.raises(IndexError):
        table[6]
    for i, one in enumerate(table[[4, 0]]):
        np.testing.assert_array_equal(one.ypix, table.ypix[slice(*table.starts[[4, 0][i] :][:2])])


def test_what_it_says():
    table = some_table()
    assert repr(table).startswith("<xprep.RoiTable 5 ROIs, ")
    assert len(repr(table)) < 120
    assert "<table>" in table._repr_html_()
    assert "planar" in table._repr_html_()
    assert repr(table[:0]) == "<xprep.RoiTable 0 ROIs, 0 pixels, planar>"


def test_flat_is_the_references_form():
    from xprep.rois import flatten_roi_data

    flat = flatten_roi_data(**GOOD, zpix=[2, 0])
    found = RoiTable.from_pixels(**GOOD, zpix=[2, 0]).flat()
    assert set(found) == set(flat)
    for name, column in flat.items():
        np.testing.assert_array_equal(found[name], column)


# -- conversions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("volumetric", [False, True])
@pytest.mark.parametrize("lam", [np.float32, np.float64])
def test_dataset_and_zarr(tmp_path, volumetric, lam):
    table = some_table(volumetric, lam=lam)
    assert_same(RoiTable.from_dataset(table.to_dataset()), table)
    table.to_dataset().to_zarr(tmp_path / "rois.zarr", consolidated=False)
    stored = xr.open_zarr(tmp_path / "rois.zarr", consolidated=False)
    assert_same(RoiTable.from_dataset(stored), table)


def test_names_and_empty_tables_survive_zarr(tmp_path):
    table = RoiTable.from_pixels(**GOOD, ids=["soma", "dendrite 2"])
    table.to_dataset().to_zarr(tmp_path / "named.zarr", consolidated=False)
    back = RoiTable.from_dataset(xr.open_zarr(tmp_path / "named.zarr", consolidated=False))
    assert_same(back, table)
    none = table[:0]
    none.to_dataset().to_zarr(tmp_path / "none.zarr", consolidated=False)
    assert len(RoiTable.from_dataset(xr.open_zarr(tmp_path / "none.zarr", consolidated=False))) == 0


def test_a_dataset_of_something_else():
    with pytest.raises(KeyError, match="pixel_count"):
        RoiTable.from_dataset(xr.Dataset({"lam": ("pixel", [1.0])}))


def test_what_is_given_for_suite2p(tmp_path):
    cell = {"ypix": np.array([3, 4]), "xpix": np.array([5, 5]), "lam": np.array([0.2, 0.8])}
    np.save(tmp_path / "list.npy", np.array([cell, cell], object), allow_pickle=True)
    np.save(tmp_path / "one.npy", cell, allow_pickle=True)
    for name, count in (("list.npy", 2), ("one.npy", 1)):
        assert len(RoiTable.from_suite2p(np.load(tmp_path / name, allow_pickle=True))) == count
        for path in (tmp_path / name, str(tmp_path / name)):
            with pytest.raises(TypeError, match=rf"no path.*numpy\.load\('.*{name}', allow_pickle=True\)"):
                RoiTable.from_suite2p(path)
    assert len(RoiTable.from_suite2p(cell)) == 1
    with pytest.raises(TypeError, match=r"one dict with the keys \['ops', 'stat'\]"):
        RoiTable.from_suite2p({"stat": [cell], "ops": {}})
    for wrong in ([cell, 3], 7, [[cell]], [""]):
        with pytest.raises(TypeError, match="a list with a dict a ROI"):
            RoiTable.from_suite2p(wrong)


def test_suite2p():
    rng = np.random.default_rng(0)
    stat = np.empty(3, object)
    for i in range(3):
        stat[i] = {
            "ypix": rng.integers(0, 9, 4), "xpix": rng.integers(0, 9, 4), "lam": rng.random(4).astype(np.float32),
            "overlap": np.array([True, False, False, i == 1]), "med": (3, 4), "npix": 4, "iplane": i,
        }  # fmt: skip
    table = RoiTable.from_suite2p(stat)
    assert table.planes.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(table[1].ypix, stat[1]["ypix"])
    np.testing.assert_array_equal(table[2].lam, stat[2]["lam"])
    assert RoiTable.from_suite2p(stat, plane=4).planes.tolist() == [4, 4, 4]
    assert np.diff(RoiTable.from_suite2p(stat, exclude_overlap=True).starts).tolist() == [3, 2, 3]
    without = [{k: v for k, v in cell.items() if k != "lam"} for cell in stat]
    with pytest.raises(KeyError, match="lam"):
        RoiTable.from_suite2p(without)
    with pytest.raises(ValueError, match="no ROIs"):
        RoiTable.from_suite2p([])


def test_planes():
    table = RoiTable.from_pixels([[1.0]] * 3, [[1]] * 3, [[1]] * 3, [3, 0, 3])
    parts = table.split_planes(5)
    assert [part.ids.tolist() for part in parts] == [[1], [], [], [0, 2], []]
    assert [len(part) for part in table.split_planes()] == [1, 0, 0, 2]
    assert RoiTable.concat(parts).ids.tolist() == [1, 0, 2]
    with pytest.raises(ValueError, match="num_planes=3"):
        table.split_planes(3)
    with pytest.raises(ValueError, match="volumetric"):
        some_table(True).split_planes()
    with pytest.raises(ValueError, match="planar"):
        RoiTable.concat([table, some_table(True)])
    with pytest.raises(ValueError, match="planar"):
        RoiTable.concat([])
    assert RoiTable.concat([table, table]).ids.tolist() == [0, 1, 2, 3, 4, 5]


def test_centroids_without_a_centre():
    table = RoiTable.from_pixels([[], [1.0, -1.0], [1.0]], [[], [1, 2], [3]], [[], [1, 2], [4]])
    with pytest.raises(ValueError, match="2 ROIs have no centroid"):
        table.centroids()
    found = table.centroids(asint=False)
    np.testing.assert_array_equal(found.y, [np.nan, np.nan, 3])
    windows = table.centered_masks(1, fill_value=-2).values
    assert (windows[:2] == -2).all()
    assert windows[2, 1, 1] == 1
    with pytest.raises(ValueError, match="method"):
        table.centroids("mode")


def test_centroids_do_not_overflow_and_truncate():
    table = RoiTable.from_pixels([np.array([200, 200], np.uint8)], [np.array([200, 201], np.uint8)], [np.array([7, 8], np.uint8)])
    found = table.centroids()
    assert (found.y.item(), found.x.item()) == (200, 7)
    assert found.y.dtype == np.int64
    volume = RoiTable.from_pixels([[1.0, 3.0]], [[0, 4]], [[1, 1]], [[2, 4]])
    assert volume.centroids(asint=False).z.item() == 3.5
    assert volume.centroids("median").y.item() == 2


# -- label images ---------------------------------------------------------------------------------------------------


def label_oracle(labels):
    return {int(i): np.nonzero(labels == i) for i in np.unique(labels) if i}


@FEW
@given(
    data=st.data(),
    shape=st.one_of(st.tuples(st.integers(1, 30), st.integers(1, 30)), st.tuples(*[st.integers(1, 9)] * 3)),
    dtype=st.sampled_from(["u1", "i2", "u4", ">i4", "i8", "u8"]),
    density=st.sampled_from([0.0, 0.2, 0.9]),
    patchy=st.booleans(),
)
def test_labels(data, shape, dtype, density, patchy):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(1, 100, shape)
    if patchy:
        values = np.repeat(values, 3, axis=-1)[..., : shape[-1]]
    values = np.where(rng.random(shape) < density, values, 0).astype(dtype)
    if np.dtype(dtype).itemsize == 8 and values.size:
        values.flat[0] = np.iinfo(dtype).max // 2
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    dims = ("z", "y", "x")[-len(shape) :]
    oracle = label_oracle(values)
    lazy = xr.DataArray(da.from_array(values, chunks=chunks), dims=dims)
    turned = lazy.transpose(*reversed(dims))
    for table in map(RoiTable.from_labels, (values, lazy, turned, lazy.data)):
        assert table.ids.tolist() == list(oracle)
        assert table.volumetric == (len(shape) == 3)
        assert (table.lam == 1).all()
        for one, wanted in zip(table, oracle.values(), strict=True):
            columns = (one.zpix, one.ypix, one.xpix)[-len(shape) :]
            for column, places in zip(columns, wanted, strict=True):
                np.testing.assert_array_equal(column, places)


def test_labels_are_read_once():
    reads = []
    values = np.random.default_rng(0).integers(0, 5, (30, 30))

    def read(block, block_info=None):
        reads.append(tuple(block_info[0]["chunk-location"]))
        return block

    lazy = da.from_array(values, chunks=(8, 11)).map_blocks(read, dtype=values.dtype, meta=np.empty((0, 0), int))
    assert len(RoiTable.from_labels(lazy)) == 4
    assert sorted(reads) == sorted(np.ndindex(4, 3))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4), bool), "scipy.ndimage.label"),
        (np.array([[0, -1]]), "negative"),
        (np.zeros(4, int), "axes"),
        (xr.DataArray(np.zeros((2, 3, 3), int), dims=("t", "y", "x")), "isel"),
        (xr.DataArray(np.zeros((2, 3), int), dims=("z", "x")), "dims y and x"),
    ],
)
def test_bad_labels(labels, text):
    with pytest.raises(ValueError, match=text):
        RoiTable.from_labels(labels)


def test_labels_without_rois():
    assert len(RoiTable.from_labels(np.zeros((5, 5), int))) == 0


# -- lazy masks -----------------------------------------------------------------------------------------------------


def mask_oracle(table, shape):
    out = np.zeros((len(table), *shape), np.float32)
    rois = np.repeat(np.arange(len(table)), np.diff(table.starts))
    for roi, *place, weight in zip(rois, table.zpix, table.ypix, table.xpix, table.lam, strict=True):
        out[(roi, *place[3 - len(shape) :])] = weight
    return out


@FEW
@given(seed=st.integers(0, 1000), volumetric=st.booleans(), deep=st.booleans(), tile=st.sampled_from([1, 4000, 2**25]))
def test_masks(seed, volumetric, deep, tile):
    table = some_table(volumetric, seed)
    shape = (4, 21, 22) if volumetric or deep else (21, 22)
    with set_options(tile_bytes=tile):
        masks = table.masks(shape, volumetric=None if volumetric else deep)
    assert masks.dims == ("roi", *("zyx"[3 - len(shape) :]))
    assert masks.dtype == np.float32
    np.testing.assert_array_equal(masks.values, mask_oracle(table, shape))


WAYS_TO_MASKS = {
    "whole": lambda masks: masks.compute(),
    "values": lambda masks: masks.copy(data=masks.values),
    "of its blocks": lambda masks: masks.copy(data=da.map_blocks(np.array, masks.data, dtype="f4").compute()),
    "persisted": lambda masks: masks.persist().compute(),
    "pickled": lambda masks: pickle.loads(pickle.dumps(masks)).compute(),  # noqa: S301
    "pickled blocks": lambda masks: masks.copy(
        data=masks.data.__dask_postcompute__()[0](
            [[[pickle.loads(pickle.dumps(masks.data.blocks[i].compute()))]] for i in range(masks.data.numblocks[0])]  # noqa: S301
        )
    ),
    "one by one": lambda masks: xr.concat([masks[i].compute() for i in range(len(masks))], "roi"),
    "doubled": lambda masks: (2 * masks).compute() / 2,
    "in processes": lambda masks: masks.compute(scheduler="processes"),
}


@pytest.mark.parametrize("way", WAYS_TO_MASKS)
def test_masks_are_the_same_however_they_are_computed(way):
    """Whole, they are put together from what their blocks remember; of what is made of them, nothing is remembered."""
    table = some_table(count=9)
    with set_options(tile_bytes=4 * 20 * 20 * 2):  # two ROIs a block
        masks = table.masks((20, 20))
    expected = np.zeros((9, 20, 20), np.float32)
    for i in range(9):
        part = slice(table.starts[i], table.starts[i + 1])
        for y, x, lam in zip(table.ypix[part], table.xpix[part], table.lam[part], strict=True):
            expected[i, y, x] = lam
    found = WAYS_TO_MASKS[way](masks)
    assert masks.data.numblocks[0] > 1
    assert type(found.data) is np.ndarray
    np.testing.assert_array_equal(found.values, expected)


def test_masks_of_large_planes_are_cut(monkeypatch):
    monkeypatch.setattr("xprep.rois.table.masks.MAX_SIDE", 8)
    table = some_table(count=4)
    masks = table.masks((21, 22))
    assert masks.data.chunks[1:] == ((8, 8, 5), (8, 8, 6))
    np.testing.assert_array_equal(masks.values, mask_oracle(table, (21, 22)))


def test_masks_are_lazy():
    """20 000 ROIs on 1024²: 80 GB which nobody allocates; a few of them are made from their own pixels."""
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, 1024, (2, 20_000, 3))
    table = RoiTable.from_pixels(list(np.ones((20_000, 3), np.float32)), list(y), list(x))
    masks = table.masks((1024, 1024))
    assert masks.nbytes == 20_000 * 1024 * 1024 * 4
    assert max(masks.data.chunks[0]) == options().tile_bytes // 2**22
    some = masks.isel(roi=[3, 19_999]).values
    np.testing.assert_array_equal(some, mask_oracle(table[[3, 19_999]], (1024, 1024)))


@pytest.mark.parametrize(
    ("shape", "volumetric", "text"),
    [((20, 19), None, "x = 19"), ((19, 20), None, "y = 19"), ((20,), None, "2 lengths"), ((20, 20), True, "3 lengths"),
     ((2, 20, 20), True, "z = 2"), ((0, 20), None, "1 or more")],
)  # fmt: skip
def test_masks_of_other_shapes(shape, volumetric, text):
    table = RoiTable.from_pixels([[1.0]], [[19]], [[19]], [2])
    with pytest.raises(ValueError, match=text):
        table.masks(shape, volumetric)


def test_centered_masks_of_planes():
    table = RoiTable.from_pixels([[1.0, 2.0]], [[5, 5]], [[5, 6]], [[1, 1]])
    windows = table.centered_masks(2)
    assert windows.sizes == {"roi": 1, "z": 2, "dy": 5, "dx": 5}
    assert windows.values[0, 1, 2].tolist() == [0, 0, 1, 2, 0]
    assert table.centered_masks(2, num_planes=4).sizes["z"] == 4
    with pytest.raises(ValueError, match="num_planes"):
        table.centered_masks(2, num_planes=1)


def test_a_table_of_labels_takes_little_more_than_itself():
    """8 bytes a pixel (int32 y and x) and 20 a run; lists of `numpy.nonzero` in the boxes of `find_objects` take 16."""
    line = np.arange(1024)
    cells = (line[:, None] // 24 * 43 + line // 24 + 1).astype("u4")
    cells[((line[:, None] % 24 - 12) ** 2 + (line % 24 - 12) ** 2) > 110] = 0
    RoiTable.from_labels(cells[:50, :50])  # compile
    tracemalloc.start()
    table = RoiTable.from_labels(cells)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.ypix.size == (cells > 0).sum()
    assert held < 8.5 * table.ypix.size
    assert peak < 11 * table.ypix.size
