"""Whether a store is what OME-Zarr and its own metadata promise: metadata, chunks by key, levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xprep.arguments import check_whole
from xprep.errors import ChunkError, StoreFormatError, UnfinishedStoreError
from xprep.images.checking.arrays import check_array
from xprep.images.checking.findings import Collected, Finding, State, Validation, join
from xprep.images.checking.metadata import check_between, check_document, check_numbers, check_opening
from xprep.images.checking.recomputed_levels import check_levels, check_placement, find_grown, find_steps
from xprep.io.arrays.metadata import check_something, find_arrays
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.commit.mark import describe_owner, read_status
from xprep.io.json_nodes import brief
from xprep.io.ome.group_rules import KEYS
from xprep.io.ome.groups import (
    MAX_WELLS,
    Group,
    is_spatialdata,
    list_elements,
    list_images,
    list_labels,
    list_paths,
    read_group,
    read_groups,
    read_image,
)
from xprep.io.ome.reading import find_ome
from xprep.io.ome.rules import ABSENT, find_values
from xprep.io.ome_model import Multiscale
from xprep.io.store.places import open_store
from xprep.io.store.urls import check_key

SAMPLES = 4


def validate(url: str | Path | Any, *, samples: int = SAMPLES, storage_options: Mapping[str, Any] | None = None) -> Validation:
    """Check that a store keeps what OME-Zarr and its own metadata promise.

    What is looked at: the metadata of every group, images, labels, plates and wells, by every MUST of its version of OME-Zarr
    that one document can break; by the models of a maintained library too, where one is installed (the extra ``validate``: what
    a model refuses against the rules is a warning); whether each level opens as `open_image` opens it; that every chunk (or
    shard) is there, by its key, or that this cannot be known; that levels have the sizes and places that they say, and pixels
    that are their method's of the first level, on some regions; coordinates; and the same of labels, which must fit their
    image. Whether bytes are still those that were written is `verify`'s to say, which reads them all.

    Parameters
    ----------
    url : str, Path or zarr store
        An OME-Zarr image, a plate, a well, a store of several series, the group of an image's labels, a scene; of any program.
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
    samples = check_whole(samples, "samples", 1)
    place = open_store(url, storage_options)
    group = read_group(place)
    if group is None:
        check_something(place)
        raise StoreFormatError(f"{place} is no Zarr group, so it is no OME-Zarr image.")
    if read_status(group) == "writing":
        return Validation(place.url, (Finding("finished", "", "failed", f"{describe_owner(group)}."),))
    report = Collected(samples)
    _check_all(report, group)
    return Validation(place.url, tuple(report.findings), tuple(report.arrays))


# What makes a group one of OME-Zarr that is looked into.
_HOLDERS = tuple(key for key in KEYS if key != "omero")


def _check_all(report: Collected, group: Group) -> None:
    """Check what the root is: an image, or one of the groups that hold images."""
    ome = find_ome(group.attributes)
    if is_spatialdata(group.attributes):
        for path in list_elements(group, "images", "labels"):
            _check_listed(report, group, path, path, "")
        return
    if not any(key in ome for key in _HOLDERS):
        raise StoreFormatError(f"{group.place} holds no OME-Zarr image (no multiscales, plate, well, series or labels).")
    version = check_document(report, group, "")
    if group.is_image:
        _check_image(report, group, "", version)
    elif "labels" in ome:
        for name in _listed(report, lambda: list_paths(group, "labels"), ""):
            _check_listed(report, group, name, name, version)
    elif "series" in ome:
        _check_series(report, ome)
    elif "image-label" in ome:
        report.add("metadata", "", "failed", "a label image must be an image: it has 'image-label' and no 'multiscales'.")
    else:
        _check_wells(report, group, ome, version)
        if "bioformats2raw.layout" in ome and "plate" not in ome:
            check_numbers(report, group)
        for path in dict.fromkeys(_listed(report, lambda: [entry.path for entry in list_images(group)], "")):
            _check_listed(report, group, path, path, version)
        if "scene" in ome:
            for path in _scene_paths(ome["scene"]):
                _check_listed(report, group, path, path, version)


def _check_series(report: Collected, ome: Mapping[str, Any]) -> None:
    """Say that the images that the group OME lists lie outside it."""
    count = len(ome["series"]) if isinstance(ome["series"], list) else 0
    report.add("metadata", "", "skipped", f"it lists {count} images of the group above; validate that one.")


def _scene_paths(scene: Any) -> list[str]:
    """Return the images that the transformations of a scene lead from and to."""
    ends = [find_values(scene, f"coordinateTransformations[]/{end}/path", "") for end in ("input", "output")]
    return list(dict.fromkeys(path for found in ends for _, path in found if _is_inside(path)))


def _listed(report: Collected, listing: Callable[[], list[str]], where: str) -> list[str]:
    try:
        return listing()
    except (StoreFormatError, UnfinishedStoreError) as error:
        report.add("metadata", where, "failed", str(error))
        return []


def _check_wells(report: Collected, group: Group, ome: Mapping[str, Any], version: str) -> None:
    """Check the wells of a plate: each by the rules, and its acquisitions against those of the plate."""
    plate = ome.get("plate")
    paths = [path for _, path in find_values(plate, "wells[]/path", "") if _is_inside(path)]
    known = [one for _, one in find_values(plate, "acquisitions[]/id", "") if isinstance(one, int)]
    paths = list(dict.fromkeys(paths))[:MAX_WELLS]
    try:
        wells = read_groups(group.place, paths)
    except StoreFormatError as error:
        report.add("metadata", "", "failed", str(error))
        return
    for path, well in zip(paths, wells, strict=True):
        if well is None or "well" not in find_ome(well.attributes):
            continue  # `list_images` lists it as an image that is not there
        check_document(report, well, path, version)
        for place, acquisition in find_values(find_ome(well.attributes), "well/images[]/acquisition", ""):
            if (acquisition is not ABSENT and known and acquisition not in known) or (acquisition is ABSENT and len(known) > 1):
                told = "is missing" if acquisition is ABSENT else f"is {brief(acquisition)}"
                report.add("rules", path, "failed", f"{place} {told}; the plate has the acquisitions {brief(known)}.")


