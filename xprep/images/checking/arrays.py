"""Whether the arrays of an image are what its metadata promise: dimensions, objects by key, readable chunks, coordinates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from math import prod
from typing import Any, Final

import numpy as np

from xprep.dims.spacing import slack
from xprep.errors import ChunkError, StoreFormatError
from xprep.images.checking.findings import ArrayDigest, Collected
from xprep.io.arrays.coordinates import read_coord
from xprep.io.arrays.reads import ZarrReadable, open_array
from xprep.io.codecs.chunk_grid import UnitGrid
from xprep.io.commit.journal import read_manifest
from xprep.io.ome.groups import Group
from xprep.io.ome_model import Multiscale
from xprep.io.store.places import Place

KEYS: Final = 1024  # asked for at a time, where a store cannot be listed
# More requests than this would take hours; what was not asked for is said.
MOST_ASKED: Final = 2**17


def check_array(
    report: Collected, group: Group, image: Multiscale, dims: tuple[str, ...], path: str, where: str
) -> ZarrReadable | None:
    """Check a level by itself, whose dimensions must be ``dims``; return it if it can be opened."""
    try:
        array = open_array(group.place.child(path))
    except (ValueError, TypeError, OSError) as error:
        report.add("array", where, "failed", str(error))
        return None
    if len(array.shape) != len(image.axes):
        report.add("array", where, "failed", f"it has {len(array.shape)} dimensions for the axes {image.dims}.")
        return None
    if array.dims is not None and array.dims != dims:
        report.add("array", where, "failed", f"its dimensions are {array.dims}, the image's axes {dims}.")
        return None
    if array.dims is None and image.version == "0.5":
        report.add("array", where, "failed", f"it lacks dimension_names, which OME-Zarr 0.5 demands: {list(dims)}.")
    _check_chunks(report, array, where)
    _check_coords(report, image, array, path, where)
    return array


def _check_chunks(report: Collected, array: ZarrReadable, where: str) -> None:
    """Look for every object by its key, and read one."""
    checksum = ""
    try:
        if (kept := read_manifest(array.place)) is not None:
            checksum = f"sha256:{sha256(kept.tobytes()).hexdigest()}"
    except (ValueError, OSError) as error:
        report.add("checksums", where, "failed", str(error))
    count = prod(array.grid.lengths)
    try:
        missing, first, nbytes, listed = _find_objects(array)
    except (ChunkError, StoreFormatError) as error:
        report.add("chunks", where, "failed", str(error))
        return
    except OSError as error:
        report.add("chunks", where, "skipped", f"it cannot be known which of {count} objects are there: {error}")
        _read_first(report, array, where)
        return
    report.arrays.append(ArrayDigest(where, array.shape, str(array.dtype), count, missing, nbytes, checksum))
    what = f"{missing} of {count} objects are not there, the first is {first!r}"
    if not missing:
        report.add("chunks", where, "ok", f"all {count} objects are there.")
    elif checksum and not listed:
        report.add("chunks", where, "failed", f"{what}, or nobody may read them: the server lists nothing, so it cannot be told.")
    elif checksum:
        report.add("chunks", where, "failed", f"{what}: they were lost, and would read as zeros.")
    else:
        report.add("chunks", where, "warning", f"{what}: Zarr reads them as the fill value, whether lost or never written.")
    _read_first(report, array, where)


def _read_first(report: Collected, array: ZarrReadable, where: str) -> None:
    """Read a pixel at the beginning and at the end, as any reader that opens the image does."""
    if not prod(array.shape):
        return
    try:
        array.check_bounds()
        for region in ([slice(0, 1) for _ in array.shape], [slice(n - 1, n) for n in array.shape]):
            array.read(tuple(region))
    except (ValueError, OSError) as error:
        report.add("chunks", where, "failed", f"they cannot be read: {error}")


def _find_objects(array: ZarrReadable) -> tuple[int, str, int, bool]:
    """Return how many objects are not there, the key of the first, the bytes of the others, and whether the store listed them.

    What is there is looked through, not what is claimed: an array may claim 2**60 chunks.
    """
    grid, count = array.grid, prod(array.grid.lengths)
    if array.place.shown.startswith(("http:", "https:")):
        return (*_ask_for(array, grid, count), False)
    try:
        have = array.place.list_sizes(2 * min(count, 2**30) + 1000)
    except PermissionError:
        return (*_ask_for(array, grid, count), False)
    sizes = {at: size for name, size in have.items() if (at := _position(array, grid, name)) is not None}
    array.place.check_links([array.chunk_key(at) for at in sizes])
    if len(sizes) == count:
        return 0, "", sum(sizes.values()), True
    first = next(at for at in _positions(grid) if at not in sizes)
    return count - len(sizes), array.chunk_key(first), sum(sizes.values()), True


def _positions(grid: UnitGrid) -> Iterator[tuple[int, ...]]:
    return (grid.position(number) for number in range(prod(grid.lengths)))


def _position(array: ZarrReadable, grid: UnitGrid, name: str) -> tuple[int, ...] | None:
    """Return which object of the grid ``name`` is; None of one that is no part of it."""
    digits = re.findall(r"\d+", name)[-len(array.shape) or None :] if array.shape else []
    if len(digits) != len(array.shape) or any(len(one) > 19 for one in digits):
        return None
    at = tuple(map(int, digits))
    inside = all(n < length for n, length in zip(at, grid.lengths, strict=True))
    return at if inside and array.chunk_key(at) == name else None


def _ask_for(array: ZarrReadable, grid: UnitGrid, count: int) -> tuple[int, str, int]:
    """Ask for one key after the other, where nothing can be listed."""
    if count > MOST_ASKED:
        raise OSError(f"{array.place} cannot be listed, and {MOST_ASKED} requests are the most that are made.")
    keys = map(array.chunk_key, _positions(grid))
    missing: list[str] = []
    while some := list(islice(keys, KEYS)):
        missing += array.place.missing(some)
    return len(missing), missing[0] if missing else "", 0


def _check_coords(report: Collected, image: Multiscale, array: ZarrReadable, path: str, where: str) -> None:
    """Compare the coordinates beside an array of the dual layout with what the metadata say."""
    if not path.endswith("/image"):
        return
    beside = array.place.parent
    level = next(one for one in image.levels if one.path == path)
    for dim, scale, shift, length in zip(image.dims, level.scale, level.translation, array.shape, strict=True):
        there = beside.child(dim)
        if dim == "c" or not (there.exists("zarr.json") or there.exists(".zarray")):
            continue
        if (wrong := _coord_problem(there, length, scale, shift, even=dim != "t")) is not None:
            report.add("coords", f"{where.rpartition('/')[0]}/{dim}", "failed", wrong)
            return
    report.add("coords", where.rpartition("/")[0], "ok", "they are those of the metadata.")


def _coord_problem(place: Place, length: int, scale: float, shift: float, *, even: bool) -> str | None:
    try:
        values = read_coord(place).values
    except (ValueError, TypeError, OSError) as error:
        return str(error)
    if values.shape != (length,):
        return f"has {values.size} values for {length} pixels."
    wanted: Any = shift + scale * np.arange(length)
    if even and values.dtype.kind in "iuf" and not np.abs(values - wanted).max(initial=0.0) <= slack(values, scale):
        return f"runs from {values[0]:g} to {values[-1]:g}, by the metadata from {wanted[0]:g} to {wanted[-1]:g}."
    return None
