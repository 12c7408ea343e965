"""Windows of five axes: where they lie, and their rows."""

from __future__ import annotations

from xprep.kernels.compiling import compiled
from xprep.kernels.layout import contiguous


@compiled()
def find_window(at, windows, shape):
    """Return where the window of a row of results begins, and its size, along the four leading axes."""
    a, b, c, d = at[0] * windows[0], at[1] * windows[1], at[2] * windows[2], at[3] * windows[3]
    size = (
        min(windows[0], shape[0] - a),
        min(windows[1], shape[1] - b),
        min(windows[2], shape[2] - c),
        min(windows[3], shape[3] - d),
    )
    return (a, b, c, d), size


@compiled()
def read_row(source, first, step):
    """Return the row that lies ``step`` further than ``first`` along the four leading axes, contiguous."""
    return contiguous(source[first[0] + step[0], first[1] + step[1], first[2] + step[2], first[3] + step[3]])
