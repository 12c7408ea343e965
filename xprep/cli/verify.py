"""``xprep verify``: whether stores still hold what was written."""

from __future__ import annotations

from typing import Annotated

import typer

from xprep import images
from xprep.cli.arguments import Debug, Quiet, StorageOptions
from xprep.cli.bar import Bar
from xprep.cli.failures import FAILED, reported
from xprep.cli.tables import make_console
from xprep.cli.values import parse_storage_options


def verify(
    urls: Annotated[list[str], typer.Argument(metavar="URL…", help="Stores that xprep wrote: paths or URLs.")],
    storage_options: StorageOptions = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare every chunk with the checksum that was kept when it was written. The exit code is 1 if any is not the same."""
    options = parse_storage_options(storage_options or [])
    err, out = make_console(stderr=True), make_console()
    with reported(err, debug=debug, secrets=[options, *urls]), Bar(err, quiet=quiet) as bar:
        found = [images.verify(url, storage_options=options, progress=bar) for url in urls]
    for one in found:
        if not quiet or not one.is_whole:
            out.print(str(one), style=None if one.is_whole else "red", soft_wrap=True)
    if not all(one.is_whole for one in found):
        raise typer.Exit(FAILED)
