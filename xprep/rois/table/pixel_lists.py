"""What the reference computes from lists of pixels: flat columns, and where each ROI lies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xprep.arguments import check_listed
from xprep.dims.values import check_real
from xprep.kernels.rois import weighted_means
from xprep.rois.table.checked_columns import check_lengths, join_lists, starts_of, whole_coordinates
from xprep.switches import check_switch
from xprep.types import Array

Method = Literal["weightedmean", "median"]


def flatten_roi_data(
    lam: Sequence[Any], ypix: Sequence[Any], xpix: Sequence[Any], zpix: Sequence[Any] | None = None
) -> dict[str, Array]:
    """Join lists of pixels per ROI to flat columns.

    Parameters
    ----------
    lam, ypix, xpix : sequence of arrays
        Weights and voxel positions, an array per ROI. A ROI may be empty.
    zpix : sequence of arrays, or of planes, optional
        An array per ROI (volumetric), or one plane per ROI, which is then given to each of its pixels.

    Returns
    -------
    dict of arrays, (pixel,)
        ``lam_flat``, ``ypix_flat``, ``xpix_flat``, ``roi_idx`` (int64: the ROI's number), with ``zpix`` ``zpix_flat``.

    Raises
    ------
    ValueError
        No ROIs, or lists that do not match (the reference lets those pass).

    Notes
    -----
    Reference: ``cellector.utils.flatten_roi_data``.

    Examples
    --------
    >>> import numpy as np
    >>> flat = flatten_roi_data([np.ones(2), np.ones(1)], [[3, 4], [5]], [[0, 0], [9]])
    >>> flat["roi_idx"].tolist(), flat["ypix_flat"].tolist()
    ([0, 0, 1], [3, 4, 5])
    """
    columns = {"lam": lam, "ypix": ypix, "xpix": xpix}
    check_lengths(**columns)
    flat = {f"{name}_flat": join_lists(lists) for name, lists in columns.items()}
    if zpix is not None:
        flat["zpix_flat"] = join_planes(zpix, lam)
    flat["roi_idx"] = np.repeat(np.arange(len(lam)), np.diff(starts_of(lam)))
    return flat


def is_volumetric(zpix: Any) -> bool:
    """Return whether ``zpix`` holds an array per ROI, rather than one plane per ROI."""
    return len(check_listed(zpix, "zpix", "a list with a plane, or an array of them, a ROI")) > 0 and np.ndim(zpix[0]) > 0


def join_planes(zpix: Sequence[Any], lam: Sequence[Any]) -> Array:
    """Return ``zpix`` as one column: arrays joined, or each ROI's plane repeated for each of its pixels.

    Raises
    ------
    ValueError
        There is not one entry a ROI, or not one value a pixel.
    """
    if len(check_listed(zpix, "zpix", "a list with a plane, or an array of them, a ROI")) != len(lam):
        raise ValueError(f"zpix needs one entry a ROI: there are {len(lam)} ROIs, and {len(zpix)} entries.")
    if not is_volumetric(zpix):
        return np.repeat(np.asarray(zpix), [len(weights) for weights in lam])
    check_lengths(lam=lam, zpix=zpix)
    return join_lists(zpix)


def get_roi_centroid(
    *, lam: Any, zpix: Any, ypix: Any, xpix: Any, method: Method = "weightedmean", asint: bool = True
) -> tuple[Any, Any, Any]:
    """Return where one ROI lies: ``(z, y, x)``.

    Parameters
    ----------
    lam, ypix, xpix : array, (pixel,)
        Weights and positions of the ROI's pixels.
    zpix : array or int
        Positions too (volumetric), or the ROI's plane, which is passed through.
    method : {"weightedmean", "median"}
        Σ lam·q / Σ lam; or the median of the positions, truncated, which knows neither ``lam`` nor ``asint``.
    asint
        Truncate towards zero (not round: the windows of the reference lie where this says).

    Returns
    -------
    tuple of int or float

    Raises
    ------
    ValueError
        Another method; columns of different lengths; no centroid (no pixels, or weights that sum to 0) where an
        integer is asked for. With ``asint=False`` such a ROI has NaN.

    Notes
    -----
    Reference: ``cellector.utils.get_roi_centroid``; in float64: small integers cannot overflow.

    Examples
    --------
    >>> get_roi_centroid(lam=[1.0, 3.0], zpix=2, ypix=[4, 8], xpix=[0, 1])
    (2, 7, 0)
    """
    found = get_roi_centroids(lam=[lam], zpix=[zpix], ypix=[ypix], xpix=[xpix], method=method, asint=asint)
    z, y, x = (axis[0].item() for axis in found)
    return z, y, x


def get_roi_centroids(
    *,
    lam: Sequence[Any],
    zpix: Sequence[Any],
    ypix: Sequence[Any],
    xpix: Sequence[Any],
    method: Method = "weightedmean",
    asint: bool = True,
) -> tuple[Array, Array, Array]:
    """Return where every ROI lies: arrays ``(z, y, x)``, int64 or float64.

    Parameters
    ----------
    lam, ypix, xpix : sequence of arrays
        Weights and positions, an array per ROI.
    zpix : sequence of arrays, or of planes
        As in `get_roi_centroid`, per ROI.
    method, asint
        See `get_roi_centroid`. By keyword only: the reference orders these lists in two ways.

    Returns
    -------
    tuple of three arrays, (roi,)
        z is the plane (int64) where one plane per ROI was given.

    Raises
    ------
    ValueError
        As `get_roi_centroid`; no ROIs.

    Notes
    -----
    Reference: ``cellector.utils.get_roi_centroids``.

    Examples
    --------
    >>> get_roi_centroids(lam=[[1.0], [1.0, 1.0]], zpix=[0, 1], ypix=[[5], [1, 2]], xpix=[[6], [3, 3]], asint=False)
    (array([0, 1]), array([5. , 1.5]), array([6., 3.]))
    """
    check_lengths(lam=lam, ypix=ypix, xpix=xpix)
    volumetric = is_volumetric(zpix)
    columns = {"zpix": join_planes(zpix, lam), "ypix": join_lists(ypix), "xpix": join_lists(xpix)}
    used = [whole_coordinates(column, name) for name, column in columns.items()][0 if volumetric else 1 :]
    found = locate(join_lists(lam), used, starts_of(lam), method, asint)
    return (found[0] if volumetric else whole_coordinates(zpix, "zpix").astype(np.int64)), found[-2], found[-1]


def locate(weights: Array, columns: Sequence[Array], starts: NDArray[np.int64], method: Method, asint: bool) -> list[Array]:
    """Return the centroid of every ROI along each of ``columns``, checked.

    Raises
    ------
    ValueError
        Another method, or a ROI without a centroid where an integer is needed.
    """
    asint = check_switch(asint, "asint")
    check_real(weights.dtype, "get_roi_centroids", "lam")
    if np.ndim(method) or method not in ("weightedmean", "median"):
        raise ValueError(f"method must be 'weightedmean' or 'median'; got {method!r}.")
    means = weighted_means(weights, columns, starts) if method == "weightedmean" else _medians(columns, starts)
    if not (asint or method == "median"):
        return list(means)
    if not np.isfinite(means).all():
        lost = np.flatnonzero(~np.isfinite(means).all(axis=0))
        raise ValueError(
            f"{lost.size} ROIs have no centroid, the first is number {lost[0]}: no pixels, or weights that sum to 0. "
            "Drop them, or ask for asint=False, which gives NaN."
        )
    return list(means.astype(np.int64))


def _medians(columns: Sequence[Array], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    spans = list(pairwise(starts.tolist()))
    return np.array([[np.median(column[a:b]) if b > a else np.nan for a, b in spans] for column in columns])
