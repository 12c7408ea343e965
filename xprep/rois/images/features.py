"""Windows and features of ROIs, of an image that is read only where ROIs are."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its parts load when they are first used: signal alone is 40 MiB
import xarray as xr
from numpy.typing import NDArray

from xprep.arguments import check_number
from xprep.dims.provenance import kept_coords
from xprep.engine.sources.lazy import as_lazy, like
from xprep.rois.formulas.spectra import check_eps
from xprep.rois.formulas.surround import Surround, check_iterations, check_surround
from xprep.rois.images.as_table import table_on
from xprep.rois.images.crops import Window, crop_labelled, space_dims, together
from xprep.rois.images.measuring import FEATURES, MeasureHow, window_type
from xprep.rois.images.work_groups import measure_rois
from xprep.rois.table.window_centers import centers_of, check_width


def centered(image: xr.DataArray, rois: Any, *, width: int = 15, fill_value: float = 0.0) -> xr.DataArray:
    """Return a window of the image about the centroid of every ROI.

    Parameters
    ----------
    image : DataArray
        Dims ``y``, ``x``, and any others in any order.
    rois : RoiTable or label image
        As for `traces`. Windows of a planar table are taken from each ROI's plane of ``z``, of a volumetric one from all planes.
    width
        Half-width: a window has 2·width + 1 pixels each way.
    fill_value
        Value of what lies outside the image.

    Returns
    -------
    DataArray of float32, (roi, …, [z], dy, dx)
        ``dy`` and ``dx`` are offsets in pixels, -width … width. Lazy if the image is, chunked over ROIs: only chunks
        which a window touches are read. A ROI without centroid has ``fill_value`` only.

    Raises
    ------
    ValueError
        ROIs that do not lie on the image, as for `traces`; no y or x; a negative width.
    TypeError
        ``rois`` is neither a table nor a label image.

    Notes
    -----
    Windows are those of `xprep.rois.get_centered_reference` about truncated weighted means.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from xprep import RoiTable
    >>> image = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=("y", "x"))
    >>> table = RoiTable.from_pixels([[1.0, 1.0]], ypix=[[0, 0]], xpix=[[1, 2]])
    >>> centered(image, table, width=1, fill_value=-1).values[0]
    array([[-1., -1., -1.],
           [ 0.,  1.,  2.],
           [ 4.,  5.,  6.]], dtype=float32)
    """
    half = check_width(width)
    space_dims(image)
    table = table_on(image, rois)
    window = Window(half, check_number(fill_value, "fill_value"), table.volumetric)
    return crop_labelled(image, centers_of(table), window, table.names)


def roi_features(
    image: xr.DataArray,
    rois: Any,
    *,
    width: int = 15,
    iterations: int = 7,
    eps: float = 1e6,
    surround: Surround = "filled",
    window: Any = None,
) -> xr.Dataset:
    """Return four numbers per ROI that tell how well it fits the image.

    Parameters
    ----------
    image : DataArray
        Dims ``y``, ``x``, and any others (``z, c, t``) in any order; one value per ROI for each of ``c``, ``t`` …
    rois : RoiTable or label image
        As for `traces`.
    width
        Half-width of the windows about the centroids.
    iterations
        How far the surround reaches (`xprep.rois.center_surround`).
    eps
        See `xprep.rois.cross_power_spectrum`.
    surround : {"filled", "annulus"}
        What ``in_vs_out`` compares with (`xprep.rois.in_vs_out`).
    window : str or array, optional
        Multiplied with both windows before ``phase_correlation``: a name for `scipy.signal.get_window`, taken
        along y and x, or weights of (2·width + 1, 2·width + 1).

    Returns
    -------
    Dataset of float64, over ``roi`` and the image's other dims
        ``phase_correlation``, ``in_vs_out``, ``dot_product``, and ``correlation`` inside the surround. Lazy if the
        image is: only chunks that a window or a ROI touches are read, and memory does not grow with the number of ROIs.

    Raises
    ------
    ValueError
        See `centered`; a negative ``iterations`` or ``eps``; another ``surround``; a window of another shape.
    TypeError
        ``rois`` is neither a table nor a label image.

    Notes
    -----
    Functions 16, 17, 18 and 19 of the reference (19 on the pair of 13), on windows filled with 0 outside the image; in
    float64 but for images of up to 16 bits, so that light on top of much other light is compared by its own digits.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from xprep import RoiTable
    >>> image = xr.DataArray(np.random.default_rng(0).random((40, 40)), dims=("y", "x"))
    >>> table = RoiTable.from_pixels([[1.0, 1.0]], ypix=[[20, 20]], xpix=[[19, 20]])
    >>> sorted(roi_features(image, table, width=5))
    ['correlation', 'dot_product', 'in_vs_out', 'phase_correlation']
    """
    check_eps(eps)
    check_surround(surround)
    steps, half = check_iterations(iterations), check_width(width)
    space = space_dims(image)
    table = table_on(image, rois)
    shape = Window(half, 0.0, table.volumetric, window_type(image.dtype))
    how = MeasureHow(shape, steps, float(eps), surround, taper_of(window, shape.tail(1)[-2:]), image.sizes.get("z", 1))
    leading = [dim for dim in image.dims if dim not in space]
    data = image.transpose(*leading, *space).data
    lazy = together(as_lazy(data), len(leading), shape, how.depth)
    made = like(image.data, measure_rois(lazy, table, how, len(space)))
    coords = kept_coords(image, leading, roi=table.names)
    found = xr.DataArray(made, coords, ("roi", *leading, "feature"))
    return xr.Dataset({name: found[..., i] for i, name in enumerate(FEATURES)}, attrs=image.attrs)


def taper_of(window: Any, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return the weights that windows are multiplied with, or None.

    Raises
    ------
    ValueError
        Weights of another shape, or a name that scipy does not know.
    """
    if window is None:
        return None
    if isinstance(window, str):
        try:
            one = scipy.signal.get_window(window, shape[0], fftbins=False)
        except ValueError as error:
            why = f"a name that scipy.signal.get_window knows, or weights; got {window!r}: {error}"
            raise ValueError(f"window must be {why}") from None
        return np.outer(one, one).astype(np.float32)
    try:
        weights = np.asarray(window, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"window must be a name or an array of weights; got {window!r}.") from None
    if weights.shape != shape:
        raise ValueError(f"window needs the shape {shape} of the windows, 2·width + 1 each way; got {weights.shape}.")
    return weights
