"""Traces, windows, features and masks of images: volumes, reads counted, bad input; their laws are in `test_laws`."""

import weakref

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.helpers.sources import CountingSource, counted
from tests.laws.dense_rois import crop
from xprep.engine.sources.readable import read_array
from xprep.rois import RoiTable
from xprep.rois.images.features import centered, roi_features
from xprep.rois.images.masking import mask
from xprep.rois.images.traces import traces

# -- windows --------------------------------------------------------------------------------------------------------


def test_centered_volumes():
    rng = np.random.default_rng(0)
    image = xr.DataArray(rng.random((2, 3, 12, 14)), dims=("c", "z", "y", "x"), coords={"z": [0.0, 2.0, 4.0]})
    table = RoiTable.from_pixels([np.ones(3)], [[0, 1, 1]], [[13, 13, 13]], [[0, 1, 2]])
    wanted = np.stack([[crop(p, (0, 13), 2, 7) for p in channel] for channel in image.values.astype(np.float32)])
    for img in (image, image.chunk({"z": 2, "y": 5, "x": 5})):
        result = centered(img, table, width=2, fill_value=7)
        assert result.dims == ("roi", "c", "z", "dy", "dx")
        np.testing.assert_array_equal(result.z, image.z)
        np.testing.assert_array_equal(result.values[0], wanted)


def test_features_windowed_and_volumetric():
    """A taper is put on both windows, and only for the phase; volumes go through the same functions."""
    from xprep import rois

    rng = np.random.default_rng(1)
    image = xr.DataArray(rng.random((3, 30, 32)), dims=("z", "y", "x"))
    table = RoiTable.from_pixels(
        [rng.random(40)], [rng.integers(10, 16, 40)], [rng.integers(10, 16, 40)], [rng.integers(0, 3, 40)]
    )
    found = roi_features(image.chunk({"z": 1, "y": 7, "x": 9}), table, width=6, iterations=2, window="hann").compute()
    masks = table.centered_masks(6, num_planes=3).values
    crops = centered(image, table, width=6).values
    taper = np.outer(np.hanning(13), np.hanning(13))
    phase = rois.phase_correlation_zero(masks * taper, crops * taper, volumetric=True)
    filtered = rois.surround_filter(masks, crops, iterations=2, volumetric=True)
    np.testing.assert_allclose(found.phase_correlation, phase, rtol=1e-4)
    np.testing.assert_allclose(found.in_vs_out, rois.in_vs_out(masks, crops, iterations=2, volumetric=True), rtol=1e-5)
    np.testing.assert_allclose(found.correlation, rois.compute_correlation(*filtered, volumetric=True), rtol=1e-5)
    weights = roi_features(image, table, width=6, iterations=2, window=taper)
    np.testing.assert_allclose(weights.phase_correlation, found.phase_correlation, rtol=1e-6)


# -- reads ----------------------------------------------------------------------------------------------------------


def movie_and_table(count, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1000, (20, 64, 64), np.uint16)
    y, x = rng.integers(0, 64, (2, count, 5))
    return values, RoiTable.from_pixels(list(np.ones((count, 5))), list(y), list(x))


def counted_movie(values, t, side):
    return counted(xr.DataArray(values, dims=("t", "y", "x")), {"t": t, "y": side, "x": side})


@pytest.mark.parametrize("count", [30, 300])
def test_traces_read_every_chunk_once(count):
    values, table = movie_and_table(count)
    movie, source = counted_movie(values, 5, 16)
    traces(movie, table).compute(scheduler="threads")
    assert len(source.reads) == 4 * 4 * 4
    assert set(source.reads.values()) == {1}


@pytest.mark.parametrize("function", [traces, centered, roi_features])
def test_only_touched_chunks_are_read(function):
    """Two ROIs in two corners: traces read the chunks of their pixels, windows and features those of their windows."""
    values, _ = movie_and_table(1)
    table = RoiTable.from_pixels([[1.0], [1.0, 2.0]], [[3], [60, 61]], [[3], [60, 61]])
    movie, source = counted_movie(values, 20, 16)
    function(movie, table, **({} if function is traces else {"width": 5})).compute(scheduler="threads")
    assert source.reads == {(0, 0, 0): 1, (0, 3, 3): 1}


def test_a_roi_beyond_its_window_is_read_for_its_dot_product():
    values, _ = movie_and_table(1)
    table = RoiTable.from_pixels([[1.0, 1.0, 1.0]], [[3, 3, 3]], [[3, 3, 40]])
    movie, source = counted_movie(values, 20, 16)
    roi_features(movie, table, width=2).compute(scheduler="threads")
    assert source.reads == {(0, 0, 0): 1, (0, 0, 1): 1, (0, 0, 2): 1}


def test_features_read_every_chunk_once():
    values, table = movie_and_table(300)
    movie, source = counted_movie(values, 10, 16)
    roi_features(movie, table, width=7).compute(scheduler="threads")
    assert set(source.reads.values()) == {1}


class Watched(CountingSource):
    """Counts how many of its chunks are alive at once."""

    def __init__(self, *args):
        super().__init__(*args)
        self.alive = self.peak = 0

    def read(self, region):
        chunk = super().read(region)
        with self._lock:
            self.alive += 1
            self.peak = max(self.peak, self.alive)
        weakref.finalize(chunk, self.gone)
        return chunk

    def gone(self):
        self.alive -= 1


