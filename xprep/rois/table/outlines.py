"""Outlines of ROIs: the sides of their pixels that no other pixel of the ROI shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xprep.rois.table.flat_pixels import Ints

if TYPE_CHECKING:
    from xprep.rois.table.ragged_columns import RaggedPixels

# Neighbour (y, x), and the two ends (y, x) of the side between it and the pixel.
SIDES = (
    ((-1, 0), ((-0.5, -0.5), (-0.5, 0.5))),
    ((1, 0), ((0.5, -0.5), (0.5, 0.5))),
    ((0, -1), ((-0.5, -0.5), (0.5, -0.5))),
    ((0, 1), ((-0.5, 0.5), (0.5, 0.5))),
)


def outline_segments(table: RaggedPixels) -> tuple[NDArray[np.float64], Ints]:
    """Return the outlines of all ROIs, seen along z.

    Returns
    -------
    segments : float64, (segment, 2, 2)
        Both ends of every side, as (y, x) in pixels: pixel centers are whole numbers.
    rois : int64, (segment,)
        The ROI (its number) that each segment belongs to.

    Examples
    --------
    >>> from xprep.rois import RoiTable
    >>> segments, rois = outline_segments(RoiTable.from_pixels([[1.0, 1.0]], [[3, 3]], [[4, 5]]))
    >>> len(segments), segments[0].tolist()
    (6, [[2.5, 3.5], [2.5, 4.5]])
    """
    pixels = table.pixels()
    height, width = (int(axis.max(initial=0)) + 3 for axis in (pixels.y, pixels.x))
    # One number a pixel, with a margin of one all around: a neighbour is a step, never another row's or ROI's pixel.
    numbers = np.unique((pixels.rois * height + pixels.y + 1) * width + pixels.x + 1)
    rows, x = np.divmod(numbers, width)
    rois, y = np.divmod(rows, height)
    segments, owners = [], []
    for (down, right), ends in SIDES:
        free = ~np.isin(numbers + down * width + right, numbers, assume_unique=True)
        places = np.stack([y[free] - 1, x[free] - 1], axis=1)
        segments.append(places[:, None, :] + np.asarray(ends)[None])
        owners.append(rois[free])
    return np.concatenate(segments), np.concatenate(owners)
