"""Gaussian blur, streamed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE, Layout, arranged, check_image, layout_of
from xprep.dims.containers.apply import Container, map_images
from xprep.dims.parameters import check_choice, check_sigma, dim_sigmas
from xprep.dims.provenance import relabel, spell
from xprep.engine.blocks.deliver import deliver
from xprep.engine.blocks.gather import BlockPlace, gather
from xprep.engine.blocks.halos import margins, reach_or_same
from xprep.engine.blocks.needs import same
from xprep.engine.blocks.tiling import in_tiles
from xprep.engine.sources.lazy import like
from xprep.kernels.blur import gaussian_half
from xprep.kernels.tiles import blur_volume
from xprep.ops.recorded import recorded
from xprep.types import Array, Boundary, Sigma

MODES = ("reflect", "nearest", "mirror", "wrap", "constant")


@recorded
def gaussian_filter(
    image: Container, sigma: Sigma, *, truncate: float = 4.0, mode: Boundary = "reflect", nan: str = "propagate"
) -> Container:
    """Blur with a Gaussian, as `scipy.ndimage.gaussian_filter` does, without the image in memory.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims in any order, with y and x; integers, floats or booleans. In a Dataset or DataTree every image is blurred,
        and labels are not.
    sigma : float, mapping or sequence
        Standard deviation in pixels: a number for y and x, a mapping by dim (``{"z": 1, "y": 2, "x": 2}``), or one number a
        channel: a sequence in order, or values by name (a mapping, a Series, a DataArray over ``c``). 0 leaves an axis or a
        channel as it is, as do dims and channels that are not named. Lengths with a unit do as well: ``"0.5 um"``
        (`xprep.dims.lengths`).
    truncate : float
        Radius of the kernel in units of ``sigma``: ``int(truncate * sigma + 0.5)``.
    mode : {"reflect", "nearest", "mirror", "wrap", "constant"}
        How the image goes on beyond its edges, by scipy's names; ``"constant"`` is zeros.
    nan : {"propagate", "normalize"}
        ``"propagate"``: a NaN reaches every pixel whose window holds it (a square of ``2 radius + 1``).
        ``"normalize"``: the weighted mean of what is not NaN, also where the centre is NaN; NaN where there is nothing else.

    Returns
    -------
    same kind as ``image``
        float32 for integers and booleans, floats as they are (float16 becomes float32); dims, coordinates and attributes
        kept. Lazy if the input is; a block reads its neighbours' edges only.

    Raises
    ------
    ValueError
        A sigma is negative, not finite or of an unknown dim; there is not one a channel; y or x is missing; a variable beside
        an image may be labels.
    TypeError
        The image's values are not real numbers.

    Notes
    -----
    Sums are made in the result's type. float32 differs from scipy, which sums in float64, by less than 2e-6 relative to the
    largest value under the window.

    Source: `scipy.ndimage.gaussian_filter`; NaN: normalised convolution (Knutsson and Westin, CVPR 1993).

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> image = xr.DataArray(np.eye(5, dtype="uint16") * 100, dims=("y", "x"))
    >>> round(float(image.prep.gaussian_filter(1)[2, 2]), 2)
    28.32
    """
    check_choice(mode, MODES, "mode")
    check_choice(nan, ("propagate", "normalize"), "nan")
    truncate = check_sigma(truncate, "truncate")
    given = {"sigma": sigma, "truncate": truncate, "mode": mode, "nan": nan}
    step = spell("gaussian_filter", given, {"truncate": 4.0, "mode": "reflect", "nan": "propagate"})
    return map_images(lambda array: _blur(array, sigma, truncate, mode, nan == "normalize", step), image, "gaussian_filter")


def _blur(image: xr.DataArray, sigma: Any, truncate: float, mode: Boundary, skipna: bool, step: str) -> xr.DataArray:
    check_image(image, "gaussian_filter")
    layout = layout_of(image)
    sigmas = dim_sigmas(sigma, image)
    dtype = np.dtype(np.float64 if image.dtype.kind == "f" and image.dtype.itemsize == 8 else np.float32)
    recipe = _Blur(_plane_halves(sigmas, truncate), _other_halves(sigmas, layout, truncate), dtype, mode, skipna)
    data = arranged(image, layout)
    tiles, cuts = in_tiles(image.data, layout.axes)
    radii = recipe.radii(data.ndim)
    wide = gather(
        recipe, tiles, dtype=dtype, chunks=cuts, needs=reach_or_same(radii, same), wrap=mode == "wrap", label="gaussian"
    )
    chunks = tuple(data.chunks[place] for place in layout.back)
    return relabel(image, like(image.data, deliver(wide, layout.back, chunks)), step)


def _plane_halves(sigmas: tuple[dict[str, float], ...], truncate: float) -> tuple[tuple[Array, Array], ...]:
    return tuple((_half(one, "y", truncate), _half(one, "x", truncate)) for one in sigmas)


def _other_halves(sigmas: tuple[dict[str, float], ...], layout: Layout, truncate: float) -> tuple[tuple[int, Array], ...]:
    """Return (axis, half taps) of the dims besides y and x; a sequence of sigmas, one a channel, has none of them."""
    return tuple(
        (layout.dims.index(dim), _half(sigmas[0], dim, truncate))
        for dim, value in sigmas[0].items()
        if dim not in (CHANNEL, *PLANE) and value > 0
    )


def _half(sigmas: dict[str, float], dim: str, truncate: float) -> Array:
    return gaussian_half(sigmas.get(dim, 0.0), truncate)


@dataclass(frozen=True, eq=False)
class _Blur:
    """The blur of one tile."""

    halves: tuple[tuple[Array, Array], ...]
    others: tuple[tuple[int, Array], ...]
    dtype: Any
    mode: Boundary
    skipna: bool

    @property
    def by_plane(self) -> bool:
        """Whether every plane is blurred for itself."""
        return not self.others

    def radii(self, ndim: int) -> tuple[int, ...]:
        found = [0] * ndim
        found[-2], found[-1] = (max(len(half[i]) for half in self.halves) - 1 for i in (0, 1))
        for axis, half in self.others:
            found[axis] = len(half) - 1
        return tuple(found)

    def __call__(self, block: Array, place: BlockPlace) -> Array:
        first, last = place.output[0]  # a tile may hold some of the channels only, and each has its own sigma
        return blur_volume(block, self.halves[first:last], self.others, margins(place), self.dtype, self.mode, self.skipna)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "gaussian", self.halves, self.others, str(self.dtype), self.mode, self.skipna
