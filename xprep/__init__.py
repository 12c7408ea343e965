"""Streaming preprocessing of microscopy images that are larger than memory.

``import xprep`` registers the accessor ``.prep`` on xarray's DataArray, Dataset and DataTree.
"""

from __future__ import annotations

from xprep import datasets, rois, spatialdata, ufuncs
from xprep.accessor import DatasetPrep, ImagePrep, TreePrep
from xprep.batch import BatchInterruptedError, BatchReport, RecipeError, run, status
from xprep.errors import (
    ChunkError,
    ChunksWarning,
    EmptyChannelWarning,
    NobodyWorksError,
    PaddedImageWarning,
    PercentileWarning,
    ScratchFullError,
    SourceChangedError,
    StoreExistsError,
    StoreFormatError,
    StoreFormatWarning,
    UnfinishedStoreError,
)
from xprep.images import Report, Validation, Verification, open_image, open_tree, statistics_of, to_ome_zarr, validate, verify
from xprep.ops import (
    Plan,
    background,
    centered,
    fit_normalize,
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
from xprep.plot import compare, plot_channels, plot_histograms, plot_projections, plot_rois
from xprep.rois import RoiTable
from xprep.version import show_versions, version

__version__ = version()

__all__ = [
    "BatchInterruptedError",
    "BatchReport",
    "ChunkError",
    "ChunksWarning",
    "DatasetPrep",
    "EmptyChannelWarning",
    "ImagePrep",
    "NobodyWorksError",
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
    "StoreFormatWarning",
    "TreePrep",
    "UnfinishedStoreError",
    "Validation",
    "Verification",
    "__version__",
    "background",
    "centered",
    "compare",
    "datasets",
    "fit_normalize",
    "gaussian_filter",
    "mask",
    "normalize",
    "open_image",
    "open_tree",
    "plan",
    "plot_channels",
    "plot_histograms",
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
    "spatialdata",
    "statistics_of",
    "status",
    "subtract_background",
    "to_isotropic",
    "to_ome_zarr",
    "traces",
    "ufuncs",
    "validate",
    "verify",
]
