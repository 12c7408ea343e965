"""OME-Zarr metadata: there and back in three versions, and refused where they are wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xprep.errors import StoreFormatError, StoreFormatWarning
from xprep.io.arrays.consolidated import write_group
from xprep.io.json_documents import METADATA_BYTES, parse_json
from xprep.io.ome.groups import list_images, list_labels, read_group, read_image
from xprep.io.ome.reading import read_multiscale
from xprep.io.ome.writing import write_labels, write_multiscale
from xprep.io.ome_model import VERSIONS, Axis, Channel, ContrastWindow, ImageLabel, Level, Multiscale, make_axes
from xprep.io.store.places import open_store

SPACES = [("y", "x"), ("z", "y", "x")]
POSITIVE = st.floats(1e-6, 1e6)
ANY = st.floats(-1e6, 1e6)


@st.composite
def images(draw: st.DrawFn) -> Multiscale:
    front = draw(st.sampled_from([(), ("t",), ("c",), ("t", "c")]))
    dims = (*front, *draw(st.sampled_from(SPACES)))
    units = draw(st.sampled_from([{}, {"y": "µm", "x": "µm", "t": "s"}]))
    vectors = st.tuples(*[POSITIVE] * len(dims)), st.tuples(*[ANY] * len(dims))
    levels = tuple(Level(f"scale{n}/image", draw(vectors[0]), draw(vectors[1])) for n in range(draw(st.integers(1, 3))))
    window = draw(st.none() | st.builds(ContrastWindow, ANY, ANY, ANY, ANY))
    label = draw(st.none() | st.just(ImageLabel(colors={1: (255, 0, 0, 128)}, properties=({"label-value": 1, "area": 3.5},))))
    channels = (Channel("DAPI", "0000FF", window), Channel("ä/b", "FF00FF", window, active=False))
    return Multiscale(
        make_axes(dims, units), levels, draw(st.text(max_size=5)), () if label else channels, "0.5",
        draw(st.sampled_from(["", "mean"])), draw(st.sampled_from([{}, {"method": "xprep", "args": [1]}])), label,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(image=images(), version=st.sampled_from(VERSIONS))
def test_there_and_back(image: Multiscale, version: Any) -> None:
    attributes = json.loads(json.dumps(write_multiscale(image, version)))
    back = read_multiscale(attributes, "x")
    assert back.version == version
    assert (back.axes, back.levels, back.name, back.channels) == (image.axes, image.levels, image.name, image.channels)
    assert (back.method, back.metadata, back.image_label) == (image.method, image.metadata, image.image_label)


def by_hand(version: str = "0.4") -> dict[str, Any]:
    entry: dict[str, Any] = {
        "axes": [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.25]}]},
            {
                "path": "1",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1, 1, 0.5]},
                    {"type": "translation", "translation": [0, 0.25, 0.125]},
                ],
            },
        ],
        "coordinateTransformations": [
            {"type": "scale", "scale": [1, 10, 10]},
            {"type": "translation", "translation": [0, 3, 4]},
        ],
    }
    if version == "0.4":
        return {"multiscales": [{"version": "0.4", **entry}]}
    return {"ome": {"version": version, "multiscales": [entry]}}


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.5-dev"])
def test_both_levels_of_transformations_count(version: str) -> None:
    image = read_multiscale(by_hand(version), "x")
    assert image.levels[0] == Level("0", (1, 5, 2.5), (0, 3, 4))
    assert image.levels[1] == Level("1", (1, 10, 5), (0, 5.5, 5.25))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_time_step_of_0_is_unknown(version: str) -> None:
    """As iohub wrote it: of all axes only time may go on by 0."""
    attributes = by_hand(version)
    (entry,) = (attributes if version == "0.4" else attributes["ome"])["multiscales"]
    entry["axes"][0] = {"name": "t", "type": "time"}
    for level in entry["datasets"]:
        level["coordinateTransformations"][0]["scale"] = [0, *level["coordinateTransformations"][0]["scale"][1:]]
    with pytest.warns(StoreFormatWarning, match=r"scale: time goes on by 0"):
        image = read_multiscale(attributes, "x")
    assert [level.scale[0] for level in image.levels] == [1, 1]


def by_hand_06() -> dict[str, Any]:
    axes = [{"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space"}]
    steps = [{"type": "scale", "scale": [2, 2]}, {"type": "translation", "translation": [0.5, 0.5]}]
    ends = {"output": {"name": "intrinsic"}}
    return {
        "ome": {
            "version": "0.6",
            "multiscales": [
                {
                    "coordinateSystems": [{"name": "world", "axes": axes}, {"name": "intrinsic", "axes": axes}],
                    "datasets": [
                        {
                            "path": "s0",
                            "coordinateTransformations": [{"type": "identity", "input": {"path": "s0"}, **ends}],
                        },
                        {
                            "path": "s1",
                            "coordinateTransformations": [
                                {"type": "sequence", "transformations": steps, "input": {"path": "s1"}, **ends}
                            ],
                        },
                    ],
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [3, 4], "input": {"name": "intrinsic"}, "output": {"name": "world"}}
                    ],
                }
            ],
        }
    }


def test_coordinate_systems_of_06() -> None:
    image = read_multiscale(by_hand_06(), "x")
    assert image.axes == (Axis("y", "space", "micrometer"), Axis("x", "space"))
    assert image.levels == (Level("s0", (3, 4), (0, 0)), Level("s1", (6, 8), (1.5, 2)))
    turned = by_hand_06()
    turned["ome"]["multiscales"][0]["coordinateTransformations"][0]["type"] = "rotation"
    assert read_multiscale(turned, "x").levels[1] == Level("s1", (2, 2), (0.5, 0.5))


def _set(path: str, value: Any) -> Any:
    def change(attributes: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        node: Any = attributes["multiscales"]
        for part in parents:
            node = node[part]
        if value is KeyError:
            del node[last]
        else:
            node[last] = value

    return change


NESTED: Any = []
for _ in range(5):
    NESTED = [NESTED]
SCALE = "0.datasets.0.coordinateTransformations.0.scale"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("0", "x", "must be an object"),
        ("0.version", "0.1", "version '0.1'"),
        ("0.version", "0.45", "version '0.45'"),
        ("0.version", 4, "version 4"),
        ("0.axes", KeyError, "axes: is missing"),
        ("0.axes", None, "axes: is missing"),
        ("0.axes", [], "1 to 5 entries"),
        ("0.axes.0", {"name": "y", "type": "channel"}, "two axes have one name"),
        ("0.axes.0", "c", r"axes\[0\]: must be an object"),
        ("0.axes.0.name", "a/b", "cannot be an axis"),
        ("0.axes.0.name", 3, r"axes\[0\]\.name: must be a string; got 3"),
        ("0.axes", [{"name": str(i)} for i in range(6)], "1 to 5 entries; got 6"),
        ("0.datasets", [], "datasets: must have"),
        ("0.datasets", [{"path": str(i)} for i in range(65)], "got 65"),
        ("0.datasets.1.path", "../../secret", r"datasets\[1\]\.path: '../../secret' is not a path inside"),
        ("0.datasets.1.path", "0", "one path"),
        ("0.datasets.1.path", None, "must be a string"),
        ("0.datasets.0.coordinateTransformations", KeyError, "must be a list"),
        (SCALE, [1, 1], "a list of 3 numbers"),
        (SCALE, [1, 1, 0], "must be positive"),
        (SCALE, [1, -1, 1], "must be positive"),
        (SCALE, [1, float("nan"), 1], "finite"),
        (SCALE, [1, 10**400, 1], "finite"),
        (SCALE, [1, True, 1], "finite"),
        (SCALE, NESTED, "numbers"),
        (SCALE, KeyError, "scale: must be a list"),
        ("0.datasets.0.coordinateTransformations.0.type", "affine", "'affine' of a level"),
        ("0.coordinateTransformations.1.translation", [1], "a list of 3"),
        ("0.coordinateTransformations", [{"type": "scale", "scale": [1e299, 1, 1]}] * 2, "beyond"),
        ("0.coordinateTransformations", [{"type": "scale", "scale": [1e-299, 1, 1]}] * 2, "beyond"),
    ],
)
def test_wrong_metadata_say_what_and_where(path: str, value: Any, says: str) -> None:
    attributes = copy.deepcopy(by_hand())
    _set(path, value)(attributes)
    with pytest.raises(StoreFormatError, match=says):
        read_multiscale(attributes, "s3://lab/x")


@pytest.mark.parametrize("omero", [None, 3, {}, {"channels": 3}, {"channels": [{"color": 5, "window": {"min": "a"}}]}])
def test_wrong_display_settings_do_not_matter(omero: Any) -> None:
    image = read_multiscale({**by_hand(), "omero": omero}, "x")
    assert image.channels in ((), (Channel("0"),))


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["axes", "name", "datasets", "path", "type", "scale", "version"]), inner)
        ),
        max_leaves=8,
    )
)
def test_whatever_the_json_only_one_error(value: Any) -> None:
    newest = {"ome": {"version": "0.6", "multiscales": [value]}}
    for attributes in ({"multiscales": value}, {"multiscales": [value]}, newest):
        with pytest.raises(StoreFormatError):
            read_multiscale(attributes, "x")


@pytest.mark.parametrize(
    ("dims", "says"),
    [
        (("x",), "2 to 5 axes"),
        (("c", "x"), "2 or 3 of them of space"),
        (("y", "x", "c"), r"transpose to \['c', 'y', 'x'\]"),
        (("c", "t", "y", "x"), r"transpose to \['t', 'c', 'y', 'x'\]"),
        (("c", "roi", "y", "x"), "one more besides space"),
    ],
)
def test_axes_that_ome_does_not_take(dims: tuple[str, ...], says: str) -> None:
    level = Level("0", (1.0,) * len(dims), (0.0,) * len(dims))
    with pytest.raises(ValueError, match=says):
        write_multiscale(Multiscale(make_axes(dims), (level,)), "0.5")


def test_json_that_is_none() -> None:
    for data, says in (
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1]", "holds a JSON list"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b" " * (METADATA_BYTES + 1), "bytes; metadata has at most"),
    ):
        with pytest.raises(StoreFormatError, match=says):
            parse_json(data, "x/zarr.json")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plates_and_series_are_listed(tmp_path: Path, zarr_format: Any) -> None:
    version: Any = "0.4" if zarr_format == 2 else "0.5"
    image = write_multiscale(Multiscale(make_axes(("y", "x")), (Level("0", (1.0, 1.0), (0.0, 0.0)),)), version)

    def ome(value: dict[str, Any]) -> dict[str, Any]:
        return value if zarr_format == 2 else {"ome": {"version": version, **value}}

    root = open_store(tmp_path / "plate", mode="r+")
    write_group(root, ome({"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}), zarr_format)
    for well, fields in (("A/1", ["0", "1"]), ("B/2", ["0"])):
        write_group(root.child(well), ome({"well": {"images": [{"path": name} for name in fields]}}), zarr_format)
        write_group(root.child(f"{well}/0"), image, zarr_format)
    group = read_group(root)
    assert group is not None
    assert [(entry.path, entry.kind, entry.name) for entry in list_images(group)] == [
        ("A/1/0", "field", "A/1"), ("A/1/1", "field", "A/1"), ("B/2/0", "field", "B/2"),
    ]  # fmt: skip
    write_group(root, ome({"plate": {"wells": [{"path": "../A"}]}}), zarr_format)
    hostile = read_group(root)
    assert hostile is not None
    with pytest.raises(StoreFormatError, match=r"wells\[0\]\.path"):
        list_images(hostile)

    series = open_store(tmp_path / "series", mode="r+")
    write_group(series, ome({"bioformats2raw.layout": 3}), zarr_format)
    for name in ("0", "1"):
        write_group(series.child(name), image, zarr_format)
    group = read_group(series)
    assert group is not None
    assert [entry.path for entry in list_images(group)] == ["0", "1"]
    write_group(series.child("OME"), ome({"series": ["1"]}), zarr_format)
    assert [entry.path for entry in list_images(group)] == ["1"]
    with pytest.raises(StoreFormatError, match="no multiscales"):
        read_image(group)


def test_labels_are_listed(tmp_path: Path) -> None:
    root = open_store(tmp_path / "x", mode="r+")
    write_group(root, {}, 3)
    group = read_group(root)
    assert group is not None
    assert list_labels(group) == []
    write_group(root.child("labels"), write_labels(["cells"], "0.5"), 3)
    assert list_labels(group) == ["cells"]
    write_group(root.child("labels"), write_labels(["../.."], "0.5"), 3)
    with pytest.raises(StoreFormatError, match="not a path inside"):
        list_labels(group)
    assert read_group(root.child("nothing")) is None
