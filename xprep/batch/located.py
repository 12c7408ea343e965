"""YAML whose values know their line: what is wrong with a recipe is said where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NoReturn

# A recipe of hundreds of inputs has some thousand values; more is a mistake, or an alias that multiplies itself.
MAX_BYTES: Final = 2**20
MAX_VALUES: Final = 100_000


class RecipeError(ValueError):
    """A recipe that cannot be followed; the text says which line and key."""


@dataclass(frozen=True)
class Located:
    """A value of a recipe: a scalar, a list of these, or a mapping to these; and where it stands."""

    value: Any
    where: str
    path: str = ""

    def refuse(self, problem: str) -> NoReturn:
        """Raise a `RecipeError` that names the line and the key."""
        key = f"{self.path}: " if self.path else ""
        raise RecipeError(f"{self.where}: {key}{problem}")

    def plain(self) -> Any:
        """Return the value without lines."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return [item.plain() for item in self.value] if isinstance(self.value, list) else self.value

    def items(self) -> list[Located]:
        """Return the entries of a list; one value is a list of one."""
        return self.value if isinstance(self.value, list) else [self]

    def mapping(self, known: Sequence[str] | None = None, needed: Sequence[str] = ()) -> dict[str, Located]:
        """Return a mapping with no other keys than the ``known`` ones, and all that are ``needed``."""
        if not isinstance(self.value, dict):
            self.refuse(f"must be a mapping; got {_kind(self.value)}.")
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
            self.refuse(f"must be a text; got {_kind(self.value)}.")
        return self.value

    def choice(self, choices: Sequence[str]) -> str:
        """Return a text among ``choices``."""
        if self.value not in choices:
            self.refuse(f"must be one of {', '.join(choices)}; got {self.value!r}{_hint(str(self.value), choices)}.")
        return str(self.value)


def _hint(key: str, known: Sequence[str]) -> str:
    near = get_close_matches(str(key), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return {dict: "a mapping", list: "a list"}[type(value)]
    return "nothing" if value is None else repr(value)


def locate(value: Any, where: str = "recipe", path: str = "") -> Located:
    """Return Python's mappings and lists as located values, without lines."""
    if isinstance(value, Mapping):
        found = {str(key): locate(item, where, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
        return Located(found, where, path)
    if isinstance(value, list | tuple):
        return Located([locate(item, where, f"{path}[{i}]") for i, item in enumerate(value)], where, path)
    return Located(value, where, path)


def read_yaml(text: str, name: str) -> Located:
    """Return the YAML document ``text``, found in the file ``name``.

    Raises
    ------
    RecipeError
        It is no YAML, too large, or has a key twice.
    ImportError
        PyYAML is not installed.
    """
    if find_spec("yaml") is None:
        raise ImportError("recipes in YAML need PyYAML, which is not installed: pip install 'xprep[cli]'.")
    yaml: Any = import_module("yaml")
    if len(text) > MAX_BYTES:
        raise RecipeError(f"{name} has {len(text)} bytes; a recipe has at most {MAX_BYTES}.")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise RecipeError(f"{name} is empty.")
        return _Reader(name, yaml).read(root, "")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}, line {mark.line + 1}" if mark is not None else name
        raise RecipeError(f"{where}: that is no YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise RecipeError(f"{name} is nested too deeply.") from None


class _Reader:
    def __init__(self, name: str, yaml: Any) -> None:
        self._name, self._yaml, self._count = name, yaml, 0
        self._scalars = yaml.SafeLoader("")

    def read(self, node: Any, path: str) -> Located:
        where = f"{self._name}, line {node.start_mark.line + 1}"
        self._count += 1
        if self._count > MAX_VALUES:
            raise RecipeError(f"{where}: the recipe has more than {MAX_VALUES} values.")
        if isinstance(node, self._yaml.MappingNode):
            return Located(self._mapping(node, path), where, path)
        if isinstance(node, self._yaml.SequenceNode):
            return Located([self.read(item, f"{path}[{i}]") for i, item in enumerate(node.value)], where, path)
        return Located(self._scalars.construct_object(node), where, path)

    def _mapping(self, node: Any, path: str) -> dict[str, Located]:
        found: dict[str, Located] = {}
        for key_node, value_node in node.value:
            key = str(self.read(key_node, path).value)
            value = self.read(value_node, f"{path}.{key}".lstrip("."))
            if key in found:
                value.refuse("this key is there twice.")
            found[key] = Located(value.value, f"{self._name}, line {key_node.start_mark.line + 1}", value.path)
        return found
