"""Coordinate systems: transformations to several are alternatives; what axes can say is read, what they cannot is named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

import xprep
from xprep.cli.app import app

AXES = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
MICRONS = [{**axis, "unit": "micrometer"} if axis["type"] == "space" else axis for axis in AXES]
SCALE = {"type": "scale", "scale": [1, 2, 3]}
STRETCH_PLANE = {"type": "scale", "scale": [2, 3]}
STRETCH = {"type": "affine", "affine": [[1, 0, 0, 0], [0, 2, 0, 7], [0, 0, 3, 9]]}
TURN = {"type": "affine", "affine": [[1, 0, 0, 0], [0, 0.8, 0.1, 5], [0, -0.1, 0.8, 3]]}


def to(name: str, **step: Any) -> dict[str, Any]:
    """A transformation as SpatialData writes it."""
    return {**step, "input": {"name": "cyx", "axes": AXES}, "output": {"name": name, "axes": MICRONS}}


def spatialdata(*steps: dict[str, Any], version: str = "0.4", axes: Any = AXES) -> dict[str, Any]:
    levels = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [1, 2**n, 2**n]}]} for n in range(2)
    ]
    entry = {"version": version, "axes": axes, "datasets": levels, "coordinateTransformations": list(steps)}
    return {"ome": {"version": version, "multiscales": [entry]}} if version.startswith("0.5") else {"multiscales": [entry]}


def rfc5(*steps: dict[str, Any], names: tuple[str, ...] = ("intrinsic", "world"), axes: Any = MICRONS) -> dict[str, Any]:
    levels = [
        {
            "path": str(n),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 2**n, 2**n], "input": {"path": str(n)}, "output": {"name": "intrinsic"}}
            ],
        }
        for n in range(2)
    ]
    systems = [{"name": name, "axes": AXES if name == "intrinsic" else axes} for name in names]
    entry = {"coordinateSystems": systems, "datasets": levels, "coordinateTransformations": list(steps)}
    return {"ome": {"version": "0.6", "multiscales": [entry]}}


def onward(end: str = "world", **step: Any) -> dict[str, Any]:
    return {"input": {"name": "intrinsic"}, "output": {"name": end}, **step}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    def make(attributes: dict[str, Any]) -> str:
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3 if "ome" in attributes else 2)
        for n in range(2):
            group.create_array(str(n), data=np.ones((1, 8 >> n, 10 >> n), "u2"))
        group.attrs.update(copy.deepcopy(attributes))
        return str(tmp_path / "a.zarr")

    return make


def step_of(url: str, **how: Any) -> tuple[float, float]:
    image = xprep.open_image(url, **how)
    return tuple(float(image[dim][1] - image[dim][0]) for dim in ("y", "x"))  # type: ignore[return-value]


SAMPLE, HIRES, LOWRES = to("sample", type="identity"), to("hires", **SCALE), to("lowres", type="scale", scale=[1, 0.5, 0.25])
FIRST_WORLD = ("world", "intrinsic")
# What is stored, the system that is asked for, and the size of pixels along y and x.
SHOWN: dict[str, tuple[dict[str, Any], str | None, tuple[float, float]]] = {
    "the first": (spatialdata(SAMPLE, HIRES, LOWRES), None, (1, 1)),
    "the first, of another order": (spatialdata(HIRES, LOWRES, SAMPLE), None, (2, 3)),
    "chosen": (spatialdata(SAMPLE, HIRES, LOWRES), "lowres", (0.5, 0.25)),
    "global before the first": (spatialdata(HIRES, to("global", type="identity")), None, (1, 1)),
    "a coarse level": (spatialdata(SAMPLE, HIRES), "hires", (2, 3)),
    "of 0.4 for SpatialData": (spatialdata(HIRES, version="0.4-dev-spatialdata"), None, (2, 3)),
    "of 0.5 for SpatialData": (spatialdata(SAMPLE, HIRES, version="0.5-dev-spatialdata"), "hires", (2, 3)),
    "of 0.5": (spatialdata(SAMPLE, HIRES, version="0.5"), "hires", (2, 3)),
    "without systems, all add up": (spatialdata(SCALE, {"type": "scale", "scale": [1, 10, 10]}), None, (20, 30)),
    "a sequence": (spatialdata(to("global", type="sequence", transformations=[SCALE, SCALE])), None, (4, 9)),
    "a diagonal affine": (spatialdata(to("global", **STRETCH)), None, (2, 3)),
    "with its last row": (
        spatialdata(to("global", type="affine", affine=[[1, 0, 0, 0], [0, 2, 1e-17, 7], [0, 0, 3, 9], [0, 0, 0, 1]])),
        None, (2, 3),
    ),
    "by names": (spatialdata(to("global", type="mapAxis", mapAxis={"c": "c", "y": "y", "x": "x"})), None, (1, 1)),
    "a turn that nobody asked for": (spatialdata(to("global", type="identity"), to("aligned", **TURN)), None, (1, 1)),
    "one after the other": (
        spatialdata(HIRES, {**to("fine", **SCALE), "input": {"name": "hires", "axes": AXES}}), "fine", (4, 9),
    ),
    "0.6": (rfc5(onward(**SCALE)), "world", (2, 3)),
    "0.6, the first": (rfc5(onward(**SCALE), names=FIRST_WORLD), None, (2, 3)),
    "0.6, the levels' own": (rfc5(onward(**SCALE)), None, (1, 1)),
    "0.6, affine": (rfc5(onward(**STRETCH), names=FIRST_WORLD), None, (2, 3)),
    "0.6, a turn by nothing": (rfc5(onward(type="rotation", rotation=np.eye(3).tolist()), names=FIRST_WORLD), None, (1, 1)),
    "0.6, byDimension": (
        rfc5(
            onward(
                type="byDimension",
                transformations=[
                    {"transformation": {"type": "scale", "scale": [3]}, "input_axes": [2], "output_axes": [2]},
                    {"transformation": {"type": "scale", "scale": [1, 2]}, "input_axes": [0, 1], "output_axes": [0, 1]},
                ],
            ),
            names=FIRST_WORLD,
        ),
        None, (2, 3),
    ),
    "0.6, byDimension of newer drafts": (
        rfc5(
            onward(
                type="byDimension",
                transformations=[{"transformation": STRETCH_PLANE, "inputAxes": [1, 2], "outputAxes": [1, 2]}],
            ),
            names=FIRST_WORLD,
        ),
        None, (2, 3),
    ),
    "0.6, byDimension of drafts": (
        rfc5(
            onward(
                type="byDimension",
                transformations=[
                    {"type": "scale", "scale": [2], "input": ["y"], "output": ["y"]},
                    {"type": "sequence", "transformations": [{"type": "scale", "scale": [3]}], "input": ["x"], "output": ["x"]},
                ],
            ),
            names=FIRST_WORLD,
        ),
        None, (2, 3),
    ),
    "0.6, axes change places": (
        rfc5(onward(type="mapAxis", mapAxis=[0, 2, 1]), onward("far", **SCALE), names=("world", "intrinsic", "far"),
             axes=[MICRONS[0], MICRONS[2], MICRONS[1]]),
        None, (1, 1),
    ),
    "0.6, there and back": (
        rfc5(onward(type="bijection", forward=SCALE, inverse={"type": "scale", "scale": [1, 0.5, 1 / 3]}), names=FIRST_WORLD),
        None, (2, 3),
    ),
    "0.6, global": (
        rfc5(onward(**SCALE), onward("global", type="identity"), names=("world", "intrinsic", "global")), None, (1, 1),
    ),
    "0.6, a way over another": (
        rfc5(onward(**SCALE), onward("far", **SCALE) | {"input": {"name": "world"}}, names=("intrinsic", "world", "far")),
        "far", (4, 9),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("attributes", "system", "size"), SHOWN.values(), ids=SHOWN)
def test_one_system_is_shown(attributes: dict[str, Any], system: str | None, size: tuple[float, float], store: Any) -> None:
    url = store(attributes)
    assert step_of(url, coordinate_system=system) == pytest.approx(size, rel=1e-15)
    assert step_of(url, coordinate_system=system, level=1) == pytest.approx((2 * size[0], 2 * size[1]), rel=1e-15)
    tree = xprep.open_tree(url, coordinate_system=system)
    assert float(tree["scale1/image"].x[1] - tree["scale1/image"].x[0]) == pytest.approx(2 * size[1])


def test_axes_and_units_are_those_of_the_system(store: Any) -> None:
    swapped = rfc5(
        onward(type="affine", affine=[[1, 0, 0, 0], [0, 0, 3, 1], [0, 2, 0, 5]]),
        names=FIRST_WORLD,
        axes=[MICRONS[0], {**MICRONS[2], "unit": "millimeter"}, MICRONS[1]],
    )
    image = xprep.open_image(store(swapped))
    assert image.dims == ("c", "y", "x")  # the array's second axis is the system's third
    assert (image.y.units, image.x.units) == ("micrometer", "millimeter")
    assert (image.y.values[:2].tolist(), image.x.values[:2].tolist()) == ([5, 7], [1, 4])
    assert xprep.open_image(store(spatialdata(to("global", type="identity"), axes=MICRONS))).y.units == "micrometer"
    unitless = [{**axis, "unit": "unit"} for axis in AXES]  # as SpatialData writes them
    assert "units" not in xprep.open_image(store(spatialdata(SCALE, axes=unitless))).y.attrs


UNSAID = {
    "a rotation or shear": TURN,
    "a flip": {"type": "affine", "affine": [[1, 0, 0, 0], [0, -1, 0, 5], [0, 0, 1, 0]]},
    "'affine' that is kept in an array": {"type": "affine", "path": "coordinateTransformations/m"},
    "'displacements'": {"type": "displacements", "path": "d"},
    "'affine' from 3 to 2 axes": {"type": "affine", "affine": [[1, 0, 0, 0], [0, 1, 0, 5]]},
    "'mapAxis'": {"type": "mapAxis", "mapAxis": {"c": "c", "y": "x", "x": "y"}},
}


@pytest.mark.parametrize(("says", "step"), UNSAID.items(), ids=UNSAID)
@pytest.mark.parametrize("version", ["0.4", "0.6"])
def test_what_axes_cannot_say_is_warned_of_by_name(says: str, step: dict[str, Any], version: str, store: Any) -> None:
    asked, own = (to("global", **step), to("plain", **SCALE)), (onward(**step), onward("plain", **SCALE))
    url = store(spatialdata(*asked) if version == "0.4" else rfc5(*own, names=("world", "intrinsic", "plain")))
    name = "global" if version == "0.4" else "world"
    with pytest.warns(xprep.StoreFormatWarning, match=f"{says}.* leads to the coordinate system '{name}'"):
        assert step_of(url) == (1, 1)
    assert step_of(url, coordinate_system="plain") == (2, 3)
    with pytest.raises(xprep.StoreFormatError, match=f"{says}.*'{name}'.*Open another one of .*'plain'"):
        xprep.open_image(url, coordinate_system=name)
    said = CliRunner().invoke(app, ["info", url]).output
    assert says in said


def test_systems_are_listed_and_unknown_ones_refused(store: Any) -> None:
    url = store(spatialdata(SAMPLE, HIRES, LOWRES))
    with pytest.raises(KeyError, match=r"no coordinate system 'global'; it has \['sample', 'hires', 'lowres'\]"):
        xprep.open_image(url, coordinate_system="global")
    said = CliRunner().invoke(app, ["info", url]).output
    assert "coordinate systems  sample (shown), hires, lowres" in said
    plain = store(spatialdata(SCALE))
    with pytest.raises(KeyError, match=r"no coordinate system 'sample'; it has \[\]"):
        xprep.open_tree(plain, coordinate_system="sample")


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (spatialdata(HIRES, SCALE), "some name the coordinate system that they lead to, and some do not"),
        (spatialdata(HIRES, to("hires", type="identity")), "several transformations lead to the coordinate system 'hires'"),
        (spatialdata(to("global", type="scale", scale=[1, 2])), "a list of 3 numbers"),
        (
            rfc5(onward(type="byDimension", transformations=[{**SCALE, "input_axes": [0, 7, 1], "output_axes": [0, 1, 2]}]),
                 names=FIRST_WORLD),
            "must name axes of",
        ),
        (
            rfc5(onward(type="byDimension", transformations=[{"type": "identity", "input_axes": [1], "output_axes": [1]}] * 2),
                 names=FIRST_WORLD),
            "gives an axis that another one gives too",
        ),
    ],
)  # fmt: skip
def test_what_could_be_understood_in_two_ways_is_refused(attributes: dict[str, Any], says: str, store: Any) -> None:
    with pytest.raises(xprep.StoreFormatError, match=says):
        xprep.open_image(store(attributes))


NAMED: dict[str, tuple[list[dict[str, str]], tuple[str, ...]]] = {
    "types say it": ([{"name": "channel", "type": "channel"}, {"name": "row", "type": "space"}, AXES[2]], ("c", "row", "x")),
    "capitals": ([{**axis, "name": axis["name"].upper()} for axis in AXES], ("c", "y", "x")),
    "a time": ([{"name": "frame", "type": "time"}, AXES[1], AXES[2]], ("t", "y", "x")),
    "no types": ([{"name": "C"}, {"name": "Y"}, {"name": "X"}], ("C", "Y", "X")),
    "another order": ([AXES[2], AXES[0], AXES[1]], ("x", "c", "y")),
    "both": ([{"name": "c", "type": "channel"}, {"name": "lane", "type": "channel"}, AXES[2]], ("c", "lane", "x")),
    "lower case is taken": ([AXES[0], {"name": "X", "type": "space"}, AXES[2]], ("c", "X", "x")),
}


@pytest.mark.parametrize(("axes", "dims"), NAMED.values(), ids=NAMED)
def test_axes_have_our_names_where_their_types_say_so(axes: list[dict[str, str]], dims: tuple[str, ...], store: Any) -> None:
    url = store(spatialdata(SCALE, axes=axes))
    assert xprep.open_image(url).dims == dims
    assert dims[2] in xprep.open_image(url, level={dims[2]: 100.0}).coords


def test_channels_that_metadata_count_otherwise(store: Any) -> None:
    attributes = spatialdata(SCALE)
    attributes["omero"] = {"channels": [{"label": "a"}, {"label": "b"}]}
    url = store(attributes)
    with pytest.warns(xprep.StoreFormatWarning, match=r"has 1 channels, and the metadata \(omero\) name 2"):
        assert "c" not in xprep.open_image(url).coords
