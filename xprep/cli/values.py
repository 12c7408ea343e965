"""What is typed on a command line as Python values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from xprep.io.store.urls import parse as parse_url
from xprep.sizes import parse_bytes
from xprep.types import WrittenName


def parse_value(text: Any) -> Any:
    """Return ``none``, a number, a list ``1,2``, a mapping ``y=1,x=2``, JSON, or the text itself; names stay as written.

    Examples
    --------
    >>> parse_value("none"), parse_value("99.5"), parse_value("1,2"), parse_value("y=64,x=64"), parse_value('["CD3"]')
    (None, 99.5, [1, 2], {'y': 64, 'x': 64}, ['CD3'])
    """
    if not isinstance(text, str):
        return text
    text = text.strip()
    if text.startswith(("[", "{")):
        found = _json(text)
        return {WrittenName(name): value for name, value in found.items()} if isinstance(found, dict) else found
    if "," in text or "=" in text:
        parts = _parts(text)
        return _mapping(parts) if "=" in text else [_scalar(part) for part in parts]
    return _scalar(text)


def _parts(text: str) -> list[str]:
    """Return what stands between commas, of which one may be the last."""
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    if not all(parts):
        raise typer.BadParameter(f"{text!r} has an empty part: a variable that is not set? Write none where no value is meant.")
    return parts


def _scalar(text: str) -> Any:
    _parts(text)
    if text.lower() == "none":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _mapping(parts: list[str]) -> dict[str, Any]:
    pairs = [_pair(part) for part in parts]
    if len(found := dict(pairs)) < len(pairs):
        raise typer.BadParameter(f"{','.join(parts)!r} names one thing twice.")
    return found


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is no NAME=VALUE.")
    return WrittenName(name), _scalar(value)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no JSON: {error}") from None


def parse_list(text: Any) -> Any:
    """Return `parse_value` of ``text``, in a list where it is one thing only.

    Examples
    --------
    >>> parse_list("CD3"), parse_list("CD3,CD8"), parse_list("none")
    (['CD3'], ['CD3', 'CD8'], None)
    """
    value = parse_value(text)
    return value if value is None or isinstance(value, list | dict) else [value]


def parse_names(text: Any) -> Any:
    """Return names of channels as they are written, ``488`` too; ``none`` alone is no choice, a comma needs JSON.

    Examples
    --------
    >>> parse_names("CD3"), parse_names("488,none"), parse_names('["CD3", "a, b", 488]'), parse_names("none")
    (['CD3'], ['488', 'none'], ['CD3', 'a, b', '488'], None)
    """
    if not isinstance(text, str) or text.strip().lower() == "none":
        return None if isinstance(text, str) else text
    if not text.strip().startswith("["):
        return [WrittenName(name) for name in _parts(text)]
    return [one if isinstance(one, str) else WrittenName(json.dumps(one)) for one in _json(text)]


def parse_factors(text: Any) -> Any:
    """Return ``auto``, or a tuple with an entry a level; ``none`` is no level but the first.

    Examples
    --------
    >>> parse_factors("auto"), parse_factors("2,2"), parse_factors("none")
    ('auto', (2, 2), ())
    """
    return "auto" if text == "auto" else tuple(parse_list(text) or ())


def parse_codecs(text: Any) -> Any:
    """Return the text, or codecs from JSON.

    Examples
    --------
    >>> parse_codecs("none"), parse_codecs('{"name": "zstd"}')
    ('none', {'name': 'zstd'})
    """
    return _json(text) if isinstance(text, str) and text.lstrip().startswith(("[", "{")) else text


def parse_memory(text: Any) -> int | None:
    """Return a number of bytes, as `xprep.sizes.parse_bytes` reads it."""
    try:
        found = None if text is None else parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if found == 0:
        raise typer.BadParameter(f"{text!r} is not a size above 0; give a number of bytes, such as '8 GiB'.")
    return found


def parse_count(text: Any) -> int | None:
    """Return a whole number of at least 1."""
    if isinstance(text, str) and not (text.strip().isdecimal() and int(text) > 0):
        raise typer.BadParameter(f"{text!r} is no whole number of at least 1.")
    return int(text) if isinstance(text, str) else text


def parse_place(text: Any) -> str | None:
    """Return a folder or a URL that can be written to, as it was given."""
    if isinstance(text, str):
        try:
            parse_url(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        return text
    return None


def parse_storage_options(texts: list[str]) -> dict[str, Any]:
    """Return fsspec's options from JSON, a file of JSON (``@s3.json``), or ``KEY=VALUE``, where ``a.b=1`` nests.

    No message of this function holds what was given: it is a secret.

    Examples
    --------
    >>> parse_storage_options(["anon=true", "client_kwargs.endpoint_url=http://localhost:9000"])
    {'anon': True, 'client_kwargs': {'endpoint_url': 'http://localhost:9000'}}
    """
    found: dict[str, Any] = {}
    for text in texts:
        _merge(found, _options(text))
    return found


def _options(text: str) -> dict[str, Any]:
    wrong = "--storage-options takes a JSON object, @FILE with one, or KEY=VALUE."
    try:
        if text.startswith("@"):
            text = Path(text[1:]).read_text()
        if text.lstrip().startswith("{"):
            given: dict[str, Any] = json.loads(text)
            return given
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{wrong} ({type(error).__name__})") from None
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(wrong)
    *outer, last = key.split(".")
    nested: Any = {last: {"true": True, "false": False}.get(value.lower(), value)}
    for name in reversed(outer):
        nested = {name: nested}
    return dict(nested)


def _merge(target: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value
