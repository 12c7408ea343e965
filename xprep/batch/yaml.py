"""Recipes in YAML: 1.2's core schema, and nothing that makes one text mean two things."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isinf
from typing import Any, Final, NoReturn

from xprep.batch.located import LocatedText, RecipeError
from xprep.extras import load

# A recipe of hundreds of inputs has some thousand values; more is a mistake.
MAX_BYTES: Final = 2**20
MAX_VALUES: Final = 100_000

_TAG: Final = "tag:yaml.org,2002:"
_ALIAS: Final = "alias"
_FLOAT: Final = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_SPECIAL: Final = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"


def _whole(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)


def _real(text: str) -> float:
    found = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if isinf(found) and "inf" not in text.lower():
        raise ValueError("it is larger than any number here")
    return found


# The core schema: which plain text is of which type, in this order, and what it stands for. 1:30, 1_000, yes, no, dates are text.
_CORE: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "null": (r"null|Null|NULL|~|", lambda _: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _whole),
    "float": (rf"{_FLOAT}|{_SPECIAL}", _real),
    "str": (r"(?s:.*)", str),
}


def read_yaml(text: str, name: str) -> LocatedText:
    """Return the YAML document ``text``, found in the file ``name``.

    Raises
    ------
    RecipeError
        It is no YAML, too large, has a key twice, an alias, a tag that is not the core schema's, or a value that its tag does
        not take.
    ImportError
        PyYAML is not installed.
    """
    yaml = load("yaml", "cli", "a recipe in YAML", "PyYAML")
    if len(text) > MAX_BYTES:
        raise RecipeError(f"{name} has {len(text)} bytes; a recipe has at most {MAX_BYTES}.")
    try:
        root = yaml.compose(text, Loader=_loader(yaml))
        if root is None:
            raise RecipeError(f"{name} is empty.")
        return _Reader(name, yaml).read(root, "")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}, line {mark.line + 1}" if mark is not None else name
        raise RecipeError(f"{where}: that is no YAML: {_problem(error)}") from None
    except RecursionError:
        raise RecipeError(f"{name} is nested too deeply.") from None


def _problem(error: Exception) -> str:
    """Return what PyYAML says, without the names that it quotes: a password that begins with ``!`` or ``&`` is one."""
    text = str(getattr(error, "problem", None) or error)
    return re.sub(r"\b(handle|anchor|alias|directive) b?('.*?'|\".*?\")(?=;|,|$| )", r"\1", text)


def _loader(yaml: Any) -> Any:
    """Return a loader that takes plain text for what the core schema says, and aliases for values of their own."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is not yaml.ScalarNode:
                return f"{_TAG}{'seq' if kind is yaml.SequenceNode else 'map'}"
            plain = isinstance(implicit, tuple) and implicit[0]
            found = (key for key, (pattern, _) in _CORE.items() if re.fullmatch(pattern, value))
            return _TAG + (next(found) if plain else "str")

        def compose_node(self, parent: Any, index: Any) -> Any:
            if not self.check_event(yaml.AliasEvent):
                return super().compose_node(parent, index)
            event = self.get_event()
            return yaml.ScalarNode(_ALIAS, event.anchor, event.start_mark, event.end_mark)

    return Loader


class _Reader:
    def __init__(self, name: str, yaml: Any) -> None:
        self._name, self._yaml, self._count = name, yaml, 0

    def read(self, node: Any, path: str) -> LocatedText:
        where = self._where(node)
        self._count += 1
        if self._count > MAX_VALUES:
            raise RecipeError(f"{where}: the recipe has more than {MAX_VALUES} values.")
        if isinstance(node, self._yaml.ScalarNode):
            return _scalar(node, where, path)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            _refuse_tag(node, where, path)
        if isinstance(node, self._yaml.MappingNode):
            return LocatedText(self._mapping(node, path), where, path)
        return LocatedText([self.read(item, f"{path}[{i}]") for i, item in enumerate(node.value)], where, path)

    def _where(self, node: Any) -> str:
        return f"{self._name}, line {node.start_mark.line + 1}"

    def _mapping(self, node: Any, path: str) -> dict[str, LocatedText]:
        found: dict[str, LocatedText] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            value = self.read(value_node, f"{path}.{key}".lstrip("."))
            here = LocatedText(value.value, self._where(key_node), value.path, value.source)
            if key in found:
                here.refuse("this key is there twice.")
            found[key] = here
        return found

    def _key(self, node: Any, path: str) -> str:
        """Return a key as it is spelled."""
        at = LocatedText(None, self._where(node), path)
        if not isinstance(node, self._yaml.ScalarNode):
            at.refuse("a key is a text, and no list or mapping.")
        if node.value == "<<" and node.style is None:
            at.refuse("merge keys (<<) are not read; write the entries out.")
        return _scalar(node, at.where, path).source or ""


def _scalar(node: Any, where: str, path: str) -> LocatedText:
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if node.tag == _ALIAS:
        at = LocatedText(None, where, path)
        name = "an alias" if at.is_secret else f"the alias *{text}"
        at.refuse(f"{name}: aliases are not read; write the value out, or put a text that begins with '*' in quotes.")
    if kind not in _CORE or not node.tag.startswith(_TAG):
        _refuse_tag(node, where, path)
    pattern, make = _CORE[kind]
    try:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"it is no {kind}")
        return LocatedText(make(text), where, path, text)
    except ValueError as error:
        at = LocatedText(text if len(text) <= 40 else f"{text[:37]}...", where, path)
        why = f"it is no {kind}" if at.is_secret else str(error).partition(";")[0]
        at.refuse(f"{at.shown} cannot be read as a value: {why}.")


def _refuse_tag(node: Any, where: str, path: str) -> NoReturn:
    at = LocatedText(None, where, path)
    tag = "a tag" if at.is_secret else f"the tag {node.tag.replace(_TAG, '!!')}"
    at.refuse(
        f"{tag} is not read; leave it out (those of str, int, float, bool, null are), or put a text that begins with '!' in "
        "quotes."
    )
