"""Many images by one recipe: each its own outcome, wrong recipes named by line and key."""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner, Result

import xprep
from tests.crashes import begin_command, interrupt, objects, wait_for
from tests.servers import Server
from xprep.batch import BatchReport, RecipeError, find_tasks, load_recipe, status
from xprep.batch.steps import _refused, stand_in
from xprep.cli.app import app
from xprep.engine.progress import Bar

RECIPE = """\
inputs: {inputs}
steps:
  - normalize: {{p: 99, sigma: 1}}
  - gaussian_filter:
      sigma: 1
output: {output}
store: {{scale_factors: [2], chunks: {{y: 16, x: 16}}}}
settings: {{tile_bytes: 16 KiB}}
"""


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def images(folder: Path, count: int, size: int = 48) -> list[Path]:
    found = []
    for n in range(count):
        found.append(folder / f"{n:02}.ome.zarr")
        xprep.datasets.blobs(channels=1, shape=(size, size), seed=n).prep.to_ome_zarr(found[-1], scale_factors=())
    return found


def recipe(tmp_path: Path, text: str = RECIPE, **places: Any) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text.format(**{"inputs": tmp_path / "in/*.zarr", "output": tmp_path / "out", **places}))
    return path


def spoil(folder: Path) -> dict[str, str]:
    """Damage three images, each in its own way; return what their reasons must say."""
    (folder / "07.ome.zarr/scale0/image/c/0/0/0").write_bytes(b"no chunk")
    (folder / "21.ome.zarr/zarr.json").write_text("{ no json")
    unfinished = folder / "33.ome.zarr/zarr.json"
    unfinished.write_text(unfinished.read_text().replace('"finished"', '"writing"'))
    return {"07": "checksum", "21": "is not JSON", "33": "is not finished"}


def test_fifty_images_three_of_them_corrupt(tmp_path: Path) -> None:
    images(tmp_path / "in", 50)
    good = {name: (tmp_path / "in" / f"{name}.ome.zarr/zarr.json").read_bytes() for name in ("21", "33")}
    chunk = tmp_path / "in/07.ome.zarr/scale0/image/c/0/0/0"
    pixels = chunk.read_bytes()
    reasons = spoil(tmp_path / "in")
    path = recipe(tmp_path)
    result = command("run", path, "--report", tmp_path / "report.json")
    assert result.exit_code == 1
    assert "50 images" in result.stdout
    assert "47 written, 3 failed" in result.stdout
    found = json.loads((tmp_path / "report.json").read_text())
    failed = {Path(one["input"]).name[:2]: one["reason"] for one in found["outcomes"] if one["state"] == "failed"}
    assert failed.keys() == reasons.keys()
    assert all(words in failed[name] for name, words in reasons.items())
    assert len(list((tmp_path / "out").iterdir())) == 47, "of those that failed before their first pixel nothing is left"

    # Repaired, and run again: only what is missing.
    for name, data in good.items():
        (tmp_path / "in" / f"{name}.ome.zarr/zarr.json").write_bytes(data)
    chunk.write_bytes(pixels)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if "07.ome" not in str(path)}
    result = command("resume", path, "--report", tmp_path / "report.json")
    assert result.exit_code == 0, result.output
    counts = json.loads((tmp_path / "report.json").read_text())["counts"]
    assert counts == {"finished before": 47, "written": 3}
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items() if path.name != "out")
    assert command("status", path).stdout.count("finished   ") == 50


