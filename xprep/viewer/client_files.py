"""The built client, as files of neuroglancer's package, which is not imported: it brings Google's libraries."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from xprep.extras import missing

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.(js|css|wasm|html|map)")
TYPES: Final = {
    "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "wasm": "application/wasm",
    "html": "text/html; charset=utf-8", "map": "application/json",
}  # fmt: skip


def client_folder() -> Path:
    """Return where the files of the client lie.

    Raises
    ------
    ImportError
        They are not installed; it names the extra.
    """
    spec = find_spec("neuroglancer")
    folders = [Path(one) / "static" / "client" for one in (spec.submodule_search_locations or ()) if one] if spec else []
    found = next((one for one in folders if (one / "index.html").is_file()), None)
    if found is None:
        raise missing("neuroglancer", "view", "the viewer")
    return found


def client_file(folder: Path, name: str) -> tuple[str, bytes]:
    """Return the type and the contents of a file of the client.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    found = _NAME.fullmatch(name or "index.html")
    path = folder / (name or "index.html")
    if found is None or not path.is_file():
        raise KeyError(name)
    return TYPES[found[1]], path.read_bytes()
