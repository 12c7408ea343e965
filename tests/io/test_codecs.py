"""Shards to the byte: where the index lies, and what it may point to; zarr-python reads and writes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import ShardingCodec

from xprep.io.codecs.chains import Shard, is_stored, read_chain

PIXELS = np.arange(8 * 12, dtype="u2").reshape(8, 12)


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("checked", [True, False])
def test_a_shard_is_what_zarr_says(tmp_path: Path, location: str, checked: bool) -> None:
    index = [zarr.codecs.BytesCodec(), *([zarr.codecs.Crc32cCodec()] if checked else [])]
    codec = ShardingCodec(chunk_shape=(4, 4), codecs=[zarr.codecs.BytesCodec()], index_codecs=index, index_location=location)
    array = zarr.create_array(tmp_path, shape=(8, 12), chunks=(8, 12), dtype="u2", serializer=codec, compressors=None)
    array[...] = PIXELS
    chain = read_chain(array.metadata.to_dict(), array.dtype)
    assert isinstance(chain, Shard)
    (path,) = (tmp_path / "c").rglob("*/0")
    data = path.read_bytes()
    assert len(data) == PIXELS.nbytes + chain.index_nbytes == PIXELS.nbytes + 16 * 6 + 4 * checked
    for (row, column), (at, nbytes) in zip(np.ndindex(2, 3), chain.split(data).reshape(-1, 2), strict=True):
        out = np.empty((4, 4), "u2")
        chain.inner.decode(data[at : at + nbytes], out)
        np.testing.assert_array_equal(out, PIXELS[4 * row : 4 * row + 4, 4 * column : 4 * column + 4])
    path.write_bytes(chain.encode(PIXELS + 1))
    np.testing.assert_array_equal(array[...], PIXELS + 1)
    for wrong in (data[: chain.index_nbytes - 1], b""):
        with pytest.raises(ValueError, match="less than its index"):
            chain.split(wrong)
    with pytest.raises(ValueError, match=r"index has .* bytes instead of"):
        chain.read_index(bytes(chain.index_nbytes + 1))


NONE = 2**64 - 1
ENTRIES = {
    "the first bytes": ((0, 10), True),
    "the last byte": ((99, 1), True),
    "all": ((0, 100), True),
    "nothing, at the end": ((100, 0), True),
    "not stored": ((NONE, NONE), False),
    "one byte over": ((91, 10), None),
    "all and one byte": ((0, 101), None),
    "begins behind the end": ((101, 0), None),
    "half of not stored": ((NONE, 1), None),
    "the other half": ((1, NONE), None),
}


@pytest.mark.parametrize(("entry", "stored"), ENTRIES.values(), ids=ENTRIES)
def test_an_index_points_into_its_shard(entry: tuple[int, int], stored: bool | None) -> None:
    """A byte over is a neighbour's, or the index's own: no chunk may be made of it."""
    given = np.array(entry, "<u8")
    if stored is None:
        with pytest.raises(ValueError, match=f"points to bytes {entry[0]}–{sum(entry)} of 100"):
            is_stored(given, 100)
    else:
        assert is_stored(given, 100) is stored