def test_status_of_every_kind(tmp_path: Path) -> None:
    images(tmp_path / "in", 4)
    path = recipe(tmp_path)
    assert command("status", path).exit_code == 1
    assert xprep.run(path, progress=False).ok
    unfinished = tmp_path / "out/00.ome.zarr/zarr.json"
    unfinished.write_text(unfinished.read_text().replace('"finished"', '"writing"'))
    (tmp_path / "out/01.ome.zarr/zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    (tmp_path / "out/02.ome.zarr").rename(tmp_path / "aside")
    assert [one.state for one in status(path)] == ["unfinished", "unknown", "not begun", "finished"]


def test_results_are_those_of_each_image_alone(tmp_path: Path) -> None:
    paths = images(tmp_path / "in", 2)
    assert xprep.run(recipe(tmp_path), progress=False).ok
    for path in paths:
        alone = xprep.open_image(path).prep.normalize(p=99, sigma=1).prep.gaussian_filter(sigma=1)
        result = xprep.open_image(tmp_path / "out" / path.name)
        np.testing.assert_array_equal(result.values, alone.values)


def test_one_experiment_shares_statistics(tmp_path: Path) -> None:
    paths = images(tmp_path / "in", 3)
    path = recipe(tmp_path, RECIPE + "statistics: all\n")
    assert xprep.run(path, progress=False).ok
    tree = xr.DataTree.from_dict({f"/{n}": xprep.open_image(one).to_dataset(name="i") for n, one in enumerate(paths)})
    together = tree.prep.normalize(p=99, sigma=1).prep.gaussian_filter(sigma=1)
    for n, one in enumerate(paths):
        np.testing.assert_array_equal(xprep.open_image(tmp_path / "out" / one.name).values, together[f"/{n}"]["i"].values)
    # Without one of them, the others would get other statistics: they are not run.
    (paths[1] / "scale0/image/c/0/0/0").write_bytes(b"broken")
    found = xprep.run(path, overwrite=True, progress=False)
    assert [one.state for one in found.outcomes] == ["not run", "failed", "not run"]
    assert "01.ome.zarr, which failed" in found.outcomes[0].reason


def test_images_of_a_folder_share_statistics(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        images(tmp_path / "in" / folder, 2)
    text = RECIPE.replace("{output}", "{output}/{{parent}}-{{name}}.zarr") + "statistics: folder\n"
    path = recipe(tmp_path, text, inputs=tmp_path / "in/*/*.zarr")
    assert xprep.run(path, progress=False).ok
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["a-00.zarr", "a-01.zarr", "b-00.zarr", "b-01.zarr"]
    first = [xprep.open_image(tmp_path / f"out/{name}-00.zarr").values for name in "ab"]
    np.testing.assert_array_equal(*first)


def test_fields_of_a_plate(tmp_path: Path) -> None:
    plate = tmp_path / "in/plate.zarr"
    for field in ("A/1/0", "A/1/1", "B/2/0"):
        xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(plate / field, scale_factors=())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = zarr.open_group(plate, mode="a")
        wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/2", "rowIndex": 1, "columnIndex": 1}]
        about = {"rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}], "wells": wells}
        root.attrs["ome"] = {"version": "0.5", "plate": about}
        for well, fields in (("A/1", ("0", "1")), ("B/2", ("0",))):
            root.require_group(well).attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": one} for one in fields]}}
    found = xprep.run(recipe(tmp_path), progress=False)
    assert found.ok, found
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "plate_A_1_0.ome.zarr", "plate_A_1_1.ome.zarr", "plate_B_2_0.ome.zarr",
    ]  # fmt: skip
    # One experiment is planned as one: with the passes that shared statistics take, and no image alone.
    path = recipe(tmp_path, RECIPE + "statistics: all\n")
    for arguments in (("plan", path), ("run", path, "--plan")):
        result = command(*arguments)
        assert result.exit_code == 0, result.output
        assert "3 images in 1 run: " in result.stdout, result.stdout
        assert result.stdout.count(" → ") == 3
    result = command("run", path)
    assert result.exit_code == 1
    assert "exists. --overwrite replaces it" in result.stdout
    result = command("resume", path, "--progress", "json")
    assert result.exit_code == 1, "another recipe made them"
    shutil.rmtree(tmp_path / "out")
    result = command("run", path, "--progress", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert lines[-4]["stage"] == "[1-3/3] plate_A_1_0 … plate_B_2_0 writing"
    assert [line["state"] for line in lines[-3:]] == ["written"] * 3


def test_a_plan_says_what_would_fail(tmp_path: Path) -> None:
    images(tmp_path / "in", 2)
    (tmp_path / "in/00.ome.zarr/zarr.json").write_text("{")
    result = command("plan", recipe(tmp_path))
    assert result.exit_code == 1
    assert "would fail: " in result.stdout
    assert "2 images in 2 runs, 1 would fail: " in result.stdout
    assert command("normalize", tmp_path / "recipe.yaml").exit_code == 2
    assert command("plan", tmp_path / "in/01.ome.zarr").exit_code == 2


def test_a_report_in_a_notebook(tmp_path: Path) -> None:
    """What has no result comes first; each image's bar says which it is."""
    paths = images(tmp_path / "in", 3)
    (paths[1] / "zarr.json").write_text("{ <b>")
    stream = io.StringIO()
    found = xprep.run(recipe(tmp_path), progress=Bar(stream))
    shown = found._repr_html_()
    assert shown.index("failed") < shown.index("written</td>")
    assert "is not JSON" in shown
    assert shown.count("<tr>") == 3
    assert [name for name in ("[1/3] 00", "[2/3] 01", "[3/3] 02") if name in stream.getvalue()] == ["[1/3] 00", "[3/3] 02"]


def test_in_a_bucket_with_credentials_from_the_environment(
    rclone: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, options = rclone.new_bucket(), rclone.storage_options()
    for n in range(2):
        image = xprep.datasets.blobs(channels=1, shape=(32, 32), seed=n)
        image.prep.to_ome_zarr(f"{bucket}/in/{n}.zarr", storage_options=options)
    monkeypatch.setenv("LAB_KEY", options.pop("key"))
    monkeypatch.setenv("LAB_SECRET", options.pop("secret"))
    secret = os.environ["LAB_SECRET"]
    given = json.dumps({"key": "${LAB_KEY}", "secret": "${LAB_SECRET}", **options})
    text = RECIPE + "storage_options: " + given.replace("{", "{{").replace("}", "}}") + "\n"
    path = recipe(tmp_path, text, inputs=f"{bucket}/in/*.zarr", output=f"{bucket}/out")
    result = command("run", path, "--progress", "json", "--report", tmp_path / "report.json")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["event"] for line in lines} >= {"started", "finished", "image"}
    assert all(line["tasks"] == line["total"] for line in lines if line["event"] == "finished")
    told = [(line["number"], line["of"], line["state"]) for line in lines if line["event"] == "image"]
    assert told == [(n, len(told), "written") for n in range(1, len(told) + 1)]
    assert [line["stage"] for line in lines if line["event"] == "finished"][-1] == "[2/2] 1 writing"
    assert [one.state for one in status(path)] == ["finished", "finished"]
    for text in (result.output, path.read_text(), (tmp_path / "report.json").read_text(), repr(load_recipe(path))):
        assert secret not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sigma: 1}", "sigm: 1}"), r"line 3: steps\[0\].normalize.sigm: unknown key 'sigm' \(did you mean 'sigma'\?\)"),
        (("- gaussian_filter", "- gausian_filter"), r"line 4: steps\[1\]: must be one of .*did you mean 'gaussian_filter'"),
        (("- gaussian_filter:\n      sigma: 1", "- gaussian_filter"), r"line 4.*the key 'sigma' is missing"),
        (("output: ", "outputs: "), r"line 6: outputs: unknown key 'outputs' \(did you mean 'output'\?\)"),
        (("output: {output}", "output: {output}/{{nam}}"), r"line 6: output: unknown field \{nam\}"),
        (("output: {output}\n", ""), "line 1: the key 'output' is missing"),
        (("tile_bytes: 16 KiB", "tile_bytes: many"), "line 8: settings.tile_bytes: "),
        (("tile_bytes: 16 KiB", "tile_bytes: 0"), "line 8: settings.tile_bytes: tile_bytes must be positive"),
        (("store: {{", "store: {{method: median, "), "line 7: store.method: method must be one of"),
        (("scale_factors: [2]", "layout: flat,\n  version: '0.7'"), "line 8: store.version: version must be"),
        (("scale_factors: [2]", "scale_factors: 2"), "line 7: store.scale_factors: must be auto or a list .*; got 2"),
        (("scale_factors: [2]", "overwrite: 'no'"), "line 7: store.overwrite: must be true or false; got 'no'"),
        (("scale_factors: [2]", "shards: sixteen"), "line 7: store.shards: must be a number of pixels"),
        (("steps:\n", "statistics: some\nsteps:\n"), "line 2: statistics: must be each, .*all, or a file .*no file some"),
        (("steps:\n", "inputs: x\nsteps:\n"), "line 2: inputs: this key is there twice"),
        (("steps:\n", "steps: [\n"), "line 3: that is no YAML"),
        (("inputs: {inputs}", "inputs: []"), "line 1: inputs: there is no input"),
        (("inputs: {inputs}", "inputs: [1]"), r"line 1: inputs\[0\]: must be a text; got 1"),
        (("steps:\n", "storage_options: {{key: '${{NO_SUCH_VARIABLE}}'}}\nsteps:\n"), "line 2: .*no variable NO_SUCH_VARIABLE"),
        (("{inputs}", "nowhere/*.zarr"), r"line 1: inputs: nothing fits 'nowhere/\*\.zarr' \(looked for /.*nowhere"),
        (("{inputs}", "simplecache::s3://lab/a.zarr"), "chained"),
    ],
)  # fmt: skip
def test_wrong_recipes_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    images(tmp_path / "in", 1)
    assert change[0] in RECIPE
    path = recipe(tmp_path, RECIPE.replace(*change))
    if "chained" in message:
        assert [one.error for one in xprep.run(path, progress=False).outcomes] == ["ValueError"]
        return
    with pytest.raises(RecipeError, match=message) as caught:
        xprep.run(path, progress=False)
    result = command("run", path)
    assert result.exit_code == 2
    assert str(caught.value).split(":")[1][:20] in result.stderr
    assert not (tmp_path / "out").exists()


