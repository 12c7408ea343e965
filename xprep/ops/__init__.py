"""What an operation means, for images: checks, dims and coordinates; DataArray in, lazy DataArray out; never computes."""

from __future__ import annotations

from xprep.ops.background import background, subtract_background
from xprep.ops.describe import describe, describe_html
from xprep.ops.fit import fit_normalize
from xprep.ops.fitted_checks import check_fitted
from xprep.ops.gaussian import gaussian_filter
from xprep.ops.normalize import normalize
from xprep.ops.plan import Plan, plan
from xprep.ops.project import project
from xprep.ops.pyramid import pyramid
from xprep.ops.quantile import quantile
from xprep.ops.rescale import rescale, to_isotropic
from xprep.rois.in_containers import centered, mask, roi_features, traces

__all__ = [
    "Plan",
    "background",
    "centered",
    "check_fitted",
    "describe",
    "describe_html",
    "fit_normalize",
    "gaussian_filter",
    "mask",
    "normalize",
    "plan",
    "project",
    "pyramid",
    "quantile",
    "rescale",
    "roi_features",
    "subtract_background",
    "to_isotropic",
    "traces",
]
