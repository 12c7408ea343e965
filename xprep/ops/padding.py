"""Images that xarray filled up with NaN, so that images of other shapes fit into one Dataset with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xprep.engine.blocks.folds import Fold
from xprep.engine.blocks.gather import BlockPlace
from xprep.naming import named
from xprep.types import Array


@named("padding-edges")
def _nan_edges(block: Array, place: BlockPlace) -> NDArray[np.bool_]:
    """Return whether NaN is all that a block (c, …, y, x) holds of the first and the last row, and column: (axis, side)."""
    found = np.ones((2, 2), bool)
    for axis in (-2, -1):
        start, stop = place.output[axis]
        for side, outermost in enumerate((start == 0, stop == place.shape[axis])):
            if outermost:
                found[axis, side] = np.isnan(np.take(block, -side, axis=axis)).all()
    return found


@named("padding-edges-joined")
def _join(parts: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return np.asarray(np.logical_and.reduce(list(parts)), bool)


NAN_EDGES = Fold(_nan_edges, _join)


def padding_message(name: str) -> str:
    """Return what to say of an image whose outermost rows or columns are NaN throughout."""
    return (
        f"the outermost rows or columns of {name} are NaN throughout. A Dataset has one grid, and xarray fills images of other "
        "shapes or places up with NaN, which a blur spreads. Put each into a node of a DataTree: "
        "xarray.DataTree.from_dict({'a': a.to_dataset(name='image'), …})."
    )
