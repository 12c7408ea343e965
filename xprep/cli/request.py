"""What ``normalize`` and ``plan`` are asked for: one set of arguments, told once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec

import typer

from xprep import batch
from xprep.cli import arguments as given
from xprep.cli.values import parse_storage_options
from xprep.io.store.local_paths import stem

P = ParamSpec("P")
RECIPES: Final = (".yaml", ".yml", ".json")
# Arguments of commands that `xprep.to_ome_zarr` has under the same names.
STORE: Final = (
    "scale_factors", "method", "version", "layout", "chunks", "shards", "compression", "checksum", "overwrite", "resume",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Parameters
    ----------
    inputs : tuple of str
        URLs of the images.
    outputs : tuple of str
        One for each.
    parameters : dict
        Of `xprep.normalize`.
    storage_options : dict
        Of inputs and outputs.
    store : dict
        Of `xprep.images.WriteOptions`: how results are stored.
    settings : dict
        Of `xprep.set_options`.
    scheduler, workers
        Of `xprep.engine.running.cluster.connect`.
    source : dict
        Of `xprep.open_image`: which image of a file, and what its axes are.
    quiet, debug : bool
        No bar and no summary; show tracebacks.
    recipe : Path, optional
        A recipe's file, given instead of images.
    share : str
        Which images share statistics.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, Any]
    storage_options: dict[str, Any] = field(repr=False)
    store: dict[str, Any]
    settings: dict[str, Any]
    scheduler: str | None
    workers: int | None
    quiet: bool
    debug: bool
    source: dict[str, Any] = field(default_factory=dict)
    recipe: Path | None = None
    share: str = "all"

    @property
    def secrets(self) -> tuple[Any, ...]:
        """What is taken out of messages: options, and what URLs hold."""
        urls = [self.parameters.get("statistics"), *self.inputs, *self.outputs]
        return self.storage_options, *urls, self.scheduler, self.settings.get("scratch_url")


def taking_request(action: Callable[[Request], None]) -> Callable[..., None]:
    """Return ``action`` as a command with all the arguments of a request."""
    return _command(_request, action)


def _command(parse: Callable[P, Request], action: Callable[[Request], None]) -> Callable[P, None]:
    @wraps(parse)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        action(parse(*args, **kwargs))

    command.__name__, command.__doc__ = action.__name__, action.__doc__
    return command


def _request(
    context: typer.Context,
    urls: given.Urls,
    p: given.P = 99,
    p_sum: given.PSum = 5,
    p_post: given.PPost = 99.9,
    sigma: given.Sigma = 2,
    norm_sum: given.NormSum = True,
    cap_max: given.CapMax = None,
    channels: given.Channels = None,
    pool: given.Pool = "mean",
    empty: given.Empty = "skip",
    share: given.Share = "all",
    dtype: given.Dtype = "float32",
    series: given.Series = None,
    dims: given.Dims = None,
    chunks: given.Chunks = None,
    statistics: given.Statistics = None,
    overwrite: given.Overwrite = False,
    resume: given.Resume = False,
    fingerprint: given.Fingerprint = None,
    scale_factors: given.ScaleFactors = "auto",
    method: given.Method = "mean",
    version: given.Version = "0.5",
    layout: given.Layout = "dual",
    shards: given.Shards = None,
    compression: given.Compression = None,
    checksum: given.Checksum = None,
    storage_options: given.StorageOptions = None,
    intermediates: given.Intermediates = None,
    scheduler: given.Scheduler = None,
    workers: given.Workers = None,
    scratch: given.Scratch = None,
    memory: given.Memory = None,
    quiet: given.Quiet = False,
    debug: given.Debug = False,
) -> Request:
    chosen = locals()
    if len(urls) > 1 or not urls[0].endswith(RECIPES):
        check_urls(urls)
    if share not in batch.SHARING:
        raise typer.BadParameter(f"one of {', '.join(batch.SHARING)}; got {share!r}.", param_hint="--share")
    parameters = {
        "p": p, "p_sum": p_sum, "p_post": p_post, "sigma": sigma, "norm_sum": norm_sum, "cap_max": cap_max,
        "channels": channels, "dtype": dtype, "chunks": chunks, "pool": pool, "empty": empty,
        "intermediates": intermediates, "statistics": statistics,
    }  # fmt: skip
    if statistics is not None:  # what nobody gave is the statistics' own
        parameters = {name: value for name, value in parameters.items() if is_given(context, name)}
    return Request(
        inputs=tuple(urls[:-1]),
        outputs=output_urls(urls[:-1], urls[-1]) if len(urls) > 1 else (),
        parameters=parameters,
        storage_options=parse_storage_options(storage_options or []),
        store={**store_options(chosen), "fingerprint": fingerprint},
        settings=settings_of(scratch, memory),
        scheduler=scheduler,
        workers=workers,
        quiet=quiet,
        debug=debug,
        source={"series": series, "dims": dims},
        recipe=Path(urls[0]) if len(urls) == 1 else None,
        share=share,
    )


def check_urls(urls: Sequence[str]) -> None:
    """Refuse what cannot be inputs and an output."""
    if len(urls) < 2:
        raise typer.BadParameter("give one input or more, and then the output.", param_hint="IN… OUT")


def store_options(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's arguments that say how a result is stored."""
    return {name: chosen[name] for name in STORE}


def settings_of(scratch: str | None, memory: int | None) -> dict[str, Any]:
    """Return what `xprep.set_options` is to be given."""
    settings = {"scratch_url": scratch, "memory_limit": memory}
    return {name: value for name, value in settings.items() if value is not None}


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was typed, and its value is not the default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def output_urls(inputs: list[str], output: str) -> tuple[str, ...]:
    """Return where each result goes: to ``output``, or, of several inputs, below it under the input's own name.

    Examples
    --------
    >>> output_urls(["a/E34.zarr", "b/G01.ome.zarr/"], "s3://lab/out/")
    ('s3://lab/out/E34.ome.zarr', 's3://lab/out/G01.ome.zarr')
    """
    if len(inputs) == 1:
        return (output,)
    names = [stem(url) for url in inputs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        text = f"two inputs are called {twice[0]!r}: their results would have one name."
        raise typer.BadParameter(text, param_hint="IN… OUT")
    return tuple(f"{output.rstrip('/')}/{name}.ome.zarr" for name in names)
