"""What OME-Zarr demands, a line a rule: the document, and whether it is accepted; then stores of such documents."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import xprep
from xprep.io.ome.group_rules import KEYS, find_faults
from xprep.io.ome.rules import Doubt

SPACE = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
SCALE = {"type": "scale", "scale": [1, 1]}
SHIFT = {"type": "translation", "translation": [0, 0]}
WINDOW = {"min": 0, "max": 1, "start": 0, "end": 1}
CHANNEL = {"color": "FF00ff", "window": WINDOW}
PLATE = {
    "rows": [{"name": "A"}, {"name": "B"}],
    "columns": [{"name": "1"}, {"name": "2"}],
    "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}],
}
GONE: Any = object()


def image(**changes: Any) -> dict[str, Any]:
    """An image of 0.4 and 0.5, with entries changed."""
    entry = {"axes": SPACE, "datasets": [{"path": "0", "coordinateTransformations": [SCALE]}]}
    return {"multiscales": [changed(entry, changes)]}


def with_axes(*axes: Any) -> dict[str, Any]:
    steps = [{"type": "scale", "scale": [1] * len(axes)}]
    return image(axes=list(axes), datasets=[{"path": "0", "coordinateTransformations": steps}])


def steps(*listed: Any) -> dict[str, Any]:
    return image(datasets=[{"path": "0", "coordinateTransformations": list(listed)}])


def space(name: str, *axes: Any) -> dict[str, Any]:
    return {"name": name, "axes": list(axes) or SPACE}


def image_06(*more: Any, systems: Any = None, level: Any = None, **changes: Any) -> dict[str, Any]:
    """An image of 0.6: transformations between its systems ``p`` and ``w``, those systems, its level's transformation."""
    step = {**SCALE, "input": {"path": "0"}, "output": {"name": "p"}} if level is None else level
    entry: dict[str, Any] = {"datasets": [{"path": "0", "coordinateTransformations": [step]}]}
    entry["coordinateSystems"] = [space("p"), space("w")] if systems is None else systems
    entry["coordinateTransformations"] = list(more) or [between(**SCALE)]
    return {"multiscales": [changed(entry, changes)]}


def between(**step: Any) -> dict[str, Any]:
    return {"input": {"name": "p"}, "output": {"name": "w"}, **step}


def from_level(**step: Any) -> dict[str, Any]:
    return {"input": {"path": "0"}, "output": {"name": "p"}, **step}


def changed(entry: Any, changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**copy.deepcopy(entry), **changes}.items() if value is not GONE}


def plate(**changes: Any) -> dict[str, Any]:
    return {"plate": changed(PLATE, changes)}


def well(*images: Any) -> dict[str, Any]:
    return {"well": {"images": list(images)}}


def channel(**changes: Any) -> dict[str, Any]:
    return {**image(), "omero": {"channels": [changed(CHANNEL, changes)]}}


def label(**values: Any) -> dict[str, Any]:
    return {**image(), "image-label": values}


def scene(**values: Any) -> dict[str, Any]:
    step = {"type": "identity", "input": {"path": "a", "name": "p"}, "output": {"name": "w"}}
    return {"scene": changed({"coordinateSystems": [space("w")], "coordinateTransformations": [step]}, values)}


