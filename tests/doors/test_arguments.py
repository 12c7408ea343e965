"""Mistakes in arguments: every parameter of every public function is given what it does not take, and says so by name.

The rows are in `tests.doors.mistakes`; whoever adds a function or a parameter adds a row.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xprep
from tests.doors.mistakes import CALLS, ROWS, WRONG, Told, spellings
from xprep.accessor import ImagePrep
from xprep.ops.rescale import IsotropicOptions
from xprep.options import Options


class Thing:
    """An object of no use."""


VALUES: tuple[Any, ...] = (
    None, "nonsense", ["a"], {"a": 1}, 1.5, float("nan"), float("inf"), -1, 0, 1e9, b"raw", Thing(), True, np.array([1.0, 2.0]),
)  # fmt: skip
# What others say of a mistake that they meet: Python, numpy, numba, matplotlib.
FOREIGN = (
    "not supported between", "has no len()", "not iterable", "could not convert", "dictionary update", "expected str, bytes",
    "nopython", "object has no attribute", "unsupported operand", "must be real number, not", "cannot be interpreted",
    "setting an array element", "invalid literal",
)  # fmt: skip
IMAGE = ("image", "images")
DRAWN = ("compare", "plot_channels", "plot_histograms", "plot_projections", "plot_rois")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield all that is public and takes arguments, as `CALLS` calls it; ufuncs are numpy's, and say what numpy says."""
    for prefix, place, names in (
        ("", xprep, xprep.__all__), ("rois.", xprep.rois, xprep.rois.__all__), ("datasets.", xprep.datasets, ("blobs", "cells")),
    ):  # fmt: skip
        for name in names:
            if inspect.isfunction(one := getattr(place, name)):
                yield prefix + name, one
    yield "RoiTable", xprep.RoiTable
    for name, one in inspect.getmembers(xprep.RoiTable, lambda one: inspect.isfunction(one) or inspect.ismethod(one)):
        if not name.startswith("_"):
            yield f"RoiTable.{name}", one
    yield "set_options", Options


def parameters_of(function: Callable[..., Any]) -> set[str]:
    found = inspect.signature(function).parameters.values()
    return {one.name for one in found if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) and one.name != "self"}


def test_every_parameter_has_a_row() -> None:
    wanted = {name: parameters_of(function) for name, function in public()}
    wanted["to_isotropic"] |= set(IsotropicOptions.__annotations__)
    assert set(wanted) == set(WRONG) == set(CALLS)
    assert {name: left for name, parameters in wanted.items() if (left := parameters - WRONG[name].keys())} == {}
    assert [(name, key) for name, keys in WRONG.items() for key, values in keys.items() if not values] == [
        ("rois.broadcastable", "x"), ("rois.broadcastable", "y"),  # whatever has a shape, and all has one
    ]  # fmt: skip


def test_every_method_is_one_of_the_functions() -> None:
    """The accessor's methods take what the functions take, and are tried with the same rows."""
    methods = {name: one for name, one in inspect.getmembers(ImagePrep, inspect.isfunction) if not name.startswith("_")}
    assert {name: parameters_of(one) for name, one in methods.items()} == {
        name: parameters_of(getattr(xprep, name)) - {*IMAGE} for name in methods
    }
    assert set(methods) <= set(WRONG)


@pytest.mark.parametrize("name", CALLS)
def test_a_mistake_ends_in_a_sentence(name: str, here: Path) -> None:
    """Of any value, either it is taken or an error of ours says why not; nothing ends in another library's words."""
    function, right = CALLS[name]
    given = {one.name for one in fields(Options)} if name == "set_options" else parameters_of(function)
    for parameter in sorted(given):
        for value in VALUES if name not in DRAWN else VALUES[1:4]:
            try:
                function(**{**right, parameter: value})
            except (TypeError, ValueError, KeyError, OSError) as error:
                said = str(error.args[0]) if isinstance(error, KeyError) else str(error)
                assert not any(words in said for words in FOREIGN), (parameter, value, said)
                assert len(said.split()) >= 4, (parameter, value, said)


def ways(name: str, right: dict[str, Any]) -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    """Return how a function is called: itself, and as a method of an image."""
    function, rest = CALLS[name][0], {key: one for key, one in right.items() if key not in IMAGE}
    image = right.get("image", right.get("images"))
    return [(function, right), *([(getattr(image.prep, name), rest)] if hasattr(getattr(image, "prep", None), name) else [])]


@pytest.mark.parametrize("name", WRONG)
def test_the_sentence_names_the_argument_and_the_value(name: str, here: Path) -> None:
    right = {**CALLS[name][1], **({"url": "a.zarr"} if name == "to_ome_zarr" else {})}
    rows = [(parameter, value) for parameter, values in WRONG[name].items() for value in values]
    found = {f"{parameter}={value!r}": unlike(name, right, parameter, value) for parameter, value in rows}
    assert {row: said for row, said in found.items() if said} == {}
    assert not list(here.iterdir())


def unlike(name: str, right: dict[str, Any], parameter: str, value: Any) -> str:
    """Return what is said of a mistake if it is not as it should be."""
    words, given = (value.words, value.value) if isinstance(value, Told) else ("|".join(map(re.escape, spellings(value))), value)
    for function, arguments in ways(name, {**right, parameter: given}):
        try:
            function(**arguments)
        except (TypeError, ValueError, KeyError, FileNotFoundError) as error:
            said = str(error.args[0]) if isinstance(error, KeyError) else str(error)
            told = (parameter in said or parameter in (*IMAGE, "url")) and re.search(words, said)
            short = len(said.split()) >= 4 and len(said) <= 400 and "\n" not in said
            if not told or not short or any(foreign in said for foreign in (*FOREIGN, "hush")):
                return f"{type(error).__name__}: {said}"
        else:
            return "nothing"
    return ""


def test_there_are_many() -> None:
    assert len(ROWS) >= 900
