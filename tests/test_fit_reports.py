"""Numbers and words of reports about `normalize`; pictures of parameters and histograms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.sources import counted
from xprep.engine.gather import Place
from xprep.engine.histograms import histogram
from xprep.engine.seen import join_seen, look
from xprep.plot.histograms import bars_of


def cells(shape: tuple[int, int] = (96, 128)) -> xr.DataArray:
    return xprep.datasets.blobs(channels=3, shape=shape, density=0.005)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_report_counts_what_was_capped(dtype: str, tmp_path: Path) -> None:
    image = cells().chunk({"y": 32})
    report = image.prep.normalize(cap_max=0.7, dtype=dtype).prep.to_ome_zarr(tmp_path / "a.zarr", chunks={"y": 32, "x": 32})
    free = image.prep.normalize(dtype=dtype).values
    assert report.capped == {name: int((one > 0.7).sum()) for name, one in zip(image.c.values, free, strict=True)}
    assert min(report.capped.values()) > 0
    again = image.prep.normalize(cap_max=1e6, dtype=dtype).prep.to_ome_zarr(tmp_path / "b.zarr")
    assert again.capped == dict.fromkeys(image.c.values.tolist(), 0)


def test_of_tiles_only_those_that_reach_the_largest_value_count() -> None:
    tiles = [np.array([[[1.0, 0.5, 1.0]]]), np.array([[[0.25, 0.25, np.nan]]]), np.array([[[1.0, 0.0, 0.0]]])]
    place = Place(((0, 1), (0, 1), (0, 3)), ((0, 1), (0, 1), (0, 3)), (1, 1, 3))
    assert join_seen([look(tile, 0, place) for tile in tiles]).channels[0].at_high == 3


def test_without_a_cap_or_with_steps_behind_it_nothing_is_counted(tmp_path: Path) -> None:
    image = cells().chunk({"y": 32})
    assert image.prep.normalize().prep.to_ome_zarr(tmp_path / "a.zarr").capped is None
    smooth = image.prep.normalize(cap_max=0.7).prep.gaussian_filter(1)
    assert smooth.prep.to_ome_zarr(tmp_path / "b.zarr").capped is None
    plain = image.prep.to_ome_zarr(tmp_path / "c.zarr")
    assert (plain.capped, plain.left_out, plain.methods) == (None, None, "")


METHODS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "the defaults": ({}, ["percentile 99;", "deviation 2 pixels)", "percentile 5 of the sums", "exact"], ["capped"]),
    "no p": ({"p": None, "p_post": None}, ["divided by their sum"], ["divided by its percentile"]),
    "a length": ({"sigma": "1 um"}, ["deviation 1 um)"], []),
    "sigmas": ({"sigma": [0, 1, 2]}, ["deviation 0 pixels, 1 pixels, 2 pixels, by channel"], []),
    "no blur": ({"sigma": None}, [], ["blurred by"]),
    "a cap": ({"cap_max": 0.7}, ["capped at 0.7 (marker 1: "], []),
    "no sums": ({"norm_sum": False, "p_sum": None}, [], ["sum"]),
}


@pytest.mark.parametrize("case", METHODS)
def test_a_paragraph_for_the_methods(case: str, tmp_path: Path) -> None:
    given, there, absent = METHODS[case]
    text = cells().chunk({"y": 32}).prep.normalize(**given).prep.to_ome_zarr(tmp_path / "a.zarr").methods
    assert text.startswith(f"Images were normalised with xprep {xprep.__version__}, following Pixie (Liu")
    assert all(words in text for words in there), text
    assert not any(words in text for words in absent), text


def test_several_images_are_said_to_be_several(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({f"/{n}": cells().chunk().to_dataset(name="i") for n in "ab"})
    for pool, words in (("mean", "(mean of 2 images)"), ("exact", "(over all pixels of 2 images)")):
        reports = tree.prep.normalize(pool=pool).prep.to_ome_zarr(tmp_path / pool)
        assert all(words in report.methods for report in reports.values())


# Pictures


@pytest.fixture(autouse=True)
def _matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed").use("Agg")


@pytest.mark.parametrize("lazy", [True, False])
def test_a_crop_under_several_parameters(lazy: bool) -> None:
    image = cells().chunk({"y": 32, "x": 32}) if lazy else cells()
    sets = [{"sigma": 0}, {"p": 95, "sigma": "1 um", "p_sum": 30}, {"channels": ["marker 2"], "dtype": "float64"}]
    crop = {"y": slice(10, 40), "x": slice(60, 200)}
    figure = image.prep.compare(sets, channel="marker 2", crop=crop)
    panels = [panel for panel in figure.axes if panel.get_images()][:4]
    assert [panel.get_title() for panel in panels] == [
        "marker 2", "sigma=0", "p=95, sigma='1 um', p_sum=30", "channels=['marker 2'], dtype='float64'",
    ]  # fmt: skip
    expected = [image, *(image.prep.normalize(**one) for one in sets)]
    for panel, one in zip(panels, expected, strict=True):
        wanted = one.sel(c="marker 2").isel(crop).values
        np.testing.assert_allclose(np.ma.filled(panel.get_images()[0].get_array(), np.nan), wanted, rtol=1e-6)


def test_few_chunks_are_read_of_a_large_image() -> None:
    image, source = counted(xprep.datasets.blobs(channels=2, shape=(1024, 1024), density=0.001), {"c": 1, "y": 64, "x": 64})
    figure = image.prep.compare([{"sigma": 1}, {"sigma": 2}], crop={"y": slice(100, 164), "x": slice(100, 164)})
    assert len(source.reads) <= 2 * (30 + 9), "30 chunks for the statistics, and those around the crop, of 2 × 256"
    assert figure.get_suptitle() == "statistics of 30 chunks (seed 0)"
    again, mine = counted(xprep.datasets.blobs(channels=2, shape=(1024, 1024), density=0.001), {"c": 1, "y": 64, "x": 64})
    fitted = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.fit_normalize()
    again.prep.compare([{"statistics": fitted}], crop={"y": slice(0, 64), "x": slice(0, 64)})
    assert mine.reads_per_chunk <= 2


WRONG: dict[str, tuple[list[Any] | Any, dict[str, Any], type[Exception], str]] = {
    "no parameters": ([], {}, ValueError, "parameters is empty"),
    "one mapping": ({"p": 99}, {}, TypeError, "must be a list of mappings"),
    "no mapping": ([99], {}, TypeError, "must be a list of mappings"),
    "a parameter that there is not": ([{"q": 99}], {}, TypeError, "'q'"),
    "a channel that there is not": ([{}], {"channel": "CD3"}, KeyError, "CD3"),
    "a channel that was left out": ([{"channels": ["marker 1"]}], {"channel": "marker 2"}, KeyError, "is not among the channels"),
    "a dim that there is not": ([{}], {"crop": {"z": 1}}, ValueError, "crop names 'z'"),
    "nothing": ([{}], {"crop": {"y": slice(500, 600)}}, ValueError, "holds no pixel"),
    "a number": ([{}], {"crop": {"y": 3}}, ValueError, "must be a slice"),
    "steps": ([{}], {"crop": {"y": slice(0, 9, 2)}}, ValueError, "without steps"),
    "a percentile": ([{"p": 120}], {}, ValueError, "between 0 and 100"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_compared_is_refused(case: str) -> None:
    parameters, how, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        cells().prep.compare(parameters, **how)


IMAGES: dict[str, Callable[[], np.ndarray]] = {
    "uint8": lambda: np.random.default_rng(0).integers(0, 200, (2, 40, 50)).astype("uint8"),
    "int16": lambda: np.random.default_rng(0).integers(-300, 9000, (2, 40, 50)).astype("int16"),
    "uint32": lambda: np.random.default_rng(0).integers(0, 2**31, (2, 40, 50)).astype("uint32"),
    "float32": lambda: np.random.default_rng(0).lognormal(0, 3, (2, 40, 50)).astype("float32"),
    "float64 with NaN": lambda: np.where(np.arange(4000) % 7 == 0, np.nan, np.arange(4000.0)).reshape(2, 40, 50),
    "bool": lambda: np.random.default_rng(0).integers(0, 2, (2, 40, 50)).astype(bool),
    "one value": lambda: np.full((2, 40, 50), 65535, "uint16"),
    "only NaN": lambda: np.full((2, 40, 50), np.nan, "float32"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_histograms_are_exact(kind: str) -> None:
    pixels = IMAGES[kind]()
    image, source = counted(xr.DataArray(pixels, dims=("c", "y", "x")), {"c": 1, "y": 16, "x": 16})
    counts, low = histogram(image.data)
    found = counts.compute()
    assert source.reads_per_chunk == 1
    for row, channel in zip(found, pixels, strict=True):
        edges, heights = bars_of(row, low)
        values = channel[~np.isnan(channel)] if channel.dtype.kind == "f" else channel
        assert heights.sum() == values.size
        if values.size:
            at = np.searchsorted(edges, values.ravel().astype(float), side="right") - 1
            np.testing.assert_array_equal(np.bincount(np.minimum(at, len(heights) - 1), minlength=len(heights)), heights)


def test_histograms_before_and_after() -> None:
    tree = xr.DataTree.from_dict({f"/{n}": cells().chunk({"y": 32}).to_dataset(name="i") for n in "ab"})
    figure = tree.prep.plot_histograms(tree.prep.normalize())
    assert [panel.get_title() for panel in figure.axes][:3] == ["marker 1", "marker 1, after", "marker 2"]
    assert len(figure.axes[0].patches) == 2
    with pytest.raises(ValueError, match="same number of channels"):
        cells().prep.plot_histograms(cells().sel(c=["marker 1"]))
