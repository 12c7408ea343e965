"""The local mean as background, and images without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL, PLANE, arranged, check_image, layout_of
from xprep.dims.containers.apply import Container, find_images, map_images
from xprep.dims.containers.trees import tree_of_results
from xprep.dims.parameters import check_choice, working_dtype
from xprep.dims.provenance import attributes, relabel, spell
from xprep.dims.radii import Radius, radii_of
from xprep.engine.blocks.deliver import deliver
from xprep.engine.blocks.gather import BlockPlace, gather
from xprep.engine.blocks.halos import margins, reach_or_same
from xprep.engine.blocks.needs import same
from xprep.engine.blocks.tiling import in_tiles
from xprep.engine.sources.lazy import like
from xprep.kernels.background import (
    Taps,
    correction_taps,
    half_of,
    mean_taps,
    mean_tile,
    noise_correction,
    noise_gain,
    subtract_mean_tile,
)
from xprep.ops.recorded import recorded
from xprep.switches import check_switch
from xprep.types import Array

DEFAULTS = {"radius": 7.0, "dtype": "float32", "nan": "propagate", "clip": False}


def background(
    image: xr.DataArray | xr.Dataset | xr.DataTree,
    radius: Radius = 7.0,
    *,
    dtype: Any = "float32",
    nan: Literal["propagate", "normalize"] = "propagate",
) -> Any:
    """Return the local mean of every plane, and what it leaves of the noise.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims in any order, with y and x; ``c``, ``t``, ``z`` and others are a batch. Integers, floats or booleans.
    radius : float, str, sequence or mapping
        Radius of the mean in pixels, or a length with a unit (``"1.4 um"``: `xprep.dims.lengths`); finite and above 0.
        One for all, two numbers for y and x, a mapping by dim (``{"y": 7, "x": 5}``); or one a channel: by name (a
        mapping, a Series, a table with columns y and x, a DataArray over ``c``), and then of every channel, or a sequence
        in channel order; each a number or a pair (y, x). Two plain numbers are y and x, whatever the channels.
    dtype : {"float32", "float64"}
        Type to work in and of the background.
    nan : {"propagate", "normalize"}
        ``"propagate"``: a NaN takes every pixel whose window holds it. ``"normalize"``: the mean of what is not NaN.

    Returns
    -------
    Dataset, or DataTree with a node per image
        ``background`` : the image's dims and coordinates.
            Lazy if the image is.
        ``noise_gain`` : (c)
            Standard deviation of white noise in ``image - background``, for 1 in the image. **This is the one to use.**
        ``noise_correction`` : (c)
            The factor that smlmlp stores, for parity (see Notes).
        ``sigma`` : (c, axis)
            Standard deviations along y and x, ``radius / 2``, in pixels.
        ``correction_kernel_y``, ``correction_kernel_x`` : (c, tap)
            One at the centre minus the mean's weights, float32; ``tap`` counts pixels from the centre.

        Without ``c`` in the image, none of them has it.

    Raises
    ------
    ValueError
        A radius is not finite or not positive, there is not one a channel, y or x is missing, or an unknown option.
    KeyError
        A channel is unknown.
    TypeError
        The image's values are not real numbers.

    Notes
    -----
    The mean is weighted by a Gaussian of ``sigma = radius / 2``, integrated over each pixel and cut at 2.5758 sigma (99
    %), separable, with the edge repeated beyond the image (``smlmlp.bkgd_spatial_mean``). A radius below 1/3 leaves the
    image.

    With weights ``w`` (tap 0 in the middle), ``noise_gain`` is ``sqrt(1 - 2 w_y(0) w_x(0) + sum w_y**2 sum w_x**2)``:
    0.9902 at radius 7. smlmlp's ``noise_correction`` is ``sqrt(sum (d - w_y)**2) sqrt(sum (d - w_x)**2)``, with d one
    at tap 0: 0.8527 at radius 7. It is the gain of subtracting the mean along y, and from that the mean along x, which
    is not what is done; it calls the noise 14 % too small. Both hold away from the borders (within a window of them
    the gain is smaller) and without NaN.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> movie = xr.DataArray(np.full((2, 16, 16), 100, "uint16"), dims=("t", "y", "x"))
    >>> found = movie.prep.background(radius=7)
    >>> round(float(found.background.max()), 3), round(float(found.noise_gain), 4)
    (100.0, 0.9902)
    >>> round(float(found.noise_correction), 4)
    0.8527
    """
    step = spell("background", {"radius": radius, "dtype": dtype, "nan": nan}, DEFAULTS)
    if isinstance(image, xr.DataArray):
        return _background(image, radius, dtype, nan, step)
    images = find_images(image, "background")
    found = {one.key: _background(one.array, radius, dtype, nan, step) for one in images}
    return tree_of_results(images, found, "background", name=image.name if isinstance(image, xr.DataTree) else None)


@recorded
def subtract_background(
    image: Container,
    radius: Radius = 7.0,
    *,
    clip: bool = False,
    dtype: Any = "float32",
    nan: Literal["propagate", "normalize"] = "propagate",
) -> Container:
    """Subtract the local mean from every plane.

    Parameters
    ----------
    image, radius, dtype, nan
        As for `background`, which also has the factor for the noise of the result. With ``nan="normalize"`` only the
        NaNs themselves stay NaN.
    clip : bool
        Whether negative differences become 0. Half of the noise is negative: do not clip what will be averaged.

    Returns
    -------
    same kind as ``image``
        ``image - background`` in ``dtype``; dims, coordinates, names and attributes kept. Lazy if the input is.

    Raises
    ------
    ValueError, KeyError, TypeError
        As `background`.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> frame = xr.DataArray(np.full((15, 15), 100, "uint16"), dims=("y", "x"))
    >>> frame[7, 7] = 200
    >>> round(float(frame.prep.subtract_background(4)[7, 7]), 1)
    96.1
    """
    clip = check_switch(clip, "clip")
    step = spell("subtract_background", {"radius": radius, "clip": clip, "dtype": dtype, "nan": nan}, DEFAULTS)

    def one(array: xr.DataArray) -> xr.DataArray:
        return _blurred(array, _recipe(array, radius, dtype, nan, True, clip), step)

    return map_images(one, image, "subtract_background")


def _background(image: xr.DataArray, radius: Radius, dtype: Any, nan: str, step: str) -> xr.Dataset:
    recipe = _recipe(image, radius, dtype, nan)
    found = _blurred(image, recipe, step).rename("background")
    found.attrs = attributes(image, step, is_image=False)
    return xr.Dataset(
        {"background": found, **_noise(image, recipe)}, attrs={k: v for k, v in found.attrs.items() if k == "history"}
    )


@dataclass(frozen=True, eq=False)
class _Recipe:
    """What a tile goes through: the mean's weights along y and x for every channel."""

    taps: tuple[tuple[Taps, Taps], ...]
    sigmas: tuple[tuple[float, float], ...]
    dtype: np.dtype[Any]
    skipna: bool
    subtract: bool
    clip: bool

    @property
    def halves(self) -> tuple[tuple[Array, Array], ...]:
        return tuple((half_of(y), half_of(x)) for y, x in self.taps)

    def radii(self, ndim: int) -> tuple[int, ...]:
        return (*(0,) * (ndim - 2), *(max(half[i].size for half in self.halves) - 1 for i in (0, 1)))

    def __call__(self, tile: Array, place: BlockPlace) -> Array:
        top_bottom, left_right = margins(place)[-2:]
        around = (top_bottom, left_right)
        first, last = place.output[0]
        halves = self.halves[first:last]
        if self.subtract:
            return subtract_mean_tile(tile, halves, around, self.dtype, self.skipna, self.clip)
        return mean_tile(tile, halves, around, self.dtype, self.skipna)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "background", self.sigmas, str(self.dtype), self.skipna, self.subtract, self.clip


