"""Notes that a later run relies on: each names its format and carries its checksum, so that one that is torn is noticed.

A note is a line: the format, the crc32c of the rest in eight hexadecimal digits, JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from xprep.errors import StoreFormatError
from xprep.io.codecs.chains import checksum_of

FORMAT: Final = "xprep-note-1"


def encode_note(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object as a note.

    Examples
    --------
    >>> encode_note({"a": 1})
    b'xprep-note-1 cff7d56a {"a":1}'
    """
    body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return f"{FORMAT} {checksum_of(body):08x} ".encode() + body


def decode_note(data: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object that `encode_note` got, from the note that lies ``where``.

    Raises
    ------
    StoreFormatError
        It is torn or was changed; or it is of another format, as other versions write.
    """
    head, _, rest = data.partition(b" ")
    checksum, _, body = rest.partition(b" ")
    if head != FORMAT.encode():
        raise StoreFormatError(f"{where} is incomplete, or another version of xprep wrote it: it does not begin with {FORMAT!r}.")
    if checksum != b"%08x" % checksum_of(body):
        raise StoreFormatError(f"{where} is incomplete or was changed: its checksum does not match.")
    found: dict[str, Any] = json.loads(body)
    return found
