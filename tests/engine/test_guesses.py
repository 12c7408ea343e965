"""Guesses of quantiles: where patches are taken from, how many, and which bracket they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.passes.guesses import FEWEST, INNER, PATCHES, SAMPLE_BYTES, Guess, Sampler
from xprep.engine.passes.quantiles import Question

TOP = 2**16 - 1


def place_of(block: np.ndarray) -> BlockPlace:
    whole = tuple((0, n) for n in block.shape)
    return BlockPlace(whole, whole, block.shape)


@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize(("height", "width"), [(22, 23), (22, 40), (5, 40), (200, 100)])
def test_patches_are_whole_and_lie_anywhere_in_their_tile(height: int, width: int, margin: int) -> None:
    """The first and the last row and column too; pixels of one patch are neighbours."""
    block = np.arange(2 * 3 * height * width).reshape(2, 3, height, width)
    side = INNER + 2 * margin
    patches = Sampler(margin, 5000)(block, place_of(block))
    for _ in range(50):  # a tile gives few: those of other places have other numbers
        origin = BlockPlace(((0, 2), (len(patches), 9), (0, height), (0, width)), place_of(block).output, block.shape)
        patches += Sampler(margin, 5000)(block, BlockPlace(origin.input, origin.input, block.shape))
    tall, wide = min(side, height), min(side, width)
    assert {patch.shape for patch in patches} == {(2, tall, wide)}
    for patch in patches:
        plane, top, left = np.unravel_index(int(patch[0, 0, 0]), block.shape[1:])
        np.testing.assert_array_equal(patch, block[:, plane, top : top + tall, left : left + wide])
    corners = {np.unravel_index(int(patch[0, 0, 0]), block.shape[1:]) for patch in patches}
    assert {plane for plane, _, _ in corners} == {0, 1, 2}
    if height * width < 1000:
        assert {top for _, top, _ in corners} == set(range(height - tall + 1))
        assert {left for _, _, left in corners} >= {0, width - wide}


@pytest.mark.parametrize("shape", [(1, 4096, 4096), (40, 4096, 4096), (8, 5, 300, 300)])
@pytest.mark.parametrize(("itemsize", "margin"), [(1, 0), (2, 8), (8, 60)])
@pytest.mark.parametrize("ntiles", [1, 64, 10**5])
def test_patches_are_bounded_in_number_and_bytes(shape: tuple[int, ...], itemsize: int, margin: int, ntiles: int) -> None:
    number = Sampler.of(shape, itemsize, ntiles, margin).patches * ntiles
    nbytes = number * shape[0] * (INNER + 2 * margin) ** 2 * itemsize
    assert FEWEST <= round(number) <= PATCHES
    assert nbytes <= SAMPLE_BYTES or round(number) == FEWEST
    assert round(number) == PATCHES or nbytes > SAMPLE_BYTES / 2


def bracket(values: Any, q: float, dtype: str = "uint16", **about: bool) -> tuple[int, int]:
    """Return the bracket of ``values``, of which every patch has the same."""
    patches = [np.tile(np.asarray(values, dtype), (1, 1, 1, 1))[0] for _ in range(4)]
    guess = Guess(Question((q,), np.dtype(dtype), **about), lambda alike: alike.reshape(1, alike.shape[1], -1), 1)
    low, high = guess(patches)
    return int(low[0]), int(high[0])


N = 4 * 25  # values of four patches
RAMP = np.arange(100, 125)
ENDS = {  # where the last and the first value of the sample lie within the error, the bracket has no end there
    "far from both": (50 / 99, 110, 115),
    "two from the last": (97 / 99, 123, TOP),
    "three from the last": (96 / 99, 123, 124),
    "the last": (1.0, 124, TOP),
    "two from the first": (2 / 99, 0, 101),
    "three from the first": (3 / 99, 100, 101),
    "the first": (0.0, 0, 100),
}


@pytest.mark.parametrize(("q", "low", "high"), ENDS.values(), ids=ENDS)
def test_where_the_sample_ends_the_bracket_is_open(q: float, low: int, high: int) -> None:
    """What lies beyond the outermost pixel of a sample nobody knows; a bracket that ends there is wrong more often than right."""
    found = bracket(RAMP, q)
    assert (found[0] == 0, found[1] == TOP) == (low == 0, high == TOP)
    assert found[0] <= round(100 + 24 * q) <= found[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("skip_zeros", [False, True])
def test_what_does_not_count_moves_no_bracket(dtype: str, skip_zeros: bool) -> None:
    values = RAMP.astype(dtype)
    plain = bracket(values, 0.5, dtype, skip_zeros=skip_zeros)
    assert bracket([*values, np.nan, np.nan], 0.5, dtype, skip_zeros=skip_zeros) == plain
    zeros = bracket([*values, 0, 0, -0.0], 0.5, dtype, skip_zeros=skip_zeros)
    assert (zeros == plain) is skip_zeros
    nothing = bracket([np.nan, np.nan], 0.5, dtype, skip_zeros=skip_zeros)
    assert nothing == (0, 2 ** (8 * np.dtype(dtype).itemsize) - 1)
