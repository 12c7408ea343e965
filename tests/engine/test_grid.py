"""Tiles and blocks: how large a tile gets, and which blocks wait for others."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import dask.array as da
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xprep.engine.blocks.needs import Span, along_axis, same, waiting_axes
from xprep.engine.graph.grid import tile_shape

length = st.integers(1, 5) | st.integers(1, 40)
axes = st.lists(st.tuples(length, length, st.booleans()), min_size=1, max_size=4)


@given(axes, st.integers(1, 4), st.integers(1, 40) | st.integers(1, 20000))
def test_a_tile_is_of_whole_chunks_and_no_larger_than_it_may_be(axes: Any, itemsize: int, nbytes: int) -> None:
    shape, chunk, uncut = zip(*axes, strict=True)
    whole = tuple(axis for axis, one in enumerate(uncut) if one)
    tile = tile_shape(shape, chunk, whole, itemsize, nbytes)
    least = [n if axis in whole else min(c, n) for axis, (n, c) in enumerate(zip(shape, chunk, strict=True))]
    for axis, (t, n, c) in enumerate(zip(tile, shape, chunk, strict=True)):
        assert t == n or (t % c == 0 and axis not in whole)
    assert prod(tile) * itemsize <= max(nbytes, prod(least) * itemsize)
    for axis in set(range(len(shape))) - set(whole):  # and no axis could have been twice as long
        longer = [min(n, 2 * t) if a == axis else t for a, (t, n) in enumerate(zip(tile, shape, strict=True))]
        assert longer[axis] == tile[axis] or prod(longer) * itemsize > nbytes


def reach(before: int, after: int) -> Callable[[int, int, int], Span]:
    return lambda _axis, start, stop: (start - before, stop + after)


BLOCKS = {"even": (4, 4, 4), "ragged": (5, 4, 3), "one": (12,)}
NEEDS: dict[str, tuple[Any, dict[str, bool]]] = {
    "its own": (same, {"even": False, "ragged": False, "one": False}),
    "the next": (reach(0, 1), {"even": True, "ragged": True, "one": False}),
    "the one before": (reach(1, 0), {"even": True, "ragged": True, "one": False}),
    "only the next": (reach(-4, 4), {"even": True, "ragged": True, "one": False}),
    "another": (lambda _axis, start, stop: (12 - stop, 12 - start), {"even": True, "ragged": True, "one": False}),
    "all": (lambda *_: (0, 12), {"even": True, "ragged": True, "one": False}),
}


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("need", NEEDS)
def test_which_axes_wait_for_neighbours(need: str, blocks: str) -> None:
    """Blocks that are made of others than the one in their own place: those tiles are paced, and plans count them."""
    needs, waits = NEEDS[need]
    array = da.zeros((12, 12), chunks=((12,), BLOCKS[blocks]))
    along = [along_axis(array, 0, (12,), same, False), along_axis(array, 1, BLOCKS[blocks], needs, False)]
    assert waiting_axes(array.numblocks, along) == ((1,) if waits[blocks] else ())
    other = [along[0], along_axis(array, 1, (6, 6), needs, False)]
    assert waiting_axes(array.numblocks, other) == (1,)
