"""Docstrings and errors are sentences: no names of classes in the place of words, and none of the phrases that were riddles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import paths

MODULES = sorted((paths.ROOT / "xprep").rglob("*.py"))
# A renaming of classes put their names into prose: "MeasureHow far the surround reaches".
NAME_AS_WORD = re.compile(r"(?:^|[.:;] |\n\s*)([A-Z][a-z]+(?:[A-Z][a-z]+)+) (?:are|far|many|much|of|the) ")
OWN_WORDS = {"DataArray", "DataTree", "RoiTable"}
RIDDLES = ("time that is none", "factors that are none", "is none that xprep", "are those of then", "nobody can say")


def texts(module: Path) -> Iterator[str]:
    """Yield every text of a module, docstrings among them."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(("text", "found"), [("MeasureHow far it reaches.", True), ("A DataArray of the image.", False)])
def test_what_is_looked_for(text: str, found: bool) -> None:
    assert bool(set(NAME_AS_WORD.findall(text)) - OWN_WORDS) is found


def test_no_name_of_a_class_stands_for_a_word() -> None:
    found = {name: module.name for module in MODULES for text in texts(module) for name in NAME_AS_WORD.findall(text)}
    assert {name: where for name, where in found.items() if name not in OWN_WORDS} == {}


@pytest.mark.parametrize("riddle", RIDDLES)
def test_no_text_is_a_riddle(riddle: str) -> None:
    assert [module.name for module in MODULES for text in texts(module) if riddle in " ".join(text.split())] == []