def _recipe(image: xr.DataArray, radius: Radius, dtype: Any, nan: str, subtract: bool = False, clip: bool = False) -> _Recipe:
    check_image(image, "subtract_background" if subtract else "background")
    if dtype is None:
        raise ValueError("dtype must be float32 or float64; got None.")
    working = working_dtype(dtype, image.dtype)
    skipna = check_choice(nan, ("propagate", "normalize"), "nan") == "normalize"
    sigmas = tuple((y / 2, x / 2) for y, x in radii_of(radius, image))
    taps = tuple((mean_taps(y), mean_taps(x)) for y, x in sigmas)
    return _Recipe(taps, sigmas, working, skipna, subtract, clip)


def _blurred(image: xr.DataArray, recipe: _Recipe, step: str) -> xr.DataArray:
    layout = layout_of(image)
    data = arranged(image, layout)
    tiles, cuts = in_tiles(image.data, layout.axes)
    needs = reach_or_same(recipe.radii(data.ndim), same)
    made = gather(recipe, tiles, dtype=recipe.dtype, chunks=cuts, needs=needs, label="background")
    chunks = tuple(data.chunks[place] for place in layout.back)
    return relabel(image, like(image.data, deliver(made, layout.back, chunks)), step)


def _noise(image: xr.DataArray, recipe: _Recipe) -> dict[str, xr.DataArray]:
    """Return the factors and kernels, by channel where the image has channels."""
    width = max(taps.size for pair in recipe.taps for taps in pair)
    tap = {"tap": np.arange(width) - width // 2}
    kernels = [[_widened(correction_taps(taps), width) for taps in pair] for pair in recipe.taps]
    found = {
        "noise_correction": xr.DataArray([noise_correction(*pair) for pair in recipe.taps], dims=CHANNEL),
        "noise_gain": xr.DataArray([noise_gain(*pair) for pair in recipe.taps], dims=CHANNEL),
        "sigma": xr.DataArray(np.array(recipe.sigmas), dims=(CHANNEL, "axis"), coords={"axis": np.array(PLANE, object)}),
        "correction_kernel_y": xr.DataArray(np.stack([y for y, _ in kernels]), dims=(CHANNEL, "tap"), coords=tap),
        "correction_kernel_x": xr.DataArray(np.stack([x for _, x in kernels]), dims=(CHANNEL, "tap"), coords=tap),
    }
    if CHANNEL not in image.dims:
        return {name: array.isel({CHANNEL: 0}) for name, array in found.items()}
    return found


def _widened(taps: Taps, width: int) -> Taps:
    """Return taps with zeros at both ends: channels of different radius share one axis."""
    return np.pad(taps, (width - taps.size) // 2)
