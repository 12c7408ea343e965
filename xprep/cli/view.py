"""``xprep view``: stores in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import xprep
from xprep.cli.arguments import Debug, Dims, Series, StorageOptions
from xprep.cli.failures import reported
from xprep.cli.interrupts import until_interrupted
from xprep.cli.tables import make_console
from xprep.cli.values import parse_memory, parse_storage_options

if TYPE_CHECKING:
    from xprep.viewer.session import ViewerPage


def view(
    urls: Annotated[list[str], typer.Argument(metavar="URL…", help="Stores or files: paths or URLs; several are layers.")],
    port: Annotated[int, typer.Option(help="Of the page, on this machine only; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser; not so for an ssh tunnel.")] = True,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="A panel for each URL, all at the same place.")] = False,
    memory: Annotated[
        Any, typer.Option(help="What tiles may occupy, such as 1GiB.", parser=parse_memory, metavar="BYTES")
    ] = "512MiB",
    series: Series = None,
    dims: Dims = None,
    storage_options: StorageOptions = None,
    debug: Debug = False,
) -> None:
    """Show stores in the browser, with their labels, at every level; Ctrl-C ends it.

    The address has a random token, and answers on this machine only. From elsewhere: ssh -L PORT:127.0.0.1:PORT machine.
    """
    options = parse_storage_options(storage_options or [])
    with reported(make_console(stderr=True), debug=debug, secrets=[options, *urls]):
        how: dict[str, Any] = {"memory": memory, "series": series, "dims": dims, "storage_options": options}
        with xprep.view(*urls, side_by_side=side_by_side, port=port, browser=False, **how) as shown:
            _announce(shown, make_console(), make_console(stderr=True))
            if browser:
                shown.open_browser()
            with until_interrupted():
                shown.wait()


def _announce(shown: ViewerPage, out: Console, err: Console) -> None:
    """Print the address, on a line of its own and at once, and what is to be known of the images."""
    out.print(shown.url, soft_wrap=True, highlight=False, markup=False)
    out.file.flush()
    for remark in shown.remarks:
        err.print(remark, soft_wrap=True, highlight=False, markup=False)
