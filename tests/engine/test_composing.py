"""Operations one after another, written in tiles of other sizes: made as one step, they give what they give one by one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.sources import counted
from xprep.engine.blocks.composing import step_of
from xprep.engine.blocks.deliver import made_of
from xprep.engine.blocks.gather import Gathered
from xprep.engine.graph.tasks import origin_of
from xprep.engine.sources.readable import source_of

STEPS: dict[str, Callable[[Any], Any]] = {
    "blur": lambda image: image.prep.gaussian_filter(1),
    "deep blur": lambda image: image.prep.gaussian_filter({"z": 0.8, "x": 1}, mode="mirror"),
    "background": lambda image: image.prep.subtract_background(2),
    "smaller": lambda image: image.prep.rescale({"z": 0.5, "y": 0.7}, anti_alias=True),
    "larger": lambda image: image.prep.rescale({"y": 1.5, "x": 1.3}, boundary="constant"),
    "level": lambda image: image.prep.pyramid(({"z": 2, "y": 2, "x": 2},), method="gaussian")["scale1/image"],
    "normalize": lambda image: image.prep.normalize(sigma=1, intermediates="recompute"),
}
TILES = (2**12, 2**16)
CHAINS = [(chain, TILES[i % 2]) for i, chain in enumerate(product(STEPS, STEPS))]


def stack() -> xr.DataArray:
    random = np.random.default_rng(3)
    return xr.DataArray(random.integers(0, 4000, (11, 60, 50), dtype="uint16"), dims=("z", "y", "x"), name="image")


@pytest.mark.parametrize(("chain", "tile_bytes"), CHAINS, ids=str)
def test_what_is_written_equals_what_is_made_step_by_step(chain: tuple[str, str], tile_bytes: int, tmp_path: Path) -> None:
    first, second = (STEPS[name] for name in chain)
    wanted = second(first(stack()))  # in memory, and whole between the two
    lazy, _ = counted(stack(), {"z": 4, "y": 17, "x": 50})
    with xprep.set_options(tile_bytes=tile_bytes, scratch_url=str(tmp_path / "scratch")):
        made = second(first(lazy))
        made.prep.to_ome_zarr(tmp_path / "made.zarr", scale_factors=(), chunks={"z": 3, "y": 16, "x": 19})
    found = xprep.open_image(tmp_path / "made.zarr")
    # The mean of float32 sums, percentiles among them: one unit in the last places of the largest value.
    largest = float(np.nanmax(np.abs(wanted.values)))
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("chain", [("blur", "deep blur"), ("blur", "smaller"), ("larger", "blur"), ("level", "background")])
def test_steps_become_one_of_the_source(chain: tuple[str, str]) -> None:
    lazy, _ = counted(stack(), {"z": 11, "y": 60, "x": 50})
    for name in chain:
        lazy = STEPS[name](lazy)
    step = step_of(lazy.data)
    assert step is not None
    assert source_of(step.array) is not None


def test_halos_wider_than_tiles_are_not_made_again_and_again() -> None:
    lazy, _ = counted(stack(), {"z": 1, "y": 60, "x": 10})
    with xprep.set_options(tile_bytes=2**10):
        first = lazy.prep.gaussian_filter(1)
        narrow, wide = (first.prep.gaussian_filter({"x": sigma}) for sigma in (0.5, 4))
    steps = [step_of(made_of(one.data).tiles) for one in (narrow, wide)]  # type: ignore[union-attr]
    assert [step is not None and isinstance(origin_of(step.array), Gathered) for step in steps] == [False, True]
