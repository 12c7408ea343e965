"""Mistakes on the command line and in recipes: each ends in a sentence that names the option or key and the value.

A table for each; an option, or a key, that has no row is missed here.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

import xprep
from tests.doors.mistakes import WRONG, Told, spellings
from xprep.batch.recipe import KEYS, STEPS, load_recipe
from xprep.batch.recipe_store import STORE
from xprep.cli.app import app
from xprep.options import Options

RECIPE: Final = {"inputs": "in.zarr", "steps": ["normalize"], "output": "out"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image and a recipe, to work in."""
    monkeypatch.chdir(tmp_path)
    xprep.datasets.blobs(channels=2, shape=(16, 16)).prep.to_ome_zarr("in.zarr", scale_factors=())
    Path("r.yaml").write_text("inputs: in.zarr\nsteps: [to_isotropic]\noutput: out\n")
    Path("list.json").write_text("[1]")
    return tmp_path


# A switch with a value; the words of the option parser.
SWITCH: Final = (Told("=yes", "does not take a value"),)
SECRET: Final = (Told("hush", "KEY=VALUE"), Told("@hush.json", "KEY=VALUE"), Told("@list.json", "KEY=VALUE"), Told("{hush",
    "KEY=VALUE"))
COUNT: Final = ("0", "-3", "x", "1.5", "")
SCHEDULER: Final = ("nope://x",)
REQUEST: Final[dict[str, tuple[Any, ...]]] = {
    "urls": (Told(["in.zarr"], "one input or more"), "no.zarr", Told(["in.zarr", "in.zarr"], "one place"),
             Told(["in.zarr", "x/in.zarr", "o"], "called 'in'"), "o.zip", "http://h/o.zarr", Told("", "empty")),
    "--p": ("101", "-1", "x", "0.99", Told("1,2", "1, 2"), "nan", Told("", "variable")),
    "--p-sum": ("101", "x", Told("", "variable")),
    "--p-post": ("-1", "0.999", "x", Told("", "variable")),
    "--sigma": ("wide", "-1", Told("1,2,3", "3 values"), Told("CD8=1", "CD8"), "1,,2", "nan", "CD3=1,CD3=2", Told("",
        "variable")),
    "--norm-sum": SWITCH,
    "--cap-max": ("many", "nan", Told("", "variable")),
    "--channels": ("CD8", "[", "7", "a,,b", Told("", "variable")),
    "--pool": ("median", ""),
    "--empty": ("zero", ""),
    "--dtype": ("int7", "uint8", Told("", "variable")),
    "--chunks": ("0", "w=3", "y=x", "32.0", Told("y=", "empty part"), "=3", "1,2", "y=1,y=2", Told("", "variable")),
    "--share": ("some", ""),
    "--statistics": ("none.json", Told("in.zarr", "xprep_statistics")),
    "--series": ("x", "-1", "1.5"),
    "--dims": ("cyq", Told("yy", "yy"), "c"),
    "--compression": ("rar", "zstd:x", "zstd:99"),
    "--checksum": SWITCH,
    "--overwrite": SWITCH,
    "--resume": SWITCH,
    "--fingerprint": ("",),
    "--scale-factors": ("0", "x", "2,,2", "1.5", '[{"z": 2}]', Told("", "variable")),
    "--method": ("median", ""),
    "--version": ("0.3", ""),
    "--layout": ("nested", ""),
    "--shards": ("0", "auto", "w=3", Told("", "variable")),
    "--storage-options": SECRET,
    "--intermediates": ("disk", ""),
    "--scheduler": SCHEDULER,
    "--workers": COUNT,
    "--scratch": (Told("", "empty"), "ftp://lab/x"),
    "--memory": ("lots", "-1", "0", Told("", "number of bytes")),
    "--quiet": SWITCH,
    "--debug": SWITCH,
}  # fmt: skip
BATCH: Final[dict[str, tuple[Any, ...]]] = {
    "recipe": ("no.yaml", "in.zarr", Told(["r.yaml", "more"], "more")),
    "--overwrite": SWITCH,
    "--report": ("no/such/r.json", "in.zarr/r.json", Told(".", "lie in each other"), Told("", "is a folder")),
    "--progress": ("loud", ""),
    "--scheduler": SCHEDULER,
    "--workers": COUNT,
    "--quiet": SWITCH,
    "--debug": SWITCH,
}
UNFITTED: Final = (
    "--compression", "--checksum", "--share",
    "urls", "--chunks", "--statistics", "--resume", "--fingerprint", "--scale-factors", "--method", "--version", "--layout",
        "--shards",
)  # fmt: skip
CONVERTED: Final = (
    "urls", "--series", "--dims", "--chunks", "--overwrite", "--resume", "--scale-factors", "--method", "--version", "--layout",
    "--shards", "--compression", "--checksum", "--storage-options", "--scheduler", "--workers", "--scratch", "--quiet", "--debug",
)  # fmt: skip
# What each command, and each of its options, does not take.
COMMANDS: Final[dict[str, dict[str, tuple[Any, ...]]]] = {
    "demo": {"folder": ("r.yaml",), "--debug": SWITCH},
    "info": {"url": ("no.zarr", "r.yaml", Told("", "empty"), "ftp://lab/x"), "--storage-options": SECRET, "--debug": SWITCH},
    "normalize": REQUEST,
    "plan": {option: values[:1] for option, values in REQUEST.items()},
    "fit": {
        "urls": (Told(["in.zarr"], "output"), Told(["no.zarr", "-o", "f.json"], "no.zarr"),
                 Told(["in.zarr", "in.zarr", "-o", "f.json"], "called 'in'")),
        "--output": ("f.txt", "in.zarr"),
        "--sample": ("x", "2", "0"), "--seed": (Told("x", "valid integer"),),
        **{option: values for option, values in REQUEST.items() if option not in UNFITTED},
    },
    "convert": {option: values[:1] for option, values in REQUEST.items() if option in CONVERTED},
    "run": {**BATCH, "--plan": SWITCH},
    "resume": BATCH,
    "status": {"recipe": ("no.yaml", "in.zarr", Told(["r.yaml", "more"], "more")), "--debug": SWITCH},
    "validate": {
        "url": ("no.zarr", "r.yaml", Told("", "empty")), "--samples": COUNT, "--json": SWITCH,
        "--output": ("no/such/v.json", ".", "in.zarr"), "--storage-options": SECRET, "--debug": SWITCH,
    },
    "verify": {"urls": ("no.zarr", "r.yaml", Told("", "empty")), "--storage-options": SECRET, "--quiet": SWITCH,
        "--debug": SWITCH},
    "scratch": {"url": (Told("", "empty"), "ftp://lab/x"), "--remove": SWITCH, "--storage-options": SECRET, "--debug": SWITCH},
    "view": {
        "urls": ("no.zarr", "r.yaml", Told("", "empty")), "--port": ("x", "-1", "65536"), "--browser": SWITCH,
        "--side-by-side": SWITCH, "--memory": REQUEST["--memory"], "--series": REQUEST["--series"], "--dims": REQUEST["--dims"],
        "--storage-options": SECRET, "--debug": SWITCH,
    },
    "compile": {"--dtype": ("float", Told("uint16,int7", "int7"), Told("", "variable")), "--quiet": SWITCH, "--debug": SWITCH},
    "versions": {},
}  # fmt: skip
# What a command is given where the mistake is in an option.
RIGHT: Final = {
    "normalize": ["in.zarr", "out.zarr"], "convert": ["in.zarr", "out.zarr"], "plan": ["in.zarr", "out.zarr"],
        "fit": ["in.zarr", "-o", "f.json"],
        "run": ["r.yaml"], "resume": ["r.yaml"],
    "view": ["in.zarr", "--no-browser"], "compile": [], "status": ["r.yaml"], "info": ["in.zarr"], "validate": ["in.zarr"], "verify": ["in.zarr"], "scratch": [], "demo": ["new"],
}  # fmt: skip