TIME, CHANNELS = {"name": "t", "type": "time"}, {"name": "c", "type": "channel"}
DEPTH, ANGLE = {"name": "z", "type": "space"}, {"name": "a"}
TURN = [[0, 1], [-1, 0]]
OLD, ALL, NEW = ("0.4", "0.5"), ("0.4", "0.5", "0.6"), ("0.6",)
# versions, the document, what of it is refused (nothing: ""), by the words that say where or why
ROWS: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (OLD, image(), ""),
    (OLD, {"multiscales": []}, "multiscales must be a list of at least one object"),
    (OLD, {"multiscales": {}}, "multiscales must be"),
    (OLD, image(name="n", type="mean", metadata={}), ""),
    (OLD, image(name=1), "name must be a text"),
    (("0.4",), image(version="0.4"), ""),
    (("0.4",), image(version="0.3"), "version must be '0.4'"),
    (OLD, image(axes=GONE), "axes is missing"),
    (OLD, image(axes=[]), "axes must be a list of objects"),
    (OLD, image(axes=["y", "x"]), "axes must be a list of objects"),
    (OLD, with_axes(TIME, CHANNELS, DEPTH, *SPACE), ""),
    (OLD, with_axes(ANGLE, *SPACE), ""),
    (OLD, with_axes({"name": "a", "type": "custom"}, *SPACE), ""),
    (OLD, with_axes(*SPACE[:1]), "2 to 5 axes"),
    (OLD, with_axes(TIME, CHANNELS, *SPACE[:1]), "2 or 3 of them of space"),
    (OLD, with_axes(DEPTH, {"name": "w", "type": "space"}, *SPACE), "2 or 3 of them of space"),
    (OLD, with_axes(CHANNELS, ANGLE, *SPACE), "one more besides space"),
    (OLD, with_axes(TIME, {"name": "s", "type": "time"}, *SPACE), "one axis of time"),
    (OLD, with_axes(CHANNELS, TIME, *SPACE), "in this order"),
    (OLD, with_axes(*SPACE, CHANNELS), "in this order"),
    (OLD, with_axes(SPACE[0], SPACE[0]), "must be there once"),
    (OLD, with_axes({"type": "space"}, SPACE[1]), "axes[0].name is missing"),
    (OLD, with_axes({**SPACE[0], "unit": 1}, SPACE[1]), "unit must be a text"),
    (OLD, with_axes({**SPACE[0], "type": 1}, SPACE[1]), "type must be a text"),
    (OLD, with_axes({**SPACE[0], "unit": "furlong"}, SPACE[1]), ""),
    (OLD, image(datasets=GONE), "datasets is missing"),
    (OLD, image(datasets=[]), "datasets must be"),
    (OLD, image(datasets=[{"coordinateTransformations": [SCALE]}]), "datasets[0].path is missing"),
    (OLD, image(datasets=[{"path": 0, "coordinateTransformations": [SCALE]}]), "datasets[0].path must be a text"),
    (OLD, image(datasets=[{"path": "0", "coordinateTransformations": [SCALE]}] * 2), "must be there once"),
    (OLD, image(datasets=[{"path": "0"}]), "one scale, and after it at most one translation"),
    (OLD, steps(), "one scale"),
    (OLD, steps(SCALE, SHIFT), ""),
    (OLD, steps(SHIFT), "one scale"),
    (OLD, steps(SHIFT, SCALE), "one scale"),
    (OLD, steps(SCALE, SCALE), "one scale"),
    (OLD, steps(SCALE, SHIFT, SHIFT), "one scale"),
    (OLD, steps({"type": "affine", "affine": [[1, 0, 0], [0, 1, 0]]}), "one scale"),
    (OLD, steps({"type": "scale"}), "scale is missing"),
    (OLD, steps({"type": "scale", "scale": ["1", "1"]}), "scale must be a list of numbers"),
    (OLD, steps({"type": "scale", "scale": [1, 0]}), "numbers above 0"),
    (OLD, steps({"type": "scale", "scale": [1, 1, 1]}), "'scale' of 3 entries"),
    (OLD, steps(SCALE, {"type": "translation", "translation": [1]}), "'translation' of 1 entries"),
    (OLD, image(coordinateTransformations=[SCALE]), ""),
    (OLD, image(coordinateTransformations=[{"type": "scale", "scale": ["x"]}]), "scale must be"),
    (OLD, {**image(), "omero": {"channels": []}}, ""),
    (OLD, {**image(), "omero": {}}, "omero.channels is missing"),
    (OLD, {**image(), "omero": []}, "omero must be an object"),
    (OLD, channel(label="a", active=True, family="linear"), ""),
    (OLD, channel(color=GONE), "color is missing"),
    (OLD, channel(color=255), "color must be"),
    (OLD, channel(color="FFF"), "six hexadecimal digits"),
    (OLD, channel(window=GONE), "window is missing"),
    (OLD, channel(window={**WINDOW, "end": "100"}), "window.end must be a number"),
    (OLD, channel(window=changed(WINDOW, {"min": GONE})), "window.min is missing"),
    (OLD, channel(active="yes"), "true or false"),
    (OLD, channel(label=7), "label must be a text"),
    (OLD, {"labels": ["a", "b/c"]}, ""),
    (OLD, {"labels": []}, ""),
    (OLD, {"labels": "a"}, "labels must be a list"),
    (OLD, {"labels": {"a": 1}}, "labels must be a list"),
    (OLD, {"labels": [1]}, "labels[0] must be a text"),
    (OLD, {"labels": ["a", "a"]}, "must be there once"),
    (OLD, label(), ""),
    (OLD, label(colors=[{"label-value": 1, "rgba": [0, 0, 0, 255]}], properties=[{"label-value": 1, "area": 3}]), ""),
    (OLD, {**image(), "image-label": []}, "image-label must be an object"),
    (OLD, label(colors=[]), "colors must be"),
    (OLD, label(properties=[]), "properties must be"),
    (OLD, label(colors=[{"rgba": [0, 0, 0, 0]}]), "label-value is missing"),
    (OLD, label(colors=[{"label-value": 1.5}]), "label-value must be a whole number"),
    (OLD, label(colors=[{"label-value": 1, "rgba": [0, 0, 0]}]), "four whole numbers"),
    (OLD, label(colors=[{"label-value": 1, "rgba": [0, 0, 0, 256]}]), "four whole numbers"),
    (OLD, label(colors=[{"label-value": 1}] * 2), "must be there once"),
    (OLD, label(properties=[{"area": 1}]), "label-value is missing"),
    (OLD, label(source={"image": "../../"}), ""),
    (OLD, label(source="../../"), "source must be an object"),
    (OLD, label(source={"image": 1}), "image must be a text"),
    (ALL, plate(), ""),
    (ALL, plate(name="p", field_count=2, acquisitions=[{"id": 0, "name": "a", "maximumfieldcount": 1, "starttime": 0}]), ""),
    (ALL, {"plate": []}, "plate must be an object"),
    (ALL, plate(name=1), "plate.name must be a text"),
    (ALL, plate(field_count=0), "field_count must be"),
    (ALL, plate(field_count="2"), "field_count must be"),
    (ALL, plate(rows=GONE), "plate.rows is missing"),
    (ALL, plate(rows=[]), "plate.rows must be"),
    (ALL, plate(rows=[{}]), "rows[0].name is missing"),
    (ALL, plate(rows=[{"name": "A"}, {"name": "A"}]), "must be there once"),
    (ALL, plate(rows=[{"name": "A-1"}]), "letters and digits"),
    (ALL, plate(columns=GONE), "plate.columns is missing"),
    (ALL, plate(columns=[{"name": 1}]), "columns[0].name must be"),
    (ALL, plate(columns=[{"name": "1"}, {"name": "1"}]), "must be there once"),
    (ALL, plate(wells=GONE), "plate.wells is missing"),
    (ALL, plate(wells=[]), "plate.wells must be"),
    (ALL, plate(wells=[{"rowIndex": 0, "columnIndex": 0}]), "path is missing"),
    (ALL, plate(wells=[{"path": "A/1", "columnIndex": 0}]), "rowIndex is missing"),
    (ALL, plate(wells=[{"path": "A/1", "rowIndex": 0}]), "columnIndex is missing"),
    (ALL, plate(wells=[{"path": "A/1", "rowIndex": -1, "columnIndex": 0}]), "rowIndex must be"),
    (ALL, plate(wells=[{"path": "A/1", "rowIndex": "0", "columnIndex": 0}]), "rowIndex must be"),
    (ALL, plate(wells=[{"path": "A/1", "rowIndex": 2, "columnIndex": 0}]), "there are 2 rows"),
    (ALL, plate(wells=[{"path": "B/1", "rowIndex": 0, "columnIndex": 0}]), "path must be 'A/1'"),
    (("0.5",), plate(wells=[{"path": "1/A", "rowIndex": 0, "columnIndex": 0}]), "path must be 'A/1'"),
    (ALL, plate(wells=[{"path": "A1", "rowIndex": 0, "columnIndex": 0}]), "as A/1"),
    (ALL, plate(wells=[{"path": "p/A/1", "rowIndex": 0, "columnIndex": 0}]), "as A/1"),
    (ALL, plate(wells=PLATE["wells"] * 2), "must be there once"),
    (ALL, plate(acquisitions=[{}]), "id is missing"),
    (ALL, plate(acquisitions=[{"id": -1}]), "id must be"),
    (ALL, plate(acquisitions=[{"id": "0"}]), "id must be"),
    (ALL, plate(acquisitions=[{"id": 1}, {"id": 1}]), "must be there once"),
    (ALL, plate(acquisitions=[{"id": 0, "maximumfieldcount": 0}]), "maximumfieldcount must be"),
    (ALL, plate(acquisitions=[{"id": 0, "starttime": "2022-05-13"}]), "starttime must be"),
    (ALL, plate(acquisitions=[{"id": 0, "endtime": -1}]), "endtime must be"),
    (ALL, plate(acquisitions=[{"id": 0, "description": 1}]), "description must be"),
    (("0.4",), plate(version="0.3"), "plate.version must be '0.4'"),
    (("0.5",), plate(version="0.5"), ""),
    (("0.5",), plate(version=0.5), "plate.version must be a text"),
    (("0.5",), label(version=0.5), "image-label.version must be a text"),
    (("0.4",), label(version="0.3"), "image-label.version must be '0.4'"),
    (("0.5",), {"well": {"images": [{"path": "0"}], "version": 1}}, "well.version must be a text"),
    (("0.4",), {"well": {"images": [{"path": "0"}], "version": "0.5"}}, "well.version must be '0.4'"),
    (OLD, {"bioformats2raw.layout": 3, **plate()}, ""),
    (OLD, steps({"scale": [1, 1]}), "one scale"),
    (OLD, image(coordinateTransformations=[SHIFT]), "one scale"),
    (OLD, image(coordinateTransformations=[{"type": "rotation", "rotation": TURN}]), "one scale"),
    (ALL, well({"path": "0"}, {"path": "1", "acquisition": 3}), ""),
    (ALL, well(), "well.images must be"),
    (ALL, {"well": {}}, "well.images is missing"),
    (ALL, well({}), "path is missing"),
    (ALL, well({"path": 0}), "path must be"),
    (ALL, well({"path": "a/b"}), "path must be"),
    (OLD, well({"path": "a-b"}), "letters and digits"),
    (NEW, well({"path": "a-b_c.zarr"}), ""),
    (NEW, well({"path": ".."}), "dots only"),
    (NEW, well({"path": "__a"}), "dots only"),
    (ALL, well({"path": "0"}, {"path": "0"}), "must be there once"),
    (ALL, well({"path": "0", "acquisition": "1"}), "acquisition must be"),
    (ALL, {"bioformats2raw.layout": 3}, ""),
    (ALL, {"bioformats2raw.layout": 2}, "must be 3"),
    (ALL, {"series": ["0", "1"]}, ""),
    (ALL, {"series": "0"}, "series must be a list"),
    (ALL, {"series": [0]}, "series[0] must be a text"),
    (NEW, image_06(), ""),
    (NEW, image_06(coordinateTransformations=GONE, systems=[space("p")]), ""),
    (NEW, image_06(systems=[]), "coordinateSystems must be"),
    (NEW, image_06(systems=[{"axes": SPACE}, space("w")]), "name is missing"),
    (NEW, image_06(systems=[space(""), space("w")]), "name must be a text that is not empty"),
    (NEW, image_06(systems=[space("p", {"name": "", "type": "space"}, SPACE[1]), space("w")]), "a text that is not empty"),
    (NEW, image_06(systems=[space("p", SPACE[0], SPACE[0]), space("w")]), "must be there once"),
    (NEW, image_06(systems=[space("p", {**SPACE[0], "unit": 5}, SPACE[1]), space("w")]), "unit must be a text"),
    (NEW, image_06(between(type="sequence", transformations=[])), "a list of transformations"),
    (NEW, image_06(between(type="bijection", forward={"type": "identity"}, inverse={**SCALE, "scale": [1]})), "'scale' of 1"),
    (NEW, image_06(between(type="projectAxis", droppedInputs=[0, 0])), "each once"),
    (NEW, image_06(datasets=[{"path": "0", "coordinateTransformations": [from_level(**SCALE)]},
                             {"path": "1", "coordinateTransformations": [
                                 {**SCALE, "input": {"path": "1"}, "output": {"name": "w"}}]}]), "lead to one coordinate system"),
    (NEW, image_06(systems=[{"name": "p"}, space("w")]), "axes is missing"),
    (NEW, image_06(systems=[space("p"), space("p"), space("w")]), "must be there once"),
    (NEW, image_06(systems=[space("p", SPACE[0]), space("w")]), "2 to 5 axes"),
    (NEW, image_06(systems=[space("p", {**SPACE[0], "discrete": "no"}, SPACE[1]), space("w")]), "true or false"),
    (NEW, image_06(systems=[space("p", {**SPACE[0], "longName": 1}, SPACE[1]), space("w")]), "longName must be"),
    (NEW, image_06(systems=[space("p"), space("w", {"name": "0", "type": "array"}, {"name": "1", "type": "array"})]), ""),
    (NEW, image_06(level=from_level(type="identity")), ""),
    (NEW, image_06(level=from_level(type="sequence", transformations=[SCALE, SHIFT])), ""),
    (NEW, image_06(level=from_level(type="sequence", transformations=[SHIFT, SCALE])), "must be a scale, an identity"),
    (NEW, image_06(level=from_level(**SHIFT)), "must be a scale, an identity"),
    (NEW, image_06(level=from_level(type="rotation", rotation=TURN)), "must be a scale, an identity"),
    (NEW, image_06(level={**SCALE, "input": "0", "output": "p"}), "input must be an object"),
    (NEW, image_06(level={**SCALE, "input": {"name": "0"}, "output": {"name": "p"}}), "input.path must be"),
    (NEW, image_06(level={**SCALE, "input": {"path": "0"}, "output": {"path": "p"}}), "output.name must be"),
    (NEW, image_06(level={**SCALE, "input": {"path": "0"}, "output": {"name": "q"}}), "one of the coordinate systems"),
    (NEW, image_06({**SCALE}), "input must be an object"),
    (NEW, image_06(between(type="shear")), "type must be one of"),
    (NEW, image_06(between(type="scale")), "scale is missing"),
    (NEW, image_06(between(type="scale", path="a")), "not kept in an array"),
    (NEW, image_06(between(type="scale", scale=[1])), "'scale' of 1 entries"),
    (NEW, image_06(between(type="translation", translation=[1, "2"])), "translation must be"),
    (NEW, image_06(between(type="affine", affine=[[1, 0, 0], [0, 1, 0]])), ""),
    (NEW, image_06(between(type="affine", path="a")), ""),
    (NEW, image_06(between(type="affine")), "it has neither"),
    (NEW, image_06(between(type="affine", affine=[[1, 0, 0], [0, 1, 0]], path="a")), "it has both"),
    (NEW, image_06(between(type="affine", affine=[[1, 0], [0, 1]])), "2 rows of 3 numbers"),
    (NEW, image_06(between(type="affine", affine=[1, 0])), "affine must be rows"),
    (NEW, image_06(between(type="rotation", rotation=TURN)), ""),
    (NEW, image_06(between(type="rotation", rotation=[[1, 0], [0, -1]])), "keep orientation"),
    (NEW, image_06(between(type="rotation", rotation=[[2, 0], [0, 2]])), "of length 1"),
    (NEW, image_06(between(type="rotation", rotation=[[1, 0, 0], [0, 1, 0]])), "is not a rotation"),
    (NEW, image_06(between(type="mapAxis", mapAxis=[1, 0])), ""),
    (NEW, image_06(between(type="mapAxis")), "mapAxis is missing"),
    (NEW, image_06(between(type="mapAxis", mapAxis=[0, 0])), "each once"),
    (NEW, image_06(between(type="mapAxis", mapAxis=[0, 2])), "not there"),
    (NEW, image_06(between(type="mapAxis", mapAxis=[0, -1])), "each once"),
    (NEW, image_06(between(type="projectAxis")), "it has neither"),
    (NEW, image_06(between(type="projectAxis", droppedInputs=[0], createdOutputs=[1])), ""),
    (NEW, image_06(between(type="projectAxis", createdOutputs=[0, 0])), "each once"),
    (NEW, image_06(between(type="projectAxis", droppedInputs=[5])), "drops [5] of 2"),
    (NEW, image_06(between(type="projectAxis", createdOutputs=[1])), "leaves 3 axes"),
    (NEW, image_06(between(type="sequence", transformations=[SCALE, SHIFT])), ""),
    (NEW, image_06(between(type="sequence")), "transformations is missing"),
    (NEW, image_06(between(type="sequence", transformations=[{"type": "scale"}])), "scale is missing"),
    (NEW, image_06(between(type="bijection", forward=SCALE, inverse=SCALE)), ""),
    (NEW, image_06(between(type="bijection", forward=SCALE)), "inverse is missing"),
    (NEW, image_06(between(type="bijection", forward=SCALE, inverse={"type": "scale"})), "inverse.scale is missing"),
    (NEW, image_06(between(type="displacements", path="d", interpolation="cubic")), ""),
    (NEW, image_06(between(type="displacements")), "path is missing"),
    (NEW, image_06(between(type="coordinates", path="d", interpolation="best")), "interpolation must be"),
    (NEW, scene(), ""),
    (NEW, {"scene": 1}, "scene must be an object"),
    (NEW, scene(coordinateTransformations=GONE), "scene.coordinateTransformations must be"),
    (NEW, scene(coordinateTransformations=[{"type": "identity", "input": "a"}]), "input must be an object"),
    (NEW, scene(coordinateSystems=[{"name": ""}]), "name must be a text"),
]  # fmt: skip
PART = {"transformation": {"type": "scale", "scale": [2]}, "inputAxes": [0], "outputAxes": [0]}
ROWS += [
    (NEW, image_06(between(type="byDimension", transformations=[PART, {**PART, "inputAxes": [1], "outputAxes": [1]}])), ""),
    (NEW, image_06(between(type="byDimension", transformations=[changed(PART, {"inputAxes": GONE})])), "inputAxes is missing"),
    (NEW, image_06(between(type="byDimension", transformations=[{**PART, "outputAxes": ["x"]}])), "outputAxes must be"),
    (NEW, image_06(between(type="byDimension", transformations=[changed(PART, {"transformation": GONE})])), "is missing"),
]
CASES = [(version, document, text) for versions, document, text in ROWS for version in versions]


