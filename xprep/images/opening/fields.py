"""Several images as the fields of view of one experiment."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from xprep.errors import StoreFormatError, StoreFormatWarning
from xprep.images.opening.reading import open_image
from xprep.images.opening.series import check_dims
from xprep.io.commit.mark import check_finished
from xprep.io.ome.groups import list_held, read_group
from xprep.io.store.local_paths import stem
from xprep.io.store.places import open_store
from xprep.io.store.urls import redact


def open_fields(urls: Sequence[str], storage_options: Mapping[str, Any] | None = None, **which: Any) -> Any:
    """Open one image, or several as a DataTree with a node for each, called as its store.

    A plate, a well or a store of several series is all images that it lists: nodes are called by well and field (``A/1/0``), of
    several inputs below the store's name. What is listed and not there is left out, with a warning. ``which`` goes to
    `open_image`: the series of a file, which is then one image, and its dims.

    Returns
    -------
    DataArray or DataTree

    Raises
    ------
    ValueError
        Two are called the same.
    StoreFormatError
        Nothing of what a plate lists is there.
    """
    names = [stem(url) for url in urls]
    opened = [(name, _opened(url, storage_options, which)) for name, url in zip(names, urls, strict=True)]
    found = [(name, path, image) for name, images in opened for path, image in images]
    if len(found) == 1:
        return found[0][2]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two inputs are called {twice[0]!r}; rename one, so that they can be told apart.")
    above = len(urls) > 1
    paths = ["/".join([*([name] if above else []), *([path] if path else [])]) for name, path, _ in found]
    return xr.DataTree.from_dict({f"/{path}": one[2].to_dataset(name="image") for path, one in zip(paths, found, strict=True)})


def _opened(url: str, options: Mapping[str, Any] | None, which: Mapping[str, Any]) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield the images at ``url`` with their paths there; an image itself has none."""
    group = read_group(open_store(url, options, dims=which.get("dims") or "")) if which.get("series") is None else None
    held = [entry for entry in list_held(group) if entry.kind != "element"] if group is not None else []
    if group is None or not held:
        yield "", open_image(url, storage_options=options, **which)
        return
    check_dims(group.place, which.get("dims"))
    check_finished(group)
    whole = 0
    for entry in held:
        one = read_group(group.place.child(entry.path))
        if one is None or not one.is_image:
            text = f"{redact(url)} lists {entry.path!r}, where no image is. The statistics are those of the rest."
            warnings.warn(text, StoreFormatWarning, stacklevel=4)
            continue
        whole += 1
        yield entry.path, open_image(one.place)
    if not whole:
        raise StoreFormatError(f"{redact(url)} holds none of the images that it lists.")