def test_every_option_of_every_command_has_a_row() -> None:
    group = typer.main.get_command(app)
    found = {
        name: {one.opts[0] if one.opts[0].startswith("-") else one.name for one in command.params if one.name != "help"}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    assert found == {name: set(options) for name, options in COMMANDS.items()}


def words_of(command: str, option: str, value: Any) -> list[str]:
    """Return what is typed."""
    given = value.value if isinstance(value, Told) else value
    if option.startswith("-"):
        return [command, *RIGHT[command], f"{option}{given}"] if value in SWITCH else [command, *RIGHT[command], option, given]
    if isinstance(given, list):
        return [command, *given]
    before = ["in.zarr"] if command in ("normalize", "plan", "convert") and given != "no.zarr" else []
    after = ["out.zarr"] if command in ("normalize", "plan", "convert") and given == "no.zarr" else []
    return [command, *before, given, *after]


@pytest.mark.parametrize("command", [name for name, options in COMMANDS.items() if options])
def test_a_mistake_on_the_command_line(command: str, here: Path) -> None:
    before, wrong = sorted(here.iterdir()), {}
    for option, value in [(option, value) for option, values in COMMANDS[command].items() for value in values]:
        ran = CliRunner().invoke(app, words_of(command, option, value), env={"COLUMNS": "400"})
        said = " ".join(re.sub("[│╭╮╰╯─]", " ", ran.output).split())
        name = option.strip("-").replace("-", "[-_]")
        words = value.words if isinstance(value, Told) else "|".join(map(re.escape, typed(value)))
        names = not option.startswith("-") or option == "--output" or re.search(name, said)  # a file is named by itself
        if ran.exit_code not in (1, 2) or not names or not re.search(words, said) or "Traceback" in said or "hush" in said:
            wrong[f"{option} {value}"] = f"{ran.exit_code} {said} {ran.exception!r}"
        if sorted(here.iterdir()) != before:
            pytest.fail(f"{option} {value}: {sorted(here.iterdir())}")
    assert not wrong, "\n".join(f"{row}: {said}" for row, said in wrong.items())


def typed(value: str) -> set[str]:
    """Return what a message may say of what was typed: itself, its parts, how many they are."""
    parts = [part for part in re.split(r'[,=/"{} ]', value) if part]
    return {*spellings(value), *map(repr, parts), f" {len(parts)} ", str(parts), value.rpartition("/")[0] or repr(value)}


# Keys of a recipe, and what they do not take.
KEY_MISTAKES: Final[dict[str, tuple[Any, ...]]] = {
    "inputs": (None, Told([], "no input"), 5, [5], {"a": 1}, Told("", "text")),
    "steps": (Told(None, "no step"), Told([], "no step"), Told("normalise", "did you mean 'normalize'"), [5], Told([{}], "none"),
              Told(["convert", "normalize"], "stands alone"), Told([{"convert": {"p": 9}}], "p"),
              Told([{"normalize": {}, "mask": {}}], "normalize, mask"), [{"normalize": 5}], [{"normalize": {"percentile": 9}}],
              Told([{"gaussian_filter": {}}], "'sigma' is missing"), Told([{"mask": None}], "'rois' is missing")),
    "output": (None, 5, ["a"], Told("", "text"), "{well}", "{name", "x.zip", "{index:x}"),
    "statistics": (None, 5, ["all"]),
    "fit": (None, Told([], "no image"), 5, True, {"a": 1}, Told("", "text")),
    "store": ("zarr", 5, ["a"], {"colour": 1}),
    "store.scale_factors": (2, "all", None),
    "store.method": ("median", None, 1),
    "store.version": ("0.3", 0.5, None),
    "store.layout": ("nested", None),
    "store.chunks": ("big", 32.5, True),
    "store.shards": ("auto", 32.5, True),
    "store.compression": ("rar", "zstd:x", 5),
    "store.checksum": ("yes", 1),
    "store.overwrite": ("yes", "true", 1, None),
    "settings": ("fast", 5, ["a"], {"colour": 1}),
    "storage_options": (Told("hush", "a text"), Told(["hush"], "a list"), Told(7, "a int|an int")),
}  # fmt: skip


def settings_rows() -> dict[str, tuple[Any, ...]]:
    """Return the mistakes in options, as a recipe has them."""
    return {f"settings.{key}": tuple(map(plain, values)) for key, values in WRONG["set_options"].items()}


def plain(value: Any) -> Any:
    """Return a wrong value as a recipe is told of it: of a tuple, a list."""
    return list(value) if isinstance(value, tuple) else value


def recipe_with(path: str, value: Any) -> dict[str, Any]:
    key, _, inner = path.partition(".")
    return {**RECIPE, key: {inner: value} if inner else value}


ALL_KEYS: Final = {**KEY_MISTAKES, **settings_rows()}


def test_every_key_of_a_recipe_has_a_row() -> None:
    options = [f"settings.{one.name}" for one in fields(Options)]
    assert set(ALL_KEYS) == {*KEYS, *(f"store.{key}" for key in STORE), *options}
    assert [key for key, values in ALL_KEYS.items() if not values] == []


@pytest.mark.parametrize("path", ALL_KEYS)
def test_a_mistake_in_a_recipe(path: str) -> None:
    wrong = {}
    for value in ALL_KEYS[path]:
        given = value.value if isinstance(value, Told) else value
        words = value.words if isinstance(value, Told) else "|".join(map(re.escape, {*spellings(value), *kinds(value)}))
        try:
            load_recipe(recipe_with(path, given))
            wrong[str(value)] = "nothing"
        except xprep.RecipeError as error:
            said = str(error)
            if not said.startswith(f"recipe: {path}") or not re.search(words, said) or "hush" in said or len(said) > 500:
                wrong[str(value)] = said
    assert not wrong, "\n".join(f"{row}: {said}" for row, said in wrong.items())


def kinds(value: Any) -> set[str]:
    """Return how a recipe's errors call what is no scalar."""
    return {dict: {"a mapping"}, list: {"a list"}, type(None): {"nothing"}}.get(type(value), set())


# Names that an image may have and another not; these no image has.
OF_AN_IMAGE: Final = {"channels": 1.5, "rois": 5, "statistics": "none.json"}


def steps_rows() -> list[tuple[str, str, Any]]:
    """Return a mistake of every parameter of every step: of those of the functions, what YAML can say and fits no image."""
    found = []
    for name in STEPS:
        for parameter, values in WRONG[name].items():
            sayable = [one for one in values if isinstance(one, str | int | float | list | dict | bool)]
            if parameter != "image" and sayable:
                found.append((name, parameter, OF_AN_IMAGE.get(parameter, sayable[0])))
    return found


def test_every_parameter_of_every_step_has_a_row() -> None:
    have = {(name, parameter) for name, parameter, _ in steps_rows()}
    for name, operation in STEPS.items():
        parameters = [one.name for one in inspect.signature(operation).parameters.values() if one.kind is not one.VAR_KEYWORD]
        assert {(name, one) for one in parameters[1:]} - have == set()


def test_a_mistake_in_a_step(here: Path) -> None:
    """Said of the key, before any image is begun."""
    needed: dict[str, Any] = {
        "gaussian_filter": {"sigma": 1}, "rescale": {"factors": {"y": 0.5}}, "project": {"dim": "c"}, "mask": {"rois": "cells"},
    }  # fmt: skip
    labels = (xprep.open_image("in.zarr").isel(c=0, drop=True) > 9).astype("uint8")
    xprep.open_image("in.zarr").compute().prep.to_ome_zarr("labelled.zarr", labels={"cells": labels.compute()}, scale_factors=())
    before, wrong = sorted(here.iterdir()), {}
    for name, parameter, value in steps_rows():
        recipe = {**RECIPE, "inputs": "labelled.zarr", "steps": [{name: {**needed.get(name, {}), parameter: value}}]}
        try:
            wrong[f"{name}.{parameter}={value!r}"] = str(xprep.run(recipe, progress=False))
        except (xprep.RecipeError, KeyError, FileNotFoundError) as error:
            if parameter not in str(error) or not re.search("|".join(map(re.escape, spellings(value))), str(error)):
                wrong[f"{name}.{parameter}={value!r}"] = str(error)
    assert not wrong, "\n".join(f"{row}: {said}" for row, said in wrong.items())
    assert sorted(here.iterdir()) == before
