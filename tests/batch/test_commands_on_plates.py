"""`xprep convert` and `xprep fit` of what holds several images: a plate stays one, and all fields are fields of view."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr
from typer.testing import CliRunner, Result

import xprep
from tests.helpers.crashes import objects
from tests.helpers.plates import (
    absent_field,
    absent_well,
    assert_listed_are_whole,
    attributes_of,
    field_image,
    fields_of,
    torn_chunk,
    torn_metadata,
    write_plate,
    write_series,
)
from xprep.batch import RecipeError
from xprep.cli.app import app
from xprep.io.ome.groups import list_images, list_labels, read_group
from xprep.io.store.places import open_store

ALL = [f"{well}/{n}" for well in ("A/1", "A/2", "B/1") for n in (0, 1)]


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "400"})


def paths_in(root: Path) -> list[str]:
    group = read_group(open_store(root))
    assert group is not None
    return [entry.path for entry in list_images(group)]


def labels_in(root: Path) -> list[str]:
    group = read_group(open_store(root))
    assert group is not None
    return list_labels(group)


def assert_copies(target: Path, source: Path, paths: list[str]) -> None:
    """The images at ``paths`` are those of ``source``, to the pixel, with names, channels, coordinates and labels."""
    for path in paths:
        xr.testing.assert_identical(xprep.open_image(target / path), xprep.open_image(source / path))
        assert labels_in(target / path) == labels_in(source / path)
        for name in labels_in(source / path):
            copied, label = (xprep.open_image(root / path, label=name) for root in (target, source))
            xr.testing.assert_identical(copied, label)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate of three wells, all of it there."""
    return write_plate(tmp_path_factory.mktemp("screen") / "p.zarr", labels=True)


