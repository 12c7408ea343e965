"""Statistics of a sample of an image's chunks, and how far those of the whole image may lie from them.

Chunks are drawn in pairs: the image is cut into as many strata as there are pairs, each a run of chunks, and two are drawn of
each. The strata form 15 groups. In a replicate, one group counts the first chunk of its pairs twice and the second not at all,
and the whole chain of passes is run on that. The squares of what that changes add up to the variance (a paired jackknife for
stratified samples: Wolter, Introduction to Variance Estimation, 2007, 4.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, arranged, layout_of
from xprep.engine.graph.tasks import call
from xprep.engine.machine.memory import memory_limit
from xprep.engine.passes.sampling import Chunks, picked_blocks
from xprep.naming import named
from xprep.ops.fitted import SAMPLED, voxel_sizes
from xprep.ops.normalize_passes import Field, NormalizeParameters, statistics_of_fields
from xprep.ops.statistics import Statistic
from xprep.types import Array, Intermediates

GROUPS: Final = 15
FEWEST: Final = 2 * GROUPS
BEYOND: Final = 150  # pixels of the sample beyond a percentile, with fewer of which it moves in steps
# Of Student's t, by degrees of freedom from 1: what 95 % lie within. scipy's own takes 0.1 s to import.
T_95: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
# Of groups that matter. With fewer, two or three chunks tell of the part of the image where the percentile lies: at 2 to 3,
# bounds of the 99th percentile of a gradient held 40 to 80 % of 200 draws of 30 to 60 chunks.
LEAST_FREEDOM: Final = 3.0


@dataclass(frozen=True, eq=False)
class Sample:
    """The chunks that were drawn of one image, pair by pair, and the group of each pair."""

    field: Field
    data: Any
    pairs: int
    groups: tuple[int, ...]
    flips: tuple[int, ...]
    total: int

    def replicate(self, group: int | None) -> Field:
        """Return the sample as a field of view: all of it, or with one of each pair of ``group`` twice and no other."""
        order = []
        for pair in range(self.pairs):
            two = [2 * pair, 2 * pair + 1]
            order += two if self.groups[pair] != group else [two[self.flips[pair]]] * 2
        data = self.data if group is None else picked_blocks(self.data, order)
        return replace(self.field, image=xr.DataArray(data, dims=("c", "z", "y", "x")), shares=False)


def sampled_statistics(
    fields: Sequence[Field], parameters: NormalizeParameters, share: float, seed: int, intermediates: Intermediates | None
) -> tuple[dict[str, Any], str]:
    """Return the lazy statistics of a sample, with intervals, and what they were taken of, in words."""
    samples = [_drawn(field, parameters, share, seed, number) for number, field in enumerate(fields)]
    size = sum(sample.data.nbytes for sample in samples)
    how = intermediates or ("persist" if (GROUPS + 1) * size <= memory_limit() else "recompute")
    replicates = [
        statistics_of_fields([sample.replicate(group) for sample in samples], parameters, how) for group in (None, *range(GROUPS))
    ]
    drawn, total = sum(2 * sample.pairs for sample in samples), sum(sample.total for sample in samples)
    # Per image the sample is the same share, to a chunk.
    pixels = sum(sample.data.size // sample.data.shape[0] for sample in samples)
    found = {}
    for name in replicates[0]:
        percentile = {"p": parameters.p, "p_sum": parameters.p_sum, "p_post": parameters.p_post}[name] or 0.0
        made = WithInterval(percentile, 1 - drawn / total, pixels)
        found[name] = call(made, *(one[name] for one in replicates), label=name)
    return found, f"{SAMPLED}{drawn} of {total} chunks (seed {seed})"


def few_chunks(image: xr.DataArray, dtype: np.dtype[Any], most: int, seed: int) -> xr.DataArray | None:
    """Return ``most`` chunks of an image, drawn over all of it, with its channels and voxel size; None if there are not more."""
    chunks = Chunks(arranged(image, layout_of(image)))
    if len(chunks) <= most:
        return None
    random = np.random.default_rng(seed)
    numbers = [int(random.choice(stratum)) for stratum in np.array_split(np.arange(len(chunks)), most)]
    data = chunks.put_together(numbers, dtype)
    coords: dict[str, Any] = {CHANNEL: image.coords[CHANNEL].values} if CHANNEL in image.coords and CHANNEL in image.dims else {}
    for dim, (size, unit) in voxel_sizes(image).items():
        coords[dim] = (dim, size * np.arange(data.shape["czyx".index(dim)]), {"units": unit} if unit else {})
    return xr.DataArray(data, coords, dims=("c", "z", "y", "x"))


def _drawn(field: Field, parameters: NormalizeParameters, share: float, seed: int, number: int) -> Sample:
    chunks = Chunks(arranged(field.image, layout_of(field.image)))
    pairs = min(round(share * len(chunks) / 2), len(chunks) // 2)
    if pairs < GROUPS:
        where = f" of {field.name}" if field.name else ""
        way = f"sample={FEWEST / len(chunks):.2g}, or more" if len(chunks) >= FEWEST else "smaller chunks; or all, without sample"
        raise ValueError(
            f"sample={share:g}{where} takes {2 * pairs} of {len(chunks)} chunks; {FEWEST} at least say how well they stand for "
            f"all. Take {way}."
        )
    random = np.random.default_rng([seed, number])
    strata = np.array_split(np.arange(len(chunks)), pairs)
    numbers = [int(one) for stratum in strata for one in random.choice(stratum, 2, replace=False)]
    groups = np.concatenate([random.permutation(GROUPS) for _ in range(-(-pairs // GROUPS))])[:pairs]
    data = chunks.put_together(numbers, parameters.dtype)
    return Sample(field, data, pairs, tuple(groups.tolist()), tuple(random.integers(0, 2, pairs).tolist()), len(chunks))


@named("sample-interval")
@dataclass(frozen=True)
class WithInterval:
    """Puts the statistic of a sample and of its replicates together: with a 95 % interval, NaN where it cannot be known.

    Attributes
    ----------
    percentile
        Of the statistic.
    left
        Share of the image that is not in the sample.
    pixels
        Of the sample.
    """

    percentile: float
    left: float
    pixels: int

    def __call__(self, whole: Statistic, *replicates: Statistic) -> Statistic:
        """Return it."""
        values = whole.values.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = np.array([np.log(one.values.astype(np.float64) / values) ** 2 for one in replicates])
            freedom = moved.sum(axis=0) ** 2 / (moved**2).sum(axis=0)
            # Of 15 squares of one size, Satterthwaite's formula gives about 5: their own noise.
            error = _student(1.6 * freedom) * np.sqrt(self.left * moved.sum(axis=0))
            bounds = np.stack([values * np.exp(-error), values * np.exp(error)], axis=-1)
        known = (freedom >= LEAST_FREEDOM) & (values > 0) & (self._beyond >= BEYOND)
        return replace(whole, left_out=None, interval=np.where(known[:, None], bounds, np.nan).astype(whole.values.dtype))

    @property
    def _beyond(self) -> float:
        return self.pixels * min(self.percentile, 100 - self.percentile) / 100


def _student(freedom: Array) -> Array:
    """Return within how many standard errors 95 % lie, for any degrees of freedom up to 15."""
    inverse = 1 / np.arange(len(T_95), 0, -1)
    return np.asarray(np.interp(1 / np.clip(freedom, 1, len(T_95)), inverse, T_95[::-1]))
