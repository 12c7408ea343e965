"""A plate in, a plate out: wells, fields, acquisitions and labels stay; what fails or is not there is not listed."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

import xprep
from tests.helpers.crashes import objects
from tests.helpers.plates import (
    ACQUISITIONS,
    absent_field,
    absent_well,
    assert_listed_are_whole,
    attributes_of,
    field_image,
    fields_of,
    torn_chunk,
    torn_metadata,
    write_group,
    write_plate,
    write_series,
)
from tests.helpers.servers import Server
from xprep.batch import BatchReport, RecipeError, find_tasks, group_tasks, load_recipe
from xprep.batch.turns import in_turns
from xprep.cli.app import app
from xprep.io.commit.collections import completed
from xprep.io.ome.groups import list_images, list_labels, read_group
from xprep.io.store.places import Place, open_store

BLUR = {"gaussian_filter": {"sigma": 1}}
ALL = [f"{well}/{n}" for well in ("A/1", "A/2", "B/1") for n in (0, 1)]


def run(source: Any, target: Any, *steps: Any, **more: Any) -> BatchReport:
    how = {key: more.pop(key) for key in ("resume", "overwrite") if key in more}
    recipe = {"inputs": [str(source)], "steps": list(steps or (BLUR,)), "output": str(target), **more}
    return xprep.run(recipe, progress=False, **how)


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def alone(source: Path, path: str, **parameters: Any) -> np.ndarray:
    """Return what a field gives by itself."""
    image = xprep.open_image(source / path)
    return (image.prep.normalize(**parameters) if parameters else image.prep.gaussian_filter(sigma=1)).values


def assert_equal(target: Path, source: Path, paths: list[str], **parameters: Any) -> None:
    for path in paths:
        np.testing.assert_array_equal(xprep.open_image(target / path).values, alone(source, path, **parameters))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate of three wells, all of it there."""
    return write_plate(tmp_path_factory.mktemp("screen") / "p.zarr", labels=True)


