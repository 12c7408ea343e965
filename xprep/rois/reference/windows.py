"""Masks and crops as arrays: whole planes, or windows about each ROI's centroid. The reference's functions 9 to 11."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.arguments import check_number, check_shape, check_whole
from xprep.dims.values import check_real
from xprep.engine.sources.lazy import is_lazy
from xprep.kernels.rois import allocate_zeros, fill_pixels
from xprep.rois.images.crops import Window, crop_array, crop_labelled
from xprep.rois.table.offsets import fill_windows, flat_offsets
from xprep.rois.table.window_centers import Centers, centroid_columns, check_width
from xprep.switches import check_switch
from xprep.types import Array


def get_mask_volume(flat: Mapping[str, Any], num_rois: int, shape: Sequence[int], *, volumetric: bool = False) -> Array:
    """Write every ROI's weights into a plane (or volume) of its own.

    Parameters
    ----------
    flat
        The columns of `flatten_roi_data`.
    num_rois
        How many ROIs there are.
    shape
        ``(y, x)`` of a plane, or ``(z, y, x)`` with ``volumetric``.
    volumetric
        Whether a mask is a volume (the reference has not built this).

    Returns
    -------
    array of float32, (roi, [z], y, x)
        Zero outside. Of a pixel that one ROI lists twice, the last entry wins. Memory is occupied where ROIs are, not
        for every zero; `RoiTable.masks` is the lazy form.

    Raises
    ------
    ValueError
        A pixel outside ``shape``, a ROI number outside ``num_rois``, columns or axes that do not match.

    Notes
    -----
    Reference: ``cellector.utils.get_mask_volume``, which does not check what it writes to.

    Examples
    --------
    >>> from xprep.rois import flatten_roi_data
    >>> flat = flatten_roi_data([[0.5, 2.0]], [[0, 1]], [[1, 1]])
    >>> get_mask_volume(flat, 1, (2, 2))
    array([[[0. , 0.5],
            [0. , 2. ]]], dtype=float32)
    """
    volumetric = check_switch(volumetric, "volumetric")
    ndim = 3 if volumetric else 2
    num_rois, shape = check_whole(num_rois, "num_rois"), check_shape(shape)
    if len(shape) != ndim:
        raise ValueError(f"shape needs {ndim} lengths{' (z, y, x)' if volumetric else ' (y, x)'}; got {shape}.")
    names = ("roi_idx", "zpix_flat", "ypix_flat", "xpix_flat")
    columns = flat_columns(flat, names if volumetric else (names[0], *names[2:]))
    lengths = (num_rois, *shape)
    for name, column, length in zip(columns, columns.values(), lengths, strict=True):
        if column.size and (column.min() < 0 or column.max() >= length):
            raise ValueError(f"{name} must lie in 0 … {length - 1}; got {column.min()} to {column.max()}.")
    offsets = flat_offsets(list(columns.values()), lengths)
    return fill_pixels(allocate_zeros(lengths, np.float32), offsets, np.asarray(flat["lam_flat"]))


def flat_columns(flat: Mapping[str, Any], names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return columns of `flatten_roi_data` as int64 arrays, as long as the weights.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        Columns are not integers, or differ in length.
    """
    if not isinstance(flat, Mapping):
        raise TypeError(f"flat must be a mapping, the columns of flatten_roi_data; got {flat!r}.")
    missing = [name for name in ("lam_flat", *names) if name not in flat]
    if missing:
        raise KeyError(f"the flat columns lack {missing}; xprep.rois.flatten_roi_data makes them (zpix_flat if given zpix).")
    columns = {name: np.asarray(flat[name]) for name in names}
    weights = np.asarray(flat["lam_flat"])
    if weights.size:
        check_real(weights.dtype, "xprep.rois", "lam_flat")
    size = weights.size
    for name, column in columns.items():
        if column.shape != (size,) or (size and column.dtype.kind not in "iu"):
            raise ValueError(f"{name} needs {size} integers, one a weight; got {column.dtype} of shape {column.shape}.")
    return {name: column.astype(np.int64, copy=False) for name, column in columns.items()}


