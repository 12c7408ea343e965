"""Normalisation of multiplexed images before pixels are clustered."""

from __future__ import annotations

from typing import Any

from xprep.dims.containers.apply import Container
from xprep.dims.parameters import check_choice
from xprep.dims.provenance import spell
from xprep.ops.fitted import about_fit
from xprep.ops.normalize_fields import fields_of, prepare, results_of
from xprep.ops.normalize_given import with_statistics
from xprep.ops.normalize_passes import normalized
from xprep.ops.recorded import recorded
from xprep.types import INTERMEDIATES, Intermediates, Sigma

DEFAULTS = {
    "p": 99, "p_sum": 5, "p_post": 99.9, "sigma": 2, "norm_sum": True, "cap_max": None, "channels": None,
    "dtype": "float32", "chunks": None, "pool": "mean", "empty": "skip",
}  # fmt: skip


@recorded
@with_statistics
def normalize(
    image: Container,
    p: float | None = 99,
    p_sum: float | None = 5,
    p_post: float | None = 99.9,
    sigma: Sigma | None = 2,
    norm_sum: bool = True,
    cap_max: float | None = None,
    *,
    channels: Any = None,
    dtype: Any = "float32",
    chunks: Any = None,
    pool: str = "mean",
    empty: str = "skip",
    intermediates: Intermediates | None = None,
    statistics: Any = None,
) -> Container:
    """Normalise the channels of a multiplexed image, pixel by pixel, for pixel clustering.

    In this order: every channel is divided by its percentile ``p``; the percentile ``p_sum`` of the sum over channels is
    found; every plane is blurred; pixels whose blurred sum is not above that threshold become NaN; the channels of a pixel
    are divided by their sum; every channel is divided by its percentile ``p_post``; values are capped. All percentiles are
    exact, and leave out zeros and NaN.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims ``c, y, x``, and ``z`` and ``t``, in any order; an image without ``c`` is one channel. The images of a Dataset
        or a DataTree are the fields of view of one experiment: they share their statistics. Their channels go together by name;
        of several of one name the k-th of one image with the k-th of another. Images of different shapes belong into the nodes
        of a DataTree. An image in levels is one image, of which level 0 counts.
    p : float or None
        Percentile, 0–100, that a channel is divided by.
    p_sum : float or None
        Percentile of the unblurred sum over channels; pixels whose blurred sum is at or below it become NaN.
    p_post : float or None
        Percentile that a channel is divided by at the end.
    sigma : float, sequence, mapping or None
        Standard deviation of the blur in y and x, in pixels: one number, one a channel in order, or by channel name (a
        mapping, a Series, a DataArray over ``c``): that of all channels of this name, and 0 of those that are not named.
        Lengths with a unit (``"0.5 um"``) do as well where voxels are square; each image has its own voxel size.
    norm_sum : bool
        Whether the channels of a pixel are divided by their sum.
    cap_max : float or None
        Largest value of the result.
    channels : sequence, optional
        Channels to use, in this order. A name takes all channels that have it; whole numbers are positions where names are
        texts, or where ``c`` has no coordinate. Without, those of the first image, which all others must have.
    dtype : {"float32", "float64", None}
        Type to work in and of the result. None keeps floats, and makes integers float64.
    chunks : mapping, int or tuple, optional
        Chunks of the result, by dim; by default the input's.
    pool : {"mean", "exact"}
        Statistics of several images: ``"mean"`` averages their percentiles, ``"exact"`` takes them over all pixels.
    empty : {"skip", "nan"}
        A channel without a non-zero pixel: ``"skip"`` leaves it out of the mean over images, and where it is empty in all of
        them divides it by 1, with a warning; ``"nan"`` makes everything NaN, as the reference does.
    intermediates : {"auto", "recompute", "persist", "spill"}, optional
        What becomes of the image between the passes; by default the option of that name.
    statistics : Dataset, str or Path, optional
        What `fit_normalize` gave, or its file (``.zarr``, ``.nc``, ``.json``; URLs with the environment's credentials): one
        pass over the image with these statistics and their parameters, of which any that is given beside must be equal.
        Channels go together by name, in the fit's order (where either has no names, by position). A sigma in pixels is
        refused where the voxel size is another one; a length follows it.

    Returns
    -------
    same kind as ``image``
        Dims, coordinates, names and attributes kept (``units`` becomes 1). Lazy if the input is.

    Raises
    ------
    ValueError
        A percentile outside 0–100, or (``p``, ``p_post``) between 0 and 1, which is a quantile; a negative or NaN sigma or the
        wrong number of them; images of different dims, y or x missing, dims besides t, c, z, y and x; an image without pixels,
        or of unknown length; an unknown choice.
    KeyError
        An unknown channel, or one that an image lacks: it is named.
    TypeError
        Values that are not real numbers.

    Warns
    -----
    EmptyChannelWarning
        A channel is empty (when it is computed).
    PercentileWarning
        A percentile to divide by is not positive (when it is computed).
    PaddedImageWarning
        Of an image that shares a Dataset with others, the outermost rows or columns are NaN throughout (when it is computed):
        in a Dataset, xarray pads images of different shapes with NaN.

    Notes
    -----
    A NaN spreads as far as the blur reaches, and then over all channels. An infinity takes part in percentiles and blur.
    The image is read in up to four passes (percentiles; sum; percentiles after; result), and never kept unless
    ``intermediates`` says so.

    Source: ``harpy.im.pixel_clustering_preprocess`` (harpy-analysis 0.5.2), after Pixie (Liu et al., Nature Communications
    2023); there, percentiles are approximated by t-digests.

    Examples
    --------
    >>> import xprep
    >>> image = xprep.datasets.blobs(channels=3, shape=(64, 64))
    >>> result = image.prep.normalize(p=99, sigma=1)
    >>> result.dtype, dict(result.sizes)
    (dtype('float32'), {'c': 3, 'y': 64, 'x': 64})
    """
    given = {
        "p": p, "p_sum": p_sum, "p_post": p_post, "sigma": sigma, "norm_sum": norm_sum, "cap_max": cap_max,
        "channels": channels, "dtype": dtype, "chunks": chunks, "pool": pool, "empty": empty,
    }  # fmt: skip
    images, parameters = prepare(image, "normalize", given)
    check_choice(intermediates, (None, *INTERMEDIATES), "intermediates")
    fields = fields_of(images, sigma)  # checks sigma
    about = about_fit(images, parameters, given)
    arrays = normalized(fields, parameters, chunks, intermediates, about=about)
    return results_of(image, images, arrays, spell("normalize", given, DEFAULTS), parameters)  # type: ignore[no-any-return]
