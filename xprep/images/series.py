"""Which image of a file or a store of several is meant, and what reading it costs."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any, Final

from xprep.errors import ChunksWarning, StoreFormatError
from xprep.io.file_images import ASIDE
from xprep.io.file_stores import FileStore
from xprep.io.groups import Entry, Group, list_images, read_group, read_groups
from xprep.io.stores import Place
from xprep.sizes import format_bytes

SHOWN: Final = 6  # images that an error names
# A piece of a file that is decoded whole for any of its pixels, in every thread: above this, it is said.
LARGE: Final = 2**28


def choose_series(group: Group, series: int | str | None) -> Group:
    """Return the image meant by ``series``: ``group`` itself, or one of those that it holds.

    Raises
    ------
    KeyError
        There is no such series; it lists those that there are.
    StoreFormatError
        Several images, and nobody says which.
    """
    if series is None:
        if not group.is_image:
            _refuse_several(group)
        return group
    entries = list_images(group)
    if entries and entries[0].kind == "field":
        raise StoreFormatError(f"{group.place} is a plate or well, whose images have paths and no series: {_paths(entries)}.")
    names = _names(group, entries)
    aside = group.attributes.get(ASIDE) or {}
    found = names.index(series) if isinstance(series, str) and series in names else series
    path = aside.get(found) if isinstance(found, str) else entries[found].path if 0 <= found < len(entries) else None
    chosen = group if path == "" else None if path is None else read_group(group.place.child(str(path)))
    if chosen is None or not chosen.is_image:
        beside = f"; beside them {', '.join(map(repr, aside))}" if aside else ""
        raise KeyError(f"{group.place} has no series {series!r}; it has {_listed(names)}{beside}.")
    return chosen


def _names(group: Group, entries: list[Entry]) -> list[str]:
    """Return what the images call themselves, the first of each name; a path where one says nothing."""
    if group.is_image:
        return [entry.name for entry in entries]
    groups = read_groups(group.place, [entry.path for entry in entries])
    said = [_own_name(one) for one in groups]
    return [name or entry.path for name, entry in zip(said, entries, strict=True)]


def _own_name(group: Group | None) -> str:
    return list_images(group)[0].name if group is not None and group.is_image else ""


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"{n} ({name!r})" if name not in ("", str(n)) else name for n, name in enumerate(names[:SHOWN]))
    return f"{shown}, … of {len(names)}" if len(names) > SHOWN else shown or "none"


def _paths(entries: list[Entry]) -> str:
    return ", ".join(entry.path for entry in entries[:SHOWN]) + (", …" if len(entries) > SHOWN else "")


def _refuse_several(group: Group) -> None:
    """Refuse to choose among the images of a plate, a well, or of a store or file of several series: say which there are."""
    if not (entries := list_images(group)):
        return
    is_field = entries[0].kind in ("field", "element")  # which have paths, and no numbers
    series = f"{'file' if _is_file(group.place) else 'store'} of several series"
    kind = {"field": "plate or well", "element": "SpatialData object"}.get(entries[0].kind, series)
    shown = _listed(_names(group, entries)) if _is_file(group.place) else _paths(entries)
    way = f"open_image({f'{group.place}/{entries[0].path}'!r})" + ("" if is_field else " or series=0")
    count = f"{len(entries)} image{'s' * (len(entries) > 1)}"
    raise StoreFormatError(f"{group.place} is a {kind} of {count}: {shown}. Open one of them, {way}, or all with open_tree.")


def _is_file(place: Place) -> bool:
    return isinstance(place.store, FileStore)


def check_dims(place: Place, dims: Any) -> None:
    """Refuse ``dims`` of what says itself what its axes are: a Zarr store.

    Raises
    ------
    ValueError
        It is one.
    """
    if dims is not None and not _is_file(place):
        raise ValueError(
            f"dims={dims!r}: {place} is a Zarr store, which names its dims. Rename them when it is open: image.rename({{…}})."
        )


def warn_of_cost(group: Group) -> None:
    """Say what it costs that a file is stored in pieces as large as a plane, of which no part can be decoded alone."""
    if not isinstance(group.place.store, FileStore):
        return
    level = group.place.store.opened.levels.get(group.place.child("0").path)
    if level is not None and (nbytes := prod(level.chunks) * level.dtype.itemsize) >= LARGE:
        warnings.warn(
            f"{group.place} is stored in pieces of {'×'.join(map(str, level.chunks))} pixels, and any pixel of one costs all of "
            f"it: {format_bytes(nbytes)} of memory in every thread. To read it often, convert it once: xprep convert IN OUT.",
            ChunksWarning, stacklevel=3,
        )  # fmt: skip