# A step in line 3, what is said of it, and where (the key in the mapping's own lines where there are several).
WRONG_VALUES: dict[str, str] = {
    "normalize: {{p: 120}}": "normalize.p: p is a percentile and must lie between 0 and 100; got 120",
    "normalize: {{p: 99, p_sum: high}}": "normalize.p_sum: p_sum must be one percentile",
    "normalize: {{sigma: -1}}": "normalize.sigma: sigma must be a finite number of pixels, 0 or more; got -1",
    "normalize: {{sigma: [1, -1]}}": "normalize.sigma: sigma",
    "normalize: {{pool: median}}": "normalize.pool: pool must be one of 'mean', 'exact'; got 'median'",
    "normalize: {{dtype: float}}": None,
    "normalize: {{dtype: int8}}": "normalize.dtype: dtype must be float32, float64 or None",
    "normalize: {{norm_sum: 'no'}}": "normalize.norm_sum: must be true or false; got 'no'",
    "normalize: {{chunks: {{y: 0}}}}": "normalize.chunks: ",
    "gaussian_filter: {{sigma: 1, mode: foo}}": "gaussian_filter.mode: ",
    "gaussian_filter: {{sigma: wide, truncate: 3}}": "gaussian_filter.sigma: ",
    "gaussian_filter: {{sigma: -1, mode: foo}}": "gaussian_filter.(sigma|mode): ",
    "gaussian_filter: {{sigma: {{y: -1}}}}": "gaussian_filter.sigma: ",
    "gaussian_filter: {{sigma: 2 kg}}": "gaussian_filter.sigma: ",
    "subtract_background: {{radius: 0}}": "subtract_background.radius: ",
    "subtract_background: {{clip: 1}}": "subtract_background.clip: must be true or false; got 1",
    "rescale: {{factors: {{y: 0}}}}": "rescale.factors: ",
    "rescale: {{factors: {{y: 0.5}}, size: big}}": "rescale.size: ",
    "rescale: {{factors: {{y: 0.5}}, order: 0, anti_alias: true}}": "rescale.(order|anti_alias): ",
    "to_isotropic: {{zoom: 0}}": "to_isotropic.zoom: ",
    "to_isotropic: {{size: big}}": "to_isotropic.size: ",
    "to_isotropic: {{size: 1, zoom: 1}}": "to_isotropic.(size|zoom): ",
    "to_isotropic: {{dtype: text}}": "to_isotropic.dtype: ",
    "to_isotropic: {{boundary: mirror}}": "to_isotropic.boundary: ",
    "to_isotropic: {{rescale_options: {{}}}}": "to_isotropic.rescale_options: unknown key 'rescale_options'",
    "project: {{dim: y, how: median}}": "project.how: ",
    "project: {{dim: y, skipna: 'yes'}}": "project.skipna: must be true or false; got 'yes'",
    "mask: {{rois: cells, outside: dark}}": "mask.outside: ",
}  # fmt: skip


