"""Oracles: what every operation computes, in plain numpy and scipy, with the whole image in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.special
import xarray as xr


class DoubtfulError(Exception):
    """A pixel lies on a threshold to within rounding: either answer is right, so no oracle can tell."""


def quantile(image: xr.DataArray, q: Any, dim: Any = None, *, skip_zeros: bool = False, skipna: bool = True) -> xr.DataArray:
    """`numpy.nanquantile` in float64, linear; infinities run into themselves instead of NaN."""
    reduced = [d for d in image.dims if d != "c"] if dim is None else ([dim] if isinstance(dim, str) else list(dim))
    kept = [d for d in image.dims if d not in reduced]
    values = image.transpose(*kept, *reduced).values.astype(np.float64)
    rows = values.reshape(*values.shape[: len(kept)], -1)
    found = np.apply_along_axis(lambda row: quantile_of(row, np.atleast_1d(q), skip_zeros, skipna), -1, rows)
    result = xr.DataArray(np.moveaxis(found, -1, 0), dims=("quantile", *kept), coords={"quantile": np.atleast_1d(q)})
    return result.isel(quantile=0) if np.ndim(q) == 0 else result


def quantile_of(row: np.ndarray, q: np.ndarray, skip_zeros: bool, skipna: bool) -> np.ndarray:
    """Quantiles of one group; numpy's own wherever numpy's is a number."""
    if not skipna and np.isnan(row).any():
        return np.full(len(q), np.nan)
    left = np.sort(row[~np.isnan(row) & ~(skip_zeros & (row == 0))])
    if not left.size:
        return np.full(len(q), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.quantile(left, q, method="linear")
    at = (left.size - 1) * q
    low, high = left[np.floor(at).astype(int)], left[np.ceil(at).astype(int)]
    found = np.where(np.isinf(low), low, np.where(np.isinf(high), high, found))
    return np.where((low == -np.inf) & (high == np.inf), np.nan, np.where(low == high, low, found))


def gaussian_filter(
    image: xr.DataArray, sigma: Any, *, truncate: float = 4.0, mode: str = "reflect", nan: str = "propagate"
) -> xr.DataArray:
    """`scipy.ndimage.gaussian_filter` in float64, a channel at a time; NaN-aware by normalised convolution."""
    out = image.astype(np.float64).copy()
    channels = [{"c": i} for i in range(image.sizes["c"])] if "c" in image.dims else [{}]
    for i, channel in enumerate(channels):
        one = sigma if isinstance(sigma, Mapping) else dict.fromkeys("yx", sigma if np.ndim(sigma) == 0 else sigma[i])
        part = out.isel(channel)
        sigmas = [one.get(dim, 0) for dim in part.dims]
        out[channel] = _blurred(part.values, sigmas, truncate, mode, nan == "normalize")
    return out.astype(np.float64 if image.dtype == np.float64 else np.float32)


def _blurred(values: np.ndarray, sigmas: list[float], truncate: float, mode: str, skipna: bool) -> np.ndarray:
    def blur(array: np.ndarray) -> np.ndarray:
        return scipy.ndimage.gaussian_filter(array, sigmas, mode=mode, truncate=truncate)

    lost = np.isnan(values)
    reached = blur(lost.astype(float))  # of non-negative terms: zero exactly where no NaN is under the window
    if not skipna:
        return np.where(reached > 0, np.nan, blur(np.where(lost, 0, values)))
    # Weights beyond the edge are 1 in every mode: "constant" means zeros, which are values.
    weights = blur((~lost).astype(float)) + (1 - blur(np.ones(values.shape)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weights > 1e-12, blur(np.where(lost, 0, values)) / weights, np.nan)


def normalize(
    images: list[np.ndarray],
    p: float | None = 99,
    p_sum: float | None = 5,
    p_post: float | None = 99.9,
    sigma: Any = 2,
    norm_sum: bool = True,
    cap_max: float | None = None,
    *,
    dtype: Any = "float32",
    pool: str = "mean",
    empty: str = "skip",
) -> list[np.ndarray]:
    """`normalize` of images ``(c, …, y, x)``, all in memory; raises `DoubtfulError` where the threshold is on edge."""
    work = (
        np.dtype(dtype)
        if dtype is not None
        else np.dtype(np.float32 if images[0].dtype.itemsize <= 4 and images[0].dtype.kind == "f" else np.float64)
    )
    x = [image.astype(work) for image in images]
    sigmas = np.broadcast_to(0.0 if sigma is None else np.asarray(sigma, float), len(x[0]))
    if p is not None:
        divisor = _pooled([_rows(one) for one in x], p, pool, empty, 1, work)
        x = [one / _along(divisor, one) for one in x]
    if p_sum is not None:
        threshold = _pooled([_rows(_total(one)[None]) for one in x], p_sum, pool, empty, 0, work)[0]
    mass = [np.abs(_blur_planes(np.abs(one), sigmas)).sum(axis=0) for one in x]  # what the rounding of a sum is relative to
    x = [_blur_planes(one, sigmas) for one in x]
    sums = [_total(one) for one in x]
    negative = sigmas.any() and any((one < 0).any() for one in x)
    keep = [~np.isnan(s) for s in sums]
    if p_sum is not None:
        with np.errstate(invalid="ignore"):
            keep = [s > threshold for s in sums]
            close = [np.abs(s - threshold) <= 1e-5 * np.maximum(np.abs(threshold), m) for s, m in zip(sums, mass, strict=True)]
        if sigmas.any() and any(c.any() for c in close):
            raise DoubtfulError
    if norm_sum:
        if negative and any((np.abs(s) <= 0.1 * m).any() for s, m in zip(sums, mass, strict=True)):
            raise DoubtfulError  # a sum of almost nothing: its sign, and its last digits, are those of the rounding
        with np.errstate(invalid="ignore", divide="ignore"):
            x = [np.where(s > 0, one / s, np.nan).astype(work) for one, s in zip(x, sums, strict=True)]
    x = [np.where(k, one, np.nan).astype(work) for one, k in zip(x, keep, strict=True)]
    if p_post is not None:
        divisor = _pooled([_rows(one) for one in x], p_post, pool, empty, 1, work)
        if negative and any((np.abs(divisor) < 0.05 * np.nanmax(np.abs(_rows(one)), axis=1, initial=0)).any() for one in x):
            raise DoubtfulError  # the same of a percentile
        with np.errstate(invalid="ignore", divide="ignore"):
            x = [one / _along(divisor, one) for one in x]
    return x if cap_max is None else [np.where(one > cap_max, work.type(cap_max), one) for one in x]


def _rows(image: np.ndarray) -> np.ndarray:
    return image.reshape(len(image), -1)


def _along(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *(1,) * (image.ndim - 1))


def _total(image: np.ndarray) -> np.ndarray:
    total = image[0].copy()
    for channel in image[1:]:
        total += channel
    return total


def _pooled(rows: list[np.ndarray], p: float, pool: str, empty: str, missing: float, work: np.dtype[Any]) -> np.ndarray:
    groups = [np.concatenate(rows, axis=1)] if pool == "exact" else rows
    q = np.array([p / 100])
    each = np.array([[quantile_of(row.astype(np.float64), q, True, True)[0] for row in group] for group in groups]).astype(work)
    if empty == "nan":
        return each.mean(axis=0).astype(work)
    size = (~np.isnan(each)).sum(axis=0)
    mean = np.nansum(each, axis=0, dtype=work) / np.maximum(size, 1).astype(work)
    return np.where(size > 0, mean, missing).astype(work)


def _blur_planes(image: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    out = image.copy()
    for i, sigma in enumerate(sigmas):
        if sigma > 0:
            along = [0.0] * (image.ndim - 3) + [sigma, sigma]
            out[i] = _blurred(image[i].astype(np.float64), along, 4.0, "reflect", False)
    return out


def normalize_image(image: xr.DataArray, **parameters: Any) -> xr.DataArray:
    """`normalize` of one image whose dims are in any order."""
    others = [dim for dim in image.dims if dim not in ("c", "y", "x")]
    full = image if "c" in image.dims else image.expand_dims("c")
    straight = full.transpose("c", *others, "y", "x")
    (found,) = normalize([straight.values], **parameters)
    result = straight.copy(data=found)
    return (result if "c" in image.dims else result.isel(c=0)).transpose(*image.dims)


def shrink(block: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Mean of blocks of ``factors``; at the far edges of what there is; integers round half to even."""
    out = block.astype(np.float64)
    for axis, factor in enumerate(factors):
        starts = np.arange(0, out.shape[axis], factor)
        out = np.add.reduceat(out, starts, axis=axis)
    counts = np.ones(())
    for axis, (n, factor) in enumerate(zip(block.shape, factors, strict=True)):
        sizes = np.diff([*range(0, n, factor), n]).astype(float)
        counts = counts * sizes.reshape([-1 if a == axis else 1 for a in range(block.ndim)])
    means = out / counts
    return (means if block.dtype.kind == "f" else np.rint(means)).astype(block.dtype)


