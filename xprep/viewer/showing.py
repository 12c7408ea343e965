"""`view`, as it is called; what it does is imported when it is."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from xprep.viewer.session import ViewerPage


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
) -> ViewerPage:
    """Show images in the browser: stores and lazy results, tile by tile, before anything is written.

    Only what is looked at is read and computed, at the resolution that is looked at: levels of a lazy result are the same steps
    of ``.prep`` on the levels of the image that it was made of, with sigma and radius in their pixels. Extra ``view``.

    Parameters
    ----------
    image : DataArray, Dataset, DataTree, str or Path
        An image, lazy or in memory: dims y and x, and t, c, z. Of a Dataset or DataTree all images are shown, and labels over
        them. A text or a path is a store (`open_image`), with its labels.
    *others
        More of such, as before and after: layers over the first, which are off until they are clicked on the page.
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
    ViewerPage
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
    how = {"side_by_side": side_by_side, "port": port, "browser": browser, "memory": memory}
    opened = {"series": series, "dims": dims, "storage_options": storage_options}
    shown: ViewerPage = import_module("xprep.viewer.collecting").make_view((image, *others), labels, opened, **how)
    return shown
