"""Chunks that are read and chunks that are written at odds: scratch, readings, default chunks. Memory: `test_bounded`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.crashes import objects
from tests.helpers.listeners import Interrupt
from tests.helpers.sources import SyntheticSource, counted
from tests.laws.test_laws import python
from xprep.engine.sources.readable import read_array
from xprep.io.commit import scratch as scratch_space
from xprep.ops.chunking import default_chunk

TILE = 2**17


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path) -> Iterator[None]:
    with (
        xprep.set_options(tile_bytes=TILE, progress="off", scratch_url=str(tmp_path / "scratch"), timestamps=False),
        dask.config.set(num_workers=2),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", xprep.ChunksWarning)
        yield


# Scratch: said before, refused before, resumed, removed


def mismatched(path: Path) -> xr.DataArray:
    """Return a movie of 2 MiB on disk, its chunks along z, to be written in planes."""
    image = xr.DataArray(np.random.default_rng(3).integers(0, 60000, (64, 128, 128), "uint16"), dims=("z", "y", "x"))
    image.prep.to_ome_zarr(path, scale_factors=(), chunks={"z": 64, "y": 16, "x": 16})
    return xprep.open_image(path)


PLANES = {"z": 1, "y": 128, "x": 128}


@pytest.mark.parametrize(
    "apply",
    [lambda image: image, lambda image: image.prep.gaussian_filter(2), lambda image: image.prep.quantile([0.5], "z")],
    ids=["written", "filtered and written", "sorted"],
)
def test_what_goes_through_scratch_is_what_memory_gives(apply: Any, tmp_path: Path) -> None:
    image = mismatched(tmp_path / "in.zarr")
    if apply(image).dims == image.dims:
        apply(image).prep.to_ome_zarr(tmp_path / "out.zarr", chunks=PLANES, scale_factors=(2,))
        found = xprep.open_image(tmp_path / "out.zarr")
    else:
        found = apply(image.isel(z=slice(0, 64)).chunk(PLANES)).compute()
    np.testing.assert_array_equal(found.values, apply(image.compute()).values)


def test_a_plan_says_what_goes_through_scratch(tmp_path: Path) -> None:
    image = mismatched(tmp_path / "in.zarr")
    assert image.prep.plan().scratch_bytes == 0
    assert image.prep.plan(chunks={"z": 32, "y": 16, "x": 16}).scratch_bytes == 0
    found = image.prep.plan(chunks=PLANES)
    assert found.scratch_bytes == image.nbytes
    assert found.bytes_read == 2 * image.nbytes
    assert "written to scratch" in str(found)
    spilled = image.prep.normalize(norm_sum=False, intermediates="spill").prep.plan()
    assert spilled.scratch_bytes == image.nbytes


@pytest.mark.parametrize("intermediates", ["recompute", "spill"])
def test_too_little_room_is_refused_before_anything_is_there(
    intermediates: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = mismatched(tmp_path / "in.zarr")
    chunks = PLANES if intermediates == "recompute" else None
    result = image if intermediates == "recompute" else image.prep.normalize(norm_sum=False, intermediates="spill")
    monkeypatch.setattr(scratch_space, "_free_bytes", lambda place: image.nbytes + scratch_space.SPARE_BYTES - 1)
    with pytest.raises(xprep.ScratchFullError, match=r"scratch.* needs 2 MiB .*scratch_url"):
        result.prep.to_ome_zarr(tmp_path / "out.zarr", chunks=chunks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr"]
    monkeypatch.setattr(scratch_space, "_free_bytes", lambda place: image.nbytes + scratch_space.SPARE_BYTES)
    result.prep.to_ome_zarr(tmp_path / "out.zarr", chunks=chunks)


def test_chunks_that_cost_more_than_double_warn_and_the_others_do_not(tmp_path: Path) -> None:
    image = mismatched(tmp_path / "in.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error", xprep.ChunksWarning)
        image.prep.to_ome_zarr(tmp_path / "suits.zarr")
        with pytest.raises(xprep.ChunksWarning, match=r"'z': 1.*2\.0 MiB go through scratch.*'z': 64, 'y': 128"):
            image.prep.to_ome_zarr(tmp_path / "out.zarr", chunks=PLANES)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(("steps", "error"), [(0, OSError), (9, KeyboardInterrupt), (40, OSError)])
def test_interrupted_and_resumed_it_is_the_same_and_scratch_is_empty(steps: int, error: Any, tmp_path: Path) -> None:
    image = mismatched(tmp_path / "in.zarr").prep.gaussian_filter(1)
    how: dict[str, Any] = {"chunks": PLANES, "scale_factors": (2,)}
    image.prep.to_ome_zarr(tmp_path / "whole.zarr", **how)
    with pytest.raises(error):
        image.prep.to_ome_zarr(tmp_path / "out.zarr", progress=Interrupt(steps, error), **how)
    image.prep.to_ome_zarr(tmp_path / "out.zarr", resume=True, **how)
    assert objects(tmp_path / "out.zarr") == objects(tmp_path / "whole.zarr")
    assert not list((tmp_path / "scratch").glob("*"))


KILLED = """
    import os, signal, sys
    import xprep
    source, target, scratch, resume = sys.argv[1:]
    class Killer:
        done = 0
        def started(self, stage, total): self.total = total
        def advanced(self, stage, steps, nbytes):
            self.done += steps
            if resume == "no" and 2 * self.done > self.total:
                os.kill(os.getpid(), signal.SIGKILL)
        def finished(self, stage): pass
    xprep.set_options(tile_bytes=2**17, scratch_url=scratch, timestamps=False)
    xprep.open_image(source).prep.to_ome_zarr(
        target, chunks={"z": 1, "y": 128, "x": 128}, scale_factors=(), progress=Killer(), resume=resume == "yes")
