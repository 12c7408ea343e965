"""Operations on images of SpatialData objects: elements in, elements out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xprep import ops
from xprep.spatialdata.elements import apart, check_request, put_back, together
from xprep.switches import check_switch

Names = str | Iterable[str]


def normalize(
    sdata: Any,
    image_name: Names,
    output_image_name: Names,
    channels: Any = None,
    p: float | None = 99,
    p_sum: float | None = 5,
    p_post: float | None = 99.9,
    sigma: Any = 2,
    norm_sum: bool = True,
    cap_max: float | None = None,
    chunks: Any = None,
    scale_factors: Sequence[Any] | None = None,
    cast_dtype: Any = "float32",
    persist_intermediate: bool = True,
    overwrite: bool = False,
    **options: Any,
) -> Any:
    """Normalise images of a SpatialData object for pixel clustering; the results become elements of it.

    The arguments are those of ``harpy.im.pixel_clustering_preprocess``, the values those of `xprep.normalize`.

    Parameters
    ----------
    sdata : SpatialData
        In memory: the elements are added lazily, and nothing is computed. With a store: they are written into ``images/NAME`` at
        once, in bounded memory, and are then read from there. An interrupted call goes on when it is made again.
    image_name : str or list of str
        Images (c, y, x) or (c, z, y, x), of one level or several. Several are the fields of view of one experiment: they share
        statistics.
    output_image_name : str or list of str
        What the results are called, one for each.
    channels : str, int or list
        Names of channels, in this order; by default all.
    p, p_sum, p_post, sigma, norm_sum, cap_max
        As of `xprep.normalize`.
    chunks : int, tuple or mapping, optional
        Of the results.
    scale_factors : list, optional
        One entry a level, relative to the level before; ``[]`` is one level. By default the result has as many as the image had,
        made anew of its first.
    cast_dtype : str or type
        What is computed in, and the results' type; None keeps floats and makes integers float64.
    persist_intermediate : bool
        True, harpy's default, is ``intermediates="auto"``: between two passes the image is kept in memory if it fits in
        ``set_options(memory_limit=…)``, else it is read again or written to scratch. False writes it to scratch: memory does not
        grow with the image.
    overwrite : bool
        Whether images that are called so may be replaced, in memory too.
    **options
        Further ones of `xprep.normalize`: ``pool``, ``empty``, ``intermediates`` (instead of ``persist_intermediate=True``).

    Returns
    -------
    SpatialData
        The same object. Transformations, coordinate systems, names of channels and attributes are those of the images; labels,
        shapes, points and tables are not touched.

    Raises
    ------
    KeyError
        No such image, no such channel.
    ValueError
        An element that is no image; names that are not as many as the images, taken by another kind of element, or one of the
        images that are read; ``persist_intermediate=False`` beside ``intermediates`` that say another thing.
    StoreExistsError
        An image is called so, and ``overwrite`` is off; another process is writing it.
    ImportError
        spatialdata is not installed (the extra ``spatialdata``).
    TypeError
        ``sdata`` is no SpatialData object.

    Notes
    -----
    Other than harpy's call: an image that is there is not replaced without ``overwrite``, in memory either; the output may not be
    the input; percentiles are exact; an image in levels gives one in levels; nothing is computed for an object in memory.

    ``sdata.write`` of a lazy element computes it by spatialdata's writer; to have it written tile by tile, and to be able to
    go on after a kill, write the object first, and then call this.

    Source: harpy (https://harpy.readthedocs.io), after ark-analysis.

    Examples
    --------
    >>> sdata = xprep.spatialdata.normalize(sdata, ["a", "b"], ["a_norm", "b_norm"], p=99, sigma=2)  # doctest: +SKIP
    """
    asked = options.pop("intermediates", None)
    if not check_switch(persist_intermediate, "persist_intermediate"):
        if asked not in (None, "spill"):
            raise ValueError(f"persist_intermediate=False writes to scratch, and intermediates={asked!r} does not; give one.")
        asked = "spill"
    dtype = None if cast_dtype is None else np.dtype(cast_dtype).name
    how = {
        "channels": channels, "p": p, "p_sum": p_sum, "p_post": p_post, "sigma": sigma, "norm_sum": norm_sum, "cap_max": cap_max,
        "chunks": chunks, "dtype": dtype, "intermediates": asked, **options,
    }  # fmt: skip
    return _apply(ops.normalize, sdata, (image_name, output_image_name), how, scale_factors, overwrite, chunks)


def gaussian_filter(
    sdata: Any,
    image_name: Names,
    output_image_name: Names,
    sigma: Any,
    *,
    scale_factors: Sequence[Any] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Any:
    """Blur images of a SpatialData object with a Gaussian; the results become elements of it.

    Parameters
    ----------
    sdata, image_name, output_image_name, scale_factors, overwrite
        As of `xprep.spatialdata.normalize`.
    sigma : float, mapping or sequence
        As of `xprep.gaussian_filter`, in pixels.
    **options
        Further ones of `xprep.gaussian_filter`.

    Returns
    -------
    SpatialData
        The same object.

    Raises
    ------
    KeyError, ValueError, StoreExistsError, ImportError, TypeError
        As of `xprep.spatialdata.normalize`.

    Examples
    --------
    >>> sdata = xprep.spatialdata.gaussian_filter(sdata, "a", "a_smooth", 1.5)  # doctest: +SKIP
    """
    how = {"sigma": sigma, **options}
    return _apply(ops.gaussian_filter, sdata, (image_name, output_image_name), how, scale_factors, overwrite)


def subtract_background(
    sdata: Any,
    image_name: Names,
    output_image_name: Names,
    radius: Any = 7.0,
    *,
    scale_factors: Sequence[Any] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Any:
    """Subtract the local mean from images of a SpatialData object; the results become elements of it.

    Parameters
    ----------
    sdata, image_name, output_image_name, scale_factors, overwrite
        As of `xprep.spatialdata.normalize`.
    radius : float, pair or mapping
        As of `xprep.subtract_background`, in pixels.
    **options
        Further ones of `xprep.subtract_background`.

    Returns
    -------
    SpatialData
        The same object.

    Raises
    ------
    KeyError, ValueError, StoreExistsError, ImportError, TypeError
        As of `xprep.spatialdata.normalize`.

    Examples
    --------
    >>> sdata = xprep.spatialdata.subtract_background(sdata, "a", "a_flat", radius=20)  # doctest: +SKIP
    """
    how = {"radius": radius, **options}
    return _apply(ops.subtract_background, sdata, (image_name, output_image_name), how, scale_factors, overwrite)


def rescale(
    sdata: Any,
    image_name: Names,
    output_image_name: Names,
    factors: Mapping[str, Any],
    *,
    scale_factors: Sequence[Any] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Any:
    """Scale images of a SpatialData object; the results become elements of it that lie where the images lie.

    Parameters
    ----------
    sdata, image_name, output_image_name, scale_factors, overwrite
        As of `xprep.spatialdata.normalize`.
    factors : mapping of str to float
        As of `xprep.rescale`. Each transformation of an image gets a step before it, from the new pixels to the old.
    **options
        Further ones of `xprep.rescale`.

    Returns
    -------
    SpatialData
        The same object.

    Raises
    ------
    KeyError, ValueError, StoreExistsError, ImportError, TypeError
        As of `xprep.spatialdata.normalize`.

    Examples
    --------
    >>> sdata = xprep.spatialdata.rescale(sdata, "a", "a_small", {"y": 0.5, "x": 0.5})  # doctest: +SKIP
    """
    how = {"factors": factors, **options}
    return _apply(ops.rescale, sdata, (image_name, output_image_name), how, scale_factors, overwrite)


def _apply(
    operation: Callable[..., Any],
    sdata: Any,
    names: tuple[Names, Names],
    how: Mapping[str, Any],
    scale_factors: Sequence[Any] | None,
    overwrite: bool,
    chunks: Any = None,
) -> Any:
    request = check_request(sdata, *names, check_switch(overwrite, "overwrite"))
    results = operation(together(request), **how)
    return put_back(request, apart(request, results, scale_factors), chunks)
