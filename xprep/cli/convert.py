"""``xprep convert``: a plain copy of an image as OME-Zarr, with its pyramid, compared with what was written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import xarray as xr
from rich.console import Console

from xprep import images
from xprep.cli import arguments as given
from xprep.cli import batch
from xprep.cli.bar import Bar
from xprep.cli.failures import reported
from xprep.cli.interrupts import interruptible
from xprep.cli.plates import find_fields
from xprep.cli.request import Request, check_urls, output_urls, settings_of, store_options
from xprep.cli.tables import make_console, print_reports
from xprep.cli.values import parse_storage_options
from xprep.engine import running
from xprep.options import set_options

if TYPE_CHECKING:
    from xprep.images import Report


def convert(
    urls: given.Urls,
    series: given.Series = None,
    dims: given.Dims = None,
    chunks: given.Chunks = None,
    overwrite: given.Overwrite = False,
    resume: given.Resume = False,
    scale_factors: given.ScaleFactors = "auto",
    method: given.Method = "mean",
    version: given.Version = "0.5",
    layout: given.Layout = "dual",
    shards: given.Shards = None,
    compression: given.Compression = None,
    checksum: given.Checksum = None,
    storage_options: given.StorageOptions = None,
    scheduler: given.Scheduler = None,
    workers: given.Workers = None,
    scratch: given.Scratch = None,
    quiet: given.Quiet = False,
    debug: given.Debug = False,
) -> None:
    """Copy an image to OME-Zarr, with a pyramid: from TIFF, a zip file, another Zarr; every pixel, channel name and label.

    Several inputs go to the folder OUT. A plate, or several series of one store, is one again. What was written is read again
    and compared before it is called done.
    """
    how = store_options(locals())
    check_urls(urls)
    err = make_console(stderr=True)
    request = Request(
        inputs=tuple(urls[:-1]), outputs=output_urls(urls[:-1], urls[-1]), parameters={}, store=how,
        storage_options=parse_storage_options(storage_options or []), settings=settings_of(scratch, None),
        scheduler=scheduler, workers=workers, quiet=quiet, debug=debug, source={"series": series, "dims": dims}, share="each",
    )  # fmt: skip
    with reported(err, debug=debug, secrets=request.secrets), interruptible():
        recipe, tasks = find_fields("convert", request)
        _refuse_files_of_several(dict.fromkeys(task.plate for task in tasks if task.made), request)
        if any(task.made for task in tasks):
            batch.run_found(recipe, tasks, request, err)
        else:
            _copy_images(request, err)


def _refuse_files_of_several(containers: Iterable[str], request: Request) -> None:
    """Raise the error that lists the series of a file: which are meant is said by ``--series``, or by a path."""
    from xprep.io.store.files.stores import kind_of_file
    from xprep.io.store.places import open_store

    for url in containers:
        if kind_of_file(open_store(url, request.storage_options)):
            images.open_image(url, **request.source, storage_options=request.storage_options)


def _copy_images(request: Request, err: Console) -> None:
    options = request.storage_options
    with (
        set_options(**request.settings),
        running.connect(request.scheduler, request.workers),
        Bar(err, quiet=request.quiet) as bar,
    ):
        # All are opened before the first is written: a name or an axis that is wrong is told at once.
        opened = [images.open_image(url, **request.source, storage_options=options) for url in request.inputs]
        labels = [images.open_labels(url, **request.source, storage_options=options) for url in request.inputs]
        how = {**request.store, "storage_options": options}
        reports = [_copy(*one, how, bar) for one in zip(opened, labels, request.outputs, strict=True)]
    if not request.quiet:
        print_reports(make_console(), reports, sum(image.nbytes for image in opened))


def _copy(image: xr.DataArray, labels: dict[str, xr.DataArray], url: str, how: dict[str, Any], bar: Bar) -> Report:
    report: Report = images.to_ome_zarr(image, url, labels=labels, progress=bar, **how)
    images.check_copy(url, how["storage_options"], bar)
    return report
