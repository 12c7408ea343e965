"""Tiles with halos: few are alive at a time, no thread waits without need, and each gets the pixels that it asked for."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.sources import CountingSource
from xprep.engine.blocks import needs as gathering
from xprep.engine.blocks.borders import Border
from xprep.engine.blocks.folds import Fold, fold
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.halos import Reach
from xprep.engine.sources.readable import read_array
from xprep.options import options


class LivingSource(CountingSource):
    """Counts how many of the blocks that were read are still there."""

    def __init__(self, array: np.ndarray, chunks: tuple[int, ...]) -> None:
        super().__init__(array, chunks)
        self.alive = self.most = 0
        self.changing = threading.RLock()

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        block = super().read(region)
        with self.changing:
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(block, self.gone)
        return block

    def gone(self) -> None:
        with self.changing:
            self.alive -= 1


def fold_tiles(source: CountingSource, tile: tuple[int, ...], radii: tuple[int, ...], see: Any, workers: int = 2) -> list[Any]:
    """Return what ``see(block, place)`` gives for every tile with a halo of ``radii``."""
    array = read_array(source, chunks=tile, reading=0, alone=True, token=f"living-{id(source)}")  # type: ignore[arg-type]
    how = Fold(lambda block, place: [see(block, place)], lambda parts: [one for part in parts for one in part])
    with dask.config.set(num_workers=workers):
        found: list[Any] = fold(how, array, needs=Reach(radii)).compute(scheduler="threads", num_workers=workers)
    return found


@pytest.mark.parametrize("rows", [6, 24])
def test_a_row_of_tiles_and_a_few_are_alive(rows: int) -> None:
    """Before pacing 460 of 24 × 24 tiles were, and with tiles kept whole for their neighbours two rows and a half."""
    source = LivingSource(np.zeros((1, rows * 64, 24 * 64), "uint8"), (1, 64, 64))
    fold_tiles(source, (1, 64, 64), (0, 2, 2), lambda block, place: int(block[0, 0, 0]))
    assert source.total == rows * 24
    assert source.most <= 24 + 6


def test_a_wide_image_is_worked_on_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "FRONT_TILES", 2 * 8 * 64 * 64 / options().tile_bytes)  # eight tiles
    source = LivingSource(np.zeros((1, 8 * 64, 64 * 64), "uint8"), (1, 64, 64))
    fold_tiles(source, (1, 64, 64), (0, 2, 2), lambda block, place: int(block[0, 0, 0]))
    assert source.most <= 8 + 6
    assert source.reads_per_chunk <= 1 + 2 / 8  # the borders of bands are read twice


@pytest.mark.parametrize("workers", [2, 8])
def test_no_thread_waits_without_need(workers: int) -> None:
    """As many tiles as there are threads may be made at once: they meet at a barrier, which breaks if one cannot come."""
    barrier, first = threading.Barrier(workers), iter(range(workers))

    def meet(block: np.ndarray, place: BlockPlace) -> bool:
        if next(first, None) is not None:
            barrier.wait(timeout=300)
        return True

    source = CountingSource(np.zeros((1, 6 * 32, 12 * 32), "uint8"), (1, 32, 32))
    assert fold_tiles(source, (1, 32, 32), (0, 2, 2), meet, workers) == [True] * 72


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 40), st.integers(1, 40)),
    tile=st.tuples(st.just(2), st.integers(1, 15), st.integers(1, 15)),
    radii=st.tuples(st.just(0), st.integers(0, 12), st.integers(0, 12)),
    band=st.integers(0, 4000),
)
@settings(max_examples=60, deadline=None)
def test_every_tile_gets_the_region_it_needs(
    shape: tuple[int, ...], tile: tuple[int, ...], radii: tuple[int, ...], band: int
) -> None:
    values = np.random.default_rng(0).integers(0, 60000, shape, dtype="uint16")
    source = CountingSource(values, (1, 4, 4))
    seen = np.zeros(shape, int)

    def compare(block: np.ndarray, place: BlockPlace) -> bool:
        np.add.at(seen, tuple(slice(*span) for span in place.output), 1)
        whole = tuple(
            (max(0, start - r), min(n, stop + r)) for (start, stop), r, n in zip(place.output, radii, shape, strict=True)
        )
        return place.input == whole and np.array_equal(block, values[tuple(slice(*span) for span in whole)])

    front, gathering.FRONT_TILES = gathering.FRONT_TILES, band / options().tile_bytes
    try:
        assert all(fold_tiles(source, tuple(min(t, n) for t, n in zip(tile, shape, strict=True)), radii, compare))
    finally:
        gathering.FRONT_TILES = front
    assert (seen == 1).all()


def test_strips_are_copies_and_nothing_else_is_given() -> None:
    tile = np.arange(2 * 8 * 9).reshape(2, 8, 9)
    rim = Border(((0, 0), (2, 1), (0, 3)))(tile)
    tile_then, tile[...] = tile.copy(), -1
    for rows, columns in (((0, 2), (0, 9)), ((1, 2), (3, 4)), ((7, 8), (2, 5)), ((3, 6), (6, 9))):
        region = (slice(None), slice(*rows), slice(*columns))
        assert np.array_equal(rim[region], tile_then[region])
    with pytest.raises(AssertionError, match="no strip holds"):
        rim[:, 2:4, 0:3]


def test_a_later_pass_does_not_read_before_its_turn() -> None:
    """Its tiles would lie in memory until what they are made with is known."""
    source = LivingSource(np.zeros((1, 8 * 64, 8 * 64), "uint8"), (1, 64, 64))
    begun = []

    def first(block: np.ndarray, place: BlockPlace) -> int:
        begun.append(source.total)
        return int(block[0, 0, 0])

    array = [read_array(source, chunks=(1, 64, 64), reading=n, alone=True, token=f"twice-{id(source)}") for n in (0, 1)]  # type: ignore[arg-type]
    one = fold(Fold(first, sum), array[0], needs=Reach((0, 2, 2)), label="first")
    two = fold(
        Fold(lambda block, place, known: known + int(block[0, 0, 0]), sum), array[1], one, needs=Reach((0, 2, 2)), label="second"
    )
    assert two.compute(scheduler="threads", num_workers=2) == 0
    assert len(begun) == 64
    assert max(begun) <= 64
    assert source.total == 128
