"""Chunks that inflate without end, in every codec that zarr-python decodes for us: refused, with memory bounded."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs import registry

import xprep
from xprep.io.arrays.reads import open_array
from xprep.io.codecs.inflation import check_inflation, find_unbounded, inflate
from xprep.io.store.places import open_store

INFLATED = 2**27
SHAPE, CHUNK = (64, 64), (32, 32)
PIXELS = np.random.default_rng(0).integers(0, 400, SHAPE, dtype="u2")


def zeros_without_end(nbytes: int, head: bytes = b"") -> bytes:
    """A zstd frame that does not say how long it is: blocks of 128 KiB of zeros in four bytes each (RFC 8878)."""
    one = ((2**17 << 3) | 2).to_bytes(3, "little") + b"\0"
    last = ((2**17 << 3) | 3).to_bytes(3, "little") + b"\0"
    return head + b"\x28\xb5\x2f\xfd\x00\x70" + one * (nbytes // 2**17 - 1) + last


PART = bytes(2**22)
MANY = INFLATED // len(PART)
BOMBS: dict[str, tuple[str, Any]] = {
    "zlib": ("zlib", lambda: zlib.compress(bytes(INFLATED), 1)),
    "gzip": ("gzip", lambda: gzip.compress(bytes(INFLATED), 1)),
    "gzip in parts": ("gzip", lambda: gzip.compress(PART, 1) * MANY),
    "bz2": ("bz2", lambda: bz2.compress(bytes(INFLATED // 4), 9) * 4),
    "bz2 in parts": ("bz2", lambda: bz2.compress(PART) * MANY),
    "lzma": ("lzma", lambda: lzma.compress(PART) * MANY),
    "zstd": ("zstd", lambda: numcodecs.Zstd(1).encode(bytes(INFLATED))),
    "zstd without a size": ("zstd", lambda: zeros_without_end(INFLATED)),
    "zstd behind a small frame": ("zstd", lambda: numcodecs.Zstd(1).encode(b"ab") + numcodecs.Zstd(1).encode(bytes(INFLATED))),
    "zstd behind one to skip": ("zstd", lambda: zeros_without_end(INFLATED, b"\x50\x2a\x4d\x18\x02\0\0\0ab")),
    "blosc": ("blosc", lambda: numcodecs.Blosc("lz4", 9).encode(bytes(INFLATED))),
    "lz4": ("lz4", lambda: numcodecs.LZ4().encode(bytes(INFLATED))),
}
OF_ZARR = ("gzip", "zstd", "blosc")


def metadata_v2(**values: Any) -> dict[str, Any]:
    return {
        "zarr_format": 2, "shape": SHAPE, "chunks": CHUNK, "dtype": "<u2", "compressor": None, "filters": None,
        "fill_value": 0, "order": "F", **values,
    }  # fmt: skip


def metadata_v3(codecs: list[Any]) -> dict[str, Any]:
    return {
        "zarr_format": 3, "node_type": "array", "shape": SHAPE, "data_type": "uint16", "fill_value": 0, "attributes": {},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": CHUNK}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "codecs": codecs,
    }  # fmt: skip


TRANSPOSE = {"name": "transpose", "configuration": {"order": [1, 0]}}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def named_v3(name: str) -> dict[str, Any]:
    settings = {"zstd": {"level": 1, "checksum": False}, "gzip": {"level": 1}}.get(name, {})
    if name == "blosc":
        settings = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 0}
    return {"name": name if name in OF_ZARR else f"numcodecs.{name}", "configuration": settings}


def layouts(name: str) -> dict[str, dict[str, Any]]:
    """Metadata that our own decoder leaves to zarr, with the compressor ``name`` wherever it can stand."""
    codec, delta = {"id": name}, {"id": "delta", "dtype": "<u2"}
    outer = [TRANSPOSE, BYTES, named_v3(name)]
    inner = {"chunk_shape": [16, 16], "codecs": outer, "index_codecs": [BYTES, {"name": "crc32c"}], "index_location": "end"}
    return {
        "v2": metadata_v2(compressor=codec),
        "v2 before a filter": metadata_v2(compressor=codec, filters=[delta], order="C"),
        "v2 as a filter": metadata_v2(filters=[delta, codec]),
        "v3": metadata_v3(outer),
        "v3 twice": metadata_v3([BYTES, named_v3("gzip"), named_v3(name)]),
        "in shards": metadata_v3([{"name": "sharding_indexed", "configuration": inner}]),
        "around shards": metadata_v3([{"name": "sharding_indexed", "configuration": inner}, named_v3(name)]),
    }


def in_a_shard(body: bytes) -> bytes:
    """A shard of four chunks whose index names one body four times."""
    return np.array([[0, len(body)]] * 4, "<u8").tobytes()


def write_store(folder: Path, metadata: dict[str, Any], data: bytes) -> None:
    folder.mkdir(parents=True)
    version = metadata["zarr_format"]
    (folder / (".zarray" if version == 2 else "zarr.json")).write_text(json.dumps(metadata))
    chunk = folder / ("0.0" if version == 2 else "c/0/0")
    chunk.parent.mkdir(parents=True, exist_ok=True)
    chunk.write_bytes(data)


PROGRAM = """
import resource, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, xprep
from xprep.io.arrays.reads import open_array
from xprep.io.store.places import open_store
import xprep.io.codecs.bounded_codecs
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
for url in sys.argv[1:]:
    before = peak()
    readable = open_array(open_store(url))
    assert readable._chain is None
    try:
        readable.read((slice(0, 10), slice(0, 10)))
        said = "nothing"
    except xprep.ChunkError as error:
        said = str(error).replace(chr(10), " ")
    print(f"{url}\\t{peak() - before}\\t{said}")
