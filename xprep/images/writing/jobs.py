"""Images on their way into stores: arrays made, pixels written, metadata last."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import xarray as xr

from xprep.dims.channel_titles import channel_titles
from xprep.dims.channels import channel_names
from xprep.dims.containers.shrinking import check_method
from xprep.dims.provenance import history_line
from xprep.engine.machine.clients import computes_elsewhere
from xprep.engine.machine.memory import peak_memory
from xprep.engine.sources.origins import Origins, origins_of
from xprep.errors import SourceChangedError
from xprep.images.writing.fitting import Fit, fit_of
from xprep.images.writing.leftovers import Source, kept_of, source_of
from xprep.images.writing.ome_metadata import describe
from xprep.images.writing.outputs import Output
from xprep.images.writing.pyramid_levels import Shape
from xprep.images.writing.pyramid_pixels import PyramidPixels
from xprep.images.writing.repairing import find_damage
from xprep.images.writing.report import Report, name_stored
from xprep.images.writing.resuming import checkpointed, fingerprint_of, no_fingerprint
from xprep.images.writing.scratch_needs import Written, check_needs
from xprep.images.writing.source_watch import SourceWatch
from xprep.images.writing.specification import WriteOptions, ordered, specify, specify_label
from xprep.images.writing.storable import check_storable, spec_of, spec_of_label
from xprep.io.arrays.codec_trial import stored_as
from xprep.io.arrays.specs import LevelSpec
from xprep.io.commit.begin import create_image, reopen_image, resume_image, tidy
from xprep.io.commit.finishing import finish_image
from xprep.io.commit.image_store import ImageStore
from xprep.io.commit.journal import Journal
from xprep.io.commit.mark import read_mark
from xprep.io.commit.withdrawing import withdrawn_on_error
from xprep.io.ome.groups import read_group
from xprep.io.store.locations import check_apart
from xprep.io.store.places import Place, open_store
from xprep.io.store.urls import check_name, check_output
from xprep.types import Listener
from xprep.version import version as xprep_version


@dataclass(frozen=True, eq=False)
class Job:
    """One image, its labels and its store."""

    store: ImageStore
    image: PyramidPixels
    labels: dict[str, PyramidPixels]
    fit: Fit
    origins: Origins
    watch: SourceWatch
    codec: str
    element: Any = None

    def values(self) -> list[Any]:
        """Return what has to be computed: the writing of all pyramids, and the statistics on the way."""
        pyramids = [self.image, *self.labels.values()]
        return [*(pixels.value(self.store) for pixels in pyramids), *self.fit.statistics.values()]

    @property
    def watched(self) -> tuple[Origins, str, Journal | None]:
        """What it is read from, its URL, and where it is kept that this changed."""
        journal = None if self.store.fingerprint is None else Journal(self.store.levels[0].place)
        return self.origins, self.store.url, journal

    @property
    def count(self) -> int:
        """How many values that are."""
        return 1 + len(self.labels) + len(self.fit.statistics)

    def finish(self, results: Sequence[Any], seconds: float, listener: Listener | None) -> Report:
        """Write the metadata, and say what was done."""
        seen, rest = results[: 1 + len(self.labels)], results[1 + len(self.labels) :]
        fit = self.fit.computed(rest)
        source = self.watch.describe(self.origins)
        about = {"version": xprep_version(), **fit.kept(), **source}
        history = history_line(f"to_ome_zarr(version={self.store.version!r}, layout={self.store.layout!r})")
        stored = {
            name: [one.stored_at(level) for level in range(len(pixels.shapes))]
            for (name, pixels), one in zip({"": self.image, **self.labels}.items(), seen, strict=True)
        }
        labels = {name: self._describe(pixels, None) for name, pixels in self.labels.items()}
        kept = [pixels.kept for pixels in (self.image, *self.labels.values())]
        described = self._describe(self.image, seen[0])
        finish_image(self.store, described, labels, about | {"written": history}, stored, listener)
        capped = fit.capped(channel_titles(channel_names(self.image.image)), seen[0])
        notes = [fit.notes(), *(one.sentences() for one in kept)]
        return Report(
            url=self.store.url,
            shapes=tuple(shape.shape for shape in self.image.shapes),
            nbytes=sum(one.nbytes - one.before for one in seen), nbytes_before=sum(one.before for one in seen),
            units=sum(one.units for one in seen),
            seconds=seconds, peak_memory=peak_memory(), codec=self.codec,
            notes=tuple(dict.fromkeys(note for some in notes for note in some)),
            statistics=fit.values(),
            left_out=fit.left_out(),
            capped=capped,
            methods=fit.methods(capped),
            source=source["source"],
            objects_checked=sum(one.objects for one in kept),
            nbytes_checked=sum(one.nbytes for one in kept),
        )

    def _describe(self, pixels: PyramidPixels, seen: Any) -> Any:
        found = describe(pixels.image, pixels.placed(self.store.level_path), pixels.method, seen)
        # Whoever made levels that were given made them by their own rules.
        said = {} if pixels.given else found.metadata
        return replace(found, metadata=said, element=self.element if pixels is self.image else None)


@dataclass(frozen=True, eq=False)
class Done:
    """An image that an earlier run finished."""

    place: Place
    shapes: tuple[tuple[int, ...], ...]
    nbytes: int
    codec: str
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
            codec=self.codec,
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
    origins: Origins
    codec: str

    @classmethod
    def of(cls, image: xr.DataArray, url: Any, options: WriteOptions, labels: Mapping[str, xr.DataArray]) -> _Order:
        image = ordered(image)
        if isinstance(url, str | Path):
            check_output(url)
            check_apart([*labels], url, "labels")
            check_apart(["image", *map(str, image.coords)] if options.layout == "dual" else [], url, "coordinates")
        check_method(options.method, image.dtype)
        levels = specify(image, options)
        named = {check_name(name, "labels"): specify_label(name, label, image, options) for name, label in labels.items()}
        specs = [spec_of(image, options), *(spec_of_label(one, options) for one, _, _ in named.values())]
        stored = [stored_as(spec, options.zarr_format) for spec in specs]
        fingerprint = fingerprint_of(image, levels[1], {name: one for name, (one, _, _) in named.items()}, options, stored)
        if options.resume and fingerprint is None:
            raise no_fingerprint()
        check_storable(image, levels, {name: (one, (shapes, specs)) for name, (one, shapes, specs) in named.items()}, options)
        coarser = options.given.levels[1:] if options.given else ()
        origins = origins_of([one.data for one in (image, *coarser, *labels.values())])
        return cls(image, url, levels, named, fingerprint, origins, name_stored(stored))

    def written(self, options: WriteOptions) -> list[Written]:
        """Return every pyramid that will be made, and every level that is given."""
        shapes, specs = self.levels
        levels = [self.image] if options.given is None else [ordered(level) for level in options.given.levels]
        alone = options.given is not None or options.method == "gaussian"  # nothing is made of its tiles on the way
        pyramids = [Written(level, spec, shapes[:1] if alone else shapes) for level, spec in zip(levels, specs, strict=False)]
        return [*pyramids, *(Written(label, below[0], its) for label, its, below in self.labels.values())]

    def start(self, options: WriteOptions, watch: SourceWatch, listener: Listener | None) -> Job | Done:
        """Create the store, or find the one that an earlier run left."""
        shapes = self.levels[0]
        store, source = self._open(options, watch, listener)
        damage = self._damage(store, options) if isinstance(store, Place) else []
        if damage:
            store, source = self._reopen(options), "nothing"
        if isinstance(store, Place):
            tidy(store, ["", *(f"labels/{name}" for name in self.labels)], options.layout)
            stored = [(self.image, shapes), *((label, below) for label, below, _ in self.labels.values())]
            nbytes = sum(prod(shape.shape) * one.dtype.itemsize for one, its in stored for shape in its)
            return Done(store, tuple(shape.shape for shape in shapes), nbytes, self.codec)
        with withdrawn_on_error(store):
            return self._job(store, options, source, damage, watch, listener)

    def _job(
        self, store: ImageStore, options: WriteOptions, source: Source, damage: list[str],
        watch: SourceWatch, listener: Listener | None,
    ) -> Job:
        """Create the arrays of labels, and say that all are there."""
        pixels = {}
        for name, (label, below, levels) in self.labels.items():
            store = store.with_labels(name, levels, spec_of_label(label, options))
            arrays = store.pyramids[name]
            pixels[name] = PyramidPixels(label, below, arrays, "mode", kept=kept_of(source, arrays, listener)).mended(damage)
        store.check_complete(pixels=False)
        store.mark_ready()
        given = options.given
        coarser = () if given is None else tuple(ordered(level) for level in given.levels[1:])
        method = options.method if given is None else given.method
        kept = kept_of(source, store.levels, listener)
        image = PyramidPixels(self.image, self.levels[0], store.levels, method, coarser, kept).mended(damage)
        if source != "as it was" and self.fingerprint is not None:
            watch.keep(self.origins, Journal(store.levels[0].place))
        return Job(store, image, pixels, fit_of(self.image.data), self.origins, watch, self.codec, options.element)

    def _damage(self, place: Place, options: WriteOptions) -> list[str]:
        """Return what a finished store lacks."""
        counts = {f"labels/{name}": len(shapes) for name, (_, shapes, _) in self.labels.items()}
        return find_damage(place, {"": len(self.levels[0]), **counts}, options.layout, options.zarr_format)

    def _reopen(self, options: WriteOptions) -> ImageStore:
        """Return the finished store, to be filled where it lacks something."""
        target = open_store(self.url, options.storage_options, "r+")
        how: dict[str, Any] = {"layout": options.layout, "version": options.version, "fingerprint": self.fingerprint}
        return reopen_image(target, self.levels[1], spec_of(self.image, options), **how)

    def _open(self, options: WriteOptions, watch: SourceWatch, listener: Listener | None) -> tuple[ImageStore | Place, Source]:
        """Return the store to be filled, or the place of the finished one; and what is known of the source of what it holds."""
        store = _open(self.image, self.url, options, self.levels[1], self.fingerprint, listener)
        try:
            return store, source_of(store, self.origins, watch)
        except SourceChangedError:
            if not options.overwrite:
                raise
        anew = replace(options, resume=False)
        return _open(self.image, self.url, anew, self.levels[1], self.fingerprint, listener), "nothing"


def start_all(outputs: Sequence[Output], watch: SourceWatch, listener: Listener | None = None) -> Iterator[Job | Done]:
    """Create the stores of images, or find those that an earlier run left; all are checked before one is created."""
    orders = order_all(outputs)
    watch.begin(order.origins for order in orders)
    yield from (order.start(one.options, watch, listener) for order, one in zip(orders, outputs, strict=True))


def order_all(outputs: Sequence[Output]) -> list[_Order]:
    """Return what is to be written, checked as far as that can be done without beginning."""
    orders = [_Order.of(one.image, one.url, one.options, one.labels) for one in outputs]
    check_needs([written for order, one in zip(orders, outputs, strict=True) for written in order.written(one.options)])
    return orders


def _open(
    image: xr.DataArray, url: Any, options: WriteOptions, levels: Sequence[LevelSpec], fingerprint: str | None,
    listener: Listener | None,
) -> ImageStore | Place:
    """Return the store to be filled, or the place of the finished one."""
    spec = spec_of(image, options)
    target = open_store(url, options.storage_options, "r+")
    how: dict[str, Any] = {
        "layout": options.layout, "version": options.version, "overwrite": options.overwrite, "fingerprint": fingerprint,
        "listener": listener, "aside": options.element is not None,
    }  # fmt: skip
    begin = resume_image if options.resume and fingerprint is not None else create_image
    return begin(target, levels, spec, **how)


def lazy_values(jobs: Sequence[Job | Done]) -> list[Any]:
    """Return all that has to be computed, together: shared statistics once."""
    return checkpointed([(job.store, job.image.kept, job.values()) for job in jobs if isinstance(job, Job)])


def finish_all(
    jobs: Sequence[Job | Done], single: bool, *results: Any, seconds: float = 0.0, listener: Listener | None = None
) -> Any:
    """Finish every store, and return the reports by URL."""
    reports, at = {}, 0
    if written := [job for job in jobs if isinstance(job, Job)]:
        written[0].watch.check([job.watched for job in written])
    for job in jobs:
        report = job.finish(results[at : at + job.count], seconds, listener)
        reports[report.url] = report
        at += job.count
    if computes_elsewhere():  # a worker's warnings are lost; those of threads were seen
        for note in dict.fromkeys(note for job in written for note in reports[job.store.url].notes):
            warnings.warn(note, UserWarning, stacklevel=3)
    return next(iter(reports.values())) if single else reports
