"""The commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import xarray as xr
from rich.console import Console

import xprep
from xprep import images
from xprep.cli import batch
from xprep.cli.arguments import Debug, StorageOptions
from xprep.cli.bar import Bar
from xprep.cli.compile import compile_kernels
from xprep.cli.convert import convert
from xprep.cli.examples import epilog
from xprep.cli.failures import reported
from xprep.cli.fit import fit
from xprep.cli.interrupts import interruptible
from xprep.cli.plates import find_batch
from xprep.cli.request import Request, taking_request
from xprep.cli.tables import make_console, print_plan, print_reports, print_store
from xprep.cli.validate import validate
from xprep.cli.values import parse_storage_options
from xprep.cli.verify import verify
from xprep.cli.view import view
from xprep.engine import running
from xprep.io.store.local_paths import stem
from xprep.options import set_options
from xprep.version import show_versions, version

if TYPE_CHECKING:
    from xprep.io.commit.scratch import Leftover

app = typer.Typer(
    name="xprep",
    no_args_is_help=True,
    # rich's tracebacks print the values of local variables: credentials among them.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        make_console().print(f"xprep {version()}", highlight=False)
        raise typer.Exit


@app.callback()
def _xprep(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)] = False,
) -> None:
    """Streaming preprocessing of microscopy images that are larger than memory, from (OME-)Zarr and TIFF to OME-Zarr."""


@app.command(epilog=epilog("demo"))
def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("xprep-demo"), debug: Debug = False
) -> None:
    """Run the whole job on a real image that comes with xprep: no argument, no network."""
    from xprep.cli.demo import run_demo

    out, err = make_console(), make_console(stderr=True)
    with reported(err, debug=debug):
        run_demo(folder, out, err)


@app.command(no_args_is_help=True, epilog=epilog("info"))
def info(
    url: Annotated[str, typer.Argument(help="A Zarr store, a zip file of one, a TIFF file: path or URL.")],
    storage_options: StorageOptions = None,
    debug: Debug = False,
) -> None:
    """Say what is in a store: levels, chunks, compression, channels, labels, and whether it is finished."""
    options = parse_storage_options(storage_options or [])
    with reported(make_console(stderr=True), debug=debug, secrets=[options, url]):
        print_store(make_console(), images.describe_store(url, options))


@app.command(no_args_is_help=True, epilog=epilog("normalize"))
@taking_request
def normalize(request: Request) -> None:
    """Normalise an image for pixel clustering, and write it as OME-Zarr with its pyramid.

    Several inputs are the fields of view of one experiment: they share statistics, and OUT is their results' folder. So are the
    fields of a plate, of which OUT is a plate.
    """
    if request.recipe is not None:
        raise typer.BadParameter(f"a recipe is run by: xprep run {request.recipe}", param_hint="IN… OUT")
    err = make_console(stderr=True)
    with reported(err, debug=request.debug, secrets=request.secrets), interruptible():
        if (many := find_batch("normalize", request)) is not None:
            batch.run_found(*many, request, err)
            return
        how = images.WriteOptions(storage_options=request.storage_options, **request.store)
        with set_options(**request.settings), running.connect(request.scheduler, request.workers):
            results = _normalized(request)
            bytes_read = xprep.plan(xr.DataTree.from_dict(_nodes(results))).bytes_read
            with Bar(err, quiet=request.quiet) as bar:
                reports = images.write_images(list(zip(results, request.outputs, strict=True)), how, progress=bar)
        if not request.quiet:
            print_reports(make_console(), reports.values(), bytes_read)


@app.command(no_args_is_help=True, epilog=epilog("plan"))
@taking_request
def plan(request: Request) -> None:
    """Say what `normalize` with the same arguments, or a RECIPE alone, would do: passes, bytes, memory; it writes nothing."""
    if request.recipe is not None:
        batch.plan_recipe(request.recipe, request.scheduler, request.workers, request.debug)
        return
    err = make_console(stderr=True)
    with reported(err, debug=request.debug, secrets=request.secrets):
        if (many := find_batch("normalize", request)) is not None:
            with running.connect(request.scheduler, request.workers):
                batch.print_plans(*many)
            return
        how = images.WriteOptions(storage_options=request.storage_options, **request.store)
        with set_options(**request.settings), running.connect(request.scheduler, request.workers):
            normalized = _normalized(request)
            images.check_writing(list(zip(normalized, request.outputs, strict=True)), how)
            results = xr.DataTree.from_dict(_nodes(normalized))
            found = xprep.plan(results, chunks=request.store["chunks"], shards=request.store["shards"])
        print_plan(make_console(), found, request.outputs)


def _normalized(request: Request) -> list[xr.DataArray]:
    """Return the lazy results, one for each input; they share statistics."""
    from xprep.io.dataset_files import read_dataset

    parameters = request.parameters
    if (file := parameters.get("statistics")) is not None:
        parameters = {**parameters, "statistics": read_dataset(file, request.storage_options)}
    results = xprep.normalize(images.open_fields(request.inputs, request.storage_options, **request.source), **parameters)
    if isinstance(results, xr.DataArray):
        return [results]
    return [results[f"/{name}"]["image"].rename(name) for name in map(stem, request.inputs)]


def _nodes(results: list[xr.DataArray]) -> dict[str, xr.Dataset]:
    return {f"/{n}": image.to_dataset(name="image") for n, image in enumerate(results)}


_COMMANDS: dict[str, Any] = {
    "convert": convert, "fit": fit, "run": batch.run, "resume": batch.resume, "status": batch.show_status,
    "validate": validate, "verify": verify, "view": view,
}  # fmt: skip
for _name, _action in _COMMANDS.items():
    app.command(_name, no_args_is_help=True, epilog=epilog(_name))(_action)


app.command("compile", epilog=epilog("compile"))(compile_kernels)


@app.command(epilog=epilog("scratch"))
def scratch(
    url: Annotated[str | None, typer.Argument(help="Where intermediates are spilled; the system's temporary folder.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete what no running process owns.")] = False,
    storage_options: StorageOptions = None,
    debug: Debug = False,
) -> None:
    """List, and remove, the spilled intermediates of runs that crashed."""
    from xprep.io.commit.scratch import find_scratch

    options = parse_storage_options(storage_options or [])
    out = make_console()
    with reported(make_console(stderr=True), debug=debug, secrets=[options, url]):
        found = find_scratch(url, options)
        for leftover in found:
            _treat(leftover, remove, out)
        if not found:
            out.print("no scratch space was left behind.")


def _treat(leftover: Leftover, remove: bool, out: Console) -> None:
    """Say whose a scratch folder is, and remove it where that was asked for and its owner does not run."""
    state = {True: "in use", False: "left behind", None: "its process cannot be seen from here"}[leftover.is_alive]
    going = remove and leftover.is_alive is not True
    if going:
        leftover.remove()
    owner = f", {leftover.owner}" if leftover.owner else ""
    out.print(f"{'removed' if going else 'found'} {leftover.url}: {state}{owner}", soft_wrap=True)


@app.command(epilog=epilog("versions"))
def versions() -> None:
    """Print what a report of a problem should say: versions of Python, the system and the packages."""
    make_console().print(show_versions(), soft_wrap=True)
