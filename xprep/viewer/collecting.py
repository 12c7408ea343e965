"""What a page shows: images and labels of stores and containers, checked before anything is computed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from xprep.arguments import check_mapping, check_text, check_whole
from xprep.dims.axes import SPACE
from xprep.dims.containers.contents import LocatedImage, contents_of
from xprep.dims.containers.roles import says_labels
from xprep.images import open_image, open_labels
from xprep.images.opening.level_choice import check_asked
from xprep.io.store.local_paths import stem
from xprep.ops.recorded import recorded_step
from xprep.sizes import parse_bytes
from xprep.switches import check_switch
from xprep.viewer.client_files import client_folder
from xprep.viewer.replaying import resolutions_of
from xprep.viewer.resolutions import find_resolutions
from xprep.viewer.session import ViewerPage
from xprep.viewer.shown_images import ShownImage, check_shown, shown_image

LEAST_MEMORY = 2**20


def make_view(given: Sequence[Any], labels: Any, opened: Mapping[str, Any], **how: Any) -> ViewerPage:
    """Return the page of what was ``given``: see `xprep.viewer.showing.view`."""
    wanted = _wanted(**how)
    options = check_mapping(opened["storage_options"], "storage_options", "{'anon': True}", secret=True)
    check_asked(0, None, None, None, opened["series"], opened["dims"])
    _check_stores(given, opened)
    opened = {**opened, "storage_options": options or None}
    items = [one for each in given for one in _items(each, opened)]
    items += _given_labels(labels, items)
    for one in items:
        check_shown(one.array, "view", is_label=one.is_label)
    client = client_folder()
    shown = [one.shown() for one in sorted(items, key=lambda one: one.is_label)]
    found = ViewerPage(shown, client, port=wanted.port, memory=wanted.memory, side_by_side=wanted.side_by_side)
    if wanted.browser:
        found.open_browser()
    return found


def _check_stores(given: Sequence[Any], opened: Mapping[str, Any]) -> None:
    said = [name for name in ("series", "dims") if opened[name] is not None]
    if said and not any(isinstance(one, str | Path) for one in given):
        raise ValueError(f"{said[0]}={opened[said[0]]!r} is of stores and files, and only images are given: leave it out.")


@dataclass(frozen=True)
class _Wanted:
    """The arguments, checked."""

    side_by_side: bool
    port: int
    browser: bool
    memory: int


def _wanted(side_by_side: Any, port: Any, browser: Any, memory: Any) -> _Wanted:
    try:
        room = parse_bytes(memory)
    except (ValueError, TypeError) as error:
        raise type(error)(f"memory: {error}") from None
    if room < LEAST_MEMORY:
        raise ValueError(f"memory must be at least 1 MiB, for a tile; got {memory!r}.")
    chosen = check_switch(browser, "browser", None)
    return _Wanted(
        check_switch(side_by_side, "side_by_side"),
        check_whole(port, "port", 0, 65535),
        not _in_notebook() if chosen is None else chosen,
        room,
    )


def _in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this: what it returns is shown."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


@dataclass(frozen=True, eq=False)
class _Item:
    """One image to show, with coarser levels where its container has them."""

    name: str
    array: xr.DataArray
    coarser: tuple[xr.DataArray, ...] = ()
    is_label: bool = False

    def shown(self) -> ShownImage:
        if self.is_label or (self.coarser and recorded_step(self.array) is None):
            found = find_resolutions(self.array, self.coarser, is_label=self.is_label, name=self.name)
        else:
            found = resolutions_of(self.array, self.name)
        return shown_image(self.array, self.name, found, is_label=self.is_label)


def _items(given: Any, opened: Mapping[str, Any]) -> Iterator[_Item]:
    """Yield the images, and then the labels, of what was given."""
    if isinstance(given, str | Path):
        yield from _of_store(given, opened)
        return
    contents = contents_of(given)
    images = [] if contents.only_labels else contents.images
    yield from (_located(one, says_labels(one.array.attrs) and one.array.dtype.kind in "uib") for one in images)
    yield from (_located(one, True) for one in contents.labels)


def _of_store(url: str | Path, opened: Mapping[str, Any]) -> Iterator[_Item]:
    image = open_image(url, **opened)
    yield _Item(stem(str(url)), image, is_label=says_labels(image.attrs))
    for name, array in open_labels(url, **opened).items():
        yield _Item(name, array, is_label=True)


def _located(one: LocatedImage, is_label: bool) -> _Item:
    node, name = one.key
    title = " ".join(str(part) for part in (node.strip("/").removesuffix("scale0").strip("/"), name) if part)
    step = recorded_step(one.array)
    title = f"{title or 'image'} {step.operation}" if step is not None else title or "image"
    return _Item(title, one.array, tuple(level.array for level in one.levels[1:]), is_label)


def _given_labels(labels: Any, items: list[_Item]) -> list[_Item]:
    given = check_mapping(labels, "labels", "{'cells': label_image}")
    for name, array in given.items():
        check_text(name, "a name in labels")
        if not isinstance(array, xr.DataArray):
            raise TypeError(f"labels are DataArrays; got a {type(array).__name__} for {name!r}.")
    return [_Item(str(name), _beside(array, items[0].array), is_label=True) for name, array in given.items()]


def _beside(labels: xr.DataArray, image: xr.DataArray) -> xr.DataArray:
    """Return labels where the image is, if they have as many pixels and say nothing of where they are."""
    bare = [dim for dim in labels.dims if dim in SPACE and dim not in labels.coords and dim in image.coords]
    fits = all(labels.sizes[dim] == image.sizes.get(dim) for dim in bare)
    return labels.assign_coords({dim: image.coords[dim] for dim in bare}) if fits else labels
