"""Images on their way into stores: arrays made, pixels written, metadata last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import xarray as xr

from xprep.engine.apart import write_apart
from xprep.engine.clients import computes_elsewhere
from xprep.engine.deliver import made_of
from xprep.engine.foreign import sources_below
from xprep.engine.lazy import as_lazy
from xprep.engine.memory import peak_memory
from xprep.engine.rereading import write_rereading
from xprep.engine.write import Target, write
from xprep.images.appearance import pixel_attributes
from xprep.images.describing import describe
from xprep.images.levels import Shape, as_it_is, placement
from xprep.images.outputs import Output
from xprep.images.report import Report
from xprep.images.resuming import checkpointed, fingerprint_of, ledger_of, no_fingerprint
from xprep.images.specifying import Options, ordered, specify, specify_label
from xprep.io.arrays import ZarrReadable
from xprep.io.groups import read_group
from xprep.io.layout import ImageStore
from xprep.io.ome import Level
from xprep.io.outputs import create_image, resume_image, tidy
from xprep.io.replacing import go_on_moving
from xprep.io.specs import ArraySpec, LevelSpec
from xprep.io.status import read_mark
from xprep.io.stores import Place, open_store
from xprep.io.urls import check_name, overlap
from xprep.kernels.downsample import shrink
from xprep.ops.labels import history_line
from xprep.ops.layout import CHANNEL
from xprep.ops.shrinking import Shrinking, check_method
from xprep.types import Listener
from xprep.version import version as xprep_version


@dataclass(frozen=True, eq=False)
class _Pixels:
    """One pyramid to be written."""

    image: xr.DataArray
    shapes: Sequence[Shape]
    levels: Sequence[Any]
    method: str
    given: Sequence[xr.DataArray] = ()

    def placed(self, path: Callable[[int], str]) -> list[Level]:
        """Return scale and translation of every level; those that are given lie where they say."""
        if self.given:
            return [placement(level, as_it_is(level), path(n)) for n, level in enumerate((self.image, *self.given))]
        return [placement(self.image, shape, path(n)) for n, shape in enumerate(self.shapes)]

    def value(self, store: ImageStore) -> Any:
        """Return the lazy writing."""
        channel = self.image.dims.index(CHANNEL) if CHANNEL in self.image.dims else None
        ledger = ledger_of(store, self.levels)
        if self.given:
            pixels = [as_lazy(level.data) for level in (self.image, *self.given)]
            return write_apart(pixels, self.levels, channel, ledger)
        if self.method == "gaussian":
            steps = [Shrinking(shape.factors, self.method) for shape in self.shapes[1:]]
            return write_rereading(as_lazy(self.image.data), self.levels, steps, channel, ledger)
        targets = [Target(array, shape.factors) for array, shape in zip(self.levels, self.shapes, strict=True)]
        how = partial(shrink, method=self.method)  # type: ignore[arg-type]  # checked at the door
        return write(as_lazy(self.image.data), targets, how, channel, ledger)


@dataclass(frozen=True, eq=False)
class Job:
    """One image, its labels and its store."""

    store: ImageStore
    image: _Pixels
    labels: dict[str, _Pixels]
    statistics: dict[str, Any]

    def values(self) -> list[Any]:
        """Return what has to be computed: the writing of all pyramids, and the statistics on the way."""
        pyramids = [self.image, *self.labels.values()]
        return [*(pixels.value(self.store) for pixels in pyramids), *self.statistics.values()]

    @property
    def count(self) -> int:
        """How many values that are."""
        return 1 + len(self.labels) + len(self.statistics)

    def finish(self, results: Sequence[Any], seconds: float, listener: Listener | None) -> Report:
        """Write the metadata, and say what was done."""
        seen, rest = results[: 1 + len(self.labels)], results[1 + len(self.labels) :]
        statistics = dict(zip(self.statistics, rest, strict=True))
        known = {name: np.asarray(one.values).tolist() for name, one in statistics.items()}
        about = {"version": xprep_version(), "statistics": known}
        history = history_line(f"to_ome_zarr(version={self.store.version!r}, layout={self.store.layout!r})")
        stored = {
            name: [one.stored_at(level) for level in range(len(pixels.shapes))]
            for (name, pixels), one in zip({"": self.image, **self.labels}.items(), seen, strict=True)
        }
        labels = {name: self._describe(pixels, None) for name, pixels in self.labels.items()}
        self.store.finish(self._describe(self.image, seen[0]), labels, about | {"written": history}, stored, listener)
        return Report(
            url=self.store.url,
            shapes=tuple(shape.shape for shape in self.image.shapes),
            nbytes=sum(one.nbytes - one.before for one in seen),
            nbytes_before=sum(one.before for one in seen),
            units=sum(one.units for one in seen),
            seconds=seconds,
            peak_memory=peak_memory(),
            codec=str(ArraySpec((), None).codec),
            notes=tuple(note for one in statistics.values() for note in one.notes),
            statistics=known,
        )

    def _describe(self, pixels: _Pixels, seen: Any) -> Any:
        found = describe(pixels.image, pixels.placed(self.store.level_path), pixels.method, seen)
        # Whoever made levels that were given made them by their own rules.
        return replace(found, metadata={}) if pixels.given else found


@dataclass(frozen=True, eq=False)
class Done:
    """An image that an earlier run finished."""

    place: Place
    shapes: tuple[tuple[int, ...], ...]
    nbytes: int
    count: int = 0

    def values(self) -> list[Any]:
        """Return nothing to compute."""
        return []

    def finish(self, results: Sequence[Any], seconds: float, listener: Listener | None) -> Report:
        """Say that nothing was done."""
        group = read_group(self.place)
        statistics = {} if group is None else read_mark(group).get("statistics") or {}
        return Report(
            url=self.place.url,
            shapes=self.shapes,
            nbytes=0,
            units=0,
            seconds=seconds,
            peak_memory=peak_memory(),
            codec=str(ArraySpec((), None).codec),
            notes=("it was finished before; nothing was written.",),
            statistics=dict(statistics),
            nbytes_before=self.nbytes,
        )


@dataclass(frozen=True, eq=False)
class _Order:
    """What is to be written, and where: checked, and nothing of it created."""

    image: xr.DataArray
    url: Any
    levels: tuple[list[Shape], list[LevelSpec]]
    labels: dict[str, tuple[xr.DataArray, list[Shape], list[LevelSpec]]]
    fingerprint: str | None

    @classmethod
    def of(cls, image: xr.DataArray, url: Any, options: Options, labels: Mapping[str, xr.DataArray]) -> _Order:
        image = ordered(image)
        check_method(options.method, image.dtype)
        coarser = options.given.levels[1:] if options.given else ()
        for one in (image, *coarser, *labels.values()):
            _check_apart(one, url, options.storage_options)
        levels = specify(image, options)
        named = {check_name(name): specify_label(name, label, image, options) for name, label in labels.items()}
        fingerprint = fingerprint_of(image, levels[1], {name: one for name, (one, _, _) in named.items()}, options)
        if options.resume and fingerprint is None:
            raise no_fingerprint()
        return cls(image, url, levels, named, fingerprint)

    def start(self, options: Options, listener: Listener | None) -> Job | Done:
        """Create the store, or find the one that an earlier run left."""
        shapes, specs = self.levels
        store = _open(self.image, self.url, options, specs, self.fingerprint, listener)
        if isinstance(store, Place):
            tidy(store, ["", *(f"labels/{name}" for name in self.labels)], options.layout)
            stored = [(self.image, shapes), *((label, below) for label, below, _ in self.labels.values())]
            nbytes = sum(prod(shape.shape) * one.dtype.itemsize for one, its in stored for shape in its)
            return Done(store, tuple(shape.shape for shape in shapes), nbytes)
        pixels = {}
        for name, (label, below, levels) in self.labels.items():
            arrays = store.create_labels(name, levels, ArraySpec(tuple(map(str, label.dims)), label.dtype))
            pixels[name] = _Pixels(label, below, arrays, "mode")
        store.check_complete(pixels=False)
        store.mark_ready()
        made = made_of(self.image.data)
        given = options.given
        coarser = () if given is None else tuple(ordered(level) for level in given.levels[1:])
        method = options.method if given is None else given.method
        image = _Pixels(self.image, shapes, store.levels, method, coarser)
        return Job(store, image, pixels, made.statistics if made else {})


def start_all(outputs: Sequence[Output], listener: Listener | None = None) -> Iterator[Job | Done]:
    """Create the stores of images, or find those that an earlier run left; all are checked before one is created."""
    orders = [_Order.of(one.image, one.url, one.options, one.labels) for one in outputs]
    yield from (order.start(one.options, listener) for order, one in zip(orders, outputs, strict=True))


def _open(
    image: xr.DataArray,
    url: Any,
    options: Options,
    levels: Sequence[LevelSpec],
    fingerprint: str | None,
    listener: Listener | None,
) -> ImageStore | Place:
    """Return the store to be filled, or the place of the finished one."""
    spec = ArraySpec(tuple(map(str, image.dims)), image.dtype, attributes=pixel_attributes(image.attrs))
    target = open_store(url, options.storage_options, "r+")
    how: dict[str, Any] = {"layout": options.layout, "version": options.version, "overwrite": options.overwrite}
    if options.overwrite and go_on_moving(target, fingerprint, True, listener):
        return target
    if options.resume and fingerprint is not None:
        return resume_image(target, levels, spec, fingerprint=fingerprint, listener=listener, **how)
    return create_image(target, levels, spec, fingerprint=fingerprint, **how)


def lazy_values(jobs: Sequence[Job | Done]) -> list[Any]:
    """Return all that has to be computed, together: shared statistics once."""
    return checkpointed([(job.store, job.values()) for job in jobs if isinstance(job, Job)])


def finish_all(
    jobs: Sequence[Job | Done], single: bool, *results: Any, seconds: float = 0.0, listener: Listener | None = None
) -> Any:
    """Finish every store, and return the reports by URL."""
    reports, at = {}, 0
    for job in jobs:
        report = job.finish(results[at : at + job.count], seconds, listener)
        reports[report.url] = report
        at += job.count
    if computes_elsewhere():  # a worker's warnings are lost; those of threads were seen
        written = [reports[job.store.url] for job in jobs if isinstance(job, Job)]
        for note in dict.fromkeys(note for report in written for note in report.notes):
            warnings.warn(note, UserWarning, stacklevel=3)
    return next(iter(reports.values())) if single else reports


def _check_apart(image: xr.DataArray, url: Any, storage_options: Mapping[str, Any] | None) -> None:
    """Refuse to write into what is being read."""
    where = open_store(url, storage_options, "r+").url
    # The store as it was opened, not the array in it: nothing may be written among an image's levels either.
    origins = {source.place.shown for source in sources_below(image.data) if isinstance(source, ZarrReadable)}
    for source in sorted(origins):
        if overlap(where, source):
            raise ValueError(
                f"the output {where} and the input {source} lie in each other: the input would be lost. Give another URL."
            )
