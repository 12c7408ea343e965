"""How a recipe says that results are stored, and which settings and options of stores it has."""

from __future__ import annotations

from dataclasses import fields
from types import NoneType
from typing import Any, Final, get_args

from xprep.batch.located import LocatedText
from xprep.images import WriteOptions
from xprep.io.ome_model import VERSIONS
from xprep.options import Options
from xprep.redaction import redact_text

# What a recipe may say of `WriteOptions`.
STORE: Final = ("scale_factors", "method", "version", "layout", "chunks", "shards", "overwrite", "compression", "checksum")


def check_kind(given: LocatedText, kind: Any) -> None:
    """Refuse a text for a switch, which Python would take for true; what else a value may be its operation knows."""
    kinds = get_args(kind) or (kind,)
    if bool in kinds and not isinstance(given.value, bool) and not (given.value is None and NoneType in kinds):
        hint = ": write true or false, without quotes" if isinstance(given.value, str) else ""
        given.refuse(f"must be true or false; got {given.plain()!r}{hint}.")


def read_store(given: LocatedText) -> WriteOptions:
    """Return how results are stored."""
    options = given.mapping(STORE)
    version = options["version"].plain() if "version" in options else None
    # Codecs are of a version; where that is wrong, it is said of the version.
    fitting = {"version": version} if version in VERSIONS else {}
    for key, one in options.items():
        if key in ("overwrite", "checksum"):
            check_kind(one, bool)
        try:
            _check_stored(key, one.plain())
            WriteOptions(**{**fitting, key: one.plain()})
        except (ValueError, TypeError) as error:
            one.refuse(str(error))
    return WriteOptions(**given.plain())


def _check_stored(key: str, value: Any) -> None:
    """Refuse what no image could be stored by; what depends on the image is said when it is opened."""
    if key == "scale_factors" and value != "auto" and not isinstance(value, list):
        raise ValueError(f"must be auto or a list with one entry a level, such as [2, 2]; got {value!r}.")
    if key in ("chunks", "shards") and (isinstance(value, bool) or not isinstance(value, int | list | dict | None)):
        raise ValueError(f"must be a number of pixels, or a mapping such as {{y: 512, x: 512}}; got {value!r}.")


def read_settings(given: LocatedText) -> dict[str, Any]:
    """Return what `xprep.set_options` is to be given."""
    found = given.mapping(tuple(one.name for one in fields(Options)))
    plain: dict[str, Any] = {}
    for key, one in found.items():
        plain[key] = one.plain()
        if isinstance(getattr(Options, key, None), bool):
            check_kind(one, bool)
        try:
            Options.checked({key: plain[key]})
        except (ValueError, TypeError) as error:
            one.refuse(redact_text(str(error), plain[key]) if key.startswith("scratch") else str(error))
    return plain


def read_options(given: LocatedText) -> dict[str, Any]:
    """Return options of stores."""
    return {key: one.plain() for key, one in given.mapping().items()}
