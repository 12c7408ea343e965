"""Writing OME-Zarr: arrays and coordinates first, pixels with all their levels in one pass, the metadata last."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xprep.engine.deliver import made_of
from xprep.engine.graph import call
from xprep.engine.lazy import as_lazy
from xprep.engine.memory import active_client, peak_memory
from xprep.engine.progress import default_listener
from xprep.engine.rereading import write_rereading
from xprep.engine.run import run
from xprep.engine.sources import sources_below
from xprep.engine.write import Seen, Target, write
from xprep.images.appearance import channel_labels, wanted_channels, wanted_label, without_appearance
from xprep.images.levels import Shape, coords_of, default_chunk, placement, plan_levels
from xprep.images.report import Report
from xprep.io.arrays import ZarrReadable
from xprep.io.layout import ArraySpec, ImageStore, LevelSpec, create_image
from xprep.io.ome import Channel, Multiscale, Window, make_axes, spell_unit
from xprep.io.stores import open_store
from xprep.io.urls import inside, join
from xprep.kernels.downsample import shrink
from xprep.ops.containers import images_of
from xprep.ops.labels import history_line
from xprep.ops.layout import CHANNEL, PLANE, check_image, chunks_for
from xprep.ops.parameters import check_choice
from xprep.ops.shrinking import Shrinking, check_method
from xprep.types import Listener
from xprep.version import version as xprep_version

OME_ORDER = ("t", "c", "z", "y", "x")
COLORS = ("00FFFF", "FF00FF", "FFFF00", "FF0000", "00FF00", "0000FF", "FFFFFF")
DISPLAYED = (0.1, 99.9)  # percentiles of what a viewer shows


@dataclass(frozen=True)
class Options:
    """How images are stored; what `to_ome_zarr` was asked for."""

    scale_factors: Any
    method: str
    version: Any
    layout: Any
    chunks: Any
    shards: Any
    overwrite: bool
    storage_options: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        check_choice(self.method, METHODS, "method")
        check_choice(self.version, ("0.4", "0.5", "0.6"), "version")
        check_choice(self.layout, ("dual", "flat"), "layout")


def to_ome_zarr(
    image: Any,
    url: str | Path | Any,
    *,
    scale_factors: Any = "auto",
    method: str = "mean",
    version: str = "0.5",
    layout: str = "dual",
    chunks: Any = None,
    shards: Any = None,
    labels: Mapping[str, xr.DataArray] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: Listener | bool | None = None,
    compute: bool = True,
) -> Any:
    """Compute an image and write it as OME-Zarr, with its pyramid, tile by tile.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims among ``t, c, z, y, x``, in any order; stored in that order. Several images of a Dataset or DataTree are written
        below ``url``, each under its node's and its own name, and computed together: shared statistics once.
    url : str, Path or zarr store
        Where.
    scale_factors : "auto" or sequence
        One entry a level, relative to the level before: a number shrinks y and x, a mapping names its dims. ``"auto"`` halves y
        and x until a level fits one chunk; ``()`` writes the first level only.
    method : {"mean", "max", "nearest", "mode", "gaussian"}
        How levels are made, as by `pyramid`; integers round half to even. A level of all but ``"gaussian"`` is made while the
        one before is written; that one is made of blocks and their surroundings, and reads the level before back.
    version : {"0.5", "0.4", "0.6"}
        Of OME-Zarr.
    layout : {"dual", "flat"}
        ``"dual"``: ``scaleN/image`` with coordinates, which plain xarray opens too; ``"flat"``: bare arrays.
    chunks, shards : mapping, int or tuple, optional
        Shapes of chunks and shards, by dim; by default one channel a chunk, 1024 pixels along y and x, and no shards.
    labels : mapping of str to DataArray, optional
        Label images to be stored with the image, shrunk by their commonest values.
    overwrite : bool
        Whether a Zarr store there may be replaced; on a local disk the old one stays until the new one is complete.
    resume : bool
        Go on with a store that was not finished.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint. Never stored.
    progress : bool or listener, optional
        A bar, by default where somebody looks (terminal, notebook); or an object that is told.
    compute : bool
        Write now; otherwise return the lazy writing.

    Returns
    -------
    Report
        What was written, and how it went; of several images a dict of reports. With ``compute=False`` a dask ``Delayed`` of it.

    Raises
    ------
    StoreExistsError
        Something is there, and ``overwrite`` is off (or it is no Zarr store).
    ValueError
        The output lies in the input or holds it, a dim that OME-Zarr has not, uneven coordinates, an unknown choice, chunks
        or factors that are none.
    ChunkError, OSError
        The source cannot be read or the output cannot be written; the store stays marked as unfinished.

    Notes
    -----
    Chunks are stored with blosc zstd level 1 and shuffle, and a crc32c: on uint16 a third of the CPU seconds of Zarr's default
    and 10 % smaller. Every chunk is written, also one of zeros, so that a lost one can be told.

    Source: OME-Zarr (https://ngff.openmicroscopy.org).

    Examples
    --------
    >>> import tempfile, xprep
    >>> image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    >>> report = image.prep.to_ome_zarr(tempfile.mkdtemp() + "/blobs.ome.zarr")
    >>> report.shapes
    ((2, 64, 64),)
    """
    if resume:
        raise ValueError("resume=True: interrupted runs cannot be resumed yet; give overwrite=True to write the store anew.")
    options = Options(scale_factors, method, version, layout, chunks, shards, overwrite, storage_options)
    images = images_of(image) if not isinstance(image, xr.DataArray) else {("", image.name): image}
    single = len(images) == 1
    if labels and not single:
        raise ValueError("labels belong to one image; write the images one by one to give each its own.")
    targets = [(one, url if single else _below(url, name)) for name, one in images.items()]
    if compute:
        reports = write_images(targets, options, labels=labels, progress=progress)
        return next(iter(reports.values())) if single else reports
    jobs = [_Job.of(one, where, options, labels or {}) for one, where in targets]
    return call(partial(_finish_all, jobs, single), *_values(jobs), label="store")


def write_images(
    targets: Sequence[tuple[xr.DataArray, Any]],
    options: Options,
    *,
    labels: Mapping[str, xr.DataArray] | None = None,
    progress: Listener | bool | None = None,
) -> dict[str, Report]:
    """Compute images together, shared statistics once, and write each to its own URL; return the reports by URL."""
    jobs = [_Job.of(one, where, options, labels or {}) for one, where in targets]
    listener = default_listener() if progress in (None, True) else (progress or None)
    results, went = run(_values(jobs), "writing", listener)  # type: ignore[arg-type]
    reports: dict[str, Report] = _finish_all(jobs, False, *results, seconds=went.seconds)
    return reports


def _values(jobs: Sequence[_Job]) -> list[Any]:
    return [value for job in jobs for value in job.values()]


def _below(url: Any, name: tuple[str, Any]) -> str:
    path, own = name
    parts = [part for part in (*path.split("/"), str(own)) if part]
    if not isinstance(url, str | Path):
        raise ValueError("several images are written below a URL or a path, not into a store object.")
    return join(url, *parts)


@dataclass(frozen=True, eq=False)
class _Pixels:
    """One pyramid to be written."""

    image: xr.DataArray
    shapes: Sequence[Shape]
    store_levels: Sequence[Any]
    method: str

    def value(self) -> Any:
        channel = self.image.dims.index(CHANNEL) if CHANNEL in self.image.dims else None
        if self.method == "gaussian":
            steps = [Shrinking(shape.factors, self.method) for shape in self.shapes[1:]]
            return write_rereading(as_lazy(self.image.data), self.store_levels, steps, channel)
        targets = [Target(array, shape.factors) for array, shape in zip(self.store_levels, self.shapes, strict=True)]
        return write(as_lazy(self.image.data), targets, partial(shrink, method=self.method), channel)


@dataclass(frozen=True, eq=False)
class _Job:
    """One image, its labels and its store."""

    store: ImageStore
    image: _Pixels
    labels: dict[str, _Pixels]
    statistics: dict[str, Any]

    @classmethod
    def of(cls, image: xr.DataArray, url: Any, options: Options, labels: Mapping[str, xr.DataArray]) -> _Job:
        image = ordered(image)
        check_method(options.method, image.dtype)
        _check_apart(image, url, options.storage_options)
        made = made_of(image.data)
        shapes, specs = _specify(image, options)
        named = {name: _specify_label(name, label, image, options) for name, label in labels.items()}
        spec = ArraySpec(tuple(map(str, image.dims)), image.dtype, attributes=without_appearance(image.attrs))
        store = create_image(
            url, specs, spec, layout=options.layout, version=options.version,
            overwrite=options.overwrite, storage_options=options.storage_options,
        )  # fmt: skip
        pixels = {}
        for name, (label, below, levels) in named.items():
            arrays = store.create_labels(name, levels, ArraySpec(tuple(map(str, label.dims)), label.dtype))
            pixels[name] = _Pixels(label, below, arrays, "mode")
        return cls(store, _Pixels(image, shapes, store.levels, options.method), pixels, made.statistics if made else {})

    def values(self) -> list[Any]:
        """Return what has to be computed: the writing of all pyramids, and the statistics on the way."""
        return [self.image.value(), *(label.value() for label in self.labels.values()), *self.statistics.values()]

    def finish(self, results: Sequence[Any], seconds: float) -> Report:
        """Write the metadata, and say what was done."""
        seen, rest = results[: 1 + len(self.labels)], results[1 + len(self.labels) :]
        statistics = dict(zip(self.statistics, rest, strict=True))
        known = {name: np.asarray(one.values).tolist() for name, one in statistics.items()}
        labels = {name: _describe(pixels, self.store, None) for name, pixels in self.labels.items()}
        about = {"version": xprep_version(), "statistics": known}
        history = history_line(f"to_ome_zarr(version={self.store.version!r}, layout={self.store.layout!r})")
        self.store.finish(_describe(self.image, self.store, seen[0]), labels, about | {"written": history})
        return Report(
            url=self.store.url,
            shapes=tuple(shape.shape for shape in self.image.shapes),
            nbytes=sum(one.nbytes for one in seen),
            units=sum(one.units for one in seen),
            seconds=seconds,
            peak_memory=peak_memory(),
            codec=str(ArraySpec((), None).codec),
            notes=tuple(note for one in statistics.values() for note in one.notes),
            statistics=known,
        )


def _finish_all(jobs: Sequence[_Job], single: bool, *results: Any, seconds: float = 0.0) -> Any:
    reports, at = {}, 0
    for job in jobs:
        count = 1 + len(job.labels) + len(job.statistics)
        reports[job.store.url] = job.finish(results[at : at + count], seconds)
        at += count
    if active_client() is not None:  # a worker's warnings are lost; those of threads were seen
        for note in dict.fromkeys(note for report in reports.values() for note in report.notes):
            warnings.warn(note, UserWarning, stacklevel=3)
    return next(iter(reports.values())) if single else reports


def ordered(image: xr.DataArray) -> xr.DataArray:
    """Return ``image`` with its dims in the order of OME-Zarr.

    Raises
    ------
    ValueError
        A dim that OME-Zarr has not.
    """
    check_image(image, "to_ome_zarr")
    foreign = [dim for dim in image.dims if dim not in OME_ORDER]
    if foreign:
        raise ValueError(
            f"OME-Zarr has the dims t, c, z, y, x; the image has {foreign[0]!r}. Rename it, image.rename({{{foreign[0]!r}: 't'}}), "
            "or select one position of it."
        )
    return image.transpose(*(dim for dim in OME_ORDER if dim in image.dims))


def _check_apart(image: xr.DataArray, url: Any, storage_options: Mapping[str, Any] | None) -> None:
    """Refuse to write into what is being read."""
    if not isinstance(url, str | Path):
        return
    where = open_store(url, storage_options, "r+").url
    # The store as it was opened, not the array in it: nothing may be written among an image's levels either.
    origins = {source.place.shown for source in sources_below(image.data) if isinstance(source, ZarrReadable)}
    for source in sorted(origins):
        if inside(where, source) or inside(source, where):
            raise ValueError(f"the output {where} and the input {source} lie in each other: the input would be lost. Give another URL.")


def _specify(image: xr.DataArray, options: Options) -> tuple[list[Shape], list[LevelSpec]]:
    default = default_chunk(image)
    chunk = default if options.chunks is None else _completed(image, options.chunks, default)
    shard = None if options.shards is None else _completed(image, options.shards, chunk)
    shapes = plan_levels(image, options.scale_factors, chunk)
    return shapes, [_level_spec(image, shape, chunk, shard) for shape in shapes]


def _completed(image: xr.DataArray, lengths: Any, default: Sequence[int]) -> tuple[int, ...]:
    """Return the chunk that ``lengths`` mean; the dims that they do not name keep their ``default``."""
    named = dict.fromkeys(PLANE, lengths) if isinstance(lengths, int) else lengths
    if isinstance(named, Mapping):
        named = {**dict(zip(image.dims, default, strict=True)), **named}
    return chunks_for(image, named)


def _level_spec(image: xr.DataArray, level: Shape, chunk: Sequence[int], shard: Sequence[int] | None) -> LevelSpec:
    fitted = tuple(min(c, n) for c, n in zip(chunk, level.shape, strict=True))
    if shard is None:
        return LevelSpec(level.shape, fitted, None, coords_of(image, level))
    whole = tuple(-(-min(s, n) // c) * c for s, n, c in zip(shard, level.shape, fitted, strict=True))
    return LevelSpec(level.shape, fitted, whole, coords_of(image, level))


def _specify_label(
    name: str, label: xr.DataArray, image: xr.DataArray, options: Options
) -> tuple[xr.DataArray, list[Shape], list[LevelSpec]]:
    label = ordered(label)
    if label.dtype.kind not in "ui":
        raise TypeError(f"labels must be whole numbers; {name!r} is of {label.dtype}. Convert them: labels.astype('uint32').")
    wrong = {str(dim): (n, image.sizes.get(dim)) for dim, n in label.sizes.items() if image.sizes.get(dim) != n}
    if wrong:
        raise ValueError(f"the labels {name!r} do not fit the image: sizes (labels, image) are {wrong}.")
    coords = {dim: image.coords[dim] for dim in label.dims if dim in image.coords and dim not in label.coords}
    label = label.assign_coords(coords)
    fitting = replace(
        options,
        scale_factors=_of_dims(label, options.scale_factors),
        chunks=_of_dims(label, options.chunks),
        shards=_of_dims(label, options.shards),
    )
    return label, *_specify(label, fitting)


def _of_dims(label: xr.DataArray, given: Any) -> Any:
    """Return what was given by dim for an image without the dims that its labels lack."""
    if isinstance(given, Mapping):
        return {dim: value for dim, value in given.items() if dim in label.dims}
    return [_of_dims(label, one) for one in given] if isinstance(given, list | tuple) else given


def _describe(pixels: _Pixels, store: ImageStore, seen: Seen | None) -> Multiscale:
    image = pixels.image
    units = {str(dim): spell_unit(str(image.coords[dim].attrs.get("units", ""))) for dim in image.dims if dim in image.coords}
    levels = tuple(placement(image, shape, store.level_path(n)) for n, shape in enumerate(pixels.shapes))
    label = seen is None
    return Multiscale(
        axes=make_axes(tuple(map(str, image.dims)), units),
        levels=levels,
        name=str(image.name or "image"),
        channels=() if seen is None else _channels(image, seen),
        method=pixels.method if len(levels) > 1 else "",
        metadata={"method": "xprep", "version": xprep_version()},
        image_label=wanted_label(image) if label else None,
    )


def _channels(image: xr.DataArray, seen: Seen) -> tuple[Channel, ...]:
    labels = channel_labels(image)
    wanted = wanted_channels(image)
    colors = [COLORS[i % len(COLORS)] if len(labels) > 1 else "FFFFFF" for i in range(len(labels))]
    shown = [wanted.get(label, Channel(label, color)) for label, color in zip(labels, colors, strict=True)]
    return tuple(replace(one, window=one.window or _window(seen, i, image.dtype)) for i, one in enumerate(shown))


def _window(seen: Seen, i: int, dtype: np.dtype[Any]) -> Window:
    one = seen.channels[i]
    sample = one.sample
    low, high = (v if np.isfinite(v) else d for v, d in ((one.low, 0.0), (one.high, 1.0)))
    if not sample.size:
        return Window(low, high, low, high)
    start, end = (float(v) for v in np.percentile(sample.astype(np.float64), DISPLAYED))
    return Window(low, high, start, end if end > start else max(high, start + 1))
