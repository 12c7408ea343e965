"""Small signals on top of much light: what is left of them, against float64 with everything in memory.

Every row states its bound: so many roundings of the result's own type, and so many of float64 at the input's largest value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.laws import dense, dense_rois
from tests.laws.operations_of_rois import make_rois, make_table

EPS = np.finfo(np.float64).eps
SIGNAL = 28.0  # standard deviation of what lies on top
ROIS = make_rois(xr.DataArray(np.zeros((40, 44)), dims=("y", "x")), 3)

# dtype and the light below the signal
LIGHT = {
    "uint8": (100,),
    "uint16": (0, 3e4),
    "int32": (3e7, 2e9),
    "uint32": (3e7, 4e9),
    "int64": (4e9, 1e12),
    "float32": (0, 3e4, 3e7, 4e9),
    "float64": (3e4, 4e9, 1e12),
}
CASES = [(dtype, light) for dtype, lights in LIGHT.items() for light in lights]


@dataclass(frozen=True)
class Row:
    """An operation, what it is in float64, and how far they may be apart.

    Attributes
    ----------
    of_result
        Roundings of the result's type, at its largest value.
    of_input
        Roundings of float64 at the input's largest value.
    of_small
        Besides, of 8- and 16-bit integers, whose sums are in float32 (from 0.5: of all integers, which are rounded).
    besides
        Whatever the type: weights and masks in float32, which the references have too.
    per_signal
        Whether ``of_input`` is relative to the signal: of numbers without a unit.
    """

    call: Callable[[xr.DataArray], Any]
    oracle: Callable[[xr.DataArray], Any]
    of_result: float
    of_input: float
    of_small: float = 0.0
    besides: float = 0.0
    per_signal: bool = False


def features(name: str) -> Row:
    options: dict[str, Any] = {"width": 6, "iterations": 3, "eps": 1e6}
    return Row(
        lambda image: image.prep.roi_features(make_table(ROIS), **options)[name],
        lambda image: dense_rois.roi_features(image, ROIS, **options)[name],
        64,
        2000,
        of_small=1e-6,
        besides=1e-8 if name == "phase_correlation" else 0.0,
        per_signal=name != "dot_product",
    )


def windows(image: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    values = image.values[:, 5:18, 7:20]
    mask = np.zeros(values.shape, np.float32)
    mask[:, 4:8, 5:9] = np.arange(16).reshape(4, 4)
    return mask, values if values.dtype.kind == "f" else values.astype(np.float64)


def spectrum(image: xr.DataArray) -> np.ndarray:
    mask, values = (array.astype(np.float64) for array in windows(image))
    product = np.fft.fft2(mask) * np.fft.fft2(values).conj()
    return product / (1e6 + np.abs(product))


ROWS = {
    "subtract_background": Row(xprep.subtract_background, lambda i: dense.subtract_background(i, dtype="float64"), 4, 8, 0.02),
    "subtract_background, float64": Row(
        lambda i: xprep.subtract_background(i, dtype="float64"),
        lambda i: dense.subtract_background(i, dtype="float64"),
        8,
        8,
        besides=2e-6,
    ),
    "subtract_background, NaN left out": Row(
        lambda i: xprep.subtract_background(holed(i), nan="normalize"),
        lambda i: dense.subtract_background(holed(i), dtype="float64", nan="normalize"),
        4,
        16,
        0.02,
    ),
    "background": Row(xprep.background, lambda i: dense.background(i, dtype="float64"), 16, 8),
    "gaussian_filter": Row(lambda i: i.prep.gaussian_filter(2), lambda i: dense.gaussian_filter(i.astype("f8"), 2), 16, 8),
    "std over t": Row(lambda i: i.prep.project("t", "std"), lambda i: i.astype("f8").std("t"), 4, 64),
    "std over all": Row(lambda i: i.prep.project(("t", "y", "x"), "std"), lambda i: i.astype("f8").std(), 4, 64),
    "mean": Row(lambda i: i.prep.project(("y", "x"), "mean"), lambda i: i.astype("f8").mean(("y", "x")), 2, 8),
    "sum": Row(lambda i: i.prep.project(("y", "x"), "sum"), lambda i: i.astype("f8").sum(("y", "x")), 2, 20000),
    "quantile": Row(lambda i: i.prep.quantile(0.37), lambda i: i.astype("f8").quantile(0.37, ("t", "y", "x")), 0, 4),
    "pyramid, mean": Row(lambda i: level(i, "mean"), lambda i: dense.pyramid(i, scale_factors=(2,), method="mean"), 1, 2),
    "pyramid, gaussian": Row(lambda i: level(i, "gaussian"), lambda i: smooth(i), 1, 16, 0.51),
    "rescale": Row(
        lambda i: i.prep.rescale({"y": 0.4, "x": 1.7}, anti_alias=True),
        lambda i: dense.rescale(i.astype("f8"), {"y": 0.4, "x": 1.7}, anti_alias=True),
        16,
        8,
    ),
    "traces": Row(lambda i: i.prep.traces(make_table(ROIS)), lambda i: dense_rois.traces(i, ROIS), 16, 64),
    "traces, mean": Row(
        lambda i: i.prep.traces(make_table(ROIS), how="mean"), lambda i: dense_rois.traces(i, ROIS, "mean"), 16, 64
    ),
    "traces, sum": Row(
        lambda i: i.prep.traces(make_table(ROIS), how="sum"), lambda i: dense_rois.traces(i, ROIS, "sum"), 16, 640
    ),
    **{f"roi_features, {name}": features(name) for name in ("phase_correlation", "in_vs_out", "correlation", "dot_product")},
    "compute_correlation": Row(
        lambda i: xprep.rois.compute_correlation(*windows(i)),
        lambda i: [np.corrcoef(m.ravel(), v.ravel().astype("f8") - v.min())[0, 1] for m, v in zip(*windows(i), strict=True)],
        64,
        64,
        per_signal=True,
    ),
    "phase_correlation_zero": Row(
        lambda i: xprep.rois.phase_correlation_zero(*windows(i)),
        lambda i: spectrum(i).mean((1, 2)).real,
        64,
        2000,
        besides=1e-8,
        per_signal=True,
    ),
    "phase_correlation": Row(
        lambda i: xprep.rois.phase_correlation(*windows(i), eps=1e6),
        lambda i: np.fft.ifft2(spectrum(i)).real,
        64,
        2000,
        per_signal=True,
    ),
    "cross_power_spectrum": Row(
        lambda i: xprep.rois.cross_power_spectrum(*windows(i)), spectrum, 64, 2000, per_signal=True
    ),
}


def holed(image: xr.DataArray) -> xr.DataArray:
    return image.where(image != image[0, 3, 4]) if image.dtype.kind == "f" else image


def level(image: xr.DataArray, method: Any) -> xr.DataArray:
    return image.prep.pyramid((2,), method=method)["scale1/image"]


def smooth(image: xr.DataArray) -> xr.DataArray:
    return dense.pyramid(image.astype(np.float64), scale_factors=(2,), method="gaussian")


def light_of(dtype: str, light: float) -> xr.DataArray:
    random = np.random.default_rng(7)
    values = light + np.clip(random.normal(3 * SIGNAL, SIGNAL, (3, 40, 44)), 0, 6 * SIGNAL)
    if dtype == "bool":
        return xr.DataArray(values > 3 * SIGNAL, dims=("t", "y", "x"), name="image")
    rounded = values if dtype.startswith("f") else np.rint(np.clip(values, 0, np.iinfo(dtype).max))
    return xr.DataArray(rounded.astype(dtype), dims=("t", "y", "x"), name="image")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize(("dtype", "light"), CASES)
def test_a_signal_on_top_of_light(dtype: str, light: float, row: Row) -> None:
    image = light_of(dtype, light)
    found, wanted = row.call(image), row.oracle(image)
    found = found["background"] if isinstance(found, xr.Dataset) else found
    have, want = np.asarray(found), np.asarray(wanted)
    assert have.shape == want.shape
    np.testing.assert_array_equal(np.isnan(have), np.isnan(want))
    result = np.finfo(have.dtype).eps if have.dtype.kind in "fc" else 0.0
    largest = float(image.max()) / (SIGNAL if row.per_signal else 1)
    small = row.of_small if np.dtype(dtype).itemsize <= 2 or (row.of_small > 0.5 and dtype[0] != "f") else 0.0
    bound = row.of_result * result * np.nanmax(np.abs(want)) + row.of_input * EPS * largest + small + row.besides
    off = np.nanmax(np.abs(have.astype(want.dtype if want.dtype.kind == "c" else np.float64) - want))
    assert off <= bound, f"off by {off:.3g}, the bound is {bound:.3g}"


@pytest.mark.parametrize("nan", ["propagate", "normalize"])
def test_backgrounds_of_booleans(nan: str) -> None:
    image = light_of("bool", 0)
    wanted = dense.subtract_background(image, nan=nan)
    np.testing.assert_allclose(xprep.subtract_background(image, nan=nan), wanted, atol=1e-6)
