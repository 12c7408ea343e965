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

__all__ = [
    "Plan",
    "background",
    "check_fitted",
    "describe",
    "describe_html",
    "fit_normalize",
    "gaussian_filter",
    "normalize",
    "plan",
    "project",
    "pyramid",
    "quantile",
    "rescale",
    "subtract_background",
    "to_isotropic",
]
