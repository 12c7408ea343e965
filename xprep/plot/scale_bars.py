"""A bar of a round length, for pictures whose pixels have a size."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING

import xarray as xr

from xprep.plot.library import load_matplotlib
from xprep.plot.panels import length_symbol, lengths_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARE = 0.25  # of the picture's width: the bar is at most as long


def round_length(longest: float) -> float:
    """Return the largest of 1, 2, 5, 10, 20 … that is at most ``longest``.

    Examples
    --------
    >>> round_length(38.0), round_length(0.6), round_length(1000.0)
    (20.0, 0.5, 1000.0)
    """
    power = 10.0 ** floor(log10(longest))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= longest)


def add_scale_bar(panel: Axes, image: xr.DataArray, dim: str = "x") -> None:
    """Draw a bar in the corner of a picture that is drawn in the units of ``dim``; none where its pixels have no known size."""
    symbol = length_symbol(image, dim)
    if symbol is None:
        return
    length = round_length(SHARE * lengths_of(image)[dim])
    effects, artists = load_matplotlib("patheffects"), load_matplotlib("offsetbox")
    # White on a black rim: it is seen on any picture.
    rim = [effects.withStroke(linewidth=2.5, foreground="black")]
    bar = load_matplotlib("patches").Rectangle((0, 0), length, 0, ec="white", lw=2.5, path_effects=[
        effects.withStroke(linewidth=4.5, foreground="black")])  # fmt: skip
    line = artists.AuxTransformBox(panel.transData)
    line.add_artist(bar)
    text = artists.TextArea(f"{length:g} {symbol}", textprops={"color": "white", "size": 8, "path_effects": rim})
    packed = artists.VPacker(children=[text, line], align="center", pad=0, sep=2)
    panel.add_artist(artists.AnchoredOffsetbox("lower right", child=packed, frameon=False, pad=0.3, borderpad=0.4))
