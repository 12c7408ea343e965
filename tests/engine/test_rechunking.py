"""Tiles between chunks that are read and units that are written: every chunk whole, every unit whole, within the room."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xprep.engine.blocks.rechunking import MOST_READS, covering, direct_tile, reads_per_chunk, two_steps, widened

length = st.integers(1, 6) | st.integers(1, 60)
rooms = st.integers(1, 60) | st.integers(1, 20000)
axis = st.tuples(length, length, length).map(lambda a: (a[0], min(a[1], a[0]), min(a[2], a[0])))
arrays = st.lists(axis, min_size=1, max_size=3).map(lambda axes: tuple(zip(*axes, strict=True)))


def touched(shape: Any, chunk: Any, tile: Any) -> float:
    """Return the mean number of tiles that touch a chunk, by counting."""
    counts = [
        [len({v // t for v in range(start, min(start + c, n))}) for start in range(0, n, c)]
        for n, c, t in zip(shape, chunk, tile, strict=True)
    ]
    each = [prod(one) for one in product(*counts)]
    return sum(each) / len(each)


@given(arrays)
def test_reads_are_counted_right(given_: Any) -> None:
    shape, chunk, tile = given_
    assert reads_per_chunk(shape, chunk, tile) == pytest.approx(touched(shape, chunk, tile))


@given(arrays, rooms)
def test_a_direct_tile_holds_whole_units_and_reads_no_chunk_more_than_twice(given_: Any, room: int) -> None:
    shape, chunk, unit = given_
    tile = direct_tile(shape, chunk, unit, room)
    if tile is None:
        cover = covering(chunk, unit, shape)
        assert prod(cover) > max(room, prod(chunk), prod(unit))
        return
    assert all(t == n or t % u == 0 for t, u, n in zip(tile, unit, shape, strict=True))
    assert prod(tile) <= max(room, prod(chunk), prod(unit))
    assert touched(shape, chunk, tile) <= MOST_READS


@given(arrays, rooms)
def test_two_steps_read_whole_chunks_and_write_whole_units(given_: Any, room: int) -> None:
    shape, chunk, unit = given_
    steps = two_steps(shape, chunk, unit, room)
    for n, c, u, read, between, write in zip(shape, chunk, unit, steps.read, steps.between, steps.write, strict=True):
        assert read == n or read % c == 0
        assert write == n or write % u == 0
        assert read == n or read % between == 0, "two tasks would write one chunk of scratch"
    assert prod(steps.read) <= max(room, prod(chunk))
    assert prod(steps.write) <= max(room, prod(unit))


@pytest.mark.parametrize(
    ("shape", "chunk", "unit", "room", "least"),
    [
        ((2000, 512, 512), (2000, 32, 32), (1, 512, 512), 2**23, 2**16),
        ((4000, 2048, 2048), (1, 1024, 1024), (4000, 32, 32), 2**23, 2**14),
        ((10**5, 1024, 1024), (10**5, 16, 16), (1, 1024, 1024), 2**23, 2**11),
    ],
)
def test_chunks_of_scratch_are_large(shape: Any, chunk: Any, unit: Any, room: int, least: int) -> None:
    """Of the smaller of both sides they would be 1024 voxels, a million objects for 2 GB."""
    steps = two_steps(shape, chunk, unit, room)
    assert prod(steps.between) >= least


def test_blocks_as_they_are_stay_so() -> None:
    assert two_steps((64, 64), (64, 8), (4, 64), 10**6, whole=True).read == (64, 8)
    assert widened((1, 1), (1, 1), (9, 9), 100) == (1, 1)