# What holds several images, and where in it what is copied lies.
HOLDERS: dict[str, Callable[[Path], Path]] = {
    "plate": lambda root: write_plate(root / "p.zarr", labels=True),
    "plate 0.4": lambda root: write_plate(root / "p.zarr", ("A/1", "C/12"), version="0.4"),
    "plate of one field": lambda root: write_plate(root / "p.zarr", ("B/3",), 1, labels=True),
    "well": lambda root: write_plate(root / "p.zarr", labels=True) / "A/2",
    "series": lambda root: write_series(root / "s.zarr"),
    "series that nothing lists": lambda root: write_series(root / "s.zarr", listed=False),
    "one series": lambda root: write_series(root / "s.zarr", ("0",)),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_holds_images_is_copied_as_one(tmp_path: Path, holder: str) -> None:
    held, target = HOLDERS[holder](tmp_path), tmp_path / "o.zarr"
    done = command("convert", held, target)
    assert done.exit_code == 0, done.output
    paths = paths_in(held)
    assert f"{len(paths)} written" in done.output
    assert paths_in(target) == paths
    for key in ("plate", "well", "series"):
        found, before = (attributes_of(root).get(key) for root in (target, held))
        dropped = {"version"} if isinstance(before, dict) else ()
        assert found == ({k: v for k, v in before.items() if k not in dropped} if isinstance(before, dict) else before)
    assert_copies(target, held, paths)
    assert xprep.validate(target).is_valid
    assert xprep.verify(target).is_whole


# How a plate is damaged, what is whole then, what fit says of it: it goes on without what is not there, and with a word.
DAMAGES: dict[str, tuple[Callable[[Path], None], list[str], int, str]] = {
    "absent field": (absent_field, [path for path in ALL if path != "A/2/1"], 0, "warning: .*lists 'A/2/1', where no image is"),
    "absent well": (absent_well, [path for path in ALL if path[:3] != "A/2"], 0, "warning: .*lists 'A/2', where no image is"),
    "torn chunk": (torn_chunk, [path for path in ALL if path != "A/2/1"], 1, "error: .*A/2/1"),
    "torn metadata": (torn_metadata, [path for path in ALL if path != "A/2/1"], 2, "error: .*A/2/1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_copied_fails_alone(tmp_path: Path, source: Path, damage: str) -> None:
    plate, target = tmp_path / "p.zarr", tmp_path / "o.zarr"
    shutil.copytree(source, plate)
    DAMAGES[damage][0](plate)
    assert command("convert", plate, target).exit_code == 1
    assert assert_listed_are_whole(target) == DAMAGES[damage][1]
    assert xprep.validate(target).is_valid
    shutil.rmtree(plate)
    shutil.copytree(source, plate)
    # Of a chunk that was changed since, what was made before does not count: that field is written anew, and no other.
    again = command("convert", plate, target, "--resume", *(["--overwrite"] if damage == "torn chunk" else []))
    assert again.exit_code == 0, again.output
    assert f"{len(DAMAGES[damage][1])} finished before" in again.output
    assert_copies(target, plate, ALL)


@pytest.mark.filterwarnings("always::xprep.StoreFormatWarning")  # the command prints it
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_fitted(tmp_path: Path, source: Path, damage: str) -> None:
    hurt, whole, code, words = DAMAGES[damage]
    plate = tmp_path / "p.zarr"
    shutil.copytree(source, plate)
    hurt(plate)
    done = command("fit", plate, "-o", tmp_path / "f.json", "--sigma", 1)
    assert done.exit_code == code, done.output
    assert re.search(words, done.output), done.output
    assert (tmp_path / "f.json").exists() == (code == 0)
    if code == 0:
        fitted = xprep.open_image(plate / whole[0])  # the statistics are those of what is there
        tree = xr.DataTree.from_dict({path: xprep.open_image(plate / path).to_dataset(name="i") for path in whole})
        wanted = fitted.prep.normalize(statistics=tree.prep.fit_normalize(sigma=1).compute())
        assert command("normalize", plate / whole[0], tmp_path / "n.zarr", "--statistics", tmp_path / "f.json").exit_code == 0
        np.testing.assert_array_equal(xprep.open_image(tmp_path / "n.zarr").values, wanted.values)


class Ends(BaseException):
    """Ends a run as a kill does: nothing of it is caught."""


class Listener:
    """Does something when a stage of a run has finished, or an image."""

    def __init__(self, stage: Callable[[str], None] = lambda stage: None, image: Callable[[int], None] = lambda n: None) -> None:
        self.finished, self._image = stage, image

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None: ...

    def ended(self, outcome: Any, number: int, total: int) -> None:
        self._image(number)


def test_a_copy_that_was_ended_goes_on(source: Path, tmp_path: Path) -> None:
    recipe = {"inputs": [str(source)], "steps": ["convert"], "output": f"{tmp_path}/o.zarr"}

    def end(number: int) -> None:
        if number == 3:
            raise Ends

    with pytest.raises(Ends):
        xprep.run(recipe, progress=Listener(image=end))
    assert assert_listed_are_whole(tmp_path / "o.zarr") == ALL[:2]
    again = xprep.run(recipe, progress=False, resume=True)
    assert [one.state for one in again.outcomes] == ["finished before"] * 3 + ["written"] * 3
    assert command("convert", source, tmp_path / "whole.zarr").exit_code == 0
    assert objects(tmp_path / "o.zarr") == objects(tmp_path / "whole.zarr")


@pytest.mark.parametrize("loose", [False, True])
def test_a_copy_is_compared_before_it_is_called_done(source: Path, tmp_path: Path, loose: bool) -> None:
    """What is hurt between its writing and its comparison is told, and a plate does not list it."""
    target, hurt = tmp_path / ("out" if loose else "o.zarr"), []

    def hurt_one(stage: str) -> None:
        chunks = [path for path in target.rglob("scale0/image/c/1/0/0") if "A/2/1" in str(path) or "A_2_1" in str(path)]
        if stage.endswith("writing") and chunks and not hurt:
            data = bytearray(chunks[0].read_bytes())
            data[len(data) // 2] ^= 1
            chunks[0].write_bytes(data)
            hurt.append(chunks[0])

    recipe = {"inputs": [str(source)], "steps": ["convert"], "output": str(target)}
    found = xprep.run(recipe, progress=Listener(stage=hurt_one))
    assert [one.state for one in found.outcomes] == ["written"] * 3 + ["failed"] + ["written"] * 2
    assert hurt
    if not loose:
        assert fields_of(target) == [path for path in ALL if path != "A/2/1"]


@pytest.mark.parametrize("steps", ["convert", ["convert"], [{"convert": None}], [{"convert": {}}]])
def test_a_recipe_that_copies_loose_images_keeps_labels(source: Path, tmp_path: Path, steps: Any) -> None:
    recipe = {"inputs": [f"{source}/A/1/0", f"{source}/B/1/1"], "steps": steps, "output": f"{tmp_path}/{{index}}.zarr"}
    found = xprep.run(recipe, progress=False)
    assert found.ok, found
    for index, path in enumerate(("A/1/0", "B/1/1")):
        xr.testing.assert_identical(xprep.open_image(tmp_path / f"{index}.zarr"), xprep.open_image(source / path))
        assert labels_in(tmp_path / f"{index}.zarr") == ["cells"]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"steps": ["convert", {"gaussian_filter": {"sigma": 1}}]}, "steps: convert is a plain copy and stands alone"),
        ({"steps": ["convert", "convert"]}, "stands alone"),
        ({"steps": [{"convert": {"dtype": "uint8"}}]}, "dtype"),
        ({"steps": ["Convert"]}, "did you mean 'convert'"),
        ({"steps": []}, "no step; a plain copy is the step convert"),
        ({"steps": ["convert"], "statistics": "f.json"}, "statistics"),
    ],
)
def test_copies_that_are_refused(source: Path, tmp_path: Path, recipe: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        xprep.run({"inputs": [str(source)], "output": f"{tmp_path}/o.zarr", **recipe}, progress=False)
    assert not (tmp_path / "o.zarr").exists()


def test_several_inputs_of_one_copy(source: Path, tmp_path: Path) -> None:
    field_image(4).prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    done = command("convert", source, tmp_path / "a.zarr", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert fields_of(tmp_path / "out/p.ome.zarr") == ALL
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "out/a.ome.zarr").values, field_image(4).values)


