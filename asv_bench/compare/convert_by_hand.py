"""A tiled OME-TIFF to OME-Zarr by hand: tifffile's Zarr store through dask, tile by tile, as a careful user would."""

from __future__ import annotations

import sys
from pathlib import Path

import dask.array as da
import numpy as np
import tifffile
import zarr
from zarr.codecs import BloscCodec


def _mean(block: np.ndarray, axis: tuple[int, ...] = ()) -> np.ndarray:
    return block.mean(axis).round().astype(block.dtype)


def convert(source: Path, target: Path) -> None:
    """Write level 0 and its halvings, each made of the one before as it lies in the store."""
    codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")
    with tifffile.TiffFile(source) as tif:
        image = da.from_zarr(zarr.open_array(tif.series[0].aszarr(level=0), mode="r"))
        level = 0
        while True:
            chunks = (1, *(min(1024, n) for n in image.shape[1:]))
            array = zarr.create_array(
                target / str(level), shape=image.shape, chunks=chunks, dtype=image.dtype, compressors=codec, overwrite=True
            )
            image.rechunk(chunks).store(array, lock=False)
            if max(image.shape[1:]) <= 1024:
                return
            image = da.coarsen(_mean, da.from_zarr(array), {1: 2, 2: 2})
            level += 1


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
