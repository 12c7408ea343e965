"""Pictures in physical units. The only place that knows matplotlib, which is imported when something is drawn."""

from __future__ import annotations

from xprep.plot.channels import plot_channels
from xprep.plot.colors import label_colors
from xprep.plot.comparison import plot_before_after
from xprep.plot.histograms import plot_histograms
from xprep.plot.parameters import compare
from xprep.plot.projections import plot_projections
from xprep.plot.rois import plot_rois

__all__ = [
    "compare", "label_colors", "plot_before_after", "plot_channels", "plot_histograms", "plot_projections", "plot_rois",
]  # fmt: skip
