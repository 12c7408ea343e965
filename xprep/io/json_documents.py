"""JSON documents: metadata as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from xprep.errors import StoreFormatError

# A plate's consolidated metadata takes some MB; a metadata file of more than this is an attack or a mistake.
METADATA_BYTES: Final = 64 * 2**20


def encode_json(value: Mapping[str, Any]) -> bytes:
    """Return ``value`` as JSON; NaN and infinities, which JSON has not, are refused."""
    return json.dumps(value, indent=2, allow_nan=False).encode()


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in ``data``, a metadata file at ``where``.

    Raises
    ------
    StoreFormatError
        Not JSON, not an object, too large or nested too deeply.
    """
    if len(data) > METADATA_BYTES:
        raise StoreFormatError(f"{where} has {len(data)} bytes; metadata has at most {METADATA_BYTES}.")
    try:
        value = json.loads(data)
    except RecursionError:
        raise StoreFormatError(f"{where} is nested too deeply to be metadata.") from None
    except ValueError as error:
        raise StoreFormatError(f"{where} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise StoreFormatError(f"{where} holds a JSON {type(value).__name__}; metadata is an object.")
    return value
