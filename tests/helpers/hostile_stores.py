"""Stores whose metadata claim, name or nest what would take a reader's memory, time or terminal: a table, a line a member."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

Document = dict[str, Any]
Change = Callable[[Path], None]
MARKS: Final = "\x1b[2J\x9b31m\r\u202e\u2066"  # ESC and C1 sequences, a carriage return, bidirectional marks


def edit(file: str, change: Callable[[Any], Any]) -> Change:
    """Return what changes a JSON file of a store in place."""

    def apply(root: Path) -> None:
        document = json.loads((root / file).read_text())
        change(document)
        (root / file).write_text(json.dumps(document))

    return apply


def ome(**values: Any) -> Change:
    return edit("zarr.json", lambda data: data["attributes"]["ome"].update(values))


def image(**values: Any) -> Change:
    return edit("zarr.json", lambda data: data["attributes"]["ome"]["multiscales"][0].update(values))


def level(**values: Any) -> Change:
    return edit("zarr.json", lambda data: data["attributes"]["ome"]["multiscales"][0]["datasets"][0].update(values))


def array(**values: Any) -> Change:
    return edit("scale0/image/zarr.json", lambda data: data.update(values))


def chunks(*lengths: Any) -> Document:
    return {"name": "regular", "configuration": {"chunk_shape": list(lengths)}}


def codecs(*more: Any) -> Change:
    return array(codecs=[BYTES, *more])


def coordinate(**values: Any) -> Change:
    """Change the coordinate y of Zarr v3."""
    return edit("scale0/y/zarr.json", lambda data: data.update(values))


def coordinate_v2(**values: Any) -> Change:
    """Change the coordinate y of Zarr v2, which has dtypes of any width."""
    return edit("scale0/y/.zarray", lambda data: data.update(values))


def array_v2(**values: Any) -> Change:
    return edit("scale0/image/.zarray", lambda data: data.update(values))


def raw(file: str, data: str | bytes) -> Change:
    def apply(root: Path) -> None:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(data if isinstance(data, bytes) else data.encode())

    return apply


def labels(names: Any) -> Change:
    """List labels, each the same small group."""

    def apply(root: Path) -> None:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "labels": names}}}
        (root / "labels").mkdir()
        (root / "labels/zarr.json").write_text(json.dumps(group))

    return apply


def holder(**values: Any) -> Change:
    """Make the root a group that is no image."""

    def change(data: Any) -> None:
        data["attributes"] = {"ome": {"version": "0.5", **values}}

    return edit("zarr.json", change)


def channels(count: int, **values: Any) -> Change:
    window = {"min": 0, "max": 1, "start": 0, "end": 1}
    return ome(omero={"channels": [{"label": f"{i}", "color": "FFFFFF", "window": window, **values} for i in range(count)]})


def wells(count: int) -> Document:
    listed = [{"path": f"A/{i}", "rowIndex": 0, "columnIndex": i} for i in range(count)]
    return {"rows": [{"name": "A"}], "columns": [{"name": f"{i}"} for i in range(count)], "wells": listed}


def nested(depth: int) -> Document:
    step: Document = {"type": "scale", "scale": [1, 1]}
    for _ in range(depth):
        step = {"type": "sequence", "transformations": [step]}
    return step


def shards(depth: int) -> Document:
    inner = BYTES if depth == 0 else shards(depth - 1)
    return {"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1], "codecs": [inner], "index_codecs": [BYTES]}}


BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
GZIP = {"name": "gzip", "configuration": {"level": 5}}
HUGE = 10**400
SCALE = {"type": "scale"}


def pickled_npy() -> bytes:
    """Return an array of objects, which numpy keeps as a pickle."""
    file = io.BytesIO()
    np.save(file, np.array([{"size": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


JOURNAL_OF_OBJECTS = pickled_npy()
HOSTILE: Final[dict[str, Change]] = {
    # what an array claims
    "an axis of 2**58": array(shape=[2**58, 16], chunk_grid=chunks(2**56, 16)),
    "an axis of 2**40 chunks": array(shape=[2**40, 16], chunk_grid=chunks(1, 16)),
    "an axis of 2**27 chunks": array(shape=[2**27, 16], chunk_grid=chunks(1, 16)),
    "an axis of 2**30": array(shape=[2**30, 16], chunk_grid=chunks(2**20, 16)),
    "an axis of 2**62": array(shape=[2**62, 2**62], chunk_grid=chunks(2**62, 2**62)),
    "a shape beyond int64": array(shape=[HUGE, 16]),
    "a shape of texts": array(shape=["16", "16"]),
    "a negative shape": array(shape=[-16, 16]),
    "chunks of 0": array(chunk_grid=chunks(0, 16)),
    "chunks of 1e400": array(chunk_grid=chunks(HUGE, 16)),
    "chunks of 2**40": array(chunk_grid=chunks(2**40, 2**20)),
    "no chunk grid": array(chunk_grid={"name": "spiral"}),
    "another separator": array(chunk_key_encoding={"name": "default", "configuration": {"separator": "/../"}}),
    "a separator that is a number": array(chunk_key_encoding={"name": "default", "configuration": {"separator": 7}}),
    "an unknown dtype": array(data_type="r99999999999"),
    "a dtype of 16 MiB": array(data_type={"name": "fixed_length_utf32", "configuration": {"length_bytes": 2**24}}),
    "a fill value that does not fit": array(fill_value=300),
    "a fill value below 0": array(fill_value=-1),
    "a fill value of 1e400": array(fill_value=HUGE),
    "a fill value that is a text": array(fill_value="zero"),
    "a fill value that is a list": array(fill_value=[0] * 1000),
    "dimension names that are numbers": array(dimension_names=[1, 2]),
    "dimension names that are lists": array(dimension_names=[["y"], ["x"]]),
    "dimension names that are a text": array(dimension_names="yx"),
    "a hundred thousand dimension names": array(dimension_names=["y"] * 100_000),
    "attributes that are a list": array(attributes=["a"]),
    "storage transformers": array(storage_transformers=[{"name": "x"}]),
    # what codecs are told
    "gzip of level 1e9": codecs({"name": "gzip", "configuration": {"level": 10**9}}),
    "gzip of level text": codecs({"name": "gzip", "configuration": {"level": "9"}}),
    "zstd of level 1e9": codecs({"name": "zstd", "configuration": {"level": 10**9, "checksum": False}}),
    "blosc of another kind": codecs({"name": "blosc", "configuration": {"cname": "x", "clevel": 5, "shuffle": "shuffle"}}),
    "blosc of typesize 0": codecs(
        {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 0, "blocksize": -1}}
    ),
    "transpose to an axis that is not there": array(codecs=[{"name": "transpose", "configuration": {"order": [0, 9]}}, BYTES]),
    "shards in shards in shards": array(codecs=[shards(20)]),
    "a thousand codecs": codecs(*[GZIP] * 1000),
    "codecs that are a text": array(codecs="bytes"),
    "codecs without names": array(codecs=[{"configuration": {}}]),
    # coordinates
    "a coordinate of 2**26": coordinate(shape=[2**26], chunk_grid=chunks(2**26)),
    "a coordinate of 2**26 chunks": coordinate(shape=[2**26], chunk_grid=chunks(1)),
    "a coordinate of 2**60": coordinate(shape=[2**60], chunk_grid=chunks(2**60)),
    "a coordinate's fill value": coordinate(data_type="uint8", fill_value=300),
    "units of time that cannot be read": coordinate(attributes={"units": "days since the flood"}),
    "units beyond all time": coordinate(attributes={"units": "days since 1e9999-01-01", "calendar": "mayan"}),
    "units that are a list": coordinate(attributes={"units": ["m"], "_FillValue": "x"}),
    "a scale_factor of 1e400": coordinate(attributes={"scale_factor": HUGE}),
    # what the image says
    "ten thousand channels": channels(10_000),
    "channels of one name": channels(10_000, label="a"),
    "labels of channels that are lists": channels(2, label=["a", {"b": 1}]),
    "windows beyond floats": channels(2, window={"min": -HUGE, "max": HUGE, "start": 0, "end": 1}),
    "ten thousand colours": ome(**{"image-label": {"colors": [{"label-value": i, "rgba": [0] * 4} for i in range(10_000)]}}),
    "a hundred thousand levels": image(datasets=[{"path": f"{i}"} for i in range(100_000)]),
    "ten thousand axes": image(axes=[{"name": f"a{i}"} for i in range(10_000)]),
    "ten thousand multiscales": ome(multiscales=[{}] * 10_000),
    "a name of 10 MB": image(name="n" * 10_000_000),
    "a name that is an object": image(name={"a": 1}),
    "metadata that are a list": image(metadata=[1], type=7),
    "units that are numbers": image(axes=[{"name": "y", "type": "space", "unit": 1}, {"name": "x", "type": "space"}]),
    "a scale of 1e400": level(coordinateTransformations=[{**SCALE, "scale": [HUGE, 1]}]),
    "a scale of NaN": level(coordinateTransformations=[{**SCALE, "scale": [float("nan"), 1]}]),
    "a scale of infinity": level(coordinateTransformations=[{**SCALE, "scale": [float("inf"), 1]}]),
    "a scale of -0.0": level(coordinateTransformations=[{**SCALE, "scale": [-0.0, 1]}]),
    "a scale of texts": level(coordinateTransformations=[{**SCALE, "scale": ["1", "1"]}]),
    "a hundred thousand steps": level(coordinateTransformations=[{**SCALE, "scale": [1, 1]}] * 100_000),
    "steps nested 300 deep": level(coordinateTransformations=[nested(300)]),
    "another version": ome(version="9" * 100_000),
    "a version that is a list": ome(version=["0.5"]),
    # paths
    "a level above the store": level(path="../scale0/image"),
    "a level at the root of the disk": level(path="/etc"),
    "a level that is the image": level(path="."),
    "a level with NUL": level(path="scale0\0image"),
    "a level of 100,000 letters": level(path="a" * 100_000),
    "a level of 10,000 folders": level(path="a/" * 10_000 + "b"),
    "labels above the store": labels(["../../labels"]),
    "ten thousand labels": labels([f"l{i}" for i in range(10_000)]),
    "one label a thousand times": labels(["a"] * 900),
    "labels that are a text": labels("abc"),
    "labels that are numbers": labels([1.5, 2.5]),
    "a label in itself": labels(["../labels/a"]),
    "series in itself": holder(**{"bioformats2raw.layout": 3}, series=["."]),
    "a plate of 20,000 wells": holder(plate=wells(20_000)),
    "a plate in itself": holder(plate={**wells(1), "wells": [{"path": "../a.zarr", "rowIndex": 0, "columnIndex": 0}]}),
    "a plate of one well 10,000 times": holder(plate={**wells(1), "wells": wells(1)["wells"] * 10_000}),
    "a well of 100,000 images": holder(well={"images": [{"path": f"{i}"} for i in range(100_000)]}),
    "a well in itself": holder(well={"images": [{"path": ".."}]}),
    "indices beyond the plate": holder(plate={**wells(1), "wells": [{"path": "A/0", "rowIndex": HUGE, "columnIndex": -1}]}),
    "a plate that is a list": holder(plate=[1, 2]),
    "wells that are texts": holder(plate={**wells(1), "wells": ["A/0"]}),
    # JSON
    "nested 100,000 deep": raw("zarr.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
    "lists nested 100,000 deep": raw("zarr.json", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "a number of 100,000 digits": raw("zarr.json", '{"a": ' + "9" * 100_000 + "}"),
    "no JSON": raw("zarr.json", "{'a': 1}"),
    "not UTF-8": raw("zarr.json", b'{"a": "\xff\xfe"}'),
    "half a surrogate": image(name="\ud800"),
    "a key twice": raw("zarr.json", '{"zarr_format": 3, "node_type": "group", "node_type": "array", "attributes": {}}'),
    "a node of no kind": raw("zarr.json", '{"zarr_format": 3, "node_type": ["group"]}'),
    "an array deeply nested": raw("scale0/image/zarr.json", '{"attributes":' * 100_000 + "1" + "}" * 100_000),
    "a coordinate that is a group": raw("scale0/y/zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}'),
    "a journal that is none": raw("scale0/image/.xprep/manifest.npy", struct.pack("<Q", 2**63)),
    # what an array claims: neighbours
    "an axis of 0": array(shape=[0, 16]),
    "no axis at all": array(shape=[], chunk_grid=chunks(), dimension_names=[]),
    "a shape that is a number": array(shape=16),
    "a shape of fractions": array(shape=[16.5, 16]),
    "a shape of truth values": array(shape=[True, True]),
    "a shape of a million axes": array(shape=[1] * 1_000_000, chunk_grid=chunks(*[1] * 1_000_000)),
    "chunks of another length": array(chunk_grid=chunks(16)),
    "chunks that are texts": array(chunk_grid=chunks("16", "16")),
    "chunks that are negative": array(chunk_grid=chunks(-1, 16)),
    "a chunk grid of 100,000 edges": array(
        chunk_grid={"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[1] * 100_000, [16]]}}
    ),
    "a chunk grid without a configuration": array(chunk_grid={"name": "regular"}),
    "a dtype that is a list": array(data_type=["uint8"]),
    "a dtype with fields": array(data_type={"name": "structured", "configuration": {"fields": [["a", "uint8"]] * 10_000}}),
    "dates in units of 2**31": array(
        data_type={"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 2**31 - 1}}, fill_value=0
    ),
    "a fill value that is null": array(fill_value=None),
    "a fill value in hexadecimal digits": array(data_type="float32", fill_value="0x" + "f" * 100_000),
    "a zarr format of 4": array(zarr_format=4),
    "a zarr format that is a text": array(zarr_format="3"),
    "a key that must be understood": array(spiral={"must_understand": True}),
    "a hundred thousand attributes": array(attributes={f"a{i}": i for i in range(100_000)}),
    "keys of chunks of another kind": array(chunk_key_encoding={"name": "spiral", "configuration": {}}),
    "keys of chunks that are a list": array(chunk_key_encoding=["default"]),
    # what codecs are told: neighbours
    "no codecs": array(codecs=[]),
    "codecs in the wrong order": array(codecs=[GZIP, BYTES]),
    "two codecs of bytes": array(codecs=[BYTES, BYTES]),
    "bytes of another end": array(codecs=[{"name": "bytes", "configuration": {"endian": "middle"}}]),
    "a transpose by texts": array(codecs=[{"name": "transpose", "configuration": {"order": ["a", "b"]}}, BYTES]),
    "shards of chunks that do not fit": array(
        codecs=[{"name": "sharding_indexed", "configuration": {"chunk_shape": [3, 5], "codecs": [BYTES],
            "index_codecs": [BYTES]}}]
    ),
    "shards of 2**40 chunks": array(
        shape=[2**20, 2**20], chunk_grid=chunks(2**20, 2**20),
        codecs=[{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1], "codecs": [BYTES],
            "index_codecs": [BYTES]}}],
    ),
    "a chunk that is a bomb": raw("scale0/image/c/0/0", gzip.compress(bytes(50_000_000))),
    "a chunk of no bytes": raw("scale0/image/c/0/0", b""),
    # coordinates: neighbours
    "a coordinate of no values": coordinate(shape=[0]),
    "a coordinate of two axes": coordinate(shape=[16, 16], chunk_grid=chunks(16, 16), dimension_names=["y", "x"]),
    "a coordinate of another length": coordinate(shape=[17], chunk_grid=chunks(17)),
    "a coordinate of truth values": coordinate(data_type="bool", fill_value=False),
    "a coordinate's codec": coordinate(codecs=[{"name": "spiral"}]),
    "units of nothing": coordinate(attributes={"units": {}, "scale_factor": "1", "add_offset": [0]}),
    "times in a calendar of no days": coordinate(attributes={"units": "days since 2000-01-01", "calendar": 5}),
    # what the image says: neighbours
    "no multiscales": ome(multiscales=[]),
    "multiscales that are null": ome(multiscales=None),
    "multiscales that are a text": ome(multiscales="image"),
    "axes that are texts": image(axes=["y", "x"]),
    "axes of one name": image(axes=[{"name": "y"}, {"name": "y"}]),
    "an axis without a name": image(axes=[{"type": "space"}, {"name": "x", "type": "space"}]),
    "levels that are null": image(datasets=None),
    "a level that is null": image(datasets=[None]),
    "a level of an empty path": level(path=""),
    "a level on another server": level(path="http://127.0.0.1:9/scale0"),
    "a level by a chain": level(path="simplecache::file:///etc/passwd"),
    "a level in escapes": level(path="scale0%2f..%2f..%2fetc"),
    "a scale of another length": level(coordinateTransformations=[{**SCALE, "scale": [1]}]),
    "a scale of 1e-320": level(coordinateTransformations=[{**SCALE, "scale": [1e-320, 1e308]}]),
    "a translation of 1e308": level(
        coordinateTransformations=[{**SCALE, "scale": [1e300, 1]}, {"type": "translation", "translation": [1e308, 0]}]
    ),
    "a transformation in an array": level(coordinateTransformations=[{**SCALE, "path": "scale0/y"}]),
    "a transformation of another kind": level(coordinateTransformations=[{"type": MARKS}]),
    "omero that is a list": ome(omero=[1]),
    "channels that are null": ome(omero={"channels": None}),
    "a window of NaN": channels(2, window={"min": float("nan"), "max": float("inf"), "start": 0, "end": 1}),
    "a colour of 10 MB": channels(1, color="F" * 10_000_000),
    "labels' colours that are texts": ome(**{"image-label": {"colors": "red", "properties": 7}}),
    "a scene in an image": ome(scene={"coordinateTransformations": [nested(300)]}),
    # plates and series: neighbours
    "rows of one name 10,000 times": holder(plate={**wells(1), "rows": [{"name": "A"}] * 10_000}),
    "a plate of 10,000 acquisitions": holder(plate={**wells(1), "acquisitions": [{"id": i} for i in range(10_000)]}),
    "a well that is null": holder(well=None),
    "a well of no images": holder(well={"images": []}),
    "series of 100,000 images": holder(**{"bioformats2raw.layout": 3}, series=[f"{i}" for i in range(100_000)]),
    "a layout of another kind": holder(**{"bioformats2raw.layout": "3"}),
    # JSON: neighbours
    "an empty file": raw("zarr.json", ""),
    "a list for an object": raw("zarr.json", "[]"),
    "null for an object": raw("zarr.json", "null"),
    "a byte order mark": raw("zarr.json", b"\xef\xbb\xbf{}"),
    "UTF-16": raw("zarr.json", '{"zarr_format": 3, "node_type": "group"}'.encode("utf-16")),
    "attributes that are null": raw("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": null}'),
    "100 MB of spaces": raw("zarr.json", " " * 100_000_000),
    "consolidated metadata that are a list": edit("zarr.json", lambda data: data.update(consolidated_metadata=[1])),
    "a million consolidated arrays": edit(
        "zarr.json", lambda data: data.update(consolidated_metadata={"kind": "inline",
        "metadata": {f"a{i}": {} for i in range(200_000)}})
    ),
    # what xprep keeps beside the data
    "a status that is a list": edit("zarr.json", lambda data: data["attributes"].update(xprep=["writing"])),
    "a status of another kind": edit("zarr.json", lambda data: data["attributes"].update(xprep={"status": MARKS})),
    "a journal of 1 byte": raw("scale0/image/.xprep/manifest.npy", b"\x93"),
    "a journal of objects": raw("scale0/image/.xprep/manifest.npy", JOURNAL_OF_OBJECTS),
    # names that talk to a terminal
    "a name that talks": image(name=MARKS),
    "channels that talk": channels(2, label=MARKS),
    "labels that talk": labels([f"a{MARKS}"]),
    "axes that talk": image(axes=[{"name": f"y{MARKS}", "type": "space"}, {"name": "x", "type": "space"}]),
    "units that talk": image(axes=[{"name": "y", "type": "space", "unit": MARKS}, {"name": "x", "type": "space"}]),
    "a level that talks": level(path=f"a{MARKS}"),
    "a version that talks": ome(version=MARKS),
    "a plate that talks": holder(plate={**wells(1), "wells": [{"path": f"A/{MARKS}", "rowIndex": 0, "columnIndex": 0}]}),
    "a codec that talks": codecs({"name": MARKS}),
    "dimensions that talk": array(dimension_names=[MARKS, "x"]),
}  # fmt: skip

# The same, of Zarr v2.
HOSTILE_04: Final[dict[str, Change]] = {
    "a coordinate |S16777216": coordinate_v2(dtype="|S16777216"),
    "a coordinate <U4194304": coordinate_v2(dtype="<U4194304"),
    "a coordinate |V2**30": coordinate_v2(dtype=f"|V{2**30}"),
    "a coordinate |O": coordinate_v2(dtype="|O"),
    "a coordinate of 2**40 values": coordinate_v2(shape=[2**40], chunks=[2**40]),
    "a coordinate's fill value": coordinate_v2(dtype="|u1", fill_value=300),
    "a dtype that is a list": array_v2(dtype=[["a", "<u2"], ["b", "<f8"]]),
    "a dtype of a million letters": array_v2(dtype="<U1000000"),
    "a dtype that is none": array_v2(dtype="x" * 10_000),
    "a dtype that is a number": array_v2(dtype=7),
    "a fill value that does not fit": array_v2(fill_value=300),
    "a fill value that is an object": array_v2(fill_value={"a": 1}),
    "an axis of 2**58": array_v2(shape=[2**58, 16], chunks=[2**56, 16]),
    "chunks that are numbers of another kind": array_v2(chunks=[1.5, 16]),
    "a separator that is a path": array_v2(dimension_separator="/../"),
    "an order of another kind": array_v2(order="Z"),
    "a compressor that is a text": array_v2(compressor="zlib"),
    "a compressor without an id": array_v2(compressor={"level": 1}),
    "a compressor of another kind": array_v2(compressor={"id": "zlib", "level": "x", "more": HUGE}),
    "a compressor that talks": array_v2(compressor={"id": MARKS}),
    "a thousand filters": array_v2(filters=[{"id": "delta", "dtype": "|u1"}] * 1000),
    "filters of a dtype of 16 MiB": array_v2(filters=[{"id": "delta", "dtype": f"|S{2**24}"}]),
    "attributes that are a list": raw("scale0/image/.zattrs", '["a"]'),
    "a shape of 0": array_v2(shape=[0, 16]),
    "a shape that is null": array_v2(shape=None),
    "chunks that are null": array_v2(chunks=None),
    "chunks of 0": array_v2(chunks=[0, 16]),
    "a fill value that is null": array_v2(fill_value=None),
    "a fill value in base64": array_v2(dtype="|S4", fill_value="////"),
    "a dtype of dates": array_v2(dtype="<M8[ns]"),
    "a dtype of dates without a unit": array_v2(dtype="<M8"),
    "a dtype of 128 bits": array_v2(dtype="<f16"),
    "objects without a filter": array_v2(dtype="|O", filters=None),
    "objects in pickles": array_v2(dtype="|O", filters=[{"id": "pickle"}]),
    "filters that are a text": array_v2(filters="delta"),
    "a zarr format of 1": array_v2(zarr_format=1),
    "a group that is an array too": raw("scale0/image/.zgroup", '{"zarr_format": 2}'),
    "attributes that are no JSON": raw(".zattrs", "{'multiscales': []}"),
    "attributes of NaN": raw("scale0/image/.zattrs", '{"scale_factor": NaN, "_FillValue": Infinity}'),
    "packed by 0": raw("scale0/image/.zattrs", '{"scale_factor": 0, "add_offset": "x"}'),
    "names of dimensions that are numbers": raw("scale0/image/.zattrs", '{"_ARRAY_DIMENSIONS": [1, 2]}'),
}
