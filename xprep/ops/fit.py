"""Statistics of `normalize`, fitted to some images, to be applied to others."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.containers.apply import Container
from xprep.dims.parameters import check_choice
from xprep.engine.sources.lazy import compute_here, is_lazy
from xprep.ops.fit_sampling import sampled_statistics
from xprep.ops.fitted import about_fit, dataset_of, taken_of
from xprep.ops.normalize_fields import fields_of, prepare
from xprep.ops.normalize_passes import statistics_of_fields
from xprep.types import INTERMEDIATES, Intermediates, Sigma


def fit_normalize(
    images: Container,
    p: float | None = 99,
    p_sum: float | None = 5,
    p_post: float | None = 99.9,
    sigma: Sigma | None = 2,
    norm_sum: bool = True,
    cap_max: float | None = None,
    *,
    channels: Any = None,
    dtype: Any = "float32",
    pool: str = "mean",
    empty: str = "skip",
    sample: float | None = None,
    seed: int = 0,
    intermediates: Intermediates | None = None,
) -> xr.Dataset:
    """Take the statistics that `normalize` divides by, of some images, for others.

    A training cohort's for the test cohort, a finished experiment's for a new field of view, those of control wells for a
    plate, those of a coarse level (``open_image(url, level=2)``) for the slide. `normalize` applies them with ``statistics=``.

    Parameters
    ----------
    images : DataArray, Dataset or DataTree
        As `normalize` takes them: the images of a Dataset or a DataTree share the statistics.
    p, p_sum, p_post, sigma, norm_sum, cap_max, channels, dtype, pool, empty, intermediates
        As of `normalize`. All that decides on the result is kept with the statistics, in the attribute ``parameters``.
    sample : float, optional
        Take them of this share of each image's chunks, drawn at random over all of it: at least 30. With `dask` arrays of
        others, chunks are those of the array.
    seed : int
        Of the random draw.

    Returns
    -------
    Dataset
        ``p(c)``, ``p_sum()``, ``p_post(c)``: what is divided by, and the threshold. ``image_p(image, c)``,
        ``image_p_sum(image)``, ``image_p_post(image, c)``: those of every image, of which they are the mean (NaN with
        ``pool="exact"`` and several images). All in the working type, without those whose percentile is None.
        ``pixels(image)``, ``left_out(image)``: pixels of an image, and how many of them the result leaves out (NaN in every
        channel; NaN without ``p_post``, whose pass counts them), float64. Attributes are texts: ``xprep_statistics`` (the
        format), ``version``, ``parameters``, ``sources`` (URLs without secrets), ``voxel_size`` (along y and x, with units;
        empty where images differ), the last three JSON; ``approximate`` is empty, or says what the statistics were taken of.
        Lazy if an image is.

        With ``sample`` also ``p_interval(c, bound)``, ``p_sum_interval(bound)``, ``p_post_interval(c, bound)``: where the
        statistics of the whole image lie with 95 % (``lower``, ``upper``), by leaving out groups of chunks through all passes.
        NaN where the sample cannot know: fewer than 150 of its pixels lie beyond the percentile, or all that matters is in one
        part of the image. ``left_out`` is NaN.

    Raises
    ------
    ValueError, KeyError, TypeError
        As `normalize`; a sample of fewer than 30 chunks.

    Warns
    -----
    EmptyChannelWarning, PercentileWarning, PaddedImageWarning
        As `normalize`, when it is computed.

    Notes
    -----
    It is an ordinary Dataset: ``to_zarr``, ``to_netcdf``, ``json.dump(fitted.compute().to_dict(), …)`` store it, and `normalize`
    takes it back from any of the three.

    Source: as `normalize`.

    Examples
    --------
    >>> import xprep
    >>> train, test = (xprep.datasets.blobs(channels=2, shape=(64, 64), seed=seed) for seed in (1, 2))
    >>> fitted = train.prep.fit_normalize(p=99, sigma=1)
    >>> fitted.p.dims, fitted.image_p.dims
    (('c',), ('image', 'c'))
    >>> result = test.prep.normalize(statistics=fitted)
    >>> result.equals(test.prep.normalize(p=99, sigma=1))
    False
    """
    given = {
        "p": p, "p_sum": p_sum, "p_post": p_post, "sigma": sigma, "norm_sum": norm_sum, "cap_max": cap_max,
        "channels": channels, "dtype": dtype, "pool": pool, "empty": empty,
    }  # fmt: skip
    chosen, parameters = prepare(images, "fit_normalize", given)
    check_choice(intermediates, (None, *INTERMEDIATES), "intermediates")
    fields, approximate, number = fields_of(chosen, sigma), taken_of(chosen), check_seed(seed)
    if sample is None:
        statistics = statistics_of_fields(fields, parameters, intermediates)
    else:
        statistics, of_sample = sampled_statistics(fields, parameters, check_share(sample), number, intermediates)
        approximate = "; ".join(filter(None, [of_sample, approximate]))
    lazy = any(is_lazy(image.data) for image in chosen.values())
    if not lazy:
        statistics = dict(zip(statistics, compute_here(*statistics.values()), strict=True))
    return dataset_of(about_fit(chosen, parameters, given, approximate), statistics)


def check_share(sample: Any) -> float:
    """Return the share of an image that is to be sampled.

    Raises
    ------
    ValueError
        It is no number above 0 and at most 1.
    """
    number = isinstance(sample, int | float | np.number) and not isinstance(sample, bool)
    if not number or not 0 < float(sample) <= 1:
        raise ValueError(f"sample must be a share of the image's chunks, above 0 and at most 1, or None; got {sample!r}.")
    return float(sample)


def check_seed(seed: Any) -> int:
    """Return a seed.

    Raises
    ------
    ValueError
        It is no whole number of 0 or more.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more; got {seed!r}.")
    return int(seed)
