"""Stores that hold several images, looked at: SpatialData objects and plates, element by element and field by field."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import xprep
from tests.plates import field_image, write_object, write_plate
from xprep.batch import RecipeError, status
from xprep.cli.app import app
from xprep.images import describe_store

BLUR = {"gaussian_filter": {"sigma": 1}}


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SpatialData object of two images."""
    return write_object(tmp_path_factory.mktemp("object") / "s.zarr")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(tmp_path_factory.mktemp("plate") / "p.zarr", ("A/1", "B/2"), 2, absent=["B/2/1"], labels=True)


def test_info_of_an_object(holder: Path) -> None:
    found = describe_store(holder)
    assert found.kind == "OME-Zarr 0.5 SpatialData object of 2 images"
    assert [(one.path, one.shape, one.systems) for one in found.members] == [
        ("images/flat", (2, 16, 16), ("global",)),
        ("images/turned", (2, 16, 24), ("global", "stage")),
    ]
    assert found.members[0].channels == ("DAPI", "CD3")
    assert found.others == ("labels/cells", "points/spots")
    shown = command("info", holder).output
    assert "images/turned  c,y,x 2×16×24  uint16  1       DAPI, CD3  global, stage" in shown
    assert "others  labels/cells  points/spots" in shown


def test_info_of_a_plate(plate: Path) -> None:
    found = describe_store(plate)
    assert [one.path for one in found.members] == ["A/1/0", "A/1/1", "B/2/0", "B/2/1"]
    assert found.members[0].labels == ("cells",)
    assert found.members[3].about == "not there"
    assert "B/2/1  -" in command("info", plate).output


def test_info_tells_an_image_that_cannot_be_opened(tmp_path: Path) -> None:
    root = write_plate(tmp_path / "p.zarr", ("A/1",), 2)
    (root / "A/1/1/scale0/image/zarr.json").write_text("{}")
    assert "A/1/1/scale0/image: shape must be" in describe_store(root).members[1].about


def test_objects_are_opened_as_fields(holder: Path) -> None:
    tree = xprep.open_tree(holder)
    assert list(tree["images"].children) == ["flat", "turned"]
    np.testing.assert_array_equal(tree["images/flat/scale0/image"].values, field_image(0).values)
    assert tree["images/flat/scale0/image"].x.values[1] == 0.5
    normalized = tree.prep.normalize(sigma=1)
    assert normalized["images/turned/scale0/image"].shape == (2, 16, 24)
    with pytest.raises(xprep.StoreFormatError, match=r"a SpatialData object of 2 images: images/flat, images/turned. Open one"):
        xprep.open_image(holder)


def test_objects_are_validated_element_by_element(holder: Path, tmp_path: Path) -> None:
    found = xprep.validate(holder)
    assert found.is_valid, found
    assert {one.where.partition("/0")[0] for one in found.findings} == {"images/flat", "images/turned", "labels/cells"}
    other = write_object(tmp_path / "s.zarr")
    (other / "images/turned/0/c/0/0/0").unlink()
    wrong = {one.where for one in xprep.validate(other).findings if one.state in ("failed", "warning") and one.what == "chunks"}
    assert wrong == {"images/turned/0"}


def test_objects_are_verified_as_far_as_xprep_wrote_them(holder: Path, tmp_path: Path) -> None:
    with pytest.raises(xprep.StoreFormatError, match="xprep did not write it"):
        xprep.verify(holder)
    other = write_object(tmp_path / "s.zarr")
    field_image(5).prep.to_ome_zarr(other / "images/new", layout="flat", scale_factors=())
    assert xprep.verify(other).is_whole
    chunk = other / "images/new/0/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert [one.key for one in xprep.verify(other).damaged] == ["images/new/0/c/1/0/0"]


def test_a_recipe_over_an_object_and_a_plate(holder: Path, plate: Path, tmp_path: Path) -> None:
    """Planned, run, gone on with: an image each, and what is not there fails alone."""
    recipe = {"inputs": [str(holder), str(plate)], "steps": [BLUR], "output": f"{tmp_path}/out", "statistics": "well"}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    planned = command("plan", tmp_path / "recipe.yaml")
    assert planned.exit_code == 1, "a field would fail"
    assert "6 images in 5 runs, 1 would fail" in planned.output, planned.output
    found = xprep.run(recipe, progress=False)
    assert [one.state for one in found.outcomes] == ["written"] * 5 + ["failed"]
    assert [one.state for one in status(recipe)] == ["finished"] * 5 + ["not begun"]
    again = xprep.run(recipe, progress=False, resume=True)
    assert [one.state for one in again.outcomes] == ["finished before"] * 5 + ["failed"]
    blurred = xprep.open_image(tmp_path / "out/s_images_turned.ome.zarr").values
    np.testing.assert_array_equal(blurred, xprep.open_image(holder / "images/turned").prep.gaussian_filter(sigma=1).values)


def test_an_object_stays_no_object_by_a_command(holder: Path, tmp_path: Path) -> None:
    done = command("normalize", holder, tmp_path / "o.zarr")
    assert done.exit_code == 2
    assert "xprep.spatialdata" in done.output + done.stderr
    assert not (tmp_path / "o.zarr").exists()
    with pytest.raises(RecipeError, match="the input would be lost"):
        xprep.run({"inputs": [str(holder)], "steps": [BLUR], "output": f"{holder}/images/{{name}}"}, progress=False)


@pytest.mark.skipif(find_spec("spatialdata") is not None, reason="spatialdata is installed; without it, its extra is named")
def test_without_the_library_its_extra_is_named() -> None:
    for operation, more in ((xprep.spatialdata.normalize, ()), (xprep.spatialdata.gaussian_filter, (1,))):
        with pytest.raises(ImportError, match=r"xprep\[spatialdata\]"):
            operation(object(), "a", "b", *more)
