"""Traces, windows, features and masks of images: against plain numpy, blind to chunks, lazy, reads counted."""

import weakref

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources import CountingSource, counted, refuse
from xprep.engine.sources import read_array
from xprep.options import set_options
from xprep.rois import RoiTable
from xprep.rois.features import centered, roi_features
from xprep.rois.masking import mask
from xprep.rois.traces import traces

FEATURES = ["phase_correlation", "in_vs_out", "dot_product", "correlation"]
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# -- oracles: ten lines of plain numpy each -------------------------------------------------------------------------


def trace_oracle(movie, rois, how, skipna):
    """movie (frame, z, y, x); rois a list of (lam, z, y, x)."""
    out = np.full((len(movie), len(rois)), np.nan)
    for i, (lam, z, y, x) in enumerate(rois):
        lam = np.asarray(lam, float)
        values = movie[:, z, y, x].astype(float)
        keep = ~np.isnan(values) if skipna else np.ones_like(values, bool)
        weights = np.where(keep, lam if how in ("weighted_mean", "dot") else 1.0, 0)
        top = (weights * np.where(keep, values, 0)).sum(1)
        bottom = {"sum": 1.0, "dot": np.sqrt((weights**2).sum(1))}.get(how, weights.sum(1))
        out[:, i] = np.divide(top, bottom, where=np.not_equal(bottom, 0), out=np.full(len(movie), np.nan))
    return out


def centre_oracle(lam, y, x):
    total = np.sum(lam, dtype=float)
    return None if total == 0 else tuple(int(np.trunc(np.sum(np.multiply(lam, q, dtype=float)) / total)) for q in (y, x))


def crop_oracle(plane, centre, width, fill):
    side = 2 * width + 1
    if centre is None:
        return np.full((side, side), fill, np.float32)
    padded = np.full((plane.shape[0] + 400, plane.shape[1] + 400), fill, np.float32)
    padded[200:-200, 200:-200] = plane
    y, x = np.clip(np.array(centre) + 200, width, np.array(padded.shape) - width - 1)
    return padded[y - width : y + width + 1, x - width : x + width + 1]


def mask_oracle(lam, y, x, centre, width):
    out = np.zeros((2 * width + 1,) * 2, np.float32)
    for weight, row, column in zip(lam, y, x, strict=True):
        if centre and abs(row - centre[0]) <= width and abs(column - centre[1]) <= width:
            out[row - centre[0] + width, column - centre[1] + width] = weight
    return out


def feature_oracle(window, image, iterations, eps, surround):
    cross = np.fft.fft2(window) * np.fft.fft2(image.astype(float)).conj()
    center = window > 0
    around = scipy.ndimage.binary_dilation(center, iterations=iterations) if iterations else center
    inside, total = image[center].sum(dtype=float), image[around].sum(dtype=float)
    total = total if surround == "annulus" else inside + total
    a, b = window[around].astype(float), image[around].astype(float)
    spread = a.size > 0 and a.std() > 0 and b.std() > 0
    return {
        "phase_correlation": (cross / (eps + np.abs(cross))).mean().real,
        "in_vs_out": inside / total if total else 0.0,
        "correlation": np.corrcoef(a, b)[0, 1] if spread else np.nan,
    }


# -- inputs ---------------------------------------------------------------------------------------------------------


@st.composite
def roi_lists(draw, shape, planar=True, max_rois=6):
    """Lists of pixels: overlapping, doubled, at borders, empty, single; weights of any sign."""
    depth, height, width = shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from([np.float32, np.float64, np.uint8]))
    found = []
    for _ in range(draw(st.integers(1, max_rois))):
        count = draw(st.sampled_from([0, 1, 2, 7, 20]))
        y = np.clip(rng.integers(0, height) + rng.integers(-3, 4, count), 0, height - 1)
        x = np.clip(rng.integers(0, width) + rng.integers(-3, 4, count), 0, width - 1)
        z = np.full(count, rng.integers(0, depth)) if planar else rng.integers(0, depth, count)
        lam = rng.choice([-1, 0, 0.5, 1, 2, 3], count) if kind is not np.uint8 else rng.integers(0, 255, count)
        found.append((lam.astype(kind), z, y, x))
    return found


def table_of(found, planar=True):
    lam, z, y, x = (list(column) for column in zip(*found, strict=True))
    planes = [int(p[0]) if len(p) else 0 for p in z] if planar else z
    return RoiTable.from_pixels(lam, y, x, planes, ids=np.arange(len(lam)) * 3 + 5)