@pytest.mark.parametrize(("step", "message"), WRONG_VALUES.items(), ids=WRONG_VALUES)
def test_wrong_values_are_the_recipes_fault(tmp_path: Path, step: str, message: str | None) -> None:
    """Before anything is computed or written, once and not for each image; by `run` and by `plan`."""
    for path in images(tmp_path / "in", 2):
        labels = xr.DataArray(np.zeros((48, 48), "i4"), dims=("y", "x"))
        xprep.open_image(path).prep.to_ome_zarr(path.parent / f"l{path.name}", scale_factors=(), labels={"cells": labels})
        shutil.rmtree(path)
    text = RECIPE.replace("normalize: {{p: 99, sigma: 1}}", step)
    path = recipe(tmp_path, text)
    if message is None:
        assert xprep.run(path, progress=False).ok
        return
    with pytest.raises(RecipeError, match=rf"recipe\.yaml, line 3: steps\[0\]\.{message}"):
        xprep.run(path, progress=False)
    for arguments in (("run", path, "--report", tmp_path / "report.json"), ("plan", path)):
        result = command(*arguments)
        assert result.exit_code == 2
        assert "line 3: steps[0]." in result.stderr
        assert result.stderr.count("line 3") == 1
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "report.json").exists()


def test_the_line_is_that_of_the_value(tmp_path: Path) -> None:
    images(tmp_path / "in", 1)
    text = RECIPE.replace("      sigma: 1\n", "      sigma: 1\n      truncate: -2\n")
    with pytest.raises(RecipeError, match=r"line 6: steps\[1\]\.gaussian_filter\.truncate: "):
        xprep.run(recipe(tmp_path, text), progress=False)


