"""Writing OME-Zarr: arrays and coordinates first, pixels with all their levels in one pass, the metadata last.

1. `order_all`: everything is checked, for all images of a call; nothing is created;
2. `start_all`: the sources are listed (`SourceWatch`), and store after store is created, or found and taken over;
3. `lazy_values`: what has to be computed, for all images together, so that shared statistics are computed once;
4. `run`: tiles are written, with their levels, and noted;
5. `finish_all`: the sources are listed again, and every store gets its metadata.

Where a step fails, stores that no pixel was written to are taken back, and the error says what becomes of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import xarray as xr

from xprep.engine.graph.tasks import call, check_engine
from xprep.engine.machine.clients import computes_elsewhere
from xprep.engine.machine.progress import choose_listener
from xprep.engine.running.run import run
from xprep.engine.running.workers import check_machinery
from xprep.errors import SourceChangedError
from xprep.images.writing.jobs import Done, Job, finish_all, lazy_values, order_all, start_all
from xprep.images.writing.outputs import Output, outputs_of
from xprep.images.writing.report import Report
from xprep.images.writing.separation import check_outputs
from xprep.images.writing.source_watch import SourceWatch
from xprep.images.writing.specification import WriteOptions, check_labels, ordered, specify
from xprep.io.commit.withdrawing import withdraw
from xprep.io.store.backends import is_in_memory
from xprep.io.store.places import open_store
from xprep.io.store.urls import check_output
from xprep.switches import check_switch
from xprep.types import Listener


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
    fingerprint: str | None = None,
    compression: Any = None,
    checksum: bool | None = None,
) -> Any:
    """Compute an image and write it as OME-Zarr, with its pyramid, tile by tile.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims among ``t, c, z, y, x``, in any order; stored in that order. Several images of a Dataset or DataTree are written
        below ``url``, each under its node's and its own name, and computed together: shared statistics once.
        An image in levels (a DataTree of `pyramid`, `open_tree` or another reader, or what an operation made of it:
        ``scale0 … scaleN``) is one image. With an image go its labels: of a Dataset those that say so (by the attribute
        ``image-label``), of a DataTree those below ``labels``.
    url : str, Path or zarr store
        Where.
    scale_factors : "auto" or sequence
        One entry a level, relative to the level before: a number shrinks y and x, a mapping names its dims. ``"auto"`` halves y
        and x until a level fits one chunk; ``()`` writes the first level only. Of an image in levels, ``"auto"`` writes the
        levels that it has; labels are shrunk anew.
    method : {"mean", "max", "nearest", "mode", "gaussian"}
        How levels are made, as by `pyramid`; integers round half to even. A level of all but ``"gaussian"`` is made while the
        one before is written; that one is made of blocks and their surroundings, and reads the level before back.
    version : {"0.5", "0.4", "0.6"}
        Of OME-Zarr.
    layout : {"dual", "flat"}
        ``"dual"``: ``scaleN/image`` with coordinates, which plain xarray opens too; ``"flat"``: bare arrays.
    chunks, shards : mapping, int or tuple, optional
        Shapes of chunks and shards, by dim; by default chunks that suit the image's own, and no shards: one channel and one time
        point, along y and x the image's own chunk where it is of 64 to 2048 pixels (from 16 where the chunk is deep: a movie
        stored for traces, a volume in cubes), otherwise 1024; along z its own. Planes below 256 KiB are grouped along t, then
        along z, to 1 MiB. Others may cost more: see Notes.
    labels : mapping of str to DataArray, optional
        Label images to be stored with the image, shrunk by their commonest values. Along dims where both have a coordinate,
        the pixels are taken that lie where the image's do (to a hundredth of a pixel); what does not lie on it is refused.
    overwrite : bool
        Whether a Zarr store there may be replaced. The old one stays until the new one, made beside it, is complete; a local disk
        then renames that, a bucket (S3, Google, Azure) copies it on its own side, which takes the space of both for a while
        and a request an object. Other stores delete the old one first; a warning says so before that.
    resume : bool
        Go on with what the same call left unfinished: finished tiles are not made again, and statistics are those of the first
        run. With nothing there it begins, with a finished store of the same call it does nothing.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint. Never stored.
    progress : bool or listener, optional
        A bar, by default where somebody looks (terminal, notebook); or an object that is told.
    compute : bool
        Write now; otherwise return the lazy writing.
    fingerprint : str, optional
        What tells this run from others, where ``resume`` cannot know it: a text that stands for the pixels and parameters.
    compression : str, codec or sequence of codecs, optional
        ``"none"``, ``"zstd"``, ``"gzip"``, ``"blosc-zstd"``, ``"blosc-lz4"`` (also ``lz4hc``, ``zlib``, ``blosclz``); a level
        follows a colon, ``"zstd:3"``, and is 1 without; blosc shuffles bytes. Or codecs of zarr or numcodecs, objects or their
        metadata, in the order of writing, each stored as the version of OME-Zarr has it. By default ``"blosc-zstd:1"`` for
        images and ``"zstd:1"`` for labels; what is given is for both.
    checksum : bool, optional
        Whether a crc32c follows each chunk, so that readers notice a flipped bit. By default where the format has a place for
        one: 0.5 and 0.6. The journal beside the pixels keeps one in any case.

    Returns
    -------
    Report
        What was written, and how it went; of several images a dict of reports. With ``compute=False`` a dask ``Delayed`` of it.

    Raises
    ------
    StoreExistsError
        Something is there, and ``overwrite`` is off (or it is no Zarr store); with ``resume``, it is another call's; another
        process is writing it.
    ValueError
        No image, or whole numbers that may be labels and would be blended; nodes that are named as levels and are not; the output
        lies in the input or holds it, a dim that OME-Zarr does not have, uneven coordinates, an unknown choice, invalid
        chunks or factors; codecs that the version cannot store, that change pixels although they are called lossless, or that
        xprep would not read; ``resume`` of an image whose origin is not known, without ``fingerprint``.
    ScratchFullError
        The image has to go through scratch, which has too little room; nothing is created.
    SourceChangedError
        The source was changed while it was read, or since the run that is resumed began: it names an object.
    ChunkError, OSError
        The source cannot be read or the output cannot be written; the store stays marked as unfinished.

    Warns
    -----
    ChunksWarning
        Chunks or shards that are too much at odds with the source's.

    Notes
    -----
    Memory is a few tiles a thread whatever the chunks. Where a chunk of the source lies across tiles of the output it is read
    twice at most; where it would be more (a movie in chunks (T, 32, 32) written in (1, 1024, 1024)), the image is written once to
    scratch, in chunks between the two, and read from there: `plan` with these ``chunks`` says how many bytes. Scratch lies where
    ``set_options(scratch_url=…)`` says, and is removed with the run.

    Chunks of images are stored with blosc zstd level 1 and shuffle, and a crc32c: on uint16 a third of the CPU seconds of Zarr's
    default and 10 % smaller; those of labels with zstd level 1 alone, which makes them 15 to 56 % smaller than shuffled. Every
    chunk is written, also one of zeros, so that a lost one can be told; size and crc32c of each are kept in
    ``.xprep/manifest.npy`` beside them, and `xprep.verify` compares.

    Channels of several levels of names (a MultiIndex on ``c``) are stored by their names together, "1 DAPI", with the levels as
    coordinates beside: ``image.drop_vars("c").set_index(c=["cycle", "marker"])`` makes them levels again.

    Before a store is called finished, what it was read from is listed once more (``Report.source`` says if that cannot be done).
    ``resume`` on a finished store makes again what it lost, by one listing.

    Interrupted and resumed, a store equals one that was written at once to the byte, time stamps in its JSON aside.

    Source: OME-Zarr (https://ngff.openmicroscopy.org).

    Examples
    --------
    >>> import tempfile, xprep
    >>> image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    >>> report = image.prep.to_ome_zarr(tempfile.mkdtemp() + "/blobs.ome.zarr")
    >>> report.shapes
    ((2, 64, 64),)
    """
    check_engine()
    compute = check_switch(compute, "compute")
    overwrite, resume = check_switch(overwrite, "overwrite"), check_switch(resume, "resume")
    choose_listener(progress)  # before anything is opened
    options = WriteOptions(
        scale_factors, method, version, layout, chunks, shards, overwrite, storage_options, resume, fingerprint,
        compression=compression, checksum=checksum,
    )  # fmt: skip
    outputs = outputs_of(image, url, options, check_labels(labels))
    single = len(outputs) == 1
    if compute:
        reports = write_outputs(outputs, progress)
        return next(iter(reports.values())) if single else reports
    check_outputs(outputs)
    order_all(outputs)  # refused now, and begun when it is computed
    return call(_Later(outputs), label="store")


@dataclass(frozen=True, eq=False)
class _Later:
    """Writes images when it is called, which is in a task: nothing is begun before, and nobody's place is taken."""

    outputs: Sequence[Output]
    number: str = field(default_factory=lambda: uuid4().hex)

    def __call__(self) -> Any:
        reports = write_outputs(self.outputs, progress=False)
        return next(iter(reports.values())) if len(self.outputs) == 1 else reports

    def __dask_tokenize__(self) -> str:
        return self.number


def write_images(
    images: Sequence[tuple[xr.DataArray, Any]], options: WriteOptions, *, progress: Listener | bool | None = None
) -> dict[str, Report]:
    """Compute images together, shared statistics once, and write each to its own URL; return the reports by URL."""
    return write_outputs([Output(image, url, options, {}) for image, url in images], progress)


def check_writing(images: Sequence[tuple[xr.DataArray, Any]], options: WriteOptions) -> None:
    """Refuse what `write_images` of the same would refuse of arguments and places; nothing is created."""
    check_outputs([Output(image, url, options, {}) for image, url in images])
    for image, url in images:
        check_output(url)
        specify(ordered(image), options)


def write_outputs(outputs: Sequence[Output], progress: Listener | bool | None = None) -> dict[str, Report]:
    """Compute what is to be written together, shared statistics once, and write it; return the reports by URL."""
    check_outputs(outputs)
    check_machinery([output.image.data for output in outputs])
    _check_reachable(outputs)
    jobs: list[Job | Done] = []
    listener, elsewhere = choose_listener(progress), False
    try:
        # Closed before anything is taken back: its thread writes a note into the stores.
        with closing(SourceWatch()) as watch:
            for job in start_all(outputs, watch, listener):
                jobs.append(job)  # noqa: PERF402  (those that were begun are named where the next one fails)
            values = lazy_values(jobs)
            elsewhere = computes_elsewhere()
            results, went = run(values, "writing", listener)
            reports: dict[str, Report] = finish_all(jobs, False, *results, seconds=went.seconds, listener=listener)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left(jobs, elsewhere)) from None
    except Exception as error:
        error.add_note(_left(jobs, elsewhere, anew=isinstance(error, SourceChangedError)))
        raise
    return reports


def _check_reachable(outputs: Sequence[Output]) -> None:
    """Refuse stores that other processes would have copies of."""
    for output in outputs if computes_elsewhere() else ():
        place = open_store(output.url, output.options.storage_options, "r+")
        if is_in_memory(place.store):
            raise ValueError(
                f"{place} lies in the memory of this process, which workers cannot write to. Write to a folder or a bucket, or "
                "compute on threads: close the dask client, or dask.config.set(scheduler='threads')."
            )


def _left(jobs: Sequence[Job | Done], elsewhere: bool, anew: bool = False) -> str:
    """Take back the stores that no pixel was written to; return what to say of the others, where perhaps only ``anew`` helps.

    Where workers compute, all stay: a task of theirs may still write, into a store that would be gone.
    """
    begun = [job.store for job in jobs if isinstance(job, Job)]
    urls = [store.url for store in begun if elsewhere or not withdraw(store)]
    if not urls:
        return "no pixel was written."
    resumable = not anew and all(store.fingerprint is not None for store in begun)
    way = "resume=True goes on from there" if resumable else "overwrite=True writes it anew"
    return f"not finished: {', '.join(urls)}. The same command with {way}."