def attributes(document: dict[str, Any], version: str) -> dict[str, Any]:
    return document if version == "0.4" else {"ome": {"version": version, **document}}


@pytest.mark.parametrize(("version", "document", "text"), CASES)
def test_the_rules(version: Any, document: dict[str, Any], text: str) -> None:
    found = find_faults(attributes(document, version), 2 if version == "0.4" else 3, version)
    faults = [one for one in found if not isinstance(one, Doubt)]
    assert any(text in fault for fault in faults) if text else faults == []


def test_every_key_has_rules_and_rows() -> None:
    assert {key for _, document, _ in ROWS for key in document} == set(KEYS)


def test_where_the_metadata_lie() -> None:
    assert "Zarr v2" in "".join(find_faults(image(), 3, "0.4"))
    assert "Zarr v2 group" in "".join(find_faults(attributes(image(), "0.5"), 2, "0.5"))
    assert "ome.version must be" in "".join(find_faults({"ome": image()}, 3, "0.5"))


DOUBTS = [
    ("0.4", plate(wells=[{"path": "1/A", "rowIndex": 0, "columnIndex": 0}])),
    ("0.6", image_06({**SCALE, "input": {"name": "q"}, "output": {"name": "w"}})),
    ("0.6", image_06(coordinateTransformations=GONE)),
    ("0.6", image_06(level={**SCALE, "input": {"path": "s0"}, "output": {"name": "p"}})),
]


