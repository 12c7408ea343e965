"""``xprep validate``: whether stores are what OME-Zarr and their own metadata promise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprep.cli.arguments import Debug, StorageOptions
from xprep.cli.failures import FAILED, reported
from xprep.cli.tables import make_console
from xprep.cli.values import parse_storage_options
from xprep.images import validate as validate_store


def validate(
    url: Annotated[str, typer.Argument(help="An OME-Zarr image, plate or series: path or URL.")],
    samples: Annotated[int, typer.Option(help="Regions of every level that are recomputed.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the report, as JSON, to this file too.")] = None,
    storage_options: StorageOptions = None,
    debug: Debug = False,
) -> None:
    """Check metadata, chunks and levels of a store, whoever wrote it. The exit code is 1 if something is wrong."""
    options = parse_storage_options(storage_options or [])
    with reported(make_console(stderr=True), debug=debug, secrets=[options, url]):
        found = validate_store(url, samples=samples, storage_options=options)
        if output is not None:
            output.write_text(found.to_json() + "\n", encoding="utf-8")
    make_console().print(found.to_json() if as_json else str(found), soft_wrap=True)
    if not found.is_valid:
        raise typer.Exit(FAILED)
