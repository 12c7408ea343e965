"""What an operation means, for images: checks, dims and coordinates; DataArray in, lazy DataArray out; never computes."""

from __future__ import annotations

from xprep.ops.describe import describe
from xprep.ops.gaussian import gaussian_filter
from xprep.ops.normalize import normalize
from xprep.ops.plan import Plan, plan
from xprep.ops.quantile import quantile

__all__ = ["Plan", "describe", "gaussian_filter", "normalize", "plan", "quantile"]
