"""Whether a store is what OME-Zarr and its own metadata promise: metadata, chunks by key, levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from xprep.dims.spacing import slack
from xprep.errors import ChunkError, StoreFormatError
from xprep.images.models import check_model
from xprep.images.recomputing import check_levels, check_placement, find_steps
from xprep.images.validation import ArrayDigest, Finding, State, Validation
from xprep.io.arrays import ZarrReadable, open_array
from xprep.io.coords import read_coord
from xprep.io.groups import Group, list_images, list_labels, read_group, read_image
from xprep.io.journal import read_manifest
from xprep.io.ome import Multiscale
from xprep.io.status import describe_owner, read_status
from xprep.io.stores import Place, open_store
from xprep.io.units import Grid

SAMPLES = 4
KEYS = 1024  # asked for at a time, where a store cannot be listed


def validate(url: str | Path | Any, *, samples: int = SAMPLES, storage_options: Mapping[str, Any] | None = None) -> Validation:
    """Check that a store keeps what OME-Zarr and its own metadata promise.

    What is looked at: the metadata, by xprep's reader and by the models of a maintained library where one is installed
    (the extra ``validate``); that every chunk (or shard) is there, by its key; that levels have the sizes and places
    that they say, and pixels that are their method's of the first level, on some regions; coordinates; and the same of
    labels, which must fit their image. Whether bytes are still those that were written is `verify`'s to say, which
    reads them all.

    Parameters
    ----------
    url : str, Path or zarr store
        An OME-Zarr image, a plate, a well, or a store of several series; whoever wrote it.
    samples : int
        Regions of every level that are recomputed: the first and the last corner, then others.
    storage_options : mapping, optional
        For fsspec: credentials, endpoint.

    Returns
    -------
    Validation
        What was found; ``is_valid`` if nothing failed, and a report as text and as JSON, with a checksum.

    Raises
    ------
    StoreFormatError
        There is nothing of OME-Zarr.
    ValueError
        ``samples`` is no positive number.
    FileNotFoundError, OSError
        The store cannot be read.

    Examples
    --------
    >>> import tempfile, xprep
    >>> url = tempfile.mkdtemp() + "/blobs.ome.zarr"
    >>> report = xprep.datasets.blobs(channels=2, shape=(64, 64)).prep.to_ome_zarr(url, scale_factors=(2,))
    >>> validate(url).is_valid
    True
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a whole number of at least 1; got {samples!r}.")
    place = open_store(url, storage_options)
    group = read_group(place)
    if group is None:
        raise StoreFormatError(f"{place} is no Zarr group, so it is no OME-Zarr image.")
    if read_status(group) == "writing":
        return Validation(place.url, (Finding("finished", "", "failed", f"{describe_owner(group)}."),))
    report = _Report(place, samples)
    _check_all(report, group)
    return Validation(place.url, tuple(report.findings), tuple(report.arrays))


@dataclass
class _Report:
    """Where findings are collected."""

    root: Place
    samples: int
    findings: list[Finding] = field(default_factory=list)
    arrays: list[ArrayDigest] = field(default_factory=list)

    def add(self, what: str, where: str, state: State, detail: str) -> None:
        self.findings.append(Finding(what, where, state, detail))


def _check_all(report: _Report, group: Group) -> None:
    try:
        entries = list_images(group)
    except StoreFormatError as error:
        report.add("metadata", "", "failed", str(error))
        return
    if not entries:
        raise StoreFormatError(f"{group.place} holds no OME-Zarr image (no multiscales, plate, well or series).")
    for entry in entries:
        image = read_group(group.place.child(entry.path)) if entry.path else group
        if image is None:
            report.add("metadata", entry.path, "failed", "it is listed, and not there.")
        else:
            _check_image(report, image, entry.path)


def _check_image(report: _Report, group: Group, where: str) -> None:
    found = _check_pyramid(report, group, where)
    try:
        names = list_labels(group)
    except StoreFormatError as error:
        report.add("metadata", _join(where, "labels"), "failed", str(error))
        return
    for name in names:
        path = _join(where, f"labels/{name}")
        label = read_group(group.place.child(f"labels/{name}"))
        if label is None:
            report.add("metadata", path, "failed", "it is listed, and not there.")
        elif (below := _check_pyramid(report, label, path)) is not None and found is not None:
            _check_label(report, found, below, path)


def _check_pyramid(report: _Report, group: Group, where: str) -> tuple[Multiscale, list[ZarrReadable]] | None:
    """Check an image or a label image by itself; return it if its arrays can be opened."""
    try:
        image = read_image(group)
    except StoreFormatError as error:
        report.add("metadata", where, "failed", str(error))
        return None
    report.add("metadata", where, "ok", f"OME-Zarr {image.version}, {', '.join(image.dims)}, levels: {len(image.levels)}.")
    report.findings.append(check_model(group.attributes, image.version, where))
    arrays = [_check_array(report, group, image, level.path, _join(where, level.path)) for level in image.levels]
    opened = [array for array in arrays if array is not None]
    if len(opened) < len(arrays):
        return None
    if len({array.dtype for array in opened}) > 1:
        report.add("levels", where, "failed", f"they differ in type: {[str(array.dtype) for array in opened]}.")
        return None
    _check_levels(report, image, opened, where)
    return image, opened