@pytest.mark.parametrize(("version", "document"), DOUBTS)
def test_what_the_published_examples_do_is_told_and_not_refused(version: Any, document: dict[str, Any]) -> None:
    faults = list(find_faults(attributes(document, version), 2 if version == "0.4" else 3, version))
    assert [type(fault) for fault in faults] == [Doubt] * max(1, len(faults))


# Stores of such documents: every group that a hierarchy has is looked at


def group(folder: Path, document: dict[str, Any] | None, version: str = "0.5") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = {} if document is None else {"ome": {"version": version, **document}}
    (folder / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": found}))


def stored(folder: Path, document: dict[str, Any] | None = None, *, dtype: str = "uint8", names: Any = ("y", "x")) -> None:
    group(folder, image() if document is None else document)
    zarr.create_array(folder / "0", shape=(4, 4), dtype=dtype, dimension_names=names)[...] = np.arange(1, 17).reshape(4, 4)


def make_plate(root: Path) -> None:
    group(root, plate(wells=[{"path": p, "rowIndex": 0, "columnIndex": i} for i, p in enumerate(("A/1", "A/2"))]))
    group(root / "A", None)
    for at in ("A/1", "A/2"):
        group(root / at, well({"path": "0"}))
        stored(root / at / "0")


def make_labels(root: Path) -> None:
    stored(root)
    group(root / "labels", {"labels": ["a"]})
    stored(root / "labels/a", label())


def two_levels(root: Path) -> None:
    datasets = [{"path": f"{n}", "coordinateTransformations": [{**SCALE, "scale": [n + 1] * 2}]} for n in range(2)]
    stored(root, image(datasets=datasets))
    zarr.create_array(root / "1", shape=(2, 2), dtype="uint8", dimension_names=["y", "x"])[...] = 1


def of_two_acquisitions(root: Path) -> None:
    make_plate(root)
    document = json.loads((root / "zarr.json").read_text())["attributes"]["ome"]
    group(root, {"plate": {**document["plate"], "acquisitions": [{"id": 0}, {"id": 1}]}})


FIELD_OF_7 = {"path": "0", "acquisition": 7}


def make_labels_deep(root: Path, between: dict[str, Any] | None) -> None:
    stored(root)
    group(root / "labels", {"labels": ["more/a"]})
    group(root / "labels/more", between)
    stored(root / "labels/more/a", label())


def make_series(root: Path) -> None:
    group(root, {"bioformats2raw.layout": 3})
    group(root / "OME", {"series": ["0", "1"]})
    for name in ("0", "1"):
        stored(root / name)


def again(folder: Path, shape: tuple[int, ...], names: str, dtype: str = "uint8") -> None:
    """Put another array there."""
    remove(folder)
    zarr.create_array(folder, shape=shape, dtype=dtype, dimension_names=list(names))[...] = 1


HIERARCHIES: dict[str, tuple[Any, Any, str]] = {
    "an image": (stored, lambda root: None, ""),
    "a plate": (make_plate, lambda root: None, ""),
    "labels": (make_labels, lambda root: None, ""),
    "a well that is wrong": (make_plate, lambda root: group(root / "A/2", well(*[{"path": "0"}] * 2)), "A/2: .* there once"),
    "a well that is none": (make_plate, lambda root: group(root / "A/2", None), "A/2: it is listed, and no image"),
    "a well that is not there": (make_plate, lambda root: (root / "A/2/zarr.json").unlink(), "A/2: it is listed, and not there"),
    "a field that is wrong": (make_plate, lambda root: group(root / "A/2/0", image(name=1)), "A/2/0: .*name must be a text"),
    "a field of another version": (make_plate, lambda root: group(root / "A/2/0", image(), "0.6"), "a hierarchy has one"),
    "no acquisition said": (of_two_acquisitions, lambda root: None, "acquisition is missing"),
    "labels that are a text": (make_labels, lambda root: group(root / "labels", {"labels": "a"}), "labels must be a list"),
    "labels that are unnamed": (make_labels, lambda root: group(root / "labels", None), "labels is missing"),
    "labels that are numbers": (make_labels, lambda root: group(root / "labels", {"labels": [1.5]}), "must be a text"),
    "labels that are doubles": (make_labels, lambda root: stored_again(root / "labels/a", dtype="f8"), "whole numbers"),
    "labels that are an array": (make_labels, lambda root: as_array(root / "labels"), "labels"),
    "labels of other levels": (make_labels, lambda root: two_levels_again(root / "labels/a"), "have 2 levels"),
    "colours that are wrong": (make_labels, lambda root: group(root / "labels/a", label(colors=[])), "colors must be"),
    "no names of dimensions": (lambda root: stored(root, names=None), lambda root: None, "dimension_names"),
    "labels in a group": (lambda root: make_labels_deep(root, None), lambda root: None, ""),
    "labels in a group that says more": (
        lambda root: make_labels_deep(root, {"labels": ["a"]}), lambda root: None, "labels/more: a group between",
    ),
    "an acquisition of no plate": (of_two_acquisitions, lambda root: group(root / "A/1", well(FIELD_OF_7)), "acquisition is 7"),
    "series": (make_series, lambda root: None, ""),
    "series without a list": (make_series, lambda root: remove(root / "OME"), ""),
    "series with a gap": (make_series, lambda root: (remove(root / "OME"), (root / "1").rename(root / "3")), "without a gap"),
    "a series that is not there": (make_series, lambda root: remove(root / "1"), "1: it is listed, and not there"),
    "more dimensions than axes": (stored, lambda root: again(root / "0", (1, 4, 4), "zyx"), "3 dimensions for the axes"),
    "dimensions of other names": (stored, lambda root: again(root / "0", (4, 4), "xy"), r"its dimensions are \('x', 'y'\)"),
    "levels from the smallest": (two_levels, lambda root: again(root / "1", (8, 8), "yx"), "from the largest to the smallest"),
    "levels of several types": (two_levels, lambda root: again(root / "1", (2, 2), "yx", "uint16"), "they differ in type"),
    "a level of fewer dimensions": (two_levels, lambda root: again(root / "1", (2,), "x"), "1 dimensions for the axes"),
    "labels of another version": (
        make_labels, lambda root: group(root / "labels/a", label(), "0.6"), "labels/a: .*a hierarchy has one",
    ),
    "comments": (stored, lambda root: (root / "0/zarr.json").write_text('{"zarr_format": 3, // three\n}'), "not JSON"),
    "a level that cannot be opened": (stored, lambda root: (root / "0/zarr.json").write_text("{}"), "0: "),
}  # fmt: skip


def stored_again(folder: Path, **how: Any) -> None:
    remove(folder)
    stored(folder, label(), **how)


def two_levels_again(folder: Path) -> None:
    remove(folder)
    two_levels(folder)


def as_array(folder: Path) -> None:
    remove(folder)
    zarr.create_array(folder, shape=(4,), dtype="uint8")


def remove(folder: Path) -> None:
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()


@pytest.mark.parametrize(("make", "change", "text"), HIERARCHIES.values(), ids=HIERARCHIES)
def test_hierarchies(tmp_path: Path, make: Any, change: Any, text: str) -> None:
    make(tmp_path / "a.zarr")
    change(tmp_path / "a.zarr")
    found = xprep.validate(tmp_path / "a.zarr")
    failed = [str(one) for one in found.findings if one.state == "failed"]
    assert any(re.search(text, one) for one in failed) if text else failed == []


def test_a_labels_group_has_a_url_of_its_own(tmp_path: Path) -> None:
    make_labels(tmp_path / "a.zarr")
    assert xprep.validate(tmp_path / "a.zarr/labels").is_valid
    group(tmp_path / "a.zarr/labels/a", label(colors=[]))
    assert not xprep.validate(tmp_path / "a.zarr/labels").is_valid


def test_links_out_of_the_store_are_not_followed(tmp_path: Path) -> None:
    stored(tmp_path / "a.zarr")
    chunk = next((tmp_path / "a.zarr/0/c").rglob("0/0"))
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    found = xprep.validate(tmp_path / "a.zarr")
    assert not found.is_valid
    assert "link out of the store" in str(found)
