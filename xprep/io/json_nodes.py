"""A place in JSON: what is wrong there is said with its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

from xprep.errors import StoreFormatError


@dataclass(frozen=True)
class Node:
    """A value in metadata, and where it stands: what is asked of it is checked."""

    value: Any
    where: str

    def refuse(self, problem: str) -> NoReturn:
        """Raise StoreFormatError."""
        raise StoreFormatError(f"{self.where}: {problem}")

    def at(self, key: str) -> Node:
        """Return the entry ``key`` of an object, a missing one as None."""
        if not isinstance(self.value, Mapping):
            self.refuse(f"must be an object; got {brief(self.value)}.")
        return Node(self.value.get(key), f"{self.where}.{key}")

    def items(self, least: int = 1, most: int = 10_000) -> list[Node]:
        """Return the entries of a list."""
        if not isinstance(self.value, Sequence) or isinstance(self.value, str):
            self.refuse(f"must be a list; got {brief(self.value)}.")
        if not least <= len(self.value) <= most:
            self.refuse(f"must have {least} to {most} entries; got {len(self.value)}.")
        return [Node(item, f"{self.where}[{i}]") for i, item in enumerate(self.value)]

    def text(self, default: str | None = None) -> str:
        """Return a string."""
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str):
            self.refuse(f"must be a string; got {brief(self.value)}.")
        return self.value

    def numbers(self, count: int) -> tuple[float, ...]:
        """Return ``count`` finite numbers."""
        items = self.items(count, count) if isinstance(self.value, list | tuple) and len(self.value) == count else None
        if items is None:
            self.refuse(f"must be a list of {count} numbers, one per axis; got {brief(self.value)}.")
        if not all(is_number(item.value) for item in items):
            self.refuse(f"must be finite numbers; got {brief(self.value)}.")
        return tuple(float(item.value) for item in items)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and isfinite(value)


def brief(value: Any, most: int = 80) -> str:
    """Return a JSON value, or what an error says, as an error shows it: in at most so many letters."""
    text = str(value) if isinstance(value, Exception) else _shortened(value, most)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _shortened(value: Any, most: int) -> str:
    """Return the repr of the beginning of what is long; a number of more digits than Python spells by its size."""
    try:
        return repr(value[:most] if isinstance(value, str | list | tuple) else value)
    except ValueError:
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