@st.composite
def chunked(draw, image):
    """The image in ragged chunks, down to 1."""
    return image.chunk({dim: tuple(draw(cuts(n))) for dim, n in image.sizes.items()})


def cuts(length):
    steps = st.sampled_from([1, 2, 3, 5, 8, length])
    return st.lists(steps, min_size=length, max_size=length).map(lambda sizes: fit(sizes, length))


def fit(sizes, length):
    out = []
    while sum(out) < length:
        out.append(min(sizes[len(out)], length - sum(out)))
    return out


@st.composite
def movies(draw, with_z):
    sizes = {"t": draw(st.integers(1, 7)), "y": draw(st.integers(1, 24)), "x": draw(st.integers(1, 24))}
    if with_z:
        sizes["z"] = draw(st.integers(1, 4))
    dims = draw(st.permutations(list(sizes)))
    dtype = draw(st.sampled_from([np.uint16, np.float32, np.int8, np.float64, bool, np.dtype(">u2"), np.float16]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, 100, [sizes[d] for d in dims]).astype(dtype)
    if values.dtype.kind == "f" and draw(st.booleans()):
        values[rng.random(values.shape) < 0.1] = np.nan
    return xr.DataArray(values, dims=dims, coords={"t": np.arange(sizes["t"]) * 0.5}, attrs={"units": "photons"}, name="movie")


def ordered(image, *dims):
    for dim in dims:
        image = image if dim in image.dims else image.expand_dims(dim)
    return image.transpose(*dims).values


def not_computing():
    return dask.config.set(scheduler=refuse)


# -- laws -----------------------------------------------------------------------------------------------------------


@FEW
@given(
    data=st.data(),
    how=st.sampled_from(["weighted_mean", "mean", "sum", "dot"]),
    skipna=st.booleans(),
    with_z=st.booleans(),
)
def test_traces(data, how, skipna, with_z):
    image = data.draw(movies(with_z))
    planar = data.draw(st.booleans()) or not with_z
    shape = (image.sizes.get("z", 1), image.sizes["y"], image.sizes["x"])
    found = data.draw(roi_lists(shape, planar))
    table = table_of(found, planar)
    wanted = trace_oracle(ordered(image, "t", "z", "y", "x"), found, how, skipna)
    with not_computing():
        lazy = traces(data.draw(chunked(image)), table, how=how, skipna=skipna)
    assert isinstance(lazy.data, da.Array)
    for result in (traces(image, table, how=how, skipna=skipna), lazy):
        assert result.dims == ("t", "roi")
        assert result.dtype == np.float64
        assert result.attrs == image.attrs
        assert result.name == image.name
        np.testing.assert_array_equal(result.roi, table.ids)
        np.testing.assert_array_equal(result.t, image.t)
        np.testing.assert_allclose(result.values, wanted, rtol=1e-12, atol=1e-12)


@FEW
@given(data=st.data(), width=st.integers(0, 6), fill=st.sampled_from([0.0, np.nan, -1.5]), with_z=st.booleans())
def test_centered(data, width, fill, with_z):
    image = data.draw(movies(with_z))
    found = data.draw(roi_lists((image.sizes.get("z", 1), image.sizes["y"], image.sizes["x"])))
    table = table_of(found)
    values = ordered(image, "t", "z", "y", "x").astype(np.float32)
    wanted = [
        [crop_oracle(frame[z[0] if len(z) else 0], centre_oracle(lam, y, x), width, fill) for frame in values]
        for lam, z, y, x in found
    ]
    with not_computing(), set_options(tile_bytes=data.draw(st.sampled_from([1, 5000, 2**25]))):
        lazy = centered(data.draw(chunked(image)), table, width=width, fill_value=fill)
    assert isinstance(lazy.data, da.Array)
    for result in (centered(image, table, width=width, fill_value=fill), lazy):
        assert result.dims == ("roi", "t", "dy", "dx")
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result.dy, np.arange(-width, width + 1))
        np.testing.assert_array_equal(result.values, np.array(wanted))