# What the image of zeros must have for these to be right, or what only some images have: no value of these is wrong.
RIGHT_VALUES = [
    "normalize: {{sigma: [1, 2, 3]}}",
    "normalize: {{sigma: {{DAPI: 1, GFP: 0, RFP: 2}}, channels: [DAPI, GFP, RFP]}}",
    "normalize: {{channels: [GFP, DAPI], sigma: [1, 2]}}",
    "normalize: {{channels: GFP}}",
    "normalize: {{sigma: 0.5 um}}",
    "subtract_background: {{radius: {{y: 3, x: 2}}}}",
    "subtract_background: {{radius: [[3, 2], [4, 4], [5, 5]]}}",
    "gaussian_filter: {{sigma: {{z: 1}}}}",
    "gaussian_filter: {{sigma: [1, 2, 3]}}",
    "rescale: {{factors: {{z: 2, y: 0.01}}}}",
    "to_isotropic: {{zoom: 0.01, order: 0}}",
    "to_isotropic",
    "to_isotropic: {{size: 0.5 um, dtype: uint16}}",
    "to_isotropic: {{voxel_size: {{z: 2 um, y: 1, x: 1}}}}",
    "project: {{dim: [z, t], how: mean}}",
    "mask: {{rois: cells, invert: true}}",
]


@pytest.mark.parametrize("step", RIGHT_VALUES)
def test_the_image_of_zeros_fits_what_fits_some_image(tmp_path: Path, step: str) -> None:
    found = load_recipe(recipe(tmp_path, RECIPE.replace("normalize: {{p: 99, sigma: 1}}", step)))
    image = stand_in(found.steps)
    assert [_refused(one, image) for one in found.steps] == [None, None]


def test_what_does_not_fit_one_image_fails_that_image(tmp_path: Path) -> None:
    """The first of two has no z: it fails alone, as do both whose channels another recipe named."""
    images(tmp_path / "in", 1)
    stack = xprep.datasets.blobs(channels=1, shape=(48, 48)).expand_dims(z=2, axis=1)
    stack.prep.to_ome_zarr(tmp_path / "in/stack.zarr", scale_factors=())
    text = RECIPE.replace("normalize: {{p: 99, sigma: 1}}", "project: {{dim: z}}")
    found = xprep.run(recipe(tmp_path, text), progress=False)
    assert [one.state for one in found.outcomes] == ["failed", "written"]
    assert "recipe.yaml, line 3, project: " in found.outcomes[0].reason
    text = RECIPE.replace("p: 99,", "channels: [Cy5],")
    found = xprep.run(recipe(tmp_path, text), progress=False, overwrite=True)
    assert [one.error for one in found.outcomes] == ["KeyError", "KeyError"]


