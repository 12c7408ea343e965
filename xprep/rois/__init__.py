"""What an operation means, for regions of interest: the table, masks, windows, features, traces.

The functions of ``cellector.utils`` stand here under their names, for windows as numpy, dask or xarray.
"""

from xprep.rois.lists import flatten_roi_data, get_roi_centroid, get_roi_centroids
from xprep.rois.planes import broadcastable, cat_planes, deprecated, split_planes, transpose
from xprep.rois.similarity import compute_correlation, dot_product
from xprep.rois.spectra import cross_power_spectrum, phase_correlation, phase_correlation_zero
from xprep.rois.surround import center_surround, in_vs_out, surround_filter
from xprep.rois.table import RoiTable
from xprep.rois.windows import get_centered_masks, get_centered_reference, get_mask_volume

__all__ = [
    "RoiTable",
    "broadcastable",
    "cat_planes",
    "center_surround",
    "compute_correlation",
    "cross_power_spectrum",
    "deprecated",
    "dot_product",
    "flatten_roi_data",
    "get_centered_masks",
    "get_centered_reference",
    "get_mask_volume",
    "get_roi_centroid",
    "get_roi_centroids",
    "in_vs_out",
    "phase_correlation",
    "phase_correlation_zero",
    "split_planes",
    "surround_filter",
    "transpose",
]
