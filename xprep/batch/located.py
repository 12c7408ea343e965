"""Values that know where they stand: what is wrong with a recipe is said there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

from xprep.redaction import redact, redact_text


class RecipeError(ValueError):
    """A recipe with an error; the text says in which line and key."""


@dataclass(frozen=True)
class LocatedText:
    """A value of a recipe: a scalar, a list of these, or a mapping to these; where it stands, and how a scalar is spelled there.

    ``source`` is for names: a channel that is called ``007`` or ``null`` is written so. Its ``repr`` has no value, which may be a
    secret.
    """

    value: Any = field(repr=False)
    where: str
    path: str = ""
    source: str | None = field(default=None, repr=False)

    @property
    def is_secret(self) -> bool:
        """Whether its value is never shown: options of stores are."""
        return re.match(r"(storage_options|settings\.scratch_options)\b", self.path) is not None

    @property
    def shown(self) -> str:
        """What a message says of its value."""
        kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
        if type(self.value) in kinds:
            return kinds[type(self.value)]
        if self.is_secret:
            return "a text" if isinstance(self.value, str) else f"a {type(self.value).__name__}"
        return redact_text(repr(redact(self.value) if isinstance(self.value, str) else self.value))

    def refuse(self, problem: str) -> NoReturn:
        """Raise a `RecipeError` that names the line and the key."""
        key = f"{self.path}: " if self.path else ""
        raise RecipeError(f"{self.where}: {key}{problem}")

    def plain(self) -> Any:
        """Return the value without lines."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return [item.plain() for item in self.value] if isinstance(self.value, list) else self.value

    def items(self) -> list[LocatedText]:
        """Return the entries of a list; one value is a list of one."""
        return self.value if isinstance(self.value, list) else [self]

    def mapping(self, known: Sequence[str] | None = None, needed: Sequence[str] = ()) -> dict[str, LocatedText]:
        """Return a mapping with no other keys than the ``known`` ones, and all that are ``needed``."""
        if not isinstance(self.value, dict):
            self.refuse(f"must be a mapping; got {self.shown}.")
        for key, item in self.value.items():
            if known is not None and key not in known:
                item.refuse(f"unknown key {key!r}{_hint(key, known)}; known are {', '.join(known)}.")
        for key in needed:
            if key not in self.value:
                self.refuse(f"the key {key!r} is missing.")
        return self.value

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.value, str) or not self.value:
            self.refuse(f"must be a text; got {self.shown}.")
        return self.value

    def choice(self, choices: Sequence[str]) -> str:
        """Return a text among ``choices``."""
        if self.value not in choices:
            self.refuse(f"must be one of {', '.join(choices)}; got {self.shown}{_hint(str(self.value), choices)}.")
        return str(self.value)


def _hint(key: str, known: Sequence[str]) -> str:
    near = get_close_matches(str(key), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def locate(value: Any, where: str = "recipe", path: str = "") -> LocatedText:
    """Return Python's mappings and lists as located values, without lines."""
    if isinstance(value, Mapping):
        found: dict[str, LocatedText] = {}
        for key, item in value.items():
            one = locate(item, where, f"{path}.{key}".lstrip("."))
            if str(key) in found:
                one.refuse("this key is there twice.")
            found[str(key)] = one
        return LocatedText(found, where, path)
    if isinstance(value, list | tuple):
        return LocatedText([locate(item, where, f"{path}[{i}]") for i, item in enumerate(value)], where, path)
    return LocatedText(value, where, path)