@pytest.mark.parametrize("count", [20, 2000])
@pytest.mark.parametrize(
    ("function", "most"),
    [(traces, 3), (mask, 4), (roi_features, 3)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_few_chunks_are_alive(function, most, count):
    """Two threads: a chunk of the movie lives for one task, whatever its length and the number of ROIs."""
    rng = np.random.default_rng(0)
    y, x = np.clip(rng.integers(0, 128, (2, count, 1)) + rng.integers(-2, 3, (2, count, 4)), 0, 127)
    table = RoiTable.from_pixels(list(np.ones((count, 4))), list(y), list(x))
    source = Watched(np.ones((4, 128, 128), np.float32), (1, 16, 8) if function is not roi_features else (4, 8, 16))
    movie = xr.DataArray(read_array(source, token=f"watched-{id(source):x}"), dims=("t", "y", "x"))
    lazy = function(movie, table, **({"width": 3} if function is roi_features else {}))
    wanted = lazy.sum() if function is mask else lazy
    wanted.compute(scheduler="threads", num_workers=2)
    assert source.nchunks > 100
    assert source.peak <= most


def test_graphs_are_small():
    """Tasks a chunk are few: one read, one sum, and a share of joins."""
    values, table = movie_and_table(300)
    image = xr.DataArray(da.from_array(values, chunks=(5, 8, 8)), dims=("t", "y", "x"))
    chunks = image.data.npartitions
    assert len(dict(traces(image, table).data.dask)) <= 3 * chunks
    assert len(dict(roi_features(image, table, width=3).__dask_graph__())) <= 5 * chunks


# -- bad input ------------------------------------------------------------------------------------------------------

IMAGE = xr.DataArray(np.zeros((3, 20, 20)), dims=("t", "y", "x"))
TABLE = RoiTable.from_pixels([[1.0]], [[4]], [[5]])


@pytest.mark.parametrize("function", [traces, centered, roi_features, mask])
def test_tables_of_other_images(function):
    far = RoiTable.from_pixels([[1.0]], [[4]], [[20]])
    deep = RoiTable.from_pixels([[1.0]], [[4]], [[5]], [2])
    with pytest.raises(ValueError, match="x = 20"):
        function(IMAGE, far)
    with pytest.raises(ValueError, match="has no z"):
        function(IMAGE, deep)
    with pytest.raises(ValueError, match="z = 2"):
        function(IMAGE.rename(t="z").isel(z=slice(2)), deep)
    with pytest.raises(ValueError, match="rename"):
        function(IMAGE.rename(y="row"), TABLE)


@pytest.mark.parametrize("function", [traces, centered, roi_features])
def test_not_a_table(function):
    for wrong in ("cells", [[1, 2]], TABLE.to_dataset(), None):
        with pytest.raises(TypeError, match="rois must be a RoiTable or a label image"):
            function(IMAGE, wrong)
    with pytest.raises(ValueError, match=r"got bool.*mask.astype\(int\) is one ROI"):
        function(IMAGE, np.zeros((20, 20), bool))
    with pytest.raises(ValueError, match="labels must be integers, got float64"):
        function(IMAGE, np.zeros((20, 20)))
    with pytest.raises(ValueError, match="dims y and x"):
        function(IMAGE, xr.zeros_like(IMAGE, dtype=int))


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (traces, {"how": "median"}, "median"),
        (centered, {"width": -1}, "width"),
        (centered, {"width": 2.0}, "width"),
        (roi_features, {"iterations": -1}, "iterations"),
        (roi_features, {"eps": -1.0}, "eps"),
        (roi_features, {"eps": np.nan}, "eps"),
        (roi_features, {"surround": "ring"}, "ring"),
        (roi_features, {"window": np.ones((3, 3))}, "window"),
    ],
)
def test_bad_options(function, options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        function(IMAGE, TABLE, **options)


@pytest.mark.parametrize(
    ("rois", "text"),
    [
        (np.zeros((20, 20)), "float64"),
        (np.zeros((19, 20), bool), "match"),
        (xr.DataArray(np.zeros((20, 20), int), dims=("y", "z")), "match"),
        (np.zeros(20, int), "axes"),
    ],
)
def test_bad_masks(rois, text):
    with pytest.raises(ValueError, match=text):
        mask(IMAGE, rois)


def test_windows_larger_than_the_image():
    """They are filled, not refused."""
    result = centered(IMAGE + 1, TABLE, width=30, fill_value=-1)
    assert result.sizes == {"roi": 1, "t": 3, "dy": 61, "dx": 61}
    assert (result.values == 1).sum() == IMAGE.size
    assert np.isfinite(roi_features(IMAGE + 1, TABLE, width=30).in_vs_out).all()


def test_tables_without_rois():
    none = TABLE[:0]
    for image in (IMAGE, IMAGE.chunk(y=7)):
        assert traces(image, none).shape == (3, 0)
        assert centered(image, none, width=2).compute().shape == (0, 3, 5, 5)
        assert roi_features(image, none).compute().sizes == {"roi": 0, "t": 3}
        assert np.isnan(mask(image, none).values).all()
