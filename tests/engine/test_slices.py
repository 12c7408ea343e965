"""Parts of images, as xarray's and dask's indexing takes them: read from the source as the whole image is."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

import xprep
from tests.helpers.sources import CountingSource, counted
from xprep.engine.sources.readable import View, read_array, source_of
from xprep.engine.sources.slices import follow

VALUES = np.random.default_rng(0).integers(0, 1000, (4, 6, 20, 25), dtype="uint16")
CHUNKS = (1, 2, 5, 7)


def array_of() -> tuple[da.Array, CountingSource]:
    source = CountingSource(VALUES, CHUNKS)
    return read_array(source, token=f"values-{id(source)}"), source  # type: ignore[arg-type]


WHOLE = {
    "a channel": np.s_[1],
    "channels": np.s_[[2, 0]],
    "channels, backwards": np.s_[::-1],
    "every other channel": np.s_[::2],
    "a channel and a plane": np.s_[2, 4],
    "planes": np.s_[:, 2:4],
    "a crop from the start of chunks": np.s_[:, :, 5:15, 7:20],
    "a crop of a channel": np.s_[1, :, 10:],
}


@pytest.mark.parametrize("index", WHOLE.values(), ids=WHOLE)
def test_what_lies_in_whole_chunks_is_a_source_again(index: Any) -> None:
    array, source = array_of()
    part = follow(array[index])
    assert source_of(part) is not None
    assert part.chunks == array[index].chunks
    assert np.array_equal(part.compute(), VALUES[index])
    assert set(source.reads.values()) == {1}


@pytest.mark.parametrize("index", [np.s_[:, :, 3:15], np.s_[:, 1:3], np.s_[:, :, ::2], np.s_[:, [3, 1]], np.s_[None], np.s_[:0]])
def test_what_does_not_is_left_to_dask(index: Any) -> None:
    """Tiles of it would share chunks, which would be read once for each."""
    part = array_of()[0][index]
    assert follow(part) is part


def test_what_is_more_than_indexing_is_left_to_dask() -> None:
    array, _ = array_of()
    for more in (array + 1, da.concatenate([array[:2], array[2:]]), array[:2].rechunk((2, 2, 5, 7)), array[0].T[:7]):
        assert follow(more) is more
    inner = (array + 1)[1]
    assert follow(inner) is inner


INDICES = st.one_of(
    st.integers(0, 2),
    st.slices(6),
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
)


@example(chain=[(1, slice(2, None, -1)), (1, slice(None, -1, 2))])  # a block of no length
@given(chain=st.lists(st.tuples(st.integers(0, 3), INDICES), min_size=1, max_size=3))
def test_equals_dask_whatever_was_indexed(chain: list[tuple[int, Any]]) -> None:
    part = array_of()[0]
    for axis, index in chain:
        if (
            part.ndim
            and max(np.atleast_1d([] if isinstance(index, slice) else index), default=0) < part.shape[min(axis, part.ndim - 1)]
        ):
            part = part[(*(slice(None),) * min(axis, part.ndim - 1), index)]
    followed = follow(part)
    assert followed.chunks == part.chunks
    assert np.array_equal(followed.compute(), part.compute())


@pytest.mark.parametrize(
    "select",
    [{"c": [2, 0]}, {"c": 1}, {"y": slice(64, 128)}, {"c": [1, 2], "x": slice(0, 96)}],
    ids=["channels", "channel", "crop", "both"],
)
def test_operations_read_a_part_like_a_whole(select: dict[str, Any]) -> None:
    """Through dask's tasks every pass would read every chunk for each tile that touches it."""
    values = np.random.default_rng(1).integers(1, 1000, (3, 160, 160), dtype="uint16")
    image, source = counted(xr.DataArray(values, dims=("c", "y", "x")), {"c": 1, "y": 32, "x": 32})
    part = image.isel(select)
    wanted = xr.DataArray(values, dims=("c", "y", "x")).isel(select)
    chunks = part.data.npartitions
    result = part.prep.normalize(intermediates="recompute")
    np.testing.assert_array_equal(result.compute(), wanted.prep.normalize())
    passes = len([step for step in result.prep.plan().passes if not step.maybe])
    assert source.total <= passes * chunks * 1.6  # a halo reads its neighbours' chunks too
    source.reads.clear()
    np.testing.assert_array_equal(xprep.quantile(part, 0.5, dim=["y", "x"]), np.quantile(wanted, 0.5, axis=(-2, -1)))
    assert source.total == chunks


PICKED = {
    "none": (None, 4),
    "all": (range(10), 4),
    "from a chunk's start": (range(4, 10), 4),
    "across the border": (range(3, 9), 1),
    "within a chunk": (range(1, 3), 1),
    "with a gap": ((4, 5, 7), 1),
    "backwards": ((5, 4), 1),
    "nothing": ((), 1),
}


@pytest.mark.parametrize(("positions", "chunk"), PICKED.values(), ids=PICKED)
def test_chunks_of_what_was_picked(positions: Any, chunk: int) -> None:
    """Blocks as large as chunks would each read two chunks, where the first position begins none."""
    view = View.of(CountingSource(np.arange(20).reshape(10, 2), (4, 2)), "picked")
    picked = view if positions is None else view.picked(0, positions)
    assert picked.chunks == (chunk, 2)
