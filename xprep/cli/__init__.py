"""The command ``xprep``: parse, call, report."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec


def main() -> None:
    """Run the command ``xprep``; typer and rich, which it needs, come with the extra ``cli``."""
    if missing := [name for name in ("typer", "rich") if find_spec(name) is None]:
        sys.stderr.write(f"the command xprep needs {' and '.join(missing)}: pip install 'xprep[cli]'\n")
        raise SystemExit(1)
    import_module("xprep.cli.app").app()
