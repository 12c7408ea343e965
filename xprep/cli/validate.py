"""``xprep validate``: whether stores are what OME-Zarr and their own metadata promise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xprep import images
from xprep.cli.arguments import Debug, StorageOptions
from xprep.cli.failures import FAILED, reported
from xprep.cli.tables import make_console
from xprep.cli.values import parse_count, parse_storage_options


def check_file(output: Path) -> None:
    """Refuse a file that cannot be written, before anything is looked at.

    Raises
    ------
    FileNotFoundError, FileExistsError
        There is no such folder, or it is one.
    """
    if output.is_dir():
        raise FileExistsError(f"--output {output} is a folder; give a file.")
    if not output.absolute().parent.is_dir():
        folder = output.absolute().parent
        raise FileNotFoundError(f"there is no folder {folder} for --output {output}; make it, or give another file.")


def validate(
    url: Annotated[str, typer.Argument(help="An OME-Zarr image, plate or series: path or URL.")],
    samples: Annotated[
        Any, typer.Option(help="Regions of every level that are recomputed.", parser=parse_count, metavar="NUMBER")
    ] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the report, as JSON, to this file too.")] = None,
    storage_options: StorageOptions = None,
    debug: Debug = False,
) -> None:
    """Check metadata, chunks and levels of a store, whoever wrote it. The exit code is 1 if something is wrong."""
    options = parse_storage_options(storage_options or [])
    with reported(make_console(stderr=True), debug=debug, secrets=[options, url]):
        if output is not None:
            check_file(output)
        found = images.validate(url, samples=samples, storage_options=options)
        if output is not None:
            output.write_text(found.to_json() + "\n", encoding="utf-8")
    make_console().print(found.to_json() if as_json else str(found), soft_wrap=True)
    if not found.is_valid:
        raise typer.Exit(FAILED)