def test_a_file_of_several_series_is_copied_one_by_one(tmp_path: Path) -> None:
    """Without ``--series`` it is refused with the list, and nothing is written; to `fit`, they are fields of view."""
    file, target, planes = tmp_path / "m.ome.tif", tmp_path / "o.zarr", [np.full((2, 32, 32), n, "uint16") for n in (3, 5)]
    with tifffile.TiffWriter(file, ome=True) as writer:
        for n, plane in enumerate(planes):
            writer.write(plane, metadata={"axes": "CYX", "Name": f"scene {n}"}, tile=(16, 16))
    refused = command("convert", file, target)
    assert refused.exit_code == 2
    assert "0 ('scene 0'), 1 ('scene 1')" in " ".join(refused.output.split())
    assert not target.exists()
    assert command("convert", file, target, "--series", "scene 1").exit_code == 0
    np.testing.assert_array_equal(xprep.open_image(target).values, planes[1])
    assert fitted_images(file, to=tmp_path / "f.json").sizes["image"] == 2


# A command that names one image of several, and what is made; or, where it is refused, what is said.
ONE_OF_SEVERAL: list[tuple[str, tuple[str, ...], str]] = [
    ("convert", ("--series", "1"), ""),
    ("normalize", ("--series", "1", "--sigma", "1"), ""),
    ("normalize", ("--series", "1", "--sigma", "1", "--share", "each"), ""),
    ("convert", ("--series", "7"), "no series 7"),
    ("normalize", ("--series", "7", "--share", "each"), "no series 7"),
    ("convert", ("--dims", "yx"), "names its dims"),
    ("normalize", ("--dims", "yx"), "names its dims"),
    ("normalize", ("--dims", "yx", "--share", "each"), "names its dims"),
]


@pytest.mark.parametrize(("name", "options", "words"), ONE_OF_SEVERAL)
def test_one_image_of_several(tmp_path: Path, name: str, options: tuple[str, ...], words: str) -> None:
    """An option that says which image is meant is never passed over."""
    held, target = write_series(tmp_path / "s.zarr"), tmp_path / "o.zarr"
    done = command(name, held, target, *options)
    if words:
        assert done.exit_code in (1, 2), done.output
        assert words in done.output
        assert not target.exists()
        return
    assert done.exit_code == 0, done.output
    one = xprep.open_image(held, series=1)
    wanted = one if name == "convert" else one.prep.normalize(sigma=1)
    np.testing.assert_array_equal(xprep.open_image(target).values, wanted.values)


def fitted_images(*urls: Any, to: Path, options: tuple[str, ...] = ()) -> xr.Dataset:
    done = command("fit", *urls, "-o", to, "--sigma", 1, *options)
    assert done.exit_code == 0, done.output
    from xprep.io.dataset_files import read_dataset

    return read_dataset(str(to), {})


@pytest.mark.parametrize("holder", HOLDERS)
def test_all_fields_are_fields_of_view(tmp_path: Path, holder: str) -> None:
    held = HOLDERS[holder](tmp_path)
    found, paths = fitted_images(held, to=tmp_path / "f.json"), paths_in(held)
    images = {path: xprep.open_image(held / path).to_dataset(name="i") for path in paths}
    wanted = xr.DataTree.from_dict(images).prep.fit_normalize(sigma=1).compute()
    assert found.sizes["image"] == len(paths)
    if len(paths) > 1:
        assert [str(name).removesuffix(" image").strip("/") for name in found["image"].values] == paths
    for name in ("p", "p_sum", "p_post", "image_p"):
        np.testing.assert_array_equal(found[name].values, wanted[name].values)


def test_a_plate_beside_an_image_is_fitted_with_it(source: Path, tmp_path: Path) -> None:
    field_image(4).prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    found = fitted_images(source, tmp_path / "a.zarr", to=tmp_path / "f.json")
    names = [str(name).removesuffix(" image").strip("/") for name in found["image"].values]
    assert sorted(names) == ["a", *(f"p/{path}" for path in ALL)]


def test_a_series_is_fitted_alone(tmp_path: Path) -> None:
    held = write_series(tmp_path / "s.zarr")
    assert fitted_images(held, to=tmp_path / "f.json", options=("--series", "1")).sizes["image"] == 1