def test_centered_volumes():
    rng = np.random.default_rng(0)
    image = xr.DataArray(rng.random((2, 3, 12, 14)), dims=("c", "z", "y", "x"), coords={"z": [0.0, 2.0, 4.0]})
    table = RoiTable.from_pixels([np.ones(3)], [[0, 1, 1]], [[13, 13, 13]], [[0, 1, 2]])
    wanted = np.stack([[crop_oracle(p, (0, 13), 2, 7) for p in channel] for channel in image.values.astype(np.float32)])
    for img in (image, image.chunk({"z": 2, "y": 5, "x": 5})):
        result = centered(img, table, width=2, fill_value=7)
        assert result.dims == ("roi", "c", "z", "dy", "dx")
        np.testing.assert_array_equal(result.z, image.z)
        np.testing.assert_array_equal(result.values[0], wanted)


@FEW
@given(
    data=st.data(),
    width=st.integers(1, 6),
    iterations=st.integers(0, 5),
    eps=st.sampled_from([1e6, 1.0]),
    surround=st.sampled_from(["filled", "annulus"]),
)
def test_features(data, width, iterations, eps, surround):
    image = data.draw(movies(with_z=True))
    if image.dtype.kind == "f":
        image = image.fillna(1)
    found = data.draw(roi_lists((image.sizes["z"], image.sizes["y"], image.sizes["x"])))
    table = table_of(found)
    options = {"width": width, "iterations": iterations, "eps": eps, "surround": surround}
    values = ordered(image, "t", "z", "y", "x").astype(np.float32)
    dots = trace_oracle(values, found, "dot", False).T
    with not_computing():
        lazy = roi_features(data.draw(chunked(image)), table, **options)
    assert all(isinstance(variable.data, da.Array) for variable in lazy.data_vars.values())
    for result in (roi_features(image, table, **options), lazy.compute()):
        assert list(result) == FEATURES
        np.testing.assert_allclose(result.dot_product.transpose("roi", "t"), dots, rtol=1e-6, atol=1e-9)
        for i, (lam, z, y, x) in enumerate(found):
            centre = centre_oracle(lam, y, x)
            window = mask_oracle(lam, y, x, centre, width)
            for t, frame in enumerate(values):
                crop = crop_oracle(frame[z[0] if len(z) else 0], centre, width, 0)
                for name, wanted in feature_oracle(window, crop, iterations, eps, surround).items():
                    got = result[name].isel(roi=i, t=t).item()
                    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5, err_msg=name)


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


@FEW
@given(data=st.data(), invert=st.booleans(), outside=st.sampled_from([np.nan, 0, 7, -1, 0.5]), with_z=st.booleans())
def test_mask(data, invert, outside, with_z):
    image = data.draw(movies(with_z))
    shape = (image.sizes.get("z", 1), image.sizes["y"], image.sizes["x"])
    found = data.draw(roi_lists(shape))
    inside = np.zeros(shape, bool)
    for _, z, y, x in found:
        inside[z, y, x] = True
    space = ("z", "y", "x") if with_z else ("y", "x")
    dense = xr.DataArray(inside if with_z else inside[0], dims=space)
    wanted = ordered(image.astype(float).where(dense != invert, outside), *image.dims)
    labels = dense.astype(np.uint8) * 9
    lazy = data.draw(chunked(image))
    with not_computing():
        results = [mask(lazy, rois, outside=outside, invert=invert) for rois in (table_of(found), labels, labels.chunk(2))]
    assert all(isinstance(result.data, da.Array) for result in results)
    results += [mask(image, rois, outside=outside, invert=invert) for rois in (table_of(found), labels, dense, dense.values)]
    for result in results:
        assert result.dims == image.dims
        assert result.attrs == image.attrs
        np.testing.assert_array_equal(result.values.astype(float), wanted)
        if image.dtype.kind == "f" or (image.dtype == np.uint16 and outside in (0, 7)):
            assert result.dtype == image.dtype


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


def test_same_bits_in_any_engine():
    values, table = movie_and_table(50)
    image = xr.DataArray(da.from_array(values, chunks=(7, 20, 30)), dims=("t", "y", "x"))
    lazy = [make(image, table) for make in (traces, roi_features, mask)]
    engines = ("threads", "sync", "processes")
    for one, two, three in zip(*(dask.compute(*lazy, scheduler=name) for name in engines), strict=True):
        xr.testing.assert_identical(one, two)
        xr.testing.assert_identical(one, three)


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
    with pytest.raises(TypeError, match="RoiTable"):
        function(IMAGE, np.zeros((20, 20), int))


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
    with pytest.raises(ValueError, match=text):
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
