"""``xprep fit``: statistics of some images, for others."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

import xprep
from xprep import images
from xprep.cli import arguments as given
from xprep.cli.bar import Bar
from xprep.cli.failures import reported
from xprep.cli.interrupts import interruptible
from xprep.cli.request import settings_of
from xprep.cli.tables import make_console
from xprep.cli.values import parse_storage_options
from xprep.engine import running
from xprep.options import set_options


def fit(
    urls: given.FitUrls,
    output: given.FittedFile,
    p: given.P = 99,
    p_sum: given.PSum = 5,
    p_post: given.PPost = 99.9,
    sigma: given.Sigma = 2,
    norm_sum: given.NormSum = True,
    cap_max: given.CapMax = None,
    channels: given.Channels = None,
    pool: given.Pool = "mean",
    empty: given.Empty = "skip",
    sample: given.Sample = None,
    seed: given.Seed = 0,
    dtype: given.Dtype = "float32",
    series: given.Series = None,
    dims: given.Dims = None,
    overwrite: given.Overwrite = False,
    storage_options: given.StorageOptions = None,
    intermediates: given.Intermediates = None,
    scheduler: given.Scheduler = None,
    workers: given.Workers = None,
    scratch: given.Scratch = None,
    memory: given.Memory = None,
    quiet: given.Quiet = False,
    debug: given.Debug = False,
) -> None:
    """Take the statistics of images, the fields of view of one experiment, for others: normalize --statistics FILE.

    Killed, the same command goes on: what is known of every image is kept beside FILE.
    """
    parameters = {
        "p": p, "p_sum": p_sum, "p_post": p_post, "sigma": sigma, "norm_sum": norm_sum, "cap_max": cap_max,
        "channels": channels, "dtype": dtype, "pool": pool, "empty": empty, "sample": sample, "seed": seed,
        "intermediates": intermediates,
    }  # fmt: skip
    options, err = parse_storage_options(storage_options or []), make_console(stderr=True)
    with reported(err, debug=debug, secrets=(options, *urls, output, scheduler, scratch)), interruptible():
        with set_options(**settings_of(scratch, memory)), running.connect(scheduler, workers):
            fitted = xprep.fit_normalize(images.open_fields(urls, options, series=series, dims=dims), **parameters)
            with Bar(err, quiet=quiet) as bar:
                done = images.save_fit(fitted, output, options, overwrite=overwrite, progress=bar)
        if not quiet:
            out = make_console()
            out.print(_table(done))
            if done.attrs["approximate"]:
                out.print(f"approximate: {done.attrs['approximate']}", soft_wrap=True)


def _table(fitted: xr.Dataset) -> Table:
    """Return the statistics as a table, a row a channel."""
    from xprep.dims.channels import channel_names

    names = [name for name in ("p", "p_post") if name in fitted]
    threshold = f"p_sum {float(fitted['p_sum']):.6g}" if "p_sum" in fitted else None
    table = Table("channel", *names, caption=threshold)
    columns: list[Any] = [np.atleast_1d(fitted[name].values) for name in names]
    for i, name in enumerate(channel_names(fitted)):
        table.add_row(str(name), *(f"{column[i]:.6g}" for column in columns))
    return table