"""


def test_bombs_in_pixels(tmp_path: Path) -> None:
    """128 MiB out of at most 0.7 MB, in every codec and every place: named, refused, and 40 MiB taken at most."""
    from xprep.io.codecs.chains import checksum_of

    urls = []
    for which, (name, make) in BOMBS.items():
        bomb = bytes(make())
        assert len(bomb) < 700_000, which
        index = in_a_shard(bomb)
        for layout, metadata in layouts(name).items():
            data = bomb if layout != "in shards" else bomb + index + checksum_of(index).to_bytes(4, "little")
            urls.append(tmp_path / which / layout)
            write_store(urls[-1], metadata, data)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, urls)], capture_output=True, text=True, check=True, timeout=300
    )
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert len(lines) == len(urls) == len(BOMBS) * 7
    wrong = [line for line in lines if int(line[1]) > 40 or "inflate to" not in line[2]]
    assert wrong == []
    assert all(url.split("/")[-2] in said for url, _, said in lines)


HONEST = ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"]


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
@pytest.mark.filterwarnings("ignore:Combining a `sharding_indexed` codec disables partial reads")
@pytest.mark.parametrize("name", HONEST)
def test_honest_chunks_are_read(tmp_path: Path, name: str) -> None:
    for layout, metadata in layouts(name).items():
        if name != "zlib" and layout == "v2 as a filter":
            continue  # as a filter one is enough
        folder = tmp_path / layout
        folder.mkdir()
        (folder / (".zarray" if metadata["zarr_format"] == 2 else "zarr.json")).write_text(json.dumps(metadata))
        zarr.open_array(folder, mode="r+")[...] = PIXELS
        readable = open_array(open_store(folder))
        assert readable._chain is None
        readable.read((slice(0, 1), slice(0, 1)))
        readable = pickle.loads(pickle.dumps(readable))  # noqa: S301
        assert "_bounded" not in vars(readable)
        np.testing.assert_array_equal(readable.read((slice(3, 60), slice(0, 64))), PIXELS[3:60])


def test_files_that_follow_one_another_are_one() -> None:
    """As bgzip, pbzip2, pixz and pzstd write; and frames of zstd that do not say their size."""
    one, two = b"a" * 1000, b"b" * 500
    for name, compress in (
        ("gzip", gzip.compress),
        ("bz2", bz2.compress),
        ("lzma", lzma.compress),
        ("zstd", numcodecs.Zstd().encode),
    ):
        body = compress(one) + compress(two)
        assert bytes(inflate(name, {}, memoryview(body), 1500)) == one + two
        with pytest.raises(ValueError, match="inflate to 1500 or more; at most 1499"):
            inflate(name, {}, memoryview(body), 1499)
    assert len(inflate("zstd", {}, memoryview(zeros_without_end(2**20)), 2**20)) == 2**20
    padded = gzip.compress(one) + bytes(7)
    assert bytes(inflate("gzip", {}, memoryview(padded), 1000)) == one


@pytest.mark.parametrize("name", HONEST)
def test_what_is_cut_short_is_said(name: str) -> None:
    body = bytes(registry.get_codec({"id": name}).encode(PIXELS))
    with pytest.raises((ValueError, RuntimeError)):
        inflate(name, {}, memoryview(body[: len(body) // 2]), PIXELS.nbytes)


def test_lzma_without_a_container() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**16}]
    raw = numcodecs.LZMA(format=lzma.FORMAT_RAW, filters=filters)
    body = memoryview(raw.encode(bytes(1000)))
    assert inflate("lzma", raw.get_config(), body, 1000) == bytes(1000)
    with pytest.raises(ValueError, match="want more than 268435456 bytes"):
        inflate("lzma", {"format": lzma.FORMAT_RAW, "filters": [{"id": lzma.FILTER_LZMA2, "dict_size": 2**30}]}, body, 1000)


class Endless(numcodecs.abc.Codec):  # type: ignore[misc]
    """What another package registers."""

    codec_id = "endless"

    def encode(self, buf: Any) -> Any:
        return bytes(np.ascontiguousarray(buf))

    def decode(self, buf: Any, out: Any = None) -> Any:
        return buf


def test_codecs_without_a_bound_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.codec_registry, "endless", Endless)
    write_store(tmp_path / "a.zarr", metadata_v2(compressor={"id": "endless"}), PIXELS[:32, :32].tobytes(order="F"))
    (tmp_path / "a.zarr/.zattrs").write_text('{"_ARRAY_DIMENSIONS": ["y", "x"]}')
    says = r"a\.zarr: what the codec 'endless' inflates a chunk to cannot be bounded.*unbounded_codecs=True"
    with pytest.raises(xprep.StoreFormatError, match=says):
        xprep.open_image(tmp_path / "a.zarr")
    readable = open_array(open_store(tmp_path / "a.zarr"))  # as `info` and `validate` look at it
    with pytest.raises(xprep.StoreFormatError, match="unbounded_codecs"):
        readable.read((slice(0, 1), slice(0, 1)))
    with xprep.set_options(unbounded_codecs=True):
        np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values[:32, :32], PIXELS[:32, :32])


@pytest.mark.parametrize(
    "filters",
    [
        [{"id": "astype", "encode_dtype": "|u1", "decode_dtype": "S1000000"}],
        [{"id": "delta", "dtype": "<u2", "astype": "S1000000"}],
        [{"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": "<U1000000", "astype": "|u1"}],
        [{"id": "vlen-utf8"}],
    ],
    ids=lambda filters: filters[0]["id"],
)
def test_filters_that_make_texts_of_bytes_are_refused(filters: list[Any]) -> None:
    assert find_unbounded(metadata_v2(filters=filters)) == filters[0]["id"]
    assert find_unbounded(metadata_v2(filters=[{"id": "astype", "encode_dtype": "|u1", "decode_dtype": "<f8"}])) is None


def shard_of(*parts: bytes) -> bytes:
    ends = np.cumsum([len(part) for part in parts])
    index = np.array([[end - len(part), len(part)] for end, part in zip(ends, parts, strict=True)], "<u8").tobytes()
    return b"".join(parts) + index


def test_bombs_in_coordinates() -> None:
    """Wherever the compressor stands: below a second one, as a filter, in a shard; and texts that lie about their number."""
    small, bomb = gzip.compress(b"x" * 100), gzip.compress(bytes(2**24))
    both = metadata_v3([BYTES, named_v3("gzip"), named_v3("zstd")])
    check_inflation(both, numcodecs.Zstd().encode(small), 1000)
    sharding = {"chunk_shape": [16, 16], "codecs": [BYTES, named_v3("gzip")], "index_codecs": [BYTES]}
    shards = metadata_v3([{"name": "sharding_indexed", "configuration": sharding}])
    check_inflation(shards, shard_of(small, small, small, small), 1000)
    texts = metadata_v2(filters=[{"id": "vlen-utf8"}])
    check_inflation(texts, bytes(numcodecs.VLenUTF8().encode(np.array(["a", "bc"], object))))
    for metadata, data in (
        (both, numcodecs.Zstd().encode(bomb)),
        (shards, shard_of(small, bomb, small, small)),
        (metadata_v2(filters=[{"id": "gzip"}]), bomb),
        (metadata_v2(compressor={"id": "bz2"}), bz2.compress(bytes(2**24))),
        (texts, (2**31).to_bytes(4, "little") + bytes(100)),
        (metadata_v2(compressor={"id": "imagecodecs_png"}), small),
    ):
        with pytest.raises(ValueError, match=r"inflate to|2147483648 entries|no known bound"):
            check_inflation(metadata, data, 1000)


def test_coordinates_in_frames_without_a_size_are_taken() -> None:
    """As encoders write that stream (tensorstore, zarr-java); they were refused unless they filled the limit."""
    check_inflation(metadata_v2(compressor={"id": "zstd"}), zeros_without_end(2**18))


def wide_xz(body: bytes) -> bytes:
    """An xz file whose block asks for a window of 1 GiB (the .xz format, 3.1): one byte and the header's checksum differ."""
    end = 12 + 4 * (body[12] + 1)
    header = bytearray(body[12 : end - 4])
    assert header[2:4] == b"\x21\x01"  # one filter, LZMA2
    header[4] = 36
    return body[:12] + bytes(header) + zlib.crc32(header).to_bytes(4, "little") + body[end:]


WIDE: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "xz": (lzma.FORMAT_XZ, wide_xz),
    "the old format": (lzma.FORMAT_ALONE, lambda body: body[:1] + (2**30).to_bytes(4, "little") + body[5:]),
}


@pytest.mark.parametrize("form", WIDE)
def test_windows_of_lzma_are_bounded(form: str) -> None:
    """A file of 60 bytes makes its decoder take a window of 1 GiB, however little comes out."""
    number, widen = WIDE[form]
    plain = lzma.compress(b"ab" * 50, number)
    assert inflate("lzma", {"format": number}, memoryview(plain), 100) == b"ab" * 50
    with pytest.raises(lzma.LZMAError, match=r"[Mm]emory usage limit"):
        inflate("lzma", {"format": number}, memoryview(widen(plain)), 100)