def _is_inside(path: Any) -> bool:
    try:
        return isinstance(path, str) and check_key(path) != ""
    except ValueError:
        return False


def _check_listed(report: Collected, group: Group, path: str, where: str, version: str) -> None:
    """Check the image at ``path`` below ``group``, which lists it."""
    try:
        image = read_group(group.place.child(path)) if path else group
    except (ValueError, OSError) as error:
        report.add("metadata", where, "failed", str(error))
        return
    if image is None:
        report.add("metadata", where, "failed", "it is listed, and not there.")
    elif not image.is_image:
        report.add("metadata", where, "failed", "it is listed, and no image: it has no 'multiscales'.")
    elif read_status(image) == "writing":
        report.add("finished", where, "failed", f"{describe_owner(image)}.")
    else:
        check_document(report, image, where, version)
        _check_image(report, image, where, version)


def _check_image(report: Collected, group: Group, where: str, version: str) -> None:
    """Check an image and its labels."""
    found = _check_pyramid(report, group, where)
    try:
        labels = read_group(group.place.child("labels"))
    except StoreFormatError as error:
        report.add("metadata", join(where, "labels"), "failed", str(error))
        return
    if labels is None:
        if find_arrays(group.place, ["labels"]):
            report.add("rules", join(where, "labels"), "failed", "an array is there; 'labels' is a group that lists images.")
        return
    check_document(report, labels, join(where, "labels"), version)
    if "labels" not in find_ome(labels.attributes):
        report.add("rules", join(where, "labels"), "failed", "labels is missing; it must be a list of the paths of label images.")
    for name in _listed(report, lambda: list_labels(group), join(where, "labels")):
        check_between(report, labels, name, join(where, "labels"))
        _check_labels(report, group, name, found, join(where, f"labels/{name}"), version)


def _check_labels(
    report: Collected, group: Group, name: str, found: tuple[Multiscale, list[ZarrReadable]] | None, path: str, version: str
) -> None:
    """Check a label image, by itself and against its image."""
    try:
        label = read_group(group.place.child(f"labels/{name}"))
    except StoreFormatError as error:
        report.add("metadata", path, "failed", str(error))
        return
    if label is None:
        report.add("metadata", path, "failed", "it is listed, and not there.")
        return
    check_document(report, label, path, version)
    if (below := _check_pyramid(report, label, path)) is not None and found is not None:
        _check_label(report, found, below, path)


def _check_pyramid(report: Collected, group: Group, where: str) -> tuple[Multiscale, list[ZarrReadable]] | None:
    """Check an image or a label image by itself; return it if its arrays can be opened."""
    try:
        image = read_image(group)
    except StoreFormatError as error:
        report.add("metadata", where, "failed", str(error))
        return None
    report.add("metadata", where, "ok", f"OME-Zarr {image.version}, {', '.join(image.dims)}, levels: {len(image.levels)}.")
    dims = _stored_dims(group, image)
    arrays = [check_array(report, group, image, dims, level.path, join(where, level.path)) for level in image.levels]
    opened = [array for array in arrays if array is not None]
    if len(opened) < len(arrays):
        return None
    check_opening(report, group, image, where)
    if len({array.dtype for array in opened}) > 1:
        report.add("levels", where, "failed", f"they differ in type: {[str(array.dtype) for array in opened]}.")
        return None
    if grown := find_grown(opened):
        report.add("levels", where, "failed", grown)
        return None
    _check_levels(report, image, opened, where)
    return image, opened


def _stored_dims(group: Group, image: Multiscale) -> tuple[str, ...]:
    """Return the names of the arrays' dimensions: of 0.6, of the coordinate system that the levels lead to."""
    ends = find_values(find_ome(group.attributes), "multiscales[]/datasets[]/coordinateTransformations[]/output/name", "")
    names = [name for _, name in ends if name in image.systems] if image.version == "0.6" else []
    return read_image(group, system=names[0]).dims if names else image.dims


def _check_levels(report: Collected, image: Multiscale, arrays: Sequence[ZarrReadable], where: str) -> None:
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
    report: Collected,
    image: tuple[Multiscale, list[ZarrReadable]],
    label: tuple[Multiscale, list[ZarrReadable]],
    where: str,
) -> None:
    """Check that a label image fits its image."""
    (of, arrays), (own, levels) = image, label
    if levels[0].dtype.kind not in "ui":
        report.add("labels", where, "failed", f"they are of {levels[0].dtype}; labels are whole numbers.")
    if len(levels) != len(arrays):
        report.add("labels", where, "failed", f"they have {len(levels)} levels, their image {len(arrays)}.")
    sizes = [dict(zip(of.dims, array.shape, strict=True)) for array in arrays]
    for n, level in enumerate(levels[: len(arrays)]):
        mine = dict(zip(own.dims, level.shape, strict=True))
        if other := {dim: (m, sizes[n].get(dim)) for dim, m in mine.items() if m not in (1, sizes[n].get(dim))}:
            report.add("labels", where, "failed", f"level {n} does not fit the image: sizes (labels, image) are {other}.")
            return
    report.add("labels", where, "ok", "they fit their image.")
