"""Streaming preprocessing of microscopy images that are larger than memory.

``import xprep`` registers the accessor ``.prep`` on xarray's DataArray, Dataset and DataTree.
"""

from __future__ import annotations

from xprep import datasets, rois, ufuncs
from xprep.accessor import DatasetPrep, ImagePrep, TreePrep
from xprep.batch import BatchReport, RecipeError, run
from xprep.errors import (
    ChunkError,
    EmptyChannelWarning,
    PaddedImageWarning,
    PercentileWarning,
    ScratchFullError,
    StoreExistsError,
    StoreFormatError,
    UnfinishedStoreError,
)
from xprep.images import Report, Validation, Verification, open_image, open_tree, to_ome_zarr, validate, verify
from xprep.ops import (
    Plan,
    background,
    centered,
    gaussian_filter,
    mask,
    normalize,
    plan,
    project,
    pyramid,
    quantile,
    rescale,
    roi_features,
    subtract_background,
    to_isotropic,
    traces,
)
from xprep.options import set_options
from xprep.plot import plot_channels, plot_projections, plot_rois
from xprep.rois import RoiTable
from xprep.version import show_versions, version

__version__ = version()

__all__ = [
    "BatchReport",
    "ChunkError",
    "DatasetPrep",
    "EmptyChannelWarning",
    "ImagePrep",
    "PaddedImageWarning",
    "PercentileWarning",
    "Plan",
    "RecipeError",
    "Report",
    "RoiTable",
    "ScratchFullError",
    "SourceChangedError",
    "StoreExistsError",
    "StoreFormatError",
    "TreePrep",
    "UnfinishedStoreError",
    "Validation",
    "Verification",
    "__version__",
    "background",
    "centered",
    "datasets",
    "gaussian_filter",
    "mask",
    "normalize",
    "open_image",
    "open_tree",
    "plan",
    "plot_channels",
    "plot_projections",
    "plot_rois",
    "project",
    "pyramid",
    "quantile",
    "rescale",
    "roi_features",
    "rois",
    "run",
    "set_options",
    "show_versions",
    "subtract_background",
    "to_isotropic",
    "to_ome_zarr",
    "traces",
    "ufuncs",
    "validate",
    "verify",
]
