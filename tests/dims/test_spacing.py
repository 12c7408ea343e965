"""What is evenly spaced: everything that asks gives one answer, for every kind of coordinate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from xprep.dims.spacing import Line, is_even, line_of, rounding_of, spacing
from xprep.dims.voxel_sizes import voxel_size
from xprep.images.writing.pyramid_levels import spacing_of
from xprep.plot.panels import extent_of

# xarray widens float16, with a warning: what is left is its rounding.
pytestmark = pytest.mark.filterwarnings("ignore:`pandas.Index` does not support:FutureWarning")
N = 12
PIXELS = np.arange(N)


def jitter(part: float) -> np.ndarray:
    """0.5 apart but for one that is off by so many steps."""
    values = PIXELS * 0.5
    values[5] += part * 0.5
    return values


# Coordinates along x; the step that everybody finds, None where they are not even.
COORDS: dict[str, tuple[np.ndarray, float | None]] = {
    "even": (PIXELS * 0.5, 0.5),
    "integers": (PIXELS * 3, 3),
    "far from the origin": (1e6 + PIXELS * 0.1, 0.1),
    "float32 of a stage": ((2000 + 0.1 * PIXELS).astype("f4"), 0.1),
    "float32 of a stage, widened": ((2000 + 0.1 * PIXELS).astype("f4").astype("f8"), 0.1),
    "float32 of a slide scanner": ((80000 + 0.25 * PIXELS).astype("f4"), 0.25),
    "float32 that is too short": ((3e6 + 0.1 * PIXELS).astype("f4"), None),
    "float16": ((0.5 * PIXELS).astype("f2"), 0.5),
    "float16 that is too short": ((2000 + 0.1 * PIXELS).astype("f2"), None),
    "big-endian": ((PIXELS * 0.5).astype(">f4"), 0.5),
    "off by a twohundredth": (jitter(0.005), 0.5),
    "off by a fiftieth": (jitter(0.02), None),
    "squares": (PIXELS**2 / 2, None),
    "rounded integers": (np.rint(PIXELS * 1.5).astype(int), None),
    "uneven, far from the origin": (1e6 + PIXELS**2 * 0.1, None),
    "uneven float32": ((2000 + np.where(PIXELS == 3, 0.15, 0.1) * PIXELS).astype("f4"), None),
    "there and back": (np.abs(PIXELS - 5.0), None),
    "standing": (np.ones(N), None),
    "not a number": (np.where(PIXELS == 3, np.nan, PIXELS), None),
    "infinite": (np.where(PIXELS == N - 1, np.inf, PIXELS), None),
}


REFUSED = r"not evenly spaced|all the same|not finite"


def image(values: np.ndarray, dim: str = "x", **attrs: Any) -> xr.DataArray:
    sizes = {"t": N, "y": N, "x": N}
    attrs = {"units": "micrometer", **attrs} if dim == "x" else attrs
    coords = {"y": ("y", PIXELS * 0.5, {"units": "micrometer"}), dim: (dim, values, attrs)}
    return xr.DataArray(np.ones(tuple(sizes.values()), "u2"), coords, tuple(sizes), "image")


def written(tmp_path: Path, made: xr.DataArray, **options: Any) -> xr.DataArray:
    made.prep.to_ome_zarr(tmp_path / "out.zarr", **options)
    return xprep.open_image(tmp_path / "out.zarr")


def scale_of(tmp_path: Path, made: xr.DataArray) -> float:
    written(tmp_path, made, scale_factors=(), layout="flat")
    return float(np.diff(xprep.open_image(tmp_path / "out.zarr").x)[0])


def flat_time(tmp_path: Path, made: xr.DataArray) -> float:
    return float(np.diff(written(tmp_path, made.rename(t="x", x="t").transpose("t", "y", "x"), layout="flat").t)[0])


def drawn(made: xr.DataArray) -> float:
    first, last = extent_of(made, "x")
    if (first, last) == (-0.5, N - 0.5) and not is_even(made.x.values):
        raise ValueError("drawn by pixels: not evenly spaced")
    return (last - first) / N


def shrunk(made: xr.DataArray) -> float:
    level = made.prep.pyramid((2,))["scale1/image"]
    steps = np.diff(level.x)
    if not is_even(made.x.values):  # interpolated between its neighbours: the first is halfway between the first two
        np.testing.assert_array_equal(level.x[0], made.x.values[:2].astype(float).mean())
        raise ValueError("not evenly spaced")
    return float(steps[0]) / 2


def repr_of(made: xr.DataArray) -> float:
    text = repr(made.prep)
    if "x uneven" in text:
        raise ValueError("not evenly spaced")
    return float(text.split(", x ")[2].split()[0])


# Everyone who asks how far pixels are apart along x: a number, or a ValueError. (Those that write get a folder.)
ASKING: dict[str, Callable[..., float]] = {
    "spacing": lambda made: abs(spacing(made, "x") or 0),
    "a length in pixels": lambda made: voxel_size(made, "x", "sigma"),
    "a blur": lambda made: _pixels(lambda: made.prep.gaussian_filter({"x": "1 um"}), made),
    "a background": lambda made: _pixels(lambda: made.prep.background((1, "1 um")), made),
    "a factor": lambda made: N / made.prep.rescale({"x": "1 um"}, size="ceil").sizes["x"] and abs(spacing(made, "x") or 0),
    "cubes": lambda made: abs(float(np.diff(made.prep.to_isotropic(zoom=1 / abs(spacing(made, "x") or 1)).x)[0])),
    "the writer": lambda made: spacing_of(made, "x")[0],
    "a pyramid": shrunk,
    "a picture": drawn,
    "the repr": repr_of,
    "a table of ROIs": lambda made: xprep.RoiTable.from_labels(made.isel(t=0)).placement["x"].pixel_size,
}


def _pixels(run: Callable[[], Any], made: xr.DataArray) -> float:
    run()  # it asks, or refuses
    return voxel_size(made, "x", "sigma")


@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING)
@pytest.mark.parametrize(("values", "step"), COORDS.values(), ids=COORDS)
def test_one_answer(values: np.ndarray, step: float | None, asking: Callable[..., float]) -> None:
    made = image(values)
    if step is None:
        with pytest.raises(ValueError, match=REFUSED):
            asking(made)
    else:
        assert asking(made) == pytest.approx(step, rel=1e-3)


@pytest.mark.parametrize("layout", ["dual", "flat"])
@pytest.mark.parametrize(("values", "step"), COORDS.values(), ids=COORDS)
def test_stores_keep_what_is_even(values: np.ndarray, step: float | None, layout: str, tmp_path: Path) -> None:
    if step is None:
        with pytest.raises(ValueError, match=REFUSED):
            written(tmp_path, image(values), layout=layout)
        assert list(tmp_path.iterdir()) == []
        return
    found = written(tmp_path, image(values), layout=layout, scale_factors=())
    np.testing.assert_allclose(found.x, values.astype(float), atol=0.02 * step + (0 if layout == "dual" else rounding_of(values)))
    assert xprep.validate(tmp_path / "out.zarr").is_valid


TIMES: dict[str, tuple[Any, bool]] = {  # what flat can say of t
    "seconds": (PIXELS * 0.5, True),
    "single frames": (jitter(0.3), False),
    "dates": (np.datetime64("2026-01-01", "ns") + PIXELS * np.timedelta64(1, "s"), False),
    "durations": (PIXELS * np.timedelta64(10**9, "ns"), False),
    "names": ([f"frame {n}" for n in PIXELS], False),
}


@pytest.mark.parametrize(("values", "kept"), TIMES.values(), ids=TIMES)
def test_what_flat_cannot_say_of_time(values: Any, kept: bool, tmp_path: Path) -> None:
    made = image(np.asarray(values), "t")
    xr.testing.assert_equal(written(tmp_path, made, scale_factors=()).t.drop_attrs(), made.t.drop_attrs())
    flat = tmp_path / "flat.zarr"
    if kept:
        made.prep.to_ome_zarr(flat, layout="flat")
        np.testing.assert_allclose(xprep.open_image(flat).t, made.t)
        return
    with pytest.raises(ValueError, match=r"cannot keep the coordinate 't'.*layout='dual'.*drop_vars\('t'\)"):
        made.prep.to_ome_zarr(flat, layout="flat")
    assert not flat.exists()


def test_flat_names_the_coordinates_that_it_leaves_out(tmp_path: Path) -> None:
    made = image(PIXELS * 0.5).assign_coords(dose=("t", PIXELS), well="A1")
    with pytest.warns(UserWarning, match=r"no place for the coordinates 'dose', 'well'.*layout='dual' keeps them"):
        made.prep.to_ome_zarr(tmp_path / "a.zarr", layout="flat")
    assert xprep.open_image(tmp_path / "a.zarr").dims == made.dims


def test_lines() -> None:
    assert line_of(np.array([4.0])) is None
    assert line_of(np.array([4.0, 2.0])) == Line(4, -2)
    assert line_of(np.array(list("abc"))) is None
    assert line_of((PIXELS * 0.202)[::-1]) == Line(11 * 0.202, -0.202)
    assert is_even(np.array([4.0]))
    assert rounding_of(np.array([0.1, 0.2])) < 1e-15
    with pytest.raises(ValueError, match=r"float16 tells numbers there apart by 2 only"):
        spacing(image((2000 + 0.1 * PIXELS).astype("f2")), "x")
