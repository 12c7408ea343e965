"""``xprep convert``: a plain copy of an image as OME-Zarr, with its pyramid, compared with what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from xprep import images
from xprep.cli import arguments as given
from xprep.cli.bar import Bar
from xprep.cli.failures import reported
from xprep.cli.interrupts import interruptible
from xprep.cli.request import check_urls, output_urls, store_options
from xprep.cli.tables import make_console, print_reports
from xprep.cli.values import parse_storage_options
from xprep.engine import running
from xprep.errors import ChunkError
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

    Several inputs go to the folder OUT. What was written is read again and compared before it is called done.
    """
    how = store_options(locals())
    check_urls(urls)
    options, err = parse_storage_options(storage_options or []), make_console(stderr=True)
    settings = {} if scratch is None else {"scratch_url": scratch}
    with reported(err, debug=debug, secrets=[options, *urls, scheduler, scratch]), interruptible():
        pairs = zip(urls[:-1], output_urls(urls[:-1], urls[-1]), strict=True)
        with set_options(**settings), running.connect(scheduler, workers), Bar(err, quiet=quiet) as bar:
            # All are opened before the first is written: a name or an axis that is wrong is told at once.
            opened = [(images.open_image(url, series=series, dims=dims, storage_options=options), url, out) for url, out in pairs]
            reports = [_copy(image, images.open_labels(url, series, dims, options), out, {**how, "storage_options": options}, bar)
                       for image, url, out in opened]  # fmt: skip
        if not quiet:
            print_reports(make_console(), reports, sum(image.nbytes for image, _, _ in opened))


def _copy(image: xr.DataArray, labels: dict[str, xr.DataArray], url: str, how: dict[str, Any], bar: Bar) -> Report:
    report: Report = images.to_ome_zarr(image, url, labels=labels, progress=bar, **how)
    found = images.verify(url, storage_options=how["storage_options"], progress=bar)
    if not found.is_whole:
        raise ChunkError(str(found))
    return report
