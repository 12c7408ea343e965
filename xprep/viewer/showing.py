"""`view`: what is shown, checked before anything is computed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from xprep.arguments import check_mapping, check_whole
from xprep.dims.axes import SPACE
from xprep.dims.containers.contents import LocatedImage, contents_of
from xprep.dims.containers.roles import says_labels
from xprep.images import open_image, open_labels
from xprep.io.store.local_paths import stem
from xprep.ops.recorded import recorded_step
from xprep.sizes import parse_bytes
from xprep.switches import check_switch
from xprep.viewer.client_files import client_folder
from xprep.viewer.replaying import resolutions_of
from xprep.viewer.resolutions import find_resolutions
from xprep.viewer.session import View
from xprep.viewer.shown_images import ShownImage, check_shown, shown_image

LEAST_MEMORY = 2**20


def view(
    image: xr.DataArray | xr.Dataset | xr.DataTree | str | Path,
    *others: xr.DataArray | xr.Dataset | xr.DataTree | str | Path,
    labels: Mapping[str, xr.DataArray] | None = None,
    side_by_side: bool = False,
    port: int = 0,
    browser: bool | None = None,
    memory: int | str = "512 MiB",
    series: int | str | None = None,
    dims: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> View:
    """Show images in the browser: stores and lazy results, tile by tile, before anything is written.

    Only what is looked at is read and computed, at the resolution that is looked at: levels of a lazy result are the same steps
    of ``.prep`` on the levels of the image that it was made of, with sigma and radius in their pixels. Extra ``view``.

    Parameters
    ----------
    image : DataArray, Dataset, DataTree, str or Path
        An image, lazy or in memory: dims y and x, and t, c, z. Of a Dataset or DataTree all images are shown, and labels over
        them. A text or a path is a store (`open_image`), with its labels.
    *others
        More of such: layers over the first, as before and after, which the page switches on and off.
    labels : mapping of str to DataArray, optional
        Label images, by name, that lie over all of them.
    side_by_side : bool
        Whether each image gets a panel of its own, all showing the same place, instead of layers in one.
    port : int
        Of the page; 0 takes a free one. It is bound to this machine's own address (127.0.0.1).
    browser : bool, optional
        Whether the user's browser is opened; by default not in a notebook, which shows the page itself.
    memory : int or str
        Bytes that tiles may occupy which were computed and may be looked at again.
    series, dims, storage_options
        As for `open_image`, of all stores.

    Returns
    -------
    View
        Its ``url`` has a random token. In a notebook it is a link and the page in a frame. ``close()`` ends it, ``wait()`` keeps
        a script from ending before.

    Raises
    ------
    ImportError
        The extra is not installed.
    UnfinishedStoreError
        A store that is being written.
    ValueError, TypeError
        No image, dims that are not shown, labels that are no whole numbers; an argument that it does not take.
    OSError
        The port is in use; a store cannot be read.

    Notes
    -----
    Where the chain of steps holds anything but `normalize`, `gaussian_filter`, `subtract_background`, `rescale`, `to_isotropic`
    and `project` (arithmetic, ``rechunk``, `mask`), coarse pictures are made of the full resolution, and the page says so.
    Statistics of `normalize` that were not given are fitted to a coarse level, and the page says "approximate": the result that
    is written later has exact ones. With ``statistics=`` the page shows what will be written.

    A channel is a layer that is added to the others, in the colour and the window of ``attrs["omero"]``; those that are not
    active there are off. Without, windows are percentiles of the coarsest level. NaN are transparent. float64, float16 and int64
    are shown as float32, booleans as 0 and 1. Blocks are computed on threads of this process, whatever cluster is active.

    The page itself is neuroglancer's client, which comes with its package; no other machine is asked for anything.

    Examples
    --------
    >>> import xprep
    >>> image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    >>> shown = xprep.view(image, image.prep.gaussian_filter(2), browser=False)  # doctest: +SKIP
    >>> shown.url  # doctest: +SKIP
    'http://127.0.0.1:40123/…/'
    """
    wanted = _wanted(side_by_side, port, browser, memory)
    client = client_folder()
    storage = check_mapping(storage_options, "storage_options", "{'anon': True}", secret=True) or None
    opened = {"series": series, "dims": dims, "storage_options": storage}
    items = [one for each in (image, *others) for one in _items(each, opened)]
    items += _given_labels(labels, items)
    for one in items:
        check_shown(one.array, "view", is_label=one.is_label)
    shown = [one.shown() for one in sorted(items, key=lambda one: one.is_label)]
    found = View(shown, client, port=wanted.port, memory=wanted.memory, side_by_side=wanted.side_by_side)
    if wanted.browser:
        found.open_browser()
    return found


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
        if not isinstance(array, xr.DataArray):
            raise TypeError(f"labels are DataArrays; got a {type(array).__name__} for {name!r}.")
    return [_Item(str(name), _beside(array, items[0].array), is_label=True) for name, array in given.items()]


def _beside(labels: xr.DataArray, image: xr.DataArray) -> xr.DataArray:
    """Return labels where the image is, if they have as many pixels and say nothing of where they are."""
    bare = [dim for dim in labels.dims if dim in SPACE and dim not in labels.coords and dim in image.coords]
    fits = all(labels.sizes[dim] == image.sizes.get(dim) for dim in bare)
    return labels.assign_coords({dim: image.coords[dim] for dim in bare}) if fits else labels
