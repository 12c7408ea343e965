"""Several images as the fields of view of one experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from xprep.images.opening.reading import open_image
from xprep.io.store.local_paths import stem


def open_fields(urls: Sequence[str], storage_options: Mapping[str, Any] | None = None, **which: Any) -> Any:
    """Open one image, or several as a DataTree with a node for each, called as its store.

    ``which`` goes to `open_image`: the series of a file, its dims.

    Returns
    -------
    DataArray or DataTree

    Raises
    ------
    ValueError
        Two are called the same.
    """
    images = [open_image(url, storage_options=storage_options, **which) for url in urls]
    if len(images) == 1:
        return images[0]
    names = [stem(url) for url in urls]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two inputs are called {twice[0]!r}; rename one, so that they can be told apart.")
    fields = {f"/{name}": image.to_dataset(name="image") for name, image in zip(names, images, strict=True)}
    return xr.DataTree.from_dict(fields)
