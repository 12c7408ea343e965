"""How much an image looks like a ROI: the reference's functions 18 and 19."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xprep.arguments import check_listed
from xprep.dims.values import check_real
from xprep.engine.sources.lazy import is_lazy
from xprep.kernels.rois_windows import correlate
from xprep.rois.formulas.dispatch import Pairs, as_floats, over_windows
from xprep.rois.images.traces import traces
from xprep.rois.table.checked_columns import check_lengths
from xprep.rois.table.pixel_lists import is_volumetric
from xprep.rois.table.roi_table import RoiTable
from xprep.switches import check_switch
from xprep.types import Array


def compute_correlation(masks: Any, references: Any, *, volumetric: bool = False, joint: bool = False) -> Any:
    """Return the correlation of every mask with its reference.

    Parameters
    ----------
    masks, references : numpy, dask or xarray, (roi, [z], y, x)
        Windows of one size, with NaN where nothing is to be compared; their other axes are broadcast.
    volumetric
        Whether windows hold planes.
    joint
        Pearson's correlation over the pixels where neither is NaN. The reference (False) takes mean and spread of each
        over its own pixels, and divides by the number of those of the mask: biased unless both have the same NaN, as
        they have after `surround_filter`.

    Returns
    -------
    float64, (roi, …)
        NaN where a window is constant, or NaN throughout.

    Raises
    ------
    ValueError
        Windows of different sizes, or axes that cannot be broadcast.

    Notes
    -----
    Reference: ``cellector.utils.compute_correlation``; sums in float64.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.array([[[0.0, 1.0, 2.0]]])
    >>> compute_correlation(mask, 5 - mask)
    array([-1.])
    """
    volumetric, joint = check_switch(volumetric, "volumetric"), check_switch(joint, "joint")
    core = 3 if volumetric else 2

    def compare(masks: Array, references: Array) -> Any:
        same = np.result_type(as_floats(masks), as_floats(references))
        pairs = Pairs(masks.astype(same, copy=False), references.astype(same, copy=False), core)
        return pairs.result(correlate(pairs.masks, pairs.references, pairs.mask_of, pairs.reference_of, None, joint))

    windows = {"masks": masks, "references": references}
    return over_windows(compare, windows, volumetric, lambda *_: (np.float64,), keeps=False)[0]


def dot_product(
    lam: Sequence[Any],
    ypix: Sequence[Any],
    xpix: Sequence[Any],
    zpix: Sequence[Any],
    reference: Any,
    *,
    volumetric: bool = False,
    skipna: bool = False,
) -> Any:
    """Return Σ reference · lam / ‖lam‖ over the pixels of every ROI.

    Parameters
    ----------
    lam, ypix, xpix : sequence of arrays
        Weights and positions, an array per ROI.
    zpix : sequence
        The plane of every ROI; with ``volumetric`` an array per ROI.
    reference : numpy, dask or xarray, (z, y, x)
        One image per plane. A DataArray has these dims in any order, and may have others.
    volumetric
        Whether ROIs are volumes.
    skipna
        Leave out pixels where the reference is NaN, of ‖lam‖ too; otherwise they make their ROI NaN.

    Returns
    -------
    float64, (roi,)
        NaN for a ROI without pixels or with weights of 0 only. Lazy if ``reference`` is.

    Raises
    ------
    ValueError
        A pixel outside the reference; lists that do not match; ``zpix`` of another form than ``volumetric`` says.

    Notes
    -----
    Reference: ``cellector.utils.dot_product``, in float64: small integers cannot overflow.

    Examples
    --------
    >>> import numpy as np
    >>> dot_product([[3.0, 4.0]], [[0, 0]], [[0, 1]], [0], np.array([[[1.0, 2.0]]]))
    array([2.2])
    """
    volumetric, skipna = check_switch(volumetric, "volumetric"), check_switch(skipna, "skipna")
    data = reference if isinstance(reference, xr.DataArray) or is_lazy(reference) else np.asarray(reference)
    check_real(data.dtype, "dot_product", "the reference")
    if len(check_listed(lam, "lam", "a list with an array a ROI")) == 0:
        check_none(ypix, xpix, zpix)
        return np.empty(0)
    if is_volumetric(zpix) != volumetric:
        raise ValueError(f"volumetric={volumetric} needs zpix to hold one {'array' if volumetric else 'plane'} per ROI.")
    table = RoiTable.from_pixels(lam, ypix, xpix, zpix)
    if isinstance(data, xr.DataArray):
        return traces(data, table, how="dot", skipna=skipna)
    if data.ndim != 3:
        raise ValueError(f"reference needs the axes (plane, y, x); got shape {data.shape}. One plane: reference[None].")
    return traces(xr.DataArray(data, dims=("z", "y", "x")), table, how="dot", skipna=skipna).data


def check_none(*lists: Sequence[Any]) -> None:
    """Refuse lists with entries where there are no ROIs.

    Raises
    ------
    ValueError
        One of them is not empty.
    """
    if any(len(entries) for entries in lists):
        check_lengths(lam=[], ypix=lists[0], xpix=lists[1], zpix=lists[2])
