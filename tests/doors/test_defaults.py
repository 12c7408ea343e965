"""What is told in several places, for whoever reads one of them, is the same everywhere: how images are stored by default."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import pytest

import xprep
from xprep.batch.recipe_store import STORE as OF_RECIPES
from xprep.cli import arguments
from xprep.cli.convert import convert
from xprep.cli.request import STORE, _request
from xprep.images import WriteOptions
from xprep.io.commit.image_store import Layout
from xprep.io.ome_model import VERSIONS
from xprep.types import INTERMEDIATES, METHODS

DEFAULTS = {field.name: field.default for field in fields(WriteOptions)}
TOLD: dict[str, Callable[..., Any]] = {
    "xprep.to_ome_zarr": xprep.to_ome_zarr, "xprep normalize": _request, "xprep convert": convert
}  # fmt: skip
CHOICES = {
    "method": (arguments.Method, METHODS),
    "version": (arguments.Version, sorted(VERSIONS)),
    "layout": (arguments.Layout, get_args(Layout)),
    "intermediates": (arguments.Intermediates, INTERMEDIATES),
}


@pytest.mark.parametrize("name", TOLD)
def test_defaults_of_the_writer(name: str) -> None:
    told = {one.name: one.default for one in inspect.signature(TOLD[name]).parameters.values() if one.name in DEFAULTS}
    assert set(STORE) <= set(told)
    assert told == {one: DEFAULTS[one] for one in told}


def test_what_recipes_and_commands_say_of_the_store_the_writer_knows() -> None:
    assert {*OF_RECIPES, *STORE} <= set(DEFAULTS)


@pytest.mark.parametrize(("argument", "choices"), CHOICES.values(), ids=CHOICES)
def test_help_names_every_choice(argument: Any, choices: Any) -> None:
    assert argument.__metadata__[0].metavar == "|".join(choices)
