"""Scale bars, channels in their colours, and outlines of many ROIs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep

matplotlib = pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")

from matplotlib import pyplot  # noqa: E402
from matplotlib.offsetbox import AnchoredOffsetbox, TextArea  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

from xprep.plot import plot_before_after  # noqa: E402
from xprep.plot.rois import line_style  # noqa: E402


@pytest.fixture(autouse=True)
def _no_screen() -> Iterator[None]:
    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


def image_of(step: float | None, unit: str | None, dims: str = "cyx") -> xr.DataArray:
    sizes = {"c": 2, "z": 5, "y": 30, "x": 40}
    attrs = {} if unit is None else {"units": unit}
    coords = {} if step is None else {dim: (dim, step * np.arange(sizes[dim]), attrs) for dim in dims if dim != "c"}
    return xr.DataArray(np.random.default_rng(0).random([sizes[dim] for dim in dims]), coords, dims=tuple(dims))


def bars_of(figure: Any) -> list[tuple[float, str]]:
    """Return the length, in the picture's unit, and the text of every scale bar."""
    found = []
    for box in figure.findobj(AnchoredOffsetbox):
        (text,) = box.findobj(TextArea)
        (bar,) = box.findobj(Rectangle)
        found.append((bar.get_width(), text.get_text()))
    return found


BARS = {  # 40 pixels across: a quarter of the picture is 10 pixels
    "micrometres": (0.5, "micrometer", (5.0, "5 µm")),
    "nanometres": (160.0, "nanometer", (1000.0, "1000 nm")),
    "less than one": (0.07, "millimeter", (0.5, "0.5 mm")),
    "no coordinates": (None, None, None),
    "no unit": (0.5, None, None),
    "not a length": (0.5, "second", None),
}
PICTURES: dict[str, tuple[str, Callable[[xr.DataArray], Any], int]] = {
    "channels": ("cyx", lambda image: image.prep.plot_channels(), 2),
    "merge": ("cyx", lambda image: image.prep.plot_channels(merge=True), 1),
    "before and after": ("cyx", lambda image: plot_before_after(image, image + 1), 4),
    "projections": ("czyx", lambda image: image.prep.plot_projections(), 2),
    "rois": ("cyx", lambda image: image.prep.plot_rois(xprep.RoiTable.from_pixels([[1.0]], [[2]], [[3]])), 2),
}


@pytest.mark.parametrize("case", BARS)
@pytest.mark.parametrize("picture", PICTURES)
def test_a_bar_where_voxels_have_a_size(picture: str, case: str) -> None:
    step, unit, expected = BARS[case]
    dims, draw, panels = PICTURES[picture]
    figure = draw(image_of(step, unit, dims))
    found = bars_of(figure)
    assert [text for _, text in found] == ([] if expected is None else [expected[1]] * panels)
    assert [length for length, _ in found] == pytest.approx([] if expected is None else [expected[0]] * panels)


def test_a_bar_is_as_long_as_it_says() -> None:
    figure = image_of(0.5, "micrometer").prep.plot_channels(merge=True)
    figure.canvas.draw()
    (bar,) = figure.findobj(AnchoredOffsetbox)[0].findobj(Rectangle)
    panel = figure.axes[0].get_window_extent()
    assert bar.get_window_extent().width / panel.width == pytest.approx(5.0 / 20.0, rel=0.15)  # and its rim


def test_before_and_after_lie_where_the_image_lies() -> None:
    image = image_of(0.5, "micrometer")
    figure = plot_before_after(image, image)
    assert {tuple(panel.images[0].get_extent()) for panel in figure.axes if panel.images} >= {(-0.25, 19.75, 14.75, -0.25)}


def shown(*colors: str) -> dict[str, Any]:
    return {"omero": {"channels": [{"label": name, "color": color} for name, color in zip("ab", colors, strict=False)]}}


COLORS = {
    "nothing said": ({}, ("00FF00", "FF00FF")),
    "said": (shown("FF0000", "0000FF"), ("FF0000", "0000FF")),
    "all white": (shown("FFFFFF", "FFFFFF"), ("00FF00", "FF00FF")),
    "of one only": (shown("FF0000"), ("00FF00", "FF00FF")),
}


