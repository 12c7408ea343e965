"""Oracles of what is done with ROIs: ten lines of plain numpy each, a ROI after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.ndimage
import xarray as xr

Roi = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # lam, z, y, x


def straight(image: xr.DataArray) -> tuple[np.ndarray, list[Any]]:
    """Return the pixels as (frame, z, y, x), and the other dims."""
    others = [dim for dim in image.dims if dim not in ("z", "y", "x")]
    full = image if "z" in image.dims else image.expand_dims("z")
    ordered = full.transpose(*others, "z", "y", "x")
    return ordered.values.reshape(-1, *ordered.shape[-3:]), others


def mask(image: xr.DataArray, rois: Sequence[Roi], outside: float, invert: bool) -> xr.DataArray:
    """Pixels of no ROI replaced; integers become floating for what they cannot hold."""
    space = [dim for dim in ("z", "y", "x") if dim in image.dims]
    inside = np.zeros((image.sizes.get("z", 1), image.sizes["y"], image.sizes["x"]), bool)
    for _, z, y, x in rois:
        inside[z, y, x] = True
    kept = xr.DataArray(inside if "z" in space else inside[0], dims=space) != invert
    holds = image.dtype.kind == "f" or (
        float(outside).is_integer()
        and ((image.dtype.kind == "b" and outside in (0, 1)) or (image.dtype.kind in "iu" and _fits(outside, image.dtype)))
    )
    dtype = image.dtype if holds else np.dtype(np.float32 if image.dtype.itemsize <= 2 else np.float64)
    return xr.where(kept, image.astype(dtype), dtype.type(outside)).transpose(*image.dims).astype(dtype)


def _fits(value: float, dtype: np.dtype[Any]) -> bool:
    return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


def traces(image: xr.DataArray, rois: Sequence[Roi], how: str = "weighted_mean", skipna: bool = False) -> xr.DataArray:
    """One number a ROI and frame."""
    frames, others = straight(image)
    out = np.full((len(frames), len(rois)), np.nan)
    for i, (lam, z, y, x) in enumerate(rois):
        values = frames[:, z, y, x].astype(np.float64)
        keep = ~np.isnan(values) if skipna else np.ones_like(values, bool)
        weights = np.where(keep, lam.astype(float) if how in ("weighted_mean", "dot") else 1.0, 0)
        top = (weights * np.where(keep, values, 0)).sum(1)
        bottom = {"sum": 1.0, "dot": np.sqrt((weights**2).sum(1))}.get(how, weights.sum(1))
        out[:, i] = np.divide(top, bottom, where=np.not_equal(bottom, 0), out=np.full(len(frames), np.nan))
    return xr.DataArray(out.reshape(*(image.sizes[dim] for dim in others), -1), dims=(*others, "roi"))


def centre(roi: Roi) -> tuple[int, int] | None:
    """The weighted mean of y and x, without its fraction; None where weights sum to 0."""
    lam, _, y, x = roi
    total = np.sum(lam, dtype=float)
    return None if total == 0 else tuple(int(np.trunc(np.sum(np.multiply(lam, q, dtype=float)) / total)) for q in (y, x))


def crop(plane: np.ndarray, about: tuple[int, int] | None, width: int, fill: float, dtype: Any = np.float32) -> np.ndarray:
    """A window of a plane."""
    side = 2 * width + 1
    if about is None:
        return np.full((side, side), fill, dtype)
    padded = np.full((plane.shape[0] + 400, plane.shape[1] + 400), fill, dtype)
    padded[200:-200, 200:-200] = plane
    y, x = np.clip(np.array(about) + 200, width, np.array(padded.shape) - width - 1)
    return padded[y - width : y + width + 1, x - width : x + width + 1]


def centered(image: xr.DataArray, rois: Sequence[Roi], width: int = 15, fill_value: float = 0.0) -> xr.DataArray:
    """Windows of planar ROIs."""
    frames, others = straight(image)
    windows = [[crop(frame[roi[1][0] if roi[1].size else 0], centre(roi), width, fill_value) for frame in frames] for roi in rois]
    shape = (len(rois), *(image.sizes[dim] for dim in others), 2 * width + 1, 2 * width + 1)
    return xr.DataArray(np.array(windows, np.float32).reshape(shape), dims=("roi", *others, "dy", "dx"))


def roi_features(
    image: xr.DataArray,
    rois: Sequence[Roi],
    width: int = 15,
    iterations: int = 7,
    eps: float = 1e6,
    surround: str = "filled",
) -> xr.Dataset:
    """The four features of planar ROIs, window by window, in float64."""
    frames, others = straight(image.astype(np.float64))
    dots = traces(image, rois, "dot")
    found = {name: np.empty((len(rois), len(frames))) for name in ("phase_correlation", "in_vs_out", "correlation")}
    for i, roi in enumerate(rois):
        window = _weights(roi, centre(roi), width)
        for t, frame in enumerate(frames):
            values = crop(frame[roi[1][0] if roi[1].size else 0], centre(roi), width, 0, np.float64)
            for name, value in _features(window, values, iterations, eps, surround).items():
                found[name][i, t] = value
    shape = (len(rois), *(image.sizes[dim] for dim in others))
    arrays = {name: xr.DataArray(values.reshape(shape), dims=("roi", *others)) for name, values in found.items()}
    return xr.Dataset(arrays | {"dot_product": dots.transpose("roi", *others)})


def _weights(roi: Roi, about: tuple[int, int] | None, width: int) -> np.ndarray:
    out = np.zeros((2 * width + 1,) * 2, np.float32)
    for weight, row, column in zip(roi[0], roi[2], roi[3], strict=True):
        if about and abs(row - about[0]) <= width and abs(column - about[1]) <= width:
            out[row - about[0] + width, column - about[1] + width] = weight
    return out


def _features(window: np.ndarray, image: np.ndarray, iterations: int, eps: float, surround: str) -> dict[str, float]:
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