def _check_array(report: _Report, group: Group, image: Multiscale, path: str, where: str) -> ZarrReadable | None:
    try:
        array = open_array(group.place.child(path))
    except (StoreFormatError, FileNotFoundError) as error:
        report.add("array", where, "failed", str(error))
        return None
    if len(array.shape) != len(image.axes):
        report.add("array", where, "failed", f"it has {len(array.shape)} dimensions for the axes {image.dims}.")
        return None
    if array.dims is not None and array.dims != image.dims:
        report.add("array", where, "failed", f"its dimensions are {array.dims}, the image's axes {image.dims}.")
        return None
    _check_chunks(report, array, where)
    _check_coords(report, image, array, path, where)
    return array


def _check_chunks(report: _Report, array: ZarrReadable, where: str) -> None:
    """Look for every object by its key."""
    grid = Grid(array.shape, array.unit)
    count, (missing, nbytes) = prod(grid.lengths), _find_objects(array, grid)
    ours = False
    checksum = ""
    try:
        if (kept := read_manifest(array.place)) is not None:
            ours, checksum = True, f"sha256:{sha256(kept.tobytes()).hexdigest()}"
    except StoreFormatError as error:
        report.add("checksums", where, "failed", str(error))
    report.arrays.append(ArrayDigest(where, array.shape, str(array.dtype), count, len(missing), nbytes, checksum))
    if not missing:
        report.add("chunks", where, "ok", f"all {count} objects are there.")
        return
    what = f"{len(missing)} of {count} objects are not there, the first is {missing[0]!r}"
    if ours:
        report.add("chunks", where, "failed", f"{what}: they were lost, and would read as zeros.")
    else:
        report.add("chunks", where, "warning", f"{what}: Zarr reads them as the fill value, whether lost or never written.")


def _find_objects(array: ZarrReadable, grid: Grid) -> tuple[list[str], int]:
    """Return the keys of the objects that are not there, and how many bytes the others have (0 where nobody says)."""
    keys = (array.chunk_key(at) for at in grid.positions(tuple(slice(0, n) for n in array.shape)))
    if array.place.shown.startswith(("http:", "https:")):
        return [key for some in _batches(keys) for key in array.place.missing(some)], 0
    have = array.place.list_sizes(2 * prod(grid.lengths) + 1000)
    missing, nbytes = [], 0
    for key in keys:
        if key in have:
            nbytes += have[key]
        else:
            missing.append(key)
    return missing, nbytes


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == KEYS:
            yield batch
            batch = []
    yield batch


def _check_coords(report: _Report, image: Multiscale, array: ZarrReadable, path: str, where: str) -> None:
    """Compare the coordinates beside an array of the dual layout with what the metadata say."""
    if not path.endswith("/image"):
        return
    beside = Place(array.place.store, array.place.path.rpartition("/")[0], array.place.shown, array.place.secrets)
    level = next(one for one in image.levels if one.path == path)
    for dim, scale, shift, length in zip(image.dims, level.scale, level.translation, array.shape, strict=True):
        there = beside.child(dim)
        if dim == "c" or not (there.exists("zarr.json") or there.exists(".zarray")):
            continue
        if (wrong := _coord_problem(there, shift + scale * np.arange(length), scale, even=dim != "t")) is not None:
            report.add("coords", f"{where.rpartition('/')[0]}/{dim}", "failed", wrong)
            return
    report.add("coords", where.rpartition("/")[0], "ok", "they are those of the metadata.")


def _coord_problem(place: Place, wanted: Any, scale: float, *, even: bool) -> str | None:
    try:
        values = read_coord(place).values
    except (StoreFormatError, ChunkError) as error:
        return str(error)
    if values.shape != wanted.shape:
        return f"has {values.size} values for {wanted.size} pixels."
    if even and values.dtype.kind in "iuf" and not np.abs(values - wanted).max(initial=0.0) <= slack(values, scale):
        return f"runs from {values[0]:g} to {values[-1]:g}, by the metadata from {wanted[0]:g} to {wanted[-1]:g}."
    return None


def _check_levels(report: _Report, image: Multiscale, arrays: Sequence[ZarrReadable], where: str) -> None:
    ours = image.metadata.get("method") == "xprep"
    wrong: State = "failed" if ours else "warning"
    steps = find_steps(image, arrays)
    if isinstance(steps, str):
        report.add("levels", where, wrong, steps)
        return
    if misplaced := check_placement(image, steps):
        report.add("places", where, wrong, misplaced)
    try:
        report.findings.append(check_levels(image, arrays, steps, report.samples, where))
    except ChunkError as error:
        report.add("levels", where, "failed", str(error))


def _check_label(
    report: _Report,
    image: tuple[Multiscale, list[ZarrReadable]],
    label: tuple[Multiscale, list[ZarrReadable]],
    where: str,
) -> None:
    """Check that a label image fits its image."""
    (of, arrays), (own, levels) = image, label
    if levels[0].dtype.kind not in "ui":
        report.add("labels", where, "failed", f"they are of {levels[0].dtype}; labels are whole numbers.")
    if len(levels) != len(arrays):
        report.add("labels", where, "warning", f"they have {len(levels)} levels, their image {len(arrays)}.")
    sizes = [dict(zip(of.dims, array.shape, strict=True)) for array in arrays]
    for n, level in enumerate(levels[: len(arrays)]):
        mine = dict(zip(own.dims, level.shape, strict=True))
        if other := {dim: (m, sizes[n].get(dim)) for dim, m in mine.items() if m not in (1, sizes[n].get(dim))}:
            report.add("labels", where, "failed", f"level {n} does not fit the image: sizes (labels, image) are {other}.")
            return
    report.add("labels", where, "ok", "they fit their image.")


def _join(path: str, below: str) -> str:
    return f"{path}/{below}" if path else below