@pytest.mark.parametrize("case", COLORS)
@pytest.mark.parametrize("dims", ["cyx", "yxc", "czyx"])
def test_a_merge_is_the_sum_of_channels_in_their_colours(case: str, dims: str) -> None:
    attrs, colors = COLORS[case]
    image = image_of(None, None, dims).assign_coords(c=["a", "b"]).assign_attrs(attrs)
    picture = image.prep.plot_channels(merge=True).axes[0]
    total = np.zeros((30, 40, 3))
    for channel, color in zip("ab", colors, strict=True):
        plane = image.sel(c=channel).transpose(..., "y", "x").values.reshape(-1, 30, 40).max(0)
        low, high = np.percentile(plane.astype("float32"), [0.5, 99.8])
        grey = np.clip((plane - low) / (high - low), 0, 1)
        total += grey[..., None] * [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    np.testing.assert_allclose(picture.images[0].get_array(), np.minimum(total, 1), atol=1e-5)
    assert [text.get_text() for text in picture.get_legend().get_texts()] == ["a", "b"]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 11])
def test_there_is_a_colour_for_every_channel(count: int) -> None:
    figure = xprep.datasets.blobs(channels=count, shape=(16, 16)).prep.plot_channels(merge=True)
    assert len(figure.axes[0].get_legend().get_texts()) == count


def test_nan_is_black_in_a_merge() -> None:
    image = image_of(None, None)
    image[:, :5] = np.nan
    assert image.prep.plot_channels(merge=True).axes[0].images[0].get_array()[:5].max() == 0


@pytest.mark.parametrize(
    ("image", "merge", "error", "says"),
    [
        (image_of(None, None, "yx"), True, ValueError, "merge needs channels"),
        (image_of(None, None).astype("uint32"), True, ValueError, "that are no labels"),
        (image_of(None, None), "yes", TypeError, "merge"),
    ],
)
def test_what_cannot_be_merged(image: xr.DataArray, merge: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        image.prep.plot_channels(merge=merge)


def spots(spacing: int) -> tuple[xr.DataArray, xprep.RoiTable]:
    side = 512
    rows, columns = np.mgrid[:side, :side]
    labels = np.zeros((side, side), "uint32")
    places = [(y, x) for y in range(6, side - 5, spacing) for x in range(6, side - 5, spacing)]
    for number, (y, x) in enumerate(places, 1):
        part = np.s_[y - 5 : y + 6, x - 5 : x + 6]
        labels[part][(rows[part] - y) ** 2 + (columns[part] - x) ** 2 <= 25] = number
    return xr.DataArray(np.zeros((side, side), "float32"), dims=("y", "x")), xprep.RoiTable.from_labels(labels)


def test_outlines_of_many_rois_leave_the_image_to_be_seen() -> None:
    """1,296 cells on a black image: what is not black after drawing is outline."""
    image, table = spots(14)
    assert len(table) == 1296
    covered = {}
    for width in (None, 1.0):
        figure = image.prep.plot_rois(table, linewidth=width)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
        x0, y0, x1, y1 = figure.axes[0].get_window_extent().extents.astype(int)
        inner = pixels[::-1][y0 + 3 : y1 - 3, x0 + 3 : x1 - 3]
        covered[width] = float(inner.mean() / 255)
    assert covered[None] < 0.4 * covered[1.0]


@pytest.mark.parametrize("feature", [None, "size"])
def test_few_rois_and_a_width_that_was_asked_for_are_as_before(feature: str | None) -> None:
    image, table = spots(100)
    values = None if feature is None else np.arange(len(table))
    for width, expected in ((None, 1.0), (3.0, 3.0)):
        (lines,) = image.prep.plot_rois(table, linewidth=width, feature=values).axes[0].collections
        assert (lines.get_linewidth()[0], lines.get_alpha()) == (expected, 1.0)


def test_lines_get_thinner_and_then_fainter() -> None:
    sides = np.geomspace(10, 1e6, 30).astype(int)
    widths, opacities = np.array([line_style(int(one), 1e-5) for one in sides]).T
    assert (np.diff(widths) <= 0).all()
    assert (np.diff(opacities) <= 0).all()
    assert (widths[0], opacities[0], widths[-1], opacities[-1]) == (1.0, 1.0, 0.25, 0.3)
    assert (opacities[widths > 0.25] == 1).all()
