"""What an operation means, for regions of interest: the table, masks, windows, features, traces.

The functions of ``cellector.utils`` stand here under their names, for windows as numpy, dask or xarray.
"""

from xprep.rois.formulas.spectra import cross_power_spectrum, phase_correlation, phase_correlation_zero
from xprep.rois.formulas.surround import center_surround, in_vs_out, surround_filter
from xprep.rois.reference.similarity import compute_correlation, dot_product
from xprep.rois.reference.windows import get_centered_masks, get_centered_reference, get_mask_volume
from xprep.rois.table.pixel_lists import flatten_roi_data, get_roi_centroid, get_roi_centroids
from xprep.rois.table.planes import broadcastable, cat_planes, deprecated, split_planes, transpose
from xprep.rois.table.roi_table import RoiTable

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
