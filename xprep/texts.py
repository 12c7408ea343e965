"""Text from stores and paths, made safe to show: in a terminal, an error, a report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

# Printable ones that turn no text around and move no cursor are left: `str.isprintable` knows them, and space.
_LINES: Final = "\n\t"


def make_safe(text: str, keep: str = "") -> str:
    r"""Return ``text`` with every character that is not printable as its escape, but for those in ``keep``.

    Control characters (ESC and C1 begin commands of a terminal), line ends, and marks that turn the direction of what follows.

    Examples
    --------
    >>> make_safe("cells \x1b[2J µm \u202e"), make_safe("a\nb\r", keep="\n")
    ('cells \\x1b[2J µm \\u202e', 'a\nb\\r')
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else one.encode("unicode_escape").decode() for one in text)


def make_safe_lines(text: str) -> str:
    """Return ``text`` of several lines made safe; what is from elsewhere in it was made safe before, line ends included."""
    return make_safe(text, _LINES)


def encode_safe_json(value: Any, indent: int | None = None) -> str:
    r"""Return ``value`` as JSON in which every character that is not printable is escaped, and others are not.

    Examples
    --------
    >>> encode_safe_json({"unit": "µm\x9b"})
    '{"unit": "µm\\u009b"}'
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if text.isprintable() else re.sub(r"[^\n -~]", _escape, text)


def html_table(caption: str, rows: Iterable[Sequence[str]]) -> str:
    """Return what a notebook shows as a table: a caption, and rows of text, left-aligned, whose line ends are kept.

    Examples
    --------
    >>> html_table("a <b>", [("x", "1")])
    '<table><caption>a &lt;b&gt;</caption><tr><td style="text-align:left">x</td><td style="text-align:left">1</td></tr></table>'
    """
    cell = '<td style="text-align:left">{}</td>'
    lines = ("".join(cell.format(escape(text).replace("\n", "<br>")) for text in row) for row in rows)
    return f"<table><caption>{escape(caption)}</caption>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _escape(found: re.Match[str]) -> str:
    one = found.group()
    return one if one.isprintable() else json.dumps(one)[1:-1]