"""


def test_killed_and_resumed_it_is_the_same_and_what_is_left_is_found(tmp_path: Path) -> None:
    image = mismatched(tmp_path / "in.zarr")
    image.prep.to_ome_zarr(tmp_path / "whole.zarr", chunks=PLANES, scale_factors=())
    arguments = tmp_path / "in.zarr", tmp_path / "out.zarr", tmp_path / "scratch"
    assert python(KILLED, *arguments, "no").returncode == -9
    left = scratch_space.find_scratch(tmp_path / "scratch")
    assert [one.is_alive for one in left] == [False]
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(tmp_path / "out.zarr")
    image.prep.to_ome_zarr(tmp_path / "out.zarr", chunks=PLANES, scale_factors=(), resume=True)
    assert objects(tmp_path / "out.zarr") == objects(tmp_path / "whole.zarr")
    assert not scratch_space.find_scratch(tmp_path / "scratch"), "the next run removes what a dead one left"


# Default chunks


@pytest.mark.parametrize(
    ("sizes", "chunks", "expected"),
    [
        ({"t": 500, "y": 64, "x": 64}, {"t": 1}, (128, 64, 64)),
        ({"t": 500, "y": 64, "x": 64}, {"t": 5}, (125, 64, 64)),
        ({"t": 500, "y": 64, "x": 64}, None, (128, 64, 64)),
        ({"t": 3, "z": 200, "y": 64, "x": 64}, {"t": 1, "z": 1}, (3, 42, 64, 64)),
        ({"c": 9, "y": 64, "x": 64}, {"c": 1}, (1, 64, 64)),
        ({"t": 500, "y": 1024, "x": 1024}, {"t": 10}, (1, 1024, 1024)),
        ({"t": 2000, "y": 512, "x": 512}, {"t": 2000, "y": 32, "x": 32}, (500, 32, 32)),
        ({"z": 128, "y": 512, "x": 512}, {"z": 32, "y": 32, "x": 32}, (32, 32, 32)),
        ({"t": 64, "y": 8192, "x": 8192}, {"t": 32, "y": 2048, "x": 2048}, (1, 2048, 2048)),
        ({"z": 500, "y": 256, "x": 256}, {"z": 1, "y": 16, "x": 16}, (8, 256, 256)),
        ({"c": 8, "y": 2048, "x": 2048}, {"c": 1, "y": 512, "x": 512}, (1, 512, 512)),
        ({"y": 4096, "x": 4096}, None, (1024, 1024)),
    ],
    ids=str,
)
def test_default_chunks_suit_the_source_and_group_small_planes(sizes: dict[str, int], chunks: Any, expected: Any) -> None:
    pixels = da.zeros(tuple(sizes.values()), chunks=-1, dtype="uint16")
    image = xr.DataArray(pixels, dims=tuple(sizes))
    image = image.chunk(chunks) if chunks else image.copy(data=np.broadcast_to(np.uint16(0), image.shape))
    assert default_chunk(image) == expected


def test_a_movie_of_small_frames_is_few_objects(tmp_path: Path) -> None:
    movie, _ = counted(xr.DataArray(np.zeros((400, 64, 64), "uint16"), dims=("t", "y", "x")), {"t": 1})
    movie.prep.to_ome_zarr(tmp_path / "movie.zarr")
    assert len([name for name in objects(tmp_path / "movie.zarr") if "/image/c/" in name]) == 4


def test_a_pass_of_normalize_reads_no_chunk_more_than_twice_whatever_chunks_are_asked_for() -> None:
    source = SyntheticSource((96, 128, 160), (96, 16, 16))
    image = xr.DataArray(read_array(source, token=f"synthetic-{id(source)}"), dims=("z", "y", "x"))
    result = image.prep.normalize(sigma=None, norm_sum=False, chunks={"z": 1, "y": 128, "x": 160}, intermediates="recompute")
    passes = len(result.prep.plan().passes)
    result.sum().compute()
    assert source.reads_per_chunk <= 2 * passes