def test_a_plate_stays_a_plate(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.zarr"
    assert run(source, target).ok
    assert_equal(target, source, ALL)
    found, before = attributes_of(target), attributes_of(source)
    assert found["plate"] == before["plate"]
    assert found["note"] == before["note"], "attributes of others stay"
    assert found["xprep"]["status"] == "finished"
    for well in ("A/1", "A/2", "B/1"):
        assert attributes_of(target / well) == attributes_of(source / well)
    assert found["plate"]["acquisitions"] == ACQUISITIONS
    assert xprep.validate(target).is_valid
    assert xprep.verify(target).is_whole
    assert [image.name for image in map(xprep.open_image, (target / path for path in ALL))] == [f"field {n}" for n in range(6)]


@pytest.mark.parametrize(("of", "to"), [("0.4", "0.5"), ("0.5", "0.4"), ("0.5", "0.6"), ("0.6", "0.5")])
def test_every_version_to_every_version(tmp_path: Path, of: str, to: str) -> None:
    plate = write_plate(tmp_path / "p.zarr", ("A/1", "B/2"), 1, version=of)
    assert run(plate, tmp_path / "o.zarr", store={"version": to, "scale_factors": []}).ok
    assert xprep.validate(tmp_path / "o.zarr").is_valid
    assert fields_of(tmp_path / "o.zarr") == ["A/1/0", "B/2/0"]
    found = attributes_of(tmp_path / "o.zarr")["plate"]
    assert {key: one for key, one in found.items() if key != "version"} == {
        key: one for key, one in attributes_of(plate)["plate"].items() if key != "version"
    }


STEPS: list[dict[str, Any]] = [
    {"normalize": {"p": 99, "sigma": 1}},
    BLUR,
    {"subtract_background": {"radius": 3}},
    {"mask": {"rois": "cells"}},
    {"rescale": {"factors": {"y": 2, "x": 2}}},
    {"to_isotropic": {"size": 1.0}},
    {"project": {"dim": "c"}},
]


@pytest.mark.parametrize("step", STEPS, ids=[next(iter(step)) for step in STEPS])
def test_labels_go_through_the_steps(tmp_path: Path, source: Path, step: dict[str, Any]) -> None:
    shared = next(iter(step)) in ("normalize", "mask", "rescale")
    found = run(source / "A/1", tmp_path / "o.zarr", step, statistics="plate" if shared else "each")
    assert found.ok, found
    ((name, parameters),) = step.items()
    image, cells = xprep.open_image(source / "A/1/1"), xprep.open_image(source / "A/1/1", label="cells")
    below = cells.drop_vars(["y", "x"]).to_dataset(name="i")
    both = xr.DataTree.from_dict({"/": image.to_dataset(name="i"), "labels/cells": below})
    group = read_group(open_store(tmp_path / "o.zarr/1"))
    assert group is not None
    assert list_labels(group) == ["cells"]
    if name != "mask":
        wanted = getattr(both.prep, name)(**parameters)["labels/cells/i"]
        stored = xprep.open_image(tmp_path / "o.zarr/1", label="cells")
        np.testing.assert_array_equal(stored.values, wanted.values)
    assert xprep.validate(tmp_path / "o.zarr").is_valid


def test_labels_of_a_volume_are_none_of_its_projection(tmp_path: Path) -> None:
    image = field_image(0).expand_dims(z=3).transpose("c", "z", "y", "x")
    cells = (image[0] > 400).astype("uint8").drop_vars("c")
    image.prep.to_ome_zarr(tmp_path / "p.zarr/A/1/0", labels={"cells": cells}, scale_factors=())
    write_group(tmp_path / "p.zarr/A/1", {"well": {"images": [{"path": "0"}]}}, "0.5")
    write_group(tmp_path / "p.zarr", {"plate": {"wells": [{"path": "A/1"}]}}, "0.5")
    assert run(tmp_path / "p.zarr", tmp_path / "o.zarr", {"project": {"dim": "z"}}).ok
    group = read_group(open_store(tmp_path / "o.zarr/A/1/0"))
    assert group is not None
    assert list_labels(group) == []


def test_labels_that_do_not_lie_on_their_field_are_left_out_with_a_word(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p.zarr", ("A/1",), 1, labels=True)
    other = field_image(0).isel(c=0, drop=True)
    other.assign_coords(y=other.y * 1.7).prep.to_ome_zarr(tmp_path / "other.zarr", scale_factors=())
    shutil.rmtree(plate / "A/1/0/labels/cells")
    shutil.copytree(tmp_path / "other.zarr", plate / "A/1/0/labels/cells")
    with pytest.warns(xprep.StoreFormatWarning, match="A/1/0: .*cells.*The result is without these labels"):
        assert run(plate, tmp_path / "o.zarr").ok
    assert xprep.validate(tmp_path / "o.zarr").is_valid


def absent_row(root: Path) -> None:
    shutil.rmtree(root / "B")


def unfinished(root: Path) -> None:
    path = root / "A/2/1/zarr.json"
    path.write_text(path.read_text().replace('"finished"', '"writing"'))


# How a plate is damaged, what is whole then, whether what fails is not there at all.
DAMAGES: list[tuple[Callable[[Path], None], list[str], bool]] = [
    (absent_field, [path for path in ALL if path != "A/2/1"], True),
    (absent_well, [path for path in ALL if not path.startswith("A/2")], True),
    (absent_row, [path for path in ALL if not path.startswith("B")], True),
    (torn_chunk, [path for path in ALL if path != "A/2/1"], False),
    (torn_metadata, [path for path in ALL if path != "A/2/1"], False),
    (unfinished, [path for path in ALL if path != "A/2/1"], False),
]


@pytest.mark.parametrize(("damage", "whole", "absent"), DAMAGES, ids=[one[0].__name__ for one in DAMAGES])
def test_what_fails_fails_alone_and_is_not_listed(
    tmp_path: Path, damage: Callable[[Path], None], whole: list[str], absent: bool
) -> None:
    plate, target = write_plate(tmp_path / "p.zarr"), tmp_path / "o.zarr"
    shutil.copytree(plate, tmp_path / "good.zarr")
    damage(plate)
    found = run(plate, target)
    assert not found.ok
    assert assert_listed_are_whole(target) == whole
    assert attributes_of(target)["xprep"]["status"] == "finished"
    assert xprep.validate(target).is_valid
    assert {one.path for one in xprep.open_tree(target).subtree if "image" in one.data_vars} == {f"/{p}/scale0" for p in whole}
    assert sum(one.state == "failed" for one in found.outcomes) == (1 if len(whole) == 4 else 6 - len(whole))
    # Shared statistics: what is not there fails alone, too; what is there and cannot be read would change those of the others.
    shared = run(plate, tmp_path / "s.zarr", statistics="plate")
    assert [one.state for one in shared.outcomes].count("written") == (len(whole) if absent else 0)
    if not absent and (tmp_path / "s.zarr").exists():
        assert attributes_of(tmp_path / "s.zarr")["xprep"]["status"] == "writing"
    # Mended, only what has no result is made.
    shutil.rmtree(plate)
    shutil.copytree(tmp_path / "good.zarr", plate)
    before = {path: (target / path / "zarr.json").stat().st_mtime_ns for path in whole}
    again = run(plate, target, resume=True)
    assert again.ok, again
    assert {path: (target / path / "zarr.json").stat().st_mtime_ns for path in whole} == before
    assert assert_listed_are_whole(target) == ALL
    assert_equal(target, plate, ALL)


# What is shared, and the paths of the experiments that follow.
SHARED: dict[str, list[list[str]]] = {
    "each": [[path] for path in ALL],
    "well": [ALL[:2], ALL[2:4], ALL[4:]],
    "folder": [ALL[:2], ALL[2:4], ALL[4:]],
    "plate": [ALL],
    "all": [ALL],
}


@pytest.mark.parametrize("sharing", SHARED)
def test_statistics_are_shared_as_asked(source: Path, tmp_path: Path, sharing: str) -> None:
    assert run(source, tmp_path / "o.zarr", {"normalize": {"sigma": 1}}, statistics=sharing).ok
    for paths in SHARED[sharing]:
        images = {path: xprep.open_image(source / path).to_dataset(name="i") for path in paths}
        wanted = xr.DataTree.from_dict(images).prep.normalize(sigma=1) if len(paths) > 1 else None
        for path in paths:
            values = alone(source, path, sigma=1) if wanted is None else wanted[f"{path}/i"].values
            np.testing.assert_array_equal(xprep.open_image(tmp_path / "o.zarr" / path).values, values)


def test_sharing_by_plates_needs_a_plate(tmp_path: Path) -> None:
    field_image(0).prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    for sharing in ("well", "plate"):
        with pytest.raises(RecipeError, match=f"statistics: {sharing}: no input is a plate"):
            run(tmp_path / "a.zarr", tmp_path / "o.zarr", statistics=sharing)


def test_an_image_beside_a_plate_is_its_own(source: Path, tmp_path: Path) -> None:
    """Loose results, as of any two inputs."""
    field_image(0).prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=())
    recipe = {"inputs": [str(source), f"{tmp_path}/a.zarr"], "steps": [BLUR], "output": f"{tmp_path}/out", "statistics": "well"}
    assert xprep.run(recipe, progress=False).ok
    assert sorted(os.listdir(tmp_path / "out")) == sorted(["a.ome.zarr", *(f"p_{p.replace('/', '_')}.ome.zarr" for p in ALL)])


@pytest.mark.parametrize("output", ["{name}.zarr", "out", "out/{index}.zarr"])
def test_other_outputs_stay_loose_images(source: Path, tmp_path: Path, output: str) -> None:
    assert run(source, tmp_path / output).ok
    assert len(list(tmp_path.rglob("scale0/image/zarr.json"))) == len(ALL)
    assert not list(tmp_path.rglob("A"))


@pytest.mark.parametrize("listed", [True, False])
def test_series_stay_series(tmp_path: Path, listed: bool) -> None:
    file, target = write_series(tmp_path / "f.zarr", listed=listed), tmp_path / "o.zarr"
    assert run(file, target).ok
    assert attributes_of(target / "OME")["series"] == ["0", "1", "2"]
    assert attributes_of(target)["bioformats2raw.layout"] == 3
    assert_equal(target, file, ["0", "1", "2"])
    assert xprep.validate(target).is_valid
    group = read_group(open_store(target))
    assert group is not None
    assert [entry.path for entry in list_images(group)] == ["0", "1", "2"]


def test_a_series_that_is_not_there_is_not_listed(tmp_path: Path) -> None:
    file = write_series(tmp_path / "f.zarr", absent=["1"])
    assert not run(file, tmp_path / "o.zarr").ok
    assert attributes_of(tmp_path / "o.zarr/OME")["series"] == ["0", "2"]
    assert xprep.validate(tmp_path / "o.zarr").is_valid


def test_a_well_stays_a_well(source: Path, tmp_path: Path) -> None:
    assert run(source / "A/2", tmp_path / "o.zarr").ok
    assert attributes_of(tmp_path / "o.zarr")["well"] == attributes_of(source / "A/2")["well"]
    assert_equal(tmp_path / "o.zarr", source / "A/2", ["0", "1"])


def test_a_plate_of_a_draft_gets_what_it_lacks(tmp_path: Path) -> None:
    wells = [{"path": path} for path in ("A/1", "B/2")]
    plate = write_plate(tmp_path / "p.zarr", ("A/1", "B/2"), 1, wells=wells, rows=None, columns=None)
    assert run(plate, tmp_path / "o.zarr").ok
    assert xprep.validate(tmp_path / "o.zarr").is_valid


@pytest.mark.parametrize(
    ("given", "rows", "indices"),
    [
        ({"wells": [{"path": "B/2"}, {"path": "B/10"}]}, ["B"], [(0, 0), (0, 1)]),
        ({"wells": [{"path": "B/2"}], "rows": [{"name": "A"}, {"name": "B"}]}, ["A", "B"], [(1, 0)]),
        ({"wells": [{"path": "B/2", "rowIndex": 4, "columnIndex": 5}]}, ["B"], [(4, 5)]),
        ({"wells": [{"path": "AA/1"}, {"path": "B/1"}], "rows": []}, ["B", "AA"], [(1, 0), (0, 0)]),
    ],
)
def test_completed_plates(given: dict[str, Any], rows: list[str], indices: list[tuple[int, int]]) -> None:
    found = completed(given)
    assert [row["name"] for row in found["rows"]] == rows
    assert [(well["rowIndex"], well["columnIndex"]) for well in found["wells"]] == indices


class Until:
    """Ends a run when it has told of some images."""

    def __init__(self, count: int, look: Callable[[], Any] = lambda: None) -> None:
        self.count, self.look = count, look

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None: ...

    def finished(self, stage: str) -> None: ...

    def ended(self, outcome: Any, number: int, total: int) -> None:
        self.look()
        if number == self.count:
            raise Stop


class Stop(BaseException):
    """Ends a run as a kill does: nothing of it is caught."""


def test_meanwhile_a_plate_lists_what_is_whole_and_does_not_open(source: Path, tmp_path: Path) -> None:
    target, seen = tmp_path / "o.zarr", []

    def look() -> None:
        seen.append(len(assert_listed_are_whole(target)))
        assert attributes_of(target)["xprep"]["status"] == "writing"
        with pytest.raises(xprep.UnfinishedStoreError):
            xprep.open_tree(target)

    recipe = {"inputs": [str(source)], "steps": [BLUR], "output": str(target)}
    with pytest.raises(Stop):
        xprep.run(recipe, progress=Until(4, look))
    assert seen == [0, 2, 2, 4], "wells are listed, and not halves of them"
    assert [one.state for one in xprep.status(recipe)] == ["finished"] * 4 + ["not begun"] * 2
    again = xprep.run(recipe, progress=False, resume=True)
    assert [one.state for one in again.outcomes] == ["finished before"] * 4 + ["written"] * 2
    assert xprep.run({**recipe, "output": f"{tmp_path}/whole.zarr"}, progress=False).ok
    assert objects(target) == objects(tmp_path / "whole.zarr")


def test_what_is_replaced_stays_until_the_new_one_is_whole(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.zarr"
    assert run(write_plate(tmp_path / "old.zarr", ("C/3",), 1), target).ok
    before = objects(target)
    recipe = {"inputs": [str(source)], "steps": [BLUR], "output": str(target)}
    with pytest.raises(Stop):
        xprep.run(recipe, progress=Until(4, lambda: None), overwrite=True)
    assert objects(target) == before
    again = xprep.run(recipe, progress=False, overwrite=True, resume=True)
    assert [one.state for one in again.outcomes] == ["finished before"] * 4 + ["written"] * 2
    assert fields_of(target) == ALL
    assert not (target / "C").exists(), "nothing of the old plate is left"
    assert sorted(os.listdir(tmp_path)) == ["o.zarr", "old.zarr"]


def test_a_plate_that_failed_in_part_does_not_replace_one(tmp_path: Path) -> None:
    target, plate = tmp_path / "o.zarr", write_plate(tmp_path / "p.zarr", absent=["B/1/1"])
    assert run(plate, target, {"gaussian_filter": {"sigma": 2}}).outcomes[0].state == "written"
    before = objects(target)
    chunk = plate / "A/2/1/scale0/image/c/1/0/0"
    data = chunk.read_bytes()
    chunk.write_bytes(b"torn")
    found = run(plate, target, overwrite=True)
    assert all(one.state == "failed" for one in found.outcomes)
    assert "stays as it was: 1 of the images that were to replace it failed" in found.outcomes[0].reason
    assert objects(target) == before
    chunk.write_bytes(data)
    assert [one.state for one in run(plate, target, overwrite=True, resume=True).outcomes].count("finished before") == 4
    assert objects(target) != before
    assert_equal(target, plate, ALL[:5])


def test_what_exists_is_not_mixed_with_other_wells(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.zarr"
    assert run(write_plate(tmp_path / "old.zarr", ("C/3",), 1), target).ok
    before = objects(target)
    for how, says in (({}, "exists. overwrite=True replaces it"), ({"resume": True}, "made by another command")):
        found = run(source, target, **how)
        assert {one.state for one in found.outcomes} == {"failed"}
        assert all(says in one.reason for one in found.outcomes)
    assert objects(target) == before


def test_a_plate_that_another_run_is_writing(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.zarr"
    with pytest.raises(Stop):
        xprep.run({"inputs": [str(source)], "steps": [BLUR], "output": str(target)}, progress=Until(1))
    root = json.loads((target / "zarr.json").read_text())
    owner = root["attributes"]["xprep"]["owner"]
    parent = os.getppid()  # a process that runs, and is not this one
    ticks = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]) if Path("/proc").exists() else 0
    owner.update(pid=parent, process_start=ticks)
    (target / "zarr.json").write_text(json.dumps(root))
    shutil.rmtree(target / ".xprep")
    for how in ({}, {"resume": True}, {"overwrite": True}, {"resume": True, "overwrite": True}):
        found = run(source, target, **how)
        assert all("Two writers would destroy each other's work" in one.reason for one in found.outcomes), found


def test_a_plate_that_another_run_takes_over(source: Path, tmp_path: Path) -> None:
    """Who began it stops, and says that none of its images is part of a whole plate."""
    target = tmp_path / "o.zarr"

    class Takes(Until):
        def ended(self, outcome: Any, number: int, total: int) -> None:
            if number == 2:
                assert run(source, target, resume=True).ok

    found = xprep.run({"inputs": [str(source)], "steps": [BLUR], "output": str(target)}, progress=Takes(0))
    assert {one.state for one in found.outcomes} == {"failed"}
    assert "taken over" in found.outcomes[0].reason
    assert fields_of(target) == ALL
    assert xprep.validate(target).is_valid


def test_inputs_that_are_one_plate(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link.zarr").symlink_to(source)
    for other in (source, f"{source}/", tmp_path / "link.zarr", f"{source}/A/1/0", f"{source}/A/../A/2"):
        recipe = {"inputs": [str(source), str(other)], "steps": [BLUR], "output": f"{tmp_path}/out/{{index}}.zarr"}
        with pytest.raises(RecipeError, match="give it once"):
            xprep.run(recipe, progress=False)
    assert not (tmp_path / "out").exists()


def test_a_plate_does_not_go_into_itself(source: Path) -> None:
    for target in (source, source / "A/new.zarr", source.parent / "p.zarr/"):
        with pytest.raises(RecipeError, match="the input would be lost"):
            run(source, target)


def test_a_plate_of_which_nothing_is_whole_is_none(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p.zarr", ("A/1",), 2, absent=["A/1/0", "A/1/1"])
    found = run(plate, tmp_path / "o.zarr")
    assert [one.state for one in found.outcomes] == ["failed"] * 2
    assert not (tmp_path / "o.zarr").exists()


def test_commands_for_one_image(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.zarr"
    planned = command("plan", source, target, "--sigma", 1)
    assert planned.exit_code == 0, planned.output
    assert "6 images in 1 run: " in planned.output
    assert not target.exists()
    done = command("normalize", source, target, "--sigma", 1)
    assert done.exit_code == 0, done.output
    assert "6 images" in done.output
    tree = xprep.open_tree(source).prep.normalize(sigma=1)
    for path in ALL:
        np.testing.assert_array_equal(xprep.open_image(target / path).values, tree[f"{path}/scale0/image"].values)
    assert command("normalize", source, target, "--sigma", 1).exit_code == 1
    again = command("normalize", source, target, "--sigma", 1, "--resume")
    assert again.exit_code == 0, again.output
    assert "6 finished before" in again.output
    assert command("normalize", source, target, "--sigma", 1, "--share", "well", "--overwrite").exit_code == 0
    for wrong, code in ((("--share", "column"), 2), (("--p", "120", "--overwrite"), 2)):
        assert command("normalize", source, target, *wrong).exit_code == code
    shown = command("info", target).output
    assert "plate" in shown
    assert "A/2/1" in shown


def test_several_plates_of_one_command_are_plates(source: Path, tmp_path: Path) -> None:
    other = write_plate(tmp_path / "q.zarr", ("C/3",), 1)
    done = command("normalize", source, other, tmp_path / "out", "--sigma", 1, "--share", "plate")
    assert done.exit_code == 0, done.output
    assert fields_of(tmp_path / "out/p.ome.zarr") == ALL
    assert fields_of(tmp_path / "out/q.ome.zarr") == ["C/3/0"]


def _killed_run(source: str, target: str, writes: int, how: dict[str, bool]) -> None:
    """Run in a process of its own, and kill it when it has written some objects."""
    left = iter(range(writes))
    write = Place.set_many

    def mortal(place: Place, *arguments: Any, **more: Any) -> None:
        write(place, *arguments, **more)
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    Place.set_many = mortal  # type: ignore[method-assign]
    run(source, target, {"normalize": {"sigma": 1}}, statistics="well", **how)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_plate_that_is_killed_again_and_again(source: Path, tmp_path: Path, overwrite: bool) -> None:
    """After every kill, what is listed is whole and nothing opens as if it were finished; what is replaced is untouched."""
    target = tmp_path / "o.zarr"
    assert run(source, tmp_path / "whole.zarr", {"normalize": {"sigma": 1}}, statistics="well").ok
    old = {}
    if overwrite:
        assert run(write_plate(tmp_path / "old.zarr", ("C/3",), 1), target).ok
        old = objects(target)
    context, kills = multiprocessing.get_context("forkserver"), 0
    context.set_forkserver_preload(["tests.batch.test_plates"])
    while True:
        how = {"resume": kills > 0, "overwrite": overwrite}
        process = context.Process(target=_killed_run, args=(str(source), str(target), 50 + 7 * kills, how))
        process.start()
        process.join(120)
        if process.exitcode == 0:
            break
        kills += 1
        assert process.exitcode == -signal.SIGKILL
        if overwrite:
            assert objects(target) == old
        else:
            assert_listed_are_whole(target)
            with pytest.raises(xprep.UnfinishedStoreError):
                xprep.open_tree(target)
    assert kills > 1
    assert objects(target) == objects(tmp_path / "whole.zarr")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_plate_on_a_cluster_is_a_task_a_field(tmp_path: Path, on_cluster: Any) -> None:
    plate = write_plate(tmp_path / "p.zarr", absent=["B/1/1"])
    recipe = load_recipe({"inputs": [str(plate)], "steps": [BLUR], "output": f"{tmp_path}/x.zarr"})
    groups = group_tasks(find_tasks(recipe))
    assert [len(turn) for turn in in_turns(groups, recipe)] == [6]
    with dask.config.set(scheduler="threads"):
        assert [len(turn) for turn in in_turns(groups, recipe)] == [1] * 6
    found = run(plate, tmp_path / "o.zarr", {"normalize": {"sigma": 1}})
    assert [one.state for one in found.outcomes] == ["written"] * 5 + ["failed"]
    assert_equal(tmp_path / "o.zarr", plate, ALL[:5], sigma=1)
    assert xprep.validate(tmp_path / "o.zarr").is_valid


def test_a_plate_in_a_bucket(source: Path, tmp_path: Path, s3: Server) -> None:
    """Made there, made of one that lies there, replaced there, and not replaced by a part."""
    bucket, options = s3.new_bucket(), s3.storage_options()
    urls = [f"{bucket}/{name}.zarr" for name in ("a", "b")]
    small = write_plate(tmp_path / "p.zarr", ("A/1",), 1)
    assert run(small, urls[0], storage_options=options).ok
    assert run(urls[0], urls[1], storage_options=options).ok
    assert xprep.validate(urls[1], storage_options=options).is_valid
    torn = write_plate(tmp_path / "torn.zarr", ("C/3",), 2)
    (torn / "C/3/1/scale0/image/c/1/0/0").write_bytes(b"torn")
    assert not run(torn, urls[1], storage_options=options, overwrite=True).ok
    assert list(xprep.open_tree(urls[1], storage_options=options).children) == ["A"]
    assert run(write_plate(tmp_path / "new.zarr", ("B/2",), 1), urls[1], storage_options=options, overwrite=True).ok
    assert list(xprep.open_tree(urls[1], storage_options=options).children) == ["B"]
    assert not [name for name in objects(bucket, options) if "/A/" in f"/{name}" and name.startswith("b.zarr")]


@pytest.mark.parametrize("overwrite", [False, True])
def test_statistics_of_some_fields_for_all(source: Path, tmp_path: Path, overwrite: bool) -> None:
    """The fields that are fitted to are read where they are written, which is beside the plate that they will replace."""
    target = tmp_path / "o.zarr"
    if overwrite:
        assert run(write_plate(tmp_path / "old.zarr", ("C/3",), 1), target).ok
    found = run(source, target, {"normalize": {"sigma": 1}}, fit=[f"{source}/A/1/0"], overwrite=overwrite)
    assert found.ok, found
    fitted = xprep.open_image(source / "A/1/0").prep.fit_normalize(sigma=1).compute()
    for path in ("A/1/0", "B/1/1"):
        wanted = xprep.open_image(source / path).prep.normalize(statistics=fitted).values
        np.testing.assert_array_equal(xprep.open_image(target / path).values, wanted)
