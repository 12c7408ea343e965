"""Example images: a real one that comes with xprep, and seeded synthetic ones."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import xarray as xr

from xprep.arguments import check_number, check_shape, check_whole
from xprep.types import Array

BLOCK = 1024  # pixels of a synthetic image that are made together


def cells() -> xr.DataArray:
    """Return a real image that comes with xprep: three stains of a site of a high-content screen.

    Returns
    -------
    DataArray
        ``(c 3, y 395, x 695)`` uint16, in memory; without physical coordinates, as the pixel size is not known.

    Notes
    -----
    A crop from image set BBBC022v1 (Gustafsdottir et al., PLOS ONE 2013), Broad Bioimage Benchmark Collection (Ljosa et al.,
    Nature Methods 2012). CC0: rights waived by Anne Carpenter.

    Examples
    --------
    >>> import xprep
    >>> xprep.datasets.cells().sizes["c"]
    3
    """
    with (files("xprep") / "data" / "cells.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        pixels = stored["pixels"]
    source = "BBBC022v1 (Gustafsdottir et al. 2013), CC0, Broad Bioimage Benchmark Collection"
    names = np.array(["stain 1", "stain 2", "stain 3"], dtype=object)
    return xr.DataArray(pixels, dims=("c", "y", "x"), coords={"c": names}, name="cells", attrs={"source": source})


def blobs(
    channels: int = 4, shape: tuple[int, ...] = (512, 512), *, seed: int = 0, density: float = 0.002, pixel: float = 0.5
) -> xr.DataArray:
    """Return a synthetic image of bright cells on a dim, noisy background.

    Parameters
    ----------
    channels : int
        Number of channels.
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    seed : int
        The same seed gives the same image.
    density : float
        Cells a pixel of a plane.
    pixel : float
        Distance of pixels, in micrometres.

    Returns
    -------
    DataArray
        ``(c, [z], y, x)`` uint16 with coordinates in micrometres, in memory.

    Examples
    --------
    >>> import xprep
    >>> dict(xprep.datasets.blobs(channels=2, shape=(64, 96)).sizes)
    {'c': 2, 'y': 64, 'x': 96}
    """
    channels, seed = check_whole(channels, "channels", 1), check_whole(seed, "seed")
    shape = check_shape(shape)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"shape must be two or three lengths, (y, x) or (z, y, x), each 1 or more; got {shape}.")
    density, pixel = check_number(density, "density", least=0), check_number(pixel, "pixel", least=0)
    if density > 1:
        raise ValueError(f"density must be a number of cells a pixel, from 0 to 1; got {density!r}.")
    if not 0 < pixel < np.inf:
        raise ValueError(f"pixel must be a finite number of micrometres above 0; got {pixel!r}.")
    random = np.random.default_rng(seed)
    dims = ("c", *("z", "y", "x")[-len(shape) :])
    pixels = np.stack([_channel(random, shape, density) for _ in range(channels)])
    coords: dict[str, object] = {"c": np.array([f"marker {i + 1}" for i in range(channels)], dtype=object)}
    for dim, length in zip(dims[1:], shape, strict=True):
        coords[dim] = (dim, np.arange(length) * pixel, {"units": "micrometer"})
    return xr.DataArray(pixels, dims=dims, coords=coords, name="blobs")


def _channel(random: np.random.Generator, shape: tuple[int, ...], density: float) -> Array:
    """Return log-normal noise with round cells of different brightness."""
    values = random.lognormal(4.0, 0.4, shape)
    plane = values.reshape(-1, *shape[-2:])
    count = int(density * plane[0].size) + 1
    for z in range(len(plane)):
        centres = random.uniform(0, shape[-2:], (count, 2))
        for (y, x), radius, height in zip(centres, random.uniform(2, 6, count), random.lognormal(7, 0.6, count), strict=True):
            _add_cell(plane[z], y, x, radius, height)
    return np.clip(values, 0, 65535).astype(np.uint16)


def _add_cell(plane: Array, y: float, x: float, radius: float, height: float) -> None:
    reach = int(3 * radius)
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    part = plane[top : int(y) + reach, left : int(x) + reach]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    part += height * np.exp(-(((rows - y) ** 2 + (columns - x) ** 2) / (2 * (radius / 1.5) ** 2)))