def pyramid(image: xr.DataArray, scale_factors: Sequence[Any], *, method: str = "mean") -> xr.DataArray:
    """The coarsest level of a pyramid, window by window; raises `DoubtfulError` where a Gaussian mean lies on a tie."""
    values = image.values
    for step in scale_factors:
        wanted = step if isinstance(step, Mapping) else dict.fromkeys("yx", step)
        factors = [wanted.get(dim, 1) for dim in image.dims]
        values = _LEVELS[method](values, tuple(factors))
    return xr.DataArray(values, dims=image.dims)


def _largest(values: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    for axis, f in enumerate(factors):
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], f), axis=axis)
    return values


def _middle(values: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    for axis, f in enumerate(factors):
        n = values.shape[axis]
        values = values.take([start + (min(f, n - start) - 1) // 2 for start in range(0, n, f)], axis)
    return values


def _mode(values: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    out = np.empty([-(-n // f) for n, f in zip(values.shape, factors, strict=True)], values.dtype)
    for at in np.ndindex(out.shape):
        window = values[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))]
        found, counts = np.unique(window, return_counts=True)
        out[at] = found[counts.argmax()]
    return out


def _gaussian_level(values: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    out = values.astype(np.float64)
    for axis, f in enumerate(factors):
        sigma, positions = np.sqrt((f * f - 1) / (8 * np.log(2))), np.arange(out.shape[axis])
        rows = []
        for centre in np.arange(-(-len(positions) // f)) * f + (f - 1) / 2:
            near = np.abs(positions - centre) <= (4 * sigma if f > 1 else 0)
            weights = np.exp(-0.5 * ((positions[near] - centre) / (sigma or 1)) ** 2)
            rows.append(np.tensordot(weights / weights.sum(), out.compress(near, axis), (0, axis)))
        out = np.stack(rows, axis)
    if values.dtype.kind == "f":
        return out.astype(values.dtype)
    if (np.abs(out % 1 - 0.5) < 1e-7).any():
        raise DoubtfulError
    return np.rint(out).astype(values.dtype)


_LEVELS = {"mean": shrink, "max": _largest, "nearest": _middle, "mode": _mode, "gaussian": _gaussian_level}


def mean_weights(radius: float) -> np.ndarray:
    """SEMANTICS §3.1: a Gaussian of half the radius, integrated over each pixel and cut at 99 %."""
    sigma = radius / 2
    length = ceil(6 * sigma) | 1
    x = np.arange(length) - length // 2
    edges = scipy.special.erf((x[:, None] + [-0.5, 0.5]) / (sigma * np.sqrt(2)))
    weights = (edges[:, 1] - edges[:, 0]) / 2
    weights[(x / sigma) ** 2 > 2 * scipy.special.erfinv(0.99) ** 2] = 0
    return weights / weights.sum()


def background(image: xr.DataArray, radius: Any = 7.0, *, dtype: str = "float32", nan: str = "propagate") -> xr.DataArray:
    """The local mean by scipy, a channel at a time, edges repeated."""
    out = image.astype(np.float64)
    channels = [{"c": i} for i in range(image.sizes["c"])] if "c" in image.dims else [{}]
    for i, channel in enumerate(channels):
        pair = radius if np.ndim(radius) == 1 else radius[i] if np.ndim(radius) == 2 else (radius, radius)
        part = out.isel(channel)
        out[channel] = _local_mean(part.values, dict(zip("yx", pair, strict=True)), part.dims, nan == "normalize")
    return out.astype(dtype)


def _local_mean(values: np.ndarray, radii: Mapping[Any, float], dims: Sequence[Any], skipna: bool) -> np.ndarray:
    def mean(array: np.ndarray) -> np.ndarray:
        for axis, dim in enumerate(dims):
            if dim in radii:
                array = scipy.ndimage.correlate1d(array, mean_weights(radii[dim]), axis=axis, mode="nearest")
        return array

    lost = np.isnan(values)
    known = mean(np.where(lost, 0, values))
    if not skipna:
        return np.where(mean(lost.astype(float)) > 1e-12, np.nan, known)
    weights = mean((~lost).astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weights > 1e-12, known / weights, np.nan)


def subtract_background(
    image: xr.DataArray, radius: Any = 7.0, *, clip: bool = False, dtype: str = "float32", nan: str = "propagate"
) -> xr.DataArray:
    """The image minus its local mean, in float64 until the end."""
    left = image.astype(np.float64) - background(image, radius, dtype="float64", nan=nan)
    return (left.where(~(left < 0), 0) if clip else left).astype(dtype)


def rescale(image: xr.DataArray, factors: Mapping[str, float], *, order: int = 1, **how: Any) -> xr.DataArray:
    """SEMANTICS §2.1, sample by sample, one axis after the other."""
    values = image.values if order == 0 else image.values.astype(np.float64)
    for axis, dim in enumerate(image.dims):
        if dim in factors:
            values = _resampled(values, axis, factors[dim], order, **how)
    return xr.DataArray(values if order == 0 or image.dtype == np.float64 else values.astype(np.float32), dims=image.dims)


def _resampled(
    values: np.ndarray,
    axis: int,
    f: float,
    order: int,
    boundary: str = "nearest",
    cval: float = 0.0,
    size: str = "round",
    origin: str = "corner",
    anti_alias: bool = False,
) -> np.ndarray:
    n = values.shape[axis]
    m = {"round": max(1, floor(n * f + 0.5 + 1e-9)), "ceil": max(1, ceil(n * f - 1e-9)), "same": n}[size]
    rows = []
    for i in range(m):
        u = ((i + 0.5 - m / 2) / f + n / 2 if origin == "center" else (i + 0.5) / f) - 0.5
        if n == 1 or (f == 1 and m == n):
            taps = {min(i, n - 1): 1.0}
        elif order == 0:
            taps = {floor(_snapped(u + 0.5)): 1.0}
        else:
            taps = _triangle(_snapped(u), 1 / f if anti_alias and f < 1 else 1.0)
        rows.append(
            sum(_sample(values, axis, k, boundary, cval) * w for k, w in taps.items())
            if order
            else _sample(values, axis, next(iter(taps)), boundary, cval)
        )
    return np.stack(rows, axis)


def _snapped(u: float) -> float:
    return round(u) if abs(u - round(u)) < 1e-9 else u


def _triangle(u: float, reach: float) -> dict[int, float]:
    """Weights of the samples about ``u``; those of weight 0 are not there, so that their NaN is not either."""
    found = {k: 1 - abs(k - u) / reach for k in range(ceil(u - reach), floor(u + reach) + 1)}
    total = sum(weight for weight in found.values() if weight > 0)
    return {k: weight / total for k, weight in found.items() if weight > 0}


def _sample(values: np.ndarray, axis: int, k: int, boundary: str, cval: float) -> np.ndarray:
    n = values.shape[axis]
    if boundary == "constant" and not 0 <= k < n:
        return np.full_like(values.take(0, axis), cval)
    return values.take(min(max(k, 0), n - 1), axis)


def to_isotropic(
    image: xr.DataArray,
    size: float | None = None,
    *,
    zoom: float | None = None,
    voxel_size: Mapping[str, float],
    dtype: Any = None,
    **options: Any,
) -> xr.DataArray:
    """Factors are voxel sizes over the edge of the cubes: the finest of those that are longer than a voxel, if none is said."""
    finest = min((length for dim, length in voxel_size.items()), default=1.0)
    edge = 1 / zoom if zoom is not None else finest if size is None else size
    found = rescale(image if dtype is None else image.astype(np.float64), {d: n / edge for d, n in voxel_size.items()}, **options)
    if dtype is None:
        return found
    near = np.abs(found.values % 1 - 0.5)
    if ((near > 0) & (near < 1e-9)).any():
        raise DoubtfulError  # a tie, but for the rounding of weights
    held = np.iinfo(dtype)
    return np.rint(found).clip(held.min, held.max).astype(dtype)


def project(image: xr.DataArray, dim: Any, how: str = "max", *, skipna: bool | None = None) -> xr.DataArray:
    """xarray's own reduction; sums of floats in float64."""
    floats = image.dtype.kind == "f"
    exact = image.astype(np.float64) if floats and how not in ("max", "min") else image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of slices of NaN
        found = getattr(exact, how)(dim, skipna=skipna)
    return found.astype(image.dtype) if floats else found
