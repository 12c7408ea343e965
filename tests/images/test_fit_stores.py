"""Fitted statistics in stores, files, recipes and the command; fits that are killed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from click.testing import Result
from typer.testing import CliRunner

import xprep
from tests.helpers.servers import Server
from tests.helpers.sources import counted
from tests.laws.operations import assert_same_bits
from xprep.batch import RecipeError, load_recipe
from xprep.cli.app import app
from xprep.errors import StoreExistsError, StoreFormatError, UnfinishedStoreError
from xprep.images import open_fields, save_fit
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.dataset_files import read_dataset, write_dataset
from xprep.io.store.places import open_store

NAMES = ("train 1", "train 2", "test 3", "test 4")


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def cells(seed: int = 0, shape: tuple[int, ...] = (48, 64)) -> xr.DataArray:
    return xprep.datasets.blobs(channels=2, shape=shape, seed=seed, density=0.005)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    for seed, name in enumerate(NAMES):
        cells(seed).prep.to_ome_zarr(folder / f"{name}.zarr", scale_factors=(), chunks={"y": 24, "x": 32})
    return folder


@pytest.fixture
def cohort(stored: Path) -> Any:
    return open_fields([str(stored / f"{name}.zarr") for name in NAMES[:2]])


# Stores


@pytest.mark.parametrize("resumed", [False, True])
def test_a_store_gives_its_statistics_back(cohort: Any, stored: Path, tmp_path: Path, resumed: bool) -> None:
    cohort.prep.normalize(sigma=1).prep.to_ome_zarr(tmp_path / "done", scale_factors=(), resume=resumed)
    fitted = cohort.prep.fit_normalize(sigma=1).compute()
    for name in NAMES[:2]:
        xr.testing.assert_identical(xprep.statistics_of(tmp_path / "done" / name / "image"), fitted)
    joined = xprep.open_image(stored / "test 3.zarr").prep.normalize(statistics=fitted)
    joined.prep.to_ome_zarr(tmp_path / "joined.zarr", scale_factors=())
    kept = xprep.statistics_of(tmp_path / "joined.zarr")
    xr.testing.assert_equal(kept, fitted)
    assert kept.attrs == fitted.attrs


STEPS: dict[str, Any] = {
    "the last step": lambda image: image,
    "other chunks": lambda image: image.chunk({"y": 7, "x": 64}),
    "a filter behind it": lambda image: image.prep.gaussian_filter(1),
    "a projection behind it": lambda image: image.expand_dims("z", 1).prep.project("z"),
    "channels of it": lambda image: image.sel(c=["marker 2"]),
    "somebody's arithmetic": lambda image: image * 2,
}


@pytest.mark.parametrize("step", STEPS)
def test_whatever_is_done_behind_it(step: str, stored: Path, tmp_path: Path) -> None:
    image = xprep.open_image(stored / "test 3.zarr")
    report = STEPS[step](image.prep.normalize(sigma=1)).prep.to_ome_zarr(tmp_path / "x.zarr", scale_factors=())
    fitted = image.prep.fit_normalize(sigma=1).compute()
    xr.testing.assert_identical(xprep.statistics_of(tmp_path / "x.zarr"), fitted)
    assert report.statistics["p"] == fitted.p.values.tolist()


@pytest.mark.parametrize("lazy", [True, False])
def test_a_store_made_with_given_statistics_keeps_these(lazy: bool, stored: Path, tmp_path: Path) -> None:
    fitted = xprep.open_image(stored / "train 1.zarr").prep.fit_normalize(sigma=1)
    image = xprep.open_image(stored / "test 3.zarr")
    report = image.prep.normalize(statistics=fitted if lazy else fitted.compute()).prep.to_ome_zarr(tmp_path / "x.zarr")
    xr.testing.assert_identical(xprep.statistics_of(tmp_path / "x.zarr"), fitted.compute())
    assert report.left_out is None


def test_the_report_says_how_many_pixels_were_left_out(cohort: Any, tmp_path: Path) -> None:
    reports = cohort.prep.normalize(sigma=1, p_sum=30).prep.to_ome_zarr(tmp_path / "done", scale_factors=())
    for url, report in reports.items():
        pixels = xprep.open_image(url).values
        assert report.left_out == int(np.isnan(pixels).all(axis=0).sum()) > 0


def test_of_many_images_a_store_keeps_its_own_numbers(tmp_path: Path) -> None:
    names = [f"channel {n}" for n in range(1100)]
    images = {f"/{n}": cells(n, (4, 4)).isel(c=[0] * 1100).assign_coords(c=names).chunk().to_dataset(name="a") for n in range(4)}
    tree = xr.DataTree.from_dict(images)
    tree.prep.normalize(sigma=0).prep.to_ome_zarr(tmp_path / "done", scale_factors=(), chunks={"c": 1100})
    fitted, kept = tree.prep.fit_normalize(sigma=0), xprep.statistics_of(tmp_path / "done" / "2" / "a")
    xr.testing.assert_identical(kept, fitted.isel(image=[2]).compute())
    new = cells(9, (4, 4)).isel(c=[0] * 1100).assign_coords(c=names)
    assert_same_bits(new.prep.normalize(statistics=kept), new.prep.normalize(statistics=fitted))


NONE: dict[str, tuple[Any, type[Exception], str]] = {
    "never normalised": (lambda at, folder: folder / "test 3.zarr", StoreFormatError, "keeps no statistics"),
    "an array": (lambda at, folder: folder / "test 3.zarr/scale0/image", StoreFormatError, "no Zarr group"),
    "twice normalised": (lambda at, folder: twice(at, folder), StoreFormatError, "with several different ones"),
    "unfinished": (lambda at, folder: unfinished(at, folder), UnfinishedStoreError, "not finished"),
    "in memory": (lambda at, folder: in_memory(at), StoreFormatError, "An image in memory forgets them"),
    "nothing": (lambda at, folder: at / "none.zarr", FileNotFoundError, "there is nothing at"),
}


def in_memory(at: Path) -> Path:
    cells().prep.normalize().prep.to_ome_zarr(at / "x.zarr")
    return at / "x.zarr"


def twice(at: Path, folder: Path) -> Path:
    image = xprep.open_image(folder / "test 3.zarr").prep.normalize(sigma=1)
    (image.prep.normalize(sigma=0) * 2).prep.to_ome_zarr(at / "x.zarr")
    return at / "x.zarr"


def unfinished(at: Path, folder: Path) -> Path:
    shutil.copytree(folder / "test 3.zarr", at / "x.zarr")
    mark = at / "x.zarr/zarr.json"
    mark.write_text(mark.read_text().replace('"finished"', '"writing"'))
    return at / "x.zarr"


@pytest.mark.parametrize("case", NONE)
def test_stores_without_statistics_say_so(case: str, stored: Path, tmp_path: Path) -> None:
    make, kind, message = NONE[case]
    with pytest.raises(kind, match=message):
        xprep.statistics_of(make(tmp_path, stored))


# Files


@pytest.mark.parametrize("ending", ["zarr", "nc", "json"])
def test_files_hold_everything(ending: str, tmp_path: Path) -> None:
    fitted = cells().prep.fit_normalize(p_post=None)
    assert np.isnan(fitted.left_out).all()
    fitted["p"] = fitted.p.copy(data=np.array([np.inf, 0.1], "float32"))
    write_dataset(fitted, tmp_path / f"a.{ending}")
    xr.testing.assert_identical(read_dataset(tmp_path / f"a.{ending}"), fitted)
    with pytest.raises(StoreExistsError, match=f"a.{ending} is there already"):
        write_dataset(fitted, tmp_path / f"a.{ending}")
    write_dataset(cells(1).prep.fit_normalize(), tmp_path / f"a.{ending}", overwrite=True)
    xr.testing.assert_identical(read_dataset(tmp_path / f"a.{ending}"), cells(1).prep.fit_normalize())


@pytest.mark.parametrize("name", ["fit", "fit.csv", "fit.h5"])
def test_other_endings_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.zarr, \.nc or \.json"):
        write_dataset(cells().prep.fit_normalize(), tmp_path / name)


def test_what_is_no_zarr_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "fit.zarr").mkdir()
    (tmp_path / "fit.zarr/thesis.txt").write_text("all of it")
    with pytest.raises(StoreExistsError):
        write_dataset(cells().prep.fit_normalize(), tmp_path / "fit.zarr", overwrite=True)


@pytest.mark.parametrize("ending", ["zarr", "nc", "json"])
def test_the_command_takes_buckets(ending: str, s3: Server, stored: Path, tmp_path: Path) -> None:
    options = ["--storage-options", json.dumps(s3.storage_options())]
    url = f"{s3.new_bucket()}/fit.{ending}"
    assert command("fit", stored / "train 1.zarr", "-o", url, "--sigma", 1, *options).exit_code == 0
    done = command("normalize", stored / "test 3.zarr", tmp_path / "x.zarr", "--statistics", url, *options)
    assert done.exit_code == 0, done.stderr
    fitted = xprep.open_image(stored / "train 1.zarr").prep.fit_normalize(sigma=1)
    expected = xprep.open_image(stored / "test 3.zarr").prep.normalize(statistics=fitted)
    assert_same_bits(xprep.open_image(tmp_path / "x.zarr"), expected)


# The command


def test_the_command_fits_and_applies(cohort: Any, stored: Path, tmp_path: Path) -> None:
    file, train = tmp_path / "fit.json", [stored / f"{name}.zarr" for name in NAMES[:2]]
    done = command("fit", *train, "-o", file, "--sigma", "marker 1=1", "--p", "95")
    assert done.exit_code == 0, done.stderr
    assert "marker 2" in done.stdout
    fitted = cohort.prep.fit_normalize(p=95, sigma={"marker 1": 1}).compute()
    xr.testing.assert_identical(read_dataset(file), fitted)
    test = stored / "test 3.zarr"
    done = command("normalize", test, tmp_path / "x.zarr", "--statistics", file, "--p", "95", "--sigma", "1,0")
    assert done.exit_code == 0, done.stderr
    assert_same_bits(xprep.open_image(tmp_path / "x.zarr"), xprep.open_image(test).prep.normalize(statistics=fitted))
    assert "pass 1: result" in command("plan", test, tmp_path / "y.zarr", "--statistics", file).stdout
    for words, message in (
        (["normalize", test, tmp_path / "y.zarr", "--statistics", file, "--p", "99"], "p=99 is given beside"),
        (["normalize", test, tmp_path / "y.zarr", "--statistics", tmp_path / "none.json"], "there is no file"),
        (["fit", *train, "-o", file], "is there already"),
        (["fit", *train, "-o", tmp_path / "fit.txt"], "ends in .zarr, .nc or .json"),
        (["fit", train[0], train[0], "-o", tmp_path / "fit2.nc"], "two inputs are called 'train 1'"),
    ):
        done = command(*words)
        assert done.exit_code == 2
        assert message in done.stderr
    assert command("fit", train[0], "-o", file, "--overwrite", "--quiet").stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.json", "x.zarr"]


# Killed

KILLED = """
    import os, signal, sys
    from pathlib import Path
    import xprep
    from xprep.images import open_fields, save_fit

    class Killer:
        def __init__(self, parts, values): self.parts, self.values = parts, values
        def started(self, stage, total): pass
        def finished(self, stage): pass
        def advanced(self, stage, steps, nbytes):
            if len(list(self.parts.glob("*.value"))) >= self.values:
                os.kill(os.getpid(), signal.SIGKILL)

    file, values, *urls = sys.argv[1:]
    xprep.set_options(intermediates="recompute")
    killer = Killer(Path(file + ".xprep-fit/.xprep/parts"), int(values))
    save_fit(open_fields(urls).prep.fit_normalize(sigma=1), file, progress=killer)
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many regions were read of each store since then."""
    found: Counter[str] = Counter()
    read = ZarrReadable.read

    def counting(self: ZarrReadable, region: Any) -> Any:
        found[self.place.shown.rpartition("/")[2]] += 1
        return read(self, region)

    monkeypatch.setattr(ZarrReadable, "read", counting)
    return found


def killed(file: Path, values: int, urls: list[str]) -> None:
    program = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED), str(file), str(values), *urls]
    done = subprocess.run(program, capture_output=True, text=True, timeout=240, cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not file.exists()


@pytest.mark.parametrize("values", [3, 5, 8])
def test_a_killed_fit_goes_on_image_by_image(values: int, stored: Path, tmp_path: Path, reads: Counter[str]) -> None:
    """Of each image there are patches for guesses and three percentiles, of the experiment three means."""
    urls, file = [str(stored / f"{name}.zarr") for name in NAMES[:2]], tmp_path / "fit.json"
    killed(file, values, urls)
    with xprep.set_options(intermediates="recompute"):
        fitted = open_fields(urls).prep.fit_normalize(sigma=1)
        expected = fitted.compute()
        whole = reads.total()
        reads.clear()
        xr.testing.assert_identical(save_fit(fitted, file, progress=False), expected)
    assert reads.total() < whole, "what is known of an image is not read again"
    xr.testing.assert_identical(read_dataset(file), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.json"], "nothing is left beside it"


def test_a_source_that_changed_since_makes_it_begin_anew(stored: Path, tmp_path: Path) -> None:
    url, file = tmp_path / "in.zarr", tmp_path / "fit.nc"
    shutil.copytree(stored / "train 1.zarr", url)
    killed(file, 2, [str(url)])
    cells(7).prep.to_ome_zarr(url, scale_factors=(), chunks={"y": 24, "x": 32}, overwrite=True)
    fitted = save_fit(xprep.open_image(url).prep.fit_normalize(sigma=1), file, progress=False)
    xr.testing.assert_equal(fitted, cells(7).prep.fit_normalize(sigma=1))


def test_a_torn_note_is_made_again(stored: Path, tmp_path: Path) -> None:
    urls, file = [str(stored / f"{name}.zarr") for name in NAMES[:2]], tmp_path / "fit.zarr"
    killed(file, 5, urls)
    for note in Path(f"{file}.xprep-fit/.xprep/parts").glob("*.value"):
        note.write_bytes(note.read_bytes()[:-9])
    fitted = open_fields(urls).prep.fit_normalize(sigma=1)
    xr.testing.assert_identical(save_fit(fitted, file, progress=False), fitted.compute())


# Recipes


def recipe(stored: Path, tmp_path: Path, **more: Any) -> dict[str, Any]:
    given = {"inputs": str(stored / "*.zarr"), "steps": [{"normalize": {"sigma": 1}}], "output": str(tmp_path / "out")}
    return {**given, **more}


def test_a_cohort_is_fitted_and_all_others_are_applied(cohort: Any, stored: Path, tmp_path: Path, reads: Counter[str]) -> None:
    given = recipe(stored, tmp_path, fit=str(stored / "train*.zarr"), settings={"intermediates": "recompute"})
    report = xprep.run(given, progress=False)
    assert report.ok, str(report)
    assert [Path(one.input).stem for one in report.outcomes] == list(NAMES)
    assert {reads[f"{name}.zarr"] for name in NAMES[2:]} == {reads["test 3.zarr"]}
    assert reads["train 1.zarr"] == 4 * reads["test 3.zarr"], "four passes of what is fitted to, one of what is applied to"
    fitted = cohort.prep.fit_normalize(sigma=1).compute()
    for name in NAMES:
        expected = xprep.open_image(stored / f"{name}.zarr").prep.normalize(statistics=fitted)
        assert_same_bits(xprep.open_image(tmp_path / "out" / f"{name}.ome.zarr"), expected)
        kept = xprep.statistics_of(tmp_path / "out" / f"{name}.ome.zarr")
        xr.testing.assert_equal(kept.drop_vars("image"), fitted.drop_vars("image"))
    again = xprep.run(given, resume=True, progress=False)
    assert [one.state for one in again.outcomes] == ["finished before"] * 4


def test_what_is_held_out_changes_no_other(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "in")
    for change in (False, True):
        if change:
            other = cells(2)
            other[0, 3, 4] = 60000
            other.prep.to_ome_zarr(tmp_path / "in/test 3.zarr", scale_factors=(), overwrite=True)
        made = recipe(tmp_path / "in", tmp_path, fit=[str(tmp_path / "in/train*")], output=str(tmp_path / f"out {change}"))
        assert xprep.run(made, progress=False).ok
    for name in NAMES:
        before, after = (xprep.open_image(tmp_path / f"out {change}" / f"{name}.ome.zarr") for change in (False, True))
        assert before.equals(after) is (name != "test 3")


def test_steps_behind_and_before(stored: Path, tmp_path: Path) -> None:
    steps = [{"gaussian_filter": {"sigma": 1}}, {"normalize": {"sigma": 0}}, {"project": {"dim": "c"}}]
    given = recipe(stored, tmp_path, steps=steps, fit=str(stored / "train 1.zarr"))
    assert xprep.run(given, progress=False).ok
    train, test = (xprep.open_image(stored / f"{name}.zarr").prep.gaussian_filter(1) for name in ("train 1", "test 4"))
    expected = test.prep.normalize(statistics=train.prep.fit_normalize(sigma=0)).prep.project("c")
    assert_same_bits(xprep.open_image(tmp_path / "out/test 4.ome.zarr"), expected)


def test_a_cohort_without_a_result_gives_none_to_the_others(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "in")
    (tmp_path / "in/train 2.zarr/scale0/image/c/0/0/0").write_bytes(b"no chunk")
    report = xprep.run(recipe(tmp_path / "in", tmp_path, fit=str(tmp_path / "in/train*.zarr")), progress=False)
    assert [one.state for one in report.outcomes] == ["not run", "failed", "not run", "not run"]
    assert "its statistics are fitted to" in report.outcomes[-1].reason


@pytest.mark.parametrize("name", ["fit.json", "fit.nc", "fit.zarr", "all"])
def test_a_recipe_takes_a_file(name: str, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = xprep.open_image(stored / "train 1.zarr").prep.fit_normalize(sigma=1).compute()
    monkeypatch.chdir(tmp_path)
    write_dataset(fitted, name if "." in name else "all.json")
    if name == "all":
        Path("all.json").rename("all")
    given = recipe(stored, tmp_path, statistics=f"./{name}", steps=["normalize"])
    assert xprep.run(given, progress=False).ok
    for one in NAMES:
        expected = xprep.open_image(stored / f"{one}.zarr").prep.normalize(statistics=fitted)
        assert_same_bits(xprep.open_image(tmp_path / "out" / f"{one}.ome.zarr"), expected)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a word": ({"statistics": "eech"}, "must be each, folder, well, plate, all, or a file of statistics; there is no file eech"),
    "an image": ({"statistics": "{in}/train 1.zarr"}, "statistics: .*no fitted Dataset"),
    "no JSON": ({"statistics": "{out}.json"}, "statistics: .*is not JSON"),
    "no step for them": ({"statistics": "{out}.json", "steps": ["to_isotropic"]}, "statistics: .*one step normalize"),
    "two steps": ({"fit": "{in}/train*", "steps": ["normalize", "normalize"]}, "fit: there must be one step normalize"),
    "a step with its own": ({"fit": "{in}/t*", "steps": [{"normalize": {"statistics": "a"}}]}, "fit: there must be one step"),
    "both": ({"fit": "{in}/train*", "statistics": "all"}, "fit: .*leave out statistics"),
    "an empty cohort": ({"fit": []}, "fit: there is no image to fit to"),
    "a cohort of nothing": ({"fit": "{in}/none*.zarr"}, "fit: nothing fits"),
    "no text": ({"fit": [1]}, r"fit\[0\]: must be a text"),
    "no input": ({"fit": "{in}/train 1.zarr", "inputs": "{in}/test*.zarr"}, "fit: .*train 1.zarr is none of the inputs"),
    "an output in it": ({"statistics": "{in}/a.zarr", "output": "{in}/a.zarr/b"}, "lie in each other"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_recipes_are_refused(case: str, stored: Path, tmp_path: Path) -> None:
    change, message = WRONG[case]
    (tmp_path / "out.json").write_text("p: 99")
    places = {"{in}": str(stored), "{out}": str(tmp_path / "out")}
    text = json.dumps(recipe(stored, tmp_path, **change))
    for name, place in places.items():
        text = text.replace(name, place)
    with pytest.raises(RecipeError, match=message):
        xprep.run(json.loads(text), progress=False)
    assert not (tmp_path / "out").exists()


def test_a_parameter_that_is_not_the_file_s_is_named(stored: Path, tmp_path: Path) -> None:
    write_dataset(xprep.open_image(stored / "train 1.zarr").prep.fit_normalize(sigma=1).compute(), tmp_path / "fit.json")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"inputs: {stored}/*.zarr\nstatistics: {tmp_path}/fit.json\nsteps:\n  - normalize:\n      p: 95\noutput: {tmp_path}/out\n"
    )
    with pytest.raises(RecipeError, match=r"line 5: steps\[0\]\.normalize\.p: p=95 is given beside statistics"):
        xprep.run(path, progress=False)


def test_plans_of_recipes_count_one_pass_of_what_is_applied_to(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(recipe(stored, tmp_path, fit=str(stored / "train*.zarr"))))
    done = command("plan", tmp_path / "r.json")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("in 1 pass,") == 2
    assert not (tmp_path / "out").exists()


def test_secrets_stay_out_of_recipes_with_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB", "lab-7")
    given = {"inputs": "s3://${LAB}/*.zarr", "fit": "s3://${LAB}/a*.zarr", "steps": ["normalize"], "output": "s3://o/"}
    assert [one.plain() for one in load_recipe(given).fit] == ["s3://lab-7/a*.zarr"]
    given = {"inputs": "a.zarr", "statistics": "s3://user:hunter22@b/f.json", "steps": ["normalize"], "output": "o"}
    assert "hunter22" not in repr(load_recipe(given))


def test_one_pass_from_store_to_store(stored: Path, tmp_path: Path) -> None:
    image, source = counted(cells(3), {"c": 1, "y": 24, "x": 32})
    fitted = xprep.open_image(stored / "train 1.zarr").prep.fit_normalize(sigma=0)
    image.prep.normalize(statistics=fitted.compute()).prep.to_ome_zarr(tmp_path / "x.zarr", scale_factors=(2,))
    assert source.reads_per_chunk == 1
    assert open_store(tmp_path / "x.zarr").exists("zarr.json")