def get_centered_masks(
    flat: Mapping[str, Any],
    centroids: Mapping[str, Any],
    *,
    width: int = 15,
    fill_value: float = 0.0,
    num_planes: int | None = None,
    volumetric: bool = False,
) -> Array:
    """Write every ROI's weights into a window about its centroid.

    Parameters
    ----------
    flat
        The columns of `flatten_roi_data`.
    centroids
        ``yc`` and ``xc``, integers, one a ROI.
    width
        Half-width: a window has 2·width + 1 pixels each way. Pixels beyond it are dropped.
    fill_value
        Value of what is not in the ROI.
    num_planes
        Number of planes of a volumetric window, whose z is the image's.
    volumetric
        Whether windows hold all planes.

    Returns
    -------
    array of float32, (roi, [z], 2·width + 1, 2·width + 1)
        Of a pixel that one ROI lists twice, the last entry wins.

    Raises
    ------
    ValueError
        A ROI without centroid, a plane outside ``num_planes``, columns that do not match, a negative width.
    KeyError
        A column or a centroid is missing.

    Notes
    -----
    Reference: ``cellector.utils.get_centered_masks``.

    Examples
    --------
    >>> from xprep.rois import flatten_roi_data
    >>> flat = flatten_roi_data([[1.0, 2.0]], [[7, 8]], [[4, 9]])
    >>> get_centered_masks(flat, {"yc": [7], "xc": [4]}, width=1)
    array([[[0., 0., 0.],
            [0., 1., 0.],
            [0., 0., 0.]]], dtype=float32)
    """
    volumetric = check_switch(volumetric, "volumetric")
    yc, xc = centroid_columns(centroids, ("yc", "xc"))
    if num_planes is not None:
        num_planes = check_whole(num_planes, "num_planes", 1, also=", or None")
    if volumetric and num_planes is None:
        raise ValueError("volumetric windows need num_planes, the number of planes of the image.")
    names = ("roi_idx", "zpix_flat", "ypix_flat", "xpix_flat") if volumetric else ("roi_idx", "ypix_flat", "xpix_flat")
    columns = flat_columns(flat, names)
    rois = columns["roi_idx"]
    if rois.size and (rois.min() < 0 or rois.max() >= yc.size):
        raise ValueError(f"there are centroids for {yc.size} ROIs, but pixels of ROIs {rois.min()} to {rois.max()}.")
    centers = Centers(np.zeros_like(yc), yc, xc)
    planes = columns.get("zpix_flat")
    depth = check_depth(planes, num_planes) if volumetric else None
    columns_zyx = (planes, columns["ypix_flat"], columns["xpix_flat"])
    check_number(fill_value, "fill_value")
    return fill_windows(np.asarray(flat["lam_flat"]), rois, columns_zyx, centers, check_width(width), fill_value, depth)


def check_depth(planes: NDArray[np.int64] | None, num_planes: int | None) -> int:
    """Return the number of planes.

    Raises
    ------
    ValueError
        A pixel lies in a plane that does not exist.
    """
    depth = int(num_planes or 0)
    if planes is not None and planes.size and (planes.min() < 0 or planes.max() >= depth):
        raise ValueError(f"there are {depth} planes, but pixels in planes {planes.min()} to {planes.max()}.")
    return depth


def get_centered_reference(
    reference: Any,
    centroids: Mapping[str, Any],
    *,
    width: int = 15,
    fill_value: float = 0.0,
    volumetric: bool = False,
) -> Any:
    """Crop a window about every centroid from a stack of planes.

    Parameters
    ----------
    reference : numpy, dask or xarray, (z, y, x)
        One image per plane. A DataArray has these dims in any order; other dims (t, c) follow ``roi`` in the result.
    centroids
        ``yc`` and ``xc``, and ``zc`` (the ROI's plane) unless ``volumetric``; integers, one a ROI.
    width
        Half-width: a window has 2·width + 1 pixels each way.
    fill_value
        Value of what lies outside the image, on all sides, however far.
    volumetric
        Take all planes instead of the ROI's own.

    Returns
    -------
    float32, (roi, …, [z], 2·width + 1, 2·width + 1)
        Lazy if ``reference`` is: chunked over ROIs, and only chunks that a window touches are read.

    Raises
    ------
    ValueError
        A plane that the reference does not have; not three axes; centroids that are not integers; a negative width.
    KeyError
        A centroid is missing.

    Notes
    -----
    Reference: ``cellector.utils.get_centered_reference``.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(16.0).reshape(1, 4, 4)
    >>> get_centered_reference(image, {"zc": [0], "yc": [0], "xc": [1]}, width=1, fill_value=-1)
    array([[[-1., -1., -1.],
            [ 0.,  1.,  2.],
            [ 4.,  5.,  6.]]], dtype=float32)
    """
    volumetric = check_switch(volumetric, "volumetric")
    check_real(getattr(reference, "dtype", None) or np.asarray(reference).dtype, "get_centered_reference", "the reference")
    check_number(fill_value, "fill_value")
    names = ("yc", "xc") if volumetric else ("zc", "yc", "xc")
    columns = centroid_columns(centroids, names)
    zc = np.zeros_like(columns[0]) if volumetric else columns[0]
    centers = Centers(zc, *columns[-2:])
    if isinstance(reference, xr.DataArray):
        return crop_labelled(reference, centers, Window(check_width(width), fill_value, volumetric))
    data = reference if is_lazy(reference) else np.asarray(reference)
    if data.ndim != 3:
        raise ValueError(f"reference needs the axes (plane, y, x); got shape {data.shape}. One plane: reference[None].")
    return crop_array(data, centers, Window(check_width(width), fill_value, volumetric), 3)