def test_wrong_values_are_found_behind_a_corrupt_image(tmp_path: Path) -> None:
    """The first image cannot be opened: the second one tells."""
    first, _ = images(tmp_path / "in", 2)
    (first / "zarr.json").write_text("{")
    with pytest.raises(RecipeError, match=r"normalize\.sigma: "):
        xprep.run(recipe(tmp_path, RECIPE.replace("sigma: 1}", "sigma: -1}")), progress=False)


def test_two_results_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        images(tmp_path / "in" / folder, 1)
    with pytest.raises(RecipeError, match=r"several results would go to .*out/00\.ome\.zarr"):
        find_tasks(load_recipe(recipe(tmp_path, inputs=tmp_path / "in/*/*.zarr")))


def test_a_mapping_is_a_recipe(tmp_path: Path) -> None:
    (path,) = images(tmp_path / "in", 1)
    given = {"inputs": str(path), "steps": ["subtract_background"], "output": str(tmp_path / "one.zarr")}
    found = xprep.run(given, progress=False)
    assert isinstance(found, BatchReport)
    assert found.ok
    assert xprep.open_image(tmp_path / "one.zarr").sizes == {"c": 1, "y": 48, "x": 48}
    with pytest.raises(RecipeError, match=r"recipe: steps\[0\]: must be one of"):
        xprep.run({**given, "steps": ["subtract"]})


def test_a_large_recipe_is_refused_before_it_takes_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(f"inputs: [{'x, ' * 100_001}]\n")
    with pytest.raises(RecipeError, match="more than 100000 values"):
        load_recipe(path)


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    images(tmp_path / "in", 6, size=96)
    path = recipe(tmp_path)
    process = begin_command(tmp_path / "open", "run", path)
    wait_for(lambda: process.poll() is not None or (tmp_path / "out/01.ome.zarr").exists())
    out, err = interrupt(process, tmp_path / "open")
    assert process.returncode == 130, err
    assert "xprep resume" in err
    assert "not run" in out
    assert xprep.run(path, resume=True, progress=False).ok
    unbroken = recipe(tmp_path, output=tmp_path / "unbroken")
    assert xprep.run(unbroken, progress=False).ok
    assert objects(tmp_path / "out") == objects(tmp_path / "unbroken")


class Stopping:
    """A listener that stops the run as Ctrl-C does, once a pixel is written, or at once."""

    def __init__(self, at_once: bool = False) -> None:
        self.at_once = at_once

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        if nbytes or self.at_once:
            raise KeyboardInterrupt

    def finished(self, stage: str) -> None: ...


@pytest.mark.parametrize("again", [{"resume": True}, {"overwrite": True}], ids=["resume", "overwrite"])
def test_an_interrupt_is_one_and_the_same_cell_runs_again(again: dict[str, bool], tmp_path: Path) -> None:
    """A notebook's "run all" must not go on; and nothing is left that this process could not take over."""
    images(tmp_path / "in", 2, size=96)
    given, report = recipe(tmp_path), tmp_path / "report.json"
    with pytest.raises(KeyboardInterrupt) as stopped:
        xprep.run(given, progress=Stopping(), report=report)
    assert isinstance(stopped.value, xprep.BatchInterruptedError)
    assert stopped.value.report.interrupted
    assert "resume=True runs what has no result" in str(stopped.value)
    assert json.loads(report.read_text())["interrupted"]
    refused = xprep.run(given, progress=False).outcomes[0]
    assert refused.state == "failed"
    assert "was begun by this very process" in refused.reason
    with pytest.raises(KeyboardInterrupt):
        xprep.run(given, progress=Stopping(at_once=True), **again)
    assert xprep.run(given, progress=False, **again).ok
