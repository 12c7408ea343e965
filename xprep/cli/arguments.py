"""Arguments of the commands: their help, and how each is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from xprep.cli.values import (
    parse_codecs,
    parse_count,
    parse_factors,
    parse_memory,
    parse_names,
    parse_place,
    parse_value,
)  # fmt: skip
from xprep.types import INTERMEDIATES, METHODS


def _option(panel: str, text: str, *names: str, **settings: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


def _value(panel: str, text: str, metavar: str, parse: Callable[[Any], Any] = parse_value) -> Any:
    return _option(panel, text, parser=parse, metavar=metavar)


_statistics, _result = partial(_value, "Normalisation"), partial(_value, "Result")
_store, _run = partial(_option, "Store"), partial(_option, "Run")
_PERCENTILE = "0-100|none"

Urls = Annotated[
    list[str],
    typer.Argument(metavar="IN… OUT", help="One image or plate, or more, and where the result goes: paths or URLs."),
]

P = Annotated[Any, _statistics("Percentile that a channel is divided by.", _PERCENTILE)]
PSum = Annotated[Any, _statistics("Percentile of the sum over channels; pixels not above it become NaN.", _PERCENTILE)]
PPost = Annotated[Any, _statistics("Percentile that a channel is divided by at the end.", _PERCENTILE)]
Sigma = Annotated[Any, _statistics("Blur: 2, one a channel 2,1,0, by name CD3=2,CD8=1, or none.", "PIXELS")]
NormSum = Annotated[bool, _option("Normalisation", "Divide the channels of a pixel by their sum.")]
CapMax = Annotated[Any, _statistics("Largest value of the result.", "NUMBER")]
Channels = Annotated[
    Any,
    _statistics("Channels to use, in this order: CD3,CD8; or positions, where none is called so.", "NAMES", parse_names),
]
Pool = Annotated[
    str,
    _option("Normalisation", "Statistics of several images: the mean of theirs, or over all pixels.", metavar="mean|exact"),
]
Share = Annotated[
    str,
    _option("Normalisation", "Which images share statistics: all of them, those of a plate, a well, or none.",
            metavar="all|plate|well|each"),
]
Empty = Annotated[
    str, _option("Normalisation", "A channel without signal: leave it, or NaN as the reference.", metavar="skip|nan")
]

Dtype = Annotated[Any, _result("Of the result; none keeps floats, and makes integers float64.", "float32|float64|none")]
Chunks = Annotated[
    Any,
    _result("Of the result: 512, or y=512,x=512; by default the input's, if they are of a sensible size.", "PIXELS"),
]

Series = Annotated[
    Any,
    _option(
        "Input", "Of a file of several images: the number or the name of one.", parser=parse_value, metavar="NUMBER|NAME"
    ),
]
Dims = Annotated[str | None, _option("Input", "Axes of a TIFF file that does not say them: zyx.", metavar="LETTERS")]
Statistics = Annotated[
    str | None,
    _option(
        "Normalisation",
        "Use those of this file (xprep fit), with their parameters, and read the image once.",
        metavar="FILE",
    ),
]
FittedFile = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Where the statistics go: .zarr, .nc or .json, a path or URL."),
]
Sample = Annotated[
    float | None, _option("Normalisation", "Of each image this share of its chunks only: 0.01; at least 30.", metavar="SHARE")
]
Seed = Annotated[int, _option("Normalisation", "Of the draw of --sample.", metavar="NUMBER")]
FitUrls = Annotated[list[str], typer.Argument(metavar="IN…", help="One image or more: paths or URLs.")]

Overwrite = Annotated[bool, _store("Replace a Zarr store that is there.", "--overwrite")]
Resume = Annotated[bool, _store("Go on with a run of these arguments that did not finish.", "--resume")]
Fingerprint = Annotated[str | None, _store("What tells this run from others, where that cannot be known.", metavar="TEXT")]
ScaleFactors = Annotated[
    Any,
    _store(
        "Levels of the pyramid: auto, 2,2,4 (each relative to the one before), none, or JSON.",
        parser=parse_factors,
        metavar="FACTORS",
    ),
]
Method = Annotated[str, _store("How levels are made.", metavar="|".join(METHODS))]
Version = Annotated[str, _store("Of OME-Zarr.", metavar="0.4|0.5|0.6")]
Layout = Annotated[str, _store("dual opens in plain xarray too; flat is bare arrays.", metavar="dual|flat")]
Shards = Annotated[Any, _store("As --chunks; none by default.", parser=parse_value, metavar="PIXELS")]
Compression = Annotated[
    Any,
    _store(
        "none, zstd, zstd:3, gzip:6, blosc-zstd:1, blosc-lz4, or JSON of codecs; by default blosc-zstd:1, of labels zstd:1.",
        parser=parse_codecs,
        metavar="CODEC",
    ),
]
Checksum = Annotated[
    bool | None, _store("A crc32c after each chunk; by default where the version has one.", "--checksum/--no-checksum")
]
StorageOptions = Annotated[
    list[str] | None,
    _store(
        "For buckets; may be repeated; or JSON, or @FILE with JSON. Never printed or stored. "
        "The environment's credentials work without.",
        metavar="KEY=VALUE",
    ),
]

Intermediates = Annotated[
    str | None,
    _run("What becomes of the image between passes.", metavar="|".join(INTERMEDIATES)),
]
Scheduler = Annotated[str | None, _run("Of a dask scheduler, tcp://host:8786; or DASK_SCHEDULER_ADDRESS.", metavar="ADDRESS")]
Workers = Annotated[Any, _run("Run in so many processes instead of threads.", parser=parse_count, metavar="NUMBER")]
Scratch = Annotated[Any, _run("Where intermediates are spilled.", parser=parse_place, metavar="URL")]
Memory = Annotated[
    Any,
    _run(
        "What intermediates may occupy, such as 8GiB; half of what is free by default.",
        parser=parse_memory,
        metavar="BYTES",
    ),
]
Quiet = Annotated[bool, _run("No bar and no summary.", "--quiet", "-q")]
Debug = Annotated[bool, _run("Show tracebacks.", "--debug")]
