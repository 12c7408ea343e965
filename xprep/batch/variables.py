"""Variables of the environment in a recipe: ``${NAME}`` where a URL or an option of a store can stand."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from xprep.batch.located import LocatedText

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# What holds URLs and options of stores; keys of a recipe, and of its settings.
EXPANDED: Final = re.compile(r"(inputs|fit|output|statistics|storage_options|settings\.scratch_url|settings\.scratch_options)\b")


def expand(given: LocatedText) -> LocatedText:
    """Return a value with ``${NAME}`` replaced from the environment: so that no recipe needs to hold a secret.

    Raises
    ------
    RecipeError
        There is no such variable; or it stands where no variables are read.
    """
    return LocatedText(_expanded(given), given.where, given.path, given.source)


def _expanded(given: LocatedText) -> Any:
    if isinstance(given.value, dict):
        for key in given.value:
            if _VARIABLE.search(key):
                given.refuse(f"variables are read in values only; got the key {key!r}.")
        return {key: expand(one) for key, one in given.value.items()}
    if isinstance(given.value, list):
        return [expand(one) for one in given.value]
    if not isinstance(given.value, str) or not (names := _VARIABLE.findall(given.value)):
        return given.value
    if not EXPANDED.match(given.path):
        given.refuse(
            f"${{{names[0]}}}: variables are read in inputs, fit, output, statistics, storage_options, "
            "settings.scratch_url and settings.scratch_options; write the value out."
        )
    return _VARIABLE.sub(lambda match: _value_of(match[1], given), given.value)


def _value_of(name: str, given: LocatedText) -> str:
    value = os.environ.get(name)
    if value is None:
        given.refuse(f"there is no variable {name} in the environment.")
    if given.path == "output" and re.search("[{}]", value):
        given.refuse(f"the variable {name} holds a brace, which would begin a field such as {{name}}; rename the folder.")
    return value
