"""Rules of a specification as data: a path in a JSON document, a check, and the sentence that says what must be there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xprep.io.json_nodes import brief, is_number
from xprep.io.ome_model import VERSIONS, Version

ABSENT: Final = object()
Check = Callable[[Any], bool]


class Doubt(str):
    """What breaks a rule that valid documents of the specification's own suites break too: told, and not refused."""

    __slots__ = ()


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Parameters
    ----------
    path : str
        Keys joined by ``/``; ``[]`` after one stands for every entry of a list.
    check : callable
        Whether a value that is there keeps the rule.
    sentence : str
        What it must be, as "must be" goes on.
    needed : bool
        Whether it must be there, where the object that it belongs to is; null is not there.
    versions : tuple of str
        Of OME-Zarr.
    """

    path: str
    check: Check
    sentence: str
    needed: bool = False
    versions: tuple[Version, ...] = VERSIONS


def find_broken(rules: Sequence[Rule], value: Any, where: str, version: Version) -> Iterator[str]:
    """Yield, for every one of ``rules`` that ``value`` breaks, a sentence that says where.

    Examples
    --------
    >>> rule = Rule("rows[]/name", is_text, "a text", needed=True)
    >>> list(find_broken([rule], {"rows": [{"name": "A"}, {"name": 1}, {}]}, "plate", "0.5"))
    ['plate.rows[1].name must be a text; got 1.', 'plate.rows[2].name is missing; it must be a text.']
    """
    for rule in rules:
        if version not in rule.versions:
            continue
        for place, found in find_values(value, rule.path, where):
            if found is ABSENT or found is None:
                if rule.needed:
                    yield f"{place} is missing; it must be {rule.sentence}."
            elif not rule.check(found):
                yield f"{place} must be {rule.sentence}; got {brief(found)}."


def find_values(value: Any, path: str, where: str) -> Iterator[tuple[str, Any]]:
    """Yield what lies at ``path``, and where; what is not there in an object that is there as `ABSENT`."""
    key, _, rest = path.partition("/")
    name = key.removesuffix("[]")
    if not isinstance(value, Mapping):
        return
    found, place = value.get(name, ABSENT), f"{where}.{name}" if where else name
    if name == key:
        below = [(place, found)]
    else:
        below = [(f"{place}[{i}]", one) for i, one in enumerate(found)] if isinstance(found, list) else []
    for there, one in below:
        if rest:
            yield from find_values(one, rest, there)
        else:
            yield there, one


def is_object(value: Any) -> bool:
    """Whether it is an object."""
    return isinstance(value, Mapping)


def is_list(value: Any) -> bool:
    """Whether it is a list."""
    return isinstance(value, list)


def is_filled(value: Any) -> bool:
    """Whether it is a list with entries."""
    return isinstance(value, list) and bool(value)


def is_objects(value: Any) -> bool:
    """Whether it is a list of one object or more."""
    return is_filled(value) and all(isinstance(one, Mapping) for one in value)


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_name(value: Any) -> bool:
    """Whether it is a text that is not empty."""
    return isinstance(value, str) and value != ""


def is_flag(value: Any) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; 1.0 is one, as in JSON Schema."""
    return is_number(value) and float(value).is_integer()


def is_natural(value: Any) -> bool:
    """Whether it is a whole number of at least 0."""
    return is_whole(value) and value >= 0


def is_positive_whole(value: Any) -> bool:
    """Whether it is a whole number of at least 1."""
    return is_whole(value) and value >= 1


def is_numbers(value: Any) -> bool:
    """Whether it is a list of finite numbers."""
    return is_filled(value) and all(map(is_number, value))


def is_positive_numbers(value: Any) -> bool:
    """Whether it is a list of finite numbers above 0."""
    return is_numbers(value) and all(number > 0 for number in value)


def is_matrix(value: Any) -> bool:
    """Whether it is a list of rows, lists of numbers of one length."""
    return is_filled(value) and all(map(is_numbers, value)) and len({len(row) for row in value}) == 1


def is_indices(value: Any) -> bool:
    """Whether it is a list of whole numbers of at least 0, each once."""
    return is_filled(value) and all(map(is_natural, value)) and len(set(value)) == len(value)


def one_of(*values: Any) -> Check:
    """Return a check for one of ``values``."""
    return lambda value: any(type(value) is type(one) and value == one for one in values)


def matching(pattern: str) -> Check:
    """Return a check for a text that ``pattern`` matches as a whole."""
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def find_repeated(value: Any, path: str, where: str) -> Iterator[str]:
    """Yield a sentence for every value at ``path`` that stands there a second time."""
    seen: dict[str, str] = {}
    for place, found in find_values(value, path, where):
        if found is not ABSENT and (first := seen.setdefault(f"{type(found).__name__} {found!r}", place)) != place:
            yield f"{place} is {brief(found)}, as {first} is; each must be there once."
