"""Recipes in YAML: what plain text stands for (1.2, core schema), and what is refused, with its line and its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xprep.batch import RecipeError, load_recipe
from xprep.batch.yaml import read_yaml

# As it is written, and what it stands for.
SCALARS: dict[str, Any] = {
    "true": True, "False": False, "null": None, "~": None, "": None, "Null": None, "!!null ''": None, "!!bool true": True,
    "12": 12, "-7": -7, "+7": 7, "010": 10, "0o17": 15, "0x1F": 31, "!!int 3": 3, "1.5": 1.5, ".5": 0.5, "1.": 1.0, "1e3": 1000.0,
    "!!float 2": 2.0, "-.inf": -np.inf, ".INF": np.inf, "9" * 30: int("9" * 30),
    # Text in 1.2, and something else in 1.1: switches, numbers to the base 60, with underscores, of two bits, dates.
    "yes": "yes", "No": "No", "on": "on", "OFF": "OFF", "y": "y", "N": "N", "1:30": "1:30", "1_000": "1_000", "0b11": "0b11",
    "2024-01-31": "2024-01-31", "2024-13-45": "2024-13-45", "=": "=", "tRUE": "tRUE", "0o8": "0o8", "1e": "1e",
    "'12'": "12", '"true"': "true", "!!str 12": "12", "|\n  x\n": "x\n",
}  # fmt: skip


@pytest.mark.parametrize("text", SCALARS, ids=lambda text: text[:20])
def test_scalars(text: str) -> None:
    found = read_yaml(f"a: {text}\n", "r.yaml").mapping()["a"]
    assert found.value == SCALARS[text]
    assert type(found.value) is type(SCALARS[text])
    assert found.where == "r.yaml, line 1"


def test_not_a_number() -> None:
    assert np.isnan(read_yaml("[.nan]", "r").items()[0].value)


@pytest.mark.parametrize("text", ["NO", "007", "null", "1.50", "0x1F", "~", "2024-01-31", "true"])
def test_names_keep_their_spelling(text: str) -> None:
    """As a key, and where a scalar is asked how it is spelled."""
    found = read_yaml(f"{text}: {text}\n", "r.yaml").mapping()
    assert list(found) == [text]
    assert found[text].source == text


# What stands below `sigma:` in line 3, and what is said of it.
REFUSED = {
    "9" * 5000: r"'9{37}\.\.\.' cannot be read as a value: Exceeds the limit",
    "1e999": "'1e999' cannot be read as a value: it is larger than any number here",
    "!!int abc": "'abc' cannot be read as a value: it is no int",
    "!!int 1.5": "it is no int",
    "!!float abc": "it is no float",
    "!!bool abc": "it is no bool",
    "!!bool yes": "it is no bool",
    "!!null x": "it is no null",
    "!!timestamp 2024-01-01": "the tag !!timestamp is not read",
    "!!binary aGk=": "the tag !!binary is not read",
    "!!set {a, b}": "the tag !!set is not read",
    "!!omap [a: 1]": "the tag !!omap is not read",
    "!!python/object/apply:os.system [ls]": "the tag !!python/object/apply:os.system is not read",
    "!secret x": "the tag !secret is not read",
    "*one": r"the alias \*one: aliases are not read; write the value out",
    "[1, *one]": r"\[1\]: the alias \*one",
    "{<<: {a: 1}}": r"merge keys \(<<\) are not read",
    "{<<: *one}": "merge keys",
    "{a: 1, a: 2}": "a: this key is there twice",
    "{1: 1, '1': 2}": "1: this key is there twice",
    "{a: 1, !!str a: 2}": "a: this key is there twice",
    "{[a]: 1}": "a key is a text",
    "{*one : 1}": r"the alias \*one",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_values_that_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"inputs: [&one a]\nsteps: [{{gaussian_filter:\n  {{sigma: {text}}}}}]\noutput: o\n")
    with pytest.raises(RecipeError, match=rf"^r\.yaml, line 3: steps\[0\]\.gaussian_filter\.sigma.*{REFUSED[text]}"):
        load_recipe(path)


def test_an_alias_of_itself_and_a_bomb_are_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 60))
    for text in ("a: &x [*x]", bomb):
        with pytest.raises(RecipeError, match="aliases are not read"):
            read_yaml(text, "r.yaml")


@pytest.mark.parametrize("text", ["", "a: [", "a: b: c", "\x00", "- 1\n--- \n- 2\n", "[" * 3000, "a: *none", "%YAML 9.9\n--- a"])
def test_what_is_no_yaml(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml"):
        read_yaml(text, "r.yaml").mapping()


def test_a_key_that_stands_twice_in_a_mapping() -> None:
    with pytest.raises(RecipeError, match=r"recipe: settings\.1: this key is there twice"):
        load_recipe({"inputs": "a", "steps": ["to_isotropic"], "output": "o", "settings": {1: 1, "1": 2}})


SWITCHES = ("yes", "no", "on", "off", "Yes", "NO", "y", "n", "'true'", '"false"', "0", "1", "2024-01-01")
PLACES = (
    "store: {{overwrite: {}}}", "settings: {{outside_links: {}}}", "settings: {{history: {}}}",
    "steps: [{{normalize: {{norm_sum: {}}}}}]",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", SWITCHES)
def test_switches_are_true_or_false(tmp_path: Path, place: str, text: str) -> None:
    path, steps = tmp_path / "r.yaml", "" if "steps" in place else "steps: [to_isotropic]\n"
    path.write_text(f"inputs: a\noutput: o\n{steps}{place.format(text)}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml, line \d: .*(overwrite|links|history|norm_sum): must be true or false"):
        load_recipe(path)


# Outputs, and what is said of those that are refused.
OUTPUTS = {
    "{index:s}": r"\{index:s\} is no form of \{index\}",
    "{index:99999999d}": "is no form",
    "{index:x}": "is no form",
    "{index:,}": "is no form",
    "{index:{name}}": "is no form",
    "{index!r}": "is no form",
    "{name:>300}": "is no form",
    "{name!s}": "is no form",
    "{name.__class__}": r"unknown field \{name\.__class__\}",
    "{name[0]}": "unknown field",
    "{}": "unknown field",
    "{0}": "unknown field",
    "{well}": "unknown field",
    "{name": "expected '}'",
    "}": "Single '}'",
    "x.zip": "with the name of a file",
    "{name}.ome.tif": "with the name of a file",
    "out/{name}.ozx/": "with the name of a file",
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_that_are_refused(tmp_path: Path, output: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"inputs: a\nsteps: [to_isotropic]\noutput: '{output}'\n")
    with pytest.raises(RecipeError, match=rf"r\.yaml, line 3: output: .*{OUTPUTS[output]}"):
        load_recipe(path)


@pytest.mark.parametrize("output", ["{index:03}", "{index:3d}", "{index:d}", "{index}", "{name}_{index:04d}", "{{x}}"])
def test_outputs_that_are_patterns(output: str) -> None:
    assert load_recipe({"inputs": "a", "steps": ["to_isotropic"], "output": output}).output == output
