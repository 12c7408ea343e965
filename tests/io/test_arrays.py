"""Arrays: read as zarr reads them, written whole, and every bad chunk named."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs import Blosc, Zstd
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.storage import MemoryStore

from xprep.errors import ChunkError, StoreFormatError
from xprep.io.arrays.declarations import NewArray, declare_array
from xprep.io.arrays.metadata_limits import check_array_metadata
from xprep.io.arrays.reads import ZarrReadable, open_array
from xprep.io.arrays.writes import ZarrWritable, new_writable
from xprep.io.codecs.chains import Chain, checksum_of
from xprep.io.codecs.compression import DEFAULT_CODEC, RAW, Codec
from xprep.io.store.places import Place, open_store

V3: dict[str, Any] = {
    "none": {"compressors": None},
    "zstd": {"compressors": ZstdCodec(level=3)},
    "gzip": {"compressors": GzipCodec()},
    "blosc": {"compressors": BloscCodec(cname="lz4", shuffle="bitshuffle")},
    "checked": {"compressors": [BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()]},
    "transposed": {"filters": [TransposeCodec(order=(1, 0))], "compressors": None},
}
V2: dict[str, Any] = {
    "v2-none": {"compressors": None},
    "v2-blosc": {"compressors": Blosc("zstd", 1, 1)},
    "v2-zstd": {"compressors": Zstd(1)},
    "v2-fortran": {"compressors": None, "order": "F"},
}
FULL = (slice(None), slice(None))


def make(url: str | Path | MemoryStore, kind: str, image: np.ndarray, shards: tuple[int, ...] | None = None) -> None:
    options = {**V3[kind], "zarr_format": 3} if kind in V3 else {**V2[kind], "zarr_format": 2}
    if shards is not None:
        options["shards"] = shards
    array = zarr.create_array(url, name="a", shape=image.shape, chunks=(8, 16), dtype=image.dtype, **options)
    array[...] = image


def created(place: Place, array: NewArray) -> ZarrWritable:
    place.set_many(array.objects)
    return new_writable(place, array)


def noise(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 120, shape).astype(dtype)


def regions(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[slice, ...]]:
    def one(length: int) -> st.SearchStrategy[slice]:
        ends = st.tuples(st.integers(0, length), st.integers(0, length)).map(sorted)
        return ends.map(lambda pair: slice(*pair))

    return st.tuples(*map(one, shape))


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ZarrReadable, np.ndarray]]:
    found: dict[str, tuple[ZarrReadable, np.ndarray]] = {}
    folder = tmp_path_factory.mktemp("arrays")
    for number, kind in enumerate([*V3, *V2]):
        for shards in (None, (24, 32)) if kind in V3 else (None,):
            for where in ("local", "memory"):
                dtype = ["uint16", "float32", "uint8", "int64", "bool", ">u2", ">f8"][number % (5 if kind in V3 else 7)]
                image = noise((37, 41), dtype, number)
                url: Any = folder / f"{kind}-{shards is None}" if where == "local" else MemoryStore()
                make(url, kind, image, shards)
                found[f"{kind}-{shards}-{where}"] = open_array(open_store(url).child("a")), image
    return found


@settings(max_examples=15, deadline=None)
@given(region=regions((37, 41)))
def test_reads_what_zarr_would(arrays: dict[str, tuple[ZarrReadable, np.ndarray]], region: tuple[slice, ...]) -> None:
    for name, (readable, image) in arrays.items():
        block = readable.read(region)
        np.testing.assert_array_equal(block, image[region], err_msg=name)
        assert block.dtype == readable.dtype == image.dtype.newbyteorder("="), name
        assert block.flags.writeable


def test_a_pickled_copy_reads_the_same(arrays: dict[str, tuple[ZarrReadable, np.ndarray]]) -> None:
    for name, (readable, image) in arrays.items():
        if name.endswith("local"):
            np.testing.assert_array_equal(pickle.loads(pickle.dumps(readable)).read(FULL), image)  # noqa: S301


def test_whole_axes_and_wrong_regions(tmp_path: Path) -> None:
    make(tmp_path / "z", "zstd", noise((37, 41), "uint8"))
    readable = open_array(open_store(tmp_path / "z").child("a"))
    assert readable.read((slice(5, 5), slice(None))).shape == (0, 41)
    assert readable.read((slice(30, 99), slice(-3, None))).shape == (7, 3)
    with pytest.raises(ValueError, match="2 slices"):
        readable.read((slice(None),))
    with pytest.raises(ValueError, match="step 1"):
        readable.read((slice(None, None, 2), slice(None)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_zarr_reads_what_is_written(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    chunks = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    shards = data.draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)))
    codecs = [DEFAULT_CODEC, RAW, Codec.of("zstd:3"), Codec.of("blosc-lz4", checksum=False)]
    codec = data.draw(st.sampled_from(codecs))
    zarr_format = 3 if shards else data.draw(st.sampled_from([2, 3]))
    image = noise(shape, data.draw(st.sampled_from(["uint16", "float32", "bool", "uint8"])))
    place = Place(MemoryStore(), shown="memory").child("a")
    whole = tuple(a * b for a, b in zip(chunks, shards, strict=True)) if shards else None
    written = created(place, declare_array(shape, chunks, image.dtype, shards=whole, codec=codec, zarr_format=zarr_format))
    assert len(written.missing_units()) > 0
    written.write(FULL, image)
    assert written.missing_units() == []
    np.testing.assert_array_equal(zarr.open_array(place.store, path="a", mode="r")[...], image)
    np.testing.assert_array_equal(written.readable().read(FULL), image)


def test_units_are_never_cut(tmp_path: Path) -> None:
    place = open_store(tmp_path / "z", mode="r+").child("a")
    written = created(place, declare_array((40, 40), (8, 8), "uint16", shards=(16, 16), dims=("y", "x")))
    assert written.unit == (16, 16)
    block = np.ones((40, 40), np.uint16)
    for region in ((slice(0, 8), slice(0, 16)), (slice(8, 24), slice(0, 16)), (slice(0, 33), slice(0, 40))):
        with pytest.raises(ValueError, match="cuts units"):
            written.write(region, block[region])
    with pytest.raises(ValueError, match="does not fit"):
        written.write((slice(0, 16), slice(0, 16)), block)
    with pytest.raises(TypeError, match="uint16; got a block of float32"):
        written.write((slice(0, 40), slice(0, 40)), block.astype("float32"))
    assert len(written.missing_units()) == 9
    written.write((slice(32, 40), slice(16, 40)), block[32:40, 16:40])
    assert len(written.missing_units()) == 7


def test_zeros_are_written_and_recorded(tmp_path: Path) -> None:
    written = created(open_store(tmp_path / "z", mode="r+").child("a"), declare_array((8, 8), (4, 4), "uint8"))
    stored = written.write(FULL, np.zeros((8, 8), np.uint8))
    names = [written.chunk_key(written.grid.position(unit)) for unit in stored["unit"]]
    assert names == ["c/0/0", "c/0/1", "c/1/0", "c/1/1"]
    files = [(tmp_path / "z/a" / name).read_bytes() for name in names]
    assert [len(data) for data in files] == stored["size"].tolist()
    assert [checksum_of(data) for data in files] == stored["crc32c"].tolist()


@pytest.mark.parametrize(
    ("kind", "shards"), [(k, s) for k in V3 for s in (None, (24, 32)) if k != "transposed"] + [(k, None) for k in V2]
)
def test_bad_chunks_are_named(tmp_path: Path, kind: str, shards: tuple[int, ...] | None) -> None:
    make(tmp_path / "z", kind, noise((37, 41), "uint16"), shards)
    place = open_store(tmp_path / "z").child("a")
    key = "c/1/1" if kind in V3 else "1.1"
    chunk = tmp_path / "z" / "a" / key
    good = chunk.read_bytes()
    for bad in (good[: len(good) // 2], b"", good[:-1], good + b"x"):
        if bad == good + b"x" and kind in ("gzip", "v2-zstd", "v2-blosc", "zstd", "blosc") and shards is None:
            continue  # bytes after the end of a frame: harmless, and some codecs allow them
        chunk.write_bytes(bad)
        with pytest.raises(ChunkError, match=rf"chunk(s 'c/0/0'.*|(s '0\.0'.*)| '{key}') of .*z/a cannot be read"):
            open_array(place).read(FULL)
    chunk.unlink()
    assert (open_array(place).read(FULL) == 0).any()
    with pytest.raises(ChunkError, match="not in the store"):
        open_array(place, missing="error").read(FULL)


def test_every_flipped_bit_is_found_with_the_default_codec(tmp_path: Path) -> None:
    written = created(open_store(tmp_path / "z", mode="r+").child("a"), declare_array((16, 16), (16, 16), "uint16"))
    written.write(FULL, noise((16, 16), "uint16"))
    chunk = tmp_path / "z/a/c/0/0"
    good = bytearray(chunk.read_bytes())
    for position in range(0, len(good), 7):
        bad = good.copy()
        bad[position] ^= 1 << (position % 8)
        chunk.write_bytes(bad)
        with pytest.raises(ChunkError, match="crc32c"):
            written.readable().read(FULL)


def test_a_lost_chunk_of_a_shard_is_found(tmp_path: Path) -> None:
    store = tmp_path / "z"
    array = zarr.create_array(store, name="a", shape=(16, 16), chunks=(8, 8), shards=(16, 16), dtype="uint8")
    array[:8, :8] = 7
    readable = open_array(open_store(store).child("a"), missing="error")
    assert (readable.read((slice(0, 8), slice(0, 8))) == 7).all()
    with pytest.raises(ChunkError, match="c/0/0"):
        readable.read(FULL)


def test_a_bomb_does_not_inflate() -> None:
    bomb = bytes(Zstd(1).encode(bytes(2**26)))
    chain = Chain((16,), np.dtype("uint8"), "zstd")
    with pytest.raises(ValueError, match="67108864 bytes instead of 16"):
        chain.decode(bomb, np.empty(16, np.uint8))
    short = bytes(Zstd(1).encode(bytes(8)))
    with pytest.raises(ValueError, match="8 bytes instead of 16"):
        chain.decode(short, np.empty(16, np.uint8))


GOOD: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [64, 64],
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [32, 32]}},
    "codecs": [{"name": "bytes"}],
    "dimension_names": ["y", "x"],
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": None}, "shape must be whole numbers"),
        ({"shape": [64, -1]}, "at least 0"),
        ({"shape": [64.0, 64]}, "whole numbers"),
        ({"shape": [True, 64]}, "whole numbers"),
        ({"shape": [10**400, 64]}, "whole numbers"),
        ({"shape": [2**40, 2**40]}, "more than"),
        ({"shape": [64]}, "1 axes"),
        ({"chunk_grid": {"configuration": {"chunk_shape": [0, 32]}}}, "at least 1"),
        ({"chunk_grid": {"configuration": {"chunk_shape": [-2, 32]}}}, "at least 1"),
        ({"chunk_grid": {"configuration": {"chunk_shape": [2**20, 2**20]}}}, "pixels"),
        ({"chunk_grid": {}}, "lacks 'configuration'"),
        ({"codecs": None}, "metadata"),
        ({"codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [0, 1]}}]}, "shards"),
        ({"dimension_names": ["y", "y"]}, "one name"),
    ],
)
def test_hostile_array_metadata(change: dict[str, Any], says: str) -> None:
    check_array_metadata(GOOD, "x")
    with pytest.raises(StoreFormatError, match=says):
        check_array_metadata({**GOOD, **change}, "x")


@pytest.mark.parametrize("codec", [{"name": "numcodecs.pickle"}, {"id": "pickle"}, {"name": "no-such-codec"}])
def test_foreign_codecs_run_nothing(tmp_path: Path, codec: dict[str, Any]) -> None:
    folder = tmp_path / "z"
    folder.mkdir()
    metadata = {**GOOD, "data_type": "uint8", "fill_value": 0, "codecs": [{"name": "bytes"}, codec]}
    metadata["chunk_key_encoding"] = {"name": "default", "configuration": {"separator": "/"}}
    (folder / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(StoreFormatError):
        open_array(open_store(folder))


def test_no_array_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing at"):
        open_array(open_store(tmp_path / "none"))
    zarr.create_group(tmp_path / "group")
    with pytest.raises(StoreFormatError, match="not an array"):
        open_array(open_store(tmp_path / "group"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").write_text("x")
    with pytest.raises(StoreFormatError, match="no Zarr array"):
        open_array(open_store(tmp_path / "other"))


@pytest.mark.parametrize("dtype", ["object", "complex64", "U5", "datetime64[ns]"])
def test_images_are_numbers(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(TypeError, match="an image holds"):
        created(open_store(tmp_path / "z", mode="r+"), declare_array((4,), (4,), dtype))


def test_dims_of_both_formats(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        place = open_store(tmp_path / str(zarr_format), mode="r+").child("a")
        array = created(place, declare_array((4, 4), (4, 4), "uint8", dims=("y", "x"), zarr_format=zarr_format))
        assert array.readable().dims == ("y", "x")
        assert open_array(place).cost == "local"
    with pytest.raises(ValueError, match="no shards"):
        created(place, declare_array((4,), (4,), "uint8", shards=(4,), zarr_format=2))
