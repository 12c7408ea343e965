"""Writing OME-Zarr: arrays and coordinates first, pixels with all their levels in one pass, the metadata last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from xprep.engine.clients import check_scheduler, computes_elsewhere
from xprep.engine.graph import call, check_engine
from xprep.engine.progress import choose_listener
from xprep.engine.run import run
from xprep.errors import SourceChangedError
from xprep.images.jobs import Done, Job, finish_all, lazy_values, start_all
from xprep.images.outputs import Output, outputs_of
from xprep.images.report import Report
from xprep.images.specifying import Options
from xprep.images.watching import Watch
from xprep.io.objects import is_in_memory
from xprep.io.stores import open_store
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
        Shapes of chunks and shards, by dim; by default one channel a chunk, 1024 pixels along y and x, and no shards.
    labels : mapping of str to DataArray, optional
        Label images to be stored with the image, shrunk by their commonest values. Along dims where both have a coordinate,
        the pixels are taken that lie where the image's do (to a hundredth of a pixel); what does not lie on it is refused.
    overwrite : bool
        Whether a Zarr store there may be replaced. The old one stays until the new one, made beside it, is complete; a local disk
        then renames that, a bucket (S3, Google, Azure) copies it on its own side, which takes the space of both for a while
        and a request an object. Other stores delete the old one first; a warning says so before that.
    resume : bool
        Go on with what the same call left unfinished: tiles that are there are not made again, statistics are those of then.
        With nothing there it begins, with a finished store of the same call it does nothing.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint. Never stored.
    progress : bool or listener, optional
        A bar, by default where somebody looks (terminal, notebook); or an object that is told.
    compute : bool
        Write now; otherwise return the lazy writing.
    fingerprint : str, optional
        What tells this run from others, where ``resume`` cannot know it: a text that stands for the pixels and parameters.

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
        No image, or whole numbers that may be labels and would be blended; nodes named as levels that are none; the output
        lies in the input or holds it, a dim that OME-Zarr has not, uneven coordinates, an unknown choice, chunks
        or factors that are none; ``resume`` of an image whose origin nobody knows, without ``fingerprint``.
    ChunkError, OSError
        The source cannot be read or the output cannot be written; the store stays marked as unfinished.

    Notes
    -----
    Chunks are stored with blosc zstd level 1 and shuffle, and a crc32c: on uint16 a third of the CPU seconds of Zarr's default
    and 10 % smaller. Every chunk is written, also one of zeros, so that a lost one can be told; size and crc32c of each are
    kept in ``.xprep/manifest.npy`` beside them, and `xprep.verify` compares.

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
    options = Options(scale_factors, method, version, layout, chunks, shards, overwrite, storage_options, resume, fingerprint)
    outputs = outputs_of(image, url, options, labels or {})
    single = len(outputs) == 1
    if compute:
        reports = write_outputs(outputs, progress)
        return next(iter(reports.values())) if single else reports
    watch = Watch()
    jobs = list(start_all(outputs, watch))
    return call(partial(finish_all, jobs, single), *lazy_values(jobs), label="store")


def write_images(
    images: Sequence[tuple[xr.DataArray, Any]], options: Options, *, progress: Listener | bool | None = None
) -> dict[str, Report]:
    """Compute images together, shared statistics once, and write each to its own URL; return the reports by URL."""
    return write_outputs([Output(image, url, options, {}) for image, url in images], progress)


def write_outputs(outputs: Sequence[Output], progress: Listener | bool | None = None) -> dict[str, Report]:
    """Compute what is to be written together, shared statistics once, and write it; return the reports by URL."""
    check_scheduler()
    _check_reachable(outputs)
    jobs: list[Job | Done] = []
    watch = Watch()
    listener = choose_listener(progress)
    try:
        for job in start_all(outputs, watch, listener):
            jobs.append(job)  # noqa: PERF402  (those that were begun are named where the next one fails)
        results, went = run(lazy_values(jobs), "writing", listener)
        reports: dict[str, Report] = finish_all(jobs, False, *results, seconds=went.seconds, listener=listener)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left(jobs)) from None
    except Exception as error:
        error.add_note(_left(jobs, anew=isinstance(error, SourceChangedError)))
        raise
    finally:
        watch.close()
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


def _left(jobs: Sequence[Job | Done], anew: bool = False) -> str:
    """Return what to say of stores that were not finished; of some, only ``anew`` helps."""
    urls = [job.store.url for job in jobs if isinstance(job, Job)]
    if not urls:
        return "no pixel was written."
    resumable = not anew and all(job.store.fingerprint is not None for job in jobs if isinstance(job, Job))
    way = "resume=True goes on from there" if resumable else "overwrite=True writes it anew"
    return f"not finished: {', '.join(urls)}. The same command with {way}."
